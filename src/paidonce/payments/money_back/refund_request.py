"""The merchant asks for money to go back, and sees what went back.

What is left to give back is decided under the order's lock, after a look at Stripe: Stripe's figure
of the charge or our rows of what Stripe has made, whichever is more, and on top of it what was
asked for and may or may not be made by now. So nothing counts for less than it is. A refund whose
answer was lost counts twice until Stripe's list is read, which every request does first.

The row is written before Stripe is asked, under the hash of the request's key: however often the
request comes, it is one refund, also after the 24 h for which answers are kept. Without a look
nothing is written down, so that a restored database finds what it has forgotten first.
"""

import hashlib
import json

from paidonce.domain import errors, money
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.model import Page
from paidonce.domain.money_back import RefundCommand, RefundView
from paidonce.domain.states import PaymentState, RefundState
from paidonce.payments.context import LAST_SEND_SECONDS, REQUEST_SECONDS, Context, once_begun
from paidonce.payments.cursors import decode_cursor, next_cursor
from paidonce.payments.money_back import disputes
from paidonce.payments.money_back.refund_work import read_balance, read_refunds, work_on_refund
from paidonce.payments.refunds import Cause, request_refund
from paidonce.payments.requests import Wish
from paidonce.store import disputes as dispute_rows
from paidonce.store import orders, payments, refunds
from paidonce.store.engine import Transaction, UnknownCommit
from paidonce.store.rows import PaymentRow, RefundRow, row_as

PROCESSING = "processing"
"""What `requested` is called outside: asked for, and Stripe has not made it yet."""
STATUSES = (PROCESSING, *(state.value for state in RefundState if state != "requested"))
DISPUTED_CODES = frozenset({"charge_disputed", "refund_disputed_payment"})


async def refund_order(ctx: Context, command: RefundCommand) -> RefundView:
    """Give money back, once for the order and the key.

    Raises order_not_found, order_not_refundable, payment_disputed, refund_exceeds_payment,
    invalid_amount, idempotency_mismatch, stripe_unavailable when Stripe cannot be looked at (then
    nothing was written down), and payment_processing when the database went away after that.
    """
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    wish = _wish(command)
    refund = await ctx.db.read(lambda tx: refunds.get_of_key(tx, command.order_id, wish.key_hash))
    if refund is None:
        payment = await ctx.db.read(lambda tx: _payment_to_refund(tx, command))
        await _look(ctx, payment, deadline)
        try:
            refund = await ctx.db.transaction(
                "refund_asked", lambda tx: _ask(ctx, tx, command, payment.id, wish)
            )
        except UnknownCommit:  # the worker may make it
            raise errors.payment_processing() from None
    if refund.request_hash != wish.request_hash:
        raise errors.idempotency_mismatch()
    with once_begun():
        if refund.state is RefundState.REQUESTED and deadline.left >= LAST_SEND_SECONDS:
            await work_on_refund(ctx, refund, deadline)
        return await _answer(ctx, refund.id)


def _wish(command: RefundCommand) -> Wish:
    asked = json.dumps([command.amount_minor, command.reason, command.payment_id])
    return Wish(_hash(command.key), _hash(asked), command.reason)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _payment_to_refund(tx: Transaction, command: RefundCommand) -> PaymentRow:
    """The payment that paid for the order, or what was charged beside it; the one that is named,
    or the only one."""
    if await orders.get_order(tx, command.order_id) is None:
        raise errors.order_not_found()
    charged = await payments.list_charged(tx, command.order_id)
    if command.payment_id is not None:
        charged = [payment for payment in charged if payment.id == command.payment_id]
    if not charged:
        raise errors.order_not_refundable("nothing was paid that could be given back")
    paid = [payment for payment in charged if payment.state is PaymentState.SUCCEEDED]
    if not paid and len(charged) > 1:
        raise errors.invalid_request("The order has several payments: name one by paymentId.")
    return (paid or charged)[0]


async def _look(ctx: Context, payment: PaymentRow, deadline: Deadline) -> None:
    """Bring what was given back, and the disputes that stand in the way, up to what Stripe says.
    Raises stripe_unavailable."""
    is_disputed = await ctx.db.read(lambda tx: dispute_rows.has_unrefundable(tx, payment.id))
    if not (
        await read_refunds(ctx, payment, deadline)
        and await read_balance(ctx, payment, deadline)
        and (not is_disputed or await disputes.read_disputes(ctx, payment, deadline))
    ):
        raise errors.refund_not_made()


async def _ask(
    ctx: Context, tx: Transaction, command: RefundCommand, payment_id: str, wish: Wish
) -> RefundRow:
    """Decide under the order's lock, and write it down."""
    await orders.lock_order(tx, command.order_id)
    standing = await refunds.get_of_key(tx, command.order_id, wish.key_hash)
    if standing is not None:
        return standing
    payment = await payments.get_payment(tx, payment_id)
    if await dispute_rows.has_unrefundable(tx, payment.id):
        raise errors.payment_disputed()
    left = (await refunds.get_given_back(tx, payment.id)).left_minor
    amount_minor = left if command.amount_minor is None else command.amount_minor
    if amount_minor != left:
        money.check_step(amount_minor, payment.currency)
    if not 0 < amount_minor <= left:
        raise errors.refund_exceeds_payment(left, payment.currency)
    refund = await request_refund(ctx, tx, payment, amount_minor, Cause.REQUESTED, wish)
    if refund is None:
        raise LookupError("under the order's lock its keys cannot change")
    return refund


async def _answer(ctx: Context, refund_id: str) -> RefundView:
    async def work(tx: Transaction) -> tuple[RefundRow, ServiceError | None]:
        refund = await refunds.get_refund(tx, refund_id)
        if refund.state is not RefundState.REFUSED:
            return refund, None
        back = await refunds.get_given_back(tx, refund.payment_id)
        return refund, _refusal(refund, back.left_minor)

    refund, refusal = await ctx.db.read(work)
    if refusal is not None:
        raise refusal
    return refund_view(refund)


def _refusal(refund: RefundRow, left: int) -> ServiceError:
    """Stripe's own no, for good."""
    if refund.failure_reason in DISPUTED_CODES:
        return errors.payment_disputed()
    if refund.failure_reason == "charge_not_refundable":
        return errors.order_not_refundable("Stripe does not refund this charge")
    return errors.refund_exceeds_payment(left, refund.currency)


# --- what went back ------------------------------------------------------------------------------


async def list_refunds(
    ctx: Context, limit: int, cursor: str | None, order_id: str | None, status: str | None
) -> Page[RefundView]:
    """Newest first, whoever made them; of one order, or of all. `status` is one of STATUSES."""
    before = decode_cursor(cursor)
    state = None if status is None else _state(status)
    rows = await ctx.db.read(
        lambda tx: refunds.list_refunds(tx, limit + 1, before, order_id=order_id, state=state)
    )
    items = [refund_view(row_as(RefundRow, row)) for row in rows[:limit]]
    return Page(items, next_cursor(rows, limit))


async def list_refunds_of_order(
    ctx: Context, order_id: str, limit: int, cursor: str | None
) -> Page[RefundView]:
    """Raises order_not_found."""
    if await ctx.db.read(lambda tx: orders.get_order(tx, order_id)) is None:
        raise errors.order_not_found()
    return await list_refunds(ctx, limit, cursor, order_id, None)


def _state(status: str) -> RefundState:
    return RefundState.REQUESTED if status == PROCESSING else RefundState(status)


def refund_view(row: RefundRow) -> RefundView:
    return RefundView(
        id=row.id,
        order_id=row.order_id,
        payment_id=row.payment_id,
        cause=row.cause,
        status=PROCESSING if row.state is RefundState.REQUESTED else row.state.value,
        amount_minor=row.amount_minor,
        currency=row.currency,
        reason=row.reason,
        failure_reason=row.failure_reason,
        stripe_refund_id=row.stripe_refund_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
