"""Webhook endpoints: create (the only time the secret is shown), retrieve, update, delete, list."""

from typing import Any

from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.wire.errors import invalid_request, missing_on_path
from stripesim.wire.urls import NOT_VALID, check_url
from stripesim.world import Call

Json = dict[str, Any]


def create(call: Call, params: Json) -> Json:
    _check_url(params["url"])
    secret = f"whsec_{call.world.ids.text(32)}"
    endpoint = {
        "id": call.world.ids.timed("we", call.now),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version") or None,
        "application": None,
        "created": call.now,
        "description": unset(params.get("description")),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merged({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
        "_sim": {"secret": secret},
    }
    call.add(endpoint)
    call.world.forget_endpoints()
    return {**endpoint, "secret": secret}


def _check_url(url: str) -> None:
    if not check_url(url, "url").startswith(("http://", "https://")):
        raise invalid_request(NOT_VALID, code="url_invalid", param="url")


def retrieve(call: Call, params: Json, endpoint_id: str) -> Json:
    del params
    return _load(call, endpoint_id)


def _load(call: Call, endpoint_id: str) -> Json:
    noun = "webhook endpoint"
    endpoint = call.load("webhook_endpoint", endpoint_id, noun=noun, param="webhook_endpoint")
    if endpoint.get("deleted"):
        raise missing_on_path(noun, endpoint_id, "webhook_endpoint")
    return endpoint


def update(call: Call, params: Json, endpoint_id: str) -> Json:
    endpoint = _load(call, endpoint_id)
    if params.get("url"):
        _check_url(params["url"])
        endpoint["url"] = params["url"]
    if params.get("enabled_events"):
        endpoint["enabled_events"] = params["enabled_events"]
    if "description" in params:
        endpoint["description"] = unset(params["description"])
    if "metadata" in params:
        endpoint["metadata"] = merged(endpoint["metadata"], params["metadata"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    call.save(endpoint)
    call.world.forget_endpoints()
    return endpoint


def delete(call: Call, params: Json, endpoint_id: str) -> Json:
    del params
    _load(call, endpoint_id)
    tombstone = {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}
    call.save(tombstone)
    call.world.objects.unlist(endpoint_id)
    call.world.deliveries.forget_endpoint(endpoint_id)
    call.world.forget_endpoints()
    return tombstone


def list_endpoints(call: Call, params: Json) -> Json:
    return list_page(call, "webhook_endpoint", "/v1/webhook_endpoints", params)
