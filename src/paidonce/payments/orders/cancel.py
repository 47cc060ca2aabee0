"""Canceling an order is two steps: `canceling` in our books, then `canceled` when Stripe has said
that the intent can never charge. Recovery resumes the second step."""

from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import CardRefusal, Failure, Intent, IntentStatus, Reason
from paidonce.domain.model import ActionRequired
from paidonce.domain.states import AttemptState, OrderStatus, PaymentState
from paidonce.payments import evidence, history, notices, restore
from paidonce.payments.context import LEASE_SECONDS, Context, Role, Visitor, new_id, visitor_for
from paidonce.payments.pay import follow_up, record
from paidonce.payments.requests import cancel_request
from paidonce.store import attempts, captures, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import OrderRow, PaymentRow


async def cancel_order(ctx: Context, order_id: str) -> None:
    """Raises order_not_found, order_not_payable when it is paid, payment_in_progress while a sent
    attempt is open, payment_processing when Stripe does not answer (recovery goes on) or has an
    intent of the order that a restored database does not know."""
    await restore.ensure_compared(ctx, restore.PAYER_SECONDS)
    refusal = await ctx.db.transaction("canceling", lambda tx: _begin(ctx, tx, order_id))
    if refusal is not None:
        raise refusal
    late = await finish_canceling(ctx, order_id, visitor_for(ctx, Role.WORKER, new_id()))
    if late is not None:
        raise late


async def take_expired(ctx: Context, limit: int) -> list[str]:
    """Orders whose time to be paid is over, put off against other workers."""
    now = ctx.clock.now()
    later = now + timedelta(seconds=LEASE_SECONDS)
    return await ctx.db.transaction(
        "take_expired", lambda tx: orders.take_expired(tx, now, later, limit)
    )


async def expire_order(ctx: Context, order_id: str) -> None:
    """Cancel it, unless a payment of it may still succeed, or its money is held: then later."""
    if await _is_under_way_in_app(ctx, order_id):
        return
    refusal = await ctx.db.transaction(
        "expiring", lambda tx: _begin(ctx, tx, order_id, is_expired=True)
    )
    if refusal is None:
        await finish_canceling(ctx, order_id, visitor_for(ctx, Role.WORKER, new_id()))


async def _is_under_way_in_app(ctx: Context, order_id: str) -> bool:
    """The app may confirm by itself: a look shows a challenge there, which is waited for as long as
    one of ours, or records money that is held by now. Without an answer nothing is known."""

    async def work(tx: Transaction) -> tuple[OrderRow | None, bool]:
        payment = await payments.get_standing_payment(tx, order_id)
        is_out = payment is not None and follow_up.is_secret_out(payment)
        attempt = await attempts.get_live_attempt(tx, payment.id) if payment and is_out else None
        return await orders.get_order(tx, order_id), is_out and attempt is None

    order, is_apps = await ctx.db.read(work)
    if order is None or order.expires_at is None or not is_apps:
        return False
    visitor = visitor_for(ctx, Role.WORKER, new_id())
    verdict = await follow_up.look_at_standing_payment(ctx, order_id, visitor)
    if isinstance(verdict, ActionRequired):
        window = timedelta(seconds=ctx.settings.authentication_window_seconds)
        return ctx.clock.now() < order.expires_at + window
    return verdict is not None


async def finish_canceling(ctx: Context, order_id: str, visitor: Visitor) -> ServiceError | None:
    """The second step. None when the order is canceled."""
    payment = await _record_canceled(ctx, order_id)
    if payment is None or payment.stripe_payment_intent_id is None:
        return None
    intent_id, request = payment.stripe_payment_intent_id, cancel_request(ctx, payment)
    told = await ctx.gateway.cancel_intent(intent_id, request, visitor.deadline.left)
    answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Failure) and answer.reason is Reason.UNEXPECTED_STATE:
        told = await ctx.gateway.retrieve_intent(intent_id, visitor.deadline.left)
        answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Intent) and answer.status is IntentStatus.CANCELED:
        await _record_canceled(ctx, order_id, canceled_payment_id=payment.id)
        return None
    if isinstance(answer, Intent) and answer.status is IntentStatus.SUCCEEDED:
        await follow_up.conclude_without_attempt(ctx, payment, answer)
        return errors.order_not_cancelable("it is paid already")
    return errors.payment_processing()


async def _begin(
    ctx: Context, tx: Transaction, order_id: str, *, is_expired: bool = False
) -> ServiceError | None:
    """The first step. `is_expired`: nobody asks for it, so nothing is cut short by it."""
    seen = ctx.gate.known_until
    found = await orders.lock_order_to_pay(tx, order_id)
    if found is None:
        return errors.order_not_found()
    order, in_the_way = found
    if order.status is OrderStatus.PAID:
        return errors.order_not_cancelable("it is paid already")
    if order.status is not OrderStatus.PENDING:
        return None
    if in_the_way.is_forgotten:
        return errors.payment_processing()
    if restore.is_waiting(ctx, order.created_at, in_the_way.known_until, seen):
        return errors.service_unavailable()
    payment = await payments.get_standing_payment(tx, order_id)
    if payment is not None and await captures.get_requested(tx, payment.id) is not None:
        return errors.payment_in_progress()
    attempt = await attempts.get_live_attempt(tx, payment.id) if payment else None
    is_held = payment is not None and payment.state is PaymentState.AUTHORIZED
    is_asking = attempt is not None and attempt.state is AttemptState.ACTION
    if is_expired and (is_held or is_asking):
        return errors.payment_in_progress()
    if attempt is not None and attempt.state is AttemptState.OPEN:
        if attempt.sends > 0:
            return errors.payment_in_progress()
        reason = CardRefusal("order_not_payable", "the order was canceled")
        await history.close(ctx, tx, attempt, AttemptState.REFUSED, reason)
    later = ctx.clock.now() + timedelta(seconds=LEASE_SECONDS)
    await orders.begin_canceling(tx, order_id, later)
    await history.note(ctx, tx, "order.canceling", order_id)
    return None


async def _record_canceled(
    ctx: Context, order_id: str, *, canceled_payment_id: str | None = None
) -> PaymentRow | None:
    """The order is canceled, unless a payment has an intent recorded of which Stripe has not said
    that it is canceled: that payment. Under the order's lock, since an intent may be recorded at
    any time: the order is being prepared."""

    async def work(tx: Transaction) -> PaymentRow | None:
        order = await orders.lock_order(tx, order_id)
        payment = await payments.get_standing_payment(tx, order_id)
        if payment is not None:
            if payment.stripe_payment_intent_id and payment.id != canceled_payment_id:
                return payment
            become = AttemptState.SUPERSEDED
            await record.retire_locked(ctx, tx, payment.id, action_becomes=become)
        canceling, canceled = OrderStatus.CANCELING, OrderStatus.CANCELED
        if order is not None and order.status is canceling:
            await orders.set_order_status(tx, order_id, canceling, canceled, None)
            await history.note(ctx, tx, "order.canceled", order_id)
            is_expired = order.expires_at is not None and order.expires_at <= ctx.clock.now()
            reason = "expired" if is_expired else None
            await notices.order_canceled(ctx, tx, order_id, reason)
        return None

    return await ctx.db.transaction("canceled", work)
