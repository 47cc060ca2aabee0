"""A long queue of Stripe's events: how fast workers drain it, and in how much memory.

    .venv/bin/python bench/bench_events.py [--events 10000 100000] [--workers 1 2] [--sqlite]

The worker is `paidonce worker`, a real process; the simulator another; PostgreSQL the one that the
tests use. The queue holds every kind of event about 200 orders that were paid at Stripe behind our
back, and some of somebody else's intents. Nothing is printed for a size unless every event was
worked on exactly once, every order is paid by our books and was charged once. Memory is the
worker's largest resident size, sampled every 50 ms. At the end: what the look at the inbox's state
for the metrics takes with a million events of 90 days in it.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from paidonce.payments.hints import OUTCOME_TYPES
from paidonce.store import inbox, migrations
from paidonce.store.engine import Transaction, open_database
from paidonce.store.inbox import InboxEvent
from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from e2e.serving import environment  # type: ignore[import-not-found]
from support.postgres import start_postgres  # type: ignore[import-not-found]
from support.processes import Process, script  # type: ignore[import-not-found]
from support.service import NEEDS_3DS, running_service  # type: ignore[import-not-found]

ORDERS = 200
SAMPLE_SECONDS = 0.05
KINDS = (*sorted(OUTCOME_TYPES), "charge.refunded", "invoice.paid")


def make_orders(url: str, simulator: Any) -> list[tuple[str, str]]:
    """Orders whose challenge was passed, of which nobody has told us: (order, intent)."""
    orders = []
    with running_service(url, simulator) as service:
        for _ in range(ORDERS):
            order_id = service.order()
            answer = service.pay(order_id, simulator.create_card(NEEDS_3DS)).json()
            intent_id = answer["data"]["paymentIntentId"]
            simulator.authenticate(intent_id, "success")
            orders.append((order_id, intent_id))
    return orders


def make_events(count: int, orders: list[tuple[str, str]]) -> Iterator[InboxEvent]:
    at = datetime.now(UTC)
    for number in range(count):
        order_id, intent_id = orders[number // 20 % ORDERS]
        is_foreign = number % 7 == 6
        yield InboxEvent(
            f"evt_queued_{number}",
            KINDS[number % len(KINDS)],
            f"ch_{number}",
            "pi_of_somebody" if is_foreign else intent_id,
            None if is_foreign else order_id,
            at,
        )


async def queue(url: str, events: list[InboxEvent]) -> None:
    db = await open_database(url)
    now = datetime.now(UTC)
    try:
        for start in range(0, len(events), 1000):
            some = events[start : start + 1000]

            async def insert(tx: Transaction, some: list[InboxEvent] = some) -> None:
                for event in some:
                    await inbox.insert_event_once(tx, event, now)

            await db.transaction("bench", insert)
    finally:
        await db.close()


async def look(url: str, sql: str) -> list[dict[str, Any]]:
    db = await open_database(url)
    try:
        return await db.read(lambda tx: _rows(tx, sql))
    finally:
        await db.close()


async def _rows(tx: Transaction, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await tx.fetch(sql)]


def rows(url: str, sql: str) -> list[dict[str, Any]]:
    return asyncio.run(look(url, sql))


def drain(url: str, simulator: Any, workers: int) -> tuple[float, float]:
    """Seconds until nothing is pending, and the largest worker's MiB."""
    settings = environment(url, simulator.url)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        began, peak = time.perf_counter(), 0
        running = []
        for number in range(workers):
            log_folder = Path(folder, str(number))
            log_folder.mkdir()
            command = [script("paidonce"), "worker"]
            process = Process(command, log_folder=log_folder, environment=settings)
            stack.callback(process.clean_up)
            running.append(process)
        next_look = began + 1
        while True:
            time.sleep(SAMPLE_SECONDS)
            for process in running:
                assert process.is_running(), process.stderr()
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            if time.perf_counter() > next_look:
                next_look = time.perf_counter() + 0.5
                left = rows(
                    url, "SELECT 1 AS one FROM stripe_events WHERE state = 'pending' LIMIT 1"
                )
                if not left:
                    return time.perf_counter() - began, peak / 2**20


def check(url: str, simulator: Any, count: int) -> None:
    found = rows(url, "SELECT state, tries, count(*) AS n FROM stripe_events GROUP BY state, tries")
    assert {(row["state"], row["tries"]) for row in found} == {("done", 1), ("ignored", 1)}, found
    assert sum(row["n"] for row in found) == count
    paid = rows(url, "SELECT count(*) AS n FROM orders WHERE status = 'paid'")
    notices = rows(url, "SELECT count(*) AS n FROM outbox WHERE kind = 'order.paid'")
    assert (paid[0]["n"], notices[0]["n"]) == (ORDERS, ORDERS)
    groups = simulator.audit(group_by="order_id")["groups"]
    assert [group["succeeded_charges"] for group in groups] == [1] * ORDERS


def run(make_url: Any, count: int, workers: int) -> tuple[float, float]:
    url = make_url()
    migrations.upgrade(url)
    with SimulatorProcess() as simulator:
        orders = make_orders(url, simulator)
        asyncio.run(queue(url, list(make_events(count, orders))))
        seconds, mib = drain(url, simulator, workers)
        check(url, simulator, count)
    return count / seconds, mib


async def time_of_state(url: str, count: int) -> float:
    """Seconds of one look at an inbox with `count` finished events; the median of three."""
    db = await open_database(url)
    try:
        for first in range(0, count, 100_000):
            fill = partial(fill_inbox, first=first, has_series=db.has_schemas)
            await db.transaction("bench", fill)
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            assert (await db.read(inbox.get_inbox_state)).pending == 0
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)
    finally:
        await db.close()


async def fill_inbox(tx: Transaction, *, first: int, has_series: bool) -> None:
    """100,000 finished events, as long as real ones."""
    numbers = (
        f"generate_series({first}, {first + 99_999}) AS n"
        if has_series
        else f"(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s"
        f" WHERE n < {first + 99_999}) SELECT n FROM s)"
    )
    await tx.execute(
        "INSERT INTO stripe_events (id, type, object_id, stripe_payment_intent_id, order_id, state,"
        " tries, next_try_at, note, event_created_at, received_at, worked_at)"
        " SELECT 'evt_3xVv35SimOneAcct' || n, 'payment_intent.succeeded', 'pi_3xVv35SimOneAcct'"
        " || n, 'pi_3xVv35SimOneAcct' || n, '7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f', 'done', 1,"
        f" $1, 'known already', $1, $1, $1 FROM {numbers}",
        datetime.now(UTC),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kept", type=int, default=1_000_000, help="events of the last look")
    parser.add_argument("--sqlite", action="store_true", help="a SQLite file instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        server = None if arguments.sqlite else start_postgres()
        if server is not None:
            stack.callback(server.stop)
        names = iter(range(1_000_000))

        def make_url() -> str:
            if server is None:
                return f"sqlite:///{folder}/{next(names)}.db"
            return str(server.url(server.create_database()))

        for workers in arguments.workers:
            for count in arguments.events:
                found = [run(make_url, count, workers) for _ in range(arguments.rounds)]
                rate = statistics.median(rate for rate, _ in found)
                mib = max(mib for _, mib in found)
                print(
                    f"{count:8,} events, {workers} worker(s){rate:8.0f}/s{mib:8.1f} MiB", flush=True
                )
        url = make_url()
        migrations.upgrade(url)
        seconds = asyncio.run(time_of_state(url, arguments.kept))
        print(f"state of {arguments.kept:,} events: {seconds * 1000:.0f} ms")


if __name__ == "__main__":
    main()
