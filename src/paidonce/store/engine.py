"""One door to the database, the same on SQLite and PostgreSQL.

A transaction is an async function of a `Transaction`. It may await the database and nothing else:
on SQLite it runs whole inside the writer thread, so no connection is ever held while Stripe is
called. SQL is written once, with `$1` placeholders, wherever both databases understand it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from paidonce.store.users_table import UsersTable

POOL_SIZE = 10
Result = TypeVar("Result")
Row = Mapping[str, Any]


class DatabaseUnavailable(Exception):
    """The database did not take part: nothing was committed."""


class UnknownCommit(Exception):
    """The connection failed around the commit: it may or may not have been made."""


def words_of(error: BaseException) -> str:
    """One line that says something: a timeout has no words of its own."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Transaction(Protocol):
    """What a transaction can do. Parameters are positional, `$1` first."""

    @property
    def users(self) -> UsersTable:
        """Where customers are recorded."""

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """Every row."""

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        """The first row, or None."""

    async def execute(self, sql: str, *args: Any) -> int:
        """The number of rows changed."""


Work = Callable[[Transaction], Awaitable[Result]]


class Database(Protocol):
    """An open database. Times are aware UTC datetimes on both sides; JSON columns are text.

    `users` is our own table until whoever opens the database says otherwise.
    """

    users: UsersTable
    has_schemas: bool

    @property
    def server_changes(self) -> int:
        """How often another server, or a restarted one, has stood at the database's address."""
        ...

    async def transaction(self, name: str, work: Work[Result]) -> Result:
        """Run `work` in one transaction and commit; `name` is its step in traces and tests.

        Raises DatabaseUnavailable when nothing was committed, UnknownCommit when nobody knows.
        """

    async def read(self, work: Work[Result]) -> Result:
        """Run reads that decide nothing: a list, a view."""

    async def close(self) -> None:
        """Finish what runs and close."""


async def open_database(url: str, pool_size: int = POOL_SIZE) -> Database:
    """Open `sqlite:///file` or `postgresql://…`. The schema must be migrated already.
    `pool_size`: connections to PostgreSQL, at most."""
    if url.startswith("sqlite:///"):
        from paidonce.store.sqlite import SqliteDatabase  # noqa: PLC0415 - one driver is needed

        return SqliteDatabase(sqlite_path(url))
    from paidonce.store.postgresql import PostgresqlDatabase  # noqa: PLC0415

    return await PostgresqlDatabase.open(url, pool_size)


def sqlite_path(url: str) -> str:
    """The file of a `sqlite:///` URL: relative with three slashes, absolute with four."""
    return url.removeprefix("sqlite:///")
