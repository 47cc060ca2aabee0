"""Confirmation tokens: what a client collected, to confirm exactly one PaymentIntent.

Asserted against test mode: a token lives 12 h, its second use is refused, and values of the
request override the token's. Made here through the test helper.
"""

from typing import Any

from stripesim.objects import payment_methods
from stripesim.wire.errors import invalid_request
from stripesim.world import Call

Json = dict[str, Any]
LIFETIME_SECONDS = 12 * 3600
NOUN = "confirmationtoken"


def create(call: Call, params: Json) -> Json:
    """The test helper: from a payment method or its data."""
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
    elif params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
    else:
        raise invalid_request(
            "Missing required param: payment_method_data.",
            code="parameter_missing",
            param="payment_method_data",
        )
    preview = ("billing_details", method["type"], "customer", "type", "allow_redisplay")
    token = {
        "id": call.world.ids.timed("ctoken", call.now),
        "object": "confirmation_token",
        "created": call.now,
        "expires_at": call.now + LIFETIME_SECONDS,
        "livemode": False,
        "mandate_data": None,
        "payment_intent": None,
        "payment_method_options": None,
        "payment_method_preview": {name: method[name] for name in preview},
        "return_url": params.get("return_url") or None,
        "setup_future_usage": params.get("setup_future_usage") or None,
        "setup_intent": None,
        "shipping": params.get("shipping") or None,
        "use_stripe_sdk": False,
        "_sim": {"payment_method": method["id"]},
    }
    call.add(token)
    return token


def retrieve(call: Call, params: Json, token_id: str) -> Json:
    del params
    return call.load("confirmation_token", token_id, noun=NOUN, param="confirmation_token")


def apply(call: Call, intent: Json, params: Json) -> Json:
    """The confirm's parameters with what its token brings. Raises StripeError 400."""
    if not params.get("confirmation_token"):
        return params
    token = call.load_param(
        "confirmation_token", params["confirmation_token"], noun=NOUN, param="confirmation_token"
    )
    is_used = token["payment_intent"] or token["setup_intent"]
    if is_used or token["expires_at"] <= call.now:
        raise invalid_request(
            f"The confirmation token {token['id']} was already used or has expired.",
            code="payment_intent_confirmation_token_invalid",
            param="confirmation_token",
        )
    usage = token["setup_future_usage"]
    own_usage = intent.get("setup_future_usage")
    if usage and own_usage and usage != own_usage:
        raise invalid_request(
            "The setup_future_usage of the confirmation token does not match the PaymentIntent's.",
            param="confirmation_token",
        )
    token[intent["object"]] = intent["id"]
    call.save(token)
    brought = {
        "payment_method": token["_sim"]["payment_method"],
        "return_url": token["return_url"],
        "setup_future_usage": usage,
        "shipping": token["shipping"],
    }
    given = {k: v for k, v in params.items() if k != "confirmation_token"}
    return {k: v for k, v in brought.items() if v is not None} | given
