"""Plays scenarios with the official SDK for Python."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import stripe

from conformance.scenarios import Json, Scenario, resolved

SECONDS_BETWEEN_CALLS = 1 / 15  # a sandbox takes 25 requests a second
TRIES = 5  # of a call that Stripe's rate limiter refuses


@dataclass(frozen=True)
class Target:
    """Whom to ask: `url` is None for Stripe itself."""

    url: str | None
    secret_key: str
    publishable_key: str = ""


def drive(target: Target, scenarios: Sequence[Scenario]) -> list[Json]:
    """The transcript: per step `scenario`, `step`, and `answer`, or `class`, `status`, `error`."""
    clients: dict[str | None, stripe.StripeClient] = {None: _client(target, target.secret_key)}
    if target.publishable_key:
        clients["publishable"] = _client(target, target.publishable_key)
    transcript = []
    for scenario in scenarios:
        saved: Json = {}
        for step in scenario.steps:
            if target.url is None:
                time.sleep(SECONDS_BETWEEN_CALLS)
            found = _play(target, clients[step.get("key")], step, saved)
            saved[step.get("save", "last")] = found.get("answer") or found.get("error")
            transcript.append({"scenario": scenario.name, "step": step["name"], **found})
    return transcript


def _client(target: Target, key: str) -> stripe.StripeClient:
    # max_network_retries=0: what is answered is what is looked at.
    if target.url is None:
        return stripe.StripeClient(key, max_network_retries=0)
    return stripe.StripeClient(key, base_addresses={"api": target.url}, max_network_retries=0)


def _play(target: Target, client: stripe.StripeClient, step: Json, saved: Json) -> Json:
    if None in resolved(saved, step.get("ids", [])):  # an earlier step has failed
        return {"class": "NotAsked", "status": None, "error": {"message": str(step["ids"])}}
    if "control" in step:
        return _control(target, resolved(saved, step))
    for attempt in range(TRIES):
        try:
            return {"answer": _call(client, step, saved)}
        except stripe.RateLimitError as error:
            if target.url is None and attempt + 1 < TRIES:
                time.sleep(2**attempt)
                continue
            return _refusal(error)
        except stripe.StripeError as error:
            return _refusal(error)
    raise AssertionError("the last try returns")


def _call(client: stripe.StripeClient, step: Json, saved: Json) -> Any:
    service: Any = client.v1
    *path, verb = step["call"].split(".")
    for name in path:
        service = getattr(service, name)
    arguments = [*resolved(saved, step.get("ids", []))]
    answer = getattr(service, verb)(
        *arguments, resolved(saved, step.get("params", {})), step.get("options", {})
    )
    return json.loads(str(answer))


def _refusal(error: stripe.StripeError) -> Json:
    body: Any = error.json_body or {}
    return {
        "class": type(error).__name__,
        "status": error.http_status,
        "error": body.get("error"),
    }


def _control(target: Target, step: Json) -> Json:
    """A call of the simulator's control plane."""
    method, _, path = step["control"].partition(" ")
    for name in step.get("ids", []):
        path = path.replace("{id}", str(name), 1)
    request = urllib.request.Request(
        f"{target.url}{path}",
        data=json.dumps(step.get("params", {})).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return {"answer": json.load(answer)}
    except urllib.error.HTTPError as error:
        return {"class": "HTTP", "status": error.code, "error": json.load(error)["error"]}
