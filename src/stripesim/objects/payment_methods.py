"""PaymentMethods and their life: fresh -> attached -> dead, or fresh -> dead.

fresh     never used; can pay once, or be attached
attached  belongs to a customer; can pay any number of times
parked    fresh, but in an unfinished payment of one PaymentIntent, which alone may go on with it
kept      used with setup_future_usage and no customer: can still be attached
dead      used without a customer, or detached: never again (the reuse error)
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import bank_details, card_entry, clients, tokens
from stripesim.objects.addresses import NO_ADDRESS
from stripesim.objects.events import emit, emit_update
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.rules import cards
from stripesim.rules.cards import Card
from stripesim.wire.errors import StripeError, invalid_request, refused
from stripesim.wire.params import is_method_type
from stripesim.world import Call

Json = dict[str, Any]
NOUN = "PaymentMethod"
# Recorded to the letter; HTTP 400, invalid_request_error, no code, no param.
REUSE_MESSAGE = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment, shared with a connected account without Customer attachment, or was detached from "
    "a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach "
    "it to a Customer first."
)
INCOMPATIBLE = {"payment_intent": "payment_intent_incompatible_payment_method"}  # error-codes page
ALREADY_ATTACHED = "The payment method you provided has already been attached to a customer."
NOT_ATTACHED = (
    "The payment method you provided is not attached to a customer so detachment is impossible."
)
NO_CUSTOMER_AT_CREATE = (
    "You cannot attach a PaymentMethod to a Customer during PaymentMethod creation. Please instead "
    "create the PaymentMethod and then attach it using the attachment method of the PaymentMethods "
    "API."
)
# SDK: brands whose `display_brand` has another name.
DISPLAYED = {
    "amex": "american_express",
    "diners": "diners_club",
    "unionpay": "union_pay",
    "unknown": "other",
}
NO_BILLING: Json = {
    "address": NO_ADDRESS,
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def create(call: Call, params: Json) -> Json:
    if params.get("customer"):
        raise invalid_request(NO_CUSTOMER_AT_CREATE)
    method = make(call, params)
    method["metadata"] = merged({}, params.get("metadata"))
    call.add(method)
    return method


def make(call: Call, params: Json) -> Json:
    """A fresh method of the parameters `type`, `card`, `billing_details`; not stored yet."""
    kind = params.get("type") or ("card" if "card" in params else None)
    if kind is None:
        raise invalid_request(
            "Missing required param: type.", code="parameter_missing", param="type"
        )
    if kind != "card":
        return _other_method(call, kind, params)
    entered = params.get("card")
    if not isinstance(entered, dict):
        raise invalid_request(
            "Missing required param: card.", code="parameter_missing", param="card"
        )
    if entered.get("token"):
        spent = tokens.spend(call, entered["token"], "card[token]")
        card, details = cards.BY_NAME[spent["_sim"]["card"]], spent["_sim"]["details"]
    else:
        card, details = card_entry.read_entered(call, entered)
    method = shape(call, card, details)
    _apply_extras(method, params)
    _await_checks(method)
    return method


def _await_checks(method: Json) -> None:
    """Recorded (antiwork/gumroad, 2023-10-16): a given address is `unchecked` at first."""
    checks, address = method["card"]["checks"], method["billing_details"]["address"]
    if address["line1"]:
        checks["address_line1_check"] = "unchecked"
    if address["postal_code"]:
        checks["address_postal_code_check"] = "unchecked"


def _apply_extras(method: Json, params: Json) -> None:
    if params.get("billing_details"):
        _apply_billing(method, params["billing_details"])
    if params.get("allow_redisplay"):
        method["allow_redisplay"] = params["allow_redisplay"]
    if method["type"] != "card":
        return
    networks = (params.get("card") or {}).get("networks") or {}
    if networks.get("preferred"):
        shown = method["card"]["networks"]
        shown["preferred"] = _available(networks["preferred"], shown["available"])


def _available(network: str, available: list[str]) -> str | None:
    """Documented (docs.stripe.com/co-branded-cards-compliance): a card's holder chooses among the
    networks that it has; another choice has no effect.
    """
    return network if network in available else None


def _other_method(call: Call, kind: str, params: Json) -> Json:
    """A method that is no card: it can be made and read, but the account takes only cards.

    Recorded: its details stand under its type's name.
    """
    if not is_method_type(kind):
        raise invalid_request(guesses.BAD_METHOD_TYPE_MESSAGE.format(type=kind), param="type")
    given = params.get(kind)
    details = bank_details.shown(kind, given if isinstance(given, dict) else {})
    method = shape(call, cards.CARDS[0], card_entry.read_factory(call, cards.CARDS[0]))
    del method["card"]
    method.update({"type": kind, kind: details})
    _apply_extras(method, params)
    return method


def shape(call: Call, card: Card, details: Json) -> Json:
    return {
        "id": call.world.ids.timed("pm", call.now),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {**NO_BILLING, "address": dict(NO_ADDRESS)},
        "card": {
            "brand": details["brand"],
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": details["cvc_check"],
            },
            "country": card.country,
            "display_brand": DISPLAYED.get(card.brand, card.brand),
            "exp_month": details["exp_month"],
            "exp_year": details["exp_year"],
            "fingerprint": details["fingerprint"],
            "funding": details["funding"],
            "generated_from": None,
            "last4": details["last4"],
            "networks": {"available": list(card.networks or [card.brand]), "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": details["three_d_secure_supported"]},
            "wallet": None,
        },
        "created": call.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "shared_payment_granted_token": None,
        "type": "card",
        "_sim": {"card": card.name, "state": "fresh", "parked_by": None, "is_set_up": False},
    }


def card_of(method: Json) -> Card:
    return cards.BY_NAME[method["_sim"]["card"]]


def resolve(
    call: Call, method_id: str, *, param: str = "payment_method", on_path: bool = False
) -> Json:
    """The method of an id; `pm_card_…` becomes a new method every time. Raises 400 or 404."""
    factory = cards.by_factory_id(method_id)
    if factory and method_id.startswith("pm_card_"):
        method = shape(call, factory, card_entry.read_factory(call, factory))
        call.add(method)
        return method
    if on_path:
        return call.load("payment_method", method_id, noun=NOUN, param=param)
    return call.load_param("payment_method", method_id, noun=NOUN, param=param)


def reject_dead(method: Json, intent_id: str | None) -> None:
    """Raises the reuse error unless the method may pay (for the intent it may be parked by)."""
    state, parked_by = method["_sim"]["state"], method["_sim"]["parked_by"]
    is_elsewhere = state == "parked" and parked_by != intent_id
    if (
        state == "dead"
        or (state == "kept" and not guesses.KEPT_METHOD_CAN_PAY_UNATTACHED)
        or (is_elsewhere and not guesses.PARKED_METHOD_CAN_PAY_ELSEWHERE)
    ):
        raise refused(REUSE_MESSAGE)


def check_customer(call: Call, intent: Json) -> None:
    """Raises StripeError 400 when the customer of an intent that is confirmed was deleted."""
    if intent["customer"] and not guesses.DELETED_CUSTOMERS_INTENT_CAN_BE_CONFIRMED:
        call.load_param("customer", intent["customer"], noun="customer", param="customer")


def check_type(method: Json, intent: Json) -> None:
    """Raises StripeError 400 for a method of a type that the intent does not take."""
    if method["type"] in intent["payment_method_types"]:
        return
    raise refused(
        guesses.WRONG_METHOD_TYPE_MESSAGE.format(
            intent=clients.NAMES[intent["object"]],
            type=method["type"],
            allowed=", ".join(intent["payment_method_types"]),
        ),
        code=INCOMPATIBLE.get(intent["object"]),
        param="payment_method",
    )


def pass_checks(method: Json) -> bool:
    """Recorded: `unchecked` becomes `pass` when the card is attached or charged. Returns whether
    anything changed.

    Documented (docs.stripe.com/testing): what was not given is not checked, and cannot fail.
    """
    if "card" not in method:
        return False
    checks, address = method["card"]["checks"], method["billing_details"]["address"]
    given = {
        "cvc_check": checks["cvc_check"],
        "address_line1_check": address["line1"],
        "address_postal_code_check": address["postal_code"],
    }
    ends = card_of(method).checks
    open_checks = [n for n, value in given.items() if value and checks[n] in (None, "unchecked")]
    checks.update({name: ends.get(name, "pass") for name in open_checks})
    return bool(open_checks)


def attach(call: Call, params: Json, method_id: str) -> Json:
    if not params.get("customer"):
        raise invalid_request(
            "Must provide customer or customer_account.", code="parameter_missing"
        )
    method = resolve(call, method_id, on_path=True)
    customer = call.load_param("customer", params["customer"], noun="customer", param="customer")
    return _attach(call, method, customer)


def attach_to(call: Call, method_id: str, customer: Json) -> Json:
    """Attach as part of another call, for example of creating the customer."""
    return _attach(call, resolve(call, method_id), customer)


def _attach(call: Call, method: Json, customer: Json) -> Json:
    """Recorded: attaching to the same customer again is a no-op; attach itself can decline."""
    if method["customer"] == customer["id"] and method["_sim"]["state"] == "attached":
        return method
    if method["customer"]:
        raise refused(ALREADY_ATTACHED)
    if method["_sim"]["state"] in ("dead", "parked"):
        raise refused(guesses.ATTACH_DEAD_MESSAGE)
    refuse_attaching(card_of(method))
    pass_checks(method)
    give_to(call, method, customer["id"])
    return method


def refuse_attaching(card: Card) -> None:
    """Raises StripeError 402 for a card that declines already when it is saved."""
    if card.decline and not card.attaches:
        raise StripeError(
            402,
            card.decline.message,
            type="card_error",
            code=card.decline.code,
            param=card.decline.param or "",
            extra=card.decline.error_fields(),
            is_executed=True,
        )


def give_to(call: Call, method: Json, customer_id: str) -> None:
    """The method belongs to the customer from now on."""
    method["customer"] = customer_id
    method["_sim"]["state"] = "attached"
    method["_sim"]["parked_by"] = None
    call.save(method)
    emit(call, "payment_method.attached", method)


def detach(call: Call, params: Json, method_id: str) -> Json:
    """Permanent: a detached method is dead."""
    del params
    method = call.load("payment_method", method_id, noun=NOUN, param="payment_method")
    if not method["customer"]:
        raise refused(NOT_ATTACHED)
    owner_id = method["customer"]
    method["customer"] = None
    method["_sim"]["state"] = "dead"
    call.save(method)
    emit(call, "payment_method.detached", method, {"customer": owner_id})
    owner = call.world.objects.get("customer", owner_id)
    if owner and not owner.get("deleted"):
        forget_by_owner(owner, method_id)
        call.save(owner)
    return method


def forget_by_owner(owner: Json, method_id: str) -> None:
    """The customer no longer names the method: not as default, not among its cards."""
    if owner["invoice_settings"]["default_payment_method"] == method_id:
        owner["invoice_settings"]["default_payment_method"] = None
    left = [card for card in owner["_sim"]["sources"] if card["id"] != method_id]
    owner["_sim"]["sources"] = left
    if owner["default_source"] == method_id:
        owner["default_source"] = left[0]["id"] if left else None


def retrieve(call: Call, params: Json, method_id: str) -> Json:
    del params
    return resolve(call, method_id, on_path=True)


def update(call: Call, params: Json, method_id: str) -> Json:
    method = call.load("payment_method", method_id, noun=NOUN, param="payment_method")
    if not method["customer"]:
        raise refused("You must save this PaymentMethod to a customer before you can update it.")
    before = copy.deepcopy(method)
    if "metadata" in params:
        method["metadata"] = merged(method["metadata"], params["metadata"])
    _apply_extras(method, params)
    for name in ("exp_month", "exp_year"):
        if name in (params.get("card") or {}):
            method["card"][name] = params["card"][name]
    call.save(method)
    emit_update(call, "payment_method.updated", before, method)
    return method


def list_methods(call: Call, params: Json) -> Json:
    """Recorded (2026-08-26.dahlia): without a customer the list is empty."""
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
        return page_of_customer(call, params, params["customer"], "/v1/payment_methods")
    return _page(call, params, "/v1/payment_methods", {}, condition="FALSE")


def page_of_customer(call: Call, params: Json, customer_id: str, url: str) -> Json:
    return _page(call, params, url, {"customer": customer_id})


def _page(
    call: Call, params: Json, url: str, filters: dict[str, str], *, condition: str = ""
) -> Json:
    """By `type` and `allow_redisplay`; both are checked, so that the second can stand in SQL."""
    if params.get("type"):
        filters["type"] = params["type"]
    if params.get("allow_redisplay"):
        shown = f"json_extract(body, '$.allow_redisplay') = '{params['allow_redisplay']}'"
        condition = f"{condition} AND {shown}" if condition else shown
    return list_page(call, "payment_method", url, params, filters, condition=condition)


def _apply_billing(method: Json, change: Json) -> None:
    billing = method["billing_details"]
    for name in ("email", "name", "phone", "tax_id"):
        if name in change:
            billing[name] = unset(change[name])
    if change.get("address") == "":
        billing["address"] = dict(NO_ADDRESS)
    for name, value in (change.get("address") or {}).items():
        billing["address"][name] = unset(value)
