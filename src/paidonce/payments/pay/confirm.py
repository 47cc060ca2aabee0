"""P6: the fence, then confirm THE RECORDED intent. The only place where money is made to move."""

from dataclasses import replace
from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.errors import OutcomeUnknown, ServiceError
from paidonce.domain.intent import CardRefusal, Failure, Intent, IntentStatus, Reason
from paidonce.domain.model import ActionRequired
from paidonce.domain.states import AttemptState, OrderStatus, PaymentState
from paidonce.observability import get_logger
from paidonce.payments import customers, evidence, history
from paidonce.payments.context import (
    KEY_LIFE_HOURS,
    LAST_SEND_SECONDS,
    Again,
    Context,
    Job,
    Verdict,
    Visitor,
    paid_answer,
)
from paidonce.payments.pay import holds, record, settle
from paidonce.payments.pay.answers import answer_of
from paidonce.payments.pay.settle import Why
from paidonce.payments.requests import confirm_params, confirm_request
from paidonce.store import attempts, methods, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow

MAX_SENDS = 3
PAUSE_SECONDS = 0.3
KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
log = get_logger(__name__)


async def confirm(
    ctx: Context, job: Job, visitor: Visitor, *, is_send_recorded: bool = False
) -> Verdict:
    """Send the confirm, one key up to three times while the answer stays unknown; then look."""
    for n in range(1, MAX_SENDS + 1):
        if not is_send_recorded:
            fenced = await _fence(ctx, job, visitor)
            if not isinstance(fenced, Job):
                return fenced
            job = fenced
        is_send_recorded = False
        answer = await _send(ctx, job, visitor)
        if not isinstance(answer, Failure):
            return await _answered(ctx, job, visitor, answer)
        if answer.reason is not Reason.UNKNOWN:
            return await _refused(ctx, job, visitor, answer)
        if answer.is_saved_error:
            return await settle.settle(ctx, job, visitor, Why.SAVED_ERROR)
        pause = PAUSE_SECONDS * 2**n
        if n == MAX_SENDS or visitor.deadline.left < LAST_SEND_SECONDS + pause:
            break
        await ctx.clock.sleep(pause)
    return await settle.settle(ctx, job, visitor)


async def _fence(ctx: Context, job: Job, visitor: Visitor) -> Job | Verdict:
    """Re-read everything that could forbid the send, and record the send, in one transaction."""
    if visitor.deadline.left < LAST_SEND_SECONDS:
        return errors.payment_processing()
    fenced = await ctx.db.transaction("fence", lambda tx: _fence_locked(ctx, tx, job))
    if isinstance(fenced, Job) and _is_key_too_old(ctx, fenced.attempt):
        return await settle.cancel_intent(
            ctx, fenced, visitor, action_becomes=AttemptState.SUPERSEDED
        )
    return fenced


def _is_key_too_old(ctx: Context, attempt: AttemptRow) -> bool:
    """Stripe may have forgotten the key: sending it again would be a new request."""
    first = attempt.first_sent_at
    return first is not None and ctx.clock.now() - first > KEY_LIFE


async def _fence_locked(ctx: Context, tx: Transaction, job: Job) -> Job | Verdict:
    order = await orders.lock_order(tx, job.order.id)
    if order is None:
        raise LookupError("orders are never deleted")
    payment = await payments.get_payment(tx, job.payment.id)
    attempt = await attempts.get_attempt(tx, job.attempt.id)
    if order.status is OrderStatus.PAID:
        return paid_answer(order, payment.id)
    if attempt.state is not AttemptState.OPEN:
        return answer_of(order, attempt)
    if order.status is not OrderStatus.PENDING and attempt.sends == 0:
        refusal = CardRefusal("order_not_payable", "the order was canceled")
        await history.close(ctx, tx, attempt, AttemptState.REFUSED, refusal)
        return errors.order_not_payable("it was canceled")
    if payment.state is not PaymentState.LIVE or payment.stripe_payment_intent_id is None:
        await history.close(ctx, tx, attempt, AttemptState.ABANDONED)
        return Again("the payment was retired")
    if _is_key_too_old(ctx, attempt):
        return Job(order, payment, attempt)
    method_id = attempt.stripe_payment_method_id or attempt.requested_method_id
    params = confirm_params(
        ctx, payment.method_policy, method_id, is_saving_method=attempt.is_saving_method
    )
    await attempts.record_send(tx, attempt.id, params, ctx.clock.now())
    await history.note(ctx, tx, "attempt.sent", order.id, payment.id, attempt.id)
    return Job(order, payment, await attempts.get_attempt(tx, attempt.id))


async def _send(ctx: Context, job: Job, visitor: Visitor) -> Intent | Failure:
    intent_id = job.payment.stripe_payment_intent_id
    if intent_id is None:
        raise LookupError("the fence lets no attempt pass without an intent")
    request = confirm_request(ctx, job.attempt)
    answer = await ctx.gateway.confirm_intent(intent_id, request, visitor.deadline.left)
    return await evidence.checked(ctx, job.payment, answer)


async def _answered(ctx: Context, job: Job, visitor: Visitor, intent: Intent) -> Verdict:
    """Stripe answered the confirm with the intent."""
    match intent.status:
        case IntentStatus.SUCCEEDED:
            return await record.record_success(ctx, job.payment, job.attempt, intent)
        case IntentStatus.REQUIRES_CAPTURE if not intent.is_replayed:
            return await holds.record_authorized(ctx, job.payment, job.attempt, intent)
        case IntentStatus.REQUIRES_ACTION:
            verdict = await record.record_action(ctx, job, intent)
            if intent.is_replayed and isinstance(verdict, ActionRequired):
                # The answer is as old as the first send: see what became of the challenge.
                in_action = replace(job, attempt=replace(job.attempt, state=AttemptState.ACTION))
                return await settle.settle(ctx, in_action, visitor)
            return verdict
        case IntentStatus.CANCELED:
            await record.retire(ctx, job.payment.id, action_becomes=AttemptState.SUPERSEDED)
            return Again("Stripe canceled the intent")
        case _:
            return await settle.settle(ctx, job, visitor)


async def _refused(ctx: Context, job: Job, visitor: Visitor, failure: Failure) -> Verdict:
    """Stripe answered the confirm with an error whose effect is known."""
    match failure.reason:
        case Reason.DECLINED:
            return await _declined(ctx, job, failure)
        case Reason.METHOD_DEAD:
            return await settle.resolve_dead_method(ctx, job, visitor)
        case Reason.UNEXPECTED_STATE:
            return await settle.settle(ctx, job, visitor, Why.UNEXPECTED_STATE)
        case Reason.CUSTOMER_GONE | Reason.METHOD_FOREIGN:
            return await _customer_replaced(ctx, job, visitor, failure.reason)
        case Reason.METHOD_MISSING:
            return await _not_executed(ctx, job, visitor, errors.payment_method_not_found())
        case Reason.INVALID:
            log.error("confirm.refused", payment_id=job.payment.id, detail=failure.message)
            refusal = errors.order_not_payable("Stripe refused it")
            return await _not_executed(ctx, job, visitor, refusal)
        case Reason.NOT_EXECUTED:
            return await _not_executed(ctx, job, visitor, errors.stripe_unavailable())
        case _:  # KEY_CONFLICT, INTENT_MISSING, CONTRADICTED: an alarm, and the truth is at Stripe
            log.error("confirm.contradiction", payment_id=job.payment.id, reason=failure.reason)
            return await settle.settle(ctx, job, visitor)


async def _not_executed(ctx: Context, job: Job, visitor: Visitor, refusal: ServiceError) -> Verdict:
    """This send did nothing. If an earlier one is unknown, it is still to be found out."""
    verdict = await record.close_only_send(ctx, job, refusal)
    if isinstance(verdict, OutcomeUnknown):
        return await settle.settle(ctx, job, visitor)
    return verdict


async def _declined(ctx: Context, job: Job, failure: Failure) -> Verdict:
    refusal = failure.refusal or CardRefusal("card_declined", failure.message)
    verdict = await record.record_negative(ctx, job, AttemptState.DECLINED, refusal)
    if failure.intent_status is IntentStatus.CANCELED:
        await record.retire(ctx, job.payment.id, action_becomes=AttemptState.SUPERSEDED)
    return verdict


async def _customer_replaced(ctx: Context, job: Job, visitor: Visitor, reason: Reason) -> Verdict:
    """The intent's customer is gone, or the method is not its own: a new generation."""
    is_unattached = job.payment.method_policy == "single_use" or job.attempt.is_token
    if reason is Reason.METHOD_FOREIGN and is_unattached:
        return await _not_executed(ctx, job, visitor, errors.payment_method_not_found())
    customer_id, method_id = job.payment.stripe_customer_id, job.attempt.stripe_payment_method_id
    if reason is Reason.CUSTOMER_GONE and customer_id is not None:
        await customers.forget_customer(ctx, job.order.user_id, customer_id)
    elif method_id is not None:
        await ctx.db.transaction(
            "release_method", lambda tx: methods.release_method(tx, method_id, ctx.clock.now())
        )
    await record.close_only_send(ctx, job, errors.stripe_unavailable())  # it was not executed
    return await settle.cancel_intent(ctx, job, visitor, action_becomes=AttemptState.SUPERSEDED)
