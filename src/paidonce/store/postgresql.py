"""PostgreSQL through asyncpg, in a schema of our own, so that the host's tables stay apart.

Read committed; every change to an order locks the order's row first. A statement in its own
transaction costs one round trip, which is why the pay path has a one-statement form.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import asyncpg

from paidonce.observability import step
from paidonce.store.engine import DatabaseUnavailable, Row, UnknownCommit, Work, words_of
from paidonce.store.users_table import OWN, UsersTable

Result = TypeVar("Result")
SCHEMA = "paidonce"
STATEMENT_TIMEOUT_SECONDS = 5.0
ACQUIRE_TIMEOUT_SECONDS = 5.0
MAX_RESTARTS = 5

_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    OSError,
    TimeoutError,
)
_RESTARTABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class PostgresqlTransaction:
    """A connection inside (or, for one statement, without) an explicit transaction."""

    def __init__(self, connection: Any, users: UsersTable) -> None:
        self._connection = connection
        self.users = users

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        rows: list[Row] = await self._connection.fetch(sql, *args)
        return rows

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql, *args)
        return row

    async def execute(self, sql: str, *args: Any) -> int:
        status: str = await self._connection.execute(sql, *args)
        return int(status.rsplit(" ", 1)[-1]) if status[-1].isdigit() else 0


class _Server:
    """The server behind the connections, known by its start."""

    def __init__(self) -> None:
        self.changes = 0
        self._started_at: object = None

    async def look(self, connection: Any) -> None:
        """At every new connection, before its first use."""
        started_at = await connection.fetchval("SELECT pg_postmaster_start_time()")
        if self._started_at not in (None, started_at):
            self.changes += 1
        self._started_at = started_at


class PostgresqlDatabase:
    """See `engine.Database`."""

    has_schemas = True

    def __init__(self, pool: Any, server: _Server) -> None:
        self._pool = pool
        self._server = server
        self.users = OWN

    @property
    def server_changes(self) -> int:
        return self._server.changes

    @classmethod
    async def open(cls, url: str, pool_size: int) -> "PostgresqlDatabase":
        server = _Server()
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=pool_size,
                command_timeout=STATEMENT_TIMEOUT_SECONDS,
                server_settings={"search_path": SCHEMA, "application_name": "paidonce"},
                reset=_keep_as_it_is,
                init=server.look,
            )
        except (asyncpg.PostgresError, *_CONNECTION_LOST) as error:
            raise DatabaseUnavailable(words_of(error)) from error
        except ValueError:  # its words may hold the password
            raise DatabaseUnavailable("its address cannot be read") from None
        return cls(pool, server)

    async def transaction(self, name: str, work: Work[Result]) -> Result:
        async with step(f"commit.{name}"):
            for _ in range(MAX_RESTARTS):
                try:
                    return await self._transaction_once(work)
                except _RESTARTABLE:
                    continue
            raise DatabaseUnavailable("the transaction met others too often")

    async def statement(self, name: str, sql: str, *args: Any) -> Row | None:
        """One statement in its own transaction, in one round trip: its first row, or None when it
        changed nothing or met others."""
        async with step(f"commit.{name}"), self._connected() as connection:
            try:
                row: Row | None = await connection.fetchrow(sql, *args)
            except _RESTARTABLE:
                return None
            except _CONNECTION_LOST as error:
                _give_up(connection)
                raise UnknownCommit(words_of(error)) from error
            return row

    async def read(self, work: Work[Result]) -> Result:
        try:
            async with self._connected() as connection:
                return await work(PostgresqlTransaction(connection, self.users))
        except _CONNECTION_LOST as error:
            raise DatabaseUnavailable(words_of(error)) from error

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), timeout=5)
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection of the pool. Whatever stands in the way of a new one (the server is gone,
        the database renamed or closed to us), nothing was begun."""
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        except (asyncpg.PostgresError, *_CONNECTION_LOST) as error:
            raise DatabaseUnavailable(words_of(error)) from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    async def _transaction_once(self, work: Work[Result]) -> Result:
        is_committing = False
        try:
            async with self._connected() as connection:
                try:
                    transaction = connection.transaction()
                    await transaction.start()
                    try:
                        result = await work(PostgresqlTransaction(connection, self.users))
                    except BaseException:
                        if not connection.is_closed():
                            await transaction.rollback()
                        raise
                    is_committing = True
                    await transaction.commit()
                    return result
                except _CONNECTION_LOST:
                    _give_up(connection)
                    raise
        except _CONNECTION_LOST as error:
            if is_committing:
                raise UnknownCommit(words_of(error)) from error
            raise DatabaseUnavailable(words_of(error)) from error


def _give_up(connection: Any) -> None:
    """A half-dead session is not handed out again."""
    with contextlib.suppress(asyncpg.InterfaceError):  # the pool has noticed by itself
        connection.terminate()


async def _keep_as_it_is(_connection: Any) -> None:
    """No state of a session is ever changed, so a released connection needs no reset round trip."""
