"""What the use cases of refunds and disputes take and give: frozen shapes without behaviour.

Amounts are integers in minor units, currencies lower-case ISO 4217 codes, times UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
"""All that Stripe takes (https://docs.stripe.com/api/refunds/create, `reason`); `fraudulent` also
puts the card and the e-mail on the account's block lists."""

DISPUTE_STATUSES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
    "prevented",
    "appeal_needs_response",
    "appeal_under_review",
)
"""Stripe's (https://docs.stripe.com/api/disputes/object). A new one of theirs is
stored and shown like any, and cannot be asked for by name."""


@dataclass(frozen=True, slots=True)
class RefundCommand:
    """The merchant wants money to go back. `amount_minor` None: all that is left. `payment_id`
    names one of the order's payments, where it has more than one that was charged. `key` is the
    request's Idempotency-Key, 1 to 255 characters."""

    order_id: str
    key: str = field(repr=False)
    amount_minor: int | None = None
    reason: str | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class RefundView:
    """A refund. `status`: processing (asked for, Stripe has not made it yet), then Stripe's words
    pending, requires_action, succeeded, failed, canceled; or refused (Stripe never makes it).

    `cause`: requested by the merchant, surplus (the money fitted no order) or dashboard (made at
    Stripe by somebody else).
    """

    id: str
    order_id: str
    payment_id: str
    cause: str
    status: str
    amount_minor: int
    currency: str
    reason: str | None
    failure_reason: str | None
    stripe_refund_id: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DisputeView:
    """A dispute. `id`, `reason` and `status` are Stripe's; `evidence_due_at` is None where the bank
    takes no answer, `closed_at` is when it was seen to be over."""

    id: str
    order_id: str
    payment_id: str
    stripe_charge_id: str
    amount_minor: int
    currency: str
    reason: str
    status: str
    is_charge_refundable: bool
    evidence_due_at: datetime | None
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """An early fraud warning of the card's bank. `is_actionable`: as it was when it came."""

    id: str
    payment_id: str
    stripe_charge_id: str
    fraud_type: str
    is_actionable: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Surplus:
    """A payment of the order that was charged and pays for nothing: its generation was retired, or
    the order was canceled or paid otherwise."""

    payment_id: str
    amount_minor: int
    amount_refunded_minor: int
    currency: str
    stripe_payment_intent_id: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """Everything about an order's money that went back, is wanted back or should go back."""

    refunds: list[RefundView]
    surplus: list[Surplus]
    disputes: list[DisputeView]
    fraud_warnings: list[FraudWarning]
