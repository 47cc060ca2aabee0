"""Confirmation tokens: what a client collected, to confirm exactly one intent.

Asserted against test mode (gburgyan/aat-stripe): a token lives 12 h, its second use is refused, and
values of the request override the token's. Clients make them with the publishable key, or with an
ephemeral key for a saved method; the test helper makes them without a client.
"""

from typing import Any

from stripesim import guesses
from stripesim.objects import addresses, payment_methods
from stripesim.wire.errors import StripeError, invalid_request, missing_in_body, refused
from stripesim.world import Call

Json = dict[str, Any]
LIFETIME_SECONDS = 12 * 3600
KIND = "confirmation_token"
NOUN = "confirmationtoken"
INVALID_CODES = {
    "payment_intent": "payment_intent_confirmation_token_invalid",  # asserted
    "setup_intent": "setup_intent_invalid_parameter",
}


def create_for_test(call: Call, params: Json) -> Json:
    """The test helper: `pm_card_…` and saved methods, without a client."""
    return _create(call, params, _choose_method(call, params))


def create(call: Call, params: Json) -> Json:
    """From a client: a saved method is only for who may see its customer."""
    method = _choose_method(call, params)
    is_foreign = bool(method["customer"]) and method["customer"] != call.customer
    if call.is_client and is_foreign:
        raise missing_in_body(payment_methods.NOUN, method["id"], "payment_method")
    return _create(call, params, method)


def _choose_method(call: Call, params: Json) -> Json:
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
        return method
    if params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
        payment_methods.reject_dead(method, None)
        return method
    raise invalid_request(
        "Missing required param: payment_method_data.",
        code="parameter_missing",
        param="payment_method_data",
    )


def _create(call: Call, params: Json, method: Json) -> Json:
    preview = ("allow_redisplay", "billing_details", method["type"], "customer", "type")
    token = {
        "id": call.world.ids.timed("ctoken", call.now),
        "object": KIND,
        "created": call.now,
        "expires_at": call.now + LIFETIME_SECONDS,
        "livemode": False,
        "mandate_data": _mandate_data(call, params),
        "payment_intent": None,
        "payment_method_options": _options(params),
        "payment_method_preview": {name: method[name] for name in preview},
        "return_url": params.get("return_url") or None,
        "setup_future_usage": params.get("setup_future_usage") or None,
        "setup_intent": None,
        "shipping": addresses.recipient(params.get("shipping")),
        "use_stripe_sdk": call.is_client,
        "_sim": {"payment_method": method["id"]},
    }
    call.add(token)
    return token


def _mandate_data(call: Call, params: Json) -> Json | None:
    given = params.get("mandate_data")
    if not given:
        return None
    acceptance = given["customer_acceptance"]
    online = acceptance.get("online") or {}
    shown = {
        "ip_address": online.get("ip_address") or call.client_ip,
        "user_agent": online.get("user_agent"),
    }
    is_online = acceptance["type"] == "online"
    return {
        "customer_acceptance": {
            "online": shown if is_online else None,
            "type": acceptance["type"],
        }
    }


def _options(params: Json) -> Json | None:
    """Only a card's are kept (SDK); a CVC is never shown."""
    card = (params.get("payment_method_options") or {}).get("card") or {}
    plan = (card.get("installments") or {}).get("plan")
    return {"card": {"cvc_token": None, "installments": {"plan": plan}}} if plan else None


def retrieve(call: Call, params: Json, token_id: str) -> Json:
    del params
    return call.load(KIND, token_id, noun=NOUN, param=KIND)


def apply(call: Call, intent: Json, params: Json) -> Json:
    """The confirm's parameters with what its token brings. Raises StripeError 400."""
    if not params.get(KIND):
        return params
    token = call.load_param(KIND, params[KIND], noun=NOUN, param=KIND)
    if token["payment_intent"] or token["setup_intent"]:
        raise _invalid(intent, guesses.CTOKEN_SPENT_MESSAGE.format(id=token["id"]))
    if token["expires_at"] <= call.now:
        raise _invalid(intent, guesses.CTOKEN_EXPIRED_MESSAGE.format(id=token["id"]))
    usage, own_usage = token["setup_future_usage"], intent.get("setup_future_usage")
    if usage and own_usage and usage != own_usage:
        raise _invalid(intent, guesses.CTOKEN_USAGE_MESSAGE.format(token=usage, intent=own_usage))
    token[intent["object"]] = intent["id"]
    call.save(token)
    brought = {
        "mandate_data": token["mandate_data"],
        "payment_method": token["_sim"]["payment_method"],
        "return_url": token["return_url"],
        "setup_future_usage": usage,
        "shipping": token["shipping"],
        "use_stripe_sdk": token["use_stripe_sdk"] or None,
    }
    given = {k: v for k, v in params.items() if k != KIND}
    return {k: v for k, v in brought.items() if v is not None} | given


def _invalid(intent: Json, message: str) -> StripeError:
    return refused(message, code=INVALID_CODES[intent["object"]], param=KIND)
