"""Outgoing events: each fact of our books in the outbox once, and told to the endpoint: signed, at
least once or given up after its last try, and of an order one after the other."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from proof.auditor.facts import Books, Finding, Order, Rows, Telling, Told

MOST_TRIES = 10
TOLERANCE_SECONDS = 300
"""Of a signature's time, by the libraries of Standard Webhooks."""
FAILURES = ("declined", "authentication_failed")
Findings = Iterator[tuple[str, str]]


def notice_findings(
    timeline: Rows, attempts: Rows, refunds: Rows, payments: Rows, outbox: Rows
) -> Findings:
    """Of one order, when it is settled: no event without its fact, no fact without its event."""
    said = {(row["kind"], row["subject"]) for row in outbox}
    paying = {row["id"] for row in payments if row["state"] == "succeeded"}
    facts = {("payment.failed", row["id"]) for row in attempts if row["state"] in FAILURES}
    if any(row["kind"] == "order.canceled" for row in timeline):
        facts.add(("order.canceled", ""))
    for row in refunds:
        if row["state"] == "succeeded" and row["payment_id"] in paying:
            facts.add(("order.refunded", row["id"]))
    for kind, subject in sorted(facts - said):
        yield "I9", f"no event says {kind} {subject}"
    may_be = {("payment.failed", row["id"]) for row in payments}  # a hold that is over
    may_be |= {("order.refunded", row["id"]) for row in refunds}  # one that came back later
    for kind, subject in sorted(said - facts - may_be):
        if kind in ("payment.failed", "order.canceled", "order.refunded"):
            yield "I9", f"an event says {kind} {subject}, which our books do not"


def telling_findings(telling: Telling, books: Books, orders: Sequence[Order]) -> Iterator[Finding]:
    """When everything was told that will be."""
    rows = {row["id"]: row for row in books.tables["outbox"]}
    known = {order.id: order for order in orders}
    bodies: dict[str, bytes] = {}
    for told in telling.told:
        row = rows.get(told.event_id)
        order_id = row["order_id"] if row else None
        for words in _wrong_with(telling, told, row, known):
            yield Finding("I9", order_id, f"event {told.event_id}: {words}")
        if bodies.setdefault(told.event_id, told.body) != told.body:
            yield Finding("I9", order_id, f"event {told.event_id} was told in two ways")
    yield from _told(telling, books)


def _wrong_with(
    telling: Telling, told: Told, row: Mapping[str, Any] | None, known: Mapping[str, Order]
) -> Iterator[str]:
    if not _is_signed(telling.key, told):
        yield "it is signed wrong, or for another time"
    event = json.loads(told.body)
    if row is None:
        yield "our books do not know it"
        return
    data, order = event["data"], known.get(row["order_id"])
    if (event["id"], event["type"], event["sequence"]) != (row["id"], row["kind"], row["position"]):
        yield f"it says {event['id']} {event['type']} {event['sequence']}"
    if not json.loads(row["payload"]).items() <= data.items():
        yield "it does not say what our books do"
    if order is not None:
        facts = (order.id, order.user_id, order.amount_minor, order.currency)
        says = (data["orderId"], data["userId"], data["amountMinor"], data["currency"])
        if says != facts:
            yield f"it is of {says}, not of {facts}"


def _is_signed(key: bytes, told: Told) -> bool:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    sent_at = told.headers["webhook-timestamp"]
    content = f"{told.event_id}.{sent_at}.".encode() + told.body
    right = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    is_right = f"v1,{right}" in told.headers["webhook-signature"].split(" ")
    return is_right and abs(told.at.timestamp() - int(sent_at)) <= TOLERANCE_SECONDS


def _told(telling: Telling, books: Books) -> Iterator[Finding]:
    """Every event since the endpoint's first day came to its end, each in its turn."""
    name = telling.endpoint
    since = [_time(r["since_at"]) for r in books.tables["event_endpoints"] if r["name"] == name]
    ways = {r["event_id"]: r for r in books.tables["event_deliveries"] if r["endpoint"] == name}
    came = _Came(telling.told)
    before: dict[str, str] = {}
    for row in sorted(books.tables["outbox"], key=lambda row: row["position"]):
        if not since or _time(row["created_at"]) < since[0]:
            continue
        order_id, event_id = row["order_id"], row["id"]
        words = came.end(ways.get(event_id), event_id)
        if words:
            yield Finding("I9", order_id, f"{row['kind']} {event_id} {words}")
        earlier = before.get(order_id)
        if earlier and not came.in_turn(event_id, earlier, ways.get(earlier)):
            yield Finding("I9", order_id, f"{row['kind']} {event_id} came before its turn")
        before[order_id] = event_id


class _Came:
    """When each event came first, and when it was taken first."""

    def __init__(self, told: Sequence[Told]) -> None:
        self._told = told
        self._first: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        for place, each in enumerate(told):
            self._first.setdefault(each.event_id, place)
            if each.is_taken:
                self._taken.setdefault(each.event_id, place)

    def end(self, way: Mapping[str, Any] | None, event_id: str) -> str:
        """What is wrong with the end of an event; nothing is the empty text."""
        if way is None or way["state"] not in ("delivered", "dead"):
            return f"was never told: {way and way['state']}"
        if way["state"] == "delivered" and event_id not in self._taken:
            return "is delivered in our books, and was not taken"
        if way["state"] == "dead" and way["tries"] < MOST_TRIES:
            return f"was given up after {way['tries']} tries"
        return ""

    def in_turn(self, event_id: str, earlier: str, way: Mapping[str, Any] | None) -> bool:
        """Whether the earlier one had been taken, or given up, when this one came."""
        at = self._first.get(event_id)
        if at is None or self._taken.get(earlier, at) < at:
            return True
        is_dead = way is not None and way["state"] == "dead"
        return is_dead and way is not None and _time(way["finished_at"]) <= self._told[at].at


def _time(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
