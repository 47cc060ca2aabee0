"""P4, P5: the payment's intent. With the customer (`customers`) it is made ahead when an order is
created, and again by a pay request that finds something missing.
"""

from dataclasses import replace
from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Intent, IntentStatus, Reason
from paidonce.domain.states import OrderStatus, PaymentState
from paidonce.gateway import Keyed
from paidonce.payments import customers, evidence, history
from paidonce.payments.context import CLOCKS_APART, KEY_LIFE_HOURS, REQUEST_SECONDS, Again, Context
from paidonce.payments.harmless import send_harmless, unavailable
from paidonce.payments.pay import claim
from paidonce.payments.requests import cancel_request, intent_params, intent_request
from paidonce.store import orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow

MAX_ROUNDS = 4
KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
_BEST_FIRST = (
    IntentStatus.SUCCEEDED,
    IntentStatus.REQUIRES_CAPTURE,
    IntentStatus.PROCESSING,
    IntentStatus.REQUIRES_ACTION,
    IntentStatus.REQUIRES_CONFIRMATION,
    IntentStatus.REQUIRES_PAYMENT_METHOD,
)
SWEEP_PAUSE = timedelta(minutes=1)
"""A create that was not recorded by then was left behind: its request has ended."""


async def ensure_intent(
    ctx: Context, payment_id: str, customer_id: str, deadline: Deadline
) -> PaymentRow | ServiceError | Again:
    """The payment's one recorded intent on this customer, created unconfirmed if it has none.

    Again: the payment was retired, or has to be since its intent is for another customer.
    """
    for _ in range(MAX_ROUNDS):
        payment = await read_payment(ctx, payment_id)
        if payment.intent_params is None:
            payment = await _note_intent_request(ctx, payment_id, customer_id)
        if payment.state is not PaymentState.LIVE:
            return Again("the payment was retired")
        if payment.stripe_customer_id != customer_id:
            return Again("the intent is for another customer")
        if payment.stripe_payment_intent_id is not None:
            return payment
        answer = await _adopt_or_create_intent(ctx, payment, deadline)
        if isinstance(answer, Intent):
            await save_intent(ctx, payment, answer)
        elif answer.is_saved_error:
            await _next_intent_key(ctx, payment)
        elif answer.reason is Reason.CUSTOMER_GONE:
            await customers.forget_customer(ctx, payment.user_id, customer_id)
            return Again("the customer is gone")
        else:
            return unavailable(answer)
    return errors.stripe_unavailable()


async def read_payment(ctx: Context, payment_id: str) -> PaymentRow:
    return await ctx.db.read(lambda tx: payments.get_payment(tx, payment_id))


async def _note_intent_request(ctx: Context, payment_id: str, customer_id: str) -> PaymentRow:
    async def work(tx: Transaction) -> PaymentRow:
        payment = await payments.get_payment(tx, payment_id)
        if payment.intent_params is not None:
            return payment
        order = await orders.lock_order(tx, payment.order_id)
        if order is None:
            raise LookupError("a payment's order has a row")
        params = intent_params(ctx, order, payment, customer_id)
        now = ctx.clock.now()
        await payments.note_intent_request(
            tx, payment_id, customer_id, params, now, now + SWEEP_PAUSE
        )
        return await payments.get_payment(tx, payment_id)

    return await ctx.db.transaction("intent_request", work)


async def _adopt_or_create_intent(
    ctx: Context, payment: PaymentRow, deadline: Deadline
) -> Intent | Failure:
    """Under a key that Stripe may have forgotten, look first at what it made of it."""
    requested_at = payment.intent_requested_at or ctx.clock.now()
    if ctx.clock.now() - requested_at > KEY_LIFE:
        intents = await find_intents_of(ctx, payment, deadline.left)
        if isinstance(intents, Failure):
            return intents
        made = best_of(intents)
        if made is not None:
            return made
        sweep_at = ctx.clock.now() + SWEEP_PAUSE
        await ctx.db.transaction(
            "intent_late", lambda tx: payments.sweep_at(tx, payment.id, sweep_at)
        )
    request = intent_request(ctx, payment)
    answer = await send_harmless(
        ctx, deadline, lambda left: ctx.gateway.create_intent(request, left)
    )
    return await evidence.checked(ctx, payment, answer)


async def find_intents_of(
    ctx: Context, payment: PaymentRow, time_left: float
) -> list[Intent] | Failure:
    """Every intent that Stripe has of a payment, by what the create wrote into its metadata;
    another environment has another namespace."""
    if payment.stripe_customer_id is None:
        raise LookupError("an intent was asked for, so its customer is in the row")
    ours = {"payment_id": payment.id, "namespace": ctx.installation.namespace}
    since = payment.created_at - CLOCKS_APART
    found = await ctx.gateway.find_intents(payment.stripe_customer_id, ours, since, time_left)
    if isinstance(found, Failure):
        return found
    unrecorded = replace(payment, stripe_payment_intent_id=None)
    for intent in found:
        answer = await evidence.checked(ctx, unrecorded, intent)
        if isinstance(answer, Failure):
            return answer
    return found


def best_of(intents: list[Intent]) -> Intent | None:
    """Which of one payment's intents is to be recorded: the one that went furthest."""
    for status in _BEST_FIRST:
        for intent in intents:
            if intent.status is status:
                return intent
    return None


async def save_intent(ctx: Context, payment: PaymentRow, intent: Intent) -> None:
    """P5. A loser is canceled at once, and by the sweep where this process does not live to."""

    async def work(tx: Transaction) -> bool:
        await orders.lock_order(tx, payment.order_id)
        await payments.save_intent(tx, payment.id, intent.id)
        winner = await payments.get_payment(tx, payment.id)
        is_winner = winner.stripe_payment_intent_id == intent.id
        if not is_winner:
            await payments.sweep_at(tx, payment.id, ctx.clock.now() + SWEEP_PAUSE)
        kind = "intent.recorded" if is_winner else "intent.lost"
        await history.note(
            ctx,
            tx,
            kind,
            payment.order_id,
            payment.id,
            intent=intent.id,
            request=intent.stripe_request_id,
        )
        return is_winner

    if not await ctx.db.transaction("intent", work):
        request = cancel_request(ctx, payment)
        ctx.background.start(f"cancel:{intent.id}", lambda: _cancel_loser(ctx, intent.id, request))


async def _cancel_loser(ctx: Context, intent_id: str, request: Keyed) -> None:
    """An intent that another one was recorded before. Nobody ever confirms it; this is tidying."""
    await ctx.gateway.cancel_intent(intent_id, request, REQUEST_SECONDS)


async def _next_intent_key(ctx: Context, payment: PaymentRow) -> None:
    now = ctx.clock.now()
    await ctx.db.transaction(
        "intent_key",
        lambda tx: payments.next_intent_key(tx, payment.id, payment.intent_key_no, now),
    )


# --- the work ahead ------------------------------------------------------------------------------


async def prepare_order(ctx: Context, order_id: str) -> None:
    """Customer, payment and intent of a new order, so that paying it costs one Stripe call less."""

    async def work(tx: Transaction) -> PaymentRow | None:
        found = await orders.lock_order_to_pay(tx, order_id)
        if found is None:
            return None
        order, in_the_way = found
        if order.status is not OrderStatus.PENDING or in_the_way.is_forgotten:
            return None  # a forgotten intent is to be adopted, and another one would stand there
        payment = await payments.get_standing_payment(tx, order_id)
        return payment or await claim.insert_payment(ctx, tx, order)

    payment = await ctx.db.transaction("prepare", work)
    if payment is None:
        return
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    customer_id = await customers.ensure_customer(ctx, payment.user_id, deadline)
    if isinstance(customer_id, str):
        await ensure_intent(ctx, payment.id, customer_id, deadline)


def start_preparing(ctx: Context, order_id: str) -> None:
    ctx.background.start(_task(order_id), lambda: prepare_order(ctx, order_id))


async def wait_for_preparation(ctx: Context, order_id: str, timeout_seconds: float) -> None:
    """A pay request that comes while its order is being prepared here lets that finish first."""
    await ctx.background.wait_for(_task(order_id), timeout_seconds)


def _task(order_id: str) -> str:
    return f"prepare:{order_id}"
