"""Confirming: which method pays, whether it may, and whether its holder has to authenticate."""

from typing import Any
from urllib.parse import urlencode

from stripesim import guesses
from stripesim.objects import confirmation_tokens, payment_methods
from stripesim.objects.events import emit
from stripesim.objects.payment_intents import refusals, settle
from stripesim.rules import states
from stripesim.rules.cards import PROCESSING_ERROR, Authentication
from stripesim.wire.errors import StripeError, invalid_request
from stripesim.world import Call

Json = dict[str, Any]
CHALLENGE_PATH = "/3d_secure_2/hosted"


def confirm(call: Call, intent: Json, params: Json) -> Json:
    """One attempt. Returns the PaymentIntent after it; raises StripeError 400 or 402."""
    _check_state(call, intent)
    _count_confirm(call, intent)
    params = confirmation_tokens.apply(call, intent, params)
    method = _choose_method(call, intent, params)
    check_owner(call, intent, method)
    if method["type"] != "card":
        raise invalid_request(refusals.CARDS_ONLY, param="payment_method")
    _apply(intent, params)
    _check_return_url(call, intent, params)
    is_pending_with_it = (
        intent["status"] == "requires_action"
        and (intent["_sim"]["challenge"] or {}).get("payment_method") == method["id"]
    )
    if is_pending_with_it:  # the challenge goes on; a repeat does not begin another
        call.save(intent)
        return intent
    return _attempt(call, intent, method, params)


def _check_state(call: Call, intent: Json) -> None:
    if intent["status"] in ("succeeded", "requires_capture"):
        raise refusals.already_confirmed(call, intent)
    if not states.allows(intent, "confirm"):
        raise refusals.cannot_confirm(call, intent)
    if call.is_publishable and intent["confirmation_method"] == "manual":
        raise invalid_request(
            guesses.MANUAL_WITH_PUBLISHABLE_KEY_MESSAGE.format(id=intent["id"]),
            code="payment_intent_invalid_parameter",
        )


def _count_confirm(call: Call, intent: Json) -> None:
    """Documented: after too many confirms the PaymentIntent becomes canceled."""
    intent["_sim"]["confirms"] += 1
    if intent["_sim"]["confirms"] > guesses.MOST_CONFIRMS:
        settle.cancel(call, intent, "automatic")
        error = refusals.cannot_confirm(call, intent)
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
        raise refusals.no_method(call, intent)
    return _replacing(call, intent, payment_methods.resolve(call, wanted))


def _default(call: Call, intent: Json) -> str | None:
    customer = call.world.objects.get("customer", intent["customer"] or "")
    if customer is None or customer.get("deleted"):
        return None
    default: str | None = customer["invoice_settings"]["default_payment_method"]
    return default


def _replacing(call: Call, intent: Json, method: Json) -> Json:
    """Another method while the authentication is pending: replaced, or refused when strict."""
    is_other = intent["payment_method"] != method["id"]
    if (
        intent["status"] == "requires_action"
        and is_other
        and call.world.config.strict_requires_action
    ):
        raise refusals.another_method_pending(call, intent)
    return method


def check_owner(call: Call, intent: Json, method: Json, *, in_body: bool = True) -> None:
    """Raises StripeError 400 when the method is dead or belongs to someone else."""
    owner, customer = method["customer"], intent["customer"]
    shown = intent if in_body else None
    if owner and customer and owner != customer:
        raise refusals.belongs_to_other(call, shown, method, customer)
    if owner and not customer:
        raise refusals.customer_is_missing(call, shown, method)
    payment_methods.reject_dead(method, intent["id"])
    if method["type"] not in intent["payment_method_types"]:
        raise invalid_request(
            guesses.WRONG_METHOD_TYPE_MESSAGE.format(
                type=method["type"], allowed=", ".join(intent["payment_method_types"])
            ),
            code="payment_intent_incompatible_payment_method",
            param="payment_method",
        )


def _apply(intent: Json, params: Json) -> None:
    """What a confirm may change on the intent."""
    for name in ("receipt_email", "setup_future_usage", "shipping"):
        if name in params:
            intent[name] = params[name] or None
    if params.get("capture_method"):
        intent["capture_method"] = params["capture_method"]
    for name, options in (params.get("payment_method_options") or {}).items():
        intent["payment_method_options"].setdefault(name, {}).update(options or {})


def _check_return_url(call: Call, intent: Json, params: Json) -> None:
    """Recorded: with redirect methods in the dashboard a confirm needs a return_url."""
    automatic = intent["automatic_payment_methods"]
    may_redirect = bool(automatic and automatic["allow_redirects"] == "always")
    if (
        call.world.config.dashboard_methods
        and may_redirect
        and not (params.get("return_url") or intent["_sim"]["return_url"])
        and not call.is_publishable
    ):
        raise refusals.no_return_url(call, intent)
    if params.get("return_url"):
        intent["_sim"]["return_url"] = params["return_url"]


def _attempt(call: Call, intent: Json, method: Json, params: Json) -> Json:
    intent["last_payment_error"] = None
    intent["payment_method"] = method["id"]
    is_authenticated = intent["_sim"]["authenticated_with"] == method["id"]
    off_session = params.get("off_session") in (True, "true", "one_off", "recurring")
    if not is_authenticated and _has_to_authenticate(call, intent, method, off_session=off_session):
        if off_session:
            raise settle.fail(call, intent, method, _authentication_required())
        if params.get("error_on_requires_action"):
            raise settle.fail(call, intent, method, _action_not_handled())
        _begin_challenge(call, intent, method, params)
        return intent
    settle.charge(call, intent, method, is_authenticated=is_authenticated)
    return intent


def _has_to_authenticate(call: Call, intent: Json, method: Json, *, off_session: bool) -> bool:
    """Raises StripeError 402 where asking the bank itself ends in a decline."""
    card = payment_methods.card_of(method)
    how = card.authentication
    options = intent["payment_method_options"].get("card") or {}
    is_requested = options.get("request_three_d_secure") in ("any", "challenge") and not off_session
    if how is Authentication.ALWAYS:
        return True
    if how is Authentication.UNLESS_SET_UP:
        return not (off_session and method["_sim"]["is_set_up"])
    if how is Authentication.ON_SESSION:
        return not off_session
    if how is Authentication.OPTIONAL_BROKEN and is_requested:
        raise settle.declined(call, intent, method, PROCESSING_ERROR)
    return how is Authentication.OPTIONAL and is_requested


def _authentication_required() -> StripeError:
    return StripeError(
        402,
        refusals.AUTHENTICATION_REQUIRED,
        type=refusals.CARD_ERROR,
        code="authentication_required",
        extra={"decline_code": "authentication_required"},
    )


def _action_not_handled() -> StripeError:
    return StripeError(
        402,
        refusals.ACTION_NOT_HANDLED,
        type=refusals.CARD_ERROR,
        code="authentication_required",
        extra={"decline_code": "authentication_not_handled"},
    )


def _begin_challenge(call: Call, intent: Json, method: Json, params: Json) -> None:
    """The intent waits for its holder; the method is kept for this intent alone."""
    payment_methods.pass_checks(method)
    if method["_sim"]["state"] == "fresh":
        method["_sim"].update(state="parked", parked_by=intent["id"])
    call.save(method)
    challenge_id = call.world.ids.payment("payatt", call.now)
    address = _challenge_address(call, intent, challenge_id)
    return_url = params.get("return_url") or intent["_sim"]["return_url"]
    if return_url and not params.get("use_stripe_sdk"):
        intent["next_action"] = {
            "redirect_to_url": {"return_url": return_url, "url": address},
            "type": "redirect_to_url",
        }
    else:
        intent["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "source": challenge_id,
                "stripe_js": address,
                "type": "three_d_secure_redirect",
            },
        }
    states.move(intent, "authentication_asked")
    intent["_sim"]["challenge"] = {
        "id": challenge_id,
        "payment_method": method["id"],
        "return_url": return_url,
    }
    call.save(intent)
    emit(call, "payment_intent.requires_action", intent)


def _challenge_address(call: Call, intent: Json, challenge_id: str) -> str:
    query = urlencode(
        {
            "payment_intent": intent["id"],
            "payment_intent_client_secret": intent["client_secret"],
            "source": challenge_id,
        }
    )
    return f"{call.base_url}{CHALLENGE_PATH}?{query}"
