"""Adopting the host's users table: look at everything first, refuse before anything is changed.

What is added is the bug report's own repair: a column `stripe_customer_id VARCHAR(255)` and an
index `idx_users_stripe_customer_id`, which here is unique. The host may have run that SQL already.
Once a table is adopted, or users of our own exist, the choice stays.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from paidonce.store.migrations import host_table as change
from paidonce.store.migrations.host_table import HostTable, IndexState
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX
from paidonce.store.users_table import IdKind, quoted

DEFAULT_TABLE = "users"
OWN_TABLE = f"{SCHEMA}.users"
COLUMN = change.COLUMN
SHORTEST_COLUMN = 64
MOST_NAMED = 3
MOST_SAMPLED = 20


class AdoptionRefused(Exception):
    """One sentence that says why the table cannot be adopted. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class WantedUsers:
    """The settings. An empty `table`: the host's `users` where there is one, else our own."""

    table: str = ""
    id_column: str = "id"
    email_column: str = "email"


class Adoption(StrEnum):
    """How the host's table stands."""

    OWN = "own"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


def plan(connection: sa.Connection, wanted: WantedUsers) -> HostTable | None:
    """The host's table to adopt, checked; None for users of our own. Raises AdoptionRefused."""
    recorded = change.read_recorded(connection)
    if recorded is not None:
        _check_same(connection, recorded, wanted)
        if state_of(connection) is Adoption.INCOMPLETE:
            _check_rows(connection, recorded)
        return recorded
    found = _find_table(connection, wanted)
    if found is None:
        return None
    if _has_own_users(connection):
        if wanted.table:
            raise AdoptionRefused(
                f"USERS_TABLE: this database already has users of paidonce's own,"
                f" so {wanted.table} cannot be adopted."
            )
        return None
    schema, table = found
    host = _inspect(connection, schema, table, wanted)
    _check_rows(connection, host)
    return host


def state_of(connection: sa.Connection) -> Adoption:
    """Whether everything that was added is still there."""
    recorded = change.read_recorded(connection)
    if recorded is None:
        return Adoption.OWN
    inspector = sa.inspect(connection)
    names = {column["name"] for column in inspector.get_columns(recorded.table, recorded.schema)}
    is_whole = COLUMN in names and _index_state(inspector, recorded) is IndexState.UNIQUE
    return Adoption.COMPLETE if is_whole else Adoption.INCOMPLETE


def sample_customers(connection: sa.Connection, host: HostTable) -> list[str]:
    """Some of the customer ids the table holds already, to ask Stripe whether they are known."""
    columns = {c["name"] for c in sa.inspect(connection).get_columns(host.table, host.schema)}
    if COLUMN not in columns:
        return []
    rows = connection.execute(
        sa.text(
            f"SELECT {COLUMN} FROM {host.sql_name} WHERE {COLUMN} IS NOT NULL LIMIT {MOST_SAMPLED}"
        )
    )
    return [str(row[0]) for row in rows]


# --- which table ---------------------------------------------------------------------------------


def _find_table(connection: sa.Connection, wanted: WantedUsers) -> tuple[str | None, str] | None:
    """Schema and name of the wanted table, None where users are to be our own."""
    if wanted.table == OWN_TABLE:
        return None
    inspector = sa.inspect(connection)
    named_schema, _, table = (wanted.table or DEFAULT_TABLE).rpartition(".")
    schema = None
    if connection.dialect.name == "postgresql":
        schema = named_schema or inspector.default_schema_name
    elif named_schema:
        raise AdoptionRefused("USERS_TABLE: a SQLite file has no schemas; name the table alone.")
    if table in inspector.get_table_names(schema=schema):
        return schema, table
    if table in inspector.get_view_names(schema=schema):
        raise AdoptionRefused(f"USERS_TABLE: {table} is a view; a table is needed.")
    if wanted.table:
        raise AdoptionRefused(f"USERS_TABLE: there is no table {wanted.table} in this database.")
    return None


def _has_own_users(connection: sa.Connection) -> bool:
    is_postgresql = connection.dialect.name == "postgresql"
    schema, table = (SCHEMA, "users") if is_postgresql else (None, f"{PREFIX}users")
    if not sa.inspect(connection).has_table(table, schema=schema):
        return False
    name = f"{schema}.{table}" if schema else table
    return connection.execute(sa.text(f"SELECT 1 FROM {name} LIMIT 1")).first() is not None


def _check_same(connection: sa.Connection, recorded: HostTable, wanted: WantedUsers) -> None:
    named_schema, _, table = wanted.table.rpartition(".")
    is_same = (
        (not table or table == recorded.table)
        and (not named_schema or named_schema == recorded.schema)
        and (wanted.id_column, wanted.email_column) == (recorded.id_column, recorded.email_column)
    )
    if not is_same:
        raise AdoptionRefused(
            f"USERS_TABLE, USERS_ID_COLUMN, USERS_EMAIL_COLUMN: this database belongs to"
            f" {recorded.table} ({recorded.id_column}, {recorded.email_column}); the choice stays."
        )
    if not sa.inspect(connection).has_table(recorded.table, schema=recorded.schema):
        raise AdoptionRefused(f"USERS_TABLE: the adopted table {recorded.table} is gone.")


# --- whether it can be adopted -------------------------------------------------------------------


def _inspect(
    connection: sa.Connection, schema: str | None, table: str, wanted: WantedUsers
) -> HostTable:
    inspector = sa.inspect(connection)
    columns = {column["name"]: column for column in inspector.get_columns(table, schema)}
    for name, setting in (
        (wanted.id_column, "USERS_ID_COLUMN"),
        (wanted.email_column, "USERS_EMAIL_COLUMN"),
    ):
        if name not in columns:
            raise _refusal(table, f"has no column {name} ({setting} names another)")
    email = columns[wanted.email_column]["type"]
    if not isinstance(email, sa.String) and "citext" not in str(email).lower():
        raise _refusal(
            table, f"has a column {wanted.email_column} that holds no text, so no e-mails"
        )
    kind = columns[wanted.id_column]["type"]
    id_kind = _id_kind(kind, declared=_declared(connection, table, wanted.id_column))
    if id_kind is None:
        raise _refusal(
            table, f"has an id {wanted.id_column} of type {kind}, not integer, uuid or text"
        )
    if not _is_unique(inspector, schema, table, wanted.id_column):
        raise _refusal(
            table, f"has an id {wanted.id_column} that is neither primary key nor unique"
        )
    host = HostTable(
        schema=schema,
        table=table,
        id_column=wanted.id_column,
        email_column=wanted.email_column,
        id_kind=id_kind,
        had_column=COLUMN in columns,
        had_index=IndexState.NONE,
    )
    if COLUMN in columns:
        _check_column(host, columns[COLUMN]["type"])
    had_index = _index_state(inspector, host)
    return change.with_index_state(host, had_index)


def _id_kind(kind: Any, *, declared: str | None) -> IdKind | None:
    """`declared` is SQLite's word for the type, where a uuid is a text. PostgreSQL's CHAR(n) pads
    its values, so it is none of them."""
    if isinstance(kind, sa.Integer):
        return IdKind.INTEGER
    if isinstance(kind, sa.Uuid):
        return IdKind.UUID
    is_padded = isinstance(kind, sa.CHAR) and declared is None
    if (isinstance(kind, sa.String) and not is_padded) or declared == "uuid":
        return IdKind.TEXT
    return None


def _declared(connection: sa.Connection, table: str, column: str) -> str | None:
    if connection.dialect.name == "postgresql":
        return None
    found = connection.execute(
        sa.text("SELECT type FROM pragma_table_info(:table) WHERE name = :column"),
        {"table": table, "column": column},
    ).scalar()
    return str(found or "").lower()


def _is_unique(inspector: Any, schema: str | None, table: str, column: str) -> bool:
    keys = [inspector.get_pk_constraint(table, schema)["constrained_columns"]]
    keys += [item["column_names"] for item in inspector.get_unique_constraints(table, schema)]
    keys += [
        item["column_names"]
        for item in inspector.get_indexes(table, schema)
        if item["unique"] and not _is_partial(item)
    ]
    return [column] in keys


def _is_partial(index: Any) -> bool:
    return any(name.endswith("_where") and text for name, text in _options(index).items())


def _options(index: Any) -> dict[str, Any]:
    options: dict[str, Any] = index.get("dialect_options") or {}
    return options


def _check_column(host: HostTable, kind: Any) -> None:
    if not isinstance(kind, sa.String):
        raise _refusal(host.table, f"has a column {COLUMN} of type {kind}; VARCHAR(255) is needed")
    if kind.length is not None and kind.length < SHORTEST_COLUMN:
        raise _refusal(
            host.table, f"has a column {COLUMN} of {kind.length} characters; VARCHAR(255) is needed"
        )


def _index_state(inspector: Any, host: HostTable) -> IndexState:
    """The index of the report's name. Raises AdoptionRefused when it is another index."""
    for index in inspector.get_indexes(host.table, host.schema):
        if index["name"] != host.index_name:
            continue
        if index["column_names"] != [COLUMN] or _is_partial(index):
            raise _refusal(host.table, f"has an index {host.index_name} on something else")
        return IndexState.UNIQUE if index["unique"] else IndexState.PLAIN
    return IndexState.NONE


def _check_rows(connection: sa.Connection, host: HostTable) -> None:
    """Customer ids that are there already: none empty, none twice."""
    columns = {c["name"] for c in sa.inspect(connection).get_columns(host.table, host.schema)}
    if COLUMN not in columns:
        return
    blank = connection.execute(
        sa.text(f"SELECT count(*) FROM {host.sql_name} WHERE TRIM({COLUMN}) = ''")
    ).scalar_one()
    if blank:
        raise _refusal(
            host.table, f"has {blank} rows with an empty {COLUMN}; set them to NULL first"
        )
    twice = connection.execute(
        sa.text(
            f"SELECT {COLUMN}, min(CAST({quoted(host.id_column)} AS TEXT)),"
            f" max(CAST({quoted(host.id_column)} AS TEXT)) FROM {host.sql_name}"
            f" WHERE {COLUMN} IS NOT NULL GROUP BY {COLUMN} HAVING count(*) > 1"
            f" ORDER BY {COLUMN}"
        )
    ).all()
    if twice:
        named = ", ".join(f"{row[0]} (users {row[1]}, {row[2]})" for row in twice[:MOST_NAMED])
        more = " …" if len(twice) > MOST_NAMED else ""
        raise _refusal(
            host.table, f"has {len(twice)} values of {COLUMN} in more than one row: {named}{more}"
        )


def _refusal(table: str, what: str) -> AdoptionRefused:
    return AdoptionRefused(
        f"The users table {table} cannot be adopted: it {what}. Nothing was changed."
    )
