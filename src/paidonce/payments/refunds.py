"""The first step of a refund: a row, in the transaction that decides it. `refund_work` sends it."""

from datetime import timedelta
from enum import StrEnum

from paidonce.domain.states import RefundState
from paidonce.payments import history
from paidonce.payments.context import Context, new_id
from paidonce.payments.requests import Wish, refund_params
from paidonce.store import refunds
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow, RefundRow


class Cause(StrEnum):
    """Why money goes back."""

    SURPLUS = "surplus"  # it fits no order: by policy, once for each payment
    REQUESTED = "requested"  # the merchant wants it
    DASHBOARD = "dashboard"  # somebody made it at Stripe; we only show it


LEASE = timedelta(minutes=1)
"""Outlives the work on a refund, which ends with the 25 s of a request."""


async def request_refund(
    ctx: Context,
    tx: Transaction,
    payment: PaymentRow,
    amount_minor: int,
    cause: Cause,
    wish: Wish | None = None,
) -> RefundRow | None:
    """Write a refund down; the worker sends it, or whoever wishes it does at once. The order is
    locked by the caller, who has checked the amount. None when the payment's surplus is being
    given back already."""
    refund_id, now = new_id(), ctx.clock.now()
    refund = RefundRow(
        id=refund_id,
        order_id=payment.order_id,
        payment_id=payment.id,
        cause=cause,
        state=RefundState.REQUESTED,
        amount_minor=amount_minor,
        currency=payment.currency,
        stripe_version=payment.stripe_version,
        params=refund_params(ctx, payment, refund_id, amount_minor, wish),
        key_no=0,
        stripe_refund_id=None,
        failure_reason=None,
        checks=0,
        next_check_at=now + LEASE if wish else now,
        created_at=now,
        finished_at=None,
        key_hash=wish.key_hash if wish else None,
        request_hash=wish.request_hash if wish else None,
        reason=wish.reason if wish else None,
    )
    if not await refunds.insert_refund(tx, refund):
        return None
    await history.note(
        ctx, tx, "refund.requested", payment.order_id, payment.id, refund=refund_id, cause=cause
    )
    return refund
