"""The end of a 3-D Secure challenge: what the page's two buttons do, and a client that gives up."""

from typing import Any

from stripesim import guesses
from stripesim.objects import clients
from stripesim.objects.payment_intents import authenticated as payments
from stripesim.objects.setup_intents import confirm as setups
from stripesim.wire.errors import refused
from stripesim.world import Call

Json = dict[str, Any]


class ChallengeIsOver(Exception):
    """The challenge was decided before, replaced by another, or its intent was canceled."""


def decide(
    call: Call,
    intent: Json,
    challenge_id: str | None,
    *,
    is_passed: bool,
    is_asked_again: bool = False,
) -> Json:
    """Decide the pending challenge (a certain one, or the current one when None).

    A SetupIntent and automatic confirmation go on at once; manual confirmation returns to
    `requires_confirmation` and the server has to confirm again, which `is_asked_again` meets
    another challenge. Returns the intent; a decline after the authentication is in its
    `last_payment_error` or `last_setup_error`. Raises ChallengeIsOver.
    """
    challenge = intent["_sim"]["challenge"]
    if challenge is None or (challenge_id is not None and challenge["id"] != challenge_id):
        raise ChallengeIsOver
    method = call.world.objects.get("payment_method", challenge["payment_method"])
    if method is None:
        raise ChallengeIsOver
    if intent["object"] == "setup_intent":
        setups.authenticated(call, intent, method, is_passed=is_passed)
    else:
        payments.authenticated(
            call, intent, method, is_passed=is_passed, is_asked_again=is_asked_again
        )
    return intent


def give_up_payment(call: Call, params: Json, intent_id: str) -> Json:
    return _give_up(call, clients.load(call, "payment_intent", intent_id, params), params)


def give_up_setup(call: Call, params: Json, intent_id: str) -> Json:
    return _give_up(call, clients.load(call, "setup_intent", intent_id, params), params)


def _give_up(call: Call, intent: Json, params: Json) -> Json:
    """`source_cancel`: mobile SDKs call it when the holder closes the challenge, which failed."""
    try:
        decide(call, intent, params["source"], is_passed=False)
    except ChallengeIsOver:
        message = guesses.NO_CHALLENGE_MESSAGE.format(intent=clients.NAMES[intent["object"]])
        raise refused(message, code=f"{intent['object']}_unexpected_state") from None
    return clients.shown(call, intent)
