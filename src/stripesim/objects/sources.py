"""Cards as customers kept them before PaymentMethods: `card_…`, still used by older integrations.

A card lies with its customer, in order, and has a twin: the PaymentMethod of the same id that
PaymentIntents can pay with and `/v1/payment_methods/card_…` shows.
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import card_entry, payment_methods, tokens
from stripesim.objects.events import emit, emit_update
from stripesim.objects.metadata import merged, unset
from stripesim.rules import cards
from stripesim.wire.errors import StripeError, invalid_request, missing_on_path
from stripesim.world import Call

Json = dict[str, Any]
CARD_FIELDS = (
    "address_city", "address_country", "address_line1", "address_line2", "address_state",
    "address_zip", "name",
)  # fmt: skip


def read_card(call: Call, source: Any, param: str) -> Json:
    """The card of a token, or of the fields of a card. Raises StripeError 400 or 402."""
    if isinstance(source, dict):
        kind = source.get("object") or "card"
        if kind != "card":
            raise invalid_request(guesses.SOURCE_TYPE_MESSAGE.format(type=kind), param=param)
        card, details = card_entry.read_entered(call, source)
        return tokens.legacy_card(call, card, details, source)
    return tokens.spend(call, source, param)


def add(call: Call, customer: Json, source: Any, *, is_default: bool, metadata: Any = None) -> Json:
    """A card for the customer, its CVC checked. Raises StripeError 402 as attaching does."""
    card = read_card(call, source, "source")
    payment_methods.refuse_attaching(cards.BY_NAME[card["_sim"]["card"]])
    card = as_used(card, customer["id"])
    card["metadata"] = merged({}, metadata)
    twin = make_twin(call, card)
    twin["customer"] = customer["id"]
    twin["_sim"]["state"] = "attached"
    call.add(twin)
    customer["_sim"]["sources"].append(card)
    if is_default or customer["default_source"] is None:
        customer["default_source"] = card["id"]
    emit(call, "customer.source.created", card)
    return card


def as_used(card: Json, customer_id: str | None) -> Json:
    """A token's card once it is saved or charged. Recorded: checked, with an owner, no networks."""
    card = {**card, "allow_redisplay": "unspecified", "customer": customer_id}
    card.pop("networks", None)
    if card["cvc_check"] == "unchecked":
        card["cvc_check"] = "pass"
    return card


def replace_default(call: Call, customer: Json, source: Any) -> None:
    """Documented for `source` on a customer: the new card takes the old default's place."""
    old = find(customer, customer["default_source"])
    add(call, customer, source, is_default=True)
    if old is not None:
        _remove(call, customer, old)


def make_twin(call: Call, card: Json) -> Json:
    """The PaymentMethod of the card's id, in the newer shape; not stored yet."""
    known = cards.BY_NAME[card["_sim"]["card"]]
    twin = payment_methods.shape(call, known, card["_sim"]["details"])
    address = {
        "city": card["address_city"],
        "country": card["address_country"],
        "line1": card["address_line1"],
        "line2": card["address_line2"],
        "postal_code": card["address_zip"],
        "state": card["address_state"],
    }
    twin["id"] = card["id"]
    twin["billing_details"].update(address=address, name=card["name"])
    payment_methods.pass_checks(twin)
    return twin


def find(customer: Json, card_id: str | None) -> Json | None:
    found: list[Json] = customer["_sim"]["sources"]
    return next((card for card in found if card["id"] == card_id), None)


def _load(call: Call, customer_id: str, card_id: str) -> tuple[Json, Json]:
    customer = _load_customer(call, customer_id)
    card = find(customer, card_id)
    if card is None:
        raise missing_on_path("source", card_id, "id")
    return customer, card


def _load_customer(call: Call, customer_id: str) -> Json:
    customer = call.load("customer", customer_id, noun="customer", param="customer")
    if customer.get("deleted"):
        raise missing_on_path("customer", customer_id, "customer")
    return customer


def create(call: Call, params: Json, customer_id: str) -> Json:
    customer = _load_customer(call, customer_id)
    source = params.get("source") or params.get("card")
    if not source:
        raise StripeError(
            400, "Missing required param: source.", code="parameter_missing", param="source"
        )
    card = add(call, customer, source, is_default=False, metadata=params.get("metadata"))
    call.save(customer)
    return card


def retrieve(call: Call, params: Json, customer_id: str, card_id: str) -> Json:
    del params
    return _load(call, customer_id, card_id)[1]


def update(call: Call, params: Json, customer_id: str, card_id: str) -> Json:
    customer, card = _load(call, customer_id, card_id)
    before = copy.deepcopy(card)
    for name in CARD_FIELDS:
        if name in params:
            card[name] = unset(params[name])
    for name in ("exp_month", "exp_year"):
        if params.get(name):
            card[name] = card["_sim"]["details"][name] = card_entry.as_int(params[name])
    if "metadata" in params:
        card["metadata"] = merged(card["metadata"], params["metadata"])
    call.save(customer)
    _save_twin(call, card)
    emit_update(call, "customer.source.updated", before, card)
    return card


def _save_twin(call: Call, card: Json) -> None:
    twin = call.world.objects.get("payment_method", card["id"])
    if twin is not None:
        fresh = make_twin(call, card)
        twin.update(card=fresh["card"], billing_details=fresh["billing_details"])
        call.save(twin)


def delete(call: Call, params: Json, customer_id: str, card_id: str) -> Json:
    del params
    customer, card = _load(call, customer_id, card_id)
    _remove(call, customer, card)
    call.save(customer)
    return {"id": card_id, "object": "card", "deleted": True}


def _remove(call: Call, customer: Json, card: Json) -> None:
    """The next card becomes the default; the twin is dead like a detached PaymentMethod."""
    payment_methods.forget_by_owner(customer, card["id"])
    twin = call.world.objects.get("payment_method", card["id"])
    if twin is not None:
        twin["customer"] = None
        twin["_sim"]["state"] = "dead"
        call.save(twin)
    emit(call, "customer.source.deleted", card)


def list_sources(call: Call, params: Json, customer_id: str) -> Json:
    customer = _load_customer(call, customer_id)
    limit = int(params.get("limit") or 10)
    found = customer["_sim"]["sources"] if params.get("object", "card") == "card" else []
    return {
        "object": "list",
        "data": found[:limit],
        "has_more": len(found) > limit,
        "url": f"/v1/customers/{customer_id}/sources",
    }
