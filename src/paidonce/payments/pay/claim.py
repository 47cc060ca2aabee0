"""T1: decide what this request does, write the intention down, commit.

One transaction under the order's lock. It ends in a `Drive` (an attempt is ours to work on), a
`Look` (the card holder was asked to authenticate: see what became of it), a `Wait` (somebody else
works on it), an `Uncompared` (first it has to be sure that this database has forgotten nothing),
`Paid`, or a refusal.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.model import Paid, PayCommand
from paidonce.domain.states import AttemptState, MethodState, OrderStatus, PaymentState
from paidonce.observability import present_request_id
from paidonce.payments import history, limits, restore
from paidonce.payments.context import (
    LEASE_SECONDS,
    Context,
    Job,
    Visitor,
    held_answer,
    new_id,
    paid_answer,
)
from paidonce.payments.evidence import TEST_FACTORY
from paidonce.payments.requests import confirm_params
from paidonce.store import attempts, methods, one_trip, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.postgresql import PostgresqlDatabase
from paidonce.store.rows import AttemptRow, MethodRow, OrderRow, PaymentRow, is_token


@dataclass(frozen=True, slots=True)
class Drive:
    """The attempt is ours. `is_sent`: the send is recorded already, confirm at once."""

    job: Job
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """The attempt waits for the card holder."""

    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else's lease is alive."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class Uncompared:
    """The order may have been paid in what this database has forgotten: see `restore`."""


Claim = Drive | Look | Wait | Paid | ServiceError


async def claim_for_payer(ctx: Context, command: PayCommand, visitor: Visitor) -> Claim:
    """T1 of a payer. May be run again after an unknown commit: the lease is the request's own."""
    claim = await _claim_once(ctx, command, visitor)
    if isinstance(claim, Uncompared) and await restore.ensure_compared(ctx, visitor.deadline.left):
        claim = await _claim_once(ctx, command, visitor)
    return errors.stripe_unavailable() if isinstance(claim, Uncompared) else claim


async def _claim_once(ctx: Context, command: PayCommand, visitor: Visitor) -> Claim | Uncompared:
    if isinstance(ctx.db, PostgresqlDatabase) and ctx.gate.is_open:
        ready = await _claim_in_one_trip(ctx, ctx.db, command)
        if ready is not None:
            return Drive(ready, is_sent=True)
    return await ctx.db.transaction("claim", lambda tx: _claim(ctx, tx, command, visitor))


async def claim_standing(ctx: Context, order_id: str, visitor: Visitor) -> Claim | None:
    """T1 of everybody else: take over what stands, never begin. None when nothing stands."""

    async def work(tx: Transaction) -> Claim | None:
        order = await orders.lock_order(tx, order_id)
        payment = await payments.get_standing_payment(tx, order_id)
        if order is None or payment is None:
            return None
        if order.status is OrderStatus.PAID:
            return paid_answer(order, payment.id)
        attempt = await attempts.get_live_attempt(tx, payment.id)
        if attempt is None:
            return None
        return await _join(ctx, tx, Job(order, payment, attempt), visitor)

    return await ctx.db.transaction("claim", work)


def payability(order: OrderRow) -> ServiceError | None:
    """Refunded and canceled are looked at before paid."""
    if order.amount_refunded_minor >= order.charged_minor:
        return errors.order_not_payable("it was refunded")
    if order.status in (OrderStatus.CANCELING, OrderStatus.CANCELED):
        return errors.order_not_payable("it was canceled")
    return None


async def _claim_in_one_trip(
    ctx: Context, db: PostgresqlDatabase, command: PayCommand
) -> Job | None:
    now = ctx.clock.now()
    method_id = command.payment_method_id
    rows = await one_trip.claim_ready(
        db,
        order_id=command.order_id,
        user_id=command.user_id,
        attempt_id=new_id(),
        method_id=method_id,
        is_saving_method=command.save_payment_method,
        confirm_params=confirm_params(
            ctx, "attach", method_id, is_saving_method=command.save_payment_method
        ),
        client_address=command.client_address,
        lease_owner=command.request_id,
        lease_until=now + timedelta(seconds=LEASE_SECONDS),
        now=now,
        declines_since=now - limits.DECLINE_WINDOW,
        declines_per_user=limits.plain_declines(ctx.settings, "user"),
        declines_per_address=limits.plain_declines(ctx.settings, "address"),
        event_id=new_id(),
        known_until=ctx.gate.known_until or now,
        device_hash=limits.device_hash(ctx, command.device_id),
        request_id=present_request_id(),
    )
    return None if rows is None else Job(*rows)


async def _claim(
    ctx: Context, tx: Transaction, command: PayCommand, visitor: Visitor
) -> Claim | Uncompared:
    seen = ctx.gate.known_until
    found = await orders.lock_order_to_pay(tx, command.order_id)
    if not await users.is_known(tx, command.user_id):
        return errors.not_authenticated()
    if found is None or found[0].user_id != command.user_id:
        return errors.order_not_found()
    order, in_the_way = found
    refusal = payability(order)
    if refusal is not None:
        return refusal
    payment = await payments.get_standing_payment(tx, order.id)
    if order.status is OrderStatus.PAID:
        latest = payment or await payments.get_latest_payment(tx, order.id)
        return paid_answer(order, latest.id if latest else "")
    if payment is not None and payment.state is PaymentState.AUTHORIZED:
        return held_answer(order, payment.id)
    attempt = await attempts.get_live_attempt(tx, payment.id) if payment else None
    if payment is not None and attempt is not None and _was_sent(attempt):
        return await _join(ctx, tx, Job(order, payment, attempt), visitor)
    if in_the_way.is_forgotten:
        return errors.payment_processing()
    if restore.is_waiting(ctx, order.created_at, in_the_way.known_until, seen):
        return Uncompared()
    if payment is not None and attempt is not None:
        if visitor.is_back and _is_anothers(ctx, attempt, visitor):
            return Wait(attempt.id)
        if visitor.wants(attempt):
            return await _join(ctx, tx, Job(order, payment, attempt), visitor)
        await history.close(ctx, tx, attempt, AttemptState.SUPERSEDED)
    return await _begin(ctx, tx, order, payment, command)


def _was_sent(attempt: AttemptRow) -> bool:
    """It goes on whatever a restored database has forgotten: its intent is recorded, and Stripe
    alone says what became of it."""
    return attempt.state is AttemptState.ACTION or attempt.sends > 0


async def _join(ctx: Context, tx: Transaction, job: Job, visitor: Visitor) -> Claim:
    """A live attempt stands. Another's lease is waited for; a dead or own one is taken over."""
    attempt = job.attempt
    if attempt.state is AttemptState.ACTION:
        return Look(job)
    if _is_anothers(ctx, attempt, visitor):
        return Wait(attempt.id)
    until = ctx.clock.now() + timedelta(seconds=LEASE_SECONDS)
    await attempts.take_lease(tx, attempt.id, visitor.request_id, until, until)
    return Drive(Job(job.order, job.payment, await attempts.get_attempt(tx, attempt.id)))


def _is_anothers(ctx: Context, attempt: AttemptRow, visitor: Visitor) -> bool:
    """Somebody else is at work on it: his lease is alive."""
    return attempt.lease_until > ctx.clock.now() and attempt.lease_owner != visitor.request_id


async def _begin(
    ctx: Context,
    tx: Transaction,
    order: OrderRow,
    payment: PaymentRow | None,
    command: PayCommand,
) -> Claim:
    """A new attempt, if the method may be used and the limits allow it."""
    method = await methods.get_method_to_pay(tx, command.payment_method_id)
    refusal = unusable(method, order.user_id) if method is not None else None
    device = limits.device_hash(ctx, command.device_id)
    refusal = refusal or await limits.check_limits(
        ctx, tx, command.user_id, command.client_address, device
    )
    if refusal is not None:
        return refusal
    if payment is None:
        payment = await insert_payment(ctx, tx, order)
    method_id = command.payment_method_id
    is_single_use = payment.method_policy == "single_use"
    is_one_use = is_single_use or is_token(method_id)
    can_be_used_up = is_one_use and not method_id.startswith(TEST_FACTORY)
    if can_be_used_up and await attempts.is_method_consumed(tx, method_id):
        return errors.payment_method_consumed()
    user = await users.get_user(tx, order.user_id)
    customer_id = user.stripe_customer_id if user else None
    is_known = _is_attached(method, customer_id) or is_one_use
    has_paid = method is not None and method.first_paid_at is not None
    is_ready = (
        is_known
        and has_paid
        and customer_id is not None
        and payment.stripe_payment_intent_id is not None
        and payment.stripe_customer_id == customer_id
    )
    attempt = await _insert_attempt(ctx, tx, payment, command, is_known, is_ready)
    return Drive(Job(order, payment, attempt), is_sent=is_ready)


def _is_attached(method: MethodRow | None, customer_id: str | None) -> bool:
    return (
        method is not None
        and method.state is MethodState.ATTACHED
        and method.stripe_customer_id == customer_id
    )


def unusable(method: MethodRow, user_id: str) -> ServiceError | None:
    """What our own books say against a method. A released one is left to Stripe's word."""
    if method.user_id != user_id:
        return errors.payment_method_not_found()
    match method.state:
        case MethodState.ATTACHED | MethodState.RELEASED:
            return None
        case MethodState.RELEASING:
            return errors.payment_method_consumed()
        case MethodState.DELETING | MethodState.DELETED:
            return errors.payment_method_not_found()
        case _:
            assert_never(method.state)


async def insert_payment(
    ctx: Context, tx: Transaction, order: OrderRow, payment_id: str | None = None
) -> PaymentRow:
    """The next generation of an order that has no standing payment; the order is locked. The id is
    a new one, unless the payment is known by one outside already."""
    generation = await payments.count_generations(tx, order.id) + 1
    payment = PaymentRow(
        id=payment_id or f"pay_{new_id().replace('-', '')}",
        order_id=order.id,
        user_id=order.user_id,
        generation=generation,
        state=PaymentState.LIVE,
        amount_minor=order.amount_minor,
        currency=order.currency,
        confirmation_method=ctx.settings.stripe_confirmation_method,
        method_policy=ctx.settings.payment_method_policy,
        stripe_version=ctx.gateway.stripe_version,
        stripe_customer_id=None,
        intent_params=None,
        intent_key_no=0,
        intent_requested_at=None,
        stripe_payment_intent_id=None,
        stripe_charge_id=None,
        created_at=ctx.clock.now(),
        finished_at=None,
        next_look_at=None,
    )
    await payments.insert_payment(tx, payment)
    await history.note(ctx, tx, "payment.opened", order.id, payment.id, generation=generation)
    return payment


async def _insert_attempt(
    ctx: Context,
    tx: Transaction,
    payment: PaymentRow,
    command: PayCommand,
    is_known: bool,
    is_ready: bool,
) -> AttemptRow:
    now = ctx.clock.now()
    until = now + timedelta(seconds=LEASE_SECONDS)
    method_id = command.payment_method_id
    params = confirm_params(
        ctx, payment.method_policy, method_id, is_saving_method=command.save_payment_method
    )
    attempt = replace(
        await attempts.new_attempt(tx, payment, new_id(), method_id, now),
        stripe_payment_method_id=method_id if is_known and not is_token(method_id) else None,
        is_single_use=payment.method_policy == "single_use" or is_token(method_id),
        is_saving_method=command.save_payment_method,
        confirm_params=params if is_ready else None,
        sends=1 if is_ready else 0,
        first_sent_at=now if is_ready else None,
        lease_owner=command.request_id,
        lease_until=until,
        next_check_at=until,
        client_address=command.client_address,
        device_hash=limits.device_hash(ctx, command.device_id),
    )
    await attempts.insert_attempt(tx, attempt)
    kind = "attempt.sent" if is_ready else "attempt.opened"
    await history.note(ctx, tx, kind, payment.order_id, payment.id, attempt.id, n=attempt.n)
    return attempt
