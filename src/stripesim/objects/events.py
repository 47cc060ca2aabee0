"""Events: written with what they tell of, in one transaction, and queued for every endpoint.

Events are rendered at the account's default version, even if the request pinned another.
"""

from typing import Any

from stripesim.config import API_VERSION
from stripesim.objects.listing import list_page, reject_unknown_cursor
from stripesim.wire.versions import render
from stripesim.world import Call, World

Json = dict[str, Any]
SHUFFLE_SECONDS = 1.0


def emit(call: Call, kind: str, obj: Json, previous_attributes: Json | None = None) -> None:
    """Write the event `kind` about `obj` as it is now."""
    world = call.world
    data: Json = {"object": render(obj)}
    if previous_attributes is not None:
        data["previous_attributes"] = previous_attributes
    endpoints = [e for e in world.enabled_endpoints() if _wants(e["enabled_events"], kind)]
    if world.webhooks.mode == "drop":
        endpoints = []
    event: Json = {
        "id": _event_id(call, obj),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(endpoints),
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": kind,
    }
    call.add(event)
    for endpoint in endpoints:
        for _ in range(1 + world.webhooks.duplicate):
            world.deliveries.add(event["id"], endpoint["id"], _due_at(world))


def _due_at(world: World) -> float:
    """Shuffled deliveries overtake each other within a second of the simulator's clock."""
    due_at = world.clock.now() + world.webhooks.delay_seconds
    if world.webhooks.shuffle:
        due_at += world.webhook_dice.random() * SHUFFLE_SECONDS
    return due_at


def resend(world: World, event: Json) -> int:
    """Queue the event once more, now, for every endpoint that wants it; how many do."""
    endpoints = [e for e in world.enabled_endpoints() if _wants(e["enabled_events"], event["type"])]
    for endpoint in endpoints:
        world.deliveries.add(event["id"], endpoint["id"], world.clock.now())
    return len(endpoints)


def emit_update(call: Call, kind: str, before: Json, obj: Json) -> None:
    """Write the event about an object that was `before`, with its previous attributes."""
    emit(call, kind, obj, difference(render(before), render(obj)))


def difference(before: Json, after: Json) -> Json:
    """What stood in `before` where `after` differs, part by part; null where nothing stood."""
    out: Json = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            out[name] = difference(old, new)
        else:
            out[name] = old
    return out


def _wants(enabled_events: list[str], kind: str) -> bool:
    return "*" in enabled_events or kind in enabled_events


def _event_id(call: Call, obj: Json) -> str:
    payment = obj.get("payment_intent") or obj["id"]
    if isinstance(payment, str) and payment.startswith(("pi_3", "ch_3", "re_3")):
        return call.world.ids.of_payment("evt", payment)
    return call.world.ids.timed("evt", call.now)


def retrieve(call: Call, params: Json, event_id: str) -> Json:
    del params
    event = call.load("event", event_id, noun="event", param="id")
    return _with_pending(call, event)


def list_events(call: Call, params: Json) -> Json:
    reject_unknown_cursor(call, "event", params)
    condition = ""
    if "delivery_success" in params:
        some_failed = (
            "EXISTS (SELECT 1 FROM deliveries d WHERE d.event = objects.id"
            " AND d.state != 'delivered')"
        )
        condition = f"NOT {some_failed}" if params["delivery_success"] else some_failed
    types = params.get("types") or ([params["type"]] if params.get("type") else [])
    if any("*" in kind for kind in types):
        condition = " AND ".join(filter(None, [condition, _glob_condition(types)]))
        types = []
    page = _merged_page(call, params, types, condition)
    page["data"] = [_with_pending(call, event) for event in page["data"]]
    return page


def _glob_condition(types: list[str]) -> str:
    """`payment_intent.*`: the names are checked, so they can stand in the SQL text."""
    safe = [t for t in types if t.replace(".", "").replace("_", "").replace("*", "").isalnum()]
    return "(" + " OR ".join(f"type GLOB '{t}'" for t in safe or ["-"]) + ")"


def _merged_page(call: Call, params: Json, types: list[str], condition: str) -> Json:
    """Each type's page comes from the index; the pages are merged newest first."""
    if len(types) <= 1:
        filters = {"type": types[0]} if types else {}
        return list_page(call, "event", "/v1/events", params, filters, condition=condition)
    single = [
        list_page(call, "event", "/v1/events", params, {"type": kind}, condition=condition)
        for kind in dict.fromkeys(types)
    ]
    found = [event for page in single for event in page["data"]]
    found.sort(key=lambda e: call.world.objects.position("event", e["id"]) or (0, 0), reverse=True)
    limit = params.get("limit") or 10
    cut = found[-limit:] if params.get("ending_before") else found[:limit]
    has_more = len(found) > limit or any(page["has_more"] for page in single)
    return {**single[0], "data": cut, "has_more": has_more}


def _with_pending(call: Call, event: Json) -> Json:
    return {**event, "pending_webhooks": call.world.deliveries.pending_of_event(event["id"])}
