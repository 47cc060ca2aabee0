"""Confirming a SetupIntent: one attempt to save a card, with a challenge where the card asks.

Recorded: 200 with `requires_action`, or `succeeded` after the card was attached; 402 with the open
intent after a decline. Only the parameter and the intent's own method count, never the customer's
default. Cards mint no mandate unless `mandate_data` asks for one.
"""

from typing import Any

from stripesim.objects import (
    challenges,
    confirmation_tokens,
    mandates,
    method_options,
    payment_methods,
    setup_attempts,
)
from stripesim.objects.events import emit
from stripesim.objects.payment_intents.refusals import CARDS_ONLY
from stripesim.objects.setup_intents import refusals
from stripesim.rules import states
from stripesim.rules.cards import Authentication
from stripesim.rules.declines import PROCESSING_ERROR, Decline
from stripesim.wire.errors import StripeError, invalid_request
from stripesim.wire.versions import PRIVATE
from stripesim.world import Call

Json = dict[str, Any]


def confirm(call: Call, intent: Json, params: Json) -> Json:
    """One attempt. Returns the SetupIntent after it; raises StripeError 400 or 402."""
    if states.allows(intent, "confirm"):
        params = confirmation_tokens.apply(call, intent, params)
    method = _choose_method(call, intent, params)
    if not states.allows(intent, "confirm"):
        raise refusals.cannot(intent, "confirm")
    if challenges.is_pending_with_another(call, intent, method):
        raise refusals.another_method_pending(intent)
    payment_methods.check_customer(call, intent)
    check_owner(call, intent, method)
    if method["type"] != "card":
        raise invalid_request(CARDS_ONLY, param="payment_method")
    if challenges.lacks_return_url(call, intent, params):
        raise refusals.no_return_url(intent)
    _apply(call, intent, params)
    if challenges.is_pending_with(intent, method):  # the challenge goes on
        call.save(intent)
        return intent
    return _attempt(call, intent, method, params)


def _choose_method(call: Call, intent: Json, params: Json) -> Json:
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
        return method
    wanted = params.get("payment_method") or intent["payment_method"]
    if not wanted:
        raise refusals.no_method(intent)
    return payment_methods.resolve(call, wanted)


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
    method_options.merge(intent, params)
    if params.get("return_url"):
        intent["_sim"]["return_url"] = params["return_url"]
    if params.get("mandate_data"):
        intent["_sim"]["acceptance"] = mandates.accept(call, params["mandate_data"])


def _attempt(call: Call, intent: Json, method: Json, params: Json) -> Json:
    setup_attempts.abandon(call, intent)
    intent.update(payment_method=method["id"], last_setup_error=None)
    intent["latest_attempt"] = setup_attempts.begin(call, intent, method)
    how = payment_methods.card_of(method).authentication
    is_wanted = method_options.requests_authentication(intent)
    if how is Authentication.OPTIONAL_BROKEN and is_wanted:
        raise _declined(call, intent, method, PROCESSING_ERROR)
    if challenges.asks_on_session(how, is_wanted=is_wanted):
        challenges.begin(call, intent, method, params, intent["latest_attempt"])
    else:
        _charge_nothing(call, intent, method, is_authenticated=False)
    return intent


def _charge_nothing(call: Call, intent: Json, method: Json, *, is_authenticated: bool) -> None:
    """Ask the issuer whether the card may be saved. Raises StripeError 402 on a decline.

    A card that attaches and is declined only when it is charged is saved.
    """
    card = payment_methods.card_of(method)
    is_lookup_broken = card.authentication is Authentication.LOOKUP_FAILS
    if card.decline and (is_lookup_broken or not card.attaches):
        raise _declined(call, intent, method, card.decline)
    payment_methods.pass_checks(method)
    method["_sim"]["is_set_up"] = True
    setup_attempts.end(call, intent, method, "succeeded", is_authenticated=is_authenticated)
    if intent["customer"] and method["_sim"]["state"] != "attached":
        payment_methods.give_to(call, method, intent["customer"])
    elif method["_sim"]["state"] != "attached":
        method["_sim"].update(state="dead", parked_by=None)
    call.save(method)
    if intent["_sim"]["acceptance"]:
        intent["mandate"] = mandates.make(call, method, intent["_sim"]["acceptance"])
    states.move(intent, "set_up")
    intent.update(last_setup_error=None, next_action=None)
    intent["_sim"]["challenge"] = None
    call.save(intent)
    emit(call, "setup_intent.succeeded", intent)


def _declined(call: Call, intent: Json, method: Json, decline: Decline) -> StripeError:
    """Recorded: 402 with the SetupIntent, open again and without its method.

    Recorded (stripe_world, 2026-08): the issuer that declines has checked the CVC, as on a charge.
    """
    payment_methods.pass_checks(method)
    error = StripeError(
        402,
        decline.message,
        type="card_error",
        code=decline.code,
        param=decline.param,
        extra=decline.error_fields(),
        keeps_writes=True,
        is_executed=True,
    )
    return _fail(call, intent, method, error)


def _fail(call: Call, intent: Json, method: Json, error: StripeError) -> StripeError:
    """The attempt is over: the intent waits for another method. Returns the error to raise."""
    if method["_sim"]["state"] != "attached":
        method["_sim"].update(state="dead", parked_by=None)
    call.save(method)
    error.extra["payment_method"] = {k: v for k, v in method.items() if k != PRIVATE}
    setup_attempts.end(call, intent, method, "failed", error=error.fields())
    states.move(intent, "attempt_failed")
    intent.update(payment_method=None, next_action=None, last_setup_error=error.fields())
    intent["_sim"]["challenge"] = None
    call.save(intent)
    emit(call, "setup_intent.setup_failed", intent)
    error.extra["setup_intent"] = intent
    return error


def authenticated(call: Call, intent: Json, method: Json, *, is_passed: bool) -> None:
    """The challenge was decided; a decline after it is in the intent's `last_setup_error`."""
    intent["next_action"] = None
    if not is_passed:
        code = "setup_intent_authentication_failure"
        _fail(call, intent, method, StripeError(400, refusals.FAILED_AUTHENTICATION, code=code))
        return
    try:
        payment_methods.reject_dead(method, intent["id"])
        _charge_nothing(call, intent, method, is_authenticated=True)
    except StripeError as error:
        if not error.keeps_writes:  # the method died meanwhile (detached)
            _fail(call, intent, method, error)
