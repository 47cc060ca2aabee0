"""Run the migrations on a database URL. Several processes may do so at once: the first one works,
the others wait for its lock and find nothing left to do."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from paidonce.store.engine import DatabaseUnavailable, sqlite_path
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import connect

Result = TypeVar("Result")
_LOCK_NUMBER = 7_041_776_015  # any number that nobody else uses for pg_advisory_xact_lock


# Its steps are no news to an operator, and a refused start says one sentence and nothing else.
logging.getLogger("alembic").setLevel(logging.WARNING)


def upgrade(database_url: str) -> None:
    """Bring the schema to the newest version, in one transaction."""

    def run(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER})"))
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    _with_connection(database_url, run)


def current(database_url: str) -> str | None:
    """The version the schema has, or None before the first migration."""

    def run(connection: sa.Connection) -> str | None:
        schema = SCHEMA if connection.dialect.name == "postgresql" else None
        context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
        return context.get_current_revision()

    return _with_connection(database_url, run)


def head() -> str | None:
    """The newest version this program knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _with_connection(database_url: str, run: Callable[[sa.Connection], Result]) -> Result:
    try:
        if database_url.startswith("sqlite:///"):
            return _on_sqlite(sqlite_path(database_url), run)
        return _on_postgresql(database_url, run)
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


def _on_postgresql(url: str, run: Callable[[sa.Connection], Result]) -> Result:
    """In a thread with a loop of its own, since the driver is async and callers may have a loop."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    async def work() -> None:
        engine = create_async_engine(
            sa.make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
        )
        try:
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
