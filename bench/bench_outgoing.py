"""Outgoing events: how fast one worker tells a quick endpoint of a queue of them.

    .venv/bin/python bench/bench_outgoing.py [--events 2000] [--sqlite]

The endpoint is another process that answers 204 at once; the database SQLite, or the PostgreSQL
that the tests use. Every order has two events, so that order is kept as in life. Nothing is printed
unless each event came once, an order's in order, and all are delivered by our books.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from paidonce import outgoing
from paidonce.domain.clock import SystemClock
from paidonce.endpoints import new_secret
from paidonce.main.parts import close_context, open_context
from paidonce.observability import configure_logging
from paidonce.payments.context import Context
from paidonce.store import events, migrations
from paidonce.store.engine import Transaction

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.postgres import start_postgres  # type: ignore[import-not-found]
from support.service import make_settings  # type: ignore[import-not-found]

TYPES = ("payment.failed", "order.paid")
NO_STRIPE = SimpleNamespace(
    secret_key="sk_test_x", publishable_key="pk_test_x", url="http://127.0.0.1:1"
)
ENDPOINT = """
import asyncio, json, sys
async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
            event = json.loads(await reader.readexactly(size))
            told.append([event["data"]["orderId"], event["type"], event["id"]])
            writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(told), flush=True)
told = []
asyncio.run(main())
"""


async def fill(ctx: Context, count: int) -> None:
    async def work(tx: Transaction) -> None:
        now = datetime.now(UTC)
        await tx.execute("INSERT INTO users (id, created_at) VALUES ('u', $1)", now)
        for number in range(count // len(TYPES)):
            order_id = str(uuid4())
            await tx.execute(
                "INSERT INTO orders (id, user_id, order_number, amount_minor, currency, status,"
                " items, details, metadata, created_at)"
                " VALUES ($1, 'u', $2, 44000, 'usd', 'paid', '[]', '{}', '{}', $3)",
                order_id,
                f"n-{number}",
                now,
            )
            for kind in TYPES:
                await events.add_to_outbox(tx, str(uuid4()), order_id, kind, "", "{}", now)

    await ctx.db.transaction("test", work)


async def measure(url: str, count: int) -> float:
    with subprocess.Popen(
        [sys.executable, "-c", ENDPOINT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as endpoint:
        assert endpoint.stdout and endpoint.stdin
        place: dict[str, Any] = {
            "event_endpoints": f"http://127.0.0.1:{int(endpoint.stdout.readline())}/",
            "event_secrets": new_secret(),
            "event_allow_loopback": True,
        }
        ctx = await open_context(make_settings(url, NO_STRIPE, **place), SystemClock())
        try:
            await outgoing.register(ctx)
            await fill(ctx, count)
            began = time.perf_counter()
            await outgoing.deliver_once(ctx)
            seconds = time.perf_counter() - began
            left = "SELECT event_id FROM event_deliveries WHERE state <> 'delivered'"
            assert await ctx.db.read(lambda tx: tx.fetch(left)) == []
        finally:
            await close_context(ctx)
        endpoint.stdin.write("\n")
        endpoint.stdin.flush()
        told = json.loads(endpoint.stdout.readline())
    assert len({event_id for _, _, event_id in told}) == len(told) == count
    orders: dict[str, list[str]] = {}
    for order_id, kind, _ in told:
        orders.setdefault(order_id, []).append(kind)
    assert all(tuple(kinds) == TYPES for kinds in orders.values())
    return count / seconds


@contextlib.contextmanager
def database(is_sqlite: bool) -> Iterator[str]:
    if is_sqlite:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/paidonce.db"
        return
    server = start_postgres()
    try:
        yield server.url(server.create_database())
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    configure_logging(level="WARNING")
    with database(options.sqlite) as url:
        migrations.upgrade(url)
        rate = asyncio.run(measure(url, options.events))
    name = "SQLite" if options.sqlite else "PostgreSQL"
    print(f"{name}: {options.events} events told in order, {rate:.0f} a second, one worker")


if __name__ == "__main__":
    main()
