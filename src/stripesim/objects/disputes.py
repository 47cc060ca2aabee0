"""Disputes, opened by the payment itself with the dispute cards (at the capture of a hold).

Recorded at 2026-08-26.dahlia: the shape, the reason codes, the deadline, the withdrawal with its
fee and the reversal without one, the order of the events. Evidence answers `under_review` at once;
`winning_evidence`, `losing_evidence` and `escalate_inquiry_evidence` as `uncategorized_text` decide
some seconds later, any other evidence waits for ever. Closing is a loss at once.
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import balance_transactions, early_fraud_warnings, refunds
from stripesim.objects.charges import card_of
from stripesim.objects.dispute_evidence import (
    ELIGIBLE,
    NO_EVIDENCE,
    apply_evidence,
    fill_in,
)
from stripesim.objects.events import emit, emit_update
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged
from stripesim.rules import states
from stripesim.rules.cards import Disputed
from stripesim.store.objects import PageQuery
from stripesim.wire.errors import StripeError, missing_on_path, refused
from stripesim.world import Call

Json = dict[str, Any]
DAY = 24 * 3600
DAYS_TO_RESPOND = 8  # recorded: until the last second (UTC) of that day
DECIDE, PASS_DEADLINE, END_INQUIRY = "decide_dispute", "pass_deadline", "end_inquiry"
ESCALATE = "escalate_inquiry_evidence"
OUTCOMES = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_for(call: Call, charge: Json, *, is_async: bool = False) -> None:
    """Open the disputes and the warning that the charge's card brings with it, if any.

    is_async: the charge's own balance transaction comes later, whether `--async-balance` says so
        or not.
    """
    card = card_of(charge)
    if card.is_early_fraud_warned:
        early_fraud_warnings.warn(call, charge)
    for kind, amount in zip(card.disputes, _shares(charge, len(card.disputes)), strict=True):
        _open(call, charge, kind, amount, is_async=is_async)


def _shares(charge: Json, count: int) -> list[int]:
    """Documented (docs.stripe.com/disputes/how-disputes-work): several disputes of one payment are
    about a part of it each.
    """
    total = int(charge["amount_captured"])
    parts = [total // count] * count if count else []
    return [*parts[:-1], total - sum(parts[:-1])] if parts else []


def _open(call: Call, charge: Json, kind: Disputed, amount: int, *, is_async: bool) -> None:
    dispute = _shape(call, charge, kind, amount)
    call.add(dispute)
    charge["disputed"] = True
    charge["dispute"] = charge["dispute"] or dispute["id"]
    call.save(charge)
    timers = call.world.timers
    if kind.is_inquiry:
        timers.add(call.now + guesses.INQUIRY_ENDS_AFTER_SECONDS, END_INQUIRY, dispute["id"])
    else:
        _withdraw(call, dispute, charge, is_async=is_async)
        timers.add(dispute["evidence_details"]["due_by"] + 1, PASS_DEADLINE, dispute["id"])
    fill_in(call, dispute, charge)
    call.save(dispute)
    emit(call, "charge.dispute.created", dispute)
    if dispute["balance_transactions"]:
        emit(call, "charge.dispute.funds_withdrawn", dispute)


def _shape(call: Call, charge: Json, kind: Disputed, amount: int) -> Json:
    card = charge["payment_method_details"]["card"]
    names = [kind.eligibility] if kind.eligibility else []
    eligible = {name: copy.deepcopy(ELIGIBLE[name]) for name in names}
    return {
        "id": call.world.ids.timed("du", call.now),
        "object": "dispute",
        "amount": amount,
        "balance_transaction": None,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": list(eligible),
        "evidence": copy.deepcopy(NO_EVIDENCE),
        "evidence_details": {
            "due_by": _end_of_day(call.now, DAYS_TO_RESPOND),
            "enhanced_eligibility": eligible,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": kind.is_inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card["brand"],
                "case_type": kind.case_type,
                "network": card["network"],
                "network_reason_code": kind.network_reason_code,
            },
            "type": "card",
        },
        "reason": kind.reason,
        "status": states.begin("dispute", "asked" if kind.is_inquiry else "opened"),
    }


def _end_of_day(now: int, days: int) -> int:
    return (now // DAY + days + 1) * DAY - 1


def _withdraw(call: Call, dispute: Json, charge: Json, *, is_async: bool = False) -> None:
    """The money and a fee leave the balance. Recorded (stripe_world, 2026-08): at once where
    `automatic_async` has not yet booked the charge, and with the charge's own money after a
    capture, which books it first.
    """
    booked = "" if is_async else charge["balance_transaction"] or ""
    own = call.world.objects.get("balance_transaction", booked)
    transaction = balance_transactions.record(
        call,
        balance_transactions.WITHDRAWAL,
        source=dispute,
        amount=-dispute["amount"],
        description=f"Chargeback withdrawal for {charge['id']}",
        fee=balance_transactions.DISPUTE_FEE,
        available_on=max(own["available_on"], call.now) if own else call.now,
    )
    dispute["balance_transaction"] = transaction["id"]
    dispute["balance_transactions"].append(transaction)


def _reinstate(call: Call, dispute: Json) -> None:
    """Recorded: the amount comes back, the fee does not."""
    transaction = balance_transactions.record(
        call,
        balance_transactions.REVERSAL,
        source=dispute,
        amount=dispute["amount"],
        description=f"Chargeback reversal for {dispute['charge']}",
    )
    dispute["balance_transactions"].append(transaction)


def retrieve(call: Call, params: Json, dispute_id: str) -> Json:
    del params
    return _as_of_now(call, _load(call, dispute_id))


def _load(call: Call, dispute_id: str) -> Json:
    return call.load("dispute", dispute_id, noun="dispute", param="dispute")


def _as_of_now(call: Call, dispute: Json) -> Json:
    for transaction in dispute["balance_transactions"]:
        balance_transactions.as_of(call.now, transaction)
    return dispute


def list_disputes(call: Call, params: Json) -> Json:
    """Recorded: `count` says how many are on the page."""
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    page = list_page(call, "dispute", "/v1/disputes", params, filters)
    page["data"] = [_as_of_now(call, dispute) for dispute in page["data"]]
    return {**page, "count": len(page["data"])}


def update(call: Call, params: Json, dispute_id: str) -> Json:
    """Evidence is sent to the bank with it, unless `submit` is false: then it is staged."""
    dispute = _load_open(call, dispute_id)
    before = copy.deepcopy(dispute)
    if "metadata" in params:
        dispute["metadata"] = merged(dispute["metadata"], params["metadata"])
    apply_evidence(dispute, params.get("evidence") or {})
    details = dispute["evidence_details"]
    is_sent = ("evidence" in params or "submit" in params) and params.get("submit", True) is True
    if is_sent and details["has_evidence"]:
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        details["past_due"] = call.now > details["due_by"]
        if states.allows(dispute, "submit"):
            states.move(dispute, "evidence_submitted")
        decides_at = call.now + guesses.DISPUTE_DECIDED_AFTER_SECONDS
        call.world.timers.add(decides_at, DECIDE, dispute_id)
    call.save(dispute)
    emit_update(call, "charge.dispute.updated", before, dispute)
    if is_sent and details["has_evidence"]:
        _emit_charge(call, dispute)
    return dispute


def _emit_charge(call: Call, dispute: Json) -> None:
    """Recorded: what happens to a dispute is told of its charge too, which stays as it is."""
    charge = call.world.objects.get("charge", dispute["charge"])
    if charge is not None:
        emit(call, "charge.updated", charge, {})


def decide(call: Call, dispute_id: str) -> None:
    """What the evidence's text says, some seconds after it was sent."""
    dispute = call.world.objects.get("dispute", dispute_id)
    if dispute is None or not states.allows(dispute, "update"):
        return
    text = dispute["evidence"]["uncategorized_text"]
    is_inquiry = dispute["status"] in states.INQUIRY_OPEN
    if text == ESCALATE and is_inquiry:
        _escalate(call, dispute)
    elif text in OUTCOMES:
        _end(call, dispute, "closed" if is_inquiry else OUTCOMES[text])


def _escalate(call: Call, dispute: Json) -> None:
    """The inquiry becomes a chargeback. Recorded: it keeps its id, and a refund of the last moments
    fails.
    """
    before = copy.deepcopy(dispute)
    charge = call.load("charge", dispute["charge"], noun="charge", param="charge")
    states.move(dispute, "escalated")
    dispute["is_charge_refundable"] = False
    dispute["payment_method_details"]["card"].update(
        case_type="chargeback", network_reason_code=guesses.ESCALATED_REASON_CODE
    )
    dispute["evidence_details"]["due_by"] = _end_of_day(call.now, DAYS_TO_RESPOND)
    _withdraw(call, dispute, charge)
    call.save(dispute)
    due_by = dispute["evidence_details"]["due_by"]
    call.world.timers.add(due_by + 1, PASS_DEADLINE, dispute["id"])
    emit_update(call, "charge.dispute.updated", before, dispute)
    emit(call, "charge.dispute.funds_withdrawn", dispute)
    refunds.fail_recent(call, charge)


def _end(call: Call, dispute: Json, how: str) -> None:
    states.move(dispute, how)
    if how == "won":
        dispute["is_charge_refundable"] = True
        _reinstate(call, dispute)
    call.save(dispute)
    if how == "won":
        emit(call, "charge.dispute.funds_reinstated", dispute)
    emit(call, "charge.dispute.closed", dispute)


def pass_deadline(call: Call, dispute_id: str) -> None:
    """Documented (docs.stripe.com/disputes/responding): who does not respond in time loses."""
    dispute = call.world.objects.get("dispute", dispute_id)
    is_waiting = dispute is not None and dispute["status"] == "needs_response"
    if dispute is not None and is_waiting and dispute["evidence_details"]["due_by"] < call.now:
        _end(call, dispute, "lost")
        _emit_charge(call, dispute)


def end_inquiry(call: Call, dispute_id: str) -> None:
    """The bank did not make a chargeback of it."""
    dispute = call.world.objects.get("dispute", dispute_id)
    if dispute is not None and dispute["status"] in states.INQUIRY_OPEN:
        _end(call, dispute, "closed")


def close(call: Call, params: Json, dispute_id: str) -> Json:
    """Accept the dispute: it is lost, for good."""
    del params
    dispute = _load_open(call, dispute_id)
    _end(call, dispute, "closed" if dispute["status"] in states.INQUIRY_OPEN else "lost")
    _emit_charge(call, dispute)
    return dispute


def _load_open(call: Call, dispute_id: str) -> Json:
    dispute = _load(call, dispute_id)
    if not states.allows(dispute, "update"):
        raise refused("This dispute is already closed")
    return dispute


def _of_charge(call: Call, charge_id: str) -> str:
    """The id of the charge's latest dispute. Recorded: 404 without code where there is none."""
    if call.world.objects.get("charge", charge_id) is None:
        raise missing_on_path("charge", charge_id, "charge")
    query = PageQuery(kind="dispute", limit=1, filters={"charge": charge_id})
    found, _ = call.world.objects.page(query)
    if not found:
        raise StripeError(404, f"No dispute for charge: {charge_id}")
    return str(found[0]["id"])


def retrieve_of_charge(call: Call, params: Json, charge_id: str) -> Json:
    return retrieve(call, params, _of_charge(call, charge_id))


def update_of_charge(call: Call, params: Json, charge_id: str) -> Json:
    return update(call, params, _of_charge(call, charge_id))


def close_of_charge(call: Call, params: Json, charge_id: str) -> Json:
    return close(call, params, _of_charge(call, charge_id))
