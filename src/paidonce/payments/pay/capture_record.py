"""What became of a capture, written in the transaction that records the money: the caller holds
the order's lock."""

from dataclasses import replace

from paidonce.domain.intent import Intent
from paidonce.domain.states import CaptureState, OrderStatus
from paidonce.observability import get_logger
from paidonce.payments import history, notices
from paidonce.payments.context import Context
from paidonce.store import captures, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import CaptureRow, OrderRow, PaymentRow

log = get_logger(__name__)


async def note_captured(
    ctx: Context, tx: Transaction, order: OrderRow, payment: PaymentRow, intent: Intent
) -> tuple[OrderRow, PaymentRow]:
    """What Stripe has taken of the hold, by whomever: `amount_received` of the intent."""
    taken = payment.amount_minor if intent.amount_received is None else intent.amount_received
    await payments.set_captured(tx, payment.id, taken)
    await orders.set_captured(tx, order.id, taken)
    asked = await captures.get_requested(tx, payment.id)
    if asked is not None and asked.amount_minor == taken:
        await _close(ctx, tx, asked, CaptureState.SUCCEEDED)
    elif asked is not None:
        await _close(ctx, tx, asked, CaptureState.REFUSED, f"{taken} was captured otherwise")
    await history.note(ctx, tx, "payment.captured", order.id, payment.id, amountMinor=taken)
    return (
        replace(order, amount_captured_minor=taken),
        replace(payment, amount_captured_minor=taken),
    )


async def note_hold_over(ctx: Context, tx: Transaction, payment: PaymentRow) -> None:
    """Stripe holds the money no more, and has taken none of it."""
    asked = await captures.get_requested(tx, payment.id)
    if asked is not None:
        await _close(ctx, tx, asked, CaptureState.REFUSED, "Stripe holds the money no more")
    await history.note(ctx, tx, "payment.hold_over", payment.order_id, payment.id)
    log.warning("hold.over", order_id=payment.order_id, payment_id=payment.id)
    order = await orders.get_order(tx, payment.order_id)
    if order is not None and order.status is OrderStatus.PENDING:  # a canceled one says so itself
        await notices.hold_over(ctx, tx, payment)


async def refuse(ctx: Context, tx: Transaction, capture: CaptureRow, reason: str) -> None:
    """Stripe will never make this capture; the hold stands."""
    await _close(ctx, tx, capture, CaptureState.REFUSED, reason)


async def _close(
    ctx: Context,
    tx: Transaction,
    capture: CaptureRow,
    state: CaptureState,
    reason: str | None = None,
) -> None:
    now = ctx.clock.now()
    await captures.set_state(tx, capture.id, capture.state, state, now, reason)
    kind = f"capture.{state.value}"
    about = {"capture": capture.id, "reason": reason}
    await history.note(ctx, tx, kind, capture.order_id, capture.payment_id, **about)
    if state is CaptureState.REFUSED:
        log.error("capture.refused", order_id=capture.order_id, reason=reason)
