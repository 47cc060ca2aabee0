"""Migrations: from nothing, twice, at the same time, down and up; and the unique indexes."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from paidonce.store import migrations
from paidonce.store.engine import Database, DatabaseUnavailable, Transaction, open_database
from paidonce.store.migrations import patience
from paidonce.store.migrations import run as runner

TABLES = {
    "answers",
    "captures",
    "comparisons",
    "customer_adoption",
    "declined_saves",
    "disputes",
    "erasures",
    "event_deliveries",
    "event_endpoints",
    "forgotten_intents",
    "fraud_warnings",
    "host_users",
    "installation",
    "order_claims",
    "orders",
    "outbox",
    "payment_attempts",
    "payment_events",
    "payment_methods",
    "payments",
    "products",
    "refunds",
    "schema_readers",
    "setups",
    "stripe_events",
    "users",
}


def tables_of(url: str) -> set[str]:
    """Ours, by their plain names."""

    def look(connection: sa.Connection) -> set[str]:
        schema = "paidonce" if connection.dialect.name == "postgresql" else None
        names = sa.inspect(connection).get_table_names(schema=schema)
        assert schema or all(name.startswith("paidonce_") for name in names)
        return {name.removeprefix("paidonce_") for name in names} - {"alembic_version"}

    return runner._with_connection(url, look)


def test_an_empty_database_is_brought_to_the_head(empty_database_url: str) -> None:
    assert migrations.current(empty_database_url) is None
    migrations.upgrade(empty_database_url)
    assert migrations.current(empty_database_url) == migrations.head()
    assert migrations.head() is not None
    assert tables_of(empty_database_url) == TABLES


def test_a_second_upgrade_changes_nothing(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    before = schema_of(empty_database_url)
    migrations.upgrade(empty_database_url)
    assert schema_of(empty_database_url) == before
    assert migrations.current(empty_database_url) == migrations.head()


def test_upgrades_at_the_same_time_are_one(empty_database_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrations.upgrade, [empty_database_url] * 6))
    assert migrations.current(empty_database_url) == migrations.head()
    assert tables_of(empty_database_url) == TABLES


def test_down_to_nothing_and_up_again_is_the_same_schema(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    before = schema_of(empty_database_url)
    migrations.downgrade(empty_database_url)
    assert migrations.current(empty_database_url) is None
    assert tables_of(empty_database_url) == set()
    migrations.upgrade(empty_database_url)
    assert schema_of(empty_database_url) == before


def test_an_upgrade_keeps_what_is_stored(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO paidonce_users (id, created_at) VALUES ('a', '2026')")
        connection.commit()
        migrations.upgrade(sqlite_url)
        assert connection.execute("SELECT id FROM paidonce_users").fetchall() == [("a",)]


def test_a_database_that_is_not_there_is_unavailable(tmp_path: Any) -> None:
    for url in (
        "postgresql://nobody@127.0.0.1:1/nothing",
        f"sqlite:///{tmp_path}/no/such/folder/file.db",
    ):
        with pytest.raises((DatabaseUnavailable, sqlite3.OperationalError)) as caught:
            migrations.upgrade(url)
        assert caught.type is DatabaseUnavailable, url


def test_the_hosts_own_tables_stay_apart(empty_postgres_url: str) -> None:
    def make_host_table(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE public.orders (mine text)"))

    runner._with_connection(empty_postgres_url, make_host_table)
    migrations.upgrade(empty_postgres_url)

    def look(connection: sa.Connection) -> list[str]:
        return [column["name"] for column in sa.inspect(connection).get_columns("orders", "public")]

    assert runner._with_connection(empty_postgres_url, look) == ["mine"]


def schema_of(url: str) -> dict[str, Any]:
    """Columns and indexes, as the database tells them."""

    def look(connection: sa.Connection) -> dict[str, Any]:
        inspector = sa.inspect(connection)
        schema = "paidonce" if connection.dialect.name == "postgresql" else None
        return {
            table: (
                [
                    (column["name"], str(column["type"]), column["nullable"])
                    for column in inspector.get_columns(table, schema)
                ],
                sorted(
                    (
                        str(index["name"]),
                        bool(index["unique"]),
                        index["column_names"],
                        sorted(map(str, index.get("dialect_options", {}).values())),
                    )
                    for index in inspector.get_indexes(table, schema)
                ),
                sorted(map(str, inspector.get_unique_constraints(table, schema))),
            )
            for table in sorted(inspector.get_table_names(schema=schema))
        }

    return runner._with_connection(url, look)


def test_both_databases_have_the_same_columns_and_indexes(
    sqlite_url: str, postgres_url: str
) -> None:
    def names(url: str) -> dict[str, Any]:
        def look(connection: sa.Connection) -> dict[str, Any]:
            inspector = sa.inspect(connection)
            schema = "paidonce" if connection.dialect.name == "postgresql" else None
            return {
                table.removeprefix("paidonce_"): (
                    [column["name"] for column in inspector.get_columns(table, schema)],
                    {
                        (plain, bool(index["unique"]))
                        for index in inspector.get_indexes(table, schema)
                        if (plain := str(index["name"]).removeprefix("paidonce_")).startswith("idx")
                    },
                )
                for table in inspector.get_table_names(schema=schema)
            }

        return runner._with_connection(url, look)

    assert names(sqlite_url) == names(postgres_url)


# --- the indexes that hold the rules -------------------------------------------------------------

NOW = "2026-11-01T00:00:00.000000+00:00"
STATEMENTS = {
    "user": "INSERT INTO users (id, stripe_customer_id, created_at) VALUES ('{id}', {more}, {now})",
    "order": "INSERT INTO orders (id, user_id, order_number, amount_minor, currency, status, items,"
    " details, metadata, created_at)"
    " VALUES ('{id}', 'u', '{more}', 440, 'usd', 'pending', '[]', '{{}}', '{{}}', {now})",
    "payment": "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor,"
    " currency, confirmation_method, method_policy, stripe_version, stripe_payment_intent_id,"
    " created_at) VALUES ('{id}', '{order}', 'u', {generation}, '{state}', 440, 'usd', 'automatic',"
    " 'attach', 'v', {intent}, {now})",
    "attempt": "INSERT INTO payment_attempts (id, payment_id, order_id, user_id, n, source, state,"
    " requested_method_id, is_saving_method, is_single_use, stripe_version, sends, lease_owner,"
    " lease_until, next_check_at, client_address, created_at)"
    " VALUES ('{id}', '{payment}', 'o', 'u', {n}, 'server', '{state}', 'pm_1', FALSE, FALSE, 'v',"
    " 0, '', {now}, {now}, '', {now})",
    "outbox": "INSERT INTO outbox (id, order_id, kind, subject, payload, created_at)"
    " VALUES ('{id}', 'o', '{kind}', '{subject}', '{{}}', {now})",
    "event": "INSERT INTO stripe_events (id, type, object_id, state, tries, next_try_at,"
    " event_created_at, received_at) VALUES ('{id}', 't', 'x', 'pending', 0, {now}, {now}, {now})",
    "method": "INSERT INTO payment_methods (id, user_id, stripe_payment_method_id,"
    " stripe_customer_id, state, is_listed, created_at, last_used_at)"
    " VALUES ('{id}', 'u', '{method}', 'cus_1', 'attached', FALSE, {now}, {now})",
    "installation": "INSERT INTO installation (id, namespace, mode, created_at)"
    " VALUES ({id}, 'n', 'test', {now})",
}
REFUSED = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)


class Books:
    """Rows written straight into the tables."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, table: str, /, **values: Any) -> None:
        now = f"'{NOW}'"
        sql = STATEMENTS[table].format(now=now, **values)
        await self._db.transaction("test", lambda tx: tx.execute(sql))

    async def refuses(self, table: str, /, **values: Any) -> None:
        with pytest.raises(REFUSED):
            await self.add(table, **values)


@pytest.fixture
async def books(database_url: str) -> Any:
    db = await open_database(database_url)
    found = Books(db)
    await found.add("user", id="u", more="NULL")
    await found.add("order", id="o", more="n-1")
    yield found
    await db.close()


def payment(payment_id: str, state: str, generation: int, intent: str = "NULL") -> dict[str, Any]:
    return {
        "id": payment_id,
        "order": "o",
        "state": state,
        "generation": generation,
        "intent": intent,
    }


@pytest.mark.parametrize("state", ["live", "authorized", "succeeded"])
async def test_an_order_has_one_standing_payment(books: Books, state: str) -> None:
    await books.add("payment", **payment("p1", state, 1))
    for other in ("live", "authorized", "succeeded"):
        await books.refuses("payment", **payment("p2", other, 2))
    await books.refuses("payment", **payment("p2", "canceled", 1))  # the generation is taken
    await books.add("payment", **payment("p2", "canceled", 2))
    await books.add("payment", **payment("p3", "surplus", 3))


async def test_a_retired_payment_makes_room_for_the_next_generation(books: Books) -> None:
    await books.add("payment", **payment("p1", "canceled", 1))
    await books.add("payment", **payment("p2", "live", 2))
    await books.refuses("payment", **payment("p3", "live", 3))


async def test_an_intent_belongs_to_one_payment(books: Books) -> None:
    await books.add("payment", **payment("p1", "canceled", 1, "'pi_1'"))
    await books.refuses("payment", **payment("p2", "live", 2, "'pi_1'"))
    await books.add("payment", **payment("p2", "live", 2, "'pi_2'"))


@pytest.mark.parametrize("state", ["open", "action"])
async def test_a_payment_has_one_live_attempt(books: Books, state: str) -> None:
    await books.add("payment", **payment("p1", "live", 1))
    await books.add("attempt", id="a0", payment="p1", n=1, state="declined")
    await books.add("attempt", id="a1", payment="p1", n=2, state=state)
    for other in ("open", "action"):
        await books.refuses("attempt", id="a2", payment="p1", n=3, state=other)
    await books.refuses("attempt", id="a2", payment="p1", n=2, state="declined")
    await books.add("attempt", id="a2", payment="p1", n=3, state="superseded")


async def test_a_customer_belongs_to_one_user(books: Books) -> None:
    await books.add("user", id="a", more="'cus_1'")
    await books.refuses("user", id="b", more="'cus_1'")
    await books.refuses("user", id="a", more="'cus_2'")
    await books.add("user", id="b", more="'cus_2'")
    await books.add("user", id="c", more="NULL")  # any number of users have none yet


async def test_ids_numbers_events_notices_and_methods_are_taken_once(books: Books) -> None:
    await books.refuses("order", id="o", more="n-2")
    await books.refuses("order", id="o2", more="n-1")
    await books.add("order", id="o2", more="n-2")
    await books.add("event", id="evt_1")
    await books.refuses("event", id="evt_1")
    await books.add("outbox", id="1", kind="order.paid", subject="")
    await books.refuses("outbox", id="2", kind="order.paid", subject="")
    await books.add("outbox", id="2", kind="order.refunded", subject="re_1")
    await books.refuses("outbox", id="3", kind="order.refunded", subject="re_1")
    await books.add("outbox", id="3", kind="order.refunded", subject="re_2")
    await books.add("method", id="spm_1", method="pm_1")
    await books.refuses("method", id="spm_2", method="pm_1")


async def test_a_database_belongs_to_one_installation(books: Books) -> None:
    await books.add("installation", id=1)
    await books.refuses("installation", id=1)
    await books.refuses("installation", id=2)


async def test_rows_hang_on_rows_that_exist(books: Books) -> None:
    await books.refuses("payment", **{**payment("p1", "live", 1), "order": "nothing"})
    await books.refuses("attempt", id="a1", payment="nothing", n=1, state="open")


async def test_an_order_of_nothing_is_refused(books: Books) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute("UPDATE orders SET amount_minor = 0")

    with pytest.raises(REFUSED):
        await books._db.transaction("test", work)


async def test_known_refunds_are_carried_over_and_no_other_payment_is_written(
    books: Books, database_url: str
) -> None:
    """Payments wait while the table is locked: a shop has millions of paid ones."""
    await books.add("order", id="o2", more="n-2")
    await books.add("payment", **payment("p1", "succeeded", 1))
    await books.add("payment", **{**payment("p2", "succeeded", 1), "order": "o2"})

    async def refund(tx: Transaction) -> None:
        await tx.execute("UPDATE orders SET amount_refunded_minor = 140 WHERE id = 'o'")

    await books._db.transaction("test", refund)

    await asyncio.to_thread(runner._with_connection, database_url, _downgrade)
    place = "0" if database_url.startswith("sqlite") else "CAST(xmin AS text)"
    select = f"SELECT {place} AS place FROM payments WHERE id = 'p2'"
    before = await books._db.read(lambda tx: tx.fetch_one(select))
    await asyncio.to_thread(migrations.upgrade, database_url)
    assert await books._db.read(lambda tx: tx.fetch_one(select)) == before
    known = await books._db.read(
        lambda tx: tx.fetch("SELECT amount_refunded_minor AS n FROM payments ORDER BY id")
    )
    assert [row["n"] for row in known] == [140, 0]


OLD_ENTRY = (
    "INSERT INTO outbox (id, order_id, kind, payload, created_at)"
    f" VALUES ('{{id}}', '{{order}}', 'order.paid', '{{{{}}}}', '{NOW}') ON CONFLICT DO NOTHING"
)


async def test_the_outbox_of_the_version_before_is_kept_and_goes_on_being_written(
    books: Books, database_url: str
) -> None:
    """A server of that version still runs beside the new schema."""

    async def write(entry_id: str, order_id: str) -> None:
        sql = OLD_ENTRY.format(id=entry_id, order=order_id)
        await books._db.transaction("test", lambda tx: tx.execute(sql))

    async def entries(columns: str) -> list[tuple[Any, ...]]:
        sql = f"SELECT {columns} FROM outbox ORDER BY id"
        return [tuple(row.values()) for row in await books._db.read(lambda tx: tx.fetch(sql))]

    for number in (2, 3):
        await books.add("order", id=f"o{number}", more=f"n-{number}")
    await asyncio.to_thread(runner._with_connection, database_url, _downgrade_to("0004"))
    await write("a", "o")
    await write("b", "o2")
    before = await entries("id, order_id, kind, payload, created_at")
    await asyncio.to_thread(migrations.upgrade, database_url)
    assert await entries("id, order_id, kind, payload, created_at") == before
    await write("c", "o3")
    await write("d", "o2")
    found = await entries("id, subject")
    assert found == [("a", ""), ("b", ""), ("c", "")]
    positions = [position or 0 for (position,) in await entries("position")]
    assert positions[2] > max(positions[:2])
    await books.add("outbox", id="e", kind="order.refunded", subject="r1")
    await books.add("outbox", id="f", kind="order.refunded", subject="r2")
    told = (
        "INSERT INTO event_deliveries"
        " (event_id, endpoint, order_id, position, state, next_try_at, created_at)"
        f" VALUES ('e', 'shop', 'o', 1, 'delivered', '{NOW}', '{NOW}')"
    )
    await books._db.transaction("test", lambda tx: tx.execute(told))
    await asyncio.to_thread(runner._with_connection, database_url, _downgrade_to("0004"))
    assert [entry for (entry,) in await entries("id")] == ["a", "b", "c"]
    await asyncio.to_thread(migrations.upgrade, database_url)


# --- under traffic -------------------------------------------------------------------------------


def _downgrade_to(revision: str) -> Callable[[sa.Connection], None]:
    return lambda connection: runner._alembic(connection, "downgrade", revision)


_downgrade = _downgrade_to("0002")


async def test_payments_pass_while_the_upgrade_waits_for_a_long_transaction(
    postgres_url: str,
) -> None:
    await asyncio.to_thread(runner._with_connection, postgres_url, _downgrade)
    long, other = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    try:
        transaction = long.transaction()
        await transaction.start()
        await long.fetch("SELECT * FROM paidonce.payments")
        upgrade = asyncio.create_task(asyncio.to_thread(migrations.upgrade, postgres_url))
        slowest, ends_at = 0.0, time.monotonic() + 2.5
        while time.monotonic() < ends_at:
            began = time.monotonic()
            await other.execute("UPDATE paidonce.payments SET amount_minor = amount_minor")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert not upgrade.done()
        await transaction.rollback()
        await upgrade
        assert slowest < 1.0  # LOCK_TIMEOUT is 0.3 s
    finally:
        await long.close()
        await other.close()
    assert migrations.current(postgres_url) == migrations.head()


async def test_an_upgrade_that_gets_no_lock_says_what_to_do(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LOCK_TRIES", 2)
    monkeypatch.setattr(patience, "LOCK_PAUSE_SECONDS", 0.01)
    await asyncio.to_thread(runner._with_connection, postgres_url, _downgrade)
    long = await asyncpg.connect(postgres_url)
    try:
        transaction = long.transaction()
        await transaction.start()
        await long.fetch("SELECT * FROM paidonce.payments")
        with pytest.raises(DatabaseUnavailable, match=r"pg_stat_activity .*run this again"):
            await asyncio.to_thread(migrations.upgrade, postgres_url)
        assert await asyncio.to_thread(migrations.current, postgres_url) == "0002"
        await transaction.rollback()
        await asyncio.to_thread(migrations.upgrade, postgres_url)
    finally:
        await long.close()
