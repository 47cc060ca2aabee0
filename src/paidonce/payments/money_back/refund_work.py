"""A refund's way to Stripe and back, under one key, until its end is known.

Stripe forgets a key after a day and keeps a 5xx under it: then the charge's refunds are listed
first, and one that carries this refund's id is taken for what it is. How old a key can be is the
row's age, since a row of a restored database does not know when it was sent.

Only what Stripe will never make ends a refund as refused. Whatever else it refuses (our balance
does not cover it, a reason that this version does not know) is tried again, at last every hour,
and stays in sight: its reason is in the row, and `paidonce_refunds_overdue` counts it.

The balance of a payment is never added up from our rows: it is read from its charge, which also
knows what was refunded in Stripe's dashboard, and what failed on its way. What was made there is
taken into our rows too, so that it is shown and followed like our own.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Failure, Intent, Reason, Refund, RefundStatus
from paidonce.domain.states import REFUND_MOVES, PaymentState, RefundState
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_contradiction, set_refunds_overdue
from paidonce.payments import evidence, history, notices
from paidonce.payments.context import KEY_LIFE_HOURS, REQUEST_SECONDS, Context, Parts, new_id
from paidonce.payments.pay.follow_up import conclude_without_attempt
from paidonce.payments.pay.prepare import read_payment
from paidonce.payments.refunds import LEASE, Cause
from paidonce.payments.requests import refund_request
from paidonce.store import orders, payments, refunds
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow, RefundRow

KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(hours=1)
OVERDUE = timedelta(hours=1)
LAST_LOOK = timedelta(days=40)
"""The bank may give a refund back for 30 days (https://docs.stripe.com/refunds#failed-refunds)."""
UNFINISHED = frozenset({RefundState.PENDING, RefundState.REQUIRES_ACTION})
ALARMING = frozenset({RefundState.FAILED, RefundState.CANCELED, RefundState.REFUSED})
log = get_logger(__name__)


async def take_refunds(ctx: Context, limit: int) -> list[RefundRow]:
    now = ctx.clock.now()
    return await ctx.db.transaction(
        "take_refunds", lambda tx: refunds.take_due(tx, now, now + LEASE, limit)
    )


async def measure_overdue(ctx: Parts) -> None:
    """Bring into the metrics how many refunds were asked for an hour ago or longer and were not
    made by Stripe yet."""
    before = ctx.clock.now() - OVERDUE
    set_refunds_overdue(await ctx.db.read(lambda tx: refunds.count_requested(tx, before)))


async def work_on_refund(ctx: Context, refund: RefundRow, deadline: Deadline | None = None) -> None:
    """Send what was not heard of, look at what was; then read the payment's balance."""
    deadline = deadline or Deadline.after(ctx.clock, REQUEST_SECONDS)
    payment = await read_payment(ctx, refund.payment_id)
    if refund.state is RefundState.REQUESTED:
        await _send(ctx, payment, refund, deadline)
        has_looked = True
    else:
        has_looked = await read_refunds(ctx, payment, deadline)
    has_balance = await read_balance(ctx, payment, deadline)
    await ctx.db.transaction(
        "refund_checked", lambda tx: _plan(ctx, tx, refund.id, is_seen=has_looked and has_balance)
    )


async def read_refunds(ctx: Context, payment: PaymentRow, deadline: Deadline) -> bool:
    """Bring the refunds of a payment up to what Stripe says, those that somebody made there too;
    False without an answer."""
    listed = await _list(ctx, payment, deadline)
    if isinstance(listed, Failure):
        return False
    await _take_over(ctx, payment, listed)
    return True


async def _take_over(ctx: Context, payment: PaymentRow, listed: list[Refund]) -> None:
    known = await ctx.db.read(lambda tx: refunds.list_of_payment(tx, payment.id))
    for seen in listed:
        refund = _row_of(ctx, known, seen)
        if refund is None:
            await _take_in(ctx, payment, seen)
        elif refund.state != seen.status.value:
            await _record(ctx, payment, refund, seen)


async def _send(ctx: Context, payment: PaymentRow, refund: RefundRow, deadline: Deadline) -> None:
    is_old = ctx.clock.now() - refund.created_at > KEY_LIFE
    if is_old and await _adopt(ctx, payment, refund, deadline) is not False:
        return
    answer = await ctx.gateway.create_refund(refund_request(ctx, refund), deadline.left)
    if isinstance(answer, Refund):
        await _record(ctx, payment, refund, answer)
    elif answer.reason in (Reason.UNKNOWN, Reason.NOT_EXECUTED) and not answer.is_replayed:
        log.warning("refund.not_made", refund_id=refund.id, reason=answer.reason.value)
    elif await _adopt(ctx, payment, refund, deadline) is not False:
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


async def _adopt(
    ctx: Context, payment: PaymentRow, refund: RefundRow, deadline: Deadline
) -> bool | None:
    """Whether Stripe has this refund, then recorded like every other one of the payment; None
    without an answer."""
    listed = await _list(ctx, payment, deadline)
    if isinstance(listed, Failure):
        return None
    await _take_over(ctx, payment, listed)
    return any(_row_of(ctx, [refund], seen) for seen in listed)


async def _list(ctx: Context, payment: PaymentRow, deadline: Deadline) -> list[Refund] | Failure:
    if payment.stripe_payment_intent_id is None:
        raise LookupError("what is refunded was charged, so its intent is recorded")
    return await ctx.gateway.list_refunds_of(payment.stripe_payment_intent_id, deadline.left)


def _row_of(ctx: Context, known: list[RefundRow], seen: Refund) -> RefundRow | None:
    """The row that stands for this refund of Stripe's: by its id, or, where a row has none yet, by
    what we have written into its metadata."""
    for refund in known:
        if refund.stripe_refund_id == seen.id:
            return refund
    is_ours = seen.metadata.get("namespace") == ctx.installation.namespace
    refund_id = seen.metadata.get("refund_id") if is_ours else None
    return next(
        (each for each in known if each.id == refund_id and each.stripe_refund_id is None), None
    )


async def _take_in(ctx: Context, payment: PaymentRow, seen: Refund) -> None:
    """A refund of Stripe's that no row stands for: made in its dashboard, or by us, when the
    database was restored since; then the request that it was made for is known again by its key."""
    if seen.status is RefundStatus.UNRECOGNIZED or _is_of_another(payment, seen):
        return
    now = ctx.clock.now()
    is_ours = seen.metadata.get("namespace") == ctx.installation.namespace
    key_hash = seen.metadata.get("key_hash") if is_ours else None
    state = RefundState(seen.status.value)
    refund = RefundRow(
        id=new_id(),
        order_id=payment.order_id,
        payment_id=payment.id,
        cause=Cause.REQUESTED if key_hash else Cause.DASHBOARD,
        state=state,
        amount_minor=seen.amount,
        currency=payment.currency,
        stripe_version=payment.stripe_version,
        params="{}",
        key_no=0,
        stripe_refund_id=seen.id,
        failure_reason=seen.failure_reason,
        checks=0,
        next_check_at=now + LEASE if REFUND_MOVES[state] else None,
        created_at=seen.created_at or now,
        finished_at=None if state in UNFINISHED else now,
        key_hash=key_hash,
        request_hash=seen.metadata.get("request_hash") if key_hash else None,
        reason=seen.reason,
    )

    async def work(tx: Transaction) -> None:
        await orders.lock_order(tx, payment.order_id)
        if await refunds.insert_refund(tx, refund):
            await _tell(ctx, tx, refund, None)

    await ctx.db.transaction("refund_seen", work)


async def _record(ctx: Context, payment: PaymentRow, refund: RefundRow, seen: Refund) -> None:
    """Stripe's word about a refund. An older word than the one we have changes nothing."""
    if seen.status is RefundStatus.UNRECOGNIZED or _contradicts(payment, refund, seen):
        return
    news = _News(
        RefundState(seen.status.value), seen.id, seen.failure_reason, seen.stripe_request_id
    )
    await ctx.db.transaction("refund", lambda tx: _move(ctx, tx, refund.id, news))


async def _record_refused(ctx: Context, refund_id: str, failure: Failure) -> None:
    """Stripe will never make it: somebody has refunded the charge by hand, or the card holder has
    disputed it."""
    reason = failure.code or failure.message
    news = _News(RefundState.REFUSED, None, reason, failure.stripe_request_id)
    await ctx.db.transaction("refund_refused", lambda tx: _move(ctx, tx, refund_id, news))


@dataclass(frozen=True, slots=True)
class _News:
    """What Stripe said of a refund."""

    state: RefundState
    stripe_refund_id: str | None
    failure_reason: str | None
    stripe_request_id: str | None = None


def _contradicts(payment: PaymentRow, refund: RefundRow, seen: Refund) -> bool:
    """What Stripe says of a refund of ours has to be about ours: of this payment's intent, over its
    amount and currency. What is not is no answer: an alarm, and the row stays as it is."""
    if _is_of_another(payment, seen):
        return True
    if seen.amount == refund.amount_minor:
        return False
    _alarm(payment, seen)
    return True


def _is_of_another(payment: PaymentRow, seen: Refund) -> bool:
    """Also of a refund that no row of ours stands for."""
    if (seen.intent_id, seen.currency) == (payment.stripe_payment_intent_id, payment.currency):
        return False
    _alarm(payment, seen)
    return True


def _alarm(payment: PaymentRow, seen: Refund) -> None:
    log.critical("refund.contradicted", order_id=payment.order_id, seen=seen.id)
    record_contradiction("refund")


async def _move(ctx: Context, tx: Transaction, refund_id: str, news: _News) -> None:
    """Write it down, unless a later word stands there already."""
    refund = await refunds.get_refund(tx, refund_id)
    await orders.lock_order(tx, refund.order_id)
    refund = await refunds.get_refund(tx, refund_id)
    if news.state not in REFUND_MOVES[refund.state]:
        return
    await refunds.set_state(
        tx,
        refund.id,
        refund.state,
        news.state,
        ctx.clock.now(),
        stripe_refund_id=news.stripe_refund_id,
        failure_reason=news.failure_reason,
    )
    await _tell(ctx, tx, await refunds.get_refund(tx, refund.id), news.stripe_request_id)


async def _tell(
    ctx: Context, tx: Transaction, refund: RefundRow, stripe_request_id: str | None
) -> None:
    """A refund has a new state: into the history, to the merchant, and into the log where a person
    has to look. An order counts as refunded by what was given back of the payment that paid for
    it; a surplus that goes back is none of its business."""
    await history.note(
        ctx,
        tx,
        f"refund.{refund.state.value}",
        refund.order_id,
        refund.payment_id,
        refund=refund.id,
        cause=refund.cause,
        reason=refund.failure_reason,
        request=stripe_request_id,
    )
    payment = await payments.get_payment(tx, refund.payment_id)
    back = await refunds.get_given_back(tx, payment.id)
    facts = notices.RefundFacts(
        id=refund.id,
        amount_minor=refund.amount_minor,
        # Stripe's figure is as old as the last look, and still has what has just come back.
        refunded_minor=back.made_minor if refund.state in ALARMING else back.all_minor,
        reason=refund.reason,
        stripe_refund_id=refund.stripe_refund_id,
        cause=refund.cause,
    )
    is_of_order = payment.state is PaymentState.SUCCEEDED
    if refund.state is RefundState.SUCCEEDED and is_of_order:
        await notices.order_refunded(ctx, tx, refund.order_id, payment.id, facts)
    elif refund.state in ALARMING:
        await notices.refund_failed(ctx, tx, refund.order_id, payment.id, facts)
        log.critical(
            "refund.failed",
            refund_id=refund.id,
            order_id=refund.order_id,
            state=refund.state.value,
            reason=refund.failure_reason,
        )


async def read_balance(ctx: Context, payment: PaymentRow, deadline: Deadline) -> bool:
    """What Stripe says was given back of the payment's charge; False without an answer."""
    if payment.stripe_payment_intent_id is None:
        return True
    answer = await ctx.gateway.retrieve_intent(payment.stripe_payment_intent_id, deadline.left)
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
