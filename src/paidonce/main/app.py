"""Wires the service: an application of its own, or a router in a host's."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import FastAPI

from paidonce import outgoing
from paidonce.api import PaidonceRouter, build_api, build_api_router
from paidonce.api.drain import Drain
from paidonce.domain.clock import Clock, SystemClock
from paidonce.main.parts import close_context, database_as_setting, open_context
from paidonce.main.running import comparing, say_start, working
from paidonce.main.schema import preflight
from paidonce.observability import get_logger, log_through_host
from paidonce.payments.context import Context
from paidonce.service import Service
from paidonce.settings import Settings

Opening = Callable[[Settings, Clock], Awaitable[Context]]
log = get_logger(__name__)


def build_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    has_worker: bool = True,
    opening: Opening | None = None,
    drain: Drain | None = None,
) -> FastAPI:
    """The HTTP application; with `has_worker` recovery runs inside it. `opening` gives it its
    context in the place of `open_context`; `drain` is the server's."""
    own_clock = clock or SystemClock()
    ending = drain or Drain()
    service = Service(ending)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ctx = await (opening or open_context)(settings, own_clock)
        app.state.context = ctx
        async with _running(ctx, service, ending, has_worker=has_worker):
            yield

    return build_api(settings, service, own_clock.now, lifespan=lifespan)


def build_router(
    settings: Settings,
    *,
    clock: Clock | None = None,
    has_worker: bool = True,
    has_operations: bool = False,
) -> PaidonceRouter:
    """paidonce inside an application that was there before: `app.include_router(...)`.

    It opens and closes with the application, which does not start when something is wrong: raises
    SettingsError then. Each process has a worker inside unless `paidonce worker` runs beside it and
    `has_worker` is False. `has_operations` adds `/healthz`, `/readyz` and `/metrics`. Log lines go,
    redacted, to the loggers `paidonce.…` of `logging`.
    """
    own_clock = clock or SystemClock()
    ending = Drain()
    service = Service(ending)
    log_through_host()

    @contextlib.asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        await preflight(settings)
        ctx = await open_context(settings, own_clock)
        async with _running(ctx, service, ending, has_worker=has_worker):
            yield

    return build_api_router(
        settings, service, own_clock.now, lifespan=lifespan, has_operations=has_operations
    )


@contextlib.asynccontextmanager
async def _running(
    ctx: Context, service: Service, ending: Drain, *, has_worker: bool
) -> AsyncIterator[None]:
    try:
        with database_as_setting():
            await outgoing.register(ctx)
        ending.renew()
        service.open(ctx)
        say_start("service", ctx, worker=has_worker)
        worker = working(ctx, service.wake, ending) if has_worker else contextlib.nullcontext()
        async with comparing(ctx, ending), worker:
            yield
    finally:
        ending.begin()
        service.close(ctx)
        await close_context(ctx, ending.left)
        log.info("service.ended")
