"""Outgoing events in the database: what two workers do at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paidonce.domain.outgoing import OutgoingEvent
from paidonce.store import outbox
from paidonce.store.engine import Database, Transaction, open_database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    """PostgreSQL: on SQLite nothing happens at the same moment."""
    database = await open_database(postgres_url)
    yield database
    await database.close()


async def test_the_next_event_is_due_at_once_also_for_whoever_looked_a_moment_too_early(
    db: Database,
) -> None:
    first = await two_events_of_an_order(db)

    async def tell(tx: Transaction) -> None:
        await outbox.record_delivered(tx, "shop", first, 200, NOW)

    async def take(tx: Transaction) -> list[Any]:
        """Finds the second event due behind the first, which somebody has just sent."""
        early = _Early(tx)
        due = asyncio.ensure_future(
            outbox.take_due(early, "shop", "other", NOW, NOW + LEASE, 16)  # type: ignore[arg-type]
        )
        await early.has_looked.wait()
        telling = asyncio.ensure_future(db.transaction("tell", tell))
        await asyncio.wait([telling], timeout=0.1)  # done, or waiting for us
        early.go_on.set()
        return [await due, telling]

    (taken, _), telling = await db.transaction("take", take)
    await telling
    assert taken == []
    rows = await db.read(
        lambda tx: tx.fetch("SELECT state, next_try_at FROM event_deliveries ORDER BY position")
    )
    assert [row["state"] for row in rows] == ["delivered", "pending"]
    assert rows[1]["next_try_at"] == NOW, "it would wait for a lease that nobody has"


async def test_an_event_is_due_at_once_also_for_a_worker_that_began_before_it_was_spread(
    db: Database,
) -> None:
    """Two lanes look at their clocks, and the one that looked later is the quicker one."""
    await spread_two_events(db, NOW + LEASE)
    assert await db.read(lambda tx: outbox.has_work(tx, "shop", NOW))


async def test_an_event_of_a_fast_clock_waits_for_no_slow_one(db: Database) -> None:
    await spread_two_events(db, NOW - LEASE)
    assert await db.read(lambda tx: outbox.has_work(tx, "shop", NOW - LEASE))


class _Early:
    """A transaction whose worker stops for a moment after his look, before he writes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.has_looked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fetch, self.fetch_one = tx.fetch, tx.fetch_one

    async def execute(self, sql: str, *args: Any) -> int:
        self.has_looked.set()
        await self.go_on.wait()
        return await self._tx.execute(sql, *args)


async def two_events_of_an_order(db: Database) -> OutgoingEvent:
    """Both spread to one endpoint; the first is in somebody's hands."""
    await spread_two_events(db, NOW)
    due, _ = await db.transaction(
        "x", lambda tx: outbox.take_due(tx, "shop", "one", NOW, NOW + LEASE, 1)
    )
    return due[0].event


async def spread_two_events(db: Database, spread_at: datetime) -> None:
    """Of one order, at NOW; the spreader's clock may say something else."""

    async def work(tx: Transaction) -> None:
        await tx.execute("INSERT INTO users (id, created_at) VALUES ('alice', $1)", NOW)
        await tx.execute(
            "INSERT INTO orders (id, user_id, order_number, amount_minor, currency, status,"
            " amount_refunded_minor, items, details, metadata, created_at) VALUES"
            " ('o', 'alice', 'ORD-1', 500, 'usd', 'paid', 0, '[]', '{}', '{}', $1)",
            NOW,
        )
        await outbox.register_endpoints(tx, ["shop"], NOW)
        for kind in ("payment.failed", "order.paid"):
            await tx.execute(
                "INSERT INTO outbox (id, order_id, kind, payload, created_at)"
                " VALUES ($1, 'o', $1, '{}', $2)",
                kind,
                NOW,
            )
        assert await outbox.spread(tx, spread_at, 10) == 2

    await db.transaction("x", work)
