"""Ask Stripe how the recorded intent stands, and draw the conclusion. The road of every unknown.

A failure is concluded from a look only where no send of ours can be on its way any more: the
challenge of an attempt that waited for the card holder is over, a dead method can never charge, a
5xx saved under the key ended the execution, or the intent was canceled on our asking.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from paidonce.domain import errors
from paidonce.domain.intent import Failure, Intent, IntentStatus, Reason
from paidonce.domain.states import AttemptState, PaymentState
from paidonce.observability import get_logger
from paidonce.payments import customers, evidence
from paidonce.payments.context import Again, Context, Job, Role, Verdict, Visitor
from paidonce.payments.evidence import TEST_FACTORY
from paidonce.payments.pay import holds, other_card, prepare, reconfirm, record
from paidonce.payments.requests import cancel_request
from paidonce.store import methods
from paidonce.store.rows import AttemptRow

log = get_logger(__name__)


class Why(StrEnum):
    """What sent us here, where it changes the conclusion."""

    LOOK = "look"
    DEAD_METHOD = "dead_method"  # Stripe refused the method as used up
    SAVED_ERROR = "saved_error"  # Stripe replayed a 5xx: that execution is over
    UNEXPECTED_STATE = "unexpected_state"  # Stripe refused the confirm for the intent's state


async def settle(ctx: Context, job: Job, visitor: Visitor, why: Why = Why.LOOK) -> Verdict:
    """Look once and conclude. The attempt's state is the one it had before the look was sent."""
    intent_id = job.payment.stripe_payment_intent_id
    if intent_id is None:
        return errors.payment_processing()
    answer = await ctx.gateway.retrieve_intent(intent_id, visitor.deadline.left)
    intent = await evidence.checked(ctx, job.payment, answer)
    if isinstance(intent, Failure):
        if intent.reason is Reason.INTENT_MISSING:
            log.error("intent.missing", payment_id=job.payment.id)
        return errors.payment_processing()
    return await _conclude(ctx, job, visitor, intent, why)


async def _conclude(ctx: Context, job: Job, visitor: Visitor, intent: Intent, why: Why) -> Verdict:
    match intent.status:
        case IntentStatus.SUCCEEDED:
            return await record.record_success(ctx, job.payment, None, intent)
        case IntentStatus.CANCELED:
            if why is Why.UNEXPECTED_STATE:  # the confirm was refused, so this card was not used
                await record.close_only_send(ctx, job, errors.stripe_unavailable())
            await record.retire(
                ctx, job.payment.id, action_becomes=AttemptState.AUTHENTICATION_FAILED
            )
            return Again("Stripe canceled the intent")
        case IntentStatus.REQUIRES_ACTION:
            return await _still_pending(ctx, job, visitor, intent, why)
        case IntentStatus.REQUIRES_CONFIRMATION:
            return await _authenticated(ctx, job, visitor)
        case IntentStatus.REQUIRES_PAYMENT_METHOD:
            return await _not_charged_now(ctx, job, visitor, intent, why)
        case IntentStatus.REQUIRES_CAPTURE:
            return await holds.record_authorized(ctx, job.payment, None, intent)
        case IntentStatus.PROCESSING | IntentStatus.UNRECOGNIZED:
            return errors.payment_processing()
        case _:
            assert_never(intent.status)


async def _still_pending(
    ctx: Context, job: Job, visitor: Visitor, intent: Intent, why: Why
) -> Verdict:
    """The challenge can still be completed. Another card, or the end of the window, ends it."""
    attempt = job.attempt
    is_foreign = why is Why.UNEXPECTED_STATE and attempt.state is AttemptState.OPEN
    is_payer = visitor.role is Role.PAYER
    if is_payer and (is_foreign or not visitor.wants(attempt)):
        return await _give_up(ctx, job, visitor)
    if _is_late(ctx, job, visitor):
        return await cancel_intent(
            ctx, job, visitor, action_becomes=AttemptState.AUTHENTICATION_FAILED
        )
    return await record.answer_action(ctx, job, intent)


async def _authenticated(ctx: Context, job: Job, visitor: Visitor) -> Verdict:
    """The challenge was passed. With `manual` the server confirms once more, within the window."""
    if visitor.role is Role.VIEWER:
        return errors.payment_processing()
    if job.payment.confirmation_method != "manual" or _is_late(ctx, job, visitor):
        return await _end_unless_in_time(ctx, job, visitor)
    verdict = await reconfirm.confirm_again(ctx, job, visitor)
    if not isinstance(verdict, Failure):
        return verdict
    customer_id = job.payment.stripe_customer_id
    if verdict.reason is Reason.CUSTOMER_GONE and customer_id is not None:
        await customers.forget_customer(ctx, job.order.user_id, customer_id)
    return await cancel_intent(ctx, job, visitor, action_becomes=AttemptState.SUPERSEDED)


async def _not_charged_now(
    ctx: Context, job: Job, visitor: Visitor, intent: Intent, why: Why
) -> Verdict:
    """The intent waits for a method. Whether this attempt is over depends on how we got here."""
    attempt = job.attempt
    if why is Why.DEAD_METHOD:
        return await record.record_negative(ctx, job, AttemptState.CONSUMED)
    if attempt.state is AttemptState.ACTION:
        return await _challenge_over(ctx, job, visitor, intent)
    if why is Why.SAVED_ERROR:
        return await record.record_negative(ctx, job, AttemptState.ABANDONED)
    return await _end_unless_in_time(ctx, job, visitor)


async def _give_up(ctx: Context, job: Job, visitor: Visitor) -> Verdict:
    """It ends, mostly for another card of the payer's. Raises what is wrong with that one, and
    nothing changes: his own answer, whatever becomes of the attempt."""
    refusal = await other_card.refusal_of(ctx, job, visitor)
    if refusal is not None:
        payment = await prepare.read_payment(ctx, job.payment.id)
        if payment.state is not PaymentState.LIVE:
            return Again("the payment went on meanwhile")
        raise refusal
    return await cancel_intent(ctx, job, visitor, action_becomes=AttemptState.SUPERSEDED)


async def _end_unless_in_time(ctx: Context, job: Job, visitor: Visitor) -> Verdict:
    """An unknown outcome is made final by canceling: when the payer comes with another card, or
    when the window is over. Until then it stays unknown."""
    wants_other = visitor.role is Role.PAYER and not visitor.wants(job.attempt)
    if wants_other or _is_late(ctx, job, visitor):
        return await _give_up(ctx, job, visitor)
    return errors.payment_processing()


async def _challenge_over(ctx: Context, job: Job, visitor: Visitor, intent: Intent) -> Verdict:
    """Authentication failed, or the bank declined after it; told apart by last_payment_error."""
    refusal = None if _is_of_another_card(job, intent) else intent.last_error
    is_declined = refusal is not None and not refusal.is_authentication_failure
    verdict = await record.record_negative(
        ctx,
        job,
        AttemptState.DECLINED if is_declined else AttemptState.AUTHENTICATION_FAILED,
        refusal,
        only_from=AttemptState.ACTION,
    )
    if visitor.role is Role.PAYER and isinstance(verdict, errors.PaymentFailed):
        return Again("the challenge is over; the payer asks for a new try")
    return verdict


def _is_of_another_card(job: Job, intent: Intent) -> bool:
    """The app took the intent for a card of its own, whose refusal says nothing of ours."""
    ours = job.attempt.stripe_payment_method_id
    tried = intent.last_error.payment_method if intent.last_error else None
    is_known = ours is not None and tried is not None and not ours.startswith(TEST_FACTORY)
    return is_known and tried != ours


async def resolve_dead_method(ctx: Context, job: Job, visitor: Visitor) -> Verdict:
    """A dead method is evidence of an earlier use: see first whether that one paid the order.
    It is dead for good, so our own books stop offering it."""
    method_id = job.attempt.stripe_payment_method_id or job.attempt.requested_method_id
    if not job.attempt.is_single_use:
        await ctx.db.transaction(
            "release_method", lambda tx: methods.release_method(tx, method_id, ctx.clock.now())
        )
    payment = await prepare.read_payment(ctx, job.payment.id)
    if payment.stripe_payment_intent_id is None:
        return await record.record_negative(ctx, job, AttemptState.CONSUMED, only_unsent=True)
    return await settle(ctx, replace(job, payment=payment), visitor, Why.DEAD_METHOD)


async def cancel_intent(
    ctx: Context, job: Job, visitor: Visitor, *, action_becomes: AttemptState
) -> Verdict:
    """Make an outcome final: canceled means that this intent never charges. Refused: look again.
    Not where somebody has paid meanwhile: Stripe would let go of money that is held."""
    payment = await prepare.read_payment(ctx, job.payment.id)
    if payment.state is not PaymentState.LIVE:
        return Again("the payment went on meanwhile")
    intent_id = payment.stripe_payment_intent_id
    if intent_id is None:
        await record.retire(ctx, payment.id, action_becomes=action_becomes, only_unrecorded=True)
        return Again("a generation without an intent was retired")
    request = cancel_request(ctx, payment)
    told = await ctx.gateway.cancel_intent(intent_id, request, visitor.deadline.left)
    answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Intent) and answer.status is IntentStatus.CANCELED:
        await record.retire(ctx, payment.id, action_becomes=action_becomes)
        return Again("the intent was canceled")
    if isinstance(answer, Failure) and answer.reason is Reason.UNEXPECTED_STATE:
        return await _look_after_refused_cancel(ctx, job, visitor, intent_id)
    return errors.payment_processing()


async def _look_after_refused_cancel(
    ctx: Context, job: Job, visitor: Visitor, intent_id: str
) -> Verdict:
    answer = await ctx.gateway.retrieve_intent(intent_id, visitor.deadline.left)
    intent = await evidence.checked(ctx, job.payment, answer)
    if isinstance(intent, Intent) and intent.status in (
        IntentStatus.SUCCEEDED,
        IntentStatus.CANCELED,
    ):
        return await _conclude(ctx, job, visitor, intent, Why.LOOK)
    return errors.payment_processing()


def _is_late(ctx: Context, job: Job, visitor: Visitor) -> bool:
    return visitor.role is Role.WORKER and is_window_over(ctx, job.attempt)


def is_window_over(ctx: Context, attempt: AttemptRow) -> bool:
    """The time in which an unknown outcome, or a challenge, may end by itself."""
    since: datetime | None
    if attempt.state is AttemptState.ACTION:
        since, seconds = attempt.action_at, ctx.settings.authentication_window_seconds
    else:
        since, seconds = attempt.first_sent_at, ctx.settings.unknown_window_seconds
    return since is not None and ctx.clock.now() - since > timedelta(seconds=seconds)
