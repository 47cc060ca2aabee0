"""What the merchant asks for of all orders and payments, and the evidence of one order.

Amounts are integers in minor units, times are UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from paidonce.domain.model import PaymentSummary

ORDER_STATUSES = ("pending", "canceling", "canceled", "paid")
PAYMENT_STATUSES = (
    "processing",
    "requires_action",
    "failed",
    "authorized",
    "succeeded",
    "refunded",
    "canceled",
    "surplus",
)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What is None filters nothing. `created_from` is included, `created_to` is not."""

    user_id: str | None = None
    status: str | None = None
    order_number: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """As OrderFilter; `status` is one of PAYMENT_STATUSES."""

    user_id: str | None = None
    status: str | None = None
    order_id: str | None = None
    order_number: str | None = None
    stripe_payment_intent_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class MerchantPayment:
    """One payment as the merchant sees it. `amount_captured_minor` is what was taken of a hold,
    None where nothing was held; `capture_before` is until when Stripe holds it."""

    summary: PaymentSummary
    user_id: str
    order_number: str
    generation: int
    stripe_charge_id: str | None
    amount_refunded_minor: int
    amount_captured_minor: int | None
    capture_before: datetime | None
    error_code: str | None
    decline_code: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened. `about` is the payment, attempt, event or notice it is about."""

    at: datetime
    kind: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The evidence of an order: its payments with their attempts, and everything that happened, in
    order. `is_complete` is False when there is more than is shown."""

    payments: list[dict[str, Any]]
    entries: list[TimelineEntry]
    is_complete: bool
