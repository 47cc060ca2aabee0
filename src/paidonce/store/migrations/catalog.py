"""What the database's own catalog says of the host's table.

Read here and not through SQLAlchemy's inspector, which leaves out indexes of expressions, does not
know an index that was never finished, and takes a domain for no type at all.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from paidonce.store.postgresql import SCHEMA

INTEGERS = ("int2", "int4", "int8")


class Kind(StrEnum):
    """What a column holds, as far as it matters here."""

    INTEGER = "integer"
    UUID = "uuid"
    TEXT = "text"  # compared as text, so that its index can be used
    STRING = "string"  # text of another kind: padded, or without case
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """`is_free`: NULL unless somebody writes it."""

    name: str
    declared: str
    kind: Kind
    length: int | None
    is_free: bool


@dataclass(frozen=True, slots=True)
class Index:
    """`columns` has None for an expression; `sql` makes it again (None for a constraint's)."""

    name: str
    columns: tuple[str | None, ...]
    is_unique: bool
    is_partial: bool
    is_valid: bool
    sql: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """`schema` is None on SQLite. `kind` is `table`, or what stands in the way. What the role of
    the address may do: change the table's shape, and read and update its rows."""

    schema: str | None
    name: str
    kind: str
    can_change: bool
    can_update: bool
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    primary_key: tuple[str, ...]

    def is_called(self, name: str) -> bool:
        return self._is_same(self.name, name)

    def column(self, name: str) -> Column | None:
        """By its name; SQLite does not tell upper from lower case."""
        return next((c for c in self.columns if self._is_same(c.name, name)), None)

    def index(self, name: str) -> Index | None:
        return next((i for i in self.indexes if self._is_same(i.name, name)), None)

    def is_unique(self, column: str) -> bool:
        return self.primary_key == (column,) or any(
            index.columns == (column,)
            and index.is_unique
            and index.is_valid
            and not index.is_partial
            for index in self.indexes
        )

    def _is_same(self, left: str, right: str) -> bool:
        return left == right if self.schema else left.lower() == right.lower()


def read_table(connection: sa.Connection, schema: str | None, name: str) -> Table | None:
    """The table of this name; without a schema the first on the search path that is not ours."""
    if connection.dialect.name == "postgresql":
        return _read_postgresql(connection, schema, name)
    return _read_sqlite(connection, name)


def owner_of_index(connection: sa.Connection, schema: str | None, name: str) -> str | None:
    """The table that has an index (or a relation) of this name, None when the name is free."""
    if schema is None:
        sql = "SELECT tbl_name FROM sqlite_master WHERE lower(name) = lower(:name)"
    else:
        sql = (
            "SELECT COALESCE(t.relname, c.relname)::text FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " LEFT JOIN pg_class t ON t.oid = i.indrelid"
            " WHERE n.nspname = CAST(:schema AS text) AND c.relname = CAST(:name AS text)"
        )
    parameters = {"name": name} | ({"schema": schema} if schema else {})
    found = connection.execute(sa.text(sql), parameters).scalar()
    return None if found is None else str(found)


# --- PostgreSQL ----------------------------------------------------------------------------------

_FIND = """
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       pg_has_role(c.relowner, 'USAGE') AS can_change,
       has_table_privilege(c.oid, 'SELECT') AND has_any_column_privilege(c.oid, 'UPDATE')
       AS can_update
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = CAST(:name AS text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname <> CAST(:ours AS text)
   AND (n.nspname = CAST(:schema AS text)
        OR (CAST(:schema AS text) IS NULL AND n.nspname = ANY (current_schemas(false))))
 ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1
"""
_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS declared,
       COALESCE(b.typname, t.typname)::text AS base,
       COALESCE(b.typcategory, t.typcategory)::text AS category,
       CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 END AS length,
       NOT (a.attnotnull OR a.atthasdef OR a.attgenerated <> '' OR a.attidentity <> '') AS is_free
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type b ON b.oid = t.typbasetype
 WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES = """
SELECT c.relname::text AS name, i.indisunique AS is_unique, i.indpred IS NOT NULL AS is_partial,
       i.indisvalid AS is_valid, i.indisprimary AS is_primary, pg_get_indexdef(c.oid) AS sql,
       ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS k
              LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
               AND a.attnum > 0 ORDER BY k) AS columns
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = :oid
"""
_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}


def _read_postgresql(connection: sa.Connection, schema: str | None, name: str) -> Table | None:
    parameters = {"name": name, "schema": schema, "ours": SCHEMA}
    found = connection.execute(sa.text(_FIND), parameters).mappings().first()
    if found is None:
        return None
    oid = {"oid": found["oid"]}
    columns = [
        Column(
            row["name"],
            row["declared"],
            _kind_of_postgresql(row["base"], row["category"]),
            row["length"] if row["base"] == "varchar" else None,
            row["is_free"],
        )
        for row in connection.execute(sa.text(_COLUMNS), oid).mappings()
    ]
    rows = connection.execute(sa.text(_INDEXES), oid).mappings().all()
    indexes = [
        Index(
            row["name"],
            tuple(row["columns"]),
            row["is_unique"],
            row["is_partial"],
            row["is_valid"],
            row["sql"],
        )
        for row in rows
    ]
    keys = [tuple(row["columns"]) for row in rows if row["is_primary"]]
    return Table(
        found["schema"],
        found["name"],
        _KINDS[found["kind"]],
        found["can_change"],
        found["can_update"],
        tuple(columns),
        tuple(indexes),
        keys[0] if keys else (),
    )


def _kind_of_postgresql(base: str, category: str) -> Kind:
    if base in INTEGERS:
        return Kind.INTEGER
    if base == "uuid":
        return Kind.UUID
    if base in ("text", "varchar"):
        return Kind.TEXT
    return Kind.STRING if category == "S" else Kind.OTHER


# --- SQLite --------------------------------------------------------------------------------------


def _read_sqlite(connection: sa.Connection, name: str) -> Table | None:
    def rows(sql: str, value: str) -> Any:
        return connection.execute(sa.text(sql), {"name": value}).mappings().all()

    found = rows(
        "SELECT name, type FROM sqlite_master"
        " WHERE lower(name) = lower(:name) AND type IN ('table', 'view')",
        name,
    )
    if not found:
        return None
    name = found[0]["name"]
    is_strict = any(
        row["strict"]
        for row in rows("SELECT strict FROM pragma_table_list WHERE name = :name", name)
    )
    infos = rows("SELECT name, type, [notnull], dflt_value, pk, hidden"
                 " FROM pragma_table_xinfo(:name) ORDER BY cid", name)  # fmt: skip
    columns = [
        Column(
            row["name"],
            row["type"],
            _kind_of_sqlite(row["type"].upper()),
            _length_of(row["type"]),
            not row["notnull"] and row["dflt_value"] is None and not row["hidden"],
        )
        for row in infos
    ]
    indexes = [
        Index(
            row["name"],
            tuple(
                each["name"]
                for each in rows(
                    "SELECT name FROM pragma_index_info(:name) ORDER BY seqno", row["name"]
                )
            ),
            bool(row["unique"]),
            bool(row["partial"]),
            True,
            row["sql"],
        )
        for row in rows(
            "SELECT l.name, l.[unique], l.partial, m.sql FROM pragma_index_list(:name) l"
            " JOIN sqlite_master m ON m.type = 'index' AND m.name = l.name",
            name,
        )
    ]
    keys = sorted((row["pk"], row["name"]) for row in infos if row["pk"])
    return Table(
        None,
        name,
        "STRICT table" if is_strict else found[0]["type"],
        True,
        True,
        tuple(columns),
        tuple(indexes),
        tuple(key[1] for key in keys),
    )


def _kind_of_sqlite(declared: str) -> Kind:
    """By SQLite's rules of affinity (https://www.sqlite.org/datatype3.html); a uuid is a text."""
    if "INT" in declared:
        return Kind.INTEGER
    if any(word in declared for word in ("CHAR", "CLOB", "TEXT")) or declared == "UUID":
        return Kind.TEXT
    return Kind.OTHER


def _length_of(declared: str) -> int | None:
    found = re.search(r"\((\d+)\)", declared)
    return int(found[1]) if found else None
