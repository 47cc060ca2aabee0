"""Intents of ours that no row holds: a create whose answer nobody recorded, the loser of two.

Before a create is sent, its payment's row says that the worker has to look (`next_sweep_at`), and
only the record of the one intent there can be takes that back. So no crash leaves an intent behind
at Stripe, and the look is one list of one customer's intents, never of the account.

An intent is canceled only where it can never become the recorded one: namespace and payment are
ours, and that payment's row holds another id or is retired. Both are final.
"""

from datetime import timedelta

from paidonce.domain.intent import Failure, Intent, IntentStatus
from paidonce.domain.states import PaymentState
from paidonce.observability import get_logger
from paidonce.payments.context import KEY_LIFE_HOURS, REQUEST_SECONDS, Context
from paidonce.payments.pay.follow_up import conclude_without_attempt
from paidonce.payments.pay.prepare import (
    SWEEP_PAUSE,
    best_of,
    find_intents_of,
    read_payment,
    save_intent,
)
from paidonce.payments.requests import cancel_request
from paidonce.store import payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow

LATEST_EXECUTION = timedelta(hours=KEY_LIFE_HOURS + 2)
"""Stripe answers a request under a key that it knows from the key, and no request is that late."""
log = get_logger(__name__)


async def take_to_sweep(ctx: Context, limit: int) -> list[PaymentRow]:
    """Payments to look at now, put off against other workers; each look doubles its age twice."""

    async def work(tx: Transaction) -> list[PaymentRow]:
        now = ctx.clock.now()
        due = await payments.list_to_sweep(tx, now, limit)
        for payment in due:
            age = now - (payment.intent_requested_at or now)
            await payments.sweep_at(tx, payment.id, now + max(SWEEP_PAUSE, 3 * age))
        return due

    return await ctx.db.transaction("take_sweep", work)


async def sweep_payment(ctx: Context, payment: PaymentRow) -> None:
    """Adopt or cancel what Stripe has of this payment beside the recorded intent."""
    ours = await find_intents_of(ctx, payment, REQUEST_SECONDS)
    if isinstance(ours, Failure):
        return
    payment = await _adopt(ctx, payment, ours)
    if payment.state is PaymentState.LIVE and payment.stripe_payment_intent_id is None:
        return  # none there, or all are canceled: the next pay request makes one
    is_clean = True
    for intent in ours:
        if intent.id != payment.stripe_payment_intent_id:
            is_clean &= await _cancel(ctx, payment, intent)
    if is_clean and _has_seen_all(ctx, payment):
        await ctx.db.transaction("swept", lambda tx: payments.sweep_at(tx, payment.id, None))


async def _adopt(ctx: Context, payment: PaymentRow, ours: list[Intent]) -> PaymentRow:
    """Record one of them if none is; a success among them is the order's."""
    payment = await read_payment(ctx, payment.id)
    if payment.state is not PaymentState.LIVE or payment.stripe_payment_intent_id is not None:
        return payment
    intent = best_of(ours)
    if intent is None:
        return payment
    await save_intent(ctx, payment, intent)
    payment = await read_payment(ctx, payment.id)
    if payment.stripe_payment_intent_id == intent.id:
        await conclude_without_attempt(ctx, payment, intent)
    return payment


async def _cancel(ctx: Context, payment: PaymentRow, intent: Intent) -> bool:
    """False when it is to be looked at again. Nobody confirms a stray, so one that is past its
    first state was confirmed by hand: a person has to look."""
    if intent.status is IntentStatus.CANCELED:
        return True
    if intent.status is not IntentStatus.REQUIRES_PAYMENT_METHOD:
        log.critical("intent.stray_in_use", intent=intent.id, payment_id=payment.id)
        return False
    request = cancel_request(ctx, payment)
    answer = await ctx.gateway.cancel_intent(intent.id, request, REQUEST_SECONDS)
    log.info("intent.stray_canceled", intent=intent.id, payment_id=payment.id)
    return isinstance(answer, Intent) and answer.status is IntentStatus.CANCELED


def _has_seen_all(ctx: Context, payment: PaymentRow) -> bool:
    """Whether no further intent of this payment can appear at Stripe."""
    is_only_one = payment.stripe_payment_intent_id is not None and payment.intent_key_no == 0
    requested_at = payment.intent_requested_at
    is_over = requested_at is None or ctx.clock.now() - requested_at > LATEST_EXECUTION
    return is_only_one or is_over
