"""What Stripe said, in our words: an intent as it stands, and why a call did not succeed.

The three outcomes of a confirm are an `Intent` (look at its status), a `Failure` that says the
call was surely not executed or surely refused, and a `Failure` with an unknown outcome.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class IntentStatus(StrEnum):
    """Stripe's PaymentIntent statuses (https://docs.stripe.com/payments/paymentintents/lifecycle)."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    UNRECOGNIZED = "unrecognized"  # a status this version does not know: never a decision


@dataclass(frozen=True, slots=True)
class CardRefusal:
    """Why the card was refused: Stripe's code, decline_code, advice_code and message."""

    code: str
    message: str
    decline_code: str | None = None
    advice_code: str | None = None
    stripe_request_id: str | None = None
    """Of the answer that said so, where a call was refused."""
    charge: str | None = None
    """The failed charge, where the bank was asked: of two declines it tells which."""
    payment_method: str | None = None

    @property
    def is_authentication_failure(self) -> bool:
        """The card holder failed the challenge, as `last_payment_error` says it."""
        return self.code == "payment_intent_authentication_failure"

    @property
    def can_retry(self) -> bool:
        """Stripe's advice: https://docs.stripe.com/declines/codes, `try_again_later`."""
        return self.advice_code == "try_again_later"


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent as Stripe answered it. `amount` is in minor units."""

    id: str
    status: IntentStatus
    amount: int
    currency: str
    is_live: bool
    client_secret: str = field(repr=False)
    customer: str | None = None
    payment_method: str | None = None
    method: "Method | None" = None
    """The payment_method itself, where it was expanded."""
    redirect_url: str | None = field(default=None, repr=False)
    """The page of the challenge, where Stripe's next action is one to open; as secret as the
    client secret, which it carries."""
    latest_charge: str | None = None
    amount_received: int | None = None
    """What was charged, or taken of what was held."""
    capture_before: datetime | None = None
    """Until when it is held; known, as `amount_refunded` is, where the charge was expanded."""
    amount_refunded: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    last_error: CardRefusal | None = None
    created_at: datetime | None = None
    looked_at: datetime | None = None
    """When we asked, by our clock, where it was a look: of two looks the later one is right."""
    charged_at: datetime | None = None
    """When the latest charge was made; known, as `amount_refunded` is, where it was expanded."""
    is_customer_deleted: bool = False
    """Known where the customer was expanded."""
    is_replayed: bool = False
    """True when Stripe answered from the idempotency key: the state may be an old one."""
    stripe_request_id: str | None = None
    """Of the answer (https://docs.stripe.com/api/request_ids), where it was an intent's own."""
    charge: "Charge | None" = None
    """The latest charge, where it was expanded."""


class Reason(StrEnum):
    """Why a Stripe call gave no object. The comment says what is known of its effect."""

    DECLINED = "declined"  # executed: the card was refused
    METHOD_DEAD = "method_dead"  # not executed: the PaymentMethod may not be used again
    METHOD_FOREIGN = "method_foreign"  # not executed: it belongs to another customer
    METHOD_UNATTACHED = "method_unattached"  # not executed: there is nothing to detach it from
    METHOD_MISSING = "method_missing"  # not executed: no such PaymentMethod
    CUSTOMER_GONE = "customer_gone"  # not executed: the customer was deleted at Stripe
    UNEXPECTED_STATE = "unexpected_state"  # not executed: look at the intent
    INTENT_MISSING = "intent_missing"  # not executed: no such intent; never retires anything
    KEY_CONFLICT = "key_conflict"  # the key was used with other parameters: an alarm, then look
    NOT_REFUNDABLE = "not_refundable"  # not executed, and never will be: nothing can go back
    INVALID = "invalid"  # not executed: Stripe refused the parameters
    NOT_EXECUTED = "not_executed"  # rate limit, bad key, no connection, open circuit
    CONTRADICTED = "contradicted"  # the answer is about something else: nothing is known by it
    UNKNOWN = "unknown"  # lost answer, 409, 5xx, garbage: it may have been executed


@dataclass(frozen=True, slots=True)
class Failure:
    """A Stripe call that gave no object.

    `is_replayed`: Stripe answered from the idempotency key, so the execution is over and the same
    key will never answer anything else. `intent_status` is set when the error's body carried the
    PaymentIntent, whose id is `intent_id`. `code` and `param` are Stripe's, for the log; where the
    answer contradicts the question, `param` is the field that does.
    """

    reason: Reason
    message: str
    http_status: int | None = None
    refusal: CardRefusal | None = None
    intent_status: IntentStatus | None = None
    code: str | None = None
    param: str | None = None
    stripe_request_id: str | None = None
    is_replayed: bool = False
    intent_id: str | None = None

    @property
    def is_saved_error(self) -> bool:
        """A replayed 5xx: what its execution came to is not known by it."""
        return self.is_replayed and (self.http_status or 0) >= 500


class RefundStatus(StrEnum):
    """Stripe's statuses of a Refund (https://docs.stripe.com/api/refunds/object)."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNRECOGNIZED = "unrecognized"  # a status this version does not know: never a decision


@dataclass(frozen=True, slots=True)
class Refund:
    """A Refund as Stripe answered it. `amount` is in minor units."""

    id: str
    status: RefundStatus
    amount: int
    currency: str
    intent_id: str | None
    metadata: dict[str, str]
    failure_reason: str | None = None
    reason: str | None = None
    created_at: datetime | None = None
    stripe_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """A Dispute as Stripe answered it. `status` and `reason` are its words, which may grow in
    number; `evidence_due_at` is None where no answer can be given."""

    id: str
    charge: str
    intent_id: str | None
    amount: int
    currency: str
    reason: str
    status: str
    is_charge_refundable: bool
    evidence_due_at: datetime | None
    created_at: datetime
    is_live: bool


@dataclass(frozen=True, slots=True)
class EarlyFraudWarning:
    """A radar.early_fraud_warning as Stripe answered it."""

    id: str
    charge: str
    intent_id: str | None
    fraud_type: str
    is_actionable: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Customer:
    """A Customer as Stripe answered it: its id and its metadata, which says whose it is."""

    id: str
    metadata: dict[str, str]
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of Stripe's events, newest first, as JSON; `has_more` in the direction of travel."""

    events: list[dict[str, Any]] = field(repr=False)
    has_more: bool


@dataclass(frozen=True, slots=True)
class Method:
    """A PaymentMethod of type card as Stripe answered it."""

    id: str
    customer: str | None
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    fingerprint: str | None
    cardholder_name: str | None = None
    allow_redisplay: str | None = None
    """`always` where its holder agreed to have it shown again; attached by us it says nothing."""
    stripe_request_id: str | None = None
    """Of the answer, where it was that of an attach."""


class SetupIntentStatus(StrEnum):
    """Stripe's SetupIntent statuses (https://docs.stripe.com/payments/setupintents/lifecycle)."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    UNRECOGNIZED = "unrecognized"  # a status this version does not know: never a decision


@dataclass(frozen=True, slots=True)
class SetupIntent:
    """A SetupIntent as Stripe answered it; `method` is known where it was expanded."""

    id: str
    status: SetupIntentStatus
    is_live: bool
    client_secret: str = field(repr=False)
    customer: str | None
    metadata: dict[str, str]
    latest_attempt: str | None = None
    method: Method | None = None


@dataclass(frozen=True, slots=True)
class SetupAttempt:
    """One confirm of a SetupIntent, by the app. A failed challenge is no decline. `card` is the
    card's fingerprint where Stripe tells it, else the PaymentMethod's id."""

    id: str
    setup_intent: str | None
    is_over: bool
    is_declined: bool
    is_succeeded: bool
    card: str
    created_at: datetime


# --- whole lists ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """What was created at Stripe from `since` to `until`, both included, by whole seconds."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Item]):
    """A page of a list of Stripe's; `last_id` is where the next one begins, None on the last."""

    items: list[Item]
    last_id: str | None


@dataclass(frozen=True, slots=True)
class Charge:
    """A Charge as Stripe answered it. `amount` is in minor units; `intent_id` is None for one that
    was made without a PaymentIntent."""

    id: str
    intent_id: str | None
    amount: int
    amount_refunded: int
    currency: str
    is_succeeded: bool
    created_at: datetime
    metadata: dict[str, str]
    amount_captured: int | None = None
