"""Disputes, opened by the payment itself with the dispute cards (at the capture of a hold).

Order recorded: charge.succeeded -> charge.dispute.created -> payment_intent.succeeded. The evidence
texts `winning_evidence` and `losing_evidence` decide the outcome, as in Stripe's test mode.
"""

from typing import Any

from stripesim.objects import balance_transactions
from stripesim.objects.events import emit
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged
from stripesim.rules import cards
from stripesim.wire.errors import refused
from stripesim.world import Call

Json = dict[str, Any]
RESPONSE_SECONDS = 7 * 24 * 3600
EVIDENCE = (
    "access_activity_log", "billing_address", "cancellation_policy",
    "cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication",
    "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
    "uncategorized_file", "uncategorized_text",
)  # fmt: skip
OPEN = ("needs_response", "warning_needs_response")


def open_for(call: Call, charge: Json) -> None:
    """Open the dispute that the charge's card brings with it, if any."""
    card = cards.BY_NAME[charge["_sim"]["card"]]
    if card.dispute_reason is None:
        return
    dispute = _shape(call, charge, card.dispute_reason, is_inquiry=card.dispute_is_inquiry)
    if not card.dispute_is_inquiry:
        transaction = balance_transactions.record(
            call, kind="adjustment", source=dispute, amount=-charge["amount"]
        )
        found = call.world.objects.get("balance_transaction", transaction)
        dispute["balance_transactions"] = [found]
    charge.update(disputed=True, dispute=dispute["id"])
    charge["_sim"]["is_refundable"] = card.dispute_is_inquiry
    call.add(dispute)
    call.save(charge)
    emit(call, "charge.dispute.created", dispute)
    if not card.dispute_is_inquiry:
        emit(call, "charge.dispute.funds_withdrawn", dispute)


def _shape(call: Call, charge: Json, reason: str, *, is_inquiry: bool) -> Json:
    return {
        "id": call.world.ids.timed("du", call.now),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": call.now + RESPONSE_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": is_inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "inquiry" if is_inquiry else "chargeback",
                "network": charge["payment_method_details"]["card"]["network"],
                "network_reason_code": "83" if reason == "fraudulent" else "30",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if is_inquiry else "needs_response",
    }


def retrieve(call: Call, params: Json, dispute_id: str) -> Json:
    del params
    return call.load("dispute", dispute_id, noun="dispute", param="dispute")


def list_disputes(call: Call, params: Json) -> Json:
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return list_page(call, "dispute", "/v1/disputes", params, filters)


def update(call: Call, params: Json, dispute_id: str) -> Json:
    dispute = _load_open(call, dispute_id)
    if "metadata" in params:
        dispute["metadata"] = merged(dispute["metadata"], params["metadata"])
    evidence = params.get("evidence") or {}
    dispute["evidence"].update({k: v or None for k, v in evidence.items()})
    details = dispute["evidence_details"]
    if evidence:
        details["has_evidence"] = True
    if evidence and params.get("submit", True):
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        _decide(call, dispute)
    call.save(dispute)
    emit(call, "charge.dispute.updated", dispute, {})
    if dispute["status"] in ("won", "lost", "warning_closed"):
        emit(call, "charge.dispute.closed", dispute)
    return dispute


def _decide(call: Call, dispute: Json) -> None:
    """Documented for test mode: the evidence's text decides; other evidence waits for review."""
    text = dispute["evidence"]["uncategorized_text"]
    is_inquiry = dispute["status"].startswith("warning")
    if text == "winning_evidence":
        dispute["status"] = "warning_closed" if is_inquiry else "won"
        if not is_inquiry:
            back = balance_transactions.record(
                call, kind="adjustment", source=dispute, amount=dispute["amount"]
            )
            found = call.world.objects.get("balance_transaction", back)
            dispute["balance_transactions"].append(found)
    elif text == "losing_evidence":
        dispute["status"] = "warning_closed" if is_inquiry else "lost"
    else:
        dispute["status"] = "warning_under_review" if is_inquiry else "under_review"


def close(call: Call, params: Json, dispute_id: str) -> Json:
    """Accept the dispute: it is lost."""
    del params
    dispute = _load_open(call, dispute_id)
    dispute["status"] = "warning_closed" if dispute["status"].startswith("warning") else "lost"
    call.save(dispute)
    emit(call, "charge.dispute.closed", dispute)
    return dispute


def _load_open(call: Call, dispute_id: str) -> Json:
    dispute = call.load("dispute", dispute_id, noun="dispute", param="dispute")
    if dispute["status"] not in OPEN:
        raise refused("This dispute is already closed.")
    return dispute
