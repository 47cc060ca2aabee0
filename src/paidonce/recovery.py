"""Everything unfinished is brought to an end on the same road as a client's retry.

Any number of workers may run: rows are taken under leases.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from typing import Any

from paidonce.domain.clock import Deadline
from paidonce.observability import get_logger, timeline
from paidonce.payments.cards.release import detach, take_to_detach
from paidonce.payments.cards.setup_work import take_setups, work_on_setup
from paidonce.payments.context import (
    LEASE_SECONDS,
    REQUEST_SECONDS,
    Context,
    Role,
    new_id,
    visitor_for,
)
from paidonce.payments.leases import check_pause_seconds
from paidonce.payments.money_back.disputes import read_dispute, read_new_disputes, take_open
from paidonce.payments.money_back.refund_work import take_refunds, work_on_refund
from paidonce.payments.orders.cancel import expire_order, finish_canceling, take_expired
from paidonce.payments.pay.capture import take_captures, work_on_capture
from paidonce.payments.pay.follow_up import (
    follow_up,
    look_at_standing_payment,
    look_for_the_last_time,
)
from paidonce.payments.pay.holds import look_at_hold, take_holds
from paidonce.payments.pay.strays import sweep_payment, take_to_sweep
from paidonce.payments.restore import look_at_forgotten, take_forgotten
from paidonce.store import attempts, orders, payments
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.rows import AttemptRow, PaymentRow

BATCH = 8
MOST_BATCHES = 20
FIRST_LOOK_PAUSE = timedelta(seconds=45)
LAST_LOOK = timedelta(hours=24)
log = get_logger(__name__)


async def sweep_once(ctx: Context) -> int:
    """Attempts whose time has come: a lost answer, a dead process, a challenge nobody reported."""
    worker_id = new_id()
    due = await ctx.db.transaction("sweep", lambda tx: _take_due(ctx, tx, worker_id))
    await _all(_recover(ctx, attempt, worker_id) for attempt in due)
    return len(due)


async def look_once(ctx: Context) -> int:
    """Payments that only the app could have confirmed since: it has their client secret."""
    due = await ctx.db.transaction("look", lambda tx: _take_looks(ctx, tx))
    await _all(_look(ctx, payment, is_last=is_last) for payment, is_last in due)
    return len(due)


async def resume_canceling(ctx: Context) -> int:
    """The second step of cancelations whose first step was taken."""
    now = ctx.clock.now()
    later = now + timedelta(seconds=LEASE_SECONDS)
    order_ids = await ctx.db.transaction(
        "take_canceling", lambda tx: orders.take_canceling(tx, now, later, BATCH)
    )
    await _all(
        finish_canceling(ctx, order_id, visitor_for(ctx, Role.WORKER, new_id()))
        for order_id in order_ids
    )
    return len(order_ids)


async def expire_once(ctx: Context) -> int:
    """Orders that nobody has paid in time, by the road of a cancelation."""
    due = await take_expired(ctx, BATCH)
    await _all(expire_order(ctx, order_id) for order_id in due)
    return len(due)


async def capture_once(ctx: Context) -> int:
    """Captures whose end is not known."""
    due = await take_captures(ctx, BATCH)
    await _all(work_on_capture(ctx, capture) for capture in due)
    return len(due)


async def look_at_holds_once(ctx: Context) -> int:
    """Money that Stripe holds: until when, and whether it still does."""
    due = await take_holds(ctx, BATCH)
    await _all(look_at_hold(ctx, payment) for payment in due)
    return len(due)


async def sweep_intents_once(ctx: Context) -> int:
    """Intents that were made and never recorded: adopted, or canceled where another one was."""
    due = await take_to_sweep(ctx, BATCH)
    await _all(sweep_payment(ctx, payment) for payment in due)
    return len(due)


async def look_at_forgotten_once(ctx: Context) -> int:
    """Intents that a restored database has forgotten: whether they were canceled since."""
    due = await take_forgotten(ctx, BATCH)
    await _all(look_at_forgotten(ctx, found) for found in due)
    return len(due)


async def refund_once(ctx: Context) -> int:
    """Refunds to send, and those whose end is not known yet or may change."""
    due = await take_refunds(ctx, BATCH)
    await _all(work_on_refund(ctx, refund) for refund in due)
    return len(due)


async def set_up_once(ctx: Context) -> int:
    """SetupIntents that nobody has reported on, and those whose time is over."""
    due = await take_setups(ctx, BATCH)
    await _all(work_on_setup(ctx, setup) for setup in due)
    return len(due)


async def look_at_disputes_once(ctx: Context) -> int:
    """Open disputes, and those that nobody reported."""
    due = await take_open(ctx, BATCH)
    await _all(read_dispute(ctx, dispute.id) for dispute in due)
    return len(due) + await read_new_disputes(ctx)


async def release_once(ctx: Context) -> int:
    """Cards that their users have deleted, and those that nobody asked to keep and nobody uses."""
    count = 0
    for _ in range(MOST_BATCHES):
        due = await take_to_detach(ctx, BATCH)
        deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
        await _all(detach(ctx, method, deadline) for method in due)
        count += len(due)
        if len(due) < BATCH:
            break
    return count


async def _all(works: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """All at once, so that every lease is worked under; one bad row does not stop the others."""
    await asyncio.gather(*map(_alone, works))


async def _alone(work: Coroutine[Any, Any, Any]) -> None:
    """What is raised is noted here; what is returned may be a refusal, and is none."""
    try:
        await work
    except (DatabaseUnavailable, UnknownCommit) as error:
        log.warning("recovery.database_unavailable", error=str(error))
    except Exception:
        log.exception("recovery.failed")


async def _take_looks(ctx: Context, tx: Transaction) -> list[tuple[PaymentRow, bool]]:
    """With whether it is the last look."""
    now = ctx.clock.now()
    due = await payments.list_to_look_at(tx, now, BATCH)
    for payment, secret_out_at in due:
        pause = max(FIRST_LOOK_PAUSE, (now - secret_out_at) / 20)
        await payments.look_at(tx, payment.id, now + pause)
    return [(payment, now - secret_out_at >= LAST_LOOK) for payment, secret_out_at in due]


async def _look(ctx: Context, payment: PaymentRow, *, is_last: bool) -> None:
    visitor = visitor_for(ctx, Role.WORKER, new_id())
    if not is_last:
        await look_at_standing_payment(ctx, payment.order_id, visitor)
    elif await look_for_the_last_time(ctx, payment, visitor):
        await ctx.db.transaction("last_look", lambda tx: payments.look_at(tx, payment.id, None))


async def _take_due(ctx: Context, tx: Transaction, worker_id: str) -> list[AttemptRow]:
    now = ctx.clock.now()
    until = now + timedelta(seconds=LEASE_SECONDS)
    due = await attempts.list_due(tx, now, BATCH)
    for attempt in due:
        await attempts.take_lease(tx, attempt.id, worker_id, until, until)
    return due


async def _recover(ctx: Context, attempt: AttemptRow, worker_id: str) -> None:
    visitor = visitor_for(ctx, Role.WORKER, worker_id)
    with timeline() as steps:
        verdict = await follow_up(ctx, attempt.order_id, visitor)
    log.info(
        "attempt.followed_up",
        attempt_id=attempt.id,
        verdict=type(verdict).__name__,
        steps=steps.lines(),
    )
    now = ctx.clock.now()
    next_check_at = now + timedelta(seconds=check_pause_seconds(attempt.checks + 1))

    async def work(tx: Transaction) -> None:
        await attempts.release_lease(tx, attempt.id, worker_id, now, next_check_at)
        await attempts.note_check(tx, attempt.id, next_check_at)

    await ctx.db.transaction("checked", work)
