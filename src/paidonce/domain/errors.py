"""Every error a client can be answered with, as one tree.

ServiceError                   code, message, money, next_step, http_status
├── Refused                    no money moved: refused before Stripe was asked to charge
├── PaymentFailed              Stripe said no to this attempt; the order can be paid by another
├── OutcomeUnknown             nobody knows yet; never "failed", the client waits and asks again
├── Unavailable                surely not executed; the same request may be sent again
└── InvariantBroken            something that must not happen did; a person has to look

`api.errors` is the only place that renders them; `gateway` is the only one that sees Stripe's own.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from paidonce.domain import money


class NextStep(StrEnum):
    """What the client should do next; the `nextStep` of every answer."""

    DONE = "done"
    AUTHENTICATE = "authenticate"
    RETRY = "retry"
    USE_OTHER_METHOD = "use_other_method"
    WAIT = "wait"
    SIGN_IN = "sign_in"
    FIX_REQUEST = "fix_request"
    CONTACT_SUPPORT = "contact_support"


class Money(StrEnum):
    """What is known about the money when the error is answered."""

    NOT_MOVED = "not_moved"
    UNKNOWN = "unknown"


@dataclass(eq=False)
class ServiceError(Exception):
    """An answer that is not a success.

    `code` is stable, lower snake case. `message` is the envelope's message, `details` its `errors`
    list (the message stands in when empty). `retry_after_seconds` is set where waiting helps.
    `decline_code` is Stripe's, only on declines. `why` is a word for the log, which no client sees.
    """

    code: str
    message: str
    http_status: int
    next_step: NextStep
    money: Money = Money.NOT_MOVED
    details: list[str] = field(default_factory=list)
    retry_after_seconds: int | None = None
    decline_code: str | None = None
    why: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Refused(ServiceError):
    """Refused before Stripe was asked to charge."""


class PaymentFailed(ServiceError):
    """Stripe refused this attempt, for good."""


class OutcomeUnknown(ServiceError):
    """The truth is at Stripe and not here yet."""


class Unavailable(ServiceError):
    """Surely not executed."""


class InvariantBroken(ServiceError):
    """A bug, or a fact that contradicts our books. Loud."""


# --- before Stripe -------------------------------------------------------------------------------


def invalid_request(detail: str) -> Refused:
    """A body, field or parameter that cannot be used; `detail` names it."""
    return Refused(
        "invalid_request", "Invalid request", 400, NextStep.FIX_REQUEST, details=[detail]
    )


def amount_too_small(smallest_minor: int, currency: str) -> Refused:
    """Less than Stripe charges in the currency."""
    return Refused(
        "amount_too_small",
        "Invalid amount",
        400,
        NextStep.FIX_REQUEST,
        details=[f"The smallest amount in {currency} is {smallest_minor} (minor units)."],
    )


def amount_too_large(largest_minor: int, currency: str) -> Refused:
    """More than Stripe charges in the currency."""
    return Refused(
        "amount_too_large",
        "Invalid amount",
        400,
        NextStep.FIX_REQUEST,
        details=[f"The largest amount in {currency} is {largest_minor} (minor units)."],
    )


def invalid_amount(step_minor: int, currency: str) -> Refused:
    """An amount that the currency does not have."""
    return Refused(
        "invalid_amount",
        "Invalid amount",
        400,
        NextStep.FIX_REQUEST,
        details=[f"Amounts in {currency} are multiples of {step_minor} (minor units)."],
    )


def invalid_order_id() -> Refused:
    return Refused("invalid_order_id", "The order id is not a UUID.", 400, NextStep.FIX_REQUEST)


def card_number_rejected() -> Refused:
    return Refused(
        "card_number_rejected",
        "Card numbers are not accepted here. Make a PaymentMethod with Stripe's SDK, send its id.",
        400,
        NextStep.FIX_REQUEST,
    )


def product_not_found(position: int) -> Refused:
    """Named by its place: what was sent is not said again, and not kept with the answer."""
    return Refused(
        "product_not_found",
        f"items[{position}].productId is not in the price list.",
        400,
        NextStep.FIX_REQUEST,
    )


def product_not_listed() -> Refused:
    return Refused(
        "product_not_listed", "The price list has no such product.", 404, NextStep.FIX_REQUEST
    )


def invalid_signature() -> Refused:
    return Refused(
        "invalid_signature", "The webhook signature is not valid.", 400, NextStep.FIX_REQUEST
    )


def not_authenticated(why: str = "user_unknown") -> Refused:
    """Unless it is said otherwise the token is good, and the host's table has no such user."""
    return Refused("not_authenticated", "Authentication required", 401, NextStep.SIGN_IN, why=why)


def not_found() -> Refused:
    return Refused("not_found", "Not found", 404, NextStep.FIX_REQUEST)


def order_not_found() -> Refused:
    return Refused("order_not_found", "Order not found", 404, NextStep.FIX_REQUEST)


def event_not_found() -> Refused:
    return Refused("event_not_found", "Event not found", 404, NextStep.FIX_REQUEST)


def payment_method_not_found() -> Refused:
    return Refused(
        "payment_method_not_found", "Payment method not found", 404, NextStep.USE_OTHER_METHOD
    )


def method_not_allowed() -> Refused:
    return Refused("method_not_allowed", "Method not allowed", 405, NextStep.FIX_REQUEST)


def order_not_payable(reason: str) -> Refused:
    return _order_refused(f"This order cannot be paid: {reason}.")


def order_already_paid() -> Refused:
    """To an app that would open a sheet: nothing is left to do."""
    return Refused("order_already_paid", "This order is paid already.", 409, NextStep.DONE)


def payment_sheet_unavailable() -> Refused:
    """With confirmation method `manual` only the server can confirm."""
    return Refused(
        "payment_sheet_unavailable",
        "This order is confirmed by the server: pay it with a PaymentMethod.",
        409,
        NextStep.USE_OTHER_METHOD,
    )


def order_not_cancelable(reason: str) -> Refused:
    """To the merchant: the same code, since the order's state is what stands in the way."""
    return _order_refused(f"This order cannot be canceled: {reason}.")


def order_not_capturable(reason: str) -> Refused:
    """To the merchant: nothing is held, or it is taken or released already."""
    return Refused(
        "order_not_capturable",
        f"This order cannot be captured: {reason}.",
        409,
        NextStep.CONTACT_SUPPORT,
    )


def _order_refused(message: str) -> Refused:
    return Refused("order_not_payable", message, 409, NextStep.CONTACT_SUPPORT)


def order_not_refundable(reason: str) -> Refused:
    return Refused(
        "order_not_refundable",
        f"This order cannot be refunded: {reason}.",
        409,
        NextStep.CONTACT_SUPPORT,
    )


def refund_exceeds_payment(left_minor: int, currency: str) -> Refused:
    """`left_minor` is what can still be given back."""
    left = f"{money.to_major(left_minor, currency)} {currency} (amountMinor {left_minor})"
    return Refused(
        "refund_exceeds_payment",
        f"The refund is more than what is left of the payment: {left}.",
        409,
        NextStep.FIX_REQUEST,
    )


def payment_disputed() -> Refused:
    return Refused(
        "payment_disputed",
        "The card holder has disputed this payment: Stripe gives nothing back beside the dispute.",
        409,
        NextStep.CONTACT_SUPPORT,
    )


def idempotency_mismatch() -> Refused:
    return Refused(
        "idempotency_mismatch",
        "This Idempotency-Key was used with another request body.",
        409,
        NextStep.FIX_REQUEST,
    )


def order_conflict(detail: str) -> Refused:
    """Another order has what only one may have; `detail` names the field."""
    return Refused(
        "order_conflict", "Order exists already", 409, NextStep.FIX_REQUEST, details=[detail]
    )


def body_too_large(limit_bytes: int) -> Refused:
    return Refused(
        "body_too_large",
        f"The request body is larger than {limit_bytes} bytes.",
        413,
        NextStep.FIX_REQUEST,
    )


def unsupported_media_type() -> Refused:
    return Refused("unsupported_media_type", "Send application/json.", 415, NextStep.FIX_REQUEST)


def too_many_attempts(retry_after_seconds: int) -> Refused:
    return Refused(
        "too_many_attempts",
        "Too many declined attempts. Please wait.",
        429,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


def too_many_requests(retry_after_seconds: int = 2) -> Refused:
    """Turned away at the door, so that one user leaves places to the others."""
    return Refused(
        "too_many_requests",
        "Too many requests at a time. It is safe to send this one again.",
        429,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


# --- Stripe said no ------------------------------------------------------------------------------


def card_declined(
    detail: str,
    *,
    code: str = "card_declined",
    message: str = "Payment failed",
    decline_code: str | None,
    can_retry: bool,
) -> PaymentFailed:
    """`detail` is Stripe's message for the card holder; `can_retry` is Stripe's own advice."""
    return PaymentFailed(
        code,
        message,
        402,
        NextStep.RETRY if can_retry else NextStep.USE_OTHER_METHOD,
        details=[detail],
        decline_code=decline_code,
    )


def card_declined_without_reason(message: str = "Payment failed") -> PaymentFailed:
    """To whoever has had many cards declined: not why, which a test of cards would live on."""
    return card_declined(
        "Your card was declined.", message=message, decline_code=None, can_retry=False
    )


def authentication_failed(*, can_retry: bool) -> PaymentFailed:
    """`can_retry`: with the same PaymentMethod, which a single use has used up."""
    return PaymentFailed(
        "authentication_failed",
        "Payment failed",
        402,
        NextStep.RETRY if can_retry else NextStep.USE_OTHER_METHOD,
        details=["The card holder was not authenticated. Please try again."],
    )


def payment_method_consumed() -> PaymentFailed:
    return PaymentFailed(
        "payment_method_consumed",
        "Payment failed",
        402,
        NextStep.USE_OTHER_METHOD,
        details=["This card entry cannot be used again. Please enter the card once more."],
    )


def hold_over() -> PaymentFailed:
    """The payment was authorized, and the hold ended before it was captured."""
    return PaymentFailed(
        "authorization_expired",
        "Payment failed",
        402,
        NextStep.RETRY,
        details=["The authorized amount was released again. Please pay once more."],
    )


# --- nobody knows yet, or somebody else is at it -------------------------------------------------


def payment_processing(retry_after_seconds: int = 5) -> OutcomeUnknown:
    return OutcomeUnknown(
        "payment_processing",
        "The outcome of this payment is not known yet. Ask again; do not enter a new card.",
        409,
        NextStep.WAIT,
        money=Money.UNKNOWN,
        retry_after_seconds=retry_after_seconds,
    )


def payment_in_progress(retry_after_seconds: int = 5) -> OutcomeUnknown:
    return OutcomeUnknown(
        "payment_in_progress",
        "Another request is paying this order now.",
        409,
        NextStep.WAIT,
        money=Money.UNKNOWN,
        retry_after_seconds=retry_after_seconds,
    )


def authentication_pending() -> OutcomeUnknown:
    """A sheet is asked for while a challenge of the order's payment can still be passed."""
    return OutcomeUnknown(
        "authentication_pending",
        "The card holder is asked to authenticate a payment of this order.",
        409,
        NextStep.AUTHENTICATE,
        money=Money.UNKNOWN,
    )


def method_in_use(retry_after_seconds: int = 5) -> OutcomeUnknown:
    """A saved card cannot be deleted while a payment with it is not over."""
    return OutcomeUnknown(
        "payment_in_progress",
        "A payment with this card is not over yet. Delete the card afterwards.",
        409,
        NextStep.WAIT,
        money=Money.UNKNOWN,
        retry_after_seconds=retry_after_seconds,
    )


# --- surely not executed -------------------------------------------------------------------------


def stripe_unavailable(retry_after_seconds: int = 5) -> Unavailable:
    return Unavailable(
        "stripe_unavailable",
        "The payment was not made: Stripe did not take it. It is safe to try again.",
        503,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


def card_not_saved(retry_after_seconds: int = 5) -> Unavailable:
    """As stripe_unavailable, where no payment was asked for."""
    return Unavailable(
        "stripe_unavailable",
        "The card was not saved: Stripe did not answer. It is safe to try again.",
        503,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


def refund_not_made(retry_after_seconds: int = 5) -> Unavailable:
    """As stripe_unavailable, where money was to go back."""
    return Unavailable(
        "stripe_unavailable",
        "The refund was not made: Stripe did not answer. It is safe to try again.",
        503,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


def service_unavailable(retry_after_seconds: int = 5) -> Unavailable:
    return Unavailable(
        "service_unavailable",
        "The service is not ready. It is safe to try again.",
        503,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


def service_overloaded(retry_after_seconds: int = 2) -> Unavailable:
    """Turned away at the door: nothing was done for this request."""
    return Unavailable(
        "service_unavailable",
        "The service is busy and did not take this request. It is safe to try again.",
        503,
        NextStep.RETRY,
        retry_after_seconds=retry_after_seconds,
    )


# --- must not happen -----------------------------------------------------------------------------


def internal_error() -> InvariantBroken:
    return InvariantBroken(
        "internal_error",
        "Something went wrong on our side. Please contact support with this request id.",
        500,
        NextStep.CONTACT_SUPPORT,
        money=Money.UNKNOWN,
    )
