"""What every process does beside what it is asked for, from its start to its end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from paidonce import __version__
from paidonce.api.drain import Drain
from paidonce.observability import get_logger
from paidonce.payments import restore
from paidonce.payments.context import Context
from paidonce.worker import run_worker

log = get_logger(__name__)


def say_start(what: str, ctx: Context, **inside: bool) -> None:
    """What runs, and on what; never an address or a key."""
    settings = ctx.settings
    log.info(
        f"{what}.started",
        version=__version__,
        mode=settings.mode,
        database="sqlite" if settings.database_url.startswith("sqlite") else "postgresql",
        simulator=bool(settings.stripe_api_base),
        webhooks=bool(settings.webhook_secrets),
        merchant_side=bool(settings.merchant_api_keys),
        event_endpoints=len(settings.outgoing_endpoints),
        **inside,
    )


@contextlib.asynccontextmanager
async def comparing(ctx: Context, ending: Drain) -> AsyncIterator[None]:
    """The database is compared with Stripe, and the mark is kept (`payments.restore`): before that
    nothing older than this process is paid, nor canceled when its time is over."""
    await restore.at_start(ctx)
    async with _until_the_end(restore.watch(ctx, ending.begun), ending):
        yield


@contextlib.asynccontextmanager
async def working(ctx: Context, wake: asyncio.Event, ending: Drain) -> AsyncIterator[None]:
    """The rounds of a worker; `wake` begins the next one at once."""
    async with _until_the_end(run_worker(ctx, wake, ending.begun), ending):
        yield


@contextlib.asynccontextmanager
async def _until_the_end(work: Coroutine[Any, Any, None], ending: Drain) -> AsyncIterator[None]:
    """The present round has its time; what it cannot finish another process takes over."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        ending.begin()
        _done, late = await asyncio.wait({task}, timeout=ending.left)
        if late:
            log.warning("worker.cut")
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
