"""A program on the schema of a newer one: the newer is this source with one migration more."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import paidonce
from paidonce.store import migrations
from paidonce.store.engine import DatabaseUnavailable
from support.envelope import assert_success
from support.launcher import shared_launcher
from support.processes import script
from support.service import GOOD, running_service

PROGRAM = Path(paidonce.__file__).parent
HEAD = str(migrations.head())
NEWER = "9999"
MIGRATION = """
import sqlalchemy as sa
from alembic import op
from paidonce.store.migrations import naming

revision, down_revision, branch_labels, depends_on = "{newer}", "{head}", None, None
readable_by = "{readable_by}"

def upgrade() -> None:
    table, column = naming.table_name("orders"), sa.Column("colour", sa.Text, server_default="red")
    op.add_column(table, column, schema=naming.schema())

def downgrade() -> None:
    op.drop_column(naming.table_name("orders"), "colour", schema=naming.schema())
"""


def upgrade_by_newer(database_url: str, folder: Path, readable_by: str) -> None:
    shutil.copytree(PROGRAM, folder / "paidonce")  # with what is compiled
    versions = folder / "paidonce/store/migrations/versions"
    text = MIGRATION.format(newer=NEWER, head=HEAD, readable_by=readable_by)
    (versions / f"{NEWER}_newer.py").write_text(text)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "paidonce", "db", "upgrade"]
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, NEWER in ended.stdout) == (0, True), ended.stderr


def command(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shared_launcher().run(
        script("paidonce"), *arguments, environment={"DATABASE_URL": database_url}
    )


def test_a_program_works_with_a_newer_schema_that_only_adds(
    database_url: str, tmp_path: Path, stripe_simulator: Any
) -> None:
    with running_service(database_url, stripe_simulator) as before:
        old_order, old_card = before.order(), stripe_simulator.create_card(GOOD)
        upgrade_by_newer(database_url, tmp_path, HEAD)
        assert_success(before.pay(old_order, old_card))  # the process that runs through the upgrade
    assert migrations.current(database_url) == NEWER
    assert migrations.is_ready(database_url)
    with running_service(database_url, stripe_simulator) as after:
        order_id = after.order()
        assert_success(after.pay(order_id, old_card))
        assert [after.charges(old_order), after.charges(order_id)] == [1, 1]
    said = command(database_url, "db", "upgrade")
    assert (said.returncode, said.stderr) == (0, "")
    assert f"at version {NEWER}. A newer program made it; this one, at {HEAD}" in said.stdout
    assert command(database_url, "db", "current").stdout == f"{NEWER} (newest: {HEAD})\n"


def test_a_program_refuses_a_newer_schema_that_it_cannot_work_with(
    database_url: str, tmp_path: Path
) -> None:
    upgrade_by_newer(database_url, tmp_path, NEWER)
    says = f"schema is at version {NEWER}, which this program, at {HEAD}, cannot work with"
    for work in (migrations.is_ready, migrations.upgrade):
        with pytest.raises(DatabaseUnavailable, match=says):
            work(database_url)
    said = command(database_url, "db", "upgrade")
    assert said.returncode == 2 and says in said.stderr
    assert migrations.current(database_url) == NEWER
