"""Wires the parts together; the only place that knows all of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from fastapi import FastAPI

from paidonce.api import build_api
from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Failure, Reason
from paidonce.gateway import StripeGateway
from paidonce.observability import get_logger
from paidonce.payments.background import Background
from paidonce.payments.context import Context
from paidonce.service import Service
from paidonce.settings import DatabaseSettings, Settings, SettingsError, StripeSettings
from paidonce.store import installation, migrations, users
from paidonce.store.engine import DatabaseUnavailable, open_database
from paidonce.store.migrations import AdoptionRefused, WantedUsers
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
        db.users = await db.read(lambda tx: users.get_users_table(tx, has_schemas=db.has_schemas))
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
    if settings.database_url.startswith("sqlite"):
        await upgrade_database(settings, settings)
    else:
        await _check_schema(settings)
    ctx = await open_context(settings, SystemClock())
    try:
        await check_account(ctx)
    finally:
        await close_context(ctx)


async def upgrade_database(settings: DatabaseSettings, stripe: StripeSettings | None) -> str:
    """Our schema to its newest version, and the host's users table adopted where there is one.

    With Stripe's settings at hand, customers that the host's table holds already are checked
    first: ids of the other mode or another account are refused. Raises SettingsError; then the
    host's table is as it was. Returns what was done, in a sentence.
    """
    wanted = WantedUsers(
        settings.users_table, settings.users_id_column, settings.users_email_column
    )
    with _as_settings_error():
        planned = await asyncio.to_thread(migrations.plan, settings.database_url, wanted)
        if planned is not None and stripe is not None:
            await _check_customers(stripe, planned[1])
        await asyncio.to_thread(migrations.upgrade, settings.database_url, wanted)
    version = f"The schema is at version {migrations.head()}."
    if planned is None:
        return f"{version} Users are paidonce's own."
    host = planned[0]
    return f"{version} Users are those of the table {host.table} ({host.id_column})."


async def _check_schema(settings: Settings) -> None:
    """PostgreSQL is upgraded by an operator, and checked here."""
    wanted = WantedUsers(
        settings.users_table, settings.users_id_column, settings.users_email_column
    )
    with _as_settings_error():
        if not await asyncio.to_thread(migrations.is_ready, settings.database_url):
            raise SettingsError(
                "DATABASE_URL: the schema is not up to date; run `paidonce db upgrade` first."
            )
        planned = await asyncio.to_thread(migrations.plan, settings.database_url, wanted)
        if planned is not None:
            await _check_customers(settings, planned[1])


@contextlib.contextmanager
def _as_settings_error() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    except AdoptionRefused as error:
        raise SettingsError(str(error)) from error


async def _check_customers(settings: StripeSettings, customer_ids: list[str]) -> None:
    """A customer that Stripe does not know under this key is of the other mode or another account
    (a deleted one it still knows). Without an answer of Stripe nothing is checked."""
    gateway = StripeGateway(settings)
    try:
        ends_at = time.monotonic() + START_CALL_SECONDS
        for customer_id in customer_ids:
            left = ends_at - time.monotonic()
            answer = await gateway.retrieve_customer(customer_id, left) if left > 0 else None
            if isinstance(answer, Failure) and answer.reason is not Reason.CUSTOMER_GONE:
                log.warning("customers.not_checked", reason=answer.reason.value)
                return
            if isinstance(answer, Failure):
                raise SettingsError(
                    f"STRIPE_SECRET_KEY: the users table holds the customer {customer_id}, which"
                    " Stripe does not know under this key: it is of the other mode or of another"
                    " account. Nothing was changed."
                )
    finally:
        await gateway.close()


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
