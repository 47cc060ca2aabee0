"""Captures: written down before Stripe is asked, and never deleted.

Every function that changes a row expects the order's row to be locked (`orders.lock_order`), but
`take_due` and `next_key`, which are only about sending.
"""

from datetime import datetime

from paidonce.domain.states import CAPTURE_MOVES, CaptureState, check_move
from paidonce.store.engine import Transaction
from paidonce.store.rows import CaptureRow, columns, insert_row, row_as, row_or_none

_CAPTURE = columns(CaptureRow)


async def insert_capture(tx: Transaction, capture: CaptureRow) -> None:
    await insert_row(tx, "captures", capture)


async def get_capture(tx: Transaction, capture_id: str) -> CaptureRow:
    row = await tx.fetch_one(f"SELECT {_CAPTURE} FROM captures WHERE id = $1", capture_id)
    if row is None:
        raise LookupError("captures are never deleted")
    return row_as(CaptureRow, row)


async def get_requested(tx: Transaction, payment_id: str) -> CaptureRow | None:
    """The payment's capture whose end is not known yet."""
    row = await tx.fetch_one(
        f"SELECT {_CAPTURE} FROM captures WHERE payment_id = $1 AND state = 'requested'",
        payment_id,
    )
    return row_or_none(CaptureRow, row)


async def next_key_no(tx: Transaction, payment_id: str) -> int:
    """A number that no capture of the payment has used for its key."""
    row = await tx.fetch_one(
        "SELECT COALESCE(max(key_no), -1) + 1 AS n FROM captures WHERE payment_id = $1", payment_id
    )
    return int(row["n"]) if row else 0


async def next_key(tx: Transaction, capture_id: str, old_key_no: int) -> None:
    """After a saved 5xx, when a look has shown that nothing was captured."""
    await tx.execute(
        "UPDATE captures SET key_no = $2 + 1 WHERE id = $1 AND key_no = $2 AND state = 'requested'",
        capture_id,
        old_key_no,
    )


async def set_state(
    tx: Transaction,
    capture_id: str,
    old: CaptureState,
    new: CaptureState,
    now: datetime,
    failure_reason: str | None = None,
) -> None:
    check_move(CAPTURE_MOVES, old, new)
    await tx.execute(
        "UPDATE captures SET state = $3, failure_reason = $4, finished_at = $5,"
        " next_check_at = NULL WHERE id = $1 AND state = $2",
        capture_id,
        old,
        new,
        failure_reason,
        now,
    )


async def take_due(tx: Transaction, now: datetime, limit: int) -> list[CaptureRow]:
    """Captures whose time has come, locked against other workers: put them off at once."""
    rows = await tx.fetch(
        f"SELECT {_CAPTURE} FROM captures WHERE next_check_at <= $1"
        " ORDER BY next_check_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return [row_as(CaptureRow, row) for row in rows]


async def put_off(tx: Transaction, capture_id: str, next_check_at: datetime) -> None:
    await tx.execute(
        "UPDATE captures SET checks = checks + 1, next_check_at = $2"
        " WHERE id = $1 AND state = 'requested'",
        capture_id,
        next_check_at,
    )
