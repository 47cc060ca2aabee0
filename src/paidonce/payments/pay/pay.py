"""POST …/pay: claim, work, answer. Read from `pay` downwards."""

from dataclasses import replace

from paidonce.domain import errors
from paidonce.domain.errors import OutcomeUnknown, PaymentFailed, Refused, ServiceError, Unavailable
from paidonce.domain.model import ActionRequired, Paid, PayCommand
from paidonce.domain.states import AttemptState
from paidonce.payments import customers
from paidonce.payments.context import (
    LAST_SEND_SECONDS,
    Again,
    Context,
    Job,
    Role,
    Verdict,
    Visitor,
    visitor_for,
)
from paidonce.payments.leases import release_lease, wait_for_attempt
from paidonce.payments.pay import prepare, record, settle
from paidonce.payments.pay.answers import answer_of
from paidonce.payments.pay.attach import attach_method
from paidonce.payments.pay.claim import Claim, Drive, Look, Wait, claim_for_payer
from paidonce.payments.pay.confirm import confirm
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit

MAX_ROUNDS = 6
"""A request starts again when its attempt was closed under it; each round ends in Stripe's word."""


async def pay(ctx: Context, command: PayCommand) -> Paid | ActionRequired:
    """Pay the order with the method, once. Raises the ServiceError that answers anything else."""
    visitor = visitor_for(ctx, Role.PAYER, command.request_id, command.payment_method_id)
    await prepare.wait_for_preparation(ctx, command.order_id, visitor.deadline.left / 2)
    verdict = await _first_round(ctx, command, visitor)
    for _ in range(MAX_ROUNDS - 1):
        if not isinstance(verdict, Again) or visitor.deadline.left < LAST_SEND_SECONDS:
            break
        verdict = await _next_round(ctx, command, visitor)
    if isinstance(verdict, Again):
        raise errors.payment_in_progress()
    if isinstance(verdict, ServiceError):
        raise verdict
    return verdict


async def _first_round(ctx: Context, command: PayCommand, visitor: Visitor) -> Verdict:
    """Until the first claim is committed nothing was begun, and only then 503 is the truth."""
    try:
        claim = await claim_for_payer(ctx, command, visitor)
    except DatabaseUnavailable:
        return errors.service_unavailable()
    except UnknownCommit:
        return await _next_round(ctx, command, visitor)  # the lease is our own: we go on with it
    return await _follow(ctx, claim, visitor)


async def _next_round(ctx: Context, command: PayCommand, visitor: Visitor) -> Verdict:
    visitor = replace(visitor, is_back=True)
    try:
        claim = await claim_for_payer(ctx, command, visitor)
    except (DatabaseUnavailable, UnknownCommit):
        return errors.payment_processing()
    return await _follow(ctx, claim, visitor)


async def _follow(ctx: Context, claim: Claim, visitor: Visitor) -> Verdict:
    """Work on what was claimed. A refusal of another card's attempt is no answer to this payer."""
    match claim:
        case Wait():
            return await _wait(ctx, claim, visitor)
        case Look():
            verdict = await _look(ctx, claim, visitor)
        case Drive():
            verdict = await drive(ctx, claim, visitor)
        case _:
            return claim
    is_refusal = isinstance(verdict, PaymentFailed | Unavailable | Refused)
    if is_refusal and not visitor.wants(claim.job.attempt):
        return Again("another card's attempt is over; now the one asked for")
    return verdict


async def _look(ctx: Context, claim: Look, visitor: Visitor) -> Verdict:
    try:
        return await settle.settle(ctx, claim.job, visitor)
    except (DatabaseUnavailable, UnknownCommit):
        return errors.payment_processing()


async def _wait(ctx: Context, claim: Wait, visitor: Visitor) -> Verdict:
    """A duplicate gets the first one's answer, if that comes in time."""
    try:
        order, attempt = await wait_for_attempt(ctx, claim.attempt_id, visitor)
    except (DatabaseUnavailable, UnknownCommit):
        return errors.payment_in_progress()
    if attempt.state is AttemptState.OPEN:
        if attempt.lease_until > ctx.clock.now():
            return errors.payment_in_progress()
        return Again("the first one left without an outcome")
    return answer_of(order, attempt) if visitor.wants(attempt) else Again("another card's attempt")


async def drive(ctx: Context, claim: Drive, visitor: Visitor) -> Verdict:
    """Work on an attempt that is ours, and let its lease go unless the attempt is over."""
    verdict: Verdict = errors.payment_processing()
    try:
        verdict = await _work(ctx, claim, visitor)
    except (DatabaseUnavailable, UnknownCommit):
        return verdict
    finally:
        if isinstance(verdict, OutcomeUnknown | ActionRequired | Again):
            await release_lease(ctx, claim.job.attempt, visitor)
    return verdict


async def _work(ctx: Context, claim: Drive, visitor: Visitor) -> Verdict:
    job = claim.job
    if claim.is_sent:
        return await confirm(ctx, job, visitor, is_send_recorded=True)
    if job.attempt.sends > 0 and not _may_send_again(ctx, job, visitor):
        return await settle.settle(ctx, job, visitor)
    if job.attempt.sends == 0:
        if visitor.role is not Role.PAYER:
            return await record.close_never_sent(ctx, job, errors.stripe_unavailable())
        refusal = await _make_ready(ctx, job, visitor)
        if refusal is not None:
            return refusal
    return await confirm(ctx, job, visitor)


def _may_send_again(ctx: Context, job: Job, visitor: Visitor) -> bool:
    """Not a card that the payer has left for another, nor an absent payer's after the window."""
    if visitor.role is Role.WORKER:
        return not settle.is_window_over(ctx, job.attempt)
    return visitor.wants(job.attempt)


async def _make_ready(ctx: Context, job: Job, visitor: Visitor) -> Verdict | None:
    """Everything that a first confirm needs; None when it is all there."""
    customer_id = await customers.ensure_customer(ctx, job.order.user_id, visitor.deadline)
    if isinstance(customer_id, ServiceError):
        return await record.close_never_sent(ctx, job, customer_id)
    refusal = await attach_method(ctx, job, visitor, customer_id)
    if refusal is not None:
        return refusal
    payment = await prepare.ensure_intent(ctx, job.payment.id, customer_id, visitor.deadline)
    if isinstance(payment, ServiceError):
        return await record.close_never_sent(ctx, job, payment)
    if isinstance(payment, Again):
        # The intent is for a customer who is gone, or the payment is over: the next one.
        become = AttemptState.SUPERSEDED
        return await settle.cancel_intent(ctx, job, visitor, action_becomes=become)
    return None
