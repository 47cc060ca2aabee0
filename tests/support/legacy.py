"""Databases that a host had before paidonce: a users table with rows, in every shape we adopt."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import asyncpg

REPORT_SQL = (
    "ALTER TABLE users ADD COLUMN stripe_customer_id VARCHAR(255)",
    "CREATE INDEX idx_users_stripe_customer_id ON users(stripe_customer_id)",
)
"""The bug report's own repair, to the letter."""

ID_TYPES = {
    "integer": ("INTEGER", ["1", "2", "42"]),
    "bigint": ("BIGINT", ["7", "9007199254740993", "-3"]),
    "uuid": (
        "UUID",
        ["0d4f6cd4-29a5-4a3c-9f0e-0b6f7f1f0a01", "5a1c2e0e-0000-4000-8000-00000000000f"],
    ),
    "text": ("TEXT", ["alice", "O'Brien; DROP TABLE users", "Ünï ✓"]),
    "varchar": ("VARCHAR(64)", ["u-1", "u-2"]),
}


def own_table(url: str, name: str) -> str:
    """A table of paidonce's own, as somebody else's connection names it."""
    return f"paidonce.{name}" if url.startswith("postgresql") else f"paidonce_{name}"


@dataclass
class Legacy:
    """The host's database, reached as the host reaches it: without our code."""

    url: str
    ids: list[str] = field(default_factory=list)

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def run(self, *statements: str) -> None:
        self._call(lambda connection: None, statements)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Every row, each value as it comes."""
        rows: list[tuple[Any, ...]] = self._call(sql, ())
        return rows

    def _call(self, query: Any, statements: tuple[str, ...]) -> Any:
        if not self.is_postgresql:
            path = self.url.removeprefix("sqlite:///")
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()
                return connection.execute(query).fetchall() if isinstance(query, str) else None

        async def work() -> Any:
            connection = await asyncpg.connect(self.url)
            try:
                for statement in statements:
                    await connection.execute(statement)
                if isinstance(query, str):
                    return [tuple(row.values()) for row in await connection.fetch(query)]
                return None
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:  # callers may have a loop of their own
            return thread.submit(lambda: asyncio.run(work())).result()

    # --- what the tests look at

    def columns(self, table: str = "users") -> list[tuple[str, str]]:
        """Name and type of each column, in order."""
        if self.is_postgresql:
            return self.rows(
                "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
                f" WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
                " ORDER BY attnum"
            )
        return self.rows(f"SELECT name, type FROM pragma_table_info('{table}')")

    def indexes(self, table: str = "users") -> dict[str, bool]:
        """Name of each named index -> whether it is unique (and, on PostgreSQL, valid)."""
        if self.is_postgresql:
            found = self.rows(
                "SELECT c.relname::text, i.indisunique, i.indisvalid FROM pg_index i"
                f" JOIN pg_class c ON c.oid = i.indexrelid WHERE indrelid = '{table}'::regclass"
                " AND NOT indisprimary"
            )
            assert all(row[2] for row in found), found
            return {row[0]: row[1] for row in found}
        found = self.rows(f"SELECT name, \"unique\" FROM pragma_index_list('{table}')")
        return {name: bool(unique) for name, unique in found if not name.startswith("sqlite_")}

    def tables(self) -> set[str]:
        """Every table of the database, paidonce's own with their full names."""
        if self.is_postgresql:
            rows = self.rows(
                "SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END"
                " || tablename FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        else:
            rows = self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}

    def snapshot(self) -> Any:
        """Everything of the host's, to see that nothing has changed."""
        return (self.tables(), self.columns(), self.indexes(), self.people())

    def people(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT CAST(id AS TEXT), email, nick FROM users ORDER BY 1")

    def customer_of(self, user_id: str) -> str | None:
        text = user_id.replace("'", "''")
        rows = self.rows(f"SELECT stripe_customer_id FROM users WHERE CAST(id AS TEXT) = '{text}'")
        return rows[0][0] if rows else None

    def set_customer(self, user_id: str, customer_id: str | None) -> None:
        text = user_id.replace("'", "''")
        value = "NULL" if customer_id is None else f"'{customer_id}'"
        self.run(f"UPDATE users SET stripe_customer_id = {value} WHERE CAST(id AS TEXT) = '{text}'")


def make_legacy(url: str, id_type: str = "integer") -> Legacy:
    """A host's database: users with rows, and its own tables that are called like ours."""
    declared, ids = ID_TYPES[id_type]
    legacy = Legacy(url, ids)
    legacy.run(
        f"CREATE TABLE users (id {declared} PRIMARY KEY, email VARCHAR(320), nick TEXT,"
        " created TEXT DEFAULT 'then')",
        "CREATE UNIQUE INDEX users_email ON users(email)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, mine TEXT)",
        "INSERT INTO orders VALUES (1, 'the host''s')",
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('abcdef')",
    )
    for number, user_id in enumerate(ids):
        text = user_id.replace("'", "''")
        legacy.run(
            "INSERT INTO users (id, email, nick)"
            f" VALUES ('{text}', 'user{number}@shop.example', 'nick {number}')"
        )
    return legacy


@contextlib.contextmanager
def database_away(url: str) -> Iterator[None]:
    """A database of PostgreSQL that cuts everybody off and lets nobody in."""
    server, _, name = url.rpartition("/")
    others = Legacy(f"{server}/postgres")
    others.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    others.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        others.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
