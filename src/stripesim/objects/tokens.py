"""Card tokens: made once, spent once. `tok_visa` and its like are factories."""

from typing import Any

from stripesim import guesses
from stripesim.objects import card_entry
from stripesim.rules import cards
from stripesim.rules.cards import Card
from stripesim.wire.errors import invalid_request, missing_in_body, refused
from stripesim.world import Call

Json = dict[str, Any]
BRAND_NAMES = {
    "visa": "Visa",
    "mastercard": "MasterCard",
    "amex": "American Express",
    "discover": "Discover",
    "diners": "Diners Club",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "unknown": "Unknown",
}
ADDRESS = ("address_city", "address_country", "address_line1", "address_line2", "address_state")


def create(call: Call, params: Json) -> Json:
    entered = params.get("card")
    if not isinstance(entered, dict):
        raise invalid_request(
            "You must supply either a card, customer, PII data, bank account, or account legal "
            "entity to create a token."
        )
    card, details = card_entry.read_entered(call, entered)
    return _add(call, legacy_card(call, card, details, entered), call.client_ip)


def _add(call: Call, card: Json, client_ip: str | None) -> Json:
    token = {
        "id": call.world.ids.timed("tok", call.now),
        "object": "token",
        "card": card,
        "client_ip": client_ip,
        "created": call.now,
        "livemode": False,
        "type": "card",
        "used": False,
    }
    call.add(token)
    return token


def retrieve(call: Call, params: Json, token_id: str) -> Json:
    """Recorded (liberapay, 2019-08-14): reading `tok_visa` makes a token, of nobody's address."""
    del params
    factory = cards.by_factory_id(token_id)
    if factory and token_id.startswith("tok_"):
        details = card_entry.read_factory(call, factory)
        return _add(call, legacy_card(call, factory, details, {}), None)
    return call.load("token", token_id, noun="token", param="token")


def spend(call: Call, token_id: str, param: str) -> Json:
    """The card object of a token that from now on is used. Raises StripeError 400."""
    factory = cards.by_factory_id(token_id)
    if factory and token_id.startswith("tok_"):
        return legacy_card(call, factory, card_entry.read_factory(call, factory), {})
    if not token_id.startswith("tok_"):  # probed at 2026-08-26.dahlia
        raise invalid_request(f"Invalid token id: {token_id}", param="token")
    token = call.world.objects.get("token", token_id)
    if token is None:
        raise missing_in_body("token", token_id, param)
    if token["used"]:
        raise refused(guesses.TOKEN_USED_MESSAGE.format(id=token_id), code="token_already_used")
    token["used"] = True
    call.save(token)
    card: Json = token["card"]
    return card


def legacy_card(call: Call, card: Card, details: Json, entered: Json) -> Json:
    """A card in the shape older than PaymentMethods."""
    return {
        "id": call.world.ids.timed("card", call.now),
        "object": "card",
        **{name: entered.get(name) for name in ADDRESS},
        "address_line1_check": "unchecked" if entered.get("address_line1") else None,
        "address_zip": entered.get("address_zip"),
        "address_zip_check": "unchecked" if entered.get("address_zip") else None,
        "brand": BRAND_NAMES[card.brand],
        "country": card.country,
        **({"currency": entered["currency"].lower()} if entered.get("currency") else {}),
        "cvc_check": details["cvc_check"],
        "dynamic_last4": None,
        "email": None,
        "exp_month": details["exp_month"],
        "exp_year": details["exp_year"],
        "fingerprint": details["fingerprint"],
        "funding": details["funding"],
        "last4": details["last4"],
        "metadata": {},
        "name": entered.get("name"),
        "networks": {"preferred": None},
        "phone": None,
        "regulated_status": "unregulated",
        "tokenization_method": None,
        "wallet": None,
        "_sim": {"card": card.name, "details": details},
    }
