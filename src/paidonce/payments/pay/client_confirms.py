"""What the app's own confirm leaves in our books: an attempt of its own, and the card that the card
holder wished to keep.

A success is recorded wherever it is learned (`record`). A decline closes nothing of ours; it counts
for the limits, once per charge, as far as it is seen: of several between two looks Stripe shows the
last one.
"""

from dataclasses import replace

from paidonce.domain.intent import CardRefusal, Intent
from paidonce.domain.states import AttemptState, PaymentState
from paidonce.payments import history, limits, notices
from paidonce.payments.context import Context, new_id
from paidonce.store import attempts, methods, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, PaymentRow

SOURCE = "client"


async def insert_success(
    ctx: Context, tx: Transaction, payment: PaymentRow, intent: Intent
) -> None:
    """The attempt of the app; the order's row is locked. Whoever ticks the sheet's box makes its
    method `always` (https://docs.stripe.com/api/payment_methods/object, `allow_redisplay`)."""
    opener = await payments.get_sheets_opener(tx, payment.id)
    method_id = intent.payment_method or ""
    await _insert(ctx, tx, payment, opener, AttemptState.SUCCEEDED, method_id)
    is_wished = intent.method is not None and intent.method.allow_redisplay == "always"
    await _keep_method(ctx, tx, payment, intent, is_wished=is_wished)


async def keep_tokens_method(
    ctx: Context, tx: Transaction, payment: PaymentRow, attempt: AttemptRow, intent: Intent
) -> None:
    """What came of a ConfirmationToken that has paid; listed if its user asked to keep it."""
    if intent.payment_method is not None:
        await attempts.set_tokens_method(tx, attempt.id, intent.payment_method)
    await _keep_method(ctx, tx, payment, intent, is_wished=attempt.is_saving_method)


async def _keep_method(
    ctx: Context, tx: Transaction, payment: PaymentRow, intent: Intent, *, is_wished: bool
) -> None:
    """A card that Stripe attached to the customer is known from now on, and listed if its holder
    wished that."""
    method = intent.method
    is_card_of_customer = (
        method is not None
        and method.last4 is not None
        and method.customer is not None
        and method.customer == payment.stripe_customer_id
    )
    if method is None or not is_card_of_customer or payment.method_policy == "single_use":
        return
    now = ctx.clock.now()
    row_id, customer_id = f"spm_{new_id()}", payment.stripe_customer_id or ""
    await methods.save_method(tx, row_id, payment.user_id, customer_id, method, now)
    if is_wished:
        await users.lock_user(tx, payment.user_id)
        await methods.keep_method(tx, payment.user_id, method.id, now)
    await methods.note_use(tx, method.id, now)


async def note_decline(ctx: Context, payment: PaymentRow, refusal: CardRefusal) -> bool:
    """A charge that the bank declined for the app. True when its user, or the address or the device
    that its sheet was opened from, has had as many declines as it may have by now: then nobody may
    go on trying cards with this intent."""

    async def work(tx: Transaction) -> bool:
        await orders.lock_order(tx, payment.order_id)
        present = await payments.get_payment(tx, payment.id)
        if present.state is not PaymentState.LIVE or refusal.charge is None:
            return False
        if await attempts.get_live_attempt(tx, payment.id) is not None:
            return False  # it may be this one's, and then is its own to be recorded
        opener = await payments.get_sheets_opener(tx, payment.id)
        if not await attempts.has_charge(tx, payment.id, refusal.charge):
            method_id = refusal.payment_method or ""
            await _insert(ctx, tx, payment, opener, AttemptState.DECLINED, method_id, refusal)
        return await limits.has_had_enough(ctx, tx, payment.user_id, *opener)

    return await ctx.db.transaction("client_declined", work)


async def _insert(
    ctx: Context,
    tx: Transaction,
    payment: PaymentRow,
    opener: tuple[str, str],
    state: AttemptState,
    method_id: str,
    refusal: CardRefusal | None = None,
) -> None:
    now = ctx.clock.now()
    client_address, device_hash = opener
    attempt = replace(
        await attempts.new_attempt(tx, payment, new_id(), method_id, now),
        source=SOURCE,
        state=state,
        stripe_payment_method_id=method_id,
        error_code=refusal.code if refusal else None,
        error_message=refusal.message if refusal else None,
        decline_code=refusal.decline_code if refusal else None,
        advice_code=refusal.advice_code if refusal else None,
        stripe_charge_id=refusal.charge if refusal else None,
        client_address=client_address,
        device_hash=device_hash,
        closed_at=now,
    )
    await attempts.insert_attempt(tx, attempt)
    if refusal is not None:
        code = refusal.decline_code or refusal.code
        ids = (payment.order_id, payment.id, attempt.id)
        await history.note(ctx, tx, "attempt.declined", *ids, code=code, source=SOURCE)
        await notices.payment_failed(ctx, tx, attempt, state, refusal)
