"""What the merchant sees of money that went back, is wanted back, or should go back."""

from paidonce.domain.model import Page
from paidonce.domain.money_back import DisputeView, MoneyBack, Surplus
from paidonce.domain.states import PaymentState
from paidonce.payments.context import Context
from paidonce.payments.cursors import decode_cursor, next_cursor
from paidonce.payments.money_back.refund_request import refund_view
from paidonce.store import disputes, payments, refunds
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import DisputeRow, RefundRow, row_as

MOST_SHOWN = 100
"""Of an order's refunds and disputes in its detail; the lists have all of them."""


async def get_money_back(ctx: Context, order_id: str) -> MoneyBack:
    """Of one order, newest first."""

    async def work(tx: Transaction) -> MoneyBack:
        made = await refunds.list_refunds(tx, MOST_SHOWN, None, order_id=order_id)
        disputed = await disputes.list_disputes(tx, MOST_SHOWN, None, order_id=order_id)
        return MoneyBack(
            refunds=[refund_view(row_as(RefundRow, row)) for row in made],
            surplus=await _surplus(tx, order_id),
            disputes=[_dispute_view(row) for row in disputed],
            fraud_warnings=await disputes.list_warnings(tx, order_id),
        )

    return await ctx.db.read(work)


async def list_disputes(
    ctx: Context, limit: int, cursor: str | None, order_id: str | None, status: str | None
) -> Page[DisputeView]:
    """Newest first; of one order, or of all. `status` is Stripe's word."""
    before = decode_cursor(cursor)
    rows = await ctx.db.read(
        lambda tx: disputes.list_disputes(tx, limit + 1, before, order_id=order_id, status=status)
    )
    return Page([_dispute_view(row) for row in rows[:limit]], next_cursor(rows, limit))


async def _surplus(tx: Transaction, order_id: str) -> list[Surplus]:
    found = []
    for payment in await payments.list_charged(tx, order_id):
        if payment.state is PaymentState.SURPLUS:
            back = await refunds.get_given_back(tx, payment.id)
            found.append(
                Surplus(
                    payment_id=payment.id,
                    amount_minor=payment.amount_minor,
                    amount_refunded_minor=back.seen_minor,
                    currency=payment.currency,
                    stripe_payment_intent_id=payment.stripe_payment_intent_id,
                    finished_at=payment.finished_at,
                )
            )
    return found


def _dispute_view(found: Row) -> DisputeView:
    row = row_as(DisputeRow, found)
    return DisputeView(
        id=row.id,
        order_id=row.order_id,
        payment_id=row.payment_id,
        stripe_charge_id=row.stripe_charge_id,
        amount_minor=row.amount_minor,
        currency=row.currency,
        reason=row.reason,
        status=row.status,
        is_charge_refundable=row.is_charge_refundable,
        evidence_due_at=row.evidence_due_at,
        created_at=row.created_at,
        closed_at=row.closed_at,
    )
