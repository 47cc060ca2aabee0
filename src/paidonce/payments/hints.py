"""What an event makes us do: look at the object it speaks of, and conclude from what we see."""

from paidonce.domain.clock import Deadline
from paidonce.domain.errors import OutcomeUnknown
from paidonce.domain.intent import Failure, Intent, IntentStatus, Method
from paidonce.domain.states import AttemptState, PaymentState
from paidonce.payments import customers, evidence, restore
from paidonce.payments.cards.setup_work import look_at_setup_intent
from paidonce.payments.context import REQUEST_SECONDS, Context, Job, Role, new_id, visitor_for
from paidonce.payments.money_back import disputes
from paidonce.payments.money_back.refund_work import read_refunds
from paidonce.payments.pay import settle
from paidonce.payments.pay.follow_up import conclude_without_attempt
from paidonce.store import attempts, methods, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.inbox import InboxEvent
from paidonce.store.rows import PaymentRow

Worked = tuple[str, str | None]
"""The event's new state (`done`, `ignored`, or `pending` to try again) and a note for people."""

OUTCOME_TYPES = frozenset(
    {
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.amount_capturable_updated",
        "charge.succeeded",
        "charge.captured",
    }
)
"""They may end a payment; on one that has succeeded there is nothing left to learn from them."""
RENEWED_TYPES = frozenset({"payment_method.updated", "payment_method.automatically_updated"})
SETUP_TYPES = ("setup_intent.succeeded", "setup_intent.setup_failed")
REFUND_TYPES = ("charge.refund", "refund.")
WANTED_TYPES = (
    *sorted(OUTCOME_TYPES),
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.refunded",
    "customer.deleted",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "radar.early_fraud_warning.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
    *SETUP_TYPES,
)
"""What an endpoint has to be subscribed to, and what is read from Stripe's list after an outage:
at most 20 (https://docs.stripe.com/api/events/list, `types`)."""


def subject_of(event: InboxEvent) -> tuple[str, str]:
    """Events with the same subject make us do the same, and doing it once answers them all."""
    if event.type in OUTCOME_TYPES and event.stripe_payment_intent_id is not None:
        return "outcome", event.stripe_payment_intent_id
    if event.type in SETUP_TYPES:
        return "setup", event.object_id
    return event.type, event.object_id


async def work_hint(ctx: Context, event: InboxEvent) -> Worked:
    if event.type == "customer.deleted":
        return await _customer_deleted(ctx, event.object_id)
    if event.type == "payment_method.detached":
        await ctx.db.transaction(
            "release_method",
            lambda tx: methods.release_method(tx, event.object_id, ctx.clock.now()),
        )
        return "done", None
    if event.type in RENEWED_TYPES:
        return await _method_renewed(ctx, event.object_id)
    if event.type in SETUP_TYPES:
        return await look_at_setup_intent(ctx, event.object_id)
    if event.type.startswith("charge.dispute."):
        is_ours = await disputes.read_dispute(ctx, event.object_id)
        return await _seen(ctx, event, is_ours, "dispute")
    if event.type.startswith("radar.early_fraud_warning."):
        is_ours = await disputes.read_fraud_warning(ctx, event.object_id)
        return await _seen(ctx, event, is_ours, "warning")
    is_about_intent = event.type in OUTCOME_TYPES or event.type.startswith(REFUND_TYPES)
    if is_about_intent and event.stripe_payment_intent_id is not None:
        return await _look_at_intent(ctx, event, event.stripe_payment_intent_id)
    return "ignored", "nothing to do for this type"


async def _seen(ctx: Context, event: InboxEvent, is_ours: bool | None, what: str) -> Worked:
    """What no payment of ours has may still be of an intent that is not recorded yet: its own
    metadata says whose it is."""
    if is_ours is None:
        return "pending", f"Stripe did not show the {what}"
    if is_ours:
        return "done", None
    if event.stripe_payment_intent_id is not None:
        intent = await ctx.gateway.retrieve_intent(event.stripe_payment_intent_id, REQUEST_SECONDS)
        if isinstance(intent, Failure):
            return "pending", "Stripe did not show the intent"
        if intent.metadata.get("namespace") == ctx.installation.namespace:
            return await _look_at_unrecorded(ctx, intent)
    return "ignored", f"a {what} of somebody else"


async def look_at_intent(ctx: Context, intent_id: str) -> Worked:
    """What the event of its success makes us do, although none has come."""
    payment = await ctx.db.read(lambda tx: payments.get_payment_of_intent(tx, intent_id))
    if payment is None:
        return "ignored", "no payment has this intent"
    return await _look_at_payment(ctx, payment, intent_id)


async def _customer_deleted(ctx: Context, customer_id: str) -> Worked:
    user_id = await ctx.db.read(lambda tx: users.get_user_of_customer(tx, customer_id))
    if user_id is None:
        return "ignored", "no user has this customer"
    await customers.forget_customer(ctx, user_id, customer_id)
    return "done", None


async def _method_renewed(ctx: Context, method_id: str) -> Worked:
    """A new expiry, for one: read from Stripe, since events may come in any order."""
    known = await ctx.db.read(lambda tx: methods.get_method(tx, method_id))
    if known is None:
        return "ignored", "no method of ours"
    told = await ctx.gateway.retrieve_method(method_id, REQUEST_SECONDS)
    is_detached = isinstance(told, Method) and told.customer is None
    customer_id = known.stripe_customer_id
    method = told if is_detached else evidence.checked_method(told, method_id, customer_id)
    if isinstance(method, Failure):
        return "pending", f"Stripe did not show the method: {method.reason.value}"
    await ctx.db.transaction(
        "refresh_method", lambda tx: methods.refresh_method(tx, method, ctx.clock.now())
    )
    return "done", None


async def _look_at_intent(ctx: Context, event: InboxEvent, intent_id: str) -> Worked:
    payment = await ctx.db.read(lambda tx: payments.get_payment_of_intent(tx, intent_id))
    if payment is None:
        if event.order_id is None:
            return "ignored", "an intent of somebody else"
        intent = await ctx.gateway.retrieve_intent(intent_id, REQUEST_SECONDS)
        if isinstance(intent, Failure):
            return "pending", "the intent is not recorded yet"
        return await _look_at_unrecorded(ctx, intent)
    if payment.state is PaymentState.SUCCEEDED and event.type in OUTCOME_TYPES:
        return "done", "known already"
    worked = await _look_at_payment(ctx, payment, intent_id)
    if worked[0] == "done" and event.type.startswith(REFUND_TYPES):
        # After what was paid: a refund is told of an order that is paid.
        deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
        if not await read_refunds(ctx, payment, deadline):
            return "pending", "Stripe did not show the refunds"
    return worked


async def _look_at_unrecorded(ctx: Context, intent: Intent) -> Worked:
    """One of ours that no payment holds."""
    if intent.status is IntentStatus.CANCELED:
        return "done", "no payment holds the intent, and it was canceled"
    if await restore.is_dismissed(ctx, intent.id):
        return "done", "no payment holds the intent, and it was dismissed"
    await restore.note_unknown(ctx, [intent])
    return "pending", "the intent is not recorded yet"


async def _look_at_payment(ctx: Context, payment: PaymentRow, intent_id: str) -> Worked:
    job = await ctx.db.read(lambda tx: _waiting_job(tx, payment))
    visitor = visitor_for(ctx, Role.WORKER, new_id())
    if job is not None:
        verdict = await settle.settle(ctx, job, visitor)
        is_unknown = isinstance(verdict, OutcomeUnknown)
        return ("pending", "the outcome is not known yet") if is_unknown else ("done", None)
    answer = await ctx.gateway.retrieve_intent(intent_id, visitor.deadline.left)
    intent = await evidence.checked(ctx, payment, answer)
    if isinstance(intent, Failure):
        return "pending", f"Stripe did not show the intent: {intent.reason.value}"
    await conclude_without_attempt(ctx, payment, intent)
    return "done", None


async def _waiting_job(tx: Transaction, payment: PaymentRow) -> Job | None:
    """The attempt that waits for the card holder: the only kind that an event may end."""
    if payment.state is not PaymentState.LIVE:
        return None
    attempt = await attempts.get_live_attempt(tx, payment.id)
    order = await orders.get_order(tx, payment.order_id)
    if attempt is None or order is None or attempt.state is not AttemptState.ACTION:
        return None
    return Job(order, payment, attempt)
