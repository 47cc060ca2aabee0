"""P1, P2, P4, P5: the user's customer and the payment's intent. Harmless calls, repeated at will.

Done ahead when an order is created, and again by a pay request that finds something missing.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Intent, Reason
from paidonce.domain.states import OrderStatus, PaymentState
from paidonce.gateway import Keyed
from paidonce.observability import get_logger
from paidonce.payments import claim, history
from paidonce.payments.context import KEY_LIFE_HOURS, REQUEST_SECONDS, Again, Context
from paidonce.payments.requests import (
    cancel_request,
    customer_metadata,
    customer_request,
    hosts_user_id,
    intent_params,
    intent_request,
)
from paidonce.store import methods, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow, UserRow

MAX_SENDS = 3
MAX_ROUNDS = 4
PAUSE_SECONDS = 0.2
KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
LATE_EXECUTION = timedelta(hours=1)
Answer = TypeVar("Answer")
log = get_logger(__name__)


async def send_harmless(
    ctx: Context,
    deadline: Deadline,
    call: Callable[[float], Awaitable[Answer | Failure]],
) -> Answer | Failure:
    """Send a call that moves no money up to three times under its one key."""
    for n in range(1, MAX_SENDS + 1):
        answer = await call(deadline.left)
        if not isinstance(answer, Failure) or answer.reason is not Reason.UNKNOWN:
            return answer
        if answer.is_saved_error or n == MAX_SENDS or deadline.left < PAUSE_SECONDS * 2**n:
            return answer
        await ctx.clock.sleep(PAUSE_SECONDS * 2**n)
    raise AssertionError("the loop returns")


def unavailable(failure: Failure) -> ServiceError:
    """What a payer is told when a harmless call did not succeed: no confirm was ever sent."""
    if failure.reason is Reason.INVALID:
        return errors.order_not_payable("Stripe refused it")
    if failure.reason in (Reason.KEY_CONFLICT, Reason.INTENT_MISSING):
        log.error("stripe.contradiction", reason=failure.reason.value, detail=failure.message)
    return errors.stripe_unavailable()


# --- P1, P2: the customer ------------------------------------------------------------------------


async def ensure_customer(ctx: Context, user_id: str, deadline: Deadline) -> str | ServiceError:
    """The user's one Stripe customer: recorded, or created under the user's own key."""
    for _ in range(MAX_ROUNDS):
        user = await ctx.db.read(lambda tx: users.get_user(tx, user_id))
        if user is not None and user.stripe_customer_id is None:
            user = await ctx.db.transaction(
                "customer_request", lambda tx: _note_request(ctx, tx, user_id)
            )
        if user is None:
            return errors.not_authenticated()  # the host has deleted the user
        if user.stripe_customer_id is not None:
            return user.stripe_customer_id
        answer = await _find_or_create_customer(ctx, user, deadline)
        if isinstance(answer, str):
            await _save_customer(ctx, user, answer)
        elif answer.is_saved_error or answer.param == "email":
            await _next_customer_key(ctx, user, is_email_refused=answer.param == "email")
        else:
            return unavailable(answer)
    return errors.stripe_unavailable()


async def forget_customer(ctx: Context, user_id: str, gone_customer_id: str) -> None:
    """A customer deleted at Stripe: compare-and-set, next key number, its methods forgotten."""

    async def work(tx: Transaction) -> None:
        if await users.forget_customer(tx, user_id, gone_customer_id):
            await methods.release_methods_of_customer(tx, gone_customer_id)

    await ctx.db.transaction("forget_customer", work)


async def _note_request(ctx: Context, tx: Transaction, user_id: str) -> UserRow | None:
    """The user as he stood before: without a time, nothing was ever sent under his present key."""
    await users.lock_user(tx, user_id)
    user = await users.get_user(tx, user_id)
    if user and user.stripe_customer_id is None and user.customer_requested_at is None:
        await users.note_customer_request(tx, user_id, ctx.clock.now())
    return user


async def _find_or_create_customer(
    ctx: Context, user: UserRow, deadline: Deadline
) -> str | Failure:
    requested_at = user.customer_requested_at
    if ctx.db.users.is_host:
        found = await _find_hosts_customer(ctx, user, deadline)
        if found is not None:
            return found
    if requested_at is not None and ctx.clock.now() - requested_at > KEY_LIFE:
        found = await _find_customer(ctx, user, requested_at, deadline)
        if found is not None:
            return found
    request = customer_request(ctx, user)
    answer = await send_harmless(
        ctx, deadline, lambda left: ctx.gateway.create_customer(request, left)
    )
    if isinstance(answer, Failure) and answer.is_saved_error:
        first = requested_at or ctx.clock.now()
        return await _find_customer(ctx, user, first, deadline) or answer
    return answer


async def _find_hosts_customer(
    ctx: Context, user: UserRow, deadline: Deadline
) -> str | Failure | None:
    """The customer that the host's own server made before us. The e-mail only narrows Stripe's
    list; what decides is the user's id in the metadata."""
    if not user.email:
        return None
    customers = await ctx.gateway.list_customers_with_email(user.email, deadline.left)
    if isinstance(customers, Failure):
        return customers
    return next((c.id for c in customers if hosts_user_id(ctx, c.metadata) == user.id), None)


async def _find_customer(
    ctx: Context, user: UserRow, first: datetime, deadline: Deadline
) -> str | Failure | None:
    """A customer whose create was executed although we never saw a good answer."""
    return await ctx.gateway.find_customer(
        customer_metadata(ctx, user),
        first - timedelta(minutes=5),
        first + LATE_EXECUTION,
        deadline.left,
    )


async def _next_customer_key(ctx: Context, user: UserRow, *, is_email_refused: bool) -> None:
    await ctx.db.transaction(
        "customer_key",
        lambda tx: users.next_customer_key(
            tx, user.id, user.customer_key_no, is_email_refused=is_email_refused
        ),
    )


async def _save_customer(ctx: Context, user: UserRow, customer_id: str) -> None:
    await ctx.db.transaction(
        "customer", lambda tx: users.save_customer(tx, user.id, user.customer_key_no, customer_id)
    )


# --- P4, P5: the intent --------------------------------------------------------------------------


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
            await _save_intent(ctx, payment, answer)
        elif answer.is_saved_error:
            await _next_intent_key(ctx, payment)
        elif answer.reason is Reason.CUSTOMER_GONE:
            await forget_customer(ctx, payment.user_id, customer_id)
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
        await payments.note_intent_request(tx, payment_id, customer_id, params, ctx.clock.now())
        return await payments.get_payment(tx, payment_id)

    return await ctx.db.transaction("intent_request", work)


async def _adopt_or_create_intent(
    ctx: Context, payment: PaymentRow, deadline: Deadline
) -> Intent | Failure:
    """Under a key that Stripe may have forgotten, look first at what it made of it."""
    requested_at = payment.intent_requested_at or ctx.clock.now()
    if ctx.clock.now() - requested_at > KEY_LIFE and payment.stripe_customer_id:
        intents = await ctx.gateway.list_intents_of(payment.stripe_customer_id, deadline.left)
        if isinstance(intents, Failure):
            return intents
        ours = {"payment_id": payment.id, "namespace": ctx.installation.namespace}
        for intent in intents:
            if ours.items() <= intent.metadata.items():
                return intent
    request = intent_request(ctx, payment)
    return await send_harmless(ctx, deadline, lambda left: ctx.gateway.create_intent(request, left))


async def _save_intent(ctx: Context, payment: PaymentRow, intent: Intent) -> None:
    async def work(tx: Transaction) -> bool:
        await orders.lock_order(tx, payment.order_id)
        await payments.save_intent(tx, payment.id, intent.id)
        winner = await payments.get_payment(tx, payment.id)
        is_winner = winner.stripe_payment_intent_id == intent.id
        kind = "intent.recorded" if is_winner else "intent.lost"
        await history.note(ctx, tx, kind, payment.order_id, payment.id, intent=intent.id)
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
        order = await orders.lock_order(tx, order_id)
        if order is None or order.status is not OrderStatus.PENDING:
            return None
        payment = await payments.get_standing_payment(tx, order_id)
        return payment or await claim.insert_payment(ctx, tx, order)

    payment = await ctx.db.transaction("prepare", work)
    if payment is None:
        return
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    customer_id = await ensure_customer(ctx, payment.user_id, deadline)
    if isinstance(customer_id, str):
        await ensure_intent(ctx, payment.id, customer_id, deadline)


def start_preparing(ctx: Context, order_id: str) -> None:
    ctx.background.start(_task(order_id), lambda: prepare_order(ctx, order_id))


async def wait_for_preparation(ctx: Context, order_id: str, timeout_seconds: float) -> None:
    """A pay request that comes while its order is being prepared here lets that finish first."""
    await ctx.background.wait_for(_task(order_id), timeout_seconds)


def _task(order_id: str) -> str:
    return f"prepare:{order_id}"
