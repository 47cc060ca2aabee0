"""The rounds of a worker, inside `serve` or alone: drain the inbox, sweep, resume cancelations."""

import asyncio

from paidonce import recovery, webhooks
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit

PAUSE_SECONDS = 1.0
log = get_logger(__name__)


async def run_worker(ctx: Context, wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Rounds until `stop`; `wake` ends a pause early (a webhook has come)."""
    while not stop.is_set():
        wake.clear()
        try:
            await work_once(ctx)
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("worker.database_unavailable", error=str(error))
        except Exception:  # the worker outlives a bug in one round
            log.exception("worker.round_failed")
        await _pause(wake, stop)


async def work_once(ctx: Context) -> int:
    """One round; how many things were worked on."""
    worked = await webhooks.drain_once(ctx)
    worked += await recovery.sweep_once(ctx)
    worked += await recovery.look_once(ctx)
    return worked + await recovery.resume_canceling(ctx)


async def _pause(wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Until woken or stopped, or PAUSE_SECONDS."""
    waits = [asyncio.ensure_future(event.wait()) for event in (wake, stop)]
    try:
        await asyncio.wait(waits, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
