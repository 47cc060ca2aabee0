"""Whoever waits for SQLite's one writer waits for a bounded time, however many wait before him."""

import asyncio
import contextlib
import sqlite3
import time

import pytest

from paidonce.store import sqlite
from paidonce.store.engine import DatabaseUnavailable, Transaction, open_database, sqlite_path


async def nothing(tx: Transaction) -> None:
    await tx.fetch("SELECT 1")


async def test_a_locked_file_keeps_nobody_longer_than_the_queue_and_one_turn(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the queue's bound the tenth would wait for nine turns."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(sqlite, "QUEUE_SECONDS", 0.3)
    database = await open_database(sqlite_url)
    try:
        with contextlib.closing(sqlite3.connect(sqlite_path(sqlite_url))) as other:
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            waiting = [database.transaction("test", nothing) for _ in range(10)]
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(result, DatabaseUnavailable) for result in results), results
            assert time.monotonic() - started < 1.5
            other.execute("ROLLBACK")
        await database.transaction("test", nothing)
    finally:
        await database.close()
