"""One intent of Stripe's beside what our books hold about it. Pure: no database, no Stripe.

Ours are the intents whose metadata carries our namespace, and those that a payment of ours has
recorded. Whatever may still be on its way is no finding: a charge of the last minutes, an attempt
that recovery has had no time for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paidonce.domain.intent import Charge, Intent, IntentStatus
from paidonce.domain.states import OrderStatus, PaymentState
from paidonce.reconcile.findings import Finding, Kind, Remedy
from paidonce.store.comparison import Books
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow

IN_FLIGHT = timedelta(minutes=5)
"""Webhooks and recovery record a charge within a minute; clocks may be minutes apart."""
RECOVERY_TIME = timedelta(hours=1)
"""An attempt that is open for longer was not resolved: its windows are a quarter of an hour."""
RETIRED = (PaymentState.CANCELED, PaymentState.SURPLUS)
DISMISSED = (Kind.FORGOTTEN_INTENT, Kind.CHARGE_WITHOUT_ORDER)
"""What is told no more of an intent that was dismissed. A second charge still is."""
CANCELABLE = (
    IntentStatus.REQUIRES_PAYMENT_METHOD,
    IntentStatus.REQUIRES_CONFIRMATION,
    IntentStatus.REQUIRES_ACTION,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What our books hold about one intent: the payment that has recorded it, the payment that its
    metadata names, their order with its standing payment and that one's live attempt, whose the
    customer is, and whether a person has dismissed it."""

    recorded: PaymentRow | None
    named: PaymentRow | None
    order: OrderRow | None
    standing: PaymentRow | None
    attempt: AttemptRow | None
    customers_user: str | None
    is_dismissed: bool

    @property
    def is_paid(self) -> bool:
        return self.order is not None and self.order.status is OrderStatus.PAID

    @property
    def is_pending(self) -> bool:
        return self.order is not None and self.order.status is OrderStatus.PENDING


def is_ours(metadata: dict[str, str], namespace: str) -> bool:
    return metadata.get("namespace") == namespace


def known_of(intent: Intent, books: Books) -> Known:
    """The intent's part of the books of its page."""
    recorded = books.recorded.get(intent.id)
    order_id = recorded.order_id if recorded else intent.metadata.get("order_id", "")
    standing = books.standing.get(order_id)
    return Known(
        recorded=recorded,
        named=books.payments.get(intent.metadata.get("payment_id", "")),
        order=books.orders.get(order_id),
        standing=standing,
        attempt=books.attempts.get(standing.id) if standing else None,
        customers_user=books.users.get(intent.customer or ""),
        is_dismissed=intent.id in books.dismissed,
    )


def compare_intent(intent: Intent, known: Known, *, namespace: str, now: datetime) -> list[Finding]:
    """Every way in which the two disagree."""
    if known.recorded is not None:
        return [
            *_money_of(intent, known.recorded, known),
            *_customer_of(intent, known.recorded, known),
            *_state_of(intent, known.recorded, known, now),
        ]
    if intent.status is IntentStatus.CANCELED:
        return []
    if not is_ours(intent.metadata, namespace):
        return list(_foreign(intent, known))
    found = _unrecorded(intent, known, now)
    return [each for each in found if not (known.is_dismissed and each.kind in DISMISSED)]


def compare_charge(charge: Charge, order: OrderRow | None, *, namespace: str) -> list[Finding]:
    """A charge that was made without a PaymentIntent: never by us."""
    is_returned = charge.amount_refunded >= charge.amount
    if not charge.is_succeeded or is_returned:
        return []
    values: dict[str, Any] = {
        "stripe_id": charge.id,
        "amount_minor": charge.amount,
        "currency": charge.currency,
    }
    if order is not None:
        detail = "a charge without a PaymentIntent names this order"
        return [Finding(Kind.FOREIGN_CHARGE, detail, order_id=order.id, **values)]
    if is_ours(charge.metadata, namespace):
        detail = "the charge carries our namespace and names no order of ours"
        return [Finding(Kind.CHARGE_WITHOUT_ORDER, detail, **values)]
    return []


# --- an intent that a payment has recorded -------------------------------------------------------


def _money_of(intent: Intent, payment: PaymentRow, known: Known) -> Iterator[Finding]:
    if intent.status is IntentStatus.CANCELED:
        return
    amount = known.order.amount_minor if known.order else payment.amount_minor
    currency = known.order.currency if known.order else payment.currency
    if intent.amount != amount or payment.amount_minor != amount:
        detail = (
            f"Stripe has {intent.amount}, the payment {payment.amount_minor}, the order {amount}"
        )
        yield _finding(Kind.WRONG_AMOUNT, intent, known, detail)
    if intent.currency != currency or payment.currency != currency:
        detail = f"Stripe has {intent.currency}, the order {currency}"
        yield _finding(Kind.WRONG_CURRENCY, intent, known, detail)


def _customer_of(intent: Intent, payment: PaymentRow, known: Known) -> Iterator[Finding]:
    if intent.status is IntentStatus.CANCELED:
        return
    detail = None
    if known.customers_user not in (None, payment.user_id):
        detail = "the intent is on the customer of another user"
    elif intent.customer != payment.stripe_customer_id:
        detail = (
            f"the intent is on {intent.customer}, the payment says {payment.stripe_customer_id}"
        )
    if detail is not None:
        yield _finding(Kind.WRONG_CUSTOMER, intent, known, detail)


def _state_of(
    intent: Intent, payment: PaymentRow, known: Known, now: datetime
) -> Iterator[Finding]:
    if intent.status is IntentStatus.SUCCEEDED:
        yield from _charged(intent, payment, known, now)
    elif payment.state is PaymentState.SUCCEEDED:
        detail = f"the payment has succeeded here, its intent is {intent.status} at Stripe"
        yield _finding(Kind.PAID_NOT_CHARGED, intent, known, detail)
    elif payment.state in RETIRED and intent.status is not IntentStatus.CANCELED:
        yield _orphan(intent, known, "its payment is retired")


def _charged(intent: Intent, payment: PaymentRow, known: Known, now: datetime) -> Iterator[Finding]:
    if payment.state is PaymentState.SUCCEEDED:
        yield from _balance(intent, known)
    elif payment.state is PaymentState.SURPLUS:
        is_due = now - payment_time(intent) > RECOVERY_TIME
        if is_due and not is_returned(intent):
            kind = Kind.SECOND_CHARGE if known.is_paid else Kind.SURPLUS_NOT_RETURNED
            yield _finding(kind, intent, known, "recorded as surplus, and not given back yet")
    elif not _is_in_flight(intent, known, now):
        kind = Kind.SECOND_CHARGE if known.is_paid else Kind.CHARGED_NOT_PAID
        detail = f"charged at Stripe, the payment is {payment.state} here"
        yield _finding(kind, intent, known, detail, Remedy.SETTLE)


def _balance(intent: Intent, known: Known) -> Iterator[Finding]:
    if known.order is None or intent.amount_refunded is None:
        return
    if not known.is_paid:
        detail = f"the payment has succeeded and the order is {known.order.status}"
        yield _finding(Kind.CHARGED_NOT_PAID, intent, known, detail)
    if known.order.amount_refunded_minor != intent.amount_refunded:
        ours = known.order.amount_refunded_minor
        detail = f"Stripe has refunded {intent.amount_refunded}, our books say {ours}"
        yield _finding(Kind.REFUND_NOT_RECORDED, intent, known, detail)


# --- an intent that no payment has recorded ------------------------------------------------------


def _unrecorded(intent: Intent, known: Known, now: datetime) -> Iterator[Finding]:
    if _is_in_flight(intent, known, now):
        return
    is_charged = intent.status is IntentStatus.SUCCEEDED
    named = known.named
    has_other = named is not None and named.stripe_payment_intent_id is not None
    is_orphan = has_other or (named is not None and named.state in RETIRED)
    if is_charged and is_returned(intent):
        if known.is_pending and not is_orphan:
            detail = "charged at Stripe and given back, and no payment of ours has recorded it"
            yield _finding(Kind.FORGOTTEN_INTENT, intent, known, detail, Remedy.ADOPT)
    elif known.order is None:
        kind = Kind.CHARGE_WITHOUT_ORDER if is_charged else Kind.FORGOTTEN_INTENT
        yield _finding(kind, intent, known, "the order that it names is not in our books")
    elif is_charged and known.is_paid:
        detail = "charged at Stripe for an order that another charge has paid"
        yield _finding(Kind.SECOND_CHARGE, intent, known, detail)
    elif is_orphan and is_charged:
        detail = "charged at Stripe, and its payment has another intent or is retired"
        yield _finding(Kind.CHARGED_NOT_PAID, intent, known, detail)
    elif is_orphan:
        why = "its payment has another intent" if has_other else "its payment is retired"
        yield _orphan(intent, known, why)
    else:
        detail = f"{intent.status} at Stripe, and no payment of ours has recorded it"
        yield _finding(Kind.FORGOTTEN_INTENT, intent, known, detail, Remedy.ADOPT)


def _foreign(intent: Intent, known: Known) -> Iterator[Finding]:
    is_charged = intent.status is IntentStatus.SUCCEEDED and not is_returned(intent)
    if is_charged and known.order is not None:
        detail = "charged by something else for this order"
        yield _finding(Kind.FOREIGN_CHARGE, intent, known, detail)


def _orphan(intent: Intent, known: Known, why: str) -> Finding:
    can_cancel = intent.status in CANCELABLE
    remedy = Remedy.CANCEL if can_cancel else Remedy.NONE
    detail = f"{intent.status} at Stripe, and {why}"
    return _finding(Kind.ORPHAN_INTENT, intent, known, detail, remedy)


# --- shared --------------------------------------------------------------------------------------


def is_returned(intent: Intent) -> bool:
    return (intent.amount_refunded or 0) >= intent.amount


def payment_time(intent: Intent) -> datetime:
    """When its money moved, as far as it is known."""
    time = intent.charged_at or intent.created_at
    if time is None:
        raise ValueError("an intent of a list says when it was created")
    return time


def _is_in_flight(intent: Intent, known: Known, now: datetime) -> bool:
    """Charged moments ago, or by an attempt that recovery has had no time for yet."""
    if now - payment_time(intent) < IN_FLIGHT:
        return True
    return known.attempt is not None and now - known.attempt.created_at < RECOVERY_TIME


def _finding(
    kind: Kind, intent: Intent, known: Known, detail: str, remedy: Remedy = Remedy.NONE
) -> Finding:
    payment = known.recorded or known.named
    order_id = known.order.id if known.order else _plain(intent.metadata.get("order_id", ""))
    return Finding(
        kind,
        detail,
        stripe_id=intent.id,
        order_id=order_id,
        payment_id=payment.id if payment else "",
        user_id=known.order.user_id if known.order else "",
        amount_minor=intent.amount,
        currency=intent.currency,
        remedy=remedy,
    )


def _plain(text: str) -> str:
    """Metadata as it may be printed."""
    return text if len(text) <= 64 and text.isascii() and text.isprintable() else ""
