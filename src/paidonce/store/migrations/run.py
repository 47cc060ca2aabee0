"""Run the migrations on a database URL. Several processes may do so at once: the first one works,
the others wait for its lock and find nothing left to do."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from paidonce.store.engine import DatabaseUnavailable, sqlite_path
from paidonce.store.migrations import adoption, host_table
from paidonce.store.migrations.adoption import Adoption, WantedUsers
from paidonce.store.migrations.host_table import HostTable
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX, TABLES, connect

Result = TypeVar("Result")
VERSION_TABLE = "alembic_version"
LOCK_PAUSE_SECONDS = 0.2
DEFAULT_USERS = WantedUsers()
_LOCK_NUMBER = 7_041_776_015  # any number that nobody else uses for pg_advisory_xact_lock


# Its steps are no news to an operator, and a refused start says one sentence and nothing else.
logging.getLogger("alembic").setLevel(logging.WARNING)


def upgrade(database_url: str, wanted: WantedUsers = DEFAULT_USERS) -> None:
    """Bring our schema to the newest version and adopt the host's users table where there is one.

    Raises AdoptionRefused, when nothing was changed, and DatabaseUnavailable. What an interrupted
    upgrade left is gone on with by the next.
    """
    if database_url.startswith("sqlite:///"):
        _with_connection(database_url, lambda connection: _upgrade_sqlite(connection, wanted))
        return
    _with_connection(database_url, lambda connection: _upgrade_own(connection, wanted))
    _with_connection(database_url, _adopt_recorded, is_autocommit=True)


def plan(database_url: str, wanted: WantedUsers) -> tuple[HostTable, list[str]] | None:
    """What an upgrade would adopt, and some of the customers recorded there; None: nothing.
    Raises as `upgrade` does, and changes nothing."""

    def look(connection: sa.Connection) -> tuple[HostTable, list[str]] | None:
        host = adoption.plan(connection, wanted)
        return (host, adoption.sample_customers(connection, host)) if host else None

    return _with_connection(database_url, look)


def is_ready(database_url: str, wanted: WantedUsers = DEFAULT_USERS) -> bool:
    """Whether an upgrade has nothing left to do. Raises as `plan` does."""
    if current(database_url) != head():
        return False
    is_adopting = plan(database_url, wanted) is not None
    state = _with_connection(database_url, adoption.state_of)
    return state is (Adoption.COMPLETE if is_adopting else Adoption.OWN)


def downgrade(database_url: str) -> None:
    """Take everything back: the host's table is as it was, and our tables are gone."""
    is_sqlite = database_url.startswith("sqlite:///")
    _with_connection(database_url, _give_back, is_autocommit=not is_sqlite)
    _with_connection(database_url, _drop_own)


def current(database_url: str) -> str | None:
    """The version the schema has, or None before the first migration."""

    def run(connection: sa.Connection) -> str | None:
        context = MigrationContext.configure(connection, opts=version_table(connection))
        return context.get_current_revision()

    return _with_connection(database_url, run)


def head() -> str | None:
    """The newest version this program knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def version_table(connection: sa.Connection) -> dict[str, Any]:
    """Where Alembic keeps our version; the host may use Alembic as well."""
    if connection.dialect.name == "postgresql":
        return {"version_table_schema": SCHEMA}
    return {"version_table": f"{PREFIX}{VERSION_TABLE}"}


def _upgrade_sqlite(connection: sa.Connection, wanted: WantedUsers) -> None:
    _take_over_plain_names(connection)
    host = adoption.plan(connection, wanted)
    _alembic(connection, "upgrade", "head")
    if host is not None:
        host_table.record(connection, host)
        host_table.adopt(connection, host)


def _upgrade_own(connection: sa.Connection, wanted: WantedUsers) -> None:
    """Our own schema, and in the same transaction the decision what becomes of the host's table."""
    connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})"))
    host = adoption.plan(connection, wanted)
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    _alembic(connection, "upgrade", "head")
    if host is not None:
        host_table.record(connection, host)


def _adopt_recorded(connection: sa.Connection) -> None:
    """One process at a time. The lock is polled: a statement that waits for a lock would keep a
    snapshot, and an index that is built concurrently waits for all of those."""
    take = sa.text(f"SELECT pg_try_advisory_lock({_LOCK_NUMBER})")
    while not connection.execute(take).scalar():
        time.sleep(LOCK_PAUSE_SECONDS)
    try:
        host = host_table.read_recorded(connection)
        if host is not None and adoption.state_of(connection) is Adoption.INCOMPLETE:
            host_table.adopt(connection, host)
    finally:
        connection.execute(sa.text(f"SELECT pg_advisory_unlock({_LOCK_NUMBER})"))


def _give_back(connection: sa.Connection) -> None:
    host = host_table.read_recorded(connection)
    if host is not None:
        host_table.give_back(connection, host)


def _drop_own(connection: sa.Connection) -> None:
    _alembic(connection, "downgrade", "base")
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {SCHEMA}.{VERSION_TABLE}"))
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {SCHEMA}"))
    else:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {PREFIX}{VERSION_TABLE}"))


def _take_over_plain_names(connection: sa.Connection) -> None:
    """Files made before our tables had a prefix (never released): they get it."""
    names = set(sa.inspect(connection).get_table_names())
    if not {VERSION_TABLE, "installation", "payment_attempts"} <= names:
        return
    if connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar() != "0001":
        return
    for name in (VERSION_TABLE, *(table for table in TABLES if table in names)):
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {PREFIX}{name}")


def _alembic(connection: sa.Connection, direction: str, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _with_connection(
    database_url: str, run: Callable[[sa.Connection], Result], *, is_autocommit: bool = False
) -> Result:
    try:
        if database_url.startswith("sqlite:///"):
            return _on_sqlite(sqlite_path(database_url), run)
        return _on_postgresql(database_url, run, is_autocommit=is_autocommit)
    except (sa.exc.SQLAlchemyError, asyncpg.PostgresError, sqlite3.Error, OSError) as error:
        cause = getattr(error, "orig", None) or error
        raise DatabaseUnavailable(str(cause).splitlines()[0]) from error


def _on_sqlite(path: str, run: Callable[[sa.Connection], Result]) -> Result:
    engine = sa.create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)

    @sa.event.listens_for(engine, "begin")
    def _take_the_write_lock(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        return run(connection)


def _on_postgresql(
    url: str, run: Callable[[sa.Connection], Result], *, is_autocommit: bool
) -> Result:
    """In a thread with a loop of its own, since the driver is async and callers may have a loop."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    async def work() -> None:
        engine = create_async_engine(
            sa.make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
        )
        try:
            if is_autocommit:
                async with engine.connect() as plain:
                    connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
                    outcome.append(await connection.run_sync(run))
                return
            async with engine.begin() as connection:
                outcome.append(await connection.run_sync(run))
        finally:
            await engine.dispose()

    def in_thread() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failure.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
