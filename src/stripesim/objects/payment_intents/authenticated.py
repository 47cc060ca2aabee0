"""What follows when a PaymentIntent's challenge was passed or failed."""

from typing import Any

from stripesim.objects import payment_methods
from stripesim.objects.payment_intents import settle
from stripesim.rules import states
from stripesim.wire.errors import StripeError
from stripesim.world import Call

Json = dict[str, Any]


def authenticated(
    call: Call, intent: Json, method: Json, *, is_passed: bool, is_asked_again: bool
) -> None:
    """Automatic confirmation charges at once; manual confirmation waits for the server."""
    intent["next_action"] = None
    if not is_passed:
        settle.fail(call, intent, method, settle.failed_authentication())
    elif intent["confirmation_method"] == "manual":
        _wait_for_the_server(call, intent, None if is_asked_again else method["id"])
    else:
        _charge(call, intent, method)


def _wait_for_the_server(call: Call, intent: Json, authenticated_with: str | None) -> None:
    """Documented (docs.stripe.com/api/payment_intents/confirm): the server's confirm initiates the
    next payment attempt, and every confirm may ask for authentication."""
    states.move(intent, "authentication_passed")
    intent["_sim"].update(challenge=None, authenticated_with=authenticated_with)
    call.save(intent)


def _charge(call: Call, intent: Json, method: Json) -> None:
    try:
        payment_methods.reject_dead(method, intent["id"])
        settle.charge(call, intent, method, is_authenticated=True)
    except StripeError as error:
        if not error.keeps_writes:  # the method died meanwhile (detached)
            settle.fail(call, intent, method, error)
