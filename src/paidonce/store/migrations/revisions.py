"""The migrations one by one, and which programs may work with the schema that they leave.

Every migration says, beside Alembic's own names:

- `readable_by`: the oldest migration whose program can work with the schema after this one. As long
  as a migration only adds, that stays what it was, and old and new processes run side by side.
- `is_concurrent = True`, where it makes indexes on tables that are in use, and nothing else: on
  PostgreSQL its statements then stand in no transaction (but for a new database).

What the last one said is kept in the table `schema_readers`, since a program does not know the
migrations that came after it.
"""

from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script, ScriptDirectory

from paidonce.store.postgresql import SCHEMA
from paidonce.store.sqlite import PREFIX

FIRST_WITH_READERS = "0008"


def list_pending(scripts: ScriptDirectory, current: str | None) -> list[Script]:
    """What has to be run, in its order. Raises alembic's CommandError for an unknown version."""
    return list(scripts.iterate_revisions("head", current or "base"))[::-1]


def is_concurrent(script: Script) -> bool:
    return getattr(script.module, "is_concurrent", False) is True


def is_known(scripts: ScriptDirectory, version: str | None) -> bool:
    return version is None or version in {script.revision for script in scripts.walk_revisions()}


def can_read(connection: sa.Connection, scripts: ScriptDirectory) -> bool:
    """Whether this program can work with a schema whose version it does not know."""
    schema, _, name = _table(connection).rpartition(".")
    if not sa.inspect(connection).has_table(name, schema=schema or None):
        return False
    oldest = connection.exec_driver_sql(f"SELECT oldest FROM {_table(connection)}").scalar()
    return oldest is not None and is_known(scripts, str(oldest))


def note_readers(ctx: MigrationContext, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Alembic's `on_version_apply`: in the transaction of the migration, after it."""
    del heads, run_args
    script, connection = step.up_revision, ctx.connection
    if not step.is_upgrade or not isinstance(script, Script) or connection is None:
        return
    if script.revision >= FIRST_WITH_READERS:
        connection.execute(
            sa.text(
                f"INSERT INTO {_table(connection)} (id, oldest) VALUES (1, :oldest)"
                " ON CONFLICT (id) DO UPDATE SET oldest = excluded.oldest"
            ),
            {"oldest": script.module.readable_by},
        )


def _table(connection: sa.Connection) -> str:
    is_postgresql = connection.dialect.name == "postgresql"
    return f"{SCHEMA}.schema_readers" if is_postgresql else f"{PREFIX}schema_readers"
