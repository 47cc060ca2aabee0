"""What a long comparison has to remember, on disk: a temporary SQLite database of this process.

It is a file without a name that is gone with the process; memory holds a few pages of it. Ids are
a page's worth at a time, at most a few hundred.
"""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

CACHE_KIB = 2048
BATCH = 100


class FileUnusable(Exception):
    """A file of a command's own is full, broken or locked; the words say which, and why."""


class File(sqlite3.Connection):
    """Every way to it raises FileUnusable. `label` names it to a person; where SQLite puts a file
    without a name: https://www.sqlite.org/tempfiles.html, 5."""

    label = "the temporary file (SQLITE_TMPDIR or TMPDIR puts it elsewhere)"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        with self.as_unusable():
            return self.cursor(_Cursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        with self.as_unusable():
            return self.cursor(_Cursor).executemany(sql, parameters)

    @contextlib.contextmanager
    def as_unusable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise FileUnusable(f"{self.label} cannot be used: {error}") from error


class _Cursor(sqlite3.Cursor):
    """Rows are read as they are asked for, and may be what is broken."""

    connection: File

    def fetchone(self) -> Any:
        with self.connection.as_unusable():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self.connection.as_unusable():
            return super().fetchall()

    def __next__(self) -> Any:
        with self.connection.as_unusable():
            return super().__next__()


def open_kept(path: Path) -> File:
    """A file that stays, readable by its owner alone. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=File)
    db.label = f"the file {path}"
    return db


def open_scratch() -> File:
    """A temporary file, which an empty name is to SQLite."""
    db = sqlite3.connect("", isolation_level=None, check_same_thread=False, factory=File)
    for name, value in (
        ("cache_size", f"-{CACHE_KIB}"),
        ("journal_mode", "OFF"),
        ("synchronous", "OFF"),
        ("temp_store", "FILE"),
    ):
        db.execute(f"PRAGMA {name} = {value}")
    return db


class Scratch:
    """Ids seen at Stripe, and what is to be looked at once everything has been seen."""

    def __init__(self) -> None:
        self._db = open_scratch()
        for statement in (
            "CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE owners (user_id TEXT PRIMARY KEY, customer_id TEXT) WITHOUT ROWID",
            "CREATE TABLE put_off (order_id TEXT, intent_id TEXT, PRIMARY KEY (order_id,"
            " intent_id)) WITHOUT ROWID",
        ):
            self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def note_seen(self, ids: Collection[str]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(each,) for each in ids])

    def unseen(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that were never noted."""
        places = ", ".join("?" * len(ids))
        rows = self._db.execute(f"SELECT id FROM seen WHERE id IN ({places})", list(ids))
        return set(ids) - {row[0] for row in rows}

    def note_owner(self, user_id: str, customer_id: str) -> str:
        """The first customer that was noted for this user: this one, or an earlier one."""
        self._db.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", (user_id, customer_id))
        row = self._db.execute("SELECT customer_id FROM owners WHERE user_id = ?", (user_id,))
        return str(row.fetchone()[0])

    def put_off(self, order_id: str, intent_id: str) -> None:
        """Look at this intent of the order when all others are known."""
        self._db.execute("INSERT OR IGNORE INTO put_off VALUES (?, ?)", (order_id, intent_id))

    def list_put_off(self) -> Iterator[tuple[str, list[str]]]:
        """Every order with its intents, in the order of the orders' ids."""
        after = ""
        while True:
            rows = self._db.execute(
                "SELECT DISTINCT order_id FROM put_off WHERE order_id > ? ORDER BY order_id"
                f" LIMIT {BATCH}",
                (after,),
            ).fetchall()
            if not rows:
                return
            for (order_id,) in rows:
                after = order_id
                intents = self._db.execute(
                    "SELECT intent_id FROM put_off WHERE order_id = ?", (order_id,)
                )
                yield order_id, [row[0] for row in intents.fetchall()]
