"""Wires `paidonce worker`."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

from paidonce import outgoing
from paidonce.api import build_api
from paidonce.api.beside import serving_beside
from paidonce.api.drain import Drain
from paidonce.domain.clock import SystemClock
from paidonce.main.parts import close_context, database_as_setting, open_context
from paidonce.main.running import comparing, say_start, working
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.service import Service
from paidonce.settings import Settings, SettingsError

log = get_logger(__name__)


async def run_worker_alone(settings: Settings, drain: Drain) -> None:
    """`paidonce worker`: recovery without the HTTP side, until the drain begins. Raises
    SettingsError."""
    with _listening(settings) as listener:
        ctx = await open_context(settings, SystemClock())
        try:
            with database_as_setting():
                await outgoing.register(ctx)
            async with _telling(ctx, drain, listener):
                say_start("worker", ctx, listens=listener is not None)
                async with comparing(ctx, drain), working(ctx, asyncio.Event(), drain):
                    await drain.begun.wait()
        finally:
            await close_context(ctx, drain.left)
            log.info("worker.ended")


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket | None]:
    """Where a worker by itself is asked how it is."""
    if settings.worker_port == 0:
        yield None
        return
    try:
        listener = socket.create_server((settings.worker_host, settings.worker_port))
    except OSError as error:
        why = error.strerror or "there is no such address"
        raise SettingsError(f"WORKER_PORT: the worker cannot listen there: {why}.") from error
    with listener:
        yield listener


@contextlib.asynccontextmanager
async def _telling(
    ctx: Context, drain: Drain, listener: socket.socket | None
) -> AsyncIterator[None]:
    if listener is None:
        yield
        return
    service = Service(drain)
    service.open(ctx)
    app = build_api(ctx.settings, service, ctx.clock.now, only_operations=True)
    async with serving_beside(app, listener):
        yield
