"""`paidonce db upgrade` on a database that has users already: adopted, kept, given back."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(migrations.upgrade, [legacy.url] * 4))
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


def test_a_strict_table_is_refused(empty_sqlite_url: str) -> None:
    legacy = Legacy(empty_sqlite_url)
    legacy.run("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, nick TEXT) STRICT")
    assert_refused(legacy, "is a STRICT table")


def test_a_view_is_refused(legacy: Legacy) -> None:
    legacy.run("CREATE VIEW people AS SELECT * FROM users")
    assert_refused(legacy, "it is a view", wanted=WantedUsers("people"))


@pytest.mark.parametrize(
    "column",
    [
        "stripe_customer_id VARCHAR(255) NOT NULL DEFAULT ''",
        "stripe_customer_id VARCHAR(255) DEFAULT ''",
        "stripe_customer_id VARCHAR(255) NOT NULL",
    ],
)
def test_a_column_that_fills_itself_is_refused(empty_database_url: str, column: str) -> None:
    """It would break the host's next sign-up, or forgetting a customer."""
    legacy = Legacy(empty_database_url)
    legacy.run(f"CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, nick TEXT, {column})")
    assert_refused(legacy, "NOT NULL or has a default")


def test_an_index_of_the_name_on_another_table_stays(legacy: Legacy) -> None:
    legacy.run(
        "CREATE TABLE users_old (stripe_customer_id TEXT)",
        f"CREATE UNIQUE INDEX {INDEX} ON users_old(stripe_customer_id)",
    )
    assert_refused(legacy, INDEX, "users_old has it")
    assert legacy.indexes("users_old") == {INDEX: True}


def test_an_index_of_an_expression_is_something_else(legacy: Legacy) -> None:
    legacy.run(REPORT_SQL[0], f"CREATE INDEX {INDEX} ON users(lower(stripe_customer_id))")
    assert_refused(legacy, INDEX, "on something else")


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (
            ["CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, nick TEXT)"
             " PARTITION BY HASH (id)"],
            "is a partitioned table",
        ),
        (
            ["CREATE TABLE users (id BIGINT, email TEXT, nick TEXT)",
             "INSERT INTO users VALUES (1, 'a', 'b'), (1, 'c', 'd')",
             "CREATE UNIQUE INDEX CONCURRENTLY half ON users(id)"],
            "neither primary key nor unique",
        ),
        (
            ["CREATE TYPE kind AS ENUM ('a')",
             "CREATE TABLE users (id kind PRIMARY KEY, email TEXT, nick TEXT)"],
            "not integer, uuid or text",
        ),
    ],
)  # fmt: skip
def test_what_only_postgresql_has_is_refused_before_anything_is_changed(
    empty_postgres_url: str, statements: list[str], words: str
) -> None:
    legacy = Legacy(empty_postgres_url)
    for statement in statements:
        with contextlib.suppress(asyncpg.UniqueViolationError):
            legacy.run(statement)
    tables, columns = legacy.tables(), legacy.columns()
    with pytest.raises(AdoptionRefused, match=words):
        migrations.upgrade(legacy.url)
    assert (legacy.tables(), legacy.columns()) == (tables, columns)


def test_a_role_that_does_not_own_the_table_is_refused(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    database = empty_postgres_url.rsplit("/", 1)[1]
    role = f"guest_{database}"
    legacy.run(
        f"CREATE ROLE {role} LOGIN",
        f'GRANT CREATE ON DATABASE "{database}" TO {role}',
        f"GRANT SELECT, UPDATE ON users TO {role}",
    )
    guest = Legacy(empty_postgres_url.replace("//paidonce_test@", f"//{role}@"))
    assert_refused(guest, "belongs to another role")
    legacy.run(REPORT_SQL[0], REPORT_SQL[1].replace("INDEX", "UNIQUE INDEX", 1))
    migrations.upgrade(guest.url)
    assert migrations.is_ready(guest.url)
    legacy.run(f"REVOKE UPDATE ON users FROM {role}")
    with pytest.raises(AdoptionRefused, match="SELECT and UPDATE on users"):
        migrations.is_ready(guest.url)
    migrations.downgrade(guest.url)
    legacy.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


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


def test_a_role_called_paidonce_does_not_adopt_our_own_users(
    empty_postgres_url: str,
) -> None:
    """Its search path begins with a schema of its own name, which is ours."""
    database = empty_postgres_url.rsplit("/", 1)[1]
    Legacy(empty_postgres_url).run(
        "CREATE ROLE paidonce LOGIN", f'ALTER DATABASE "{database}" OWNER TO paidonce'
    )
    try:
        ours = Legacy(empty_postgres_url.replace("//paidonce_test@", "//paidonce@"))
        for _ in range(3):
            migrations.upgrade(ours.url)
            assert migrations.plan(ours.url, WantedUsers()) is None
            assert migrations.is_ready(ours.url)
        migrations.downgrade(ours.url)
    finally:
        Legacy(empty_postgres_url).run(
            f'ALTER DATABASE "{database}" OWNER TO paidonce_test', "DROP ROLE paidonce"
        )


def test_users_anywhere_on_the_search_path_are_found(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    database = empty_postgres_url.rsplit("/", 1)[1]
    legacy.run("CREATE SCHEMA app", f'ALTER DATABASE "{database}" SET search_path = app, public')
    migrations.upgrade(legacy.url)
    assert legacy.indexes("public.users")[INDEX] is True


def test_sqlite_does_not_tell_upper_from_lower_case(empty_sqlite_url: str) -> None:
    legacy = Legacy(empty_sqlite_url)
    legacy.run("CREATE TABLE Users (ID INTEGER PRIMARY KEY, Email TEXT, Stripe_Customer_ID TEXT)")
    migrations.upgrade(legacy.url)
    migrations.upgrade(legacy.url)
    assert migrations.is_ready(legacy.url)
    assert list(legacy.indexes("Users").values()) == [True]


@pytest.mark.parametrize("table", ["select", 'we ird: 100% "q"', "Benutzer", "п" * 40])
def test_whatever_the_table_is_called(empty_database_url: str, table: str) -> None:
    if table.startswith("п"):
        table = table[:27]  # PostgreSQL's own limit for a table's name
    legacy = Legacy(empty_database_url)
    name = '"' + table.replace('"', '""') + '"'
    legacy.run(f'CREATE TABLE {name} ("order" INTEGER PRIMARY KEY, "group" TEXT)')
    legacy.run(f"INSERT INTO {name} VALUES (1, 'a@shop.example')")
    wanted = WantedUsers(table, "order", "group")
    migrations.upgrade(legacy.url, wanted)
    assert migrations.is_ready(legacy.url, wanted)
    assert legacy.rows(f"SELECT * FROM {name}") == [(1, "a@shop.example", None)]
    migrations.downgrade(legacy.url)
    assert legacy.rows(f"SELECT * FROM {name}") == [(1, "a@shop.example")]


def test_a_domain_is_what_it_is_made_of(empty_postgres_url: str) -> None:
    legacy = Legacy(empty_postgres_url)
    legacy.run(
        "CREATE DOMAIN mail AS TEXT",
        "CREATE DOMAIN number AS BIGINT",
        "CREATE TABLE users (id number PRIMARY KEY, email mail, nick TEXT)",
    )
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


SNAPSHOT = "snapshot"


@contextlib.contextmanager
def open_snapshot(url: str) -> Iterator[None]:
    """A transaction of somebody else that sees the database as it is now."""
    loop = asyncio.new_event_loop()
    name = {"application_name": SNAPSHOT}
    connection = loop.run_until_complete(asyncpg.connect(url, server_settings=name))
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


def test_the_hosts_own_unfinished_index_is_none(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    legacy.run(REPORT_SQL[0])
    legacy.set_customer("1", "cus_x")
    legacy.set_customer("2", "cus_x")
    with pytest.raises(asyncpg.UniqueViolationError):
        legacy.run(REPORT_SQL[1].replace("INDEX", "UNIQUE INDEX CONCURRENTLY", 1))
    legacy.set_customer("2", None)
    migrations.upgrade(legacy.url)
    with pytest.raises(asyncpg.UniqueViolationError):
        legacy.set_customer("2", "cus_x")


def test_a_downgrade_after_a_killed_upgrade_leaves_nothing(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    before = legacy.snapshot()
    migrations.upgrade(legacy.url)
    legacy.run(f"ALTER INDEX {INDEX} RENAME TO paidonce_new_{INDEX}")  # killed before the change
    migrations.downgrade(legacy.url)
    assert legacy.snapshot() == before


def test_a_downgrade_that_was_killed_is_gone_on_with(legacy: Legacy) -> None:
    """It died after the host's table was given back: the record of it is still there."""
    before = legacy.snapshot()
    migrations.upgrade(legacy.url)
    legacy.run(f"DROP INDEX {INDEX}", "ALTER TABLE users DROP COLUMN stripe_customer_id")
    assert not migrations.is_ready(legacy.url)
    migrations.downgrade(legacy.url)
    assert legacy.snapshot() == before
    migrations.downgrade(legacy.url)  # nothing is left to take back
    assert legacy.snapshot() == before


def test_an_index_comes_back_as_the_host_wrote_it(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    legacy.run(REPORT_SQL[0], f"CREATE INDEX {INDEX} ON users USING hash (stripe_customer_id)")
    definition = f"SELECT indexdef FROM pg_indexes WHERE indexname = '{INDEX}'"
    before = legacy.rows(definition)
    migrations.upgrade(legacy.url)
    assert legacy.rows(definition) != before
    migrations.downgrade(legacy.url)
    assert legacy.rows(definition) == before


def test_a_timeout_of_the_role_does_not_end_the_build(empty_postgres_url: str) -> None:
    legacy = make_legacy(empty_postgres_url)
    database = empty_postgres_url.rsplit("/", 1)[1]
    legacy.run(f'ALTER DATABASE "{database}" SET statement_timeout = 400')
    with open_snapshot(legacy.url), ThreadPoolExecutor(1) as thread:
        upgrade = thread.submit(migrations.upgrade, legacy.url)
        time.sleep(1.2)
        assert not upgrade.done()
        release_snapshots(legacy.url)
        upgrade.result()
    assert legacy.indexes()[INDEX] is True


def release_snapshots(url: str) -> None:
    theirs = f"application_name = '{SNAPSHOT}' AND datname = current_database()"
    Legacy(url).rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs}")


def test_a_refused_file_keeps_its_journal_mode(empty_sqlite_url: str) -> None:
    legacy = Legacy(empty_sqlite_url)
    legacy.run("CREATE TABLE users (name TEXT)")
    with pytest.raises(AdoptionRefused):
        migrations.upgrade(legacy.url)
    assert legacy.rows("PRAGMA journal_mode") == [("delete",)]


def test_parameters_in_the_address_are_the_drivers(empty_postgres_url: str) -> None:
    migrations.upgrade(f"{empty_postgres_url}?sslmode=disable&application_name=shop")
    assert migrations.is_ready(f"{empty_postgres_url}?sslmode=disable")


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
