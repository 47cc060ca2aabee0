"""What a start needs: the schema as it should be, and Stripe's account that it belongs to."""

import asyncio
import contextlib
from collections.abc import Iterator

from paidonce.domain.clock import SystemClock
from paidonce.gateway import StripeGateway
from paidonce.main.parts import (
    check_account,
    check_customers,
    close_context,
    database_as_setting,
    open_context,
)
from paidonce.settings import (
    DatabaseSettings,
    OperatorSettings,
    Settings,
    SettingsError,
    StripeSettings,
)
from paidonce.store import migrations
from paidonce.store.migrations import AdoptionRefused, WantedUsers


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
                await check_customers(gateway, planned.customers)
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
        with database_as_setting():
            yield
    except AdoptionRefused as error:
        raise SettingsError(str(error)) from error
