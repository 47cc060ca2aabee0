"""POST …/payment-sheet: the order's one PaymentIntent, for an app that confirms it by itself.

The intent is made and recorded as for any payment and never confirmed by us. Whoever was given its
client secret may confirm it at any time, so its payment is looked at from then on (decision 0008),
and a success belongs to the order, whoever asks for what meanwhile: it is one intent, which charges
once at most.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import OutcomeUnknown, PaymentFailed, Refused, ServiceError, Unavailable
from paidonce.domain.intent import Failure, Intent, IntentStatus, Reason
from paidonce.domain.model import Paid
from paidonce.domain.sheet import PaymentSheet, SheetRequest
from paidonce.domain.states import AttemptState, OrderStatus, PaymentState
from paidonce.gateway.sheets import create_customer_session, create_ephemeral_key
from paidonce.payments import customers, evidence, harmless, history, restore
from paidonce.payments.context import REQUEST_SECONDS, Again, Context, Job, Role, Visitor, new_id
from paidonce.payments.leases import LONGEST_CHECK_SECONDS
from paidonce.payments.limits import check_limits, device_hash
from paidonce.payments.pay import prepare, record, settle
from paidonce.payments.pay.claim import Uncompared, insert_payment, payability
from paidonce.payments.pay.follow_up import conclude_without_attempt
from paidonce.payments.requests import (
    cancel_request,
    customer_session_request,
    ephemeral_key_request,
)
from paidonce.store import attempts, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow

MAX_ROUNDS = 4
FIRST_LOOK = timedelta(seconds=LONGEST_CHECK_SECONDS)
_OPEN = (
    IntentStatus.REQUIRES_PAYMENT_METHOD,
    IntentStatus.REQUIRES_CONFIRMATION,
    IntentStatus.REQUIRES_ACTION,
)


@dataclass(frozen=True, slots=True)
class Access:
    """The customer as the sheet sees him, and the secrets that let it."""

    customer_id: str | None = None
    session_secret: str | None = None
    key_secret: str | None = None


async def open_sheet(ctx: Context, asked: SheetRequest) -> PaymentSheet:
    """Raises the ServiceError that answers anything else. May be asked any number of times: it is
    the same intent as long as that can be paid."""
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    await prepare.wait_for_preparation(ctx, asked.order_id, deadline.left / 2)
    for _ in range(MAX_ROUNDS):
        sheet = await _open_once(ctx, asked, deadline)
        if isinstance(sheet, PaymentSheet):
            return sheet
    raise errors.stripe_unavailable()


async def _open_once(ctx: Context, asked: SheetRequest, deadline: Deadline) -> PaymentSheet | Again:
    payment = await _begin(ctx, asked, deadline)
    if isinstance(payment, Job):
        return await _look_at_attempt(ctx, payment, deadline)
    customer_id = await customers.ensure_customer(ctx, payment.user_id, deadline)
    if isinstance(customer_id, ServiceError):
        raise customer_id
    ready = await prepare.ensure_intent(ctx, payment.id, customer_id, deadline)
    if isinstance(ready, ServiceError):
        raise ready
    if isinstance(ready, Again):
        return await _retire(ctx, payment.id, deadline)
    intent = await _look_at_intent(ctx, ready, deadline)
    if isinstance(intent, Again):
        return intent
    access = await _give_access(ctx, asked, ready, deadline)
    if isinstance(access, Again):
        return access
    if not await ctx.db.transaction("sheet", lambda tx: _hand_out(ctx, tx, ready, asked)):
        return Again("the payment went on without the sheet")
    return PaymentSheet(
        payment_intent_id=intent.id,
        payment_intent_client_secret=intent.client_secret,
        customer_id=access.customer_id,
        customer_session_client_secret=access.session_secret,
        ephemeral_key_secret=access.key_secret,
        publishable_key=ctx.settings.stripe_publishable_key,
    )


# --- the books -----------------------------------------------------------------------------------


async def _begin(ctx: Context, asked: SheetRequest, deadline: Deadline) -> PaymentRow | Job:
    """The order's payment, opened if it has none; or the attempt that stands in the way."""
    begun = await ctx.db.transaction("sheet_begin", lambda tx: _begin_locked(ctx, tx, asked))
    if isinstance(begun, Uncompared) and await restore.ensure_compared(ctx, deadline.left):
        begun = await ctx.db.transaction("sheet_begin", lambda tx: _begin_locked(ctx, tx, asked))
    if isinstance(begun, Uncompared):
        raise errors.stripe_unavailable()
    if isinstance(begun, ServiceError):
        raise begun
    return begun


async def _begin_locked(
    ctx: Context, tx: Transaction, asked: SheetRequest
) -> PaymentRow | Job | Uncompared | ServiceError:
    seen = ctx.gate.known_until
    found = await orders.lock_order_to_pay(tx, asked.order_id)
    if found is None or found[0].user_id != asked.user_id:
        return errors.order_not_found()
    order, in_the_way = found
    refusal = payability(order)
    if refusal is not None:
        return refusal
    payment = await payments.get_standing_payment(tx, order.id)
    is_held = payment is not None and payment.state is PaymentState.AUTHORIZED
    if order.status is OrderStatus.PAID or is_held:  # nothing is left for the payer to do
        return errors.order_already_paid()
    if payment is not None and payment.state is not PaymentState.LIVE:
        return errors.payment_processing()
    attempt = await attempts.get_live_attempt(tx, payment.id) if payment else None
    if payment is not None and attempt is not None:
        if attempt.state is AttemptState.ACTION or attempt.sends > 0:
            return Job(order, payment, attempt)
        if attempt.lease_until > ctx.clock.now():
            return errors.payment_in_progress()
    if in_the_way.is_forgotten:
        return errors.payment_processing()
    if restore.is_waiting(ctx, order.created_at, in_the_way.known_until, seen):
        return Uncompared()
    device = device_hash(ctx, asked.device_id)
    limit = await check_limits(ctx, tx, asked.user_id, asked.client_address, device)
    if limit is not None:
        return limit
    if attempt is not None:  # never sent, and nobody works on it: closed by whoever comes
        await history.close(ctx, tx, attempt, AttemptState.SUPERSEDED)
    payment = payment or await insert_payment(ctx, tx, order)
    if payment.confirmation_method == "manual":
        return errors.payment_sheet_unavailable()
    return payment


async def _hand_out(
    ctx: Context, tx: Transaction, payment: PaymentRow, asked: SheetRequest
) -> bool:
    """The last word before the secret goes out: nothing has happened since it was looked at."""
    order = await orders.lock_order(tx, payment.order_id)
    present = await payments.get_payment(tx, payment.id)
    if order is None or order.status is not OrderStatus.PENDING:
        return False
    if present.state is not PaymentState.LIVE or await attempts.get_live_attempt(tx, payment.id):
        return False
    now = ctx.clock.now()
    device = device_hash(ctx, asked.device_id)
    first_look_at = now + FIRST_LOOK
    await payments.note_sheet(tx, payment.id, now, first_look_at, asked.client_address, device)
    await history.note(ctx, tx, "sheet.opened", order.id, payment.id)
    return True


# --- at Stripe -----------------------------------------------------------------------------------


async def _look_at_attempt(ctx: Context, job: Job, deadline: Deadline) -> Again:
    """An attempt of ours stands. It is not carried on here; but it may be over by now."""
    verdict = await settle.settle(ctx, job, Visitor(Role.VIEWER, new_id(), deadline))
    match verdict:
        case Again() | PaymentFailed() | Refused() | Unavailable():
            return Again("the attempt is over")
        case Paid():
            raise errors.order_already_paid()
        case OutcomeUnknown():
            raise verdict
        case _:
            raise errors.authentication_pending()


async def _look_at_intent(ctx: Context, payment: PaymentRow, deadline: Deadline) -> Intent | Again:
    """The recorded intent with its client secret, which no row holds, if it can be paid."""
    intent_id = payment.stripe_payment_intent_id or ""
    answer = await ctx.gateway.retrieve_intent(intent_id, deadline.left)
    intent = await evidence.checked(ctx, payment, answer)
    if isinstance(intent, Failure) and intent.reason is Reason.CONTRADICTED:
        raise errors.payment_processing()
    if isinstance(intent, Failure):
        raise harmless.unavailable(intent)
    if intent.status in _OPEN:
        return intent
    verdict = await conclude_without_attempt(ctx, payment, intent)
    if isinstance(verdict, Paid):
        raise errors.order_already_paid()
    if intent.status is IntentStatus.CANCELED:
        return Again("Stripe canceled the intent")
    raise errors.payment_processing()


async def _give_access(
    ctx: Context, asked: SheetRequest, payment: PaymentRow, deadline: Deadline
) -> Access | Again:
    """Under single use the sheet knows no customer: it shows no cards and keeps none."""
    customer_id = payment.stripe_customer_id
    if payment.method_policy == "single_use" or customer_id is None:
        return Access()
    session_request = customer_session_request(ctx, customer_id)
    session = harmless.send_harmless(
        ctx, deadline, lambda left: create_customer_session(ctx.gateway, session_request, left)
    )
    session_secret, key_secret = await asyncio.gather(
        session, _make_key(ctx, asked, customer_id, deadline)
    )
    if isinstance(session_secret, Failure):
        return await _refused(ctx, payment, session_secret)
    if isinstance(key_secret, Failure):
        return await _refused(ctx, payment, key_secret)
    return Access(customer_id, session_secret, key_secret)


async def _refused(ctx: Context, payment: PaymentRow, failure: Failure) -> Again:
    if failure.reason is Reason.CUSTOMER_GONE and payment.stripe_customer_id is not None:
        await customers.forget_customer(ctx, payment.user_id, payment.stripe_customer_id)
        return Again("the customer is gone")
    raise errors.stripe_unavailable()


async def _make_key(
    ctx: Context, asked: SheetRequest, customer_id: str, deadline: Deadline
) -> str | Failure | None:
    """Made for the version that the app's SDK speaks, with every sheet anew, and kept nowhere."""
    if asked.stripe_version is None:
        return None
    request = ephemeral_key_request(ctx, customer_id, asked.stripe_version)
    answer = await harmless.send_harmless(
        ctx, deadline, lambda left: create_ephemeral_key(ctx.gateway, request, left)
    )
    if isinstance(answer, Failure) and answer.reason is Reason.INVALID:
        raise errors.invalid_request("stripeVersion is not a version that Stripe knows.")
    return answer


async def _retire(ctx: Context, payment_id: str, deadline: Deadline) -> Again:
    """The intent is for a customer who is gone, or the payment is over: the next one."""
    payment = await prepare.read_payment(ctx, payment_id)
    if payment.state is not PaymentState.LIVE:  # what it holds, if anything, is left alone
        return Again("the payment went on without the sheet")
    intent_id = payment.stripe_payment_intent_id
    become = AttemptState.SUPERSEDED
    if intent_id is None:
        await record.retire(ctx, payment_id, action_becomes=become, only_unrecorded=True)
        return Again("a generation without an intent was retired")
    request = cancel_request(ctx, payment)
    told = await ctx.gateway.cancel_intent(intent_id, request, deadline.left)
    answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Failure) and answer.reason is Reason.UNEXPECTED_STATE:
        told = await ctx.gateway.retrieve_intent(intent_id, deadline.left)
        answer = await evidence.checked(ctx, payment, told)
    if isinstance(answer, Failure):
        raise errors.stripe_unavailable()
    await conclude_without_attempt(ctx, payment, answer)
    return Again("the intent was canceled")
