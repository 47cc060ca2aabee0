"""Wires `paidonce worker`; see `main`."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from paidonce import outgoing
from paidonce.api import build_api
from paidonce.api.beside import serving_beside
from paidonce.api.drain import Drain
from paidonce.domain.clock import SystemClock
from paidonce.main.app import finish, say_start
from paidonce.main.parts import close_context, open_context
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.service import Service
from paidonce.settings import Settings, SettingsError
from paidonce.worker import run_worker

log = get_logger(__name__)


async def run_worker_alone(settings: Settings, drain: Drain) -> None:
    """`paidonce worker`: recovery without the HTTP side, until the drain begins. Raises
    SettingsError."""
    listener = _listener_of(settings)
    ctx = await open_context(settings, SystemClock())
    try:
        await outgoing.register(ctx)
        async with _telling(ctx, drain, listener):
            say_start("worker", ctx, listens=listener is not None)
            worker = asyncio.create_task(run_worker(ctx, asyncio.Event(), drain.begun))
            await drain.begun.wait()
            await finish(worker, drain)
    finally:
        await close_context(ctx, drain.left)
        log.info("worker.ended")


def _listener_of(settings: Settings) -> socket.socket | None:
    """Where a worker by itself is asked how it is."""
    if settings.worker_port == 0:
        return None
    try:
        return socket.create_server((settings.worker_host, settings.worker_port))
    except OSError as error:
        why = error.strerror or "there is no such address"
        raise SettingsError(f"WORKER_PORT: the worker cannot listen there: {why}.") from error


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
