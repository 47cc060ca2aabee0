"""Leases only avoid duplicate work: no safety depends on them, nor on a clock."""

from datetime import timedelta

from paidonce.domain.states import AttemptState
from paidonce.observability import get_logger
from paidonce.payments.context import Context, Visitor
from paidonce.store import attempts, orders
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.rows import AttemptRow, OrderRow

WAIT_SECONDS = 8.0
POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.4
FIRST_CHECK_SECONDS = 5
LONGEST_CHECK_SECONDS = 45
log = get_logger(__name__)


async def wait_for_attempt(
    ctx: Context, attempt_id: str, visitor: Visitor
) -> tuple[OrderRow, AttemptRow]:
    """Watch somebody else's attempt until it is over, its lease has ended, or 8 s have."""
    ends_at = ctx.clock.monotonic() + min(WAIT_SECONDS, visitor.deadline.left)
    pause = POLL_SECONDS
    while True:
        order, attempt = await ctx.db.read(lambda tx: _read(tx, attempt_id))
        is_running = attempt.state is AttemptState.OPEN and attempt.lease_until > ctx.clock.now()
        if not is_running or ctx.clock.monotonic() >= ends_at:
            return order, attempt
        await ctx.clock.sleep(pause)
        pause = min(pause * 2, LONGEST_POLL_SECONDS)


async def release_lease(ctx: Context, attempt: AttemptRow, visitor: Visitor) -> None:
    """A lease ends with its answer. If this fails, it ends by itself after LEASE_SECONDS."""
    now = ctx.clock.now()
    next_check_at = now + timedelta(seconds=check_pause_seconds(attempt.checks))
    try:
        await ctx.db.transaction(
            "release",
            lambda tx: attempts.release_lease(
                tx, attempt.id, visitor.request_id, now, next_check_at
            ),
        )
    except (DatabaseUnavailable, UnknownCommit):
        log.warning("lease.kept", attempt_id=attempt.id)


def check_pause_seconds(checks: int) -> int:
    """How long recovery leaves an attempt alone after so many looks."""
    return int(min(FIRST_CHECK_SECONDS * 2 ** min(checks, 10), LONGEST_CHECK_SECONDS))


async def _read(tx: Transaction, attempt_id: str) -> tuple[OrderRow, AttemptRow]:
    attempt = await attempts.get_attempt(tx, attempt_id)
    order = await orders.get_order(tx, attempt.order_id)
    if order is None:
        raise LookupError("an attempt's order has a row")
    return order, attempt
