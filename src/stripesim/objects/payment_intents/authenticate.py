"""The end of a 3-D Secure challenge: what the page's two buttons do."""

from typing import Any

from stripesim.objects import payment_methods
from stripesim.objects.payment_intents import settle
from stripesim.rules import states
from stripesim.wire.errors import StripeError
from stripesim.world import Call

Json = dict[str, Any]


class ChallengeIsOver(Exception):
    """The challenge was decided before, replaced by another, or its intent was canceled."""


def authenticate(
    call: Call,
    intent: Json,
    challenge_id: str | None,
    *,
    is_passed: bool,
    is_asked_again: bool = False,
) -> Json:
    """Decide the pending challenge (a certain one, or the current one when None).

    Automatic confirmation charges at once; manual confirmation returns to `requires_confirmation`
    and the server has to confirm again, which `is_asked_again` meets another challenge. Returns the
    intent; a decline after the authentication is in its `last_payment_error`. Raises
    ChallengeIsOver.
    """
    challenge = intent["_sim"]["challenge"]
    if challenge is None or (challenge_id is not None and challenge["id"] != challenge_id):
        raise ChallengeIsOver
    method = call.world.objects.get("payment_method", challenge["payment_method"])
    if method is None:
        raise ChallengeIsOver
    intent["next_action"] = None
    if not is_passed:
        settle.fail(call, intent, method, settle.failed_authentication())
    elif intent["confirmation_method"] == "manual":
        _wait_for_the_server(call, intent, None if is_asked_again else method["id"])
    else:
        _charge(call, intent, method)
    return intent


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
