"""The engine on both databases: commit, rollback, faults around them, several processes."""

import asyncio
import sqlite3
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from paidonce.domain.model import Product
from paidonce.store import orders, postgresql, sqlite, users
from paidonce.store.engine import (
    Database,
    DatabaseUnavailable,
    Transaction,
    UnknownCommit,
    open_database,
)
from support.processes import StartProcess

NOW = datetime(2026, 11, 1, 12, 30, 15, 123_456, tzinfo=UTC)


def insert_user(user_id: str) -> Callable[[Transaction], Any]:
    return lambda tx: users.ensure_user(tx, user_id, None, NOW)


async def user_ids(db: Database) -> list[str]:
    async def work(tx: Transaction) -> list[str]:
        return [row["id"] for row in await tx.fetch("SELECT id FROM users ORDER BY id")]

    return await db.read(work)


# --- commit and rollback -------------------------------------------------------------------------


async def test_a_transaction_commits_all_and_gives_its_result(db: Database) -> None:
    async def work(tx: Transaction) -> str:
        await insert_user("a")(tx)
        await insert_user("b")(tx)
        return "done"

    assert await db.transaction("test", work) == "done"
    assert await user_ids(db) == ["a", "b"]


async def test_an_exception_rolls_everything_back_and_comes_through(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await db.transaction("test", work)
    assert await user_ids(db) == []
    await db.transaction("test", insert_user("b"))
    assert await user_ids(db) == ["b"]


async def test_a_statement_that_is_refused_rolls_everything_back(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        await tx.execute("INSERT INTO users (id, created_at) VALUES ($1, $2)", "a", NOW)

    with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
        await db.transaction("test", work)
    assert await user_ids(db) == []
    await db.transaction("test", insert_user("b"))
    assert await user_ids(db) == ["b"]


async def test_a_transaction_sees_its_own_writes(
    db: Database,
) -> None:
    async def work(tx: Transaction) -> int:
        await insert_user("a")(tx)
        return len(await tx.fetch("SELECT id FROM users"))

    assert await db.transaction("test", work) == 1
    assert await user_ids(db) == ["a"]


async def test_the_number_of_changed_rows_is_told(db: Database) -> None:
    async def work(tx: Transaction) -> list[int]:
        insert = "INSERT INTO users (id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
        update = "UPDATE users SET email = $1 WHERE email IS NULL"
        return [
            await tx.execute(insert, "a", NOW),
            await tx.execute(insert, "a", NOW),
            await tx.execute(insert, "b", NOW),
            await tx.execute(update, "x@y"),
            await tx.execute(update, "x@y"),
            await tx.execute("DELETE FROM users WHERE id = $1", "a"),
        ]

    assert await db.transaction("test", work) == [1, 0, 1, 2, 0, 1]


async def test_concurrent_transactions_lose_no_update(db: Database) -> None:
    await db.transaction("test", insert_user("a"))

    async def work(tx: Transaction) -> None:
        row = await tx.fetch_one(
            "SELECT customer_key_no AS n FROM users WHERE id = $1 FOR UPDATE", "a"
        )
        assert row is not None
        await tx.execute("UPDATE users SET customer_key_no = $1 WHERE id = $2", row["n"] + 1, "a")

    await asyncio.gather(*(db.transaction("test", work) for _ in range(25)))
    user = await db.read(lambda tx: users.get_user(tx, "a"))
    assert user.customer_key_no == 25


async def test_a_caller_that_goes_away_leaves_a_usable_database(db: Database) -> None:
    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        for _ in range(20):
            await tx.fetch("SELECT id FROM users")

    task = asyncio.create_task(db.transaction("test", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await db.transaction("test", insert_user("b"))
    assert await user_ids(db) in (["b"], ["a", "b"])


async def test_deadlocks_are_run_again(pg: Database) -> None:
    """Each has the row that the other one wants: PostgreSQL ends one, and the engine repeats it."""
    for user_id in ("a", "b"):
        await pg.transaction("test", insert_user(user_id))
    runs, holding, both_have_one = 0, 0, asyncio.Event()

    def change(first: str, second: str) -> Callable[[Transaction], Any]:
        async def work(tx: Transaction) -> None:
            nonlocal runs, holding
            runs += 1
            await tx.execute("SET LOCAL deadlock_timeout = '100ms'")
            await tx.execute("UPDATE users SET email = $1 WHERE id = $2", f"{first}@x", first)
            holding += 1
            if holding == 2:
                both_have_one.set()
            await asyncio.wait_for(both_have_one.wait(), 10)
            await tx.execute("UPDATE users SET email = $1 WHERE id = $2", f"{first}@x", second)

        return work

    await asyncio.gather(
        pg.transaction("test", change("a", "b")), pg.transaction("test", change("b", "a"))
    )
    assert runs >= 3
    emails = [await pg.read(lambda tx, each=each: users.get_user(tx, each)) for each in "ab"]
    assert emails[0].email == emails[1].email


# --- values --------------------------------------------------------------------------------------


async def test_times_come_back_aware_in_utc_to_the_microsecond(db: Database) -> None:
    moments = [
        NOW,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2099, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2026, 11, 1, tzinfo=UTC),
    ]

    async def work(tx: Transaction) -> None:
        for number, moment in enumerate(moments):
            await users.ensure_user(tx, str(number), None, moment)

    await db.transaction("test", work)
    for number, moment in enumerate(moments):
        user_id = str(number)
        user = await db.read(lambda tx, user_id=user_id: users.get_user(tx, user_id))
        assert user.created_at == moment
        assert user.created_at.utcoffset() == timedelta(0)
        assert user.customer_requested_at is None


async def test_times_compare_in_sql_as_they_do_in_python(db: Database) -> None:
    whole = NOW.replace(microsecond=0)
    moments = [whole, whole + timedelta(microseconds=1), whole + timedelta(seconds=1)]

    async def work(tx: Transaction) -> list[str]:
        for number, moment in enumerate(moments):
            await users.ensure_user(tx, str(number), None, moment)
        east = moments[1].astimezone(timezone(timedelta(hours=9)))
        rows = await tx.fetch("SELECT id FROM users WHERE created_at < $1", east)
        later = await tx.fetch("SELECT id FROM users WHERE created_at >= $1 ORDER BY id", east)
        return [row["id"] for row in [*rows, *later]]

    assert await db.transaction("test", work) == ["0", "1", "2"]


async def test_booleans_come_back_as_booleans(db: Database) -> None:
    sql = (
        "INSERT INTO payment_methods (id, user_id, stripe_payment_method_id, stripe_customer_id,"
        " state, is_listed, created_at, last_used_at)"
        " VALUES ($1, 'u', $1, 'cus_1', 'attached', $2, $3, $3)"
    )

    async def work(tx: Transaction) -> list[Any]:
        await insert_user("u")(tx)
        await tx.execute(sql, "a", True, NOW)
        await tx.execute(sql, "b", False, NOW)
        found = await tx.fetch("SELECT is_listed FROM payment_methods ORDER BY id")
        listed = await tx.fetch("SELECT id FROM payment_methods WHERE is_listed")
        computed = await tx.fetch_one("SELECT EXISTS (SELECT 1 FROM users) AS has_users")
        assert computed is not None and [row["id"] for row in listed] == ["a"]
        return [row["is_listed"] for row in found] + [computed["has_users"]]

    assert [value is True for value in await db.transaction("test", work)] == [True, False, True]


async def test_texts_and_large_numbers_come_back_as_they_were(db: Database) -> None:
    name = 'Grüße ☕ \'; DROP TABLE users; -- $1 "quoted" \n'
    product = Product("p", name, 99_999_999, "usd")

    async def work(tx: Transaction) -> Product | None:
        await orders.put_product(tx, product, NOW)
        await tx.execute("UPDATE products SET amount_minor = $1", 2**62)
        await tx.execute("UPDATE products SET amount_minor = $1", 99_999_999)
        return await orders.get_product(tx, "p")

    assert await db.transaction("test", work) == product


# --- what a transaction may wait for -------------------------------------------------------------


async def test_a_transaction_that_awaits_something_else_is_refused_on_sqlite(
    sqlite_url: str,
) -> None:
    db = await open_database(sqlite_url)

    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        await asyncio.sleep(0)

    try:
        with pytest.raises(RuntimeError, match="nothing else"):
            await db.transaction("test", work)
        with pytest.raises(RuntimeError, match="nothing else"):
            await db.read(work_that_sleeps)
        assert await user_ids(db) == []
        await db.transaction("test", insert_user("b"))
        assert await user_ids(db) == ["b"]
    finally:
        await db.close()


async def work_that_sleeps(_tx: Transaction) -> None:
    await asyncio.sleep(0)


# --- faults on PostgreSQL ------------------------------------------------------------------------


@pytest.fixture
async def pg(postgres_url: str) -> AsyncIterator[Database]:
    database = await open_database(postgres_url)
    yield database
    await database.close()


async def end_backend(url: str, backend: int) -> None:
    """Cut another session, as a fail-over does."""
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetchval("SELECT pg_terminate_backend($1)", backend)
        for _ in range(200):
            alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
            if not await connection.fetchval(alive, backend):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the backend did not end")
    finally:
        await connection.close()


async def backend_of(tx: Transaction) -> int:
    row = await tx.fetch_one("SELECT pg_backend_pid() AS id")
    assert row is not None
    return int(row["id"])


async def test_a_session_cut_during_the_work_committed_nothing(
    pg: Database, postgres_url: str
) -> None:
    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        await end_backend(postgres_url, await backend_of(tx))
        await insert_user("b")(tx)

    with pytest.raises(DatabaseUnavailable):
        await pg.transaction("test", work)
    assert await user_ids(pg) == []
    await pg.transaction("test", insert_user("c"))
    assert await user_ids(pg) == ["c"]


async def test_a_session_cut_before_the_commit_is_an_unknown_commit(
    pg: Database, postgres_url: str
) -> None:
    """Nobody can tell whether the commit was made, so it must not be told as not made."""

    async def work(tx: Transaction) -> None:
        await insert_user("a")(tx)
        await end_backend(postgres_url, await backend_of(tx))

    with pytest.raises(UnknownCommit):
        await pg.transaction("test", work)
    await pg.transaction("test", insert_user("b"))
    assert await user_ids(pg) == ["b"]


async def test_a_session_cut_between_transactions_is_told_and_then_replaced(
    pg: Database, postgres_url: str
) -> None:
    for _ in range(3):
        await end_backend(postgres_url, await pg.read(backend_of))
        for _ in range(3):
            try:
                await pg.transaction("test", insert_user("a"))
                break
            except (DatabaseUnavailable, UnknownCommit):
                continue
        else:
            raise AssertionError("the database did not come back")
    assert await user_ids(pg) == ["a"]


async def test_a_read_on_a_cut_session_is_unavailable(pg: Database, postgres_url: str) -> None:
    async def work(tx: Transaction) -> None:
        await end_backend(postgres_url, await backend_of(tx))
        await tx.fetch("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await pg.read(work)


async def test_one_statement_on_a_cut_session_is_an_unknown_commit(
    pg: Database, postgres_url: str
) -> None:
    assert isinstance(pg, postgresql.PostgresqlDatabase)
    sleeping = asyncio.create_task(pg.statement("test", "SELECT pg_sleep(5)"))
    connection = await asyncpg.connect(postgres_url)
    try:
        asleep = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(5)'"
        while (backend := await connection.fetchval(asleep)) is None:
            await asyncio.sleep(0.01)
        await connection.execute("SELECT pg_terminate_backend($1)", backend)
    finally:
        await connection.close()
    with pytest.raises(UnknownCommit):
        await sleeping


async def test_a_statement_that_takes_too_long_is_unavailable(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_SECONDS", 0.2)
    db = await open_database(postgres_url)
    try:
        with pytest.raises(DatabaseUnavailable):
            await db.transaction("test", lambda tx: tx.fetch("SELECT pg_sleep(3)"))
        await db.transaction("test", insert_user("a"))
        assert await user_ids(db) == ["a"]
    finally:
        await db.close()


async def test_a_full_pool_is_unavailable(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ACQUIRE_TIMEOUT_SECONDS", 0.1)
    db = await open_database(postgres_url, pool_size=1)
    try:
        busy = asyncio.create_task(
            db.transaction("test", lambda tx: tx.fetch("SELECT pg_sleep(0.6)"))
        )
        await asyncio.sleep(0.1)
        for call in (db.transaction("test", insert_user("a")), db.read(backend_of)):
            with pytest.raises(DatabaseUnavailable):
                await call
        assert isinstance(db, postgresql.PostgresqlDatabase)
        with pytest.raises(DatabaseUnavailable):
            await db.statement("test", "SELECT 1")
        await busy
        await db.transaction("test", insert_user("b"))
        assert await user_ids(db) == ["b"]
    finally:
        await db.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await open_database("postgresql://nobody@127.0.0.1:1/nothing")


# --- faults on SQLite ----------------------------------------------------------------------------


async def test_a_writer_that_does_not_let_go_is_unavailable_on_sqlite(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.2)
    db = await open_database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        await db.transaction("test", insert_user("a"))
        other.execute("BEGIN IMMEDIATE")
        started_at = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await db.transaction("test", insert_user("b"))
        assert 0.15 < time.monotonic() - started_at < 3
        assert await user_ids(db) == ["a"], "readers are not held up"
        other.execute("ROLLBACK")
        await db.transaction("test", insert_user("c"))
        assert await user_ids(db) == ["a", "c"]
    finally:
        other.close()
        await db.close()


async def test_a_writer_that_lets_go_in_time_is_waited_for_on_sqlite(sqlite_url: str) -> None:
    db = await open_database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(db.transaction("test", insert_user("a")))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.execute("COMMIT")
        await waiting
        assert await user_ids(db) == ["a"]
    finally:
        other.close()
        await db.close()


async def test_a_waiting_writer_does_not_stop_the_loop_on_sqlite(sqlite_url: str) -> None:
    db = await open_database(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(db.transaction("test", insert_user("a")))
        started_at = time.monotonic()
        for _ in range(10):
            await asyncio.sleep(0.01)
            assert await user_ids(db) == []
        assert time.monotonic() - started_at < 1
        other.execute("COMMIT")
        await waiting
    finally:
        other.close()
        await db.close()


async def test_every_commit_is_synced_to_the_disk_on_sqlite(sqlite_url: str) -> None:
    connection = sqlite.connect(sqlite_url.removeprefix("sqlite:///"))
    try:
        settings = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    finally:
        connection.close()
    assert settings == ["wal", 2, 1]


# --- several processes ---------------------------------------------------------------------------

COUNTING = """
import asyncio, sys
from paidonce.store.engine import open_database

async def main():
    db = await open_database(sys.argv[1])
    async def work(tx):
        row = await tx.fetch_one("SELECT customer_key_no AS n FROM users WHERE id = 'a' FOR UPDATE")
        await tx.execute("UPDATE users SET customer_key_no = $1 WHERE id = 'a'", row["n"] + 1)
    for _ in range(int(sys.argv[2])):
        await db.transaction("test", work)
    await db.close()
    print("done", flush=True)

asyncio.run(main())
"""


async def test_several_processes_share_a_database_and_lose_no_update(
    db: Database, database_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    await db.transaction("test", insert_user("a"))
    program = tmp_path / "counting.py"
    program.write_text(textwrap.dedent(COUNTING))
    processes = [start_process(sys.executable, str(program), database_url, "40") for _ in range(3)]
    for process in processes:
        assert await asyncio.to_thread(process.wait) == 0, process.stderr()
    user = await db.read(lambda tx: users.get_user(tx, "a"))
    assert user.customer_key_no == 120
