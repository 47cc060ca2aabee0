"""Taking money that is held, once: the whole or a part; Stripe gives the rest back.

The row comes first, with the exact request and its key. Whatever Stripe answers, the intent's own
status says what was taken: a hold is captured once, so a repeat can take nothing more, under
whatever key ("Only a PaymentIntent with one of the following statuses may be captured:
requires_capture", recorded). The worker goes on where the merchant's request did not live to.
"""

import json
from datetime import timedelta

from paidonce.domain import errors, money
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Intent, IntentStatus, Reason
from paidonce.domain.states import CaptureState, OrderStatus, PaymentState
from paidonce.observability import get_logger
from paidonce.payments import evidence, history
from paidonce.payments.context import (
    REQUEST_SECONDS,
    Context,
    Role,
    new_id,
    once_begun,
    visitor_for,
)
from paidonce.payments.pay import capture_record, holds
from paidonce.payments.pay.follow_up import look_at_standing_payment
from paidonce.payments.pay.prepare import read_payment
from paidonce.payments.requests import capture_request
from paidonce.store import captures, orders, payments
from paidonce.store.engine import Transaction, UnknownCommit
from paidonce.store.rows import CaptureRow, OrderRow, PaymentRow

LEASE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
MAX_ROUNDS = 2
"""Keys in one request; the worker takes the next ones."""
LOST = (Reason.UNKNOWN, Reason.NOT_EXECUTED, Reason.CONTRADICTED)
log = get_logger(__name__)


class NothingHeld:
    """The order's money is not held, as far as our books say."""


async def capture_order(ctx: Context, order_id: str, amount_minor: int | None) -> None:
    """Take `amount_minor` of what is held, None for all of it. The same request again does nothing
    more. Raises order_not_found, invalid_request for more than is held, order_not_capturable, and
    payment_processing when Stripe's answer is not known (the worker goes on)."""
    begun = await _begin(ctx, order_id, amount_minor)
    if isinstance(begun, NothingHeld):  # the card holder may just have passed the challenge
        await look_at_standing_payment(ctx, order_id, visitor_for(ctx, Role.WORKER, new_id()))
        begun = await _begin(ctx, order_id, amount_minor)
    if isinstance(begun, NothingHeld):
        raise errors.order_not_capturable("nothing is held for it")
    if isinstance(begun, ServiceError):
        raise begun
    if begun is not None:
        with once_begun():
            refusal = await work_on_capture(ctx, begun)
        if refusal is not None:
            raise refusal


async def _begin(
    ctx: Context, order_id: str, amount_minor: int | None
) -> CaptureRow | ServiceError | NothingHeld | None:
    """The capture to send. None: it is captured already, as asked for."""
    try:
        return await ctx.db.transaction(
            "capture_request", lambda tx: _begin_locked(ctx, tx, order_id, amount_minor)
        )
    except UnknownCommit:  # the worker may send it
        raise errors.payment_processing() from None


async def _begin_locked(
    ctx: Context, tx: Transaction, order_id: str, amount_minor: int | None
) -> CaptureRow | ServiceError | NothingHeld | None:
    order = await orders.lock_order(tx, order_id)
    if order is None:
        return errors.order_not_found()
    if order.status is OrderStatus.PAID:
        return _captured_before(order, amount_minor)
    if order.status is not OrderStatus.PENDING:
        return errors.order_not_capturable("it was canceled")
    payment = await payments.get_standing_payment(tx, order_id)
    if payment is None or payment.state is not PaymentState.AUTHORIZED:
        return NothingHeld()
    amount = payment.amount_minor if amount_minor is None else amount_minor
    money.check_step(amount, payment.currency)
    if amount > payment.amount_minor:
        return errors.invalid_request(
            f"amountMinor must be at most the {payment.amount_minor} that is held."
        )
    asked = await captures.get_requested(tx, payment.id)
    if asked is None:
        return await _insert(ctx, tx, payment, amount)
    if asked.amount_minor == amount:
        return asked
    return errors.order_not_capturable(f"{asked.amount_minor} of it is being captured")


def _captured_before(order: OrderRow, amount_minor: int | None) -> ServiceError | None:
    wanted = order.amount_minor if amount_minor is None else amount_minor
    if order.amount_captured_minor == wanted:
        return None
    return errors.order_not_capturable("it is paid already")


async def _insert(
    ctx: Context, tx: Transaction, payment: PaymentRow, amount_minor: int
) -> CaptureRow:
    now = ctx.clock.now()
    capture = CaptureRow(
        id=new_id(),
        order_id=payment.order_id,
        payment_id=payment.id,
        state=CaptureState.REQUESTED,
        amount_minor=amount_minor,
        stripe_version=payment.stripe_version,
        params=json.dumps({"amount_to_capture": amount_minor}),
        key_no=await captures.next_key_no(tx, payment.id),
        failure_reason=None,
        checks=0,
        next_check_at=now + LEASE,
        created_at=now,
        finished_at=None,
    )
    await captures.insert_capture(tx, capture)
    await history.note(
        ctx,
        tx,
        "capture.requested",
        payment.order_id,
        payment.id,
        capture=capture.id,
        amountMinor=amount_minor,
    )
    return capture


async def take_captures(ctx: Context, limit: int) -> list[CaptureRow]:
    """Captures that somebody has left; each is left alone for longer every time."""

    async def work(tx: Transaction) -> list[CaptureRow]:
        now = ctx.clock.now()
        due = await captures.take_due(tx, now, limit)
        for capture in due:
            pause = min(LEASE * 2 ** min(capture.checks, 10), LONGEST_PAUSE)
            await captures.put_off(tx, capture.id, now + pause)
        return due

    return await ctx.db.transaction("take_captures", work)


async def work_on_capture(ctx: Context, capture: CaptureRow) -> ServiceError | None:
    """Send it, and conclude from what Stripe says of the intent. None: it is captured."""
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    payment = await read_payment(ctx, capture.payment_id)
    for _ in range(MAX_ROUNDS):
        capture = await read_capture(ctx, capture.id)
        if capture.state is not CaptureState.REQUESTED:
            break
        if not await _send(ctx, payment, capture, deadline):
            return errors.payment_processing()
    return await _ending(ctx, capture.id)


async def _send(ctx: Context, payment: PaymentRow, capture: CaptureRow, deadline: Deadline) -> bool:
    """False when nothing is known: it is asked again later."""
    intent_id = payment.stripe_payment_intent_id
    if intent_id is None:
        raise LookupError("what is held was confirmed, so its intent is recorded")
    request = capture_request(ctx, capture)
    told = await ctx.gateway.capture(intent_id, request, deadline.left)
    answer = await evidence.checked(ctx, payment, told, captured_minor=capture.amount_minor)
    if isinstance(answer, Intent) and answer.status is IntentStatus.SUCCEEDED:
        await holds.conclude(ctx, payment, answer)
        return True
    is_lost = isinstance(answer, Failure) and answer.reason in LOST and not answer.is_replayed
    if isinstance(answer, Failure) and is_lost:
        log.warning("capture.not_heard_of", order_id=capture.order_id, reason=answer.reason.value)
        return False
    told = await ctx.gateway.retrieve_intent(intent_id, deadline.left)
    intent = await evidence.checked(ctx, payment, told)
    if isinstance(intent, Failure):
        return False
    await holds.conclude(ctx, payment, intent)
    if intent.status is IntentStatus.REQUIRES_CAPTURE and isinstance(answer, Failure):
        return await _still_held(ctx, capture, answer)
    return intent.status in (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)


async def _still_held(ctx: Context, capture: CaptureRow, failure: Failure) -> bool:
    """Stripe's refusal is the end of this capture; a 5xx that it saved is the end of its key."""
    if failure.is_saved_error:
        await ctx.db.transaction(
            "capture_key", lambda tx: captures.next_key(tx, capture.id, capture.key_no)
        )
        return True
    if failure.reason is not Reason.INVALID:
        log.error("capture.contradiction", order_id=capture.order_id, reason=failure.reason.value)
        return False
    reason = failure.code or failure.message

    async def work(tx: Transaction) -> None:
        await orders.lock_order(tx, capture.order_id)
        standing = await captures.get_requested(tx, capture.payment_id)
        if standing is not None and standing.id == capture.id:
            await capture_record.refuse(ctx, tx, standing, reason)

    await ctx.db.transaction("capture_refused", work)
    return True


async def read_capture(ctx: Context, capture_id: str) -> CaptureRow:
    return await ctx.db.read(lambda tx: captures.get_capture(tx, capture_id))


async def _ending(ctx: Context, capture_id: str) -> ServiceError | None:
    capture = await read_capture(ctx, capture_id)
    match capture.state:
        case CaptureState.SUCCEEDED:
            return None
        case CaptureState.REFUSED:
            return errors.order_not_capturable(capture.failure_reason or "Stripe refused it")
        case CaptureState.REQUESTED:
            return errors.payment_processing()
