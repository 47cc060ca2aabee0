"""`paidonce db upgrade` on a users table with a million rows, with the host's traffic running.

    .venv/bin/python bench/bench_migration.py [--rows 1000000] [--rounds 3]

PostgreSQL is the one that the tests use, here with fsync. Readers and writers of the host (a row by
its id, an update of one, an insert) run against the table all the time; the slowest of their
statements while the upgrade runs says for how long anybody was kept waiting. Three databases a
round: a table as it was, one on which the bug report's own SQL has been run, and, to compare, the
same change made by the report's SQL with a unique index: one transaction, not concurrently.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from paidonce.store import migrations

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import postgres  # type: ignore[import-not-found]
from support.legacy import REPORT_SQL, Legacy  # type: ignore[import-not-found]

QUIET_SECONDS = 3.0
READERS, WRITERS = 2, 2


@dataclass
class Traffic:
    """What the host's statements took, in milliseconds."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)

    def take(self) -> "Traffic":
        """What came since the last time."""
        taken = Traffic(self.reads[:], self.writes[:])
        self.reads.clear()
        self.writes.clear()
        return taken


async def read(url: str, rows: int, traffic: Traffic) -> None:
    connection = await asyncpg.connect(url)
    try:
        while True:
            began = time.perf_counter()
            await connection.fetch("SELECT * FROM users WHERE id = $1", random.randint(1, rows))
            traffic.reads.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.002)
    finally:
        await connection.close()


async def write(url: str, rows: int, traffic: Traffic, first_id: int) -> None:
    connection = await asyncpg.connect(url)
    update = "UPDATE users SET nick = nick || '.' WHERE id = $1"
    insert = "INSERT INTO users (id, email, nick) VALUES ($1, 'new@shop.example', 'new')"
    try:
        for user_id in range(first_id, first_id + 10_000_000):
            for sql, value in ((update, random.randint(1, rows)), (insert, user_id)):
                began = time.perf_counter()
                await connection.execute(sql, value)
                traffic.writes.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.002)
    finally:
        await connection.close()


def paidonce_upgrade(url: str) -> None:
    migrations.upgrade(url)


def report_sql(url: str) -> None:
    unique = REPORT_SQL[1].replace("INDEX", "UNIQUE INDEX", 1)
    Legacy(url).run("BEGIN; " + "; ".join([REPORT_SQL[0], unique]) + "; COMMIT")


async def with_traffic(url: str, rows: int, change: Callable[[str], None]) -> tuple[Any, ...]:
    """Seconds of the change, and the traffic before and while it ran."""
    traffic = Traffic()
    works: list[Coroutine[Any, Any, None]] = [read(url, rows, traffic) for _ in range(READERS)]
    works += [write(url, rows, traffic, rows + 1 + n * 10_000_000) for n in range(WRITERS)]
    tasks = [asyncio.create_task(work) for work in works]
    await asyncio.sleep(QUIET_SECONDS)
    before = traffic.take()
    began = time.perf_counter()
    await asyncio.to_thread(change, url)
    seconds = time.perf_counter() - began
    during = traffic.take()
    for task in tasks:
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seconds, before, during


def line(name: str, seconds: float, before: Traffic, during: Traffic) -> list[float]:
    figures = [
        seconds,
        max(before.reads),
        max(before.writes),
        max(during.reads, default=0.0),
        max(during.writes, default=0.0),
        len(during.reads),
        len(during.writes),
    ]
    print(
        f"{name:24}{seconds:7.2f} s   before: read {figures[1]:6.1f} write {figures[2]:6.1f} ms"
        f"   during: read {figures[3]:7.1f} write {figures[4]:7.1f} ms"
        f"   ({figures[5]:.0f} reads, {figures[6]:.0f} writes)",
        flush=True,
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    postgres.SERVER_OPTIONS.update(fsync="on", synchronous_commit="on", full_page_writes="on")
    server = postgres.start_postgres()
    kinds: list[tuple[str, tuple[str, ...], Callable[[str], None]]] = [
        ("db upgrade", (), paidonce_upgrade),
        ("db upgrade, report's SQL", REPORT_SQL, paidonce_upgrade),
        ("report's SQL, unique", (), report_sql),
    ]
    found: dict[str, list[list[float]]] = {}
    try:
        for _ in range(flags.rounds):
            for name, sql, change in kinds:
                database = server.create_database()
                url = server.url(database)
                legacy = Legacy(url)
                legacy.run(
                    "CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(320), nick TEXT)",
                    "INSERT INTO users SELECT n, 'user' || n || '@shop.example', 'nick'"
                    f" FROM generate_series(1, {flags.rows}) AS n",
                    *sql,
                    "VACUUM ANALYZE users",
                )
                result = asyncio.run(with_traffic(url, flags.rows, change))
                found.setdefault(name, []).append(line(name, *result))
                if change is paidonce_upgrade:
                    assert legacy.indexes() == {"idx_users_stripe_customer_id": True}
                server.drop_database(database)
    finally:
        server.stop()
    print(f"medians of {flags.rounds} rounds, {flags.rows:,} rows")
    for name, lines in found.items():
        medians = [statistics.median(column) for column in zip(*lines, strict=True)]
        print(
            f"{name:24}{medians[0]:7.2f} s   slowest before: read {medians[1]:.1f} write"
            f" {medians[2]:.1f} ms   during: read {medians[3]:.1f} write {medians[4]:.1f} ms"
        )


if __name__ == "__main__":
    main()
