"""The payment sheet of one order: who was given a client secret, and whether it is dead in time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proof.auditor.facts import Asked

Rows = Sequence[Mapping[str, Any]]
Findings = Iterator[tuple[str, str]]
OVER = ("succeeded", "canceled", "processing", "requires_capture")
"""Statuses of an intent in which its client secret pays nothing any more."""


def sheet_findings(
    asked: Sequence[Asked], intents: Rows, payments: Rows, *, has_taken: bool, is_settled: bool
) -> Findings:
    """`asked` of one order, by `begun`; `has_taken`: its money was charged or held at some time."""
    sheets = [ask for ask in asked if ask.kind == "sheet"]
    yield from _handed_out(sheets, {intent["id"]: intent for intent in intents})
    yield from _too_late(asked, sheets)
    for ask in sheets:
        if ask.body.get("code") == "order_already_paid" and not has_taken:
            yield "I6", f"already paid was answered, and nothing was charged: {ask}"
    if is_settled:
        yield from _alive(sheets, intents, payments)


def _handed_out(sheets: Sequence[Asked], intents: Mapping[str, Mapping[str, Any]]) -> Findings:
    """A sheet is the order's own intent, and its user's customer."""
    for ask in sheets:
        if ask.status != 200:
            continue
        data = ask.body["data"]
        intent = intents.get(data["paymentIntentId"])
        if intent is None:
            yield "I2", f"a sheet is for {data['paymentIntentId']}, which is not the order's"
        elif data["customerId"] not in (None, intent["customer"]):
            yield "I5", f"a sheet shows {data['customerId']} with an intent of another customer"
        elif data["paymentIntentClientSecret"] != intent["client_secret"]:
            yield "I6", f"a sheet has a client secret that is not that of {intent['id']}"


def _too_late(asked: Sequence[Asked], sheets: Sequence[Asked]) -> Findings:
    """Nobody is asked for the money of an order that was answered as paid or as canceled, or that
    Stripe has told the app to be paid."""
    ends = [ask.ended or 0 for ask in asked if ask.says_paid or ask.says_paid_by_app]
    ends += [ask.ended or 0 for ask in asked if ask.kind == "cancel" and ask.status == 200]
    first = min(ends, default=None)
    for ask in sheets:
        if ask.status == 200 and first is not None and ask.begun > first:
            yield "I6", f"the order was paid or canceled before, and has a sheet: {ask}"


def _alive(sheets: Sequence[Asked], intents: Rows, payments: Rows) -> Findings:
    """What was handed out can be paid only as the order's one recorded intent."""
    given = {ask.body["data"]["paymentIntentId"] for ask in sheets if ask.status == 200}
    recorded = {row["stripe_payment_intent_id"]: row["state"] for row in payments}
    for intent in intents:
        state = recorded.get(intent["id"], "not recorded")
        if intent["id"] in given and intent["status"] not in OVER and state != "live":
            yield "I1", f"{intent['id']} of a sheet can still be paid, its payment is {state}"
