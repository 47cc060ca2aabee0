"""P7: write down what Stripe said, in one transaction under the order's lock.

A negative fact is last checked against the order: paid meanwhile means success, an attempt closed
meanwhile is answered from what closed it.
"""

from datetime import datetime, timedelta
from functools import partial

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import CardRefusal, Intent
from paidonce.domain.model import Paid
from paidonce.domain.outgoing import EventType
from paidonce.domain.states import LIVE_ATTEMPTS, AttemptState, OrderStatus, PaymentState
from paidonce.observability import get_logger
from paidonce.payments import evidence, history, limits, notices, refunds
from paidonce.payments.context import (
    Again,
    Context,
    Job,
    Verdict,
    action_required,
    new_id,
    paid_answer,
)
from paidonce.payments.leases import check_pause_seconds
from paidonce.payments.pay import capture_record, client_confirms
from paidonce.payments.pay.answers import answer_of
from paidonce.store import attempts, methods, one_trip, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.postgresql import PostgresqlDatabase
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow

PAYABLE = (OrderStatus.PENDING, OrderStatus.CANCELING)
log = get_logger(__name__)


# --- charged -------------------------------------------------------------------------------------


async def record_success(
    ctx: Context, payment: PaymentRow, attempt: AttemptRow | None, intent: Intent
) -> Verdict:
    """A success may come from anywhere. `attempt` is given only when its own confirm said so."""
    contradictions = evidence.contradictions(ctx, payment, intent)
    if contradictions:
        await evidence.raise_alarm(ctx, payment, intent, contradictions)
        return errors.payment_processing()
    if attempt is not None and not attempt.is_token and isinstance(ctx.db, PostgresqlDatabase):
        paid = await _record_in_one_trip(ctx, ctx.db, payment, attempt, intent)
        if paid is not None:
            return paid
    attempt_id = attempt.id if attempt else None
    return await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )


async def _record_in_one_trip(
    ctx: Context,
    db: PostgresqlDatabase,
    payment: PaymentRow,
    attempt: AttemptRow,
    intent: Intent,
) -> Paid | None:
    now = ctx.clock.now()
    is_recorded = await one_trip.record_paid(
        db,
        order_id=payment.order_id,
        payment_id=payment.id,
        attempt_id=attempt.id,
        stripe_charge_id=intent.latest_charge,
        now=now,
        outbox_id=notices.event_id(payment.order_id, EventType.ORDER_PAID),
        outbox_payload=notices.paid_payload(payment),
        event_id=new_id(),
        event_data=history.data_of(charge=intent.latest_charge, request=intent.stripe_request_id),
        attempt_event_id=new_id(),
        attempt_event_data=history.data_of(code=None),
    )
    if not is_recorded:
        return None
    return Paid(payment.id, payment.order_id, payment.amount_minor, payment.currency)


async def _record_success(
    ctx: Context, tx: Transaction, payment_id: str, attempt_id: str | None, intent: Intent
) -> Verdict:
    payment = await payments.get_payment(tx, payment_id)
    order = await orders.lock_order(tx, payment.order_id)
    payment = await payments.get_payment(tx, payment_id)
    if order is None:
        raise LookupError("a payment's order has a row")
    now = ctx.clock.now()
    await payments.set_charge(tx, payment.id, intent.latest_charge)
    refunded = await _record_refunded(tx, payment, intent, now)
    is_retired = payment.state in (PaymentState.CANCELED, PaymentState.SURPLUS)
    if is_retired or (payment.state is not PaymentState.SUCCEEDED and order.status not in PAYABLE):
        return await _surplus(ctx, tx, order, payment, intent)
    if refunded is not None:
        await orders.set_refunded(tx, order.id, refunded)
    if payment.state is PaymentState.SUCCEEDED:
        return paid_answer(order, payment.id)
    await payments.set_payment_state(tx, payment.id, payment.state, PaymentState.SUCCEEDED, now)
    if payment.state is PaymentState.LIVE:
        await credit_attempt(ctx, tx, payment, attempt_id, intent)
    if payment.state is PaymentState.AUTHORIZED or order.capture_method == "manual":
        order, payment = await capture_record.note_captured(ctx, tx, order, payment, intent)
    await orders.set_order_status(tx, order.id, order.status, OrderStatus.PAID, now)
    await notices.order_paid(ctx, tx, payment)
    await history.note(
        ctx,
        tx,
        "payment.succeeded",
        order.id,
        payment.id,
        attempt_id,
        charge=intent.latest_charge,
        request=intent.stripe_request_id,
    )
    return paid_answer(order, payment.id)


async def _record_refunded(
    tx: Transaction, payment: PaymentRow, intent: Intent, now: datetime
) -> int | None:
    """What was given back of the charge, where this is the latest look at it."""
    amount, looked_at = intent.amount_refunded, intent.looked_at
    if amount is None or looked_at is None:
        return None
    is_latest = await payments.set_refunded(tx, payment.id, amount, looked_at, now)
    return amount if is_latest else None


async def credit_attempt(
    ctx: Context, tx: Transaction, payment: PaymentRow, attempt_id: str | None, intent: Intent
) -> None:
    """The attempt that charged succeeds. The app's own confirm becomes an attempt of its own."""
    live = await attempts.get_live_attempt(tx, payment.id)
    if live is not None and _has_paid(payment, live, attempt_id, intent):
        await history.close(ctx, tx, live, AttemptState.SUCCEEDED)
        if live.is_token:
            await client_confirms.keep_tokens_method(ctx, tx, payment, live, intent)
            return
        await _note_method(ctx, tx, live)
        return
    if live is not None:
        await history.close(ctx, tx, live, AttemptState.SUPERSEDED)
    if attempt_id is None:
        await client_confirms.insert_success(ctx, tx, payment, intent)


def _has_paid(
    payment: PaymentRow, live: AttemptRow, attempt_id: str | None, intent: Intent
) -> bool:
    """By the answer to its own key, or by its method. That of a token is not known while it is
    open: then it is ours if nobody else can have confirmed, for want of the client secret."""
    if live.id == attempt_id:
        return True
    if live.is_token and live.stripe_payment_method_id is None:
        return live.sends > 0 and payment.next_look_at is None
    return live.stripe_payment_method_id == intent.payment_method


async def _note_method(ctx: Context, tx: Transaction, attempt: AttemptRow) -> None:
    """The method has paid. Only now is it listed, if its user asked to keep it."""
    method_id = attempt.stripe_payment_method_id
    if method_id is None:
        return
    if attempt.is_saving_method and not attempt.is_single_use:
        await users.lock_user(tx, attempt.user_id)
        await methods.keep_method(tx, attempt.user_id, method_id, ctx.clock.now())
    await methods.note_use(tx, method_id, ctx.clock.now())


async def _surplus(
    ctx: Context, tx: Transaction, order: OrderRow, payment: PaymentRow, intent: Intent
) -> Verdict:
    """Money on a retired generation, or on an order that was paid or canceled otherwise: kept
    visible, raised, given back by policy, and never a second paid order."""
    if payment.state in (PaymentState.LIVE, PaymentState.AUTHORIZED):
        await retire_locked(ctx, tx, payment.id, action_becomes=AttemptState.SUPERSEDED)
    is_new = await payments.set_payment_state(
        tx, payment.id, PaymentState.CANCELED, PaymentState.SURPLUS, ctx.clock.now()
    )
    if is_new:
        await history.note(ctx, tx, "payment.surplus", order.id, payment.id)
        log.critical("payment.surplus", order_id=order.id, payment_id=payment.id)
        charged_minor = intent.amount if intent.amount_received is None else intent.amount_received
        amount_minor = charged_minor - (intent.amount_refunded or 0)
        if ctx.settings.refund_surplus and amount_minor > 0:
            await refunds.request_refund(ctx, tx, payment, amount_minor, refunds.Cause.SURPLUS)
    standing = await payments.get_standing_payment(tx, order.id)
    if order.status is OrderStatus.PAID and standing is not None:
        return paid_answer(order, standing.id)
    return errors.payment_processing()


# --- the card holder has to act ------------------------------------------------------------------


async def record_action(ctx: Context, job: Job, intent: Intent) -> Verdict:
    """The confirm itself asked for authentication."""

    async def work(tx: Transaction) -> Verdict:
        order, attempt = await _reload(tx, job)
        known = _known_by_now(order, attempt)
        if known is not None:
            return known
        if attempt.state is AttemptState.OPEN:
            now = ctx.clock.now()
            next_check_at = now + timedelta(seconds=check_pause_seconds(0))
            await attempts.set_action(tx, attempt.id, now, next_check_at)
            if attempt.is_token and intent.payment_method is not None:
                await attempts.set_tokens_method(tx, attempt.id, intent.payment_method)
            await payments.look_at(tx, attempt.payment_id, next_check_at)
            await history.note(
                ctx,
                tx,
                "attempt.action",
                order.id,
                attempt.payment_id,
                attempt.id,
                request=intent.stripe_request_id,
            )
            await notices.payment_action_required(ctx, tx, attempt)
        return action_required(job.payment, intent)

    return await ctx.db.transaction("action", work)


async def answer_action(ctx: Context, job: Job, intent: Intent) -> Verdict:
    """Stripe was seen waiting for the card holder: last checked against our books. A look never
    turns an open attempt into one that waits."""

    order, attempt = await ctx.db.read(lambda tx: _reload(tx, job, is_locking=False))
    if attempt.state is AttemptState.OPEN and attempt.action_at is None:
        work = partial(_note_secret_out, ctx, job)
        order, attempt = await ctx.db.transaction("action", work)
    known = _known_by_now(order, attempt)
    return known if known is not None else action_required(job.payment, intent)


async def _note_secret_out(ctx: Context, job: Job, tx: Transaction) -> tuple[OrderRow, AttemptRow]:
    """The app is told for the first time, and may confirm by itself from now on, whatever this
    attempt ends in."""
    order, attempt = await _reload(tx, job)
    if attempt.state is AttemptState.OPEN:
        now = ctx.clock.now()
        await attempts.note_secret_out(tx, attempt.id, now)
        first_look_at = now + timedelta(seconds=check_pause_seconds(0))
        await payments.look_at(tx, attempt.payment_id, first_look_at)
    return order, attempt


# --- not charged ---------------------------------------------------------------------------------


async def record_negative(
    ctx: Context,
    job: Job,
    state: AttemptState,
    refusal: CardRefusal | None = None,
    *,
    only_unsent: bool = False,
    only_from: AttemptState | None = None,
) -> Verdict:
    """Close the attempt with Stripe's no. `only_unsent`: not when it was sent by anybody;
    `only_from`: not when its state is another one by now."""

    async def work(tx: Transaction) -> Verdict:
        order, attempt = await _reload(tx, job)
        known = _known_by_now(order, attempt)
        if known is not None:
            return known
        if (only_unsent and attempt.sends > 0) or (only_from and attempt.state is not only_from):
            return Again("somebody else went on with this attempt")
        await history.close(ctx, tx, attempt, state, refusal)
        if state is AttemptState.DECLINED and await _withholds_reason(ctx, tx, attempt):
            await attempts.withhold_reason(tx, attempt.id)
        return answer_of(order, await attempts.get_attempt(tx, attempt.id))

    return await ctx.db.transaction(state.value, work)


async def _withholds_reason(ctx: Context, tx: Transaction, attempt: AttemptRow) -> bool:
    device = attempt.device_hash
    return await limits.withholds_reason(ctx, tx, attempt.user_id, attempt.client_address, device)


async def close_never_sent(ctx: Context, job: Job, refusal: ServiceError) -> Verdict:
    """A refusal before any confirm was sent."""
    return await _close_refused(ctx, job, refusal, sends=0)


async def close_only_send(ctx: Context, job: Job, refusal: ServiceError) -> Verdict:
    """The confirm was surely not executed. True only when it was the attempt's only send."""
    return await _close_refused(ctx, job, refusal, sends=1)


async def _close_refused(ctx: Context, job: Job, refusal: ServiceError, *, sends: int) -> Verdict:
    async def work(tx: Transaction) -> Verdict:
        order, attempt = await _reload(tx, job)
        known = _known_by_now(order, attempt)
        if known is not None:
            return known
        if attempt.state is not AttemptState.OPEN or attempt.sends > sends:
            return errors.payment_processing()
        reason = CardRefusal(refusal.code, refusal.message)
        await history.close(ctx, tx, attempt, AttemptState.REFUSED, reason)
        return refusal

    return await ctx.db.transaction("refused", work)


# --- retired -------------------------------------------------------------------------------------


async def retire(
    ctx: Context,
    payment_id: str,
    *,
    action_becomes: AttemptState = AttemptState.SUPERSEDED,
    only_unrecorded: bool = False,
) -> bool:
    """End a generation: Stripe said canceled, or (`only_unrecorded`) no intent was ever recorded.

    False when it was not live any more, or an intent has been recorded meanwhile.
    """

    async def work(tx: Transaction) -> bool:
        payment = await payments.get_payment(tx, payment_id)
        await orders.lock_order(tx, payment.order_id)
        return await retire_locked(
            ctx, tx, payment_id, action_becomes=action_becomes, only_unrecorded=only_unrecorded
        )

    return await ctx.db.transaction("retire", work)


async def retire_locked(
    ctx: Context,
    tx: Transaction,
    payment_id: str,
    *,
    action_becomes: AttemptState,
    only_unrecorded: bool = False,
) -> bool:
    """`retire` inside a transaction that holds the order's lock."""
    payment = await payments.get_payment(tx, payment_id)
    if payment.state not in (PaymentState.LIVE, PaymentState.AUTHORIZED):
        return False
    if only_unrecorded and payment.stripe_payment_intent_id is not None:
        return False
    await payments.set_payment_state(
        tx, payment.id, payment.state, PaymentState.CANCELED, ctx.clock.now()
    )
    if payment.state is PaymentState.AUTHORIZED:
        await capture_record.note_hold_over(ctx, tx, payment)
    live = await attempts.get_live_attempt(tx, payment.id)
    if live is not None:
        is_action = live.state is AttemptState.ACTION
        await history.close(ctx, tx, live, action_becomes if is_action else AttemptState.ABANDONED)
    await history.note(ctx, tx, "payment.retired", payment.order_id, payment.id)
    return True


def _known_by_now(order: OrderRow, attempt: AttemptRow) -> Verdict | None:
    """Paid meanwhile, or closed meanwhile: then that is the answer."""
    if order.status is OrderStatus.PAID:
        return paid_answer(order, attempt.payment_id)
    return answer_of(order, attempt) if attempt.state not in LIVE_ATTEMPTS else None


async def _reload(
    tx: Transaction, job: Job, *, is_locking: bool = True
) -> tuple[OrderRow, AttemptRow]:
    get = orders.lock_order if is_locking else orders.get_order
    order = await get(tx, job.order.id)
    if order is None:
        raise LookupError("orders are never deleted")
    return order, await attempts.get_attempt(tx, job.attempt.id)
