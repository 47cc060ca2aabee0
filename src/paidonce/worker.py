"""The rounds of a worker, inside `serve` or alone: drain the inbox; sweep and resume cancelations;
refunds and what was left behind, and now and then disputes, old cards and old events; and the lanes
of outgoing events."""

import asyncio
from collections.abc import Awaitable, Callable

from paidonce import outgoing, recovery, webhooks
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.payments.orders import same_order
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit

PAUSE_SECONDS = 1.0
TIDY_SECONDS = 20.0
"""Between two looks for cards to detach, and for disputes to look at: nobody waits for one."""
FORGET_SECONDS = 600.0
"""Between two looks for events to forget: each goes through the whole inbox."""
log = get_logger(__name__)


Work = Callable[[Context], Awaitable[int]]
EVENTS: dict[Work, float] = {webhooks.drain_once: 0}
PAYMENTS: dict[Work, float] = {
    recovery.sweep_once: 0,
    recovery.look_once: 0,
    recovery.resume_canceling: 0,
    recovery.capture_once: 0,
    recovery.look_at_holds_once: 0,
}
THE_REST: dict[Work, float] = {
    recovery.sweep_intents_once: 0,
    recovery.refund_once: 0,
    recovery.expire_once: 0,
    recovery.look_at_forgotten_once: 0,
    recovery.set_up_once: 0,
    recovery.look_at_disputes_once: TIDY_SECONDS,
    recovery.release_once: TIDY_SECONDS,
    webhooks.forget_once: FORGET_SECONDS,
    outgoing.forget_once: FORGET_SECONDS,
    same_order.forget_once: FORGET_SECONDS,
}
"""Each with the seconds from one time to the next, beside the pause between two rounds."""


async def run_worker(ctx: Context, wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Rounds until `stop`; `wake` ends a pause early (a webhook has come). Payments wait neither
    for events nor for refunds that wait for Stripe, and nobody for the merchant's endpoints."""
    await asyncio.gather(
        _run_rounds(ctx, EVENTS, wake, stop),
        _run_rounds(ctx, PAYMENTS, asyncio.Event(), stop),
        _run_rounds(ctx, THE_REST, asyncio.Event(), stop),
        outgoing.run_lanes(ctx, stop),
    )


async def work_once(ctx: Context) -> int:
    """Everything once; how many things were worked on."""
    works = (*EVENTS, *PAYMENTS, *THE_REST, outgoing.deliver_once)
    return sum([await work(ctx) for work in works])


async def _run_rounds(
    ctx: Context, works: dict[Work, float], wake: asyncio.Event, stop: asyncio.Event
) -> None:
    """After `stop` no further kind of work is begun."""
    next_at = dict.fromkeys(works, ctx.clock.monotonic())
    while not stop.is_set():
        wake.clear()
        for work, seconds in works.items():
            now = ctx.clock.monotonic()
            if now >= next_at[work] and not stop.is_set():
                next_at[work] = now + seconds
                await _work(ctx, work)
        await _pause(wake, stop)


async def _work(ctx: Context, work: Work) -> None:
    try:
        await work(ctx)
    except (DatabaseUnavailable, UnknownCommit) as error:
        log.warning("worker.database_unavailable", error=str(error))
    except Exception:  # the worker outlives a bug in one kind of work
        log.exception("worker.round_failed")


async def _pause(wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Until woken or stopped, or PAUSE_SECONDS."""
    waits = [asyncio.ensure_future(event.wait()) for event in (wake, stop)]
    try:
        await asyncio.wait(waits, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
