"""Every migration is read by squawk, a linter for what PostgreSQL locks, as it is sent to a
database that is in use. The rules for who writes one: `store/migrations/revisions.py`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from paidonce.store import migrations
from paidonce.store.migrations import revisions
from paidonce.store.migrations import run as runner

SQUAWK = Path(sys.executable).with_name("squawk")
OLDEST_POSTGRESQL = "14"
# Not about locks: our ids are text, a count is an integer, and no migration is run twice.
LEFT_OUT = [
    "prefer-robust-stmts",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
]
# Nobody who reads or writes waits behind an index that is built concurrently: it may wait itself.
MAY_WAIT = ["require-lock-timeout", "require-statement-timeout"]
ALLOWED = {
    ("0010", "ban-drop-constraint"): "0009 has made the wider index in its place",
    ("0003", "whole-table"): "rows of payments that wait for their intent, and of refunded ones",
}
SCRIPTS = ScriptDirectory.from_config(runner._config())
# What squawk has no rule for: whole tables that are locked, written or built anew.
UNSEEN = re.compile(
    r"\s*(LOCK|UPDATE(?! paidonce\.alembic_version)|DELETE|TRUNCATE|MERGE|CLUSTER|VACUUM|REFRESH)\b"
    r"|.*\bADD (COLUMN )?\S+ (BIG|SMALL)?SERIAL\b"
    r"|.*\bSET (LOGGED|UNLOGGED|TABLESPACE)\b",
    re.IGNORECASE | re.DOTALL,
)
VERSIONS = [script.revision for script in revisions.list_pending(SCRIPTS, None)]


def complaints_about(statements: list[str], *, is_in_transaction: bool) -> list[str]:
    command = [str(SQUAWK), "--reporter", "json", "--pg-version", OLDEST_POSTGRESQL]
    left_out = LEFT_OUT if is_in_transaction else [*LEFT_OUT, *MAY_WAIT]
    command += [f"--exclude={','.join(left_out)}"]
    command += ["--assume-in-transaction"] if is_in_transaction else []
    sql = "".join(f"{statement};\n" for statement in statements)
    ended = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=60)
    assert ended.returncode in (0, 1), ended.stderr
    found = [str(each["rule_name"]) for each in json.loads(ended.stdout)]
    return found + ["whole-table" for statement in statements if UNSEEN.match(statement)]


@pytest.fixture
def sent(empty_postgres_url: str) -> dict[str, list[str]]:
    """The statements of each migration after the first, by its version."""
    by_version: dict[str, list[str]] = {}
    statements: list[str] = []

    def listen(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)
        for version in VERSIONS:
            if (
                statement.startswith("UPDATE paidonce.alembic_version")
                and f"'{version}'" in (statement.split("WHERE")[0])
            ):
                by_version[version] = [text for text in statements if _changes(text)]
                statements.clear()

    first = VERSIONS[0]
    runner._with_connection(empty_postgres_url, _begin_with(first))
    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        migrations.upgrade(empty_postgres_url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    return by_version


def _begin_with(version: str) -> Any:
    def begin(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE SCHEMA paidonce"))
        runner._alembic(connection, "upgrade", version)

    return begin


def _changes(statement: str) -> bool:
    return not statement.lstrip().startswith(("SELECT", "INSERT INTO paidonce.schema_readers"))


def test_no_migration_keeps_anybody_waiting(sent: dict[str, list[str]]) -> None:
    assert list(sent) == VERSIONS[1:]
    for version, statements in sent.items():
        assert statements, version
        is_concurrent = revisions.is_concurrent(SCRIPTS.get_revision(version))
        found = complaints_about(statements, is_in_transaction=not is_concurrent)
        left = [rule for rule in found if (version, rule) not in ALLOWED]
        assert left == [], (version, statements)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_migration_says_who_can_read_what_it_leaves(version: str) -> None:
    readable_by = SCRIPTS.get_revision(version).module.readable_by
    assert readable_by in VERSIONS[: VERSIONS.index(version) + 1]


TIMEOUTS = ["SET LOCAL lock_timeout = '300ms'", "SET LOCAL statement_timeout = 0"]
BAD = [
    "CREATE INDEX i ON paidonce.payments (state)",
    "CREATE UNIQUE INDEX i ON paidonce.payments (state)",
    "CREATE INDEX CONCURRENTLY i ON paidonce.payments (state)",  # in a transaction
    "ALTER TABLE paidonce.payments ADD COLUMN x TEXT NOT NULL",
    "ALTER TABLE paidonce.payments ADD COLUMN x TIMESTAMPTZ DEFAULT clock_timestamp()",
    "ALTER TABLE paidonce.payments ALTER COLUMN generation TYPE BIGINT",
    "ALTER TABLE paidonce.payments ALTER COLUMN stripe_charge_id SET NOT NULL",
    "ALTER TABLE paidonce.payments DROP COLUMN stripe_charge_id",
    "ALTER TABLE paidonce.payments RENAME COLUMN stripe_charge_id TO charge_id",
    "ALTER TABLE paidonce.payments RENAME TO paid",
    "ALTER TABLE paidonce.payments ADD CHECK (amount_minor > 0)",
    "ALTER TABLE paidonce.payments ADD UNIQUE (stripe_charge_id)",
    "ALTER TABLE paidonce.payments ADD FOREIGN KEY (user_id) REFERENCES paidonce.users (id)",
    "DROP TABLE paidonce.payments",
    "LOCK TABLE paidonce.payments",
    "UPDATE paidonce.payments SET generation = 1",
    "DELETE FROM paidonce.answers",
    "TRUNCATE paidonce.outbox",
    "VACUUM FULL paidonce.payments",
    "ALTER TABLE paidonce.payments ADD COLUMN x BIGSERIAL",
    "ALTER TABLE paidonce.payments SET UNLOGGED",
]


@pytest.mark.parametrize("statement", BAD)
def test_the_linter_finds_what_locks_or_takes_away(statement: str) -> None:
    assert complaints_about([*TIMEOUTS, statement], is_in_transaction=True)


def test_the_linter_finds_a_change_that_may_wait_for_ever() -> None:
    change = "ALTER TABLE paidonce.payments ADD COLUMN x TEXT"
    assert complaints_about([*TIMEOUTS, change], is_in_transaction=True) == []
    assert complaints_about([TIMEOUTS[1], change], is_in_transaction=True)
