"""Alembic's entry: the connection comes from `run.upgrade`, already inside its transaction."""

from alembic import context

from paidonce.store.postgresql import SCHEMA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table_schema=SCHEMA if connection.dialect.name == "postgresql" else None,
    transactional_ddl=True,
)
context.run_migrations()
