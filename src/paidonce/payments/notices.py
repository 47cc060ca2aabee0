"""What the merchant is told: one function for each kind of outgoing event.

Each writes its entry in the caller's transaction, which records the fact and holds the order's
lock; a worker sends it (docs/outgoing-events.md). The entry holds what is not in the order's row:
order id and number, amount and currency are added when it is sent. A fact that is learned twice is
one entry: `subject` says which refund, attempt or dispute it is about.

No client secret, no card and no text of Stripe's goes into an entry.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from paidonce.domain.intent import CardRefusal
from paidonce.domain.outgoing import EventType, iso
from paidonce.domain.states import AttemptState
from paidonce.payments.context import Parts
from paidonce.store import events
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, PaymentRow

IDS = UUID("6a5e2a0e-5d0a-4a8c-9d5f-3b6f6f0f7c21")
"""Under which the ids of events are made (RFC 9562, version 5)."""
FAILURES = (AttemptState.DECLINED, AttemptState.AUTHENTICATION_FAILED)
"""The ends of an attempt that its payer was told as a failed payment."""


@dataclass(frozen=True, slots=True)
class RefundFacts:
    """A refund as the merchant is told it. `id` is ours, or Stripe's where Stripe alone made it;
    `refunded_minor` is what was given back of the payment in all, `cause` why (docs/
    refunds-and-disputes.md)."""

    id: str
    amount_minor: int
    refunded_minor: int
    reason: str | None = None
    stripe_refund_id: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeFacts:
    """A dispute in Stripe's words; evidence is taken until `evidence_due_at`."""

    id: str
    amount_minor: int
    currency: str
    status: str
    reason: str | None = None
    evidence_due_at: datetime | None = None


# --- orders --------------------------------------------------------------------------------------


def event_id(order_id: str, kind: str, subject: str = "") -> str:
    """The same fact has the same id, also when a database that was put back learns it anew: whoever
    was told before knows it again."""
    return str(uuid5(IDS, f"{order_id}/{kind}/{subject}"))


def paid_payload(payment: PaymentRow) -> str:
    """What an `order.paid` says; `store.one_trip` writes it in its own statement."""
    return json.dumps(_of_payment(payment))


async def order_paid(ctx: Parts, tx: Transaction, payment: PaymentRow) -> None:
    """The money was charged: deliver the goods."""
    await _write(ctx, tx, payment.order_id, EventType.ORDER_PAID, "", _of_payment(payment))


async def order_authorized(ctx: Parts, tx: Transaction, payment: PaymentRow) -> None:
    """Stripe holds the money until it is captured."""
    data = _of_payment(payment)
    await _write(ctx, tx, payment.order_id, EventType.ORDER_AUTHORIZED, payment.id, data)


async def order_canceled(
    ctx: Parts, tx: Transaction, order_id: str, reason: str | None = None
) -> None:
    """The order is canceled: nothing can be charged for it any more."""
    data = {"reason": reason} if reason else {}
    await _write(ctx, tx, order_id, EventType.ORDER_CANCELED, "", data)


# --- attempts ------------------------------------------------------------------------------------


async def payment_failed(
    ctx: Parts,
    tx: Transaction,
    attempt: AttemptRow,
    state: AttemptState,
    refusal: CardRefusal | None,
) -> None:
    """A card was declined, or its holder was not authenticated. The order can still be paid."""
    is_declined = state is AttemptState.DECLINED
    data = {
        "paymentId": attempt.payment_id,
        "attemptId": attempt.id,
        "code": "card_declined" if is_declined else "authentication_failed",
        "declineCode": refusal.decline_code if refusal else None,
    }
    await _write(ctx, tx, attempt.order_id, EventType.PAYMENT_FAILED, attempt.id, data)


async def hold_over(ctx: Parts, tx: Transaction, payment: PaymentRow) -> None:
    """Stripe holds the money no longer, and none of it was taken. The order can still be paid."""
    data = {"paymentId": payment.id, "code": "authorization_expired"}
    await _write(ctx, tx, payment.order_id, EventType.PAYMENT_FAILED, payment.id, data)


async def payment_action_required(ctx: Parts, tx: Transaction, attempt: AttemptRow) -> None:
    """The card holder has to authenticate; the app asks for it."""
    data = {"paymentId": attempt.payment_id, "attemptId": attempt.id}
    await _write(ctx, tx, attempt.order_id, EventType.PAYMENT_ACTION_REQUIRED, attempt.id, data)


# --- money that goes back ------------------------------------------------------------------------


async def order_refunded(
    ctx: Parts, tx: Transaction, order_id: str, payment_id: str, refund: RefundFacts
) -> None:
    """Money of the order was given back, all of it or a part."""
    await _write(
        ctx, tx, order_id, EventType.ORDER_REFUNDED, refund.id, _of_refund(payment_id, refund)
    )


async def refund_failed(
    ctx: Parts, tx: Transaction, order_id: str, payment_id: str, refund: RefundFacts
) -> None:
    """A refund did not reach the customer: the money is with the merchant again."""
    await _write(
        ctx, tx, order_id, EventType.REFUND_FAILED, refund.id, _of_refund(payment_id, refund)
    )


async def dispute_opened(
    ctx: Parts, tx: Transaction, order_id: str, payment_id: str, dispute: DisputeFacts
) -> None:
    """The card holder's bank asks for the money, or asks anew; evidence is due by a day."""
    subject = f"{dispute.id}:{dispute.status}"
    await _write(
        ctx, tx, order_id, EventType.DISPUTE_OPENED, subject, _of_dispute(payment_id, dispute)
    )


async def dispute_closed(
    ctx: Parts, tx: Transaction, order_id: str, payment_id: str, dispute: DisputeFacts
) -> None:
    """The bank has decided; `status` says for whom. After an appeal it may decide otherwise."""
    subject = f"{dispute.id}:{dispute.status}"
    await _write(
        ctx, tx, order_id, EventType.DISPUTE_CLOSED, subject, _of_dispute(payment_id, dispute)
    )


# --- entries -------------------------------------------------------------------------------------


def _of_payment(payment: PaymentRow) -> dict[str, Any]:
    taken = payment.amount_captured_minor
    return {
        **({} if taken is None else {"amountCapturedMinor": taken}),
        "orderId": payment.order_id,
        "paymentId": payment.id,
        "amountMinor": payment.amount_minor,
        "currency": payment.currency,
        "stripePaymentIntentId": payment.stripe_payment_intent_id,
    }


def _of_refund(payment_id: str, refund: RefundFacts) -> dict[str, Any]:
    return {
        "paymentId": payment_id,
        "amountRefundedMinor": refund.refunded_minor,
        "refund": {
            "id": refund.id,
            "amountMinor": refund.amount_minor,
            "reason": refund.reason,
            "stripeRefundId": refund.stripe_refund_id,
            "cause": refund.cause,
        },
    }


def _of_dispute(payment_id: str, dispute: DisputeFacts) -> dict[str, Any]:
    due_at = dispute.evidence_due_at
    return {
        "paymentId": payment_id,
        "dispute": {
            "id": dispute.id,
            "amountMinor": dispute.amount_minor,
            "currency": dispute.currency,
            "status": dispute.status,
            "reason": dispute.reason,
            "evidenceDueAt": iso(due_at) if due_at else None,
        },
    }


async def _write(
    ctx: Parts, tx: Transaction, order_id: str, kind: str, subject: str, data: dict[str, Any]
) -> None:
    entry_id, now = event_id(order_id, kind, subject), ctx.clock.now()
    await events.add_to_outbox(tx, entry_id, order_id, kind, subject, json.dumps(data), now)
