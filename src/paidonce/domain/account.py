"""What a Stripe account holds that somebody else made: objects as they are read there, with what is
of use to tell them apart. Amounts are in minor units."""

from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.intent import IntentStatus, Method


@dataclass(frozen=True, slots=True)
class AccountCustomer:
    """`created_at` is None of one that was deleted: Stripe says no more of it."""

    id: str
    email: str | None
    metadata: dict[str, str]
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class AccountIntent:
    """A PaymentIntent. `method_id` is the one it was tried with last: after a decline Stripe names
    it in `last_payment_error` only. `has_consent`: `setup_future_usage` was asked
    for. `is_reuse_refused`: its last error was that its method may not be used again."""

    id: str
    status: IntentStatus
    amount: int
    currency: str
    customer: str | None
    method_id: str | None
    has_consent: bool
    is_tried: bool
    is_reuse_refused: bool
    metadata: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccountCharge:
    """A Charge, of an intent or made without one. `fingerprint` knows a card by its number."""

    id: str
    intent_id: str | None
    amount: int
    amount_refunded: int
    currency: str
    is_succeeded: bool
    customer: str | None
    method_id: str | None
    fingerprint: str | None
    metadata: dict[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccountMethod:
    """A PaymentMethod. `is_checked`: the bank was asked about its security code or address, which
    happens when it is attached or charged (recorded: `unchecked` until then)."""

    method: Method
    is_card: bool
    is_checked: bool


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """What an event is about. Its payload is not read: it shows how things were."""

    id: str
    type: str
    object_id: str
    created_at: datetime
