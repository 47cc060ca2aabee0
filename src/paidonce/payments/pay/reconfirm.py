"""Confirmation method `manual`: after the authentication the server confirms once more."""

from paidonce.domain import errors
from paidonce.domain.intent import CardRefusal, Failure, IntentStatus, Reason
from paidonce.domain.states import LIVE_ATTEMPTS, AttemptState
from paidonce.payments import evidence
from paidonce.payments.context import LAST_SEND_SECONDS, Context, Job, Verdict, Visitor
from paidonce.payments.pay import holds, record
from paidonce.payments.requests import reconfirm_request
from paidonce.store import attempts, orders
from paidonce.store.engine import Transaction

FINAL_REASONS = frozenset(
    {
        Reason.METHOD_DEAD,
        Reason.METHOD_FOREIGN,
        Reason.METHOD_MISSING,
        Reason.CUSTOMER_GONE,
        Reason.INVALID,
    }
)
"""Not executed, and it never will be: this intent cannot be confirmed any more."""


async def confirm_again(ctx: Context, job: Job, visitor: Visitor) -> Verdict | Failure:
    """Send `rc` under its own key. The same intent, so it can charge once at most.

    A Failure is one of FINAL_REASONS; the caller gives the intent up.
    """
    intent_id = job.payment.stripe_payment_intent_id
    is_live = job.attempt.state in LIVE_ATTEMPTS
    if intent_id is None or not is_live or visitor.deadline.left < LAST_SEND_SECONDS:
        return errors.payment_processing()
    request = reconfirm_request(ctx, job.attempt)
    told = await ctx.gateway.confirm_intent(intent_id, request, visitor.deadline.left)
    answer = await evidence.checked(ctx, job.payment, told)
    if isinstance(answer, Failure):
        return await _failed(ctx, job, answer)
    if answer.status is IntentStatus.SUCCEEDED:
        return await record.record_success(ctx, job.payment, job.attempt, answer)
    if answer.status is IntentStatus.REQUIRES_CAPTURE and not answer.is_replayed:
        return await holds.record_authorized(ctx, job.payment, job.attempt, answer)
    if answer.status is IntentStatus.REQUIRES_ACTION:
        await _next_key(ctx, job)
        return await record.answer_action(ctx, job, answer)
    return errors.payment_processing()


async def _failed(ctx: Context, job: Job, failure: Failure) -> Verdict | Failure:
    if failure.reason in FINAL_REASONS:
        return failure
    if failure.reason is Reason.DECLINED:
        refusal = failure.refusal or CardRefusal("card_declined", failure.message)
        return await record.record_negative(ctx, job, AttemptState.DECLINED, refusal)
    if failure.is_saved_error:
        await _next_key(ctx, job)
    return errors.payment_processing()


async def _next_key(ctx: Context, job: Job) -> None:
    """Stripe asks for another challenge, or has saved a 5xx: the next confirm needs a new key."""

    async def work(tx: Transaction) -> None:
        await orders.lock_order(tx, job.order.id)
        await attempts.next_reconfirm_key(tx, job.attempt.id, job.attempt.reconfirm_key_no)

    await ctx.db.transaction("reconfirm_key", work)
