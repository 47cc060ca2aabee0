"""Refunds: partial, over-refund, later success (…7726) and later failure (…5126)."""

from typing import Any

from stripesim import guesses
from stripesim.objects import balance_transactions
from stripesim.objects.events import emit
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged
from stripesim.rules import cards
from stripesim.rules.currencies import major
from stripesim.wire.errors import StripeError, invalid_request, refused
from stripesim.world import Call

Json = dict[str, Any]
SETTLE, FAIL = "settle_refund", "fail_refund"
NEITHER = (
    "One of the following params should be provided for this request: payment_intent or charge."
)
UNCAPTURED = (
    "This uncaptured Charge was created by a PaymentIntent ({intent}). You must cancel the "
    "PaymentIntent to reverse the authorization instead of refunding the Charge directly. For more "
    "information, see https://stripe.com/docs/payments/place-a-hold-on-a-payment-method"
)
INSUFFICIENT_BALANCE = "Insufficient funds in your Stripe balance to refund this amount."


def create(call: Call, params: Json) -> Json:
    """`call.is_balance_low` refuses it as recorded in Automattic/woocommerce-payments#10025."""
    charge = _charge_to_refund(call, params)
    amount = _check_amount(charge, params)
    if call.is_balance_low:
        raise refused(INSUFFICIENT_BALANCE, message_code="insufficient_balance_for_refund")
    card = cards.BY_NAME[charge["_sim"]["card"]]
    status = "pending" if card.refund_ends == "succeeded" else "succeeded"
    refund = _shape(call, charge, amount, params, status)
    if charge["captured"]:
        refund["balance_transaction"] = balance_transactions.record(
            call, kind="refund", source=refund, amount=-amount
        )
        _book(call, "refunded", refund)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
    call.add(refund)
    call.save(charge)
    if card.refund_ends == "succeeded":
        call.world.timers.add(call.now + guesses.REFUND_SETTLES_AFTER_SECONDS, SETTLE, refund["id"])
    elif card.refund_ends == "failed":
        call.world.timers.add(call.now + guesses.REFUND_FAILS_AFTER_SECONDS, FAIL, refund["id"])
    emit(call, "refund.created", refund)
    emit(call, "charge.refunded", charge)
    return refund


def create_for_charge(call: Call, params: Json, charge_id: str) -> Json:
    """`POST /v1/charges/ch_…/refunds`, the older address."""
    call.load("charge", charge_id, noun="charge", param="id")
    return create(call, {**params, "charge": charge_id})


def refund_charge(call: Call, params: Json, charge_id: str) -> Json:
    """`POST /v1/charges/ch_…/refund`, the oldest address: it answers with the charge."""
    create_for_charge(call, params, charge_id)
    return call.load("charge", charge_id, noun="charge", param="id")


def _charge_to_refund(call: Call, params: Json) -> Json:
    if params.get("charge"):
        charge = call.load_param("charge", params["charge"], noun="charge", param="charge")
    elif params.get("payment_intent"):
        charge = _charge_of_intent(call, params["payment_intent"])
    else:
        raise invalid_request(NEITHER)
    if charge["status"] != "succeeded":
        raise _no_charge(charge["payment_intent"])
    if not charge["captured"] and charge["payment_intent"]:
        raise refused(UNCAPTURED.format(intent=charge["payment_intent"]))
    if charge["disputed"] and not charge["_sim"].get("is_refundable", True):
        raise refused(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    return charge


def _charge_of_intent(call: Call, intent_id: str) -> Json:
    noun = "payment_intent"
    intent = call.load_param("payment_intent", intent_id, noun=noun, param="payment_intent")
    charge = call.world.objects.get("charge", intent["latest_charge"] or "")
    if charge is None:
        raise _no_charge(intent_id)
    return charge


def _no_charge(intent_id: str) -> StripeError:
    return refused(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")


def _check_amount(charge: Json, params: Json) -> int:
    left = int(charge["amount"] - charge["amount_refunded"])
    amount = int(params.get("amount", left))
    if left <= 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount <= 0:
        raise invalid_request(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
        )
    if amount > left:
        currency = charge["currency"]
        raise refused(
            f"Refund amount ({major(amount, currency)}) is greater than unrefunded amount on charge"
            f" ({major(left, currency)})",
            param="amount",
        )
    return amount


def _shape(call: Call, charge: Json, amount: int, params: Json, status: str) -> Json:
    return {
        "id": call.world.ids.of_payment("re", charge["id"]),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": merged({}, params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason") or None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def _book(call: Call, entry: str, refund: Json) -> None:
    call.world.ledger.append(
        entry,
        call.now,
        payment_intent=refund["payment_intent"] or refund["charge"],
        customer=refund["customer"],
        charge=refund["charge"],
        amount=refund["amount"],
        currency=refund["currency"],
    )


def settle(call: Call, refund_id: str) -> None:
    """pending -> succeeded."""
    refund = call.world.objects.get("refund", refund_id)
    if refund is not None and refund["status"] == "pending":
        refund["status"] = "succeeded"
        call.save(refund)
        emit(call, "refund.updated", refund, {"status": "pending"})


def fail(call: Call, refund_id: str) -> None:
    """succeeded -> failed: the money comes back to us, the customer did not get it."""
    refund = call.world.objects.get("refund", refund_id)
    if refund is None or refund["status"] != "succeeded":
        return
    refund.update(status="failed", failure_reason="expired_or_canceled_card")
    refund["failure_balance_transaction"] = balance_transactions.record(
        call, kind="refund_failure", source=refund, amount=refund["amount"]
    )
    call.save(refund)
    charge = call.world.objects.get("charge", refund["charge"])
    if charge is not None:
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        call.save(charge)
    _book(call, "refund_failed", refund)
    emit(call, "refund.updated", refund, {"status": "succeeded"})
    emit(call, "refund.failed", refund)


def retrieve(call: Call, params: Json, refund_id: str) -> Json:
    del params
    return call.load("refund", refund_id, noun="refund", param="refund")


def update(call: Call, params: Json, refund_id: str) -> Json:
    refund = call.load("refund", refund_id, noun="refund", param="refund")
    if "metadata" in params:
        refund["metadata"] = merged(refund["metadata"], params["metadata"])
        call.save(refund)
        emit(call, "refund.updated", refund, {})
    return refund


def list_refunds(call: Call, params: Json) -> Json:
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return list_page(call, "refund", "/v1/refunds", params, filters)
