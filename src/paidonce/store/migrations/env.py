"""Alembic's entry: the connection comes from `run.upgrade`, already inside its transaction."""

from alembic import context

from paidonce.store.migrations.revisions import note_readers
from paidonce.store.migrations.run import version_table

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    transactional_ddl=True,
    on_version_apply=note_readers,
    **version_table(connection),
)
context.run_migrations()
