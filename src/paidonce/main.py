"""Wires the parts together; the only place that knows all of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from fastapi import FastAPI

from paidonce.api import build_api
from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Failure
from paidonce.gateway import StripeGateway
from paidonce.observability import get_logger
from paidonce.payments.background import Background
from paidonce.payments.context import Context
from paidonce.service import Service
from paidonce.settings import Settings, SettingsError
from paidonce.store import installation, migrations
from paidonce.store.engine import DatabaseUnavailable, open_database
from paidonce.worker import run_worker

ANSWER_LIFE = timedelta(hours=24)
DRAIN_SECONDS = 25
START_CALL_SECONDS = 3.0
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
log = get_logger(__name__)


# --- the parts -----------------------------------------------------------------------------------


async def open_context(settings: Settings, clock: Clock) -> Context:
    """Open database and gateway; raises SettingsError when they do not belong together."""
    try:
        db = await open_database(settings.database_url)
        home = await db.transaction(
            "installation",
            lambda tx: installation.ensure_installation(
                tx, uuid4().hex, settings.mode, clock.now()
            ),
        )
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    if home.mode != settings.mode:
        raise SettingsError(
            f"STRIPE_SECRET_KEY is a {settings.mode} key, but this database holds {home.mode} data."
        )
    gateway = StripeGateway(settings)
    return Context(db, gateway, settings, clock, home, Background())


async def close_context(ctx: Context) -> None:
    await ctx.background.close(DRAIN_SECONDS)
    await ctx.gateway.close()
    await ctx.db.close()


async def check_account(ctx: Context) -> None:
    """The database belongs to one Stripe account. Without an answer of Stripe it is not checked."""
    account_id = await ctx.gateway.retrieve_account_id(START_CALL_SECONDS)
    if isinstance(account_id, Failure):
        log.warning("account.not_checked", reason=account_id.reason.value)
        return
    recorded = ctx.installation.stripe_account_id
    if recorded is None:
        await ctx.db.transaction("account", lambda tx: installation.save_account(tx, account_id))
    elif recorded != account_id:
        raise SettingsError(
            "STRIPE_SECRET_KEY is of another Stripe account than the one this database belongs to."
        )


async def preflight(settings: Settings) -> None:
    """Everything that can stop a start, before anything listens. Raises SettingsError."""
    try:
        if settings.database_url.startswith("sqlite"):
            await asyncio.to_thread(migrations.upgrade, settings.database_url)
        elif await asyncio.to_thread(migrations.current, settings.database_url) != (
            migrations.head()
        ):
            raise SettingsError(
                "DATABASE_URL: the schema is not up to date; run `paidonce db upgrade` first."
            )
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    ctx = await open_context(settings, SystemClock())
    try:
        await check_account(ctx)
    finally:
        await close_context(ctx)


# --- the app and the worker ----------------------------------------------------------------------


def build_app(
    settings: Settings, *, clock: Clock | None = None, has_worker: bool = True
) -> FastAPI:
    """The HTTP application; with `has_worker` recovery runs inside it."""
    own_clock = clock or SystemClock()
    service = Service()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ctx = await open_context(settings, own_clock)
        service.open(ctx)
        app.state.context = ctx
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(ctx, service.wake, stop)) if has_worker else None
        try:
            yield
        finally:
            stop.set()
            await _finish(worker)
            await close_context(ctx)

    return build_api(settings, service, own_clock.now, lifespan=lifespan)


async def run_worker_alone(settings: Settings, stop: asyncio.Event) -> None:
    """`paidonce worker`: recovery without the HTTP side."""
    ctx = await open_context(settings, SystemClock())
    try:
        await run_worker(ctx, asyncio.Event(), stop)
    finally:
        await close_context(ctx)


async def _finish(worker: "asyncio.Task[Any] | None") -> None:
    """Give the present round its time; what it cannot finish another process takes over."""
    if worker is None:
        return
    _done, late = await asyncio.wait({worker}, timeout=DRAIN_SECONDS)
    for task in late:
        task.cancel()
