"""The rounds of a worker, inside `serve` or alone: drain the inbox, sweep, resume cancelations, and
now and then see which cards are to be detached and which old events can be forgotten."""

import asyncio
from collections.abc import Awaitable, Callable

from paidonce import recovery, webhooks
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit

PAUSE_SECONDS = 1.0
TIDY_SECONDS = 20.0
"""Between two looks for cards to detach: nobody waits for one."""
FORGET_SECONDS = 600.0
"""Between two looks for events to forget: each goes through the whole inbox."""
log = get_logger(__name__)


async def run_worker(ctx: Context, wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Rounds until `stop`; `wake` ends a pause early (a webhook has come)."""
    tidy_at = forget_at = ctx.clock.monotonic()
    while not stop.is_set():
        wake.clear()
        is_tidying = ctx.clock.monotonic() >= tidy_at
        if is_tidying:
            tidy_at = ctx.clock.monotonic() + TIDY_SECONDS
        is_forgetting = ctx.clock.monotonic() >= forget_at
        if is_forgetting:
            forget_at = ctx.clock.monotonic() + FORGET_SECONDS
        try:
            await work_once(ctx, is_tidying=is_tidying, is_forgetting=is_forgetting, stop=stop)
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("worker.database_unavailable", error=str(error))
        except Exception:  # the worker outlives a bug in one round
            log.exception("worker.round_failed")
        await _pause(wake, stop)


async def work_once(
    ctx: Context,
    *,
    is_tidying: bool = True,
    is_forgetting: bool = True,
    stop: asyncio.Event | None = None,
) -> int:
    """One round; how many things were worked on. After `stop` no further kind of work is begun."""
    kinds: list[Callable[[Context], Awaitable[int]]] = [
        webhooks.drain_once,
        recovery.sweep_once,
        recovery.look_once,
        recovery.resume_canceling,
        recovery.sweep_intents_once,
        recovery.refund_once,
        recovery.look_at_forgotten_once,
    ]
    if is_tidying:
        kinds.append(recovery.release_once)
    if is_forgetting:
        kinds.append(webhooks.forget_once)
    worked = 0
    for work in kinds:
        if stop is not None and stop.is_set():
            break
        worked += await work(ctx)
    return worked


async def _pause(wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Until woken or stopped, or PAUSE_SECONDS."""
    waits = [asyncio.ensure_future(event.wait()) for event in (wake, stop)]
    try:
        await asyncio.wait(waits, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
