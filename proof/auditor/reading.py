"""Stripe and our books as they stand, read with SQL and requests of the auditor's own."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import asyncpg

from proof.auditor.facts import Books, Json, Rows, Stripe

TABLES = (
    "orders",
    "payments",
    "payment_attempts",
    "payment_methods",
    "captures",
    "setups",
    "outbox",
    "event_endpoints",
    "event_deliveries",
    "refunds",
    "users",
    "stripe_events",
    "payment_events",
    "answers",
    "declined_saves",
    "forgotten_intents",
    "disputes",
    "fraud_warnings",
)


def read_stripe(get: Callable[[str], Json]) -> Stripe:
    """`get` fetches a path of the simulator as JSON, with the secret key."""
    audit = get("/_sim/audit?group_by=order_id")
    customers = list(_pages(get, "/v1/customers?limit=100"))
    succeeded = _pages(get, "/v1/events?type=charge.succeeded&limit=100")
    return Stripe(
        ledger={group["key"]: group for group in audit["groups"]},
        intents={intent["id"]: intent for intent in _pages(get, "/v1/payment_intents?limit=100")},
        charges=list(_pages(get, "/v1/charges?limit=100")),
        customers=customers,
        keys={
            event["data"]["object"]["id"]: event["request"]["idempotency_key"] or ""
            for event in succeeded
        },
        refunds=list(_pages(get, "/v1/refunds?limit=100")),
        cards=[
            card
            for customer in customers
            for card in _pages(get, f"/v1/customers/{customer['id']}/payment_methods?limit=100")
        ],
        setups=list(_pages(get, "/v1/setup_intents?limit=100")),
    )


def _pages(get: Callable[[str], Json], path: str) -> Iterator[Json]:
    after = ""
    while True:
        page = get(f"{path}{after}")
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


def read_books(database_url: str) -> Books:
    """Every row of the tables that matter; from SQLite, or from PostgreSQL's schema `paidonce`."""
    if database_url.startswith("sqlite:///"):
        path = database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return books_of(connection)
    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of its own
        return thread.submit(asyncio.run, _read_postgresql(database_url)).result()


def books_of(connection: sqlite3.Connection) -> Books:
    """The same of a SQLite database that is open already, for one that lives in memory."""
    found: dict[str, Rows] = {}
    for table in TABLES:
        cursor = connection.execute(f"SELECT * FROM paidonce_{table}")
        names = [column[0] for column in cursor.description]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor]
    return Books(found)


async def _read_postgresql(url: str) -> Books:
    connection = await asyncpg.connect(url)
    try:
        return await books_of_postgresql(connection)
    finally:
        await connection.close()


async def books_of_postgresql(connection: asyncpg.Connection) -> Books:
    """The same of a connection that is open already."""
    found: dict[str, Rows] = {}
    for table in TABLES:
        rows = await connection.fetch(f"SELECT * FROM paidonce.{table}")
        found[table] = [dict(row) for row in rows]
    return Books(found)
