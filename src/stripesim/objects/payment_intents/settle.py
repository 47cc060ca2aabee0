"""The charge of an attempt, its capture, the release of a hold, and declines."""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import charges, disputes, mandates, method_options, payment_methods
from stripesim.objects.events import emit, emit_update
from stripesim.objects.payment_intents import refusals
from stripesim.rules import states
from stripesim.rules.declines import Decline
from stripesim.wire.errors import StripeError
from stripesim.wire.versions import PRIVATE
from stripesim.world import Call

Json = dict[str, Any]
EXPIRE_AUTHORIZATION = "expire_authorization"


def charge(call: Call, intent: Json, method: Json, *, is_authenticated: bool) -> None:
    """One attempt to take the money. Raises StripeError 402 (keeping its writes) on a decline."""
    decline = payment_methods.card_of(method).decline
    if decline is None:
        _succeed(call, intent, method, is_authenticated=is_authenticated)
    else:
        raise declined(call, intent, method, decline, is_authenticated=is_authenticated)


def _succeed(call: Call, intent: Json, method: Json, *, is_authenticated: bool) -> None:
    is_checked_anew = payment_methods.pass_checks(method)
    paid = charges.make(call, intent, method, decline=None, is_authenticated=is_authenticated)
    intent.update(
        payment_method=method["id"],
        latest_charge=paid["id"],
        last_payment_error=None,
        next_action=None,
    )
    intent["_sim"].update(challenge=None, authenticated_with=None)
    acceptance = intent["_sim"]["acceptance"]
    if acceptance and method_options.usage(intent):
        mandate = mandates.make(call, method, acceptance)
        paid["payment_method_details"]["card"]["mandate"] = mandate
    is_held = method_options.is_captured_later(intent)
    is_async = intent["capture_method"] == "automatic_async"
    if not is_held:
        take_money(call, paid, intent["amount"], is_async=is_async)
    call.add(paid)
    _keep_or_consume(call, intent, method, is_changed=is_checked_anew)
    emit(call, "charge.succeeded", paid)
    if is_held:
        states.move(intent, "money_held")
        intent["amount_capturable"] = intent["amount"]
        call.save(intent)
        expires_at = call.now + charges.AUTHORIZATION_SECONDS
        call.world.timers.add(expires_at, EXPIRE_AUTHORIZATION, intent["id"])
        emit(call, "payment_intent.amount_capturable_updated", intent)
    else:
        disputes.open_for(call, paid, is_async=is_async)
        states.move(intent, "money_taken")
        intent["amount_received"] = intent["amount"]
        call.save(intent)
        emit(call, "payment_intent.succeeded", intent)


def take_money(call: Call, paid: Json, amount: int, *, is_async: bool = False) -> None:
    """The charge is captured: balance transaction and ledger, which knows a direct charge by its
    own id.
    """
    states.move(paid, "captured")
    paid["amount_captured"] = amount
    if is_async and call.world.config.async_balance:
        lands_at = call.now + guesses.BALANCE_LANDS_AFTER_SECONDS
        call.world.timers.add(lands_at, charges.LAND_BALANCE, paid["id"])
    else:
        charges.book(call, paid)
    call.world.ledger.append(
        "captured",
        call.now,
        payment_intent=paid["payment_intent"] or paid["id"],
        customer=paid["customer"],
        charge=paid["id"],
        amount=amount,
        currency=paid["currency"],
    )


def _keep_or_consume(call: Call, intent: Json, method: Json, *, is_changed: bool) -> None:
    """After a success: attached stays; setup_future_usage attaches or keeps; otherwise dead."""
    usage = method_options.usage(intent)
    if usage == "off_session" and not method["_sim"]["is_set_up"]:
        method["_sim"]["is_set_up"] = is_changed = True
    if method["_sim"]["state"] == "attached":
        if is_changed:
            call.save(method)
    elif usage and intent["customer"]:
        payment_methods.give_to(call, method, intent["customer"])
    else:
        method["_sim"].update(state="kept" if usage else "dead", parked_by=None)
        call.save(method)


def declined(
    call: Call, intent: Json, method: Json, decline: Decline, *, is_authenticated: bool = False
) -> StripeError:
    """Write the failed charge, open the PaymentIntent again, and return the 402 to raise."""
    payment_methods.pass_checks(method)
    failed = charges.make(call, intent, method, decline=decline, is_authenticated=is_authenticated)
    call.add(failed)
    error = StripeError(
        402,
        decline.message,
        type=refusals.CARD_ERROR,
        code=decline.code,
        param=decline.param,
        extra={**decline.error_fields(), "charge": failed["id"]},
    )
    intent["latest_charge"] = failed["id"]
    return fail(call, intent, method, error, before=[("charge.failed", failed)])


def fail(
    call: Call,
    intent: Json,
    method: Json,
    error: StripeError,
    before: list[tuple[str, Json]] | None = None,
) -> StripeError:
    """An attempt is over without money: the intent waits for another method. Keeps its writes."""
    if method["_sim"]["state"] != "attached":
        method["_sim"].update(state="dead", parked_by=None)
    call.save(method)
    states.move(intent, "attempt_failed")
    intent.update(
        payment_method=None,
        next_action=None,
        last_payment_error={
            **error.fields(),
            "payment_method": {k: v for k, v in method.items() if k != PRIVATE},
            "payment_method_type": method["type"],
        },
    )
    intent["_sim"].update(challenge=None, authenticated_with=None)
    call.save(intent)
    for kind, obj in before or []:
        emit(call, kind, obj)
    emit(call, "payment_intent.payment_failed", intent)
    error.extra.update(payment_method=method, payment_intent=intent)
    error.keeps_writes = error.is_executed = True
    return error


def failed_authentication() -> StripeError:
    """What `last_payment_error` says after the challenge was failed; nobody is answered with it."""
    code = "payment_intent_authentication_failure"
    return StripeError(400, refusals.FAILED_AUTHENTICATION, code=code)


def capture(call: Call, intent: Json, amount: int) -> None:
    """Take the held money; what is not captured is released."""
    held = call.world.objects.get("charge", intent["latest_charge"])
    if held is None:
        raise LookupError(intent["latest_charge"])
    take_held(call, held, amount)
    states.move(intent, "captured")
    intent.update(amount_received=amount, amount_capturable=0)
    call.save(intent)
    emit(call, "payment_intent.succeeded", intent)


def take_held(call: Call, held: Json, amount: int) -> None:
    """Capture a charge that is only authorized; what is not taken is released.

    Recorded: a PaymentIntent's charge then still says `amount_refunded` 0. Documented: a direct
    charge's shows the rest there.
    """
    before = copy.deepcopy(held)
    take_money(call, held, amount)
    if not held["payment_intent"]:
        held["amount_refunded"] = held["amount"] - amount
    call.save(held)
    emit_update(call, "charge.captured", before, held)
    disputes.open_for(call, held)


def cancel(call: Call, intent: Json, reason: str | None) -> None:
    """Cancel for good; a hold is released (recorded: the charge then shows it as refunded)."""
    if intent["status"] == "requires_capture":
        held = call.world.objects.get("charge", intent["latest_charge"])
        if held is not None:
            before = copy.deepcopy(held)
            states.move(held, "released")
            held["amount_refunded"] = held["amount"]
            call.save(held)
            emit_update(call, "charge.refunded", before, held)
    states.move(intent, "canceled")
    intent.update(
        canceled_at=call.now,
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    intent["_sim"].update(challenge=None, authenticated_with=None)
    call.save(intent)
    emit(call, "payment_intent.canceled", intent)


def expire_authorization(call: Call, intent_id: str) -> None:
    """The hold was not captured in time."""
    intent = call.world.objects.get("payment_intent", intent_id)
    if intent is None or intent["status"] != "requires_capture":
        return
    held = call.world.objects.get("charge", intent["latest_charge"])
    if held is not None:
        emit(call, "charge.expired", held)
    cancel(call, intent, guesses.EXPIRED_AUTHORIZATION_REASON)
