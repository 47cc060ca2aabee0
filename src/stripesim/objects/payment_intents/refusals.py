"""The refusals of a PaymentIntent, in Stripe's words. Those by state carry the intent itself."""

from typing import Any

from stripesim import guesses
from stripesim.rules.states import CALLS
from stripesim.wire.errors import StripeError, refused
from stripesim.world import Call

Json = dict[str, Any]
UNEXPECTED_STATE = "payment_intent_unexpected_state"
CARD_ERROR = "card_error"
UPDATABLE = ", ".join(CALLS[("payment_intent", "update")])
CUSTOMER_IS_FIXED = (
    "You cannot modify `customer` on a PaymentIntent once it already has been set. To fulfill a "
    "payment with a different Customer, cancel this PaymentIntent and create a new one."
)
NO_RETURN_URL = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because "
    "some of these payment methods might redirect your customer off of your page, you must provide "
    "a `return_url`. If you don't want to accept redirect-based payment methods, set "
    "`automatic_payment_methods[enabled]` to `true` and "
    "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
    "Payment Intents."
)
NOT_INCREMENTAL = (
    "This PaymentIntent is not eligible for incremental authorization because you did not request "
    "support using `request_incremental_authorization` when you created or confirmed it."
)
CARDS_ONLY = "Only cards can pay in this simulator."  # not Stripe's: it would take the payment
FAILED_AUTHENTICATION = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)
AUTHENTICATION_REQUIRED = "Your card was declined. This transaction requires authentication."
ACTION_NOT_HANDLED = (
    "This payment required an authentication action to complete, but `error_on_requires_action` was"
    " set. When you're ready, you can upgrade your integration to handle actions at "
    "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions."
)


def unexpected_state(intent: Json, message: str, param: str | None = None) -> StripeError:
    return refused(
        message,
        code=UNEXPECTED_STATE,
        param=param,
        payment_intent=intent,
    )


def already_confirmed(intent: Json) -> StripeError:
    return unexpected_state(
        intent,
        "You cannot confirm this PaymentIntent because it has already succeeded after being "
        "previously confirmed.",
    )


def cannot_confirm(intent: Json) -> StripeError:
    """Pasted from a real answer of 2020 about a hold (spree-contrib/spree_gateway#364)."""
    return unexpected_state(
        intent,
        f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}. "
        "Only a PaymentIntent with one of the following statuses may be confirmed: "
        "requires_confirmation, requires_action.",
    )


def another_method_pending(intent: Json) -> StripeError:
    message = guesses.STRICT_REQUIRES_ACTION_MESSAGE.format(intent="PaymentIntent")
    return unexpected_state(intent, message)


def no_method(intent: Json) -> StripeError:
    start = "You cannot confirm this PaymentIntent because it's missing a payment method. "
    if intent["customer"]:
        end = (
            f"To confirm the PaymentIntent with {intent['customer']}, specify a payment method "
            "attached to this customer along with the customer ID."
        )
    else:
        end = (
            "You can either update the PaymentIntent with a payment method and then confirm it "
            "again, or confirm it again directly with a payment method or ConfirmationToken."
        )
    return unexpected_state(intent, start + end)


def not_updatable(intent: Json, name: str) -> StripeError:
    return unexpected_state(
        intent,
        f"This PaymentIntent's {name} could not be updated because it has a status of "
        f"{intent['status']}. You may only update the {name} of a PaymentIntent with one of the "
        f"following statuses: {UPDATABLE}.",
        param=name,
    )


def _day(call: Call) -> str:
    """Texts change for all versions at once: the day of the version, or the one asked for."""
    return call.world.config.fields_as_of or call.version[:10]


def not_cancelable(call: Call, intent: Json) -> StripeError:
    since, day = guesses.CANCELABLE_SINCE, _day(call)
    cancelable = [s for s in CALLS[("payment_intent", "cancel")] if day >= since.get(s, "")]
    return unexpected_state(
        intent,
        f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only "
        "a PaymentIntent with one of the following statuses may be canceled: "
        f"{', '.join(cancelable)}.",
    )


def not_capturable(call: Call, intent: Json) -> StripeError:
    if intent["status"] == "succeeded":
        return unexpected_state(intent, _nothing_left(call, intent))
    return unexpected_state(
        intent,
        "This PaymentIntent could not be captured because it has a status of "
        f"{intent['status']}. Only a PaymentIntent with one of the following statuses may be "
        "captured: requires_capture.",
    )


def _nothing_left(call: Call, intent: Json) -> str:
    is_partial = intent["amount_received"] < intent["amount"]
    if is_partial and _day(call) >= guesses.REMAINDER_RELEASED_SINCE:
        return (
            "The remaining amount on this PaymentIntent could not be captured because the remainder"
            " of the authorized amount has been released."
        )
    return "This PaymentIntent could not be captured because it has already been captured."


def no_microdeposits(intent: Json) -> StripeError:
    """In the words recorded of a SetupIntent."""
    return refused(
        f"This PaymentIntent cannot be actioned on because it has a status of {intent['status']}. "
        "Only a PaymentIntent with one of the following statuses may be actioned on: "
        '["requires_action"].',
        code="intent_invalid_state",
        payment_intent=intent,
    )


def not_incrementable(intent: Json) -> StripeError:
    return unexpected_state(
        intent, guesses.NOT_INCREMENTABLE_MESSAGE.format(status=intent["status"])
    )


def capture_amount(amount: int, intent: Json) -> StripeError:
    """Recorded at 2026-08-26.dahlia: three refusals, and zero names another parameter."""
    if amount < 0:
        message = "Invalid non-negative integer"
        return refused(message, param="amount_to_capture", payment_intent=intent)
    if amount == 0:
        return refused(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param="amount",
            payment_intent=intent,
        )
    return refused(
        "The payment could not be captured because the requested capture amount is greater than the"
        " amount you can capture for this charge. Contact us via https://support.stripe.com/contact"
        "/ for help.",
        code="amount_too_large",
        payment_intent=intent,
    )


def belongs_to_other(intent: Json | None, method: Json, customer: str) -> StripeError:
    error = refused(
        f"The PaymentMethod {method['id']} does not belong to the Customer you supplied {customer}."
        " Please use this PaymentMethod with the Customer that it belongs to instead.",
        param="payment_method",
    )
    return _with_intent(error, intent)


def customer_is_missing(intent: Json | None, method: Json) -> StripeError:
    error = refused(
        f"The `payment_method` parameter supplied {method['id']} belongs to the Customer "
        f"{method['customer']}. Please include the Customer in the `customer` parameter on the "
        "PaymentIntent.",
        code="parameter_missing",
        param="source",
    )
    return _with_intent(error, intent)


def no_return_url(intent: Json) -> StripeError:
    return _with_intent(refused(NO_RETURN_URL), intent)


def _with_intent(error: StripeError, intent: Json | None) -> StripeError:
    if intent is not None:
        error.extra["payment_intent"] = intent
    return error
