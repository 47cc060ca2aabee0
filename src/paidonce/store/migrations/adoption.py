"""Adopting the host's users table: look at everything first, refuse before anything is changed.

What is added is the bug report's own repair: a column `stripe_customer_id VARCHAR(255)` and an
index `idx_users_stripe_customer_id`, which here is unique. The host may have run that SQL already.
Once a table is adopted, or users of our own exist, the choice stays.
"""

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from paidonce.store.migrations import host_table as change
from paidonce.store.migrations.catalog import Column, Kind, Table, owner_of_index, read_table
from paidonce.store.migrations.host_table import COLUMN, HostTable, IndexState
from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX
from paidonce.store.users_table import IdKind, quoted

DEFAULT_TABLE = "users"
OWN_TABLE = f"{SCHEMA}.users"
SHORTEST_COLUMN = 64
MOST_NAMED = 3
MOST_SAMPLED = 20
ID_KINDS = {Kind.INTEGER: IdKind.INTEGER, Kind.UUID: IdKind.UUID, Kind.TEXT: IdKind.TEXT}
TEXTS = (Kind.TEXT, Kind.STRING)


class AdoptionRefused(Exception):
    """One sentence that says why the table cannot be adopted. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class WantedUsers:
    """The settings. An empty `table`: the host's `users` where there is one, else our own."""

    table: str = ""
    id_column: str = "id"
    email_column: str = "email"


@dataclass(frozen=True, slots=True)
class Plan:
    """The table to adopt, and some of the customers that stand in it already."""

    host: HostTable
    customers: list[str]


class Adoption(StrEnum):
    """How the host's table stands."""

    OWN = "own"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"


def plan(connection: sa.Connection, wanted: WantedUsers) -> Plan | None:
    """What there is to adopt, checked; None for users of our own. Raises AdoptionRefused."""
    recorded = change.read_recorded(connection)
    if recorded is not None:
        return _plan_again(connection, recorded, wanted)
    table = _find_table(connection, wanted)
    if table is None:
        return None
    if _has_own_users(connection):
        if wanted.table:
            raise AdoptionRefused(
                f"USERS_TABLE: this database already has users of paidonce's own,"
                f" so {wanted.table} cannot be adopted."
            )
        return None
    host = _inspect(connection, table, wanted)
    return Plan(host, _check_rows(connection, table, host))


def state_of(connection: sa.Connection) -> Adoption:
    """Whether everything that was added is still there."""
    recorded = change.read_recorded(connection)
    if recorded is None:
        return Adoption.OWN
    table = read_table(connection, recorded.schema, recorded.table)
    is_whole = table is not None and table.column(COLUMN) is not None
    if table is None or not is_whole:
        return Adoption.INCOMPLETE
    state = change.index_state(table, recorded)
    return Adoption.COMPLETE if state is IndexState.UNIQUE else Adoption.INCOMPLETE


def _plan_again(connection: sa.Connection, recorded: HostTable, wanted: WantedUsers) -> Plan:
    """A table that was adopted, or half of it, is the one that is wanted."""
    table = read_table(connection, recorded.schema, recorded.table)
    if table is None:
        raise AdoptionRefused(f"USERS_TABLE: the adopted table {recorded.table} is gone.")
    named_schema, _, name = wanted.table.rpartition(".")
    named = [table.column(wanted.id_column), table.column(wanted.email_column)]
    is_same = (
        (not name or table.is_called(name))
        and (not named_schema or named_schema == recorded.schema)
        and [column and column.name for column in named]
        == [recorded.id_column, recorded.email_column]
    )
    if not is_same:
        raise AdoptionRefused(
            f"USERS_TABLE, USERS_ID_COLUMN, USERS_EMAIL_COLUMN: this database belongs to"
            f" {recorded.table} ({recorded.id_column}, {recorded.email_column}); the choice stays."
        )
    if not table.can_update:
        raise AdoptionRefused(
            f"The role of DATABASE_URL needs the rights SELECT and UPDATE on {recorded.table}."
        )
    is_complete = state_of(connection) is Adoption.COMPLETE
    return Plan(recorded, [] if is_complete else _check_rows(connection, table, recorded))


# --- which table ---------------------------------------------------------------------------------


def _find_table(connection: sa.Connection, wanted: WantedUsers) -> Table | None:
    """The wanted table, None where users are to be our own."""
    if wanted.table == OWN_TABLE:
        return None
    schema, _, name = (wanted.table or DEFAULT_TABLE).rpartition(".")
    if schema and connection.dialect.name != "postgresql":
        raise AdoptionRefused("USERS_TABLE: a SQLite file has no schemas; name the table alone.")
    table = read_table(connection, schema or None, name)
    if table is None and wanted.table:
        raise AdoptionRefused(f"USERS_TABLE: there is no table {wanted.table} in this database.")
    return table


def _has_own_users(connection: sa.Connection) -> bool:
    is_postgresql = connection.dialect.name == "postgresql"
    schema, table = (SCHEMA, "users") if is_postgresql else (None, f"{PREFIX}users")
    if not sa.inspect(connection).has_table(table, schema=schema):
        return False
    name = f"{schema}.{table}" if schema else table
    return connection.execute(sa.text(f"SELECT 1 FROM {name} LIMIT 1")).first() is not None


# --- whether it can be adopted -------------------------------------------------------------------


def _inspect(connection: sa.Connection, table: Table, wanted: WantedUsers) -> HostTable:
    if table.kind != "table":
        raise _refusal(table, f"is a {table.kind}")
    user_id = _needed(table, wanted.id_column, "USERS_ID_COLUMN")
    email = _needed(table, wanted.email_column, "USERS_EMAIL_COLUMN")
    if email.kind not in TEXTS:
        raise _refusal(table, f"has a column {email.name} that holds no text, so no e-mails")
    if user_id.kind not in ID_KINDS:
        raise _refusal(
            table, f"has an id {user_id.name} of type {user_id.declared}, not integer, uuid or text"
        )
    if not table.is_unique(user_id.name):
        raise _refusal(table, f"has an id {user_id.name} that is neither primary key nor unique")
    column = table.column(COLUMN)
    if column is not None:
        _check_column(table, column)
    host = HostTable(
        schema=table.schema,
        table=table.name,
        id_column=user_id.name,
        email_column=email.name,
        id_kind=ID_KINDS[user_id.kind],
        had_column=column is not None,
    )
    host = _with_index(connection, table, host)
    is_as_wanted = host.had_column and host.had_index is IndexState.UNIQUE
    if not table.can_change and not is_as_wanted:
        raise _refusal(table, "belongs to another role than the one of DATABASE_URL")
    return host


def _needed(table: Table, name: str, setting: str) -> Column:
    column = table.column(name)
    if column is None:
        raise _refusal(table, f"has no column {name} ({setting} names another)")
    return column


def _check_column(table: Table, column: Column) -> None:
    """A column that the host fills by itself would give two rows the same customer."""
    if column.kind is not Kind.TEXT:
        raise _refusal(
            table, f"has a column {COLUMN} of type {column.declared}; VARCHAR(255) is needed"
        )
    if column.length is not None and column.length < SHORTEST_COLUMN:
        raise _refusal(
            table, f"has a column {COLUMN} of {column.length} characters; VARCHAR(255) is needed"
        )
    if not column.is_free:
        raise _refusal(
            table, f"has a column {COLUMN} that is NOT NULL or has a default; it must have neither"
        )


def _with_index(connection: sa.Connection, table: Table, host: HostTable) -> HostTable:
    """With the index of the report's name as it is. Raises when that is another index."""
    index = table.index(host.index_name)
    if index is None:
        owner = owner_of_index(connection, host.schema, host.index_name)
        if owner is not None:
            raise _refusal(table, f"cannot have the index {host.index_name}: {owner} has it")
        return host
    if index.columns != (COLUMN,) or index.is_partial:
        raise _refusal(table, f"has an index {host.index_name} on something else")
    return change.with_index(host, change.index_state(table, host), index.sql)


def _check_rows(connection: sa.Connection, table: Table, host: HostTable) -> list[str]:
    """Customer ids that are there already: none empty, none twice. Returns some of them."""
    if table.column(COLUMN) is None:
        return []
    blank = connection.exec_driver_sql(
        f"SELECT count(*) FROM {host.sql_name} WHERE TRIM({COLUMN}) = ''"
    ).scalar_one()
    if blank:
        raise _refusal(table, f"has {blank} rows with an empty {COLUMN}; set them to NULL first")
    text_id = f"CAST({quoted(host.id_column)} AS TEXT)"
    twice = connection.exec_driver_sql(
        f"SELECT {COLUMN}, min({text_id}), max({text_id}) FROM {host.sql_name}"
        f" WHERE {COLUMN} IS NOT NULL GROUP BY {COLUMN} HAVING count(*) > 1 ORDER BY {COLUMN}"
    ).all()
    if twice:
        named = ", ".join(f"{row[0]} (users {row[1]}, {row[2]})" for row in twice[:MOST_NAMED])
        more = " …" if len(twice) > MOST_NAMED else ""
        raise _refusal(
            table, f"has {len(twice)} values of {COLUMN} in more than one row: {named}{more}"
        )
    some = connection.exec_driver_sql(
        f"SELECT {COLUMN} FROM {host.sql_name} WHERE {COLUMN} IS NOT NULL LIMIT {MOST_SAMPLED}"
    )
    return [str(row[0]) for row in some]


def _refusal(table: Table, what: str) -> AdoptionRefused:
    return AdoptionRefused(
        f"The users table {table.name} cannot be adopted: it {what}. Nothing was changed."
    )
