"""Stripe's objects as JSON rows, with a column for everything that is looked up.

An object is a plain dict in the shape of the default API version. What only the simulator knows
about it lies under the key `_sim` and never leaves the house (`wire.render` drops it).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from stripesim.store.database import Database
from stripesim.store.search_index import SearchIndex

Json = dict[str, Any]
COLUMNS = ("customer", "payment_intent", "charge", "type", "email")
# Kinds that are looked up by one more of their fields, which stands in the column `ref`.
REFERENCES = {
    "balance_transaction": "currency",
    "charge": "transfer_group",
    "ephemeral_key": "digest",
    "setup_attempt": "setup_intent",
    "setup_intent": "payment_method",
}
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True)
class PageQuery:
    """Which page of which list.

    filters: values by column, the narrowest column first.
    created: {"gte": …} and the like.
    """

    kind: str
    limit: int = 10
    filters: dict[str, str] = field(default_factory=dict)
    created: dict[str, int] = field(default_factory=dict)
    starting_after: str | None = None
    ending_before: str | None = None
    condition: str = ""  # a further SQL condition, a constant of the caller's


class Objects:
    """Reads and writes objects by id, and pages through them newest first."""

    def __init__(self, database: Database, search: SearchIndex) -> None:
        self._db = database
        self._search = search

    def get(self, kind: str, object_id: str) -> Json | None:
        found = self._db.row("SELECT body FROM objects WHERE id = ? AND kind = ?", object_id, kind)
        return json.loads(found[0]) if found else None

    def find(self, object_id: str) -> Json | None:
        """The object of whatever kind."""
        found = self._db.row("SELECT body FROM objects WHERE id = ?", object_id)
        return json.loads(found[0]) if found else None

    def by_reference(self, kind: str, value: str) -> Json | None:
        """The object of a kind in REFERENCES that has this value there."""
        found = self._db.row(
            "SELECT body FROM objects WHERE kind = ? AND ref = ? ORDER BY created LIMIT 1",
            kind,
            value,
        )
        return json.loads(found[0]) if found else None

    def kinds(self) -> list[str]:
        """The kinds that there are, by one step through the index each."""
        rows = self._db.rows(
            "WITH RECURSIVE found(kind) AS (SELECT min(kind) FROM objects UNION ALL SELECT (SELECT"
            " min(kind) FROM objects WHERE objects.kind > found.kind) FROM found"
            " WHERE found.kind IS NOT NULL) SELECT kind FROM found WHERE kind IS NOT NULL"
        )
        return [row[0] for row in rows]

    def insert(self, obj: Json) -> None:
        self._db.execute(
            "INSERT INTO objects (id, kind, created, customer, payment_intent, charge, type,"
            " email, ref, visible_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            obj["id"],
            obj["object"],
            obj["created"] if "created" in obj else obj["_sim"]["created"],
            *_column_values(obj),
            self._search.visible_at(obj["object"]),
            json.dumps(obj, separators=(",", ":")),
        )

    def update(self, obj: Json) -> None:
        self._search.keep_version(obj["object"], obj["id"])
        self._db.execute(
            "UPDATE objects SET customer = ?, payment_intent = ?, charge = ?, type = ?, email = ?,"
            " ref = ?, visible_at = ?, body = ? WHERE id = ?",
            *_column_values(obj),
            self._search.visible_at(obj["object"]),
            json.dumps(obj, separators=(",", ":")),
            obj["id"],
        )

    def unlist(self, object_id: str) -> None:
        """Keep the object readable by id, but out of every list."""
        self._db.execute("UPDATE objects SET listed = 0 WHERE id = ?", object_id)

    def page(self, query: PageQuery) -> tuple[list[Json], bool]:
        """One page, newest first, and whether more follow in the direction of travel."""
        where = ["kind = ?", "listed = 1"]
        values: list[Any] = [query.kind]
        for place, (column, value) in enumerate(query.filters.items()):
            # The plus keeps SQLite from the index of any but the first, the narrowest.
            where.append(f"{'+' if place else ''}{column} = ?")
            values.append(value)
        for name, at in query.created.items():
            where.append(f"created {COMPARISONS[name]} ?")
            values.append(at)
        if query.condition:
            where.append(query.condition)
        cursor = query.starting_after or query.ending_before
        newest_first = query.ending_before is None
        if cursor:
            where.append(f"(created, seq) {'<' if newest_first else '>'} (?, ?)")
            values += self.position(query.kind, cursor) or (0, 0)
        order = "DESC" if newest_first else "ASC"
        rows = self._db.rows(
            f"SELECT body FROM objects WHERE {' AND '.join(where)}"
            f" ORDER BY created {order}, seq {order} LIMIT ?",
            *values,
            query.limit + 1,
        )
        found = [json.loads(row[0]) for row in rows[: query.limit]]
        if not newest_first:
            found.reverse()
        return found, len(rows) > query.limit

    def position(self, kind: str, object_id: str) -> tuple[int, int] | None:
        """Where an object stands in the order of its list."""
        found = self._db.row(
            "SELECT created, seq FROM objects WHERE id = ? AND kind = ?", object_id, kind
        )
        return (found[0], found[1]) if found else None

    def count(self, kind: str, column: str, value: str) -> int:
        found = self._db.row(
            f"SELECT count(*) FROM objects WHERE kind = ? AND {column} = ? AND listed = 1",
            kind,
            value,
        )
        return int(found[0]) if found else 0

    def last_seq(self) -> int:
        found = self._db.row("SELECT max(seq) FROM objects")
        return int(found[0] or 0) if found else 0


def _reference(obj: Json, name: str) -> Any:
    return obj[name] if name in obj else (obj.get("_sim") or {}).get(name)


def _column_values(obj: Json) -> list[str | None]:
    values = [obj.get(column) for column in COLUMNS]
    if obj.get("attach_to_self"):  # a SetupIntent has no type of its own
        values[COLUMNS.index("type")] = "attach_to_self"
    reference = REFERENCES.get(obj["object"])
    values.append(_reference(obj, reference) if reference else None)
    return [value if isinstance(value, str) else None for value in values]
