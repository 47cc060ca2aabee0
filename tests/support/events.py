"""Stripe's events as a test delivers them: real ones read from the simulator, or made by hand."""

import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import requests

from paidonce import webhooks
from support.service import WEBHOOK_SECRET, Running

WEBHOOK_PATH = "/api/webhooks/stripe"


def make_event(kind: str, subject: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": None,
        "type": kind,
    }
    return {**body, **changes}


def sign(
    service: Running, body: bytes, secret: str = WEBHOOK_SECRET, *, age_seconds: int = 0
) -> str:
    """`Stripe-Signature` as of now on the service's clock."""
    at = int(service.clock.now().timestamp()) - age_seconds
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def post(service: Running, body: bytes, header: str | None) -> requests.Response:
    headers = {"Content-Type": "application/json"}
    if header is not None:
        headers["Stripe-Signature"] = header
    url = f"{service.url}{WEBHOOK_PATH}"
    session = service.sessions.setdefault("stripe", requests.Session())
    return session.post(url, data=body, headers=headers, timeout=30)


def deliver(service: Running, event: dict[str, Any]) -> None:
    """As Stripe does it; the answer is 2xx."""
    body = json.dumps(event, indent=2).encode()
    answer = post(service, body, sign(service, body))
    assert answer.status_code == 200, answer.text


def list_events(service: Running, after: str | None = None) -> list[dict[str, Any]]:
    """Every event that the simulator has made, oldest first; `after` an event's id, or all."""
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 100}
    if after is not None:
        params["ending_before"] = after
    while True:
        page = at_stripe(service, "GET", "/v1/events", params)
        found = [*reversed(page["data"]), *found] if after is None else found + page["data"][::-1]
        if not page["has_more"]:
            return found
        if after is None:
            params["starting_after"] = page["data"][-1]["id"]
        else:
            params["ending_before"] = page["data"][0]["id"]


def latest_event(service: Running) -> str | None:
    page = at_stripe(service, "GET", "/v1/events", {"limit": 1})
    return page["data"][0]["id"] if page["data"] else None


def drain(service: Running) -> int:
    """The worker's work on the inbox and nothing else; how many events."""
    count: int = service.run(webhooks.drain_once(service.context))
    return count


def intent_of(event: dict[str, Any]) -> str | None:
    subject = event["data"]["object"]
    is_intent = subject["object"] == "payment_intent"
    intent_id: str | None = subject["id"] if is_intent else subject.get("payment_intent")
    return intent_id


def at_stripe(
    service: Running, method: str, path: str, params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A call of the merchant's own, from the dashboard for one."""
    headers = {"Authorization": f"Bearer {service.simulator.secret_key}"}
    where = {"params": params} if method == "GET" else {"data": params}
    answer = requests.request(
        method, f"{service.simulator.url}{path}", headers=headers, timeout=10, **where
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def inbox(service: Running) -> list[dict[str, Any]]:
    return service.rows(
        "SELECT id, type, state, tries, note FROM stripe_events ORDER BY received_at, id"
    )
