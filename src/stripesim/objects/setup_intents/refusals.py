"""The refusals of a SetupIntent, in Stripe's words. Those by state carry the intent itself.

Probed at 2026-08-26.dahlia (Kiln-AI/stripe_world, cassette 10), but for what stands in `guesses`.
"""

from typing import Any

from stripesim import guesses
from stripesim.rules.states import CALLS
from stripesim.wire.errors import StripeError, refused

Json = dict[str, Any]
UNEXPECTED_STATE = "setup_intent_unexpected_state"
CANCELABLE = "`{}`, `{}`, or `{}`".format(*CALLS[("setup_intent", "cancel")])
NO_METHOD = (
    "You cannot confirm this SetupIntent because it's missing a payment method. You can either "
    "update the SetupIntent with a payment method and then confirm it again, or confirm it again "
    "directly with a payment method or ConfirmationToken."
)
# Asserted by the iOS SDK's tests, for `last_setup_error` after a failed challenge.
FAILED_AUTHENTICATION = (
    "The latest attempt to set up the payment method has failed because authentication failed."
)


def _state(intent: Json, message: str) -> StripeError:
    return refused(message, code=UNEXPECTED_STATE, setup_intent=intent)


def no_method(intent: Json) -> StripeError:
    """Comes before the refusals by state: a canceled intent without a method hears this."""
    return _state(intent, NO_METHOD)


def cannot(intent: Json, verb: str) -> StripeError:
    """Confirming or updating what is over."""
    over = "has already succeeded" if intent["status"] == "succeeded" else "has been canceled"
    return _state(intent, f"You cannot {verb} this SetupIntent because it {over}.")


def another_method_pending(intent: Json) -> StripeError:
    message = guesses.STRICT_REQUIRES_ACTION_MESSAGE.format(intent="SetupIntent")
    return _state(intent, message)


def cannot_cancel(intent: Json) -> StripeError:
    if intent["status"] == "canceled":
        message = "You cannot cancel this SetupIntent because it is already canceled."
        return _state(intent, message)
    return _state(
        intent,
        f"You cannot cancel this SetupIntent because it has a status of {intent['status']}. Only a "
        f"SetupIntent with one of the following statuses may be canceled: {CANCELABLE}.",
    )


def belongs_to_other(intent: Json | None, method: Json, customer: str) -> StripeError:
    return _ownership(
        intent,
        f"The PaymentMethod {method['id']} does not belong to the Customer you supplied {customer}."
        " Please use this PaymentMethod with the Customer that it belongs to instead.",
    )


def customer_is_missing(intent: Json | None, method: Json) -> StripeError:
    return _ownership(
        intent,
        f"The payment method supplied ({method['id']}) belongs to the Customer "
        f"{method['customer']}. Please include the Customer in the `customer` parameter on the "
        "SetupIntent.",
    )


def _ownership(intent: Json | None, message: str) -> StripeError:
    """A create's refusal carries no intent, since none is left."""
    carried: Any = {"setup_intent": intent} if intent else {}
    return refused(message, param="payment_method", **carried)


def no_return_url(intent: Json) -> StripeError:
    message = guesses.SETUP_NO_RETURN_URL_MESSAGE
    return refused(message, setup_intent=intent)


def no_microdeposits(intent: Json) -> StripeError:
    return refused(
        f"This SetupIntent cannot be actioned on because it has a status of {intent['status']}. "
        "Only a SetupIntent with one of the following statuses may be actioned on: "
        '["requires_action"].',
        code="intent_invalid_state",
        setup_intent=intent,
    )
