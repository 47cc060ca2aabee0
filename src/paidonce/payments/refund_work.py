"""A refund's way to Stripe and back, under one key, until its end is known.

Stripe forgets a key after a day and keeps a 5xx under it: then the charge's refunds are listed
first, and one that carries this refund's id is taken for what it is. How old a key can be is the
row's age, since a row of a restored database does not know when it was sent.

Only what Stripe will never make ends a refund as refused. Whatever else it refuses (our balance
does not cover it, a reason that this version does not know) is tried again, at last every hour,
and stays in sight: its reason is in the row, and `paidonce_refunds_overdue` counts it.

The balance of a payment is never added up from our rows: it is read from its charge, which also
knows what was refunded in Stripe's dashboard, and what failed on its way.
"""

from datetime import datetime, timedelta

from paidonce.domain.intent import Failure, Intent, Reason, Refund, RefundStatus
from paidonce.domain.states import REFUND_MOVES, RefundState
from paidonce.observability import get_logger
from paidonce.payments import evidence, history
from paidonce.payments.context import KEY_LIFE_HOURS, REQUEST_SECONDS, Context, Parts
from paidonce.payments.follow_up import conclude_without_attempt
from paidonce.payments.prepare import read_payment
from paidonce.payments.requests import refund_request
from paidonce.store import orders, refunds
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow, RefundRow

KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
LEASE = timedelta(minutes=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
OVERDUE = timedelta(hours=1)
LAST_LOOK = timedelta(days=40)
"""The bank may give a refund back for 30 days (https://docs.stripe.com/refunds#failed-refunds)."""
ALARMING = frozenset({RefundState.FAILED, RefundState.CANCELED, RefundState.REFUSED})
log = get_logger(__name__)


async def take_refunds(ctx: Context, limit: int) -> list[RefundRow]:
    now = ctx.clock.now()
    return await ctx.db.transaction(
        "take_refunds", lambda tx: refunds.take_due(tx, now, now + LEASE, limit)
    )


async def count_overdue(ctx: Parts) -> int:
    """Refunds that were asked for an hour ago or longer and that Stripe has not made yet."""
    before = ctx.clock.now() - OVERDUE
    return await ctx.db.read(lambda tx: refunds.count_requested(tx, before))


async def work_on_refund(ctx: Context, refund: RefundRow) -> None:
    """Send what was not heard of, look at what was; then read the payment's balance."""
    payment = await read_payment(ctx, refund.payment_id)
    if refund.state is RefundState.REQUESTED:
        await _send(ctx, payment, refund)
        has_looked = True
    else:
        has_looked = await read_refunds(ctx, payment)
    has_balance = await _read_balance(ctx, payment)
    await ctx.db.transaction(
        "refund_checked", lambda tx: _plan(ctx, tx, refund.id, is_seen=has_looked and has_balance)
    )


async def read_refunds(ctx: Context, payment: PaymentRow) -> bool:
    """Bring our refunds of a payment up to what Stripe says; False without an answer."""
    ours = await ctx.db.read(lambda tx: refunds.list_of_payment(tx, payment.id))
    if not ours:
        return True
    listed = await _list(ctx, payment)
    if isinstance(listed, Failure):
        return False
    for refund in ours:
        seen = _find(ctx, refund, listed)
        if seen is not None:
            await _record(ctx, refund.id, seen)
    return True


async def _send(ctx: Context, payment: PaymentRow, refund: RefundRow) -> None:
    is_old = ctx.clock.now() - refund.created_at > KEY_LIFE
    if is_old and await _adopt(ctx, payment, refund) is not False:
        return
    answer = await ctx.gateway.create_refund(refund_request(ctx, refund), REQUEST_SECONDS)
    if isinstance(answer, Refund):
        await _record(ctx, refund.id, answer)
    elif answer.reason in (Reason.UNKNOWN, Reason.NOT_EXECUTED) and not answer.is_replayed:
        log.warning("refund.not_made", refund_id=refund.id, reason=answer.reason.value)
    elif await _adopt(ctx, payment, refund) is not False:
        return
    elif answer.reason is Reason.NOT_REFUNDABLE:
        await _record_refused(ctx, refund.id, answer)
    else:
        await _put_off(ctx, refund, answer)


async def _put_off(ctx: Context, refund: RefundRow, failure: Failure) -> None:
    """Stripe has not made it yet. Its key is given up only when Stripe answers from the key: then
    no earlier send under it can still be executed."""
    reason = failure.code or failure.message
    log.error("refund.put_off", refund_id=refund.id, order_id=refund.order_id, reason=reason)
    key_no = refund.key_no + 1 if failure.is_replayed else refund.key_no
    await ctx.db.transaction(
        "refund_put_off", lambda tx: refunds.put_off(tx, refund.id, refund.key_no, key_no, reason)
    )


async def _adopt(ctx: Context, payment: PaymentRow, refund: RefundRow) -> bool | None:
    """Whether Stripe has this refund, then recorded; None without an answer."""
    listed = await _list(ctx, payment)
    if isinstance(listed, Failure):
        return None
    seen = _find(ctx, refund, listed)
    if seen is not None:
        await _record(ctx, refund.id, seen)
    return seen is not None


async def _list(ctx: Context, payment: PaymentRow) -> list[Refund] | Failure:
    if payment.stripe_payment_intent_id is None:
        raise LookupError("what is refunded was charged, so its intent is recorded")
    return await ctx.gateway.list_refunds_of(payment.stripe_payment_intent_id, REQUEST_SECONDS)


def _find(ctx: Context, refund: RefundRow, listed: list[Refund]) -> Refund | None:
    ours = {"refund_id": refund.id, "namespace": ctx.installation.namespace}
    return next((seen for seen in listed if ours.items() <= seen.metadata.items()), None)


async def _record(ctx: Context, refund_id: str, seen: Refund) -> None:
    """Stripe's word about a refund. An older word than the one we have changes nothing."""
    if seen.status is RefundStatus.UNRECOGNIZED:
        return
    state = RefundState(seen.status.value)

    async def work(tx: Transaction) -> None:
        refund = await refunds.get_refund(tx, refund_id)
        await orders.lock_order(tx, refund.order_id)
        refund = await refunds.get_refund(tx, refund_id)
        if state in REFUND_MOVES[refund.state]:
            await _move(ctx, tx, refund, state, seen.id, seen.failure_reason)

    await ctx.db.transaction("refund", work)


async def _record_refused(ctx: Context, refund_id: str, failure: Failure) -> None:
    """Stripe will never make it: somebody has refunded the charge by hand, or the card holder has
    disputed it."""

    async def work(tx: Transaction) -> None:
        refund = await refunds.get_refund(tx, refund_id)
        await orders.lock_order(tx, refund.order_id)
        refund = await refunds.get_refund(tx, refund_id)
        if refund.state is RefundState.REQUESTED:
            reason = failure.code or failure.message
            await _move(ctx, tx, refund, RefundState.REFUSED, None, reason)

    await ctx.db.transaction("refund_refused", work)


async def _move(
    ctx: Context,
    tx: Transaction,
    refund: RefundRow,
    state: RefundState,
    stripe_refund_id: str | None,
    failure_reason: str | None,
) -> None:
    await refunds.set_state(
        tx,
        refund.id,
        refund.state,
        state,
        ctx.clock.now(),
        stripe_refund_id=stripe_refund_id,
        failure_reason=failure_reason,
    )
    await history.note(
        ctx,
        tx,
        f"refund.{state.value}",
        refund.order_id,
        refund.payment_id,
        refund=refund.id,
        reason=failure_reason,
    )
    if state in ALARMING:
        log.critical(
            "refund.failed",
            refund_id=refund.id,
            order_id=refund.order_id,
            state=state.value,
            reason=failure_reason,
        )


async def _read_balance(ctx: Context, payment: PaymentRow) -> bool:
    """What Stripe says was given back of the payment's charge; False without an answer."""
    if payment.stripe_payment_intent_id is None:
        return True
    answer = await ctx.gateway.retrieve_intent(payment.stripe_payment_intent_id, REQUEST_SECONDS)
    intent = await evidence.checked(ctx, payment, answer)
    if not isinstance(intent, Intent):
        return False
    await conclude_without_attempt(ctx, payment, intent)
    return True


async def _plan(ctx: Context, tx: Transaction, refund_id: str, *, is_seen: bool) -> None:
    """The next look: soon while nothing is known, ever more seldom while it may still change."""
    refund = await refunds.get_refund(tx, refund_id)
    now = ctx.clock.now()
    next_check_at: datetime | None
    if refund.state is RefundState.REQUESTED or not is_seen:
        next_check_at = now + min(FIRST_PAUSE * 2 ** min(refund.checks, 12), LONGEST_PAUSE)
    elif not REFUND_MOVES[refund.state] or now - refund.created_at > LAST_LOOK:
        next_check_at = None
    else:
        next_check_at = now + max(LEASE, now - refund.created_at)
    await refunds.check_at(tx, refund_id, next_check_at)
