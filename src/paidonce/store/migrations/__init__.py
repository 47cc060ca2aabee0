"""Alembic migrations, run by `paidonce db upgrade` and, for SQLite, by `paidonce serve` itself; and
the adoption of a users table that was there before us."""

from paidonce.store.migrations.adoption import AdoptionRefused, WantedUsers
from paidonce.store.migrations.run import current, downgrade, head, is_ready, plan, upgrade

__all__ = [
    "AdoptionRefused",
    "WantedUsers",
    "current",
    "downgrade",
    "head",
    "is_ready",
    "plan",
    "upgrade",
]
