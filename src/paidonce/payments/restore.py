"""A database that was restored from a backup has forgotten payments; Stripe has not.

An order that was paid after the backup looks unpaid, and a new payment of it would charge it a
second time. So a process begins payments of older orders only when it has compared its database
with Stripe's list of intents, from where the database's own mark (`intents_known_until`) stands to
the end. An intent of ours without a payment is listed as forgotten, and its order is refused until
the intent is adopted (`paidonce reconcile --fix`) or canceled.

The mark is written every few seconds by processes that have compared, and by no others. A process
that meets a database with an older mark than it has seen knows that it was put back under it.
"""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta

from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Failure, Intent, IntentStatus, Window
from paidonce.observability import get_logger
from paidonce.observability.metrics import set_forgotten_intents
from paidonce.payments.context import CLOCKS_APART, REQUEST_SECONDS, Context, new_id
from paidonce.payments.gate import Comparison, is_older
from paidonce.store import forgotten
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.forgotten import ForgottenIntent

START_SECONDS = 3.0
ROUND_SECONDS = 20.0
MARK_SECONDS = 10.0
PAYER_SECONDS = 5.0
LOOK_AGAIN = timedelta(minutes=1)
_TASK = "restore"
log = get_logger(__name__)


# --- who waits -----------------------------------------------------------------------------------


async def ensure_compared(ctx: Context, time_left: float) -> bool:
    """Whether the gate is open; if not, one comparison runs in this process and is waited for."""
    if not ctx.gate.is_open:
        ctx.background.start(_TASK, lambda: compare(ctx))
        await ctx.background.wait_for(_TASK, min(PAYER_SECONDS, time_left))
    return ctx.gate.is_open


def is_waiting(
    ctx: Context,
    order_created_at: datetime,
    known_until: datetime | None,
    seen: datetime | None,
) -> bool:
    """Whether an order has to wait for the comparison. `known_until` is the mark as it stands in
    the very transaction that is about to begin a payment, `seen` what the gate knew before that was
    read (this process may have written a newer one meanwhile): an older one closes the gate, and
    so does another server, which may have lost what the last one said."""
    if ctx.gate.is_open and _is_another(ctx, known_until, seen):
        ctx.gate.close(ctx.clock.now())
    return not ctx.gate.is_open and order_created_at < ctx.gate.closed_at


def _is_another(ctx: Context, known_until: datetime | None, seen: datetime | None) -> bool:
    """Whether this may not be the database that was compared."""
    if is_older(known_until, seen):
        log.critical("restore.noticed", known_until=str(known_until))
        return True
    if ctx.db.server_changes != ctx.gate.server_changes:
        log.warning("restore.another_server")
        return True
    return False


async def at_start(ctx: Context) -> None:
    """Before a server takes requests, if Stripe answers soon enough."""
    await _quietly(ensure_compared(ctx, START_SECONDS))


async def watch(ctx: Context, stop: asyncio.Event) -> None:
    """Until `stop`: compare while the gate is closed, else write the mark."""
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), MARK_SECONDS)
        except TimeoutError:
            if ctx.gate.is_open:
                await _quietly(mark(ctx))
            else:
                await ensure_compared(ctx, PAYER_SECONDS)


async def _quietly(work: Awaitable[object]) -> None:
    """A database that is away, or a bug, ends no server."""
    try:
        await work
    except (DatabaseUnavailable, UnknownCommit) as error:
        log.warning("restore.database_unavailable", error=str(error))
    except Exception:
        log.exception("restore.failed")


# --- comparing -----------------------------------------------------------------------------------


async def compare(ctx: Context) -> None:
    """Read Stripe's list of intents from the newest to the mark, page by page, as long as the time
    lasts, and open the gate; the next call goes on where this one ended."""
    gate, deadline = ctx.gate, Deadline.after(ctx.clock, ROUND_SECONDS)
    while not gate.is_open and deadline.left > 0:
        if gate.begun is None:
            gate.begun = await _begin(ctx)
        since = min(gate.begun.base, gate.begun.began_at) - CLOCKS_APART
        page = await ctx.gateway.list_expanded_intents_page(
            Window(since), gate.after, deadline.left
        )
        if isinstance(page, Failure):
            log.warning("restore.not_compared", reason=page.reason.value)
            if page.param == "starting_after":
                gate.after = None  # Stripe has that intent no more: from the newest again
            return
        await note_unknown(ctx, page.items)
        gate.after = page.last_id
        if page.last_id is None:
            await _finish(ctx, gate.begun)


async def _begin(ctx: Context) -> Comparison:
    """From the mark until now. Where there is no mark, or one of a clock that was ahead, it is set
    first to the newest payment: later that would be one made since, and hide what lies before."""
    now, comparison_id = ctx.clock.now(), new_id()
    ctx.gate.server_changes = ctx.db.server_changes

    async def work(tx: Transaction) -> datetime:
        known_until = await forgotten.get_known_until(tx)
        if known_until is None or known_until > now + CLOCKS_APART:
            known_until = await forgotten.get_first_unknown(tx, now)
            await forgotten.know_only_until(tx, known_until)
        await forgotten.begin_comparison(tx, comparison_id, now)
        return known_until

    return Comparison(comparison_id, await ctx.db.transaction("compare", work), now)


async def _finish(ctx: Context, begun: Comparison) -> None:
    """Move the mark to where the comparison began, unless the database was put back meanwhile:
    then what it has listed is not in there."""

    async def work(tx: Transaction) -> datetime | None:
        if not await forgotten.end_comparison(tx, begun.id):
            return None
        await forgotten.know_until(tx, begun.began_at)
        return await forgotten.get_known_until(tx)

    try:
        known_until = await ctx.db.transaction("compared", work)
    except UnknownCommit:
        ctx.gate.begun = None  # it may have ended, and then nobody finds it: another one tells
        raise
    if known_until is None:
        log.critical("restore.noticed", comparison=begun.id)
        ctx.gate.close(ctx.clock.now())
    else:
        ctx.gate.open(known_until)
        await _show(ctx)


async def note_unknown(ctx: Context, intents: list[Intent]) -> int:
    """List the intents of ours among these that no payment holds and that may still charge, or
    have; how many are new."""
    ours = [
        intent
        for intent in intents
        if intent.metadata.get("namespace") == ctx.installation.namespace
        and intent.metadata.get("order_id")
        and intent.status is not IntentStatus.CANCELED
    ]
    if not ours:
        return 0

    async def work(tx: Transaction) -> list[Intent]:
        named = [intent.metadata.get("payment_id", "") for intent in ours]
        known = await forgotten.known_payments(tx, named)
        held = await forgotten.held_intents(tx, [intent.id for intent in ours])
        now = ctx.clock.now()
        return [
            intent
            for intent in ours
            if intent.id not in held
            and intent.metadata.get("payment_id", "") not in known
            and await forgotten.record_forgotten(tx, intent, now)
        ]

    found = await ctx.db.transaction("forgotten", work)
    for intent in found:
        log.critical(
            "intent.forgotten",
            intent=intent.id,
            order_id=intent.metadata.get("order_id"),
            status=intent.status.value,
        )
    return len(found)


async def is_dismissed(ctx: Context, intent_id: str) -> bool:
    return bool(await ctx.db.read(lambda tx: forgotten.dismissed_intents(tx, [intent_id])))


async def mark(ctx: Context) -> bool:
    """Say that everything until now is known; False when this process does not know that, since it
    has not compared or since the database is an older one."""
    gate, now = ctx.gate, ctx.clock.now()
    if not gate.is_open:
        return False

    async def work(tx: Transaction) -> datetime | None:
        seen = gate.known_until
        if _is_another(ctx, await forgotten.get_known_until(tx), seen):
            return None
        await forgotten.know_until(tx, now)
        return await forgotten.get_known_until(tx)

    try:
        known_until = await ctx.db.transaction("known", work)
    except (DatabaseUnavailable, UnknownCommit):
        gate.close(now)  # another server may stand at its address when it is back
        raise
    if known_until is None:
        gate.close(now)
        return False
    gate.known_until = known_until
    await _show(ctx)
    return True


async def _show(ctx: Context) -> None:
    set_forgotten_intents(await ctx.db.read(forgotten.count_standing))


# --- what became of them -------------------------------------------------------------------------


async def take_forgotten(ctx: Context, limit: int) -> list[ForgottenIntent]:
    now = ctx.clock.now()
    return await ctx.db.transaction(
        "take_forgotten", lambda tx: forgotten.take_due(tx, now, LOOK_AGAIN, limit)
    )


async def look_at_forgotten(ctx: Context, found: ForgottenIntent) -> None:
    """One that was canceled at Stripe stands in nobody's way any more."""
    intent_id = found.stripe_payment_intent_id
    intent = await ctx.gateway.retrieve_intent(intent_id, REQUEST_SECONDS)
    if isinstance(intent, Intent) and intent.status is IntentStatus.CANCELED:
        await ctx.db.transaction(
            "forgotten_over", lambda tx: forgotten.drop_forgotten(tx, intent_id)
        )
