"""Refunds: partial, over-refund, later success (…7726) and later failure (…5126), no cancellation.

Shapes and refusals are recorded at 2026-08-26.dahlia and before.
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import balance_transactions, charges, early_fraud_warnings
from stripesim.objects.events import emit, emit_update
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged
from stripesim.rules import states
from stripesim.rules.currencies import major
from stripesim.store.objects import PageQuery
from stripesim.wire.errors import StripeError, invalid_request, missing_on_path, refused
from stripesim.world import Call

Json = dict[str, Any]
SETTLE, FAIL, NAME = "settle_refund", "fail_refund", "name_refund"
NEITHER = (
    "One of the following params should be provided for this request: payment_intent or charge."
)
UNCAPTURED = (
    "This uncaptured Charge was created by a PaymentIntent ({intent}). You must cancel the "
    "PaymentIntent to reverse the authorization instead of refunding the Charge directly. For more "
    "information, see https://stripe.com/docs/payments/place-a-hold-on-a-payment-method"
)
INSUFFICIENT_BALANCE = "Insufficient funds in your Stripe balance to refund this amount."
NO_CANCELING = "Canceling this refund is unsupported."


def create(call: Call, params: Json) -> Json:
    """`call.is_balance_low` refuses it as recorded in Automattic/woocommerce-payments#10025."""
    charge = _charge_to_refund(call, params)
    amount = _check_amount(charge, params)
    _refuse_connect(charge, params)
    if call.is_balance_low:
        raise refused(INSUFFICIENT_BALANCE, message_code="insufficient_balance_for_refund")
    before = copy.deepcopy(charge)
    refund = _shape(call, charge, amount, params)
    if charge["captured"]:
        refund["balance_transaction"] = _take_back(call, charge, refund)
        _book(call, "refunded", refund)
    charge["amount_refunded"] += amount
    if charge["amount_refunded"] >= _refundable(charge):
        states.move(charge, "refunded" if charge["captured"] else "released")
    if refund["reason"] == "fraudulent":  # recorded (antiwork/gumroad, 2023-10-16)
        charge["fraud_details"]["user_report"] = "fraudulent"
    call.add(refund)
    call.save(charge)
    _set_timers(call, charge, refund)
    emit(call, "refund.created", refund)
    emit_update(call, "charge.refunded", before, charge)
    if charges.card_of(charge).is_early_fraud_warned and charge["refunded"]:
        early_fraud_warnings.close_for(call, charge["id"])
    return refund


def _refundable(charge: Json) -> int:
    """What was taken; of a direct charge all of it, since its rest counts as refunded."""
    is_direct = not charge["payment_intent"]
    return int(charge["amount"] if is_direct else charge["amount_captured"])


def _take_back(call: Call, charge: Json, refund: Json) -> str:
    """Recorded: the description is that of the charge, in brackets."""
    name = f" ({charge['description']})" if charge["description"] else ""
    transaction = balance_transactions.record(
        call,
        balance_transactions.REFUND,
        source=refund,
        amount=-refund["amount"],
        description=f"REFUND FOR CHARGE{name}",
    )
    return str(transaction["id"])


def _set_timers(call: Call, charge: Json, refund: Json) -> None:
    ends = _ends(charge)
    if ends == "succeeded":
        call.world.timers.add(call.now + guesses.REFUND_SETTLES_AFTER_SECONDS, SETTLE, refund["id"])
    elif ends == "failed":
        call.world.timers.add(call.now + guesses.REFUND_FAILS_AFTER_SECONDS, FAIL, refund["id"])
    if call.world.config.async_balance:
        call.world.timers.add(call.now + guesses.BALANCE_LANDS_AFTER_SECONDS, NAME, refund["id"])


def _ends(charge: Json) -> str | None:
    """What becomes of a refund later; a hold that is given back is over at once."""
    return charges.card_of(charge).refund_ends if charge["captured"] else None


def create_for_charge(call: Call, params: Json, charge_id: str) -> Json:
    """`POST /v1/charges/ch_…/refunds`, the older address."""
    call.load("charge", charge_id, noun="charge", param="id")
    return create(call, {**params, "charge": charge_id})


def refund_charge(call: Call, params: Json, charge_id: str) -> Json:
    """`POST /v1/charges/ch_…/refund`, the oldest address: it answers with the charge."""
    create_for_charge(call, params, charge_id)
    return call.load("charge", charge_id, noun="charge", param="id")


def _charge_to_refund(call: Call, params: Json) -> Json:
    """Recorded: an unknown charge is 404 with param `id`, though it is in the body."""
    if params.get("charge"):
        charge = call.load("charge", params["charge"], noun="charge", param="id")
    elif params.get("payment_intent"):
        charge = _charge_of_intent(call, params["payment_intent"])
    else:
        raise invalid_request(NEITHER)
    if charge["status"] != "succeeded" and charge["payment_intent"]:
        raise _no_charge(charge["payment_intent"])
    if charge["status"] != "succeeded":
        raise refused(guesses.REFUND_OF_FAILED_CHARGE_MESSAGE.format(id=charge["id"]))
    if not charge["captured"] and charge["payment_intent"]:
        raise refused(UNCAPTURED.format(intent=charge["payment_intent"]))
    if charges.is_charged_back(call, charge):
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
    left = _refundable(charge) - int(charge["amount_refunded"])
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
        # Recorded (antiwork/gumroad, 2023-10-16): two texts, by whether all of it is left.
        whole = "charge amount" if left == charge["amount"] else "unrefunded amount on charge"
        raise refused(
            f"Refund amount ({major(amount, currency)}) is greater than {whole}"
            f" ({major(left, currency)})",
            param="amount",
        )
    return amount


def _refuse_connect(charge: Json, params: Json) -> None:
    """No charge here has a transfer or an application fee."""
    if params.get("reverse_transfer"):
        raise refused(guesses.NO_TRANSFER_MESSAGE.format(id=charge["id"]))
    if params.get("refund_application_fee"):
        raise refused(guesses.NO_APPLICATION_FEE_MESSAGE.format(id=charge["id"]))


def _shape(call: Call, charge: Json, amount: int, params: Json) -> Json:
    is_pending = _ends(charge) == "succeeded"
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
        "status": states.begin("refund", "requested" if is_pending else "paid_back"),
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


def _emit_updated(call: Call, before: Json, refund: Json) -> None:
    """Recorded: what changes a refund is told twice, once in the words of its charge."""
    emit_update(call, "refund.updated", before, refund)
    emit_update(call, "charge.refund.updated", before, refund)


def settle(call: Call, refund_id: str) -> None:
    """pending -> succeeded."""
    refund = call.world.objects.get("refund", refund_id)
    if refund is None or refund["status"] != "pending":
        return
    before = copy.deepcopy(refund)
    states.move(refund, "paid_back")
    call.save(refund)
    _emit_updated(call, before, refund)


def name(call: Call, refund_id: str) -> None:
    """The network's reference number is known. Recorded: some seconds after the refund."""
    refund = call.world.objects.get("refund", refund_id)
    if refund is None:
        return
    before = copy.deepcopy(refund)
    number = str(call.world.ids.number(10**15, 10**16 - 1))
    refund["destination_details"]["card"].update(reference=number, reference_status="available")
    call.save(refund)
    _emit_updated(call, before, refund)


def fail(call: Call, refund_id: str) -> None:
    """succeeded -> failed: the money comes back to us, the customer did not get it."""
    refund = call.world.objects.get("refund", refund_id)
    if refund is not None and refund["status"] == "succeeded":
        _fail(call, refund, "expired_or_canceled_card")


def fail_recent(call: Call, charge: Json) -> None:
    """The charge was charged back while its refund was on its way. Recorded: a refund of the last
    seconds fails, one of five minutes ago does not.
    """
    query = PageQuery(
        kind="refund",
        limit=100,
        filters={"charge": charge["id"]},
        created={"gte": call.now - guesses.REFUND_IS_ON_ITS_WAY_SECONDS},
    )
    for refund in call.world.objects.page(query)[0]:
        if refund["status"] in ("pending", "succeeded"):
            _fail(call, refund, "charge_for_pending_refund_disputed")


def _fail(call: Call, refund: Json, reason: str) -> None:
    before = copy.deepcopy(refund)
    states.move(refund, "failed")
    refund["failure_reason"] = reason
    transaction = balance_transactions.record(
        call,
        balance_transactions.REFUND_FAILURE,
        source=refund,
        amount=refund["amount"],
        description="REFUND FAILURE",
    )
    refund["failure_balance_transaction"] = transaction["id"]
    call.save(refund)
    charge = call.load("charge", refund["charge"], noun="charge", param="charge")
    charge["amount_refunded"] -= refund["amount"]
    if charge["refunded"]:
        states.move(charge, "refund_failed")
    call.save(charge)
    _book(call, "refund_failed", refund)
    _emit_updated(call, before, refund)
    emit(call, "refund.failed", refund)


def retrieve(call: Call, params: Json, refund_id: str) -> Json:
    del params
    return _load(call, refund_id)


def _load(call: Call, refund_id: str) -> Json:
    return call.load("refund", refund_id, noun="refund", param="refund")


def _load_of_charge(call: Call, charge_id: str, refund_id: str) -> Json:
    call.load("charge", charge_id, noun="charge", param="charge")
    refund = _load(call, refund_id)
    if refund["charge"] != charge_id:
        raise missing_on_path("refund", refund_id, "refund")
    return refund


def retrieve_of_charge(call: Call, params: Json, charge_id: str, refund_id: str) -> Json:
    del params
    return _load_of_charge(call, charge_id, refund_id)


def update(call: Call, params: Json, refund_id: str) -> Json:
    return _update(call, params, _load(call, refund_id))


def update_of_charge(call: Call, params: Json, charge_id: str, refund_id: str) -> Json:
    return _update(call, params, _load_of_charge(call, charge_id, refund_id))


def _update(call: Call, params: Json, refund: Json) -> Json:
    if "metadata" in params:
        before = copy.deepcopy(refund)
        refund["metadata"] = merged(refund["metadata"], params["metadata"])
        call.save(refund)
        _emit_updated(call, before, refund)
    return refund


def cancel(call: Call, params: Json, refund_id: str) -> Json:
    """Recorded: a card's refund cannot be canceled through the API, whatever its status."""
    del params
    _load(call, refund_id)
    raise refused(NO_CANCELING)


def expire(call: Call, params: Json, refund_id: str) -> Json:
    """The test helper. Asserted: it is refused unless the refund waits for its customer."""
    del params
    refund = _load(call, refund_id)
    raise refused(guesses.REFUND_NOT_EXPIRABLE_MESSAGE.format(status=refund["status"]))


def list_refunds(call: Call, params: Json) -> Json:
    """Recorded: `count` says how many are on the page."""
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    page = list_page(call, "refund", "/v1/refunds", params, filters)
    return {**page, "count": len(page["data"])}
