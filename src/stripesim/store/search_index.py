"""What search sees, and when: an object's version is found only after a lag.

`visible_at` of an object's row is when its present version can be found; what it was before stands
in `search_versions` until then, with the searchable fields only. Nothing of this is kept for
objects that cannot be searched, or when there is no lag.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stripesim.store.database import Database

Json = dict[str, Any]
NEVER = 1e18
SHORTEST_LIFE = 1.0  # seconds; what one request writes and changes again is one version


@dataclass(frozen=True)
class Lag:
    """Seconds until a version can be found, and until it is found by every search."""

    first: float
    settled: float


@dataclass(frozen=True)
class Candidates:
    """A scan of one kind, newest first, narrowed by what an index or SQLite can tell.

    condition, values: SQL that is true of every object whose present version can match.
    """

    kind: str
    condition: str
    values: tuple[Any, ...]
    before: tuple[int, int] | None  # (created, seq), exclusive


class SearchIndex:
    """Keeps the versions, and reads candidates as a search at `now` sees them."""

    def __init__(
        self,
        database: Database,
        lags: dict[str, Lag],
        fields: dict[str, tuple[str, ...]],
        now: Callable[[], float],
    ) -> None:
        """`fields`: per kind the dotted names of what can be searched."""
        self._db = database
        self._lags = {kind: lag for kind, lag in lags.items() if lag.settled > 0}
        self._now = now
        self._fields = fields

    def visible_at(self, kind: str) -> float | None:
        """When a version written now can be found."""
        lag = self._lags.get(kind)
        return self._now() + lag.first if lag else None

    def keep_version(self, kind: str, object_id: str) -> None:
        """Called before the object's row changes."""
        lag = self._lags.get(kind)
        if lag is None:
            return
        now = self._now()
        self._db.execute("DELETE FROM search_versions WHERE until <= ?", now)
        self._db.execute(
            "INSERT INTO search_versions (object, visible_from, until, fields)"
            f" SELECT id, visible_at, ?, {_snapshot(self._fields[kind])} FROM objects"
            " WHERE id = ? AND visible_at < ?",
            now + lag.settled,
            object_id,
            now + lag.first - SHORTEST_LIFE,
        )

    def scan(self, wanted: Candidates, dice: random.Random) -> Iterator[tuple[int, Json, Json]]:
        """(seq, present body, fields as this search sees them); absent ones are left out.

        While a version settles, one search finds it and the next does not.
        """
        now = self._now()
        lag = self._lags.get(wanted.kind, Lag(0, 0))
        settled_before = now - (lag.settled - lag.first)
        where = ["kind = ?", "listed = 1"]
        values: list[Any] = [wanted.kind]
        if wanted.condition:
            where.append(f"({wanted.condition} OR visible_at > ?)")
            values += [*wanted.values, settled_before]
        if wanted.before:
            where.append("(created, seq) < (?, ?)")
            values += wanted.before
        rows = self._db.execute(
            f"SELECT seq, id, body, visible_at FROM objects WHERE {' AND '.join(where)}"
            " ORDER BY created DESC, seq DESC",
            *values,
        )
        for seq, object_id, body, visible_at in rows:
            present = json.loads(body)
            is_new = visible_at is None or visible_at <= settled_before
            if not is_new and visible_at <= now:
                is_new = dice.random() < 0.5
            if is_new:
                yield seq, present, present
            elif (earlier := self._version(wanted.kind, object_id, now)) is not None:
                yield seq, present, earlier

    def _version(self, kind: str, object_id: str, now: float) -> Json | None:
        found = self._db.row(
            "SELECT fields FROM search_versions WHERE object = ? AND visible_from <= ?"
            " ORDER BY visible_from DESC, seq DESC LIMIT 1",
            object_id,
            now,
        )
        return _nested(self._fields[kind], json.loads(found[0])) if found else None


def _snapshot(fields: tuple[str, ...]) -> str:
    """SQL of the fields' values as a JSON array; the names are constants."""
    paths = [f"'$.{name}'" for name in fields]
    return f"json_extract(body, {', '.join(paths)})"


def _nested(names: tuple[str, ...], values: list[Any]) -> Json:
    """`a.b` and 1 as `{"a": {"b": 1}}`."""
    out: Json = {}
    for name, value in zip(names, values, strict=True):
        node = out
        *path, last = name.split(".")
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value
    return out
