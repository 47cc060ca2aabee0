"""Run the migrations on a database URL. Several processes may do so at once: the first one works,
the others wait for its lock and find nothing left to do."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from paidonce.observability import step
from paidonce.store.engine import DatabaseUnavailable, sqlite_path, words_of
from paidonce.store.migrations import adoption, host_table, revisions
from paidonce.store.migrations.adoption import Adoption, Plan, WantedUsers
from paidonce.store.migrations.patience import give_way, patiently
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX, connect

Result = TypeVar("Result")
VERSION_TABLE = "alembic_version"
LOCK_PAUSE_SECONDS = 0.2
CONNECT_SECONDS = 10.0
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

    def change(work: Callable[[sa.Connection], None]) -> None:
        patiently(lambda: _in_connection(database_url, partial(_under_traffic, work)))

    def run(connection: sa.Connection) -> None:
        change(partial(_prepare, wanted=wanted))
        is_new = _current(connection) is None
        for script in _pending(connection):
            to_script = partial(_alembic, direction="upgrade", revision=script.revision)
            if revisions.is_concurrent(script) and not is_new:
                to_script(connection)
            else:
                change(to_script)
        change(partial(_record, wanted=wanted))
        _adopt_recorded(connection)

    _with_connection(database_url, _alone(run), is_autocommit=True)


def plan(database_url: str, wanted: WantedUsers) -> Plan | None:
    """What an upgrade would adopt; None: nothing. Raises as `upgrade` does, and changes nothing."""
    return _with_connection(database_url, lambda connection: adoption.plan(connection, wanted))


def is_ready(database_url: str, wanted: WantedUsers = DEFAULT_USERS) -> bool:
    """Whether an upgrade has nothing left to do, or a newer program has done it and this one can
    work with what it left. Raises as `plan` does."""
    if _with_connection(database_url, _pending):
        return False
    is_adopting = plan(database_url, wanted) is not None
    state = _with_connection(database_url, adoption.state_of)
    return state is (Adoption.COMPLETE if is_adopting else Adoption.OWN)


def downgrade(database_url: str) -> None:
    """Take everything back: the host's table is as it was, and our tables are gone. The record of
    the adoption goes with them, at the very end, so a downgrade that was killed can be run again.
    """
    if database_url.startswith("sqlite:///"):
        _with_connection(database_url, _downgrade_sqlite)
        return

    def run(connection: sa.Connection) -> None:
        _give_back(connection)
        drop = partial(_under_traffic, _drop_own)
        patiently(lambda: _in_connection(database_url, drop))

    _with_connection(database_url, _alone(run), is_autocommit=True)


def current(database_url: str) -> str | None:
    """The version the schema has, or None before the first migration."""
    return _with_connection(database_url, _current)


def head() -> str | None:
    """The newest version this program knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def version_table(connection: sa.Connection) -> dict[str, Any]:
    """Where Alembic keeps our version; the host may use Alembic as well."""
    if connection.dialect.name == "postgresql":
        return {"version_table_schema": SCHEMA}
    return {"version_table": f"{PREFIX}{VERSION_TABLE}"}


def _pending(connection: sa.Connection) -> list[Script]:
    """The migrations that are left to run; none where a newer program's schema is one to work with.
    Raises DatabaseUnavailable where it is not."""
    scripts = ScriptDirectory.from_config(_config())
    version = _current(connection)
    if revisions.is_known(scripts, version):
        return revisions.list_pending(scripts, version)
    if revisions.can_read(connection, scripts):
        return []
    raise DatabaseUnavailable(
        f"its schema is at version {version}, which this program, at {head()}, cannot work with"
    )


def _current(connection: sa.Connection) -> str | None:
    context = MigrationContext.configure(connection, opts=version_table(connection))
    return context.get_current_revision()


def _upgrade_sqlite(connection: sa.Connection, wanted: WantedUsers) -> None:
    found = adoption.plan(connection, wanted)
    for script in _pending(connection):
        _alembic(connection, "upgrade", script.revision)
    if found is not None:
        host_table.record(connection, found.host)
        host_table.adopt(connection, found.host)


def _downgrade_sqlite(connection: sa.Connection) -> None:
    _give_back(connection)
    _drop_own(connection)


def _prepare(connection: sa.Connection, wanted: WantedUsers) -> None:
    """Before anything is changed: whether the host's table can be adopted."""
    adoption.plan(connection, wanted)
    connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def _record(connection: sa.Connection, wanted: WantedUsers) -> None:
    """The decision what becomes of the host's table."""
    found = adoption.plan(connection, wanted)
    if found is not None:
        host_table.record(connection, found.host)


def _adopt_recorded(connection: sa.Connection) -> None:
    host = host_table.read_recorded(connection)
    if host is not None and adoption.state_of(connection) is Adoption.INCOMPLETE:
        host_table.adopt(connection, host)


def _give_back(connection: sa.Connection) -> None:
    host = host_table.read_recorded(connection)
    if host is not None:
        host_table.give_back(connection, host)


def _drop_own(connection: sa.Connection) -> None:
    """Every table of ours; nothing where there are none."""
    is_postgresql = connection.dialect.name == "postgresql"
    schema, table = (SCHEMA, VERSION_TABLE) if is_postgresql else (None, PREFIX + VERSION_TABLE)
    if not sa.inspect(connection).has_table(table, schema=schema):
        return
    _alembic(connection, "downgrade", "base")
    connection.execute(sa.text(f"DROP TABLE {schema}.{table}" if schema else f"DROP TABLE {table}"))
    if schema:
        connection.execute(sa.text(f"DROP SCHEMA {schema}"))


def _under_traffic(work: Callable[[sa.Connection], None], connection: sa.Connection) -> None:
    """In a transaction on PostgreSQL: a lock is waited for for a moment only, the work itself may
    take its time, whatever the role's own settings say."""
    give_way(connection)
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    work(connection)


def _alone(run: Callable[[sa.Connection], None]) -> Callable[[sa.Connection], None]:
    """One process at a time. The lock is asked for again and again, on a connection that is in no
    transaction: whoever waits inside a statement or a transaction keeps a snapshot, an index that
    is built concurrently waits for all of those, and the two would wait for each other."""

    def alone(connection: sa.Connection) -> None:
        take = f"SELECT pg_try_advisory_lock({_LOCK_NUMBER})"
        while not connection.exec_driver_sql(take).scalar():
            time.sleep(LOCK_PAUSE_SECONDS)
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("SET lock_timeout = 0")
        run(connection)  # the lock ends with the connection

    return alone


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
    """`run` in a transaction that is committed, or statement by statement. Raises
    DatabaseUnavailable."""
    try:
        return _in_connection(database_url, run, is_autocommit=is_autocommit)
    except CommandError as error:  # a version that this program does not know, on the way down
        raise DatabaseUnavailable(f"its schema is of another version: {error}") from error
    except (
        sa.exc.SQLAlchemyError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        sqlite3.Error,
        OSError,
        TimeoutError,
    ) as error:
        raise DatabaseUnavailable(words_of(getattr(error, "orig", None) or error)) from error
    except ValueError:  # of the driver reading the address: its words may hold the password
        raise DatabaseUnavailable("its address cannot be read") from None


def _in_connection(
    database_url: str, run: Callable[[sa.Connection], Result], *, is_autocommit: bool = False
) -> Result:
    """The same; raises whatever the driver does."""
    with step("commit.schema"):
        if database_url.startswith("sqlite:///"):
            return _on_sqlite(sqlite_path(database_url), run)
        return _on_postgresql(database_url, run, is_autocommit=is_autocommit)


def _on_sqlite(path: str, run: Callable[[sa.Connection], Result]) -> Result:
    """As the file is: a host's file keeps its journal mode until the service opens it."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connect(path, is_wal=False), poolclass=NullPool
    )

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
            "postgresql+asyncpg://",
            async_creator=lambda: asyncpg.connect(url, timeout=CONNECT_SECONDS),
            poolclass=NullPool,
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
