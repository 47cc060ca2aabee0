"""The changes to the host's users table, each small and repeatable, and the way back.

On PostgreSQL every step is a transaction of its own and none makes the host wait for more than a
moment: the column has no default (a change of the catalog only), the index is built concurrently,
and a step that cannot have its lock within LOCK_TIMEOUT lets everybody pass and tries again. On
SQLite all of it is one transaction.
"""

import time
from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa

from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX
from paidonce.store.users_table import IdKind, quoted

COLUMN = "stripe_customer_id"
COLUMN_TYPE = "VARCHAR(255)"
LOCK_TIMEOUT = "300ms"
LOCK_TRIES = 200
LOCK_PAUSE_SECONDS = 0.5
LONGEST_NAME = 63
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code of a lock timeout


class IndexState(StrEnum):
    """The host's index of the report's name, before us."""

    NONE = "none"
    PLAIN = "plain"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class HostTable:
    """The host's table and how it was before. `schema` is None on SQLite."""

    schema: str | None
    table: str
    id_column: str
    email_column: str
    id_kind: IdKind
    had_column: bool
    had_index: IndexState

    @property
    def sql_name(self) -> str:
        name = quoted(self.table)
        return f"{quoted(self.schema)}.{name}" if self.schema else name

    @property
    def index_name(self) -> str:
        return f"idx_{self.table}_{COLUMN}"[:LONGEST_NAME]

    @property
    def new_index_name(self) -> str:
        """While the new index is being built beside an old one."""
        return f"paidonce_new_{self.index_name}"[:LONGEST_NAME]


def with_index_state(host: HostTable, state: IndexState) -> HostTable:
    return replace(host, had_index=state)


# --- our record of it ----------------------------------------------------------------------------


def read_recorded(connection: sa.Connection) -> HostTable | None:
    """The table that was adopted, None when none was (or our tables are not there yet)."""
    schema, name = _record_name(connection)
    if not sa.inspect(connection).has_table(name, schema=schema):
        return None
    row = (
        connection.execute(
            sa.text(
                "SELECT schema_name, table_name, id_column, email_column, id_kind, had_column,"
                f" had_index FROM {_sql(schema, name)}"
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    return HostTable(
        schema=row["schema_name"],
        table=row["table_name"],
        id_column=row["id_column"],
        email_column=row["email_column"],
        id_kind=IdKind(row["id_kind"]),
        had_column=bool(row["had_column"]),
        had_index=IndexState(row["had_index"]),
    )


def record(connection: sa.Connection, host: HostTable) -> None:
    """Written before the first change, so that an interrupted adoption goes on where it was."""
    connection.execute(
        sa.text(
            f"INSERT INTO {_sql(*_record_name(connection))} (id, schema_name, table_name,"
            " id_column, email_column, id_kind, had_column, had_index)"
            " VALUES (1, :schema, :table, :id_column, :email_column, :id_kind, :had_column,"
            " :had_index) ON CONFLICT DO NOTHING"
        ),
        {
            "schema": host.schema,
            "table": host.table,
            "id_column": host.id_column,
            "email_column": host.email_column,
            "id_kind": host.id_kind.value,
            "had_column": host.had_column,
            "had_index": host.had_index.value,
        },
    )


def _record_name(connection: sa.Connection) -> tuple[str | None, str]:
    is_postgresql = connection.dialect.name == "postgresql"
    return (SCHEMA, "host_users") if is_postgresql else (None, f"{PREFIX}host_users")


def _sql(schema: str | None, name: str) -> str:
    return f"{schema}.{name}" if schema else name


# --- forth ---------------------------------------------------------------------------------------


def adopt(connection: sa.Connection, host: HostTable) -> None:
    """Add what is missing. On PostgreSQL the connection commits every statement by itself."""
    if connection.dialect.name == "postgresql":
        _adopt_on_postgresql(connection, host)
        return
    if COLUMN not in _columns(connection, host):
        _run(connection, f"ALTER TABLE {host.sql_name} ADD COLUMN {COLUMN} {COLUMN_TYPE}")
    if _indexes(connection, host).get(host.index_name) is not True:
        _run(connection, f"DROP INDEX IF EXISTS {quoted(host.index_name)}")
        _run(connection, _create_index(host, host.index_name, unique=True))


def _adopt_on_postgresql(connection: sa.Connection, host: HostTable) -> None:
    add = f"ALTER TABLE {host.sql_name} ADD COLUMN IF NOT EXISTS {COLUMN} {COLUMN_TYPE}"
    if COLUMN not in _columns(connection, host):
        _with_short_locks(connection, [add])
    if _is_valid(connection, host, host.index_name) and _indexes(connection, host).get(
        host.index_name
    ):
        return
    _build_index(connection, host, unique=True)


def _build_index(connection: sa.Connection, host: HostTable, *, unique: bool) -> None:
    """Build beside what is there, then change places in one short transaction."""
    new, old = host.new_index_name, host.index_name
    if not _is_valid(connection, host, new):
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {_index_sql(host, new)}"
        _run(connection, "SET lock_timeout = 0")
        _run(connection, drop)  # what an interrupted build left is no index
        try:
            _run(connection, _create_index(host, new, unique=unique, how="CONCURRENTLY "))
        except sa.exc.IntegrityError:
            _run(connection, drop)
            raise
    _with_short_locks(
        connection,
        [
            f"DROP INDEX IF EXISTS {_index_sql(host, old)}",
            f"ALTER INDEX {_index_sql(host, new)} RENAME TO {quoted(old)}",
        ],
    )


def _with_short_locks(connection: sa.Connection, statements: list[str]) -> None:
    """All in one transaction that gives way when it cannot have its locks at once."""
    for left in reversed(range(LOCK_TRIES)):
        _run(connection, "BEGIN")
        try:
            _run(connection, f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            for statement in statements:
                _run(connection, statement)
            _run(connection, "COMMIT")
            return
        except sa.exc.DBAPIError as error:
            _run(connection, "ROLLBACK")
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE or not left:
                raise
            time.sleep(LOCK_PAUSE_SECONDS)


def _create_index(host: HostTable, name: str, *, unique: bool, how: str = "") -> str:
    kind = "UNIQUE INDEX" if unique else "INDEX"
    return f"CREATE {kind} {how}{quoted(name)} ON {host.sql_name} ({COLUMN})"


# --- and back ------------------------------------------------------------------------------------


def give_back(connection: sa.Connection, host: HostTable) -> None:
    """The table as it was: without the column if we added it, else with the index it had."""
    if not host.had_column:
        statements = [f"DROP INDEX IF EXISTS {_index_sql(host, host.index_name)}"]
        if COLUMN in _columns(connection, host):
            statements.append(f"ALTER TABLE {host.sql_name} DROP COLUMN {COLUMN}")
        _change(connection, statements)
    elif host.had_index is IndexState.NONE:
        _change(connection, [f"DROP INDEX IF EXISTS {_index_sql(host, host.index_name)}"])
    elif host.had_index is IndexState.PLAIN and _indexes(connection, host).get(host.index_name):
        if connection.dialect.name == "postgresql":
            _build_index(connection, host, unique=False)
        else:
            _run(connection, f"DROP INDEX {quoted(host.index_name)}")
            _run(connection, _create_index(host, host.index_name, unique=False))
    _run(connection, f"DELETE FROM {_sql(*_record_name(connection))}")


def _change(connection: sa.Connection, statements: list[str]) -> None:
    if connection.dialect.name == "postgresql":
        _with_short_locks(connection, statements)
        return
    for statement in statements:
        _run(connection, statement)


# --- looking -------------------------------------------------------------------------------------


def _columns(connection: sa.Connection, host: HostTable) -> set[str]:
    found = sa.inspect(connection).get_columns(host.table, host.schema)
    return {column["name"] for column in found}


def _indexes(connection: sa.Connection, host: HostTable) -> dict[str | None, bool]:
    """Name -> whether it is unique."""
    found = sa.inspect(connection).get_indexes(host.table, host.schema)
    return {index["name"]: bool(index["unique"]) for index in found}


def _is_valid(connection: sa.Connection, host: HostTable, name: str) -> bool:
    """Whether PostgreSQL finished building the index."""
    found = connection.execute(
        sa.text(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = :name AND n.nspname = :schema"
        ),
        {"name": name, "schema": host.schema},
    ).scalar()
    return bool(found)


def _index_sql(host: HostTable, name: str) -> str:
    return f"{quoted(host.schema)}.{quoted(name)}" if host.schema else quoted(name)


def _run(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
