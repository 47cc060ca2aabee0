"""Charges without a PaymentIntent, as older integrations make them: create and capture.

Refusals are those probed at 2026-08-26.dahlia. An account may also be told that card tokens here
have reached the end of their life; the one of the simulator is not.
"""

from typing import Any

from stripesim import guesses
from stripesim.objects import addresses, charges, disputes, payment_methods, sources
from stripesim.objects.events import emit
from stripesim.objects.metadata import merged, unset
from stripesim.objects.payment_intents import connect, refusals, settle
from stripesim.rules import descriptors, states
from stripesim.rules.cards import Authentication
from stripesim.rules.currencies import check_amount, check_currency
from stripesim.rules.declines import Decline
from stripesim.wire.errors import StripeError, invalid_request, refused
from stripesim.world import Call

Json = dict[str, Any]
EXPIRE_CHARGE = "expire_charge"
PLAIN = (
    "description", "receipt_email", "statement_descriptor", "statement_descriptor_suffix",
    "transfer_group",
)  # fmt: skip
NO_SOURCE = "Must provide source or customer."
NO_SAVED_DETAILS = (
    "This Customer doesn't have any saved payment details. Attach a legacy Token, Card, Bank "
    "Account, or Source to this Customer and then try this request again, or use Payment Intents "
    "and Payment Methods instead."
)
ONLY_PAYMENT_METHODS = (
    "This Customer doesn't have any legacy saved payment details, but does have a Payment Method "
    "attached. Use a Payment Intent instead of creating a Charge: "
    "https://stripe.com/docs/payments/payment-intents/migration"
)
MUST_CAPTURE_INTENT = (
    "This uncaptured Charge was created by a PaymentIntent ({intent}). You must capture the "
    "PaymentIntent instead. For more information, see "
    "https://stripe.com/docs/payments/place-a-hold-on-a-payment-method"
)
# A direct charge cannot ask for 3-D Secure, so cards that need it are declined.
NEEDS_AUTHENTICATION = Decline(
    "authentication_required", "authentication_required", refusals.AUTHENTICATION_REQUIRED
)
AUTHENTICATING = (
    Authentication.ALWAYS,
    Authentication.UNLESS_SET_UP,
    Authentication.LOOKUP_FAILS,
)


def create(call: Call, params: Json) -> Json:
    currency = check_currency(params["currency"])
    check_amount(params["amount"], currency, call.version)
    descriptors.check_text(params)
    connect.refuse(params)
    card = _choose_card(call, params)
    method = _method_of(call, card)
    terms = _terms(params, currency)
    decline = _decline_of(method)
    charge = charges.make(call, terms, method, decline=decline, is_authenticated=False)
    charge["source"] = card
    call.world.ledger.label(charge["id"], charge["metadata"])
    if decline is not None:
        raise _declined(call, charge, decline)
    if params.get("capture", True):
        settle.take_money(call, charge, charge["amount"])
    else:
        expires_at = call.now + charges.AUTHORIZATION_SECONDS
        call.world.timers.add(expires_at, EXPIRE_CHARGE, charge["id"])
    call.add(charge)
    emit(call, "charge.succeeded", charge)
    if charge["captured"]:
        disputes.open_for(call, charge)
    return charge


def _choose_card(call: Call, params: Json) -> Json:
    """The customer's card, or that of a token. Raises StripeError 400, 402 or 404."""
    source = params.get("source") or params.get("card")
    if not params.get("customer"):
        if not source:
            raise invalid_request(NO_SOURCE, code="parameter_missing")
        return sources.as_used(sources.read_card(call, source, "source"), None)
    customer = call.load_param("customer", params["customer"], noun="customer", param="customer")
    card = sources.find(customer, source or customer["default_source"])
    if card is None:
        raise _no_card(call, customer, source)
    return card


def _no_card(call: Call, customer: Json, source: Any) -> StripeError:
    if source:
        return StripeError(
            guesses.LINKED_SOURCE_MISSING_STATUS,
            f"Customer {customer['id']} does not have a linked source with ID {source}.",
            code="missing",
            param="source",
        )
    has_method = call.world.objects.count("payment_method", "customer", customer["id"]) > 0
    return StripeError(
        402,
        ONLY_PAYMENT_METHODS if has_method else NO_SAVED_DETAILS,
        type="card_error",
        code="missing",
        param="card",
        is_executed=True,
    )


def _method_of(call: Call, card: Json) -> Json:
    """The card's PaymentMethod; that of a token's card is made now, and is spent with it."""
    method = call.world.objects.get("payment_method", card["id"])
    if method is None:
        method = sources.make_twin(call, card)
        method["_sim"]["state"] = "dead"
        call.add(method)
    return method


def _terms(params: Json, currency: str) -> Json:
    """What a charge takes over from a PaymentIntent, here from the parameters."""
    return {
        "id": None,
        "amount": params["amount"],
        "capture_method": "automatic" if params.get("capture", True) else "manual",
        "currency": currency,
        "customer": params.get("customer") or None,
        "metadata": merged({}, params.get("metadata")),
        "shipping": addresses.parcel(params.get("shipping")),
        **{name: unset(params.get(name)) for name in PLAIN},
    }


def _decline_of(method: Json) -> Decline | None:
    card = payment_methods.card_of(method)
    return NEEDS_AUTHENTICATION if card.authentication in AUTHENTICATING else card.decline


def _declined(call: Call, charge: Json, decline: Decline) -> StripeError:
    call.add(charge)
    emit(call, "charge.failed", charge)
    return StripeError(
        402,
        decline.message,
        type="card_error",
        code=decline.code,
        param=decline.param,
        extra={**decline.error_fields(), "charge": charge["id"]},
        keeps_writes=True,
        is_executed=True,
    )


def capture(call: Call, params: Json, charge_id: str) -> Json:
    charge = call.load("charge", charge_id, noun="charge", param="charge")
    if charge["captured"]:
        raise refused(
            f"Charge {charge_id} has already been captured.", code="charge_already_captured"
        )
    if charge["payment_intent"]:
        raise refused(MUST_CAPTURE_INTENT.format(intent=charge["payment_intent"]))
    if charge["status"] != "succeeded":
        raise refused(guesses.CHARGE_FAILED_MESSAGE.format(id=charge_id))
    if charge["refunded"]:
        raise refused(
            guesses.CHARGE_EXPIRED_MESSAGE.format(id=charge_id),
            code="charge_expired_for_capture",
        )
    amount = int(params.get("amount", charge["amount"] - charge["amount_refunded"]))
    if not 1 <= amount <= charge["amount"] - charge["amount_refunded"]:
        raise refused(
            guesses.CHARGE_CAPTURE_TOO_MUCH_MESSAGE, code="amount_too_large", param="amount"
        )
    settle.take_held(call, charge, amount)
    return charge


def expire(call: Call, charge_id: str) -> None:
    """A hold that was not captured in time is released."""
    charge = call.world.objects.get("charge", charge_id)
    if charge is None or states.state_of(charge) != "held":
        return
    states.move(charge, "released")
    charge["amount_refunded"] = charge["amount"]
    call.save(charge)
    emit(call, "charge.expired", charge)
