"""Confirming: which method pays, whether it may, and whether its holder has to authenticate."""

from typing import Any

from stripesim import guesses
from stripesim.objects import (
    addresses,
    challenges,
    confirmation_tokens,
    mandates,
    method_options,
    payment_methods,
)
from stripesim.objects.payment_intents import refusals, settle
from stripesim.rules import states
from stripesim.rules.cards import Authentication
from stripesim.rules.declines import PROCESSING_ERROR
from stripesim.wire.errors import StripeError, invalid_request, refused
from stripesim.world import Call

Json = dict[str, Any]


def confirm(call: Call, intent: Json, params: Json) -> Json:
    """One attempt. Returns the PaymentIntent after it; raises StripeError 400 or 402."""
    _check_state(call, intent)
    _count_confirm(call, intent)
    params = confirmation_tokens.apply(call, intent, params)
    method = _choose_method(call, intent, params)
    payment_methods.check_customer(call, intent)
    check_owner(call, intent, method)
    if method["type"] != "card":
        raise invalid_request(refusals.CARDS_ONLY, param="payment_method")
    if params.get("mandate"):
        call.load_param("mandate", params["mandate"], noun="mandate", param="mandate")
    _apply(call, intent, params)
    _check_return_url(call, intent, params)
    if challenges.is_pending_with(intent, method):  # the challenge goes on
        call.save(intent)
        return intent
    return _attempt(call, intent, method, params)


def _check_state(call: Call, intent: Json) -> None:
    if intent["status"] == "succeeded":
        raise refusals.already_confirmed(intent)
    if not states.allows(intent, "confirm"):
        raise refusals.cannot_confirm(intent)
    if call.is_publishable and intent["confirmation_method"] == "manual":
        raise refused(
            guesses.MANUAL_WITH_PUBLISHABLE_KEY_MESSAGE.format(id=intent["id"]),
            code="payment_intent_invalid_parameter",
        )


def _count_confirm(call: Call, intent: Json) -> None:
    """Documented: after too many confirms the PaymentIntent becomes canceled."""
    intent["_sim"]["confirms"] += 1
    if intent["_sim"]["confirms"] > guesses.MOST_CONFIRMS:
        settle.cancel(call, intent, "automatic")
        error = refusals.cannot_confirm(intent)
        error.keeps_writes = True
        raise error


def _choose_method(call: Call, intent: Json, params: Json) -> Json:
    """The parameter, else the intent's own, else the customer's default for invoices."""
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
        return _replacing(call, intent, method)
    wanted = params.get("payment_method") or intent["payment_method"] or _default(call, intent)
    if not wanted:
        raise refusals.no_method(intent)
    return _replacing(call, intent, payment_methods.resolve(call, wanted))


def _default(call: Call, intent: Json) -> str | None:
    customer = call.world.objects.get("customer", intent["customer"] or "")
    if customer is None or customer.get("deleted"):
        return None
    default: str | None = customer["invoice_settings"]["default_payment_method"]
    return default


def _replacing(call: Call, intent: Json, method: Json) -> Json:
    """Another method while the authentication is pending: replaced, or refused when strict."""
    if challenges.is_pending_with_another(call, intent, method):
        raise refusals.another_method_pending(intent)
    return method


def check_owner(call: Call, intent: Json, method: Json, *, in_body: bool = True) -> None:
    """Raises StripeError 400 when the method is dead or belongs to someone else."""
    owner, customer = method["customer"], intent["customer"]
    shown = intent if in_body else None
    if owner and customer and owner != customer:
        raise refusals.belongs_to_other(shown, method, customer)
    if owner and not customer:
        raise refusals.customer_is_missing(shown, method)
    payment_methods.reject_dead(method, intent["id"])
    payment_methods.check_type(method, intent)


def _apply(call: Call, intent: Json, params: Json) -> None:
    """What a confirm may change on the intent."""
    for name in ("receipt_email", "setup_future_usage"):
        if name in params:
            intent[name] = params[name] or None
    if "shipping" in params:
        intent["shipping"] = addresses.parcel(params["shipping"], intent["shipping"])
    if params.get("mandate_data"):
        intent["_sim"]["acceptance"] = mandates.accept(call, params["mandate_data"])
    if params.get("capture_method"):
        intent["capture_method"] = params["capture_method"]
    method_options.merge(intent, params)


def _check_return_url(call: Call, intent: Json, params: Json) -> None:
    if challenges.lacks_return_url(call, intent, params):
        raise refusals.no_return_url(intent)
    if params.get("return_url"):
        intent["_sim"]["return_url"] = params["return_url"]


def _attempt(call: Call, intent: Json, method: Json, params: Json) -> Json:
    intent["last_payment_error"] = None
    intent["payment_method"] = method["id"]
    is_authenticated = intent["_sim"]["authenticated_with"] == method["id"]
    off_session = params.get("off_session") in (True, "true", "one_off", "recurring")
    if not is_authenticated and _has_to_authenticate(call, intent, method, off_session=off_session):
        if off_session:
            error = _needs_authentication(refusals.AUTHENTICATION_REQUIRED, "required")
            raise settle.fail(call, intent, method, error)
        if params.get("error_on_requires_action"):
            error = _needs_authentication(refusals.ACTION_NOT_HANDLED, "not_handled")
            raise settle.fail(call, intent, method, error)
        challenge_id = call.world.ids.payment("payatt", call.now)
        challenges.begin(call, intent, method, params, challenge_id)
        return intent
    settle.charge(call, intent, method, is_authenticated=is_authenticated)
    return intent


def _has_to_authenticate(call: Call, intent: Json, method: Json, *, off_session: bool) -> bool:
    """Raises StripeError 402 where asking the bank itself ends in a decline."""
    how = payment_methods.card_of(method).authentication
    is_wanted = method_options.requests_authentication(intent) and not off_session
    if how is Authentication.OPTIONAL_BROKEN and is_wanted:
        raise settle.declined(call, intent, method, PROCESSING_ERROR)
    if not off_session:
        return challenges.asks_on_session(how, is_wanted=is_wanted)
    if how is Authentication.UNLESS_SET_UP:
        return not method["_sim"]["is_set_up"]
    return how is Authentication.ALWAYS


def _needs_authentication(message: str, why: str) -> StripeError:
    return StripeError(
        402,
        message,
        type=refusals.CARD_ERROR,
        code="authentication_required",
        extra={"decline_code": f"authentication_{why}"},
    )
