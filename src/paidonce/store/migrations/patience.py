"""Changing tables that are in use, on PostgreSQL.

Whoever waits for a table's lock makes everybody wait who comes after: a change behind one long
transaction would stop all payments for as long as that lasts. So a change waits for a moment only,
lets everybody pass, and is tried again.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from paidonce.store.engine import DatabaseUnavailable

Result = TypeVar("Result")
LOCK_TIMEOUT = "300ms"
LOCK_TRIES = 200
LOCK_PAUSE_SECONDS = 0.5
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code of a lock timeout
STILL_LOCKED = (
    "another transaction has kept a table locked for minutes. What was not done yet is left as it"
    " was. Find it (SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start), end"
    " it or wait for it, and run this again"
)


def give_way(connection: sa.Connection) -> None:
    """For this transaction: no lock is waited for any longer than LOCK_TIMEOUT."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def patiently(change: Callable[[], Result]) -> Result:
    """Make a change whose transaction gives way, as often as it takes. Raises DatabaseUnavailable
    when its lock cannot be had for minutes."""
    for _ in range(LOCK_TRIES):
        try:
            return change()
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
        time.sleep(LOCK_PAUSE_SECONDS)
    raise DatabaseUnavailable(STILL_LOCKED)
