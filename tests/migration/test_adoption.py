"""`paidonce db upgrade` on a database that has users already: adopted, kept, given back."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import asyncpg
import pytest

from paidonce.store import migrations
from paidonce.store.migrations import AdoptionRefused, WantedUsers
from support.legacy import ID_TYPES, REPORT_SQL, Legacy, make_legacy, own_table
from support.processes import StartProcess, script

COLUMN = ("stripe_customer_id", "VARCHAR(255)")
INDEX = "idx_users_stripe_customer_id"


@pytest.fixture
def legacy(empty_database_url: str) -> Legacy:
    return make_legacy(empty_database_url)


def added(legacy: Legacy) -> tuple[str, str]:
    name, kind = COLUMN
    return (name, "character varying(255)" if legacy.is_postgresql else kind)


@pytest.mark.parametrize("id_type", ID_TYPES)
def test_the_column_and_the_unique_index_are_added_and_the_rest_is_kept(
    empty_database_url: str, id_type: str
) -> None:
    legacy = make_legacy(empty_database_url, id_type)
    _, columns, indexes, people = legacy.snapshot()
    migrations.upgrade(legacy.url)
    assert legacy.columns() == [*columns, added(legacy)]
    assert legacy.indexes() == {**indexes, INDEX: True}
    assert legacy.people() == people
    assert legacy.rows("SELECT id, mine FROM orders") == [(1, "the host's")]
    assert legacy.rows("SELECT version_num FROM alembic_version") == [("abcdef",)]
    assert migrations.is_ready(legacy.url)


def test_a_second_upgrade_changes_nothing(legacy: Legacy) -> None:
    migrations.upgrade(legacy.url)
    before = legacy.snapshot()
    migrations.upgrade(legacy.url)
    assert legacy.snapshot() == before


def test_upgrades_at_the_same_time_are_one(legacy: Legacy) -> None:
    threads = [threading.Thread(target=migrations.upgrade, args=[legacy.url]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert legacy.indexes()[INDEX] is True
    assert migrations.is_ready(legacy.url)


@pytest.mark.parametrize("id_type", ID_TYPES)
def test_down_gives_the_table_back_as_it_was_and_up_adopts_it_again(
    empty_database_url: str, id_type: str
) -> None:
    legacy = make_legacy(empty_database_url, id_type)
    before = legacy.snapshot()
    migrations.upgrade(legacy.url)
    after = legacy.snapshot()
    migrations.downgrade(legacy.url)
    assert legacy.snapshot() == before
    migrations.upgrade(legacy.url)
    assert legacy.snapshot() == after


# --- the host has run the report's SQL -----------------------------------------------------------


@pytest.fixture
def repaired(legacy: Legacy) -> Legacy:
    legacy.run(*REPORT_SQL)
    legacy.set_customer("1", "cus_one")
    return legacy


def test_the_reports_column_is_taken_over_and_its_index_becomes_unique(repaired: Legacy) -> None:
    columns = repaired.columns()
    migrations.upgrade(repaired.url)
    assert repaired.columns() == columns
    assert repaired.indexes()[INDEX] is True
    assert repaired.customer_of("1") == "cus_one"
    with pytest.raises(Exception, match=r"(?i)unique"):
        repaired.set_customer("2", "cus_one")


def test_down_leaves_the_reports_column_and_its_plain_index(repaired: Legacy) -> None:
    before = repaired.snapshot()
    migrations.upgrade(repaired.url)
    migrations.downgrade(repaired.url)
    assert repaired.snapshot() == before
    assert repaired.indexes()[INDEX] is False
    assert repaired.customer_of("1") == "cus_one"


def test_a_unique_index_of_the_hosts_own_stays_after_down(legacy: Legacy) -> None:
    legacy.run(REPORT_SQL[0], REPORT_SQL[1].replace("INDEX", "UNIQUE INDEX", 1))
    before = legacy.snapshot()
    migrations.upgrade(legacy.url)
    migrations.downgrade(legacy.url)
    assert legacy.snapshot() == before and legacy.indexes()[INDEX] is True


# --- refused, and nothing changed ----------------------------------------------------------------


def assert_refused(legacy: Legacy, *words: str, wanted: WantedUsers | None = None) -> None:
    before = legacy.snapshot()
    with pytest.raises(AdoptionRefused) as caught:
        migrations.upgrade(legacy.url, wanted or WantedUsers())
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence
    assert legacy.snapshot() == before


def test_duplicate_customers_are_named(repaired: Legacy) -> None:
    repaired.set_customer("42", "cus_one")
    assert_refused(repaired, "cus_one", "users 1, 42")
    repaired.set_customer("42", None)
    migrations.upgrade(repaired.url)


def test_empty_customer_ids_are_told_from_none(repaired: Legacy) -> None:
    repaired.set_customer("2", "")
    assert_refused(repaired, "1 rows with an empty stripe_customer_id")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("(name TEXT PRIMARY KEY, email TEXT)", ["no column id"]),
        ("(id INTEGER PRIMARY KEY, mail TEXT)", ["no column email"]),
        ("(id INTEGER, email TEXT)", ["neither primary key nor unique"]),
        ("(id REAL PRIMARY KEY, email TEXT)", ["not integer, uuid or text"]),
        ("(id INTEGER PRIMARY KEY, email INTEGER)", ["email that holds no text"]),
        (
            "(id INTEGER PRIMARY KEY, email TEXT, stripe_customer_id INTEGER)",
            ["stripe_customer_id", "VARCHAR(255) is needed"],
        ),
        (
            "(id INTEGER PRIMARY KEY, email TEXT, stripe_customer_id VARCHAR(10))",
            ["10 characters"],
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    empty_database_url: str, table: str, words: list[str]
) -> None:
    legacy = Legacy(empty_database_url)
    legacy.run(f"CREATE TABLE users {table}")
    columns, tables = legacy.columns(), legacy.tables()
    with pytest.raises(AdoptionRefused) as caught:
        migrations.upgrade(legacy.url)
    assert all(word in str(caught.value) for word in words), caught.value
    assert (legacy.columns(), legacy.tables()) == (columns, tables)


def test_half_migrated_by_hand_is_refused(legacy: Legacy) -> None:
    """The report's index name on something else."""
    legacy.run(f"CREATE INDEX {INDEX} ON users(nick)")
    assert_refused(legacy, INDEX, "on something else")


def test_a_named_table_that_is_not_there_is_refused(legacy: Legacy) -> None:
    assert_refused(legacy, "people", wanted=WantedUsers("people"))


def test_a_view_is_refused(legacy: Legacy) -> None:
    legacy.run("CREATE VIEW people AS SELECT * FROM users")
    assert_refused(legacy, "people is a view", wanted=WantedUsers("people"))


# --- the choice ----------------------------------------------------------------------------------


def test_table_and_columns_may_have_other_names(empty_database_url: str) -> None:
    legacy = Legacy(empty_database_url)
    legacy.run(
        'CREATE TABLE "App Users" ("user no" INTEGER PRIMARY KEY, "e-mail" TEXT)',
        "CREATE TABLE users (anything TEXT)",
        "INSERT INTO \"App Users\" VALUES (5, 'e@x.example')",
    )
    wanted = WantedUsers("App Users", "user no", "e-mail")
    migrations.upgrade(legacy.url, wanted)
    migrations.upgrade(legacy.url, wanted)
    rows = legacy.rows('SELECT "user no", "e-mail", stripe_customer_id FROM "App Users"')
    assert rows == [(5, "e@x.example", None)]
    with pytest.raises(AdoptionRefused, match="the choice stays"):
        migrations.upgrade(legacy.url)
    migrations.downgrade(legacy.url)
    assert legacy.rows('SELECT * FROM "App Users"') == [(5, "e@x.example")]


def test_a_table_in_another_schema_is_found(empty_postgres_url: str) -> None:
    legacy = Legacy(empty_postgres_url)
    legacy.run("CREATE SCHEMA app", "CREATE TABLE app.people (id uuid PRIMARY KEY, email text)")
    migrations.upgrade(legacy.url, WantedUsers("app.people"))
    assert legacy.indexes("app.people") == {"idx_people_stripe_customer_id": True}


def test_users_of_our_own_can_be_asked_for(legacy: Legacy) -> None:
    before = legacy.columns(), legacy.indexes(), legacy.people()
    migrations.upgrade(legacy.url, WantedUsers("paidonce.users"))
    assert (legacy.columns(), legacy.indexes(), legacy.people()) == before
    assert migrations.is_ready(legacy.url, WantedUsers("paidonce.users"))
    assert not migrations.is_ready(legacy.url)  # by default that table would be adopted


def test_a_database_with_users_of_our_own_keeps_them(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    ours = Legacy(empty_database_url)
    table = own_table(ours.url, "users")
    ours.run(f"INSERT INTO {table} (id, created_at) VALUES ('a', '2026-01-01')")
    legacy = make_legacy(empty_database_url)
    before = legacy.columns(), legacy.indexes()
    migrations.upgrade(legacy.url)
    assert (legacy.columns(), legacy.indexes()) == before
    with pytest.raises(AdoptionRefused, match="already has users of paidonce's own"):
        migrations.upgrade(legacy.url, WantedUsers("users"))


def test_an_empty_database_that_gets_its_users_later_adopts_them(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    legacy = make_legacy(empty_database_url)
    migrations.upgrade(legacy.url)
    assert legacy.indexes()[INDEX] is True


# --- interrupted, and beside traffic -------------------------------------------------------------


def test_an_upgrade_killed_while_it_builds_the_index_is_gone_on_with(
    empty_postgres_url: str, start_process: StartProcess
) -> None:
    """A snapshot older than the index keeps the build from its end; there the process dies."""
    legacy = make_legacy(empty_postgres_url)
    with open_snapshot(legacy.url):
        process = start_process(
            script("paidonce"), "db", "upgrade", environment={"DATABASE_URL": legacy.url}
        )
        build = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE%CONCURRENTLY%'"
        waits = f"{build} AND wait_event_type = 'Lock'"
        process.wait_until(lambda: bool(legacy.rows(waits)), "index being built")
        process.kill9()
        pids = legacy.rows(build.replace("SELECT 1", "SELECT pg_terminate_backend(pid)"))
        assert pids
    assert COLUMN[0] in dict(legacy.columns())
    assert not migrations.is_ready(legacy.url)
    migrations.upgrade(legacy.url)
    assert legacy.indexes() == {"users_email": True, INDEX: True}
    assert migrations.is_ready(legacy.url)


@contextlib.contextmanager
def open_snapshot(url: str) -> Iterator[None]:
    """A transaction of somebody else that sees the database as it is now."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    transaction = connection.transaction(isolation="repeatable_read")
    loop.run_until_complete(transaction.start())
    loop.run_until_complete(connection.fetch("SELECT 1"))
    try:
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


def test_what_a_broken_build_left_is_built_anew(empty_postgres_url: str) -> None:
    """A unique index that is built concurrently and fails stays behind, invalid."""
    legacy = make_legacy(empty_postgres_url)
    legacy.run(REPORT_SQL[0])
    legacy.set_customer("1", "cus_x")
    legacy.set_customer("2", "cus_x")
    with pytest.raises(asyncpg.UniqueViolationError):
        legacy.run(
            f"CREATE UNIQUE INDEX CONCURRENTLY paidonce_new_{INDEX} ON users(stripe_customer_id)"
        )
    legacy.set_customer("2", None)
    migrations.upgrade(legacy.url)
    assert legacy.indexes() == {"users_email": True, INDEX: True}


def test_an_index_that_went_missing_is_noticed(legacy: Legacy) -> None:
    migrations.upgrade(legacy.url)
    legacy.run(f"DROP INDEX {INDEX}")
    assert not migrations.is_ready(legacy.url)
    migrations.upgrade(legacy.url)
    assert migrations.is_ready(legacy.url)


def test_a_long_transaction_of_the_host_holds_nobody_up(empty_postgres_url: str) -> None:
    """The upgrade waits for it, and lets everybody else pass while it does."""
    legacy = make_legacy(empty_postgres_url)
    slowest = 0.0

    async def scene() -> None:
        nonlocal slowest
        long = await asyncpg.connect(legacy.url)
        other = await asyncpg.connect(legacy.url)
        transaction = long.transaction()
        await transaction.start()
        await long.fetch("SELECT * FROM users")
        upgrade = asyncio.create_task(asyncio.to_thread(migrations.upgrade, legacy.url))
        ends_at = time.monotonic() + 2.5
        while time.monotonic() < ends_at:
            began = time.monotonic()
            await other.execute("UPDATE users SET nick = nick || '.' WHERE id = 1")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert not upgrade.done()
        await transaction.rollback()
        await upgrade
        await long.close()
        await other.close()

    asyncio.run(scene())
    assert slowest < 1.0  # LOCK_TIMEOUT is 0.3 s
    assert legacy.indexes()[INDEX] is True


def test_a_file_of_the_time_before_the_prefix_is_taken_over(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    migrations.upgrade(url)
    old = Legacy(url)
    for table in sorted(old.tables()):
        if not table.startswith("sqlite_"):
            old.run(f"ALTER TABLE {table} RENAME TO {table.removeprefix('paidonce_')}")
    old.run(
        "UPDATE alembic_version SET version_num = '0001'",
        "DROP TABLE host_users",
        "DROP TABLE customer_adoption",
        "DROP TABLE declined_saves",
        "DROP INDEX paidonce_idx_payment_methods_one_default",
        "DROP INDEX paidonce_idx_payment_methods_idle",
        "DROP INDEX paidonce_idx_payment_methods_ending",
        "ALTER TABLE payment_methods DROP COLUMN is_default",
        "INSERT INTO users (id, created_at) VALUES ('a', '2026')",
    )
    migrations.upgrade(url)
    assert migrations.is_ready(url)
    assert old.rows("SELECT id FROM paidonce_users") == [("a",)]
    assert all(table.startswith("paidonce_") for table in old.tables())
