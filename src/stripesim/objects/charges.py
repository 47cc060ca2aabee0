"""Charges: made for PaymentIntents and for direct charges; retrieve, update, list.

The shape is the recorded one of 2025-10-29.clover and 2026-03-25.dahlia.
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.ids import network_number
from stripesim.objects import addresses, balance_transactions, method_options, payment_methods
from stripesim.objects.events import emit_update
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.rules import cards, descriptors, states
from stripesim.rules.cards import Authentication, Card
from stripesim.rules.declines import Decline
from stripesim.store.objects import PageQuery
from stripesim.wire.errors import refused
from stripesim.world import Call

Json = dict[str, Any]
LAND_BALANCE = "land_balance"
AUTHORIZATION_SECONDS = 7 * 24 * 3600  # recorded: `capture_before` of a held charge
INCREMENTAL = ("visa", "mastercard", "amex", "discover", "unionpay")
# Recorded at 2026-08-26.dahlia.
GROUP_OF_INTENT = (
    "This Charge was created by a PaymentIntent ({intent}). You must update the `transfer_group` on"
    " the PaymentIntent instead of updating the Charge directly. See "
    "https://stripe.com/docs/api#update_payment_intent"
)
SELLER_MESSAGE_GENERIC = "The bank did not return any further details with this decline."


def make(
    call: Call, intent: Json, method: Json, *, decline: Decline | None, is_authenticated: bool
) -> Json:
    """The charge of one attempt, succeeded or failed; not captured and not stored yet.

    A direct charge has the terms of an intent whose id is None.
    """
    card = payment_methods.card_of(method)
    ids = call.world.ids
    is_direct = intent["id"] is None
    charge_id = ids.payment("ch", call.now) if is_direct else ids.of_payment("ch", intent["id"])
    amount = intent["amount"]
    return {
        "id": charge_id,
        "object": "charge",
        "amount": amount,
        "amount_captured": 0,
        "amount_refunded": 0,
        "amount_updates": [],
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": _on_statement(intent),
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "destination": None,
        "dispute": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "order": None,
        "outcome": _outcome(call, card, decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": _card_details(
                call,
                intent,
                method,
                amount_authorized=None if decline else amount,
                is_authenticated=is_authenticated,
            ),
            "type": "card",
        },
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None if decline else f"https://pay.stripe.com/receipts/payment/{charge_id}",
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        **states.CHARGE_FIELDS[states.begin("charge", "declined" if decline else "authorized")],
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
        "_sim": {"card": card.name},
    }


def _on_statement(intent: Json) -> str:
    """SDK: a direct charge by card takes its descriptor as the suffix."""
    text, suffix = intent["statement_descriptor"], intent["statement_descriptor_suffix"]
    if intent["id"] is None:
        return descriptors.calculated(None, suffix or text)
    return descriptors.calculated(text, suffix)


def _outcome(call: Call, card: Card, decline: Decline | None) -> Json:
    """Recorded for approvals and issuer declines; the fields of a Radar block are documented."""
    risk_score = {"normal": (0, 64), "elevated": (65, 74), "highest": (75, 99)}[card.risk_level]
    outcome: Json = {
        "advice_code": decline.advice_code if decline else None,
        "network_advice_code": decline.network_advice_code if decline else None,
        "network_decline_code": decline.network_decline_code if decline else None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": card.risk_level,
        "risk_score": call.world.ids.number(*risk_score),
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is None:
        return outcome
    if decline.outcome_type == "blocked":
        return outcome | {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 99,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    message = f"The bank returned the decline code `{decline.decline_code}`."
    return outcome | {
        "network_status": "declined_by_network",
        "reason": decline.decline_code,
        "seller_message": SELLER_MESSAGE_GENERIC
        if decline.decline_code == "generic_decline"
        else message,
        "type": "issuer_declined",
    }


def _card_details(
    call: Call,
    intent: Json,
    method: Json,
    *,
    amount_authorized: int | None,
    is_authenticated: bool,
) -> Json:
    """Recorded: a declined charge has no authorized amount."""
    card = method["card"]
    return {
        "amount_authorized": amount_authorized,
        "authorization_code": str(call.world.ids.number(0, 999999)).zfill(6),
        "brand": card["brand"],
        **(
            {"capture_before": call.now + AUTHORIZATION_SECONDS}
            if method_options.is_captured_later(intent) and amount_authorized is not None
            else {}
        ),
        "checks": dict(card["checks"]),
        "country": card["country"],
        "electronic_commerce_indicator": _commerce_indicator(method, is_authenticated),
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": _incremental(intent, method)},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["networks"]["preferred"] or card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": network_number(card["fingerprint"]),
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure(call, intent, method, is_authenticated=is_authenticated),
        "transaction_link_id": _link(call, card["brand"]),
        "wallet": None,
    }


def _link(call: Call, brand: str) -> str | None:
    """Documented (docs.stripe.com/payments/cards/mastercard-tlid): of Mastercard and Maestro only.
    Recorded (stripe_world, 2026-08): null for Visa.
    """
    if brand != "mastercard":
        return None
    return f"test123-tlid456__{call.world.ids.text(5).upper()}"


def _incremental(intent: Json, method: Json) -> str:
    """Documented (docs.stripe.com/payments/incremental-authorization): by brand, on request. An
    account without that feature would be refused at the request; the simulator's has it.
    """
    wanted = method_options.of_card(intent).get("request_incremental_authorization")
    is_held = method_options.is_captured_later(intent)
    is_possible = is_held and method["card"]["brand"] in INCREMENTAL
    return "available" if wanted == "if_available" and is_possible else "unavailable"


def _commerce_indicator(method: Json, is_authenticated: bool) -> str | None:
    """Recorded: "07" where nobody was authenticated. SDK: only of Visa and Mastercard."""
    if method["card"]["brand"] not in guesses.AUTHENTICATED_INDICATORS:
        return None
    return guesses.AUTHENTICATED_INDICATORS[method["card"]["brand"]] if is_authenticated else "07"


def _three_d_secure(
    call: Call, intent: Json, method: Json, *, is_authenticated: bool
) -> Json | None:
    """Documented (docs.stripe.com/testing): cards that are not for 3-D Secure acknowledge a
    requested attempt and ask nobody.
    """
    how = payment_methods.card_of(method).authentication
    if is_authenticated:
        return authentication(call)
    if how is Authentication.FRICTIONLESS:
        return authentication(call) | {"authentication_flow": "frictionless"}
    if how is Authentication.NEVER and method_options.requests_authentication(intent):
        return authentication(call) | {
            "authentication_flow": None,
            "electronic_commerce_indicator": "06",
            "result": "attempt_acknowledged",
        }
    return None


def authentication(call: Call) -> Json:
    """How a passed challenge is shown."""
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": call.world.ids.text(36),
        "version": "2.2.0",
    }


def book(call: Call, charge: Json) -> None:
    """The money of a captured charge comes into the balance."""
    amount = charge["amount_captured"]
    transaction = balance_transactions.record(
        call,
        balance_transactions.CHARGE,
        source=charge,
        amount=amount,
        description=charge["description"],
        fee=balance_transactions.fee_of(amount),
        available_on=call.now if card_of(charge).available_at_once else None,
    )
    charge["balance_transaction"] = transaction["id"]


def land_balance(call: Call, charge_id: str) -> None:
    """With `--async-balance`, as recorded: the balance transaction comes a moment later."""
    charge = call.world.objects.get("charge", charge_id)
    if charge is None or charge["balance_transaction"]:
        return
    before = copy.deepcopy(charge)
    book(call, charge)
    call.save(charge)
    emit_update(call, "charge.updated", before, charge)


def card_of(charge: Json) -> Card:
    return cards.BY_NAME[charge["_sim"]["card"]]


def is_charged_back(call: Call, charge: Json) -> bool:
    """Whether a dispute holds its money; documented: such a charge cannot be refunded."""
    if not charge["disputed"]:
        return False
    query = PageQuery(kind="dispute", limit=100, filters={"charge": charge["id"]})
    found, _ = call.world.objects.page(query)
    return any(not dispute["is_charge_refundable"] for dispute in found)


def retrieve(call: Call, params: Json, charge_id: str) -> Json:
    del params
    return call.load("charge", charge_id, noun="charge", param="id")


def update(call: Call, params: Json, charge_id: str) -> Json:
    charge = call.load("charge", charge_id, noun="charge", param="id")
    if "transfer_group" in params and charge["payment_intent"]:
        raise refused(GROUP_OF_INTENT.format(intent=charge["payment_intent"]))
    before = copy.deepcopy(charge)
    for name in ("description", "receipt_email", "transfer_group"):
        if name in params:
            charge[name] = unset(params[name])
    if "shipping" in params:
        charge["shipping"] = addresses.parcel(params["shipping"], charge["shipping"])
    if params.get("customer") and params["customer"] != charge["customer"]:
        call.load_param("customer", params["customer"], noun="customer", param="customer")
        if charge["customer"]:  # documented: only a charge without a customer gets one
            raise refused(guesses.CHARGE_CUSTOMER_IS_FIXED_MESSAGE, param="customer")
        charge["customer"] = params["customer"]
    if "metadata" in params:
        charge["metadata"] = merged(charge["metadata"], params["metadata"])
    for name, value in (params.get("fraud_details") or {}).items():
        charge["fraud_details"][name] = value
    call.save(charge)
    emit_update(call, "charge.updated", before, charge)
    return charge


def list_charges(call: Call, params: Json) -> Json:
    filters = {name: params[name] for name in ("payment_intent", "customer") if params.get(name)}
    if params.get("transfer_group"):
        filters["ref"] = params["transfer_group"]
    return list_page(call, "charge", "/v1/charges", params, filters)


def list_refunds(call: Call, params: Json, charge_id: str) -> Json:
    call.load("charge", charge_id, noun="charge", param="id")
    url = f"/v1/charges/{charge_id}/refunds"
    return list_page(call, "refund", url, params, {"charge": charge_id})
