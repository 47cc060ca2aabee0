"""Where our tables are: in the schema `paidonce` on PostgreSQL, with a prefix in a SQLite file."""

import sqlalchemy as sa
from alembic import op

from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX


def schema() -> str | None:
    return SCHEMA if op.get_bind().dialect.name == "postgresql" else None


def table_name(name: str) -> str:
    return name if schema() else f"{PREFIX}{name}"


def reference(target: str) -> str:
    """`users.id` as a foreign key names it."""
    return f"{SCHEMA}.{target}" if schema() else f"{PREFIX}{target}"


def create_table(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(table_name(name), *columns, schema=schema())


def drop_table(name: str) -> None:
    op.drop_table(table_name(name), schema=schema())


def create_index(
    name: str,
    table: str,
    columns: list[str],
    unique: bool = False,
    where: str = "",
    **how: bool,
) -> None:
    """An index of our own, on a table that this migration has made: while it is built nobody writes
    to the table. In a SQLite file the names of indexes are shared with the host."""
    condition = sa.text(where) if where else None
    op.create_index(
        table_name(name),
        table_name(table),
        columns,
        unique=unique,
        schema=schema(),
        postgresql_where=condition,
        sqlite_where=condition,
        **how,
    )


def create_index_concurrently(
    name: str, table: str, columns: list[str], unique: bool = False, where: str = ""
) -> None:
    """An index on a table that is in use; only in a migration that is `is_concurrent`. One that was
    interrupted is run again: what it left, an index that may be invalid, goes first."""
    is_in_use = op.get_bind().get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    if schema() is None or not is_in_use:
        create_index(name, table, columns, unique, where, if_not_exists=True)
        return
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{name}")
    create_index(name, table, columns, unique, where, postgresql_concurrently=True)


def drop_index(name: str, table: str) -> None:
    op.drop_index(table_name(name), table_name(table), schema=schema())
