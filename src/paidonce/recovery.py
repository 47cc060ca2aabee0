"""Everything unfinished is brought to an end on the same road as a client's retry.

Any number of workers may run: rows are taken under leases.
"""

from datetime import timedelta

from paidonce.observability import get_logger
from paidonce.payments.cancel import finish_canceling
from paidonce.payments.context import LEASE_SECONDS, Context, Role, new_id, visitor_for
from paidonce.payments.follow_up import follow_up
from paidonce.payments.leases import check_pause_seconds
from paidonce.store import attempts, orders
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.rows import AttemptRow

BATCH = 20
log = get_logger(__name__)


async def sweep_once(ctx: Context) -> int:
    """Attempts whose time has come: a lost answer, a dead process, a challenge nobody reported."""
    worker_id = new_id()
    due = await ctx.db.transaction("sweep", lambda tx: _take_due(ctx, tx, worker_id))
    for attempt in due:
        try:
            await _recover(ctx, attempt, worker_id)
        except (DatabaseUnavailable, UnknownCommit):
            raise
        except Exception:
            log.exception("recovery.failed", attempt_id=attempt.id)
    return len(due)


async def resume_canceling(ctx: Context) -> int:
    """The second step of cancelations whose first step was taken."""
    order_ids = await ctx.db.read(lambda tx: orders.list_canceling(tx, BATCH))
    for order_id in order_ids:
        await finish_canceling(ctx, order_id, visitor_for(ctx, Role.WORKER, new_id()))
    return len(order_ids)


async def _take_due(ctx: Context, tx: Transaction, worker_id: str) -> list[AttemptRow]:
    now = ctx.clock.now()
    until = now + timedelta(seconds=LEASE_SECONDS)
    due = await attempts.list_due(tx, now, BATCH)
    for attempt in due:
        await attempts.take_lease(tx, attempt.id, worker_id, until, until)
    return due


async def _recover(ctx: Context, attempt: AttemptRow, worker_id: str) -> None:
    visitor = visitor_for(ctx, Role.WORKER, worker_id)
    verdict = await follow_up(ctx, attempt.order_id, visitor)
    log.info("attempt.followed_up", attempt_id=attempt.id, verdict=type(verdict).__name__)
    now = ctx.clock.now()
    next_check_at = now + timedelta(seconds=check_pause_seconds(attempt.checks + 1))

    async def work(tx: Transaction) -> None:
        await attempts.release_lease(tx, attempt.id, worker_id, now, next_check_at)
        await attempts.note_check(tx, attempt.id, next_check_at)

    await ctx.db.transaction("checked", work)
