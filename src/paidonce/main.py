"""Wires the parts together; the only place that knows all of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from fastapi import FastAPI

from paidonce import __version__, outgoing
from paidonce.api import PaidonceRouter, build_api, build_api_router
from paidonce.api.drain import DRAIN_SECONDS, LAST_SECONDS, Drain
from paidonce.backfill import Backfill, Counts
from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Failure, Window
from paidonce.gateway import Pace, StripeGateway
from paidonce.observability import get_logger, log_through_host
from paidonce.payments import restore
from paidonce.payments.background import Background
from paidonce.payments.context import Context, Parts
from paidonce.payments.gate import Gate
from paidonce.reconcile import (
    CannotCompare,
    CannotDismiss,
    Dismissal,
    Finding,
    Fixer,
    Reconcile,
    dismiss_forgotten,
)
from paidonce.reconcile import Counts as Comparison
from paidonce.service import Service
from paidonce.settings import (
    DatabaseSettings,
    OperatorSettings,
    Settings,
    SettingsError,
    StripeSettings,
)
from paidonce.store import adoption, installation, migrations, users
from paidonce.store.engine import (
    Database,
    DatabaseUnavailable,
    Transaction,
    UnknownCommit,
    open_database,
)
from paidonce.store.installation import Installation
from paidonce.store.migrations import AdoptionRefused, WantedUsers
from paidonce.store.scratch import Scratch
from paidonce.webhooks.backfill import Counts as EventCounts
from paidonce.webhooks.backfill import EventsBackfill
from paidonce.worker import run_worker

START_CALL_SECONDS = 3.0
MOST_ASKED_FOR = 20
FORBIDDEN = 403  # a restricted key may not be allowed to see the account
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Opening = Callable[[Settings, Clock], Awaitable[Context]]
log = get_logger(__name__)


# --- the parts -----------------------------------------------------------------------------------


async def open_context(settings: Settings, clock: Clock) -> Context:
    """Open database and gateway; raises SettingsError when they do not belong together."""
    parts = await open_parts(settings, clock)
    return _context(parts, settings, Background())


async def open_parts(
    settings: OperatorSettings,
    clock: Clock,
    pace: Pace | None = None,
    *,
    is_read_only: bool = False,
) -> Parts:
    """The same for a command, which calls Stripe no faster than `pace`. Read-only: a database that
    was never served is seen as a new one, and stays so."""
    fresh = Installation(uuid4().hex, settings.mode, None)

    async def take(tx: Transaction) -> Installation:
        return await installation.ensure_installation(tx, fresh.namespace, fresh.mode, clock.now())

    try:
        db = await open_database(settings.database_url, settings.database_pool_size)
        if is_read_only:
            home = await db.read(installation.get_installation) or fresh
        else:
            home = await db.transaction("installation", take)
        db.users = await db.read(lambda tx: users.get_users_table(tx, has_schemas=db.has_schemas))
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    if home.mode != settings.mode:
        raise SettingsError(
            f"STRIPE_SECRET_KEY is a {settings.mode} key, but this database holds {home.mode} data."
        )
    return Parts(db, StripeGateway(settings, pace, clock=clock), clock, home)


async def close_context(ctx: Context, seconds: float = LAST_SECONDS) -> None:
    """Work in the background has `seconds` to end: nobody depends on it."""
    await ctx.background.close(seconds)
    await close_parts(ctx)


async def close_parts(parts: Parts) -> None:
    await parts.gateway.close()
    await parts.db.close()


async def check_account(
    ctx: Parts, *, is_read_only: bool = False, needs_answer: bool = False
) -> None:
    """The database belongs to one Stripe account. Without an answer of Stripe it is not checked,
    unless the caller can do nothing without one. Raises SettingsError."""
    account_id = await ctx.gateway.retrieve_account_id(START_CALL_SECONDS)
    if isinstance(account_id, Failure):
        if needs_answer and account_id.http_status != FORBIDDEN:
            raise no_answer(account_id)
        log.warning("account.not_checked", reason=account_id.reason.value)
        return
    recorded = ctx.installation.stripe_account_id
    if recorded not in (None, account_id):
        raise SettingsError(
            "STRIPE_SECRET_KEY is of another Stripe account than the one this database belongs to."
        )
    if recorded is None:
        known = await ctx.db.read(lambda tx: adoption.list_some_customers(tx, MOST_ASKED_FOR))
        await _check_customers(ctx.gateway, known)
    if recorded is None and not is_read_only:
        await ctx.db.transaction("account", lambda tx: installation.save_account(tx, account_id))


def no_answer(failure: Failure) -> SettingsError:
    """Why a command cannot begin: the key where Stripe says so, else whoever is asked."""
    if failure.http_status is None:
        return SettingsError(
            "Stripe does not answer: the connection failed. Look at STRIPE_API_BASE, where it is"
            " set."
        )
    name = "STRIPE_SECRET_KEY: " if failure.http_status in (401, FORBIDDEN) else ""
    return SettingsError(f"{name}Stripe does not answer: {failure.message.rstrip('.')}.")


async def preflight(settings: Settings) -> None:
    """Everything that can stop a start, before anything listens. Raises SettingsError."""
    await ensure_schema(settings)
    ctx = await open_context(settings, SystemClock())
    try:
        await check_account(ctx)
    finally:
        await close_context(ctx)


async def ensure_schema(settings: OperatorSettings) -> None:
    """A SQLite file is upgraded by whoever opens it; PostgreSQL has to be by an operator."""
    if settings.database_url.startswith("sqlite"):
        await upgrade_database(settings, settings)
    else:
        await check_schema(settings)


async def upgrade_database(settings: DatabaseSettings, stripe: StripeSettings | None) -> str:
    """Our schema to its newest version, and the host's users table adopted where there is one.

    With Stripe's settings at hand, customers that the host's table holds already are checked
    first: ids of the other mode or another account are refused. Raises SettingsError; then the
    host's table is as it was. Returns what was done, in a sentence.
    """
    wanted = _wanted_users(settings)
    with _as_settings_error():
        planned = await asyncio.to_thread(migrations.plan, settings.database_url, wanted)
        if planned is not None and planned.customers and stripe is not None:
            gateway = StripeGateway(stripe)
            try:
                await _check_customers(gateway, planned.customers)
            finally:
                await gateway.close()
        await asyncio.to_thread(migrations.upgrade, settings.database_url, wanted)
        current = await asyncio.to_thread(migrations.current, settings.database_url)
    version = f"The schema is at version {current}."
    if current != migrations.head():
        version += f" A newer program made it; this one, at {migrations.head()}, can work with it."
    if planned is None:
        return f"{version} Users are paidonce's own."
    host = planned.host
    return f"{version} Users are those of the table {host.full_name} ({host.id_column})."


async def check_schema(settings: DatabaseSettings) -> None:
    wanted = _wanted_users(settings)
    with _as_settings_error():
        if not await asyncio.to_thread(migrations.is_ready, settings.database_url, wanted):
            raise SettingsError(
                "DATABASE_URL: the schema is not up to date; run `paidonce db upgrade` first."
            )


def _wanted_users(settings: DatabaseSettings) -> WantedUsers:
    return WantedUsers(settings.users_table, settings.users_id_column, settings.users_email_column)


@contextlib.contextmanager
def _as_settings_error() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    except AdoptionRefused as error:
        raise SettingsError(str(error)) from error


async def _check_customers(gateway: StripeGateway, customer_ids: list[str]) -> None:
    """A customer that Stripe does not know under this key is of the other mode or another account
    (a deleted one it still knows). Without an answer of Stripe nothing more is checked."""
    for customer_id in customer_ids:
        answer = await gateway.retrieve_customer(customer_id, START_CALL_SECONDS)
        if not isinstance(answer, Failure):
            continue
        if answer.http_status not in (400, 404):
            log.warning("customers.not_checked", reason=answer.reason.value)
            return
        raise SettingsError(
            f"STRIPE_SECRET_KEY: the users table holds the customer {customer_id}, which Stripe"
            " does not know under this key: it is of the other mode or of another account."
        )


# --- commands ------------------------------------------------------------------------------------


async def backfill_customers(
    settings: OperatorSettings,
    *,
    per_second: float,
    is_dry_run: bool,
    report: Callable[[Counts], None],
    stop: asyncio.Event,
) -> Counts:
    """A Stripe customer for every user. Raises SettingsError, StripeStaysAway."""
    pace = Pace(per_second, time.monotonic)
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=is_dry_run)
    try:
        await check_account(parts, is_read_only=is_dry_run, needs_answer=True)
        backfill = Backfill(
            parts, per_second=per_second, report=report, stop=stop, is_dry_run=is_dry_run
        )
        return await backfill.run()
    finally:
        await close_parts(parts)


async def use_database(
    settings: DatabaseSettings, work: Callable[[Database, Clock], Awaitable[Result]]
) -> Result:
    """Work on what needs nothing of Stripe. Raises SettingsError, DatabaseUnavailable."""
    await check_schema(settings)
    db = await open_database(settings.database_url)
    try:
        return await work(db, SystemClock())
    finally:
        await db.close()


async def backfill_events(
    settings: OperatorSettings,
    *,
    since: datetime,
    report: Callable[[EventCounts], None],
    stop: asyncio.Event,
) -> EventCounts:
    """Stripe's events since then into the inbox. Raises SettingsError, StripeStaysAway."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock())
    try:
        await check_account(parts, needs_answer=True)
        return await EventsBackfill(parts, since=since, report=report, stop=stop).run()
    finally:
        await close_parts(parts)


@dataclass(frozen=True, slots=True)
class Compare:
    """What a comparison is about: a window of Stripe's times, or one order."""

    window: Window
    order_id: str | None
    per_second: float


async def dismiss_intent(settings: OperatorSettings, intent_id: str, *, is_sure: bool) -> Dismissal:
    """A forgotten intent refuses its order no longer. Raises SettingsError, CannotDismiss."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), is_read_only=not is_sure)
    try:
        await check_account(parts, is_read_only=not is_sure, needs_answer=True)
        return await dismiss_forgotten(parts, intent_id, is_sure=is_sure)
    except (DatabaseUnavailable, UnknownCommit) as error:
        raise CannotDismiss(f"the database went away ({error}); run it again") from error
    finally:
        await close_parts(parts)


async def compare_books(
    settings: OperatorSettings,
    what: Compare,
    *,
    fixing: Settings | None,
    show: Callable[[Finding], None],
    stop: asyncio.Event,
) -> tuple[Comparison, str | None]:
    """Stripe against our books: the figures, and why it is not all. Raises SettingsError.

    `fixing`: what is found is fixed on the service's own road, with the service's own settings.
    """
    pace = Pace(what.per_second, time.monotonic)
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=fixing is None)
    background, scratch = Background(), Scratch()
    try:
        await check_account(parts, is_read_only=fixing is None, needs_answer=True)
        run = Reconcile(
            parts,
            scratch,
            window=what.window,
            show=show,
            stop=stop,
            fixer=None if fixing is None else Fixer(_context(parts, fixing, background)),
        )
        try:
            await (run.run_order(what.order_id) if what.order_id else run.run())
        except CannotCompare as error:
            return run.counts, f"{error}."
        except (DatabaseUnavailable, UnknownCommit) as error:
            return run.counts, f"the database went away ({error}); run it again."
        return run.counts, None
    finally:
        scratch.close()
        await background.close(DRAIN_SECONDS)
        await close_parts(parts)


def _context(parts: Parts, settings: Settings, background: Background) -> Context:
    gate = Gate(parts.clock.now())
    return Context(
        parts.db, parts.gateway, parts.clock, parts.installation, settings, background, gate
    )


# --- the app and the worker ----------------------------------------------------------------------


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
    watch = worker = None
    try:
        await outgoing.register(ctx)
        ending.renew()
        service.open(ctx)
        say_start("service", ctx, worker=has_worker)
        await restore.at_start(ctx)
        watch = asyncio.create_task(restore.watch(ctx, ending.begun))
        if has_worker:
            worker = asyncio.create_task(run_worker(ctx, service.wake, ending.begun))
        yield
    finally:
        ending.begin()
        await finish(worker, ending)
        await finish(watch, ending)
        service.close(ctx)
        await close_context(ctx, ending.left)
        log.info("service.ended")


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


async def finish(worker: "asyncio.Task[Any] | None", drain: Drain) -> None:
    """Give the present round its time; what it cannot finish another process takes over."""
    if worker is None:
        return
    _done, late = await asyncio.wait({worker}, timeout=drain.left)
    for task in late:
        log.warning("worker.cut")
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
