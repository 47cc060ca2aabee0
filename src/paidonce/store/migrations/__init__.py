"""Alembic migrations, run by `paidonce db upgrade` and, for SQLite, by `paidonce serve` itself."""

from paidonce.store.migrations.run import current, head, upgrade

__all__ = ["current", "head", "upgrade"]
