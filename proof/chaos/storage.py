"""SQLite inline: the service's own statements and transactions, without its threads.

One connection in memory stands for the file that all instances share: a transaction runs in one go,
as BEGIN IMMEDIATE makes them wait for each other in the file. What was committed outlives every
crash; a machine that dies before its turn has written nothing.
"""

import asyncio
import functools
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from paidonce.store import migrations
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.store.sqlite import SqliteDatabase
from paidonce.store.users_table import OWN
from proof.chaos.world import World


def open_shared() -> sqlite3.Connection:
    """A migrated database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_migrated())
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@functools.cache
def _migrated() -> bytes:
    """Migrations are run once a process; every seed begins with a copy of the result."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chaos.db"
        migrations.upgrade(f"sqlite:///{path}")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        return path.read_bytes()


class InlineDatabase(SqliteDatabase):
    """One machine's door to the shared database."""

    def __init__(self, world: World, connection: sqlite3.Connection, name: str) -> None:
        self.users = OWN
        self._world = world
        self._dice = world.dice(f"database {name}")
        self._writer: Any = None
        self._reader: Any = None
        self._write_connection = self._read_connection = connection

    async def _submit(self, executor: Any, run: Any, work: Any) -> Any:
        """A pause before and after: there a machine can be overtaken, or die."""
        fate = self._fate(is_write=run == self._write)
        await asyncio.sleep(self._pause(fate))
        if fate == "unavailable":
            raise DatabaseUnavailable("the database went away")
        if fate == "unknown_lost":
            raise UnknownCommit("the connection broke before the commit")
        try:
            result = run(work)
        finally:
            await asyncio.sleep(self._pause(None))
        if fate == "unknown_made":
            raise UnknownCommit("the connection broke after the commit")
        return result

    async def close(self) -> None:
        """The connection belongs to all."""

    def _pause(self, fate: str | None) -> float:
        if fate == "stall":
            return self._dice.uniform(0.1, 6.0)
        return self._dice.random() * 0.004

    def _fate(self, *, is_write: bool) -> str | None:
        for kind, chance in self._world.weather.database.items():
            if self._dice.random() < chance:
                if not is_write and kind.startswith("unknown"):
                    continue
                self._world.strikes(f"database {kind}")
                return kind
        return None
