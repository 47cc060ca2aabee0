"""Disputes of our charges, and early warnings of fraud, as Stripe says them.

An event is a hint: the dispute is read from Stripe. Those that nobody reports are found by the
worker, which reads Stripe's list of the last days now and then, and looks at every open one until
it is closed. A dispute changes no payment and no order: Stripe may have taken the money back, and
still the order was paid. What belongs to no payment of ours is passed over.
"""

from datetime import datetime, timedelta

from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Dispute, Failure, Window
from paidonce.domain.money_back import FraudWarning
from paidonce.gateway import disputes as gateway
from paidonce.observability import get_logger
from paidonce.observability.metrics import set_open_disputes
from paidonce.payments import history, notices
from paidonce.payments.context import CLOCKS_APART, REQUEST_SECONDS, Context, ListPlace, Parts
from paidonce.store import disputes, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import DisputeRow, PaymentRow

CLOSED = frozenset({"won", "lost", "warning_closed", "prevented"})
"""Statuses after which nothing is expected (https://docs.stripe.com/api/disputes/object); one that
we do not know counts as open."""
ASKING = frozenset({"warning_needs_response", "needs_response", "appeal_needs_response"})
"""An answer is asked for: an inquiry may become a dispute, and one that is lost an appeal."""
LOOK_AGAIN = timedelta(hours=1)
"""Between two looks at an open dispute that nobody reports."""
FIRST_WINDOW = timedelta(days=120)
"""How far back Stripe's list is read for the first time; later from where it was read to. A dispute
stays open for about as long (https://docs.stripe.com/disputes/how-disputes-work)."""
log = get_logger(__name__)


async def read_dispute(ctx: Context, dispute_id: str) -> bool | None:
    """Look at one and write it down. False: it is none of ours; None: Stripe gave no answer."""
    asked_at = ctx.clock.now()
    dispute = await gateway.retrieve_dispute(ctx.gateway, dispute_id, REQUEST_SECONDS)
    if isinstance(dispute, Failure):
        return None
    return await record_dispute(ctx, dispute, asked_at)


async def read_disputes(ctx: Context, payment: PaymentRow, deadline: Deadline) -> bool:
    """Look at all of a payment; False without an answer."""
    asked_at = ctx.clock.now()
    page = await gateway.list_disputes_page(
        ctx.gateway, None, deadline.left, intent_id=payment.stripe_payment_intent_id
    )
    if isinstance(page, Failure):
        return False
    for dispute in page.items:
        await record_dispute(ctx, dispute, asked_at)
    return True


async def record_dispute(ctx: Context, dispute: Dispute, asked_at: datetime) -> bool:
    """An older look than the one we have changes nothing; one from the future was a wrong clock's,
    and is not believed."""
    payment = await _payment_of(ctx, dispute.intent_id)
    if payment is None or dispute.is_live != (ctx.settings.mode == "live"):
        return False
    standing = await ctx.db.read(lambda tx: disputes.get_dispute(tx, dispute.id))
    if standing is not None and _is_same(standing, dispute):
        return True

    async def work(tx: Transaction) -> DisputeRow | None:
        await orders.lock_order(tx, payment.order_id)
        known = await disputes.get_dispute(tx, dispute.id)
        now = ctx.clock.now()
        if known is not None and asked_at < known.seen_at <= now:
            return None
        row = _row(payment, dispute, asked_at, now, known)
        if known is None:
            await disputes.insert_dispute(tx, row)
        else:
            await disputes.update_dispute(tx, row)
        if known is not None and known.status == row.status:
            return None
        await _tell(ctx, tx, row, is_new=known is None)
        return row

    changed = await ctx.db.transaction("dispute", work)
    if changed is not None:
        _alarm(changed)
    return True


def _is_same(row: DisputeRow, dispute: Dispute) -> bool:
    """Nothing to write: what may change of a dispute has not."""
    return (
        row.amount_minor == dispute.amount
        and row.reason == dispute.reason
        and row.status == dispute.status
        and row.is_charge_refundable == dispute.is_charge_refundable
        and row.evidence_due_at == dispute.evidence_due_at
    )


async def _payment_of(ctx: Context, intent_id: str | None) -> PaymentRow | None:
    if intent_id is None:
        return None
    return await ctx.db.read(lambda tx: payments.get_payment_of_intent(tx, intent_id))


def _row(
    payment: PaymentRow,
    dispute: Dispute,
    asked_at: datetime,
    now: datetime,
    known: DisputeRow | None,
) -> DisputeRow:
    is_closed = dispute.status in CLOSED
    closed_at = known.closed_at if known and known.closed_at else now
    return DisputeRow(
        id=dispute.id,
        order_id=payment.order_id,
        payment_id=payment.id,
        stripe_charge_id=dispute.charge,
        amount_minor=dispute.amount,
        currency=dispute.currency,
        reason=dispute.reason,
        status=dispute.status,
        is_charge_refundable=dispute.is_charge_refundable,
        evidence_due_at=dispute.evidence_due_at,
        created_at=dispute.created_at,
        seen_at=asked_at,
        closed_at=closed_at if is_closed else None,
        next_look_at=None if is_closed else now + LOOK_AGAIN,
    )


async def _tell(ctx: Context, tx: Transaction, row: DisputeRow, *, is_new: bool) -> None:
    """A dispute has a new status: into the history, and to the merchant when an
    answer is asked for and when it is decided."""
    kind = "dispute.opened" if is_new else f"dispute.{row.status}"
    await history.note(
        ctx, tx, kind, row.order_id, row.payment_id, dispute=row.id, status=row.status
    )
    facts = notices.DisputeFacts(
        row.id, row.amount_minor, row.currency, row.status, row.reason, row.evidence_due_at
    )
    if is_new or row.status in ASKING:
        await notices.dispute_opened(ctx, tx, row.order_id, row.payment_id, facts)
    if row.closed_at is not None:
        await notices.dispute_closed(ctx, tx, row.order_id, row.payment_id, facts)


def _alarm(row: DisputeRow) -> None:
    """A person has to answer, or has lost: loud. Anything else is only noted."""
    note = log.info if row.status in ("won", "warning_closed", "prevented") else log.critical
    note(
        "dispute.changed",
        dispute_id=row.id,
        order_id=row.order_id,
        status=row.status,
        reason=row.reason,
        amount_minor=row.amount_minor,
        currency=row.currency,
        evidence_due_at=row.evidence_due_at.isoformat() if row.evidence_due_at else None,
    )


# --- warnings of fraud ---------------------------------------------------------------------------


async def read_fraud_warning(ctx: Context, warning_id: str) -> bool | None:
    """Look at one and write it down. False: it is none of ours; None: Stripe gave no answer."""
    warning = await gateway.retrieve_fraud_warning(ctx.gateway, warning_id, REQUEST_SECONDS)
    if isinstance(warning, Failure):
        return None
    payment = await _payment_of(ctx, warning.intent_id)
    if payment is None:
        return False
    row = FraudWarning(
        id=warning.id,
        payment_id=payment.id,
        stripe_charge_id=warning.charge,
        fraud_type=warning.fraud_type,
        is_actionable=warning.is_actionable,
        created_at=warning.created_at,
    )
    is_new = await ctx.db.transaction(
        "fraud_warning", lambda tx: disputes.put_warning(tx, payment.order_id, row)
    )
    if is_new:
        log.critical(
            "fraud.warned",
            warning_id=row.id,
            order_id=payment.order_id,
            fraud_type=row.fraud_type,
            is_actionable=row.is_actionable,
        )
    return True


# --- the worker ----------------------------------------------------------------------------------


async def take_open(ctx: Context, limit: int) -> list[DisputeRow]:
    """Open disputes that were not looked at for LOOK_AGAIN."""
    now = ctx.clock.now()
    return await ctx.db.transaction(
        "take_disputes", lambda tx: disputes.take_due(tx, now, now + LOOK_AGAIN, limit)
    )


async def read_new_disputes(ctx: Context) -> int:
    """Once in LOOK_AGAIN, by one worker of all, read Stripe's list from where it was read to
    before: what nobody reported is found. How many disputes there were.

    A list that is too long for one turn is gone on with by this process in its next one.
    """
    asked_at = ctx.clock.now()
    if not await ctx.db.read(lambda tx: disputes.is_list_due(tx, asked_at)):
        return 0
    reading = await ctx.db.transaction(
        "take_dispute_list", lambda tx: disputes.take_list(tx, asked_at, asked_at + LOOK_AGAIN)
    )
    if not reading.is_mine:
        return 0
    place = ctx.dispute_list
    if place.after is None or place.read_until != reading.read_until:
        place.read_until, place.began_at, place.after = reading.read_until, asked_at, None
    began_at = place.began_at or asked_at
    since = (reading.read_until or began_at - FIRST_WINDOW) - CLOCKS_APART
    count, is_over = await _read_on(ctx, place, Window(since=since), asked_at)
    if is_over:
        await ctx.db.transaction(
            "dispute_list_read", lambda tx: disputes.note_list_read(tx, began_at)
        )
    else:
        log.warning("disputes.not_read", since=since.isoformat(), count=count)
    return count


async def _read_on(
    ctx: Context, place: ListPlace, window: Window, asked_at: datetime
) -> tuple[int, bool]:
    """Page by page, as long as the time lasts; how many disputes, and whether that was the end."""
    deadline, count = Deadline.after(ctx.clock, REQUEST_SECONDS), 0
    while True:
        page = await gateway.list_disputes_page(ctx.gateway, place.after, deadline.left, window)
        if isinstance(page, Failure):
            if page.param == "starting_after":
                place.after = None  # Stripe has that dispute no more: from the newest again
            return count, False
        for dispute in page.items:
            await record_dispute(ctx, dispute, asked_at)
        count += len(page.items)
        place.after = page.last_id
        if page.last_id is None or deadline.left == 0:
            return count, page.last_id is None


async def measure_disputes(ctx: Parts) -> None:
    """Bring the open disputes into the metrics."""
    now = ctx.clock.now()
    found = await ctx.db.read(lambda tx: disputes.get_open(tx, now))
    due_at = found.nearest_due_at
    set_open_disputes(found.count, due_at.timestamp() if due_at else 0.0)
