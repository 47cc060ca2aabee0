"""SQLite: one writer thread, one reader thread, WAL, a full sync with every commit.

Several processes may share a file: a transaction begins with BEGIN IMMEDIATE, which waits for the
other writers. Rows come back with times parsed (columns named `…_at`, `…_until`
or `…_before`).

SQLite has no schemas, so in a file that the host shares with us our tables are called
`paidonce_orders` where PostgreSQL has `paidonce.orders`. SQL is written with the plain names.
"""

import asyncio
import re
import sqlite3
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from paidonce.observability import step
from paidonce.store.engine import DatabaseUnavailable, Row, UnknownCommit, Work
from paidonce.store.users_table import OWN, UsersTable

Result = TypeVar("Result")
BUSY_TIMEOUT_SECONDS = 5.0
QUEUE_SECONDS = 5.0
"""Behind others for the one connection: as long as PostgreSQL's pool lets one wait."""
PREFIX = "paidonce_"
TABLES = (
    "answers",
    "captures",
    "comparisons",
    "customer_adoption",
    "declined_saves",
    "disputes",
    "erasures",
    "event_deliveries",
    "event_endpoints",
    "forgotten_intents",
    "fraud_warnings",
    "host_users",
    "installation",
    "order_claims",
    "orders",
    "outbox",
    "payment_attempts",
    "payment_events",
    "payment_methods",
    "payments",
    "products",
    "refunds",
    "setups",
    "stripe_events",
    "users",
)
_NAMES = "|".join(TABLES)
_TABLE = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)\s+({_NAMES})\b")
_ROW_LOCK = re.compile(r"\bFOR (NO KEY UPDATE|KEY SHARE|UPDATE( SKIP LOCKED)?)\b")
_QUALIFIER = re.compile(rf"(?<![\w.\"'])({_NAMES})\.(?=\w)")


class SqliteTransaction:
    """A cursor whose calls never suspend, so that a transaction runs in one go."""

    def __init__(self, connection: sqlite3.Connection, users: UsersTable) -> None:
        self._connection = connection
        self.users = users

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        cursor = self._run(sql, args)
        names = [column[0] for column in cursor.description or ()]
        return [_row(names, values) for values in cursor.fetchall()]

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def execute(self, sql: str, *args: Any) -> int:
        return self._run(sql, args).rowcount

    def _run(self, sql: str, args: tuple[Any, ...]) -> sqlite3.Cursor:
        parameters = {str(n): _to_sqlite(value) for n, value in enumerate(args, start=1)}
        return self._connection.execute(_dialect(sql), parameters)


class SqliteDatabase:
    """See `engine.Database`."""

    has_schemas = False
    server_changes = 0

    def __init__(self, path: str) -> None:
        self.users = OWN
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="sqlite-reader")
        self._write_connection = connect(path)
        self._read_connection = connect(path)
        self._read_connection.execute("PRAGMA query_only = ON")

    async def transaction(self, name: str, work: Work[Result]) -> Result:
        async with step(f"commit.{name}"):
            return await self._submit(self._writer, self._write, work)

    async def read(self, work: Work[Result]) -> Result:
        return await self._submit(self._reader, self._read, work)

    async def close(self) -> None:
        for executor, connection in (
            (self._writer, self._write_connection),
            (self._reader, self._read_connection),
        ):
            await asyncio.get_running_loop().run_in_executor(executor, connection.close)
            executor.shutdown()

    async def _submit(self, executor: ThreadPoolExecutor, run: Any, work: Work[Result]) -> Result:
        queued_at = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(
            executor, copy_context().run, self._in_turn, queued_at, run, work
        )
        result: Result = await asyncio.shield(future)
        return result

    def _in_turn(self, queued_at: float, run: Any, work: Work[Result]) -> Result:
        """In the connection's thread. Whoever waited too long gives up unseen, so that those
        behind him do not wait for his turn as well."""
        if time.monotonic() - queued_at > QUEUE_SECONDS:
            raise DatabaseUnavailable("too many wait for the database")
        result: Result = run(work)
        return result

    def _write(self, work: Work[Result]) -> Result:
        connection = self._write_connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DatabaseUnavailable(str(error)) from error
        try:
            result: Result = _drive(work(SqliteTransaction(connection, self.users)))
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise DatabaseUnavailable(str(error)) from error
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise UnknownCommit(str(error)) from error
        return result

    def _read(self, work: Work[Result]) -> Result:
        try:
            result: Result = _drive(work(SqliteTransaction(self._read_connection, self.users)))
        except sqlite3.OperationalError as error:
            raise DatabaseUnavailable(str(error)) from error
        return result


def connect(path: str, *, is_wal: bool = True) -> sqlite3.Connection:
    """A connection as the service uses it; for migrations in the journal mode that the file has."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )
    if is_wal:
        _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """The switch of a fresh file does not wait for others as other statements do."""
    for _ in range(100):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            time.sleep(0.05)
    raise sqlite3.OperationalError("the database is locked")


def _drive(work: Any) -> Any:
    """Run a transaction to its end without an event loop; it may await nothing but the database."""
    coroutine: Coroutine[Any, Any, Any] = work
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    coroutine.close()
    raise RuntimeError("a transaction may await the database and nothing else")


@lru_cache(maxsize=512)
def _dialect(sql: str) -> str:
    """BEGIN IMMEDIATE has locked everything already, so row locks have no form here; our tables
    carry the prefix that keeps them apart from the host's."""
    sql = _ROW_LOCK.sub("", sql)
    return _QUALIFIER.sub(rf"{PREFIX}\1.", _TABLE.sub(rf"\1 {PREFIX}\2", sql))


def _to_sqlite(value: Any) -> Any:
    """Times as text of one width, so that they compare as they stand."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def _row(names: list[str], values: tuple[Any, ...]) -> Row:
    row = dict(zip(names, values, strict=True))
    for name, value in row.items():
        if value is not None and name.endswith(("_at", "_until", "_before")):
            row[name] = datetime.fromisoformat(value)
        elif value is not None and name.startswith(("is_", "has_")):
            row[name] = bool(value)
    return row
