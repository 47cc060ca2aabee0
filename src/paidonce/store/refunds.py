"""Refunds: written down before Stripe is asked, and never deleted.

Every function that changes a row expects the order's row to be locked (`orders.lock_order`), but
`take_due` and what is only about sending.
"""

from datetime import datetime

from paidonce.domain.states import REFUND_MOVES, RefundState, check_move
from paidonce.store.engine import Transaction
from paidonce.store.rows import RefundRow, columns, row_as

_REFUND = columns(RefundRow)


async def insert_refund(tx: Transaction, refund: RefundRow) -> bool:
    """False when the payment's surplus is being given back already."""
    names = _REFUND.split(", ")
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    changed = await tx.execute(
        f"INSERT INTO refunds ({_REFUND}) VALUES ({places}) ON CONFLICT DO NOTHING",
        *(getattr(refund, name) for name in names),
    )
    return changed == 1


async def get_refund(tx: Transaction, refund_id: str) -> RefundRow:
    row = await tx.fetch_one(f"SELECT {_REFUND} FROM refunds WHERE id = $1", refund_id)
    if row is None:
        raise LookupError("refunds are never deleted")
    return row_as(RefundRow, row)


async def list_of_payment(tx: Transaction, payment_id: str) -> list[RefundRow]:
    rows = await tx.fetch(
        f"SELECT {_REFUND} FROM refunds WHERE payment_id = $1 ORDER BY created_at, id", payment_id
    )
    return [row_as(RefundRow, row) for row in rows]


async def take_due(
    tx: Transaction, now: datetime, next_check_at: datetime, limit: int
) -> list[RefundRow]:
    """Refunds whose time has come, put off against other workers."""
    rows = await tx.fetch(
        f"SELECT {_REFUND} FROM refunds WHERE next_check_at <= $1"
        " ORDER BY next_check_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE refunds SET checks = checks + 1, next_check_at = $2 WHERE id = $1",
            row["id"],
            next_check_at,
        )
    return [row_as(RefundRow, row) for row in rows]


async def check_at(tx: Transaction, refund_id: str, next_check_at: datetime | None) -> None:
    await tx.execute(
        "UPDATE refunds SET next_check_at = $2 WHERE id = $1", refund_id, next_check_at
    )


async def put_off(
    tx: Transaction, refund_id: str, old_key_no: int, key_no: int, failure_reason: str
) -> None:
    """What Stripe did not make this time, and why; `key_no` is for the next try."""
    await tx.execute(
        "UPDATE refunds SET key_no = $3, failure_reason = $4"
        " WHERE id = $1 AND key_no = $2 AND state = 'requested'",
        refund_id,
        old_key_no,
        key_no,
        failure_reason,
    )


async def count_requested(tx: Transaction, before: datetime) -> int:
    """Refunds asked for before that time that Stripe has not made; `next_check_at` is set for all
    of them, and has an index."""
    row = await tx.fetch_one(
        "SELECT count(*) AS n FROM refunds"
        " WHERE next_check_at IS NOT NULL AND state = 'requested' AND created_at < $1",
        before,
    )
    return int(row["n"]) if row else 0


async def set_state(
    tx: Transaction,
    refund_id: str,
    old: RefundState,
    new: RefundState,
    now: datetime,
    *,
    stripe_refund_id: str | None = None,
    failure_reason: str | None = None,
) -> None:
    check_move(REFUND_MOVES, old, new)
    await tx.execute(
        "UPDATE refunds SET state = $3, stripe_refund_id = COALESCE($4, stripe_refund_id),"
        " failure_reason = $5, finished_at = $6 WHERE id = $1 AND state = $2",
        refund_id,
        old,
        new,
        stripe_refund_id,
        failure_reason,
        now if new not in (RefundState.PENDING, RefundState.REQUIRES_ACTION) else None,
    )
