"""SetupIntents: save a card without paying; create, retrieve, update, confirm, cancel, list.

The hosted challenge page serves PaymentIntents only: a card that has to authenticate is set up
here without one (see docs/simulator.md).
"""

from typing import Any

from stripesim import guesses
from stripesim.objects import payment_methods
from stripesim.objects.events import emit
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.objects.payment_intents.lifecycle import method_types
from stripesim.rules.cards import Decline
from stripesim.wire.errors import StripeError, invalid_request, refused
from stripesim.wire.versions import render
from stripesim.world import Call

Json = dict[str, Any]
NOUN = "setupintent"
UNEXPECTED_STATE = "setup_intent_unexpected_state"
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(call: Call, params: Json) -> Json:
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
    intent = _shape(call, params)
    if params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
        _check_owner(intent, method)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    call.add(intent)
    emit(call, "setup_intent.created", intent)
    if params.get("confirm"):
        _confirm(call, intent, params)
    return intent


def _shape(call: Call, params: Json) -> Json:
    types, automatic = method_types(call, params)
    intent_id = call.world.ids.timed("seti", call.now)
    options = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
    return {
        "id": intent_id,
        "object": "setup_intent",
        "allowed_payment_method_types": None,
        "application": None,
        "automatic_payment_methods": automatic,
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{call.world.ids.text(31)}",
        "created": call.now,
        "customer": params.get("customer") or None,
        "customer_account": None,
        "description": unset(params.get("description")),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "mandate": None,
        "metadata": merged({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": options},
        "payment_method_types": types,
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",  # recorded: whatever the parameter `usage` asks for
    }


def _check_owner(intent: Json, method: Json) -> None:
    owner, customer = method["customer"], intent["customer"]
    if owner and customer and owner != customer:
        raise refused(
            f"The PaymentMethod {method['id']} does not belong to the Customer you supplied "
            f"{customer}. Please use this PaymentMethod with the Customer that it belongs to "
            "instead.",
            param="payment_method",
        )
    if owner and not customer:
        raise refused(
            f"The payment method supplied ({method['id']}) belongs to the Customer {owner}. Please "
            "include the Customer in the `customer` parameter on the SetupIntent.",
            param="payment_method",
        )
    payment_methods.reject_dead(method, intent["id"])
    if method["type"] not in intent["payment_method_types"]:
        raise invalid_request(
            guesses.WRONG_METHOD_TYPE_MESSAGE.format(
                type=method["type"], allowed=", ".join(intent["payment_method_types"])
            ),
            param="payment_method",
        )


def confirm(call: Call, params: Json, intent_id: str) -> Json:
    return _confirm(call, _load(call, intent_id), params)


def _confirm(call: Call, intent: Json, params: Json) -> Json:
    if intent["status"] == "succeeded":
        raise refused(
            "You cannot confirm this SetupIntent because it has already succeeded.",
            code=UNEXPECTED_STATE,
            setup_intent=render(intent, call.version),
        )
    if intent["status"] not in OPEN:
        raise _wrong_state(call, intent, "confirm")
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
    else:
        wanted = params.get("payment_method") or intent["payment_method"]
        if not wanted:
            raise refused(
                "You cannot confirm this SetupIntent because it's missing a payment method. You "
                "can either update the SetupIntent with a payment method and then confirm it "
                "again, or confirm it again directly with a payment method.",
                code=UNEXPECTED_STATE,
                setup_intent=render(intent, call.version),
            )
        method = payment_methods.resolve(call, wanted)
    _check_owner(intent, method)
    card = payment_methods.card_of(method)
    if card.decline and not card.attaches:
        raise _declined(call, intent, method, card.decline)
    _succeed(call, intent, method)
    return intent


def _succeed(call: Call, intent: Json, method: Json) -> None:
    payment_methods.pass_checks(method)
    method["_sim"]["is_set_up"] = True
    if intent["customer"] and method["_sim"]["state"] != "attached":
        payment_methods.give_to(call, method, intent["customer"])
    elif method["_sim"]["state"] != "attached":
        method["_sim"]["state"] = "dead"
    call.save(method)
    intent.update(
        status="succeeded", payment_method=method["id"], last_setup_error=None, next_action=None
    )
    call.save(intent)
    emit(call, "setup_intent.succeeded", intent)


def _declined(call: Call, intent: Json, method: Json, decline: Decline) -> StripeError:
    """Recorded: 402 with the SetupIntent, open again and without its method."""
    if method["_sim"]["state"] != "attached":
        method["_sim"]["state"] = "dead"
    call.save(method)
    error = StripeError(
        402,
        decline.message,
        type="card_error",
        code=decline.code,
        param=decline.param,
        extra={**decline.error_fields(), "payment_method": render(method, call.version)},
        keeps_writes=True,
        is_executed=True,
    )
    intent.update(
        status="requires_payment_method", payment_method=None, last_setup_error=error.fields()
    )
    call.save(intent)
    emit(call, "setup_intent.setup_failed", intent)
    error.extra["setup_intent"] = render(intent, call.version)
    return error


def _load(call: Call, intent_id: str) -> Json:
    return call.load("setup_intent", intent_id, noun=NOUN, param="intent")


def _wrong_state(call: Call, intent: Json, verb: str) -> StripeError:
    return refused(
        f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}. Only a "
        f"SetupIntent with one of the following statuses may be {verb}ed: {', '.join(OPEN)}.",
        code=UNEXPECTED_STATE,
        setup_intent=render(intent, call.version),
    )


def retrieve(call: Call, params: Json, intent_id: str) -> Json:
    del params
    return _load(call, intent_id)


def update(call: Call, params: Json, intent_id: str) -> Json:
    intent = _load(call, intent_id)
    if "metadata" in params:
        intent["metadata"] = merged(intent["metadata"], params["metadata"])
    if "description" in params:
        intent["description"] = unset(params["description"])
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
        intent["customer"] = params["customer"]
    if params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
        _check_owner(intent, method)
        intent.update(payment_method=method["id"], status="requires_confirmation")
    call.save(intent)
    return intent


def cancel(call: Call, params: Json, intent_id: str) -> Json:
    intent = _load(call, intent_id)
    if intent["status"] not in OPEN:
        raise _wrong_state(call, intent, "cancel")
    intent.update(status="canceled", cancellation_reason=params.get("cancellation_reason") or None)
    call.save(intent)
    emit(call, "setup_intent.canceled", intent)
    return intent


def list_intents(call: Call, params: Json) -> Json:
    filters = {"customer": params["customer"]} if params.get("customer") else {}
    return list_page(call, "setup_intent", "/v1/setup_intents", params, filters)
