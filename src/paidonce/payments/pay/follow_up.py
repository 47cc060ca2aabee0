"""Everybody but the payer: `pay/confirm` after the authentication, the view of a payment, and the
worker. They take over what stands and look at Stripe, but never begin an attempt."""

from paidonce.domain import errors
from paidonce.domain.errors import OutcomeUnknown, ServiceError
from paidonce.domain.intent import Failure, Intent, IntentStatus
from paidonce.domain.model import ActionRequired, Paid, PaymentStatus
from paidonce.domain.states import LIVE_ATTEMPTS, AttemptState, OrderStatus, PaymentState
from paidonce.observability import get_logger
from paidonce.payments import evidence, restore
from paidonce.payments.context import (
    REQUEST_SECONDS,
    Again,
    Context,
    Job,
    Role,
    Verdict,
    Visitor,
    action_required,
    new_id,
    once_begun,
    paid_answer,
    visitor_for,
)
from paidonce.payments.leases import wait_for_attempt
from paidonce.payments.pay import client_confirms, holds, record, settle
from paidonce.payments.pay.answers import answer_of
from paidonce.payments.pay.claim import Drive, Look, Wait, claim_standing, payability
from paidonce.payments.pay.pay import drive
from paidonce.payments.requests import cancel_request
from paidonce.store import attempts, forgotten, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow

MAX_ROUNDS = 4
UNFINISHED = (
    IntentStatus.REQUIRES_ACTION,
    IntentStatus.REQUIRES_CONFIRMATION,
    IntentStatus.REQUIRES_PAYMENT_METHOD,
)
log = get_logger(__name__)
SETTLED = (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)


async def confirm_payment(
    ctx: Context, user_id: str, order_id: str, payment_intent_id: str | None
) -> Paid | ActionRequired:
    """POST …/pay/confirm: the truth from Stripe, as often as the app likes. Without the database it
    is not known: what this asks about may have charged."""
    with once_begun():
        order = await _order_of_user(ctx, user_id, order_id)
        if order.status is not OrderStatus.PAID and await _is_forgotten(ctx, order_id):
            raise errors.payment_processing()
        if payment_intent_id is not None:
            await _check_intent(ctx, order, payment_intent_id)
        refusal = payability(order)
        if refusal is not None:
            raise refusal
        verdict = await follow_up(ctx, order_id, visitor_for(ctx, Role.CONFIRMER, new_id()))
        if verdict is None:
            await _check_compared(ctx, order)
            verdict = await _answer_of_latest(ctx, order_id)
    if isinstance(verdict, Again):
        raise errors.stripe_unavailable()
    if isinstance(verdict, ServiceError):
        raise verdict
    return verdict


async def follow_up(ctx: Context, order_id: str, visitor: Visitor) -> Verdict | None:
    """Bring what stands to an end as far as Stripe lets. None: no attempt is live (any more)."""
    for _ in range(MAX_ROUNDS):
        claim = await claim_standing(ctx, order_id, visitor)
        match claim:
            case None:
                return await look_at_standing_payment(ctx, order_id, visitor)
            case Look():
                verdict = await settle.settle(ctx, claim.job, visitor)
            case Drive():
                verdict = await drive(ctx, claim, visitor)
            case Wait():
                verdict = await _wait(ctx, claim, visitor)
            case _:
                return claim
        if not isinstance(verdict, Again):
            return verdict
    return None


async def _wait(ctx: Context, claim: Wait, visitor: Visitor) -> Verdict:
    if visitor.role is Role.WORKER:
        return errors.payment_in_progress()
    order, attempt = await wait_for_attempt(ctx, claim.attempt_id, visitor)
    if attempt.state is AttemptState.OPEN and attempt.lease_until > ctx.clock.now():
        return errors.payment_in_progress()
    return answer_of(order, attempt)


async def look_at_standing_payment(ctx: Context, order_id: str, visitor: Visitor) -> Verdict | None:
    """No attempt of ours is live, but the app may have confirmed by itself, or Stripe canceled."""
    payment = await ctx.db.read(lambda tx: payments.get_standing_payment(tx, order_id))
    if payment is None or payment.stripe_payment_intent_id is None:
        return None
    intent_id = payment.stripe_payment_intent_id
    answer = await ctx.gateway.retrieve_intent(intent_id, visitor.deadline.left)
    intent = await evidence.checked(ctx, payment, answer)
    if isinstance(intent, Failure):
        return errors.payment_processing() if visitor.role is Role.WORKER else None
    return await conclude_without_attempt(ctx, payment, intent)


async def look_for_the_last_time(ctx: Context, payment: PaymentRow, visitor: Visitor) -> bool:
    """No attempt of ours is live, and nobody looks afterwards: an intent that whoever has its
    client secret can still confirm is canceled, so that it never charges unseen. False: it is not
    known what becomes of it."""
    if payment.stripe_payment_intent_id is None:
        return True
    intent_id, deadline = payment.stripe_payment_intent_id, visitor.deadline
    answer = await ctx.gateway.retrieve_intent(intent_id, deadline.left)
    intent = await evidence.checked(ctx, payment, answer)
    if isinstance(intent, Intent) and intent.status in UNFINISHED:
        request = cancel_request(ctx, payment)
        answer = await ctx.gateway.cancel_intent(intent_id, request, deadline.left)
        intent = await evidence.checked(ctx, payment, answer)
    if isinstance(intent, Failure):
        return False
    await conclude_without_attempt(ctx, payment, intent)
    return intent.status in SETTLED


async def conclude_without_attempt(
    ctx: Context, payment: PaymentRow, intent: Intent
) -> Verdict | None:
    """A success belongs to the order, whoever confirmed; a decline closes nothing of ours."""
    is_apps = payment.sheet_opened_at is not None
    match intent.status:
        case IntentStatus.SUCCEEDED:
            return await record.record_success(ctx, payment, None, intent)
        case IntentStatus.REQUIRES_CAPTURE:
            return await holds.record_authorized(ctx, payment, None, intent)
        case IntentStatus.CANCELED:
            await record.retire(ctx, payment.id, action_becomes=AttemptState.AUTHENTICATION_FAILED)
        case IntentStatus.REQUIRES_ACTION if is_apps:
            return action_required(payment, intent)
        case IntentStatus.PROCESSING if is_apps:
            return errors.payment_processing()
        case IntentStatus.REQUIRES_PAYMENT_METHOD if intent.last_error and is_secret_out(payment):
            if await client_confirms.note_decline(ctx, payment, intent.last_error):
                await _end_trying(ctx, payment)
    return None


async def _end_trying(ctx: Context, payment: PaymentRow) -> None:
    """Too many cards were declined: the client secret that they are tried with is dead from now on,
    and the limits say when the order may be paid again."""
    log.warning("sheet.ended", payment_id=payment.id, order_id=payment.order_id)
    intent_id, request = payment.stripe_payment_intent_id or "", cancel_request(ctx, payment)
    told = await ctx.gateway.cancel_intent(intent_id, request, REQUEST_SECONDS)
    answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Intent) and answer.status is IntentStatus.CANCELED:
        await record.retire(ctx, payment.id, action_becomes=AttemptState.SUPERSEDED)


async def _order_of_user(ctx: Context, user_id: str, order_id: str) -> OrderRow:
    order = await ctx.db.read(lambda tx: orders.get_order(tx, order_id))
    if order is None or order.user_id != user_id:
        raise errors.order_not_found()
    return order


async def _is_forgotten(ctx: Context, order_id: str) -> bool:
    """Whether Stripe has an intent of the order that a restored database does not know."""
    return await ctx.db.read(lambda tx: forgotten.is_refused(tx, order_id))


async def _check_compared(ctx: Context, order: OrderRow) -> None:
    """Before a no that our books alone give: a restored database may have forgotten the yes.
    Raises payment_processing."""
    seen = ctx.gate.known_until
    known_until = await ctx.db.read(forgotten.get_known_until)
    if not restore.is_waiting(ctx, order.created_at, known_until, seen):
        return
    is_compared = await restore.ensure_compared(ctx, restore.PAYER_SECONDS)
    if not is_compared or await _is_forgotten(ctx, order.id):
        raise errors.payment_processing()


async def _check_intent(ctx: Context, order: OrderRow, payment_intent_id: str) -> None:
    payment = await ctx.db.read(lambda tx: payments.get_payment_of_intent(tx, payment_intent_id))
    if payment is None or payment.order_id != order.id:
        await _check_compared(ctx, order)
        raise errors.invalid_request("paymentIntentId is not a payment of this order.")


async def _answer_of_latest(ctx: Context, order_id: str) -> Verdict:
    """Nothing is live: what the last attempt ended in."""

    async def work(tx: Transaction) -> tuple[OrderRow | None, PaymentRow | None, AttemptRow | None]:
        return (
            await orders.get_order(tx, order_id),
            await payments.get_standing_payment(tx, order_id),
            await attempts.get_latest_attempt(tx, order_id),
        )

    order, payment, attempt = await ctx.db.read(work)
    if order is None:
        return errors.order_not_found()
    if order.status is OrderStatus.PAID and payment is not None:
        return payability(order) or paid_answer(order, payment.id)
    refusal = payability(order)
    if refusal is not None:
        return refusal
    if attempt is None:
        return errors.invalid_request("No payment of this order has been started.")
    if attempt.state in LIVE_ATTEMPTS:
        return errors.payment_in_progress()
    if _is_hold_over(payment, attempt):
        return errors.hold_over()
    return answer_of(order, attempt)


def _is_hold_over(payment: PaymentRow | None, attempt: AttemptRow) -> bool:
    """The attempt succeeded, and what was held by it is released: the order can be paid again."""
    is_standing = payment is not None and payment.id == attempt.payment_id
    return attempt.state is AttemptState.SUCCEEDED and not (
        is_standing and payment is not None and payment.state is PaymentState.AUTHORIZED
    )


# --- GET …/payment -------------------------------------------------------------------------------


async def payment_status(ctx: Context, user_id: str, order_id: str) -> PaymentStatus:
    """How an app that was killed mid-payment finds out. Looks at Stripe only while a card holder
    has to act or an outcome is unknown; without Stripe it tells what is known."""
    order = await _order_of_user(ctx, user_id, order_id)
    visitor = visitor_for(ctx, Role.VIEWER, new_id())
    job = await ctx.db.read(lambda tx: _live_job(tx, order))
    verdict: Verdict | None = None
    if job is not None and (job.attempt.state is AttemptState.ACTION or job.attempt.sends > 0):
        verdict = await settle.settle(ctx, job, visitor)
    elif job is None and await ctx.db.read(lambda tx: _may_be_confirmed_by_app(tx, order)):
        verdict = await look_at_standing_payment(ctx, order_id, visitor)
    return await ctx.db.read(lambda tx: _status(tx, order_id, verdict))


async def _may_be_confirmed_by_app(tx: Transaction, order: OrderRow) -> bool:
    """It was given the client secret of the live intent."""
    payment = await payments.get_standing_payment(tx, order.id)
    return payment is not None and is_secret_out(payment)


def is_secret_out(payment: PaymentRow) -> bool:
    """The app has the client secret of the live intent, and may confirm it by itself."""
    return payment.state is PaymentState.LIVE and payment.next_look_at is not None


async def _live_job(tx: Transaction, order: OrderRow) -> Job | None:
    payment = await payments.get_standing_payment(tx, order.id)
    attempt = await attempts.get_live_attempt(tx, payment.id) if payment else None
    return Job(order, payment, attempt) if payment and attempt else None


async def _status(tx: Transaction, order_id: str, verdict: Verdict | None) -> PaymentStatus:
    order = await orders.get_order(tx, order_id)
    if order is None:
        raise errors.order_not_found()
    payment = await payments.get_standing_payment(tx, order_id)
    payment = payment or await payments.get_latest_payment(tx, order_id)
    attempt = await attempts.get_latest_attempt(tx, order_id)
    is_forgotten = await forgotten.is_refused(tx, order_id)
    action = verdict if isinstance(verdict, ActionRequired) else None
    status = _status_name(order, payment, attempt, is_action=action is not None)
    if status in ("none", "failed", "requires_action") and isinstance(verdict, OutcomeUnknown):
        status = "processing"  # what was confirmed or authenticated goes on, or nobody could ask
    if is_forgotten and status in ("none", "failed"):
        status = "processing"  # Stripe knows more than this database
    has_error = status == "failed" and attempt is not None
    shown = action if status == "requires_action" else None
    is_over = has_error and attempt is not None and _is_hold_over(payment, attempt)
    return PaymentStatus(
        payment_id=payment.id if payment and (attempt or payment.sheet_opened_at) else None,
        order_id=order.id,
        amount_minor=order.amount_minor,
        currency=order.currency,
        status=status,
        client_secret=shown.client_secret if shown else None,
        redirect_url=shown.redirect_url if shown else None,
        last_error=_error_text(order, attempt, is_over) if has_error and attempt else None,
        amount_captured_minor=order.amount_captured_minor,
    )


def _status_name(
    order: OrderRow, payment: PaymentRow | None, attempt: AttemptRow | None, *, is_action: bool
) -> str:
    if order.amount_refunded_minor >= order.charged_minor:
        return "refunded"
    if order.status is OrderStatus.PAID:
        return "succeeded"
    if order.status in (OrderStatus.CANCELED, OrderStatus.CANCELING):
        return "canceled"
    if is_action and (attempt is None or attempt.state not in LIVE_ATTEMPTS):
        return "requires_action"  # the app's own confirm
    if attempt is None or payment is None:
        return "none"
    if payment.state is PaymentState.AUTHORIZED:
        return "authorized"
    if attempt.state is AttemptState.ACTION or (is_action and attempt.state is AttemptState.OPEN):
        return "requires_action"
    return "processing" if attempt.state is AttemptState.OPEN else "failed"


def _error_text(order: OrderRow, attempt: AttemptRow, is_hold_over: bool) -> str:
    answer = errors.hold_over() if is_hold_over else answer_of(order, attempt)
    if isinstance(answer, ServiceError):
        return answer.details[0] if answer.details else answer.message
    return "The payment was not made."
