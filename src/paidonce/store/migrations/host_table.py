"""The changes to the host's users table, each small and repeatable, and the way back.

On PostgreSQL every step is a transaction of its own and none makes the host wait for more than a
moment: the column has no default (a change of the catalog only), the index is built concurrently,
and a step that cannot have its lock at once lets everybody pass and tries again (`patience`). On
SQLite all of it is one transaction.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa

from paidonce.observability import step
from paidonce.store.migrations.catalog import Table, read_table
from paidonce.store.migrations.patience import give_way, patiently
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX
from paidonce.store.users_table import IdKind, quoted

COLUMN = "stripe_customer_id"
COLUMN_TYPE = "VARCHAR(255)"
LONGEST_NAME_BYTES = 63


class IndexState(StrEnum):
    """An index of the report's name; one that PostgreSQL never finished is none."""

    NONE = "none"
    PLAIN = "plain"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class HostTable:
    """The host's table and how it was before. `schema` is None on SQLite; `index_sql` makes the
    host's own index again."""

    schema: str | None
    table: str
    id_column: str
    email_column: str
    id_kind: IdKind
    had_column: bool
    had_index: IndexState = IndexState.NONE
    index_sql: str | None = None

    @property
    def full_name(self) -> str:
        """For people."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @property
    def sql_name(self) -> str:
        name = quoted(self.table)
        return f"{quoted(self.schema)}.{name}" if self.schema else name

    @property
    def index_name(self) -> str:
        return _short(f"idx_{self.table}_{COLUMN}")

    @property
    def new_index_name(self) -> str:
        """While an index is being built beside the one that is there."""
        return _short(f"paidonce_new_{self.index_name}")


def with_index(host: HostTable, state: IndexState, sql: str | None) -> HostTable:
    return replace(host, had_index=state, index_sql=sql)


def index_state(table: Table, host: HostTable) -> IndexState:
    index = table.index(host.index_name)
    if index is None or not index.is_valid:
        return IndexState.NONE
    return IndexState.UNIQUE if index.is_unique else IndexState.PLAIN


def _short(name: str) -> str:
    """As PostgreSQL cuts a name by itself, but without a word about it."""
    return name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")


# --- our record of it ----------------------------------------------------------------------------


def read_recorded(connection: sa.Connection) -> HostTable | None:
    """The table that was adopted, None when none was (or our tables are not there yet)."""
    schema, name = _record_name(connection)
    if not sa.inspect(connection).has_table(name, schema=schema):
        return None
    row = (
        connection.exec_driver_sql(
            "SELECT schema_name, table_name, id_column, email_column, id_kind, had_column,"
            f" had_index, index_sql FROM {_sql(schema, name)}"
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
        index_sql=row["index_sql"],
    )


def record(connection: sa.Connection, host: HostTable) -> None:
    """Written before the first change, so that an interrupted adoption goes on where it was."""
    connection.execute(
        sa.text(
            f"INSERT INTO {_sql(*_record_name(connection))} (id, schema_name, table_name,"
            " id_column, email_column, id_kind, had_column, had_index, index_sql)"
            " VALUES (1, :schema, :table, :id_column, :email_column, :id_kind, :had_column,"
            " :had_index, :index_sql) ON CONFLICT DO NOTHING"
        ),
        {
            "schema": host.schema,
            "table": host.table,
            "id_column": host.id_column,
            "email_column": host.email_column,
            "id_kind": host.id_kind.value,
            "had_column": host.had_column,
            "had_index": host.had_index.value,
            "index_sql": host.index_sql,
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
    table = _read(connection, host)
    is_postgresql = connection.dialect.name == "postgresql"
    if table.column(COLUMN) is None:
        if_missing = "IF NOT EXISTS " if is_postgresql else ""
        add = f"ALTER TABLE {host.sql_name} ADD COLUMN {if_missing}{COLUMN} {COLUMN_TYPE}"
        _change(connection, [add])
    if index_state(table, host) is IndexState.UNIQUE:
        return
    name = host.new_index_name if is_postgresql else host.index_name
    how = "CONCURRENTLY " if is_postgresql else ""
    create = f"CREATE UNIQUE INDEX {how}{quoted(name)} ON {host.sql_name} ({COLUMN})"
    _replace_index(connection, host, create)


def _replace_index(connection: sa.Connection, host: HostTable, create: str) -> None:
    """`create` makes the index: on PostgreSQL under its new name, beside the old one, and then the
    two change places in one short transaction."""
    new, old = _index_sql(host, host.new_index_name), _index_sql(host, host.index_name)
    if connection.dialect.name != "postgresql":
        _change(connection, [f"DROP INDEX IF EXISTS {old}", create])
        return
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {new}"
    _run(connection, drop)  # what an interrupted build left
    try:
        _run(connection, create)
    except sa.exc.DBAPIError:
        _run(connection, drop)
        raise
    rename = f"ALTER INDEX {new} RENAME TO {quoted(host.index_name)}"
    _change(connection, [f"DROP INDEX IF EXISTS {old}", rename])


def _change(connection: sa.Connection, statements: list[str]) -> None:
    """All of it or nothing; on PostgreSQL in a transaction that gives way to the host."""
    if connection.dialect.name != "postgresql":
        for statement in statements:
            _run(connection, statement)
        return

    def change() -> None:
        _run(connection, "BEGIN")
        try:
            give_way(connection)
            for statement in statements:
                _run(connection, statement)
            with step("commit.host_table"):
                _run(connection, "COMMIT")
        except sa.exc.DBAPIError:
            _run(connection, "ROLLBACK")
            raise

    patiently(change)


# --- and back ------------------------------------------------------------------------------------


def give_back(connection: sa.Connection, host: HostTable) -> None:
    """The table as it was: without the column if we added it, else with the index it had."""
    table = read_table(connection, host.schema, host.table)
    if table is None:
        return
    if table.index(host.new_index_name) is not None:
        _change(connection, [f"DROP INDEX {_index_sql(host, host.new_index_name)}"])
    drop_index = f"DROP INDEX IF EXISTS {_index_sql(host, host.index_name)}"
    if not host.had_column:
        is_there = table.column(COLUMN) is not None
        drop_column = [f"ALTER TABLE {host.sql_name} DROP COLUMN {COLUMN}"] if is_there else []
        _change(connection, [drop_index, *drop_column])
    elif host.had_index is IndexState.NONE:
        _change(connection, [drop_index])
    elif host.had_index is IndexState.PLAIN and index_state(table, host) is not IndexState.PLAIN:
        _replace_index(connection, host, _hosts_own_index(host))


def _hosts_own_index(host: HostTable) -> str:
    """The host's CREATE INDEX, to the letter on SQLite; on PostgreSQL under the new name."""
    sql = host.index_sql or f"CREATE INDEX {quoted(host.index_name)} ON {host.sql_name} ({COLUMN})"
    if host.schema is None:
        return sql
    _, _, rest = sql.partition(" ON ")
    return f"CREATE INDEX CONCURRENTLY {quoted(host.new_index_name)} ON {rest}"


def _read(connection: sa.Connection, host: HostTable) -> Table:
    table = read_table(connection, host.schema, host.table)
    if table is None:
        raise LookupError(f"the table {host.table} is gone")
    return table


def _index_sql(host: HostTable, name: str) -> str:
    return f"{quoted(host.schema)}.{quoted(name)}" if host.schema else quoted(name)


def _run(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
