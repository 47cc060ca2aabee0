"""Money that Stripe holds and has not taken (`requires_capture`): the order is not paid by it, and
nothing else can be charged for it while it is held.

A hold ends: captured, canceled by us, or by Stripe when `capture_before` has passed ("after that,
the authorization expires and the payment status changes to canceled",
https://docs.stripe.com/payments/place-a-hold-on-a-payment-method). Then the order can be paid
again. Stripe says so by an event; the worker looks by itself where none has come.
"""

from datetime import datetime, timedelta

from paidonce.domain import errors
from paidonce.domain.intent import Failure, Intent, IntentStatus
from paidonce.domain.states import OrderStatus, PaymentState
from paidonce.observability import get_logger
from paidonce.observability.metrics import set_holds_ending
from paidonce.payments import evidence, history, notices
from paidonce.payments.context import (
    REQUEST_SECONDS,
    Again,
    Context,
    Parts,
    Verdict,
    held_answer,
    paid_answer,
)
from paidonce.payments.pay import record
from paidonce.store import orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, PaymentRow

LOOK_LEASE = timedelta(seconds=45)
LOOK_PAUSE = timedelta(hours=1)
WARNING = timedelta(hours=24)
"""How long before its end a hold is called one that ends soon."""
AFTER_ITS_END = timedelta(minutes=5)
"""Clocks are minutes apart, and Stripe needs a moment."""
log = get_logger(__name__)


async def record_authorized(
    ctx: Context, payment: PaymentRow, attempt: AttemptRow | None, intent: Intent
) -> Verdict:
    """Stripe holds the money. `attempt` is given only when its own confirm said so."""
    contradictions = evidence.contradictions(ctx, payment, intent)
    if contradictions:
        await evidence.raise_alarm(ctx, payment, intent, contradictions)
        return errors.payment_processing()
    attempt_id = attempt.id if attempt else None
    return await ctx.db.transaction(
        "authorized", lambda tx: _record(ctx, tx, payment.id, attempt_id, intent)
    )


async def _record(
    ctx: Context, tx: Transaction, payment_id: str, attempt_id: str | None, intent: Intent
) -> Verdict:
    payment = await payments.get_payment(tx, payment_id)
    order = await orders.lock_order(tx, payment.order_id)
    payment = await payments.get_payment(tx, payment_id)
    if order is None:
        raise LookupError("a payment's order has a row")
    if payment.state is PaymentState.SUCCEEDED:
        return paid_answer(order, payment.id)
    if payment.state in (PaymentState.CANCELED, PaymentState.SURPLUS):
        return Again("the hold is over")
    now = ctx.clock.now()
    if payment.state is PaymentState.LIVE:
        await payments.set_charge(tx, payment.id, intent.latest_charge)
        await payments.set_payment_state(
            tx, payment.id, PaymentState.LIVE, PaymentState.AUTHORIZED, now
        )
        await record.credit_attempt(ctx, tx, payment, attempt_id, intent)
        about = {"charge": intent.latest_charge, "request": intent.stripe_request_id}
        await history.note(ctx, tx, "payment.authorized", order.id, payment.id, attempt_id, **about)
        await notices.order_authorized(ctx, tx, payment)
    await _plan(ctx, tx, payment, intent)
    if order.status is not OrderStatus.PENDING:
        return errors.order_not_payable("it was canceled")
    return held_answer(order, payment.id)


async def _plan(ctx: Context, tx: Transaction, payment: PaymentRow, intent: Intent) -> None:
    """Until when Stripe holds it, and the next look. Only a look shows the charge: the confirm's
    own answer does not, so the first look comes at once."""
    now = ctx.clock.now()
    ends_at = intent.capture_before or payment.capture_before
    await payments.note_hold(
        tx, payment.id, intent.capture_before, _next_look(now, intent, ends_at)
    )
    if ends_at is not None and ends_at - now < WARNING:
        log.error("hold.ends_soon", order_id=payment.order_id, capture_before=ends_at.isoformat())


def _next_look(now: datetime, intent: Intent, ends_at: datetime | None) -> datetime:
    if ends_at is None:
        return now + LOOK_PAUSE if intent.looked_at is not None else now
    times = (ends_at - WARNING, ends_at + AFTER_ITS_END, now + LOOK_PAUSE)
    return next(time for time in times if time > now)


# --- the worker ----------------------------------------------------------------------------------


async def take_holds(ctx: Context, limit: int) -> list[PaymentRow]:
    now = ctx.clock.now()
    return await ctx.db.transaction(
        "take_holds", lambda tx: payments.take_holds(tx, now, now + LOOK_LEASE, limit)
    )


async def look_at_hold(ctx: Context, payment: PaymentRow) -> None:
    """Whether Stripe still holds it, and until when."""
    if payment.stripe_payment_intent_id is None:
        raise LookupError("what is held was confirmed, so its intent is recorded")
    told = await ctx.gateway.retrieve_intent(payment.stripe_payment_intent_id, REQUEST_SECONDS)
    intent = await evidence.checked(ctx, payment, told)
    if not isinstance(intent, Failure):
        await conclude(ctx, payment, intent)


async def conclude(ctx: Context, payment: PaymentRow, intent: Intent) -> Verdict | None:
    """What a look at a held payment says."""
    match intent.status:
        case IntentStatus.REQUIRES_CAPTURE:
            return await record_authorized(ctx, payment, None, intent)
        case IntentStatus.SUCCEEDED:
            return await record.record_success(ctx, payment, None, intent)
        case IntentStatus.CANCELED:
            await record.retire(ctx, payment.id)
        case _:
            log.critical("hold.contradicted", payment_id=payment.id, status=intent.status.value)
    return None


async def measure_ending(ctx: Parts) -> None:
    """Bring into the metrics how many holds end within a day."""
    before = ctx.clock.now() + WARNING
    set_holds_ending(await ctx.db.read(lambda tx: payments.count_holds_ending(tx, before)))
