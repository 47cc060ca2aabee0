"""Refunds: written down before Stripe is asked, and never deleted.

Every function that changes a row expects the order's row to be locked (`orders.lock_order`), but
`take_due` and what is only about sending.
"""

from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.states import REFUND_MOVES, RefundState, check_move
from paidonce.store.engine import Row, Transaction
from paidonce.store.listings import list_page
from paidonce.store.rows import RefundRow, columns, insert_row, row_as, row_or_none

_REFUND = columns(RefundRow)


@dataclass(frozen=True, slots=True)
class GivenBack:
    """`captured_minor`: what was taken with the payment. `seen_minor`: what went back by the
    charge's own figure, as the latest look saw it. `made_minor`: our rows of what Stripe has made
    and not taken back. `asked_minor`: our rows of what it may or may not have made. In minor
    units."""

    captured_minor: int
    seen_minor: int
    made_minor: int
    asked_minor: int

    @property
    def all_minor(self) -> int:
        """What has gone back, as far as anybody knows."""
        return max(self.made_minor, self.seen_minor)

    @property
    def left_minor(self) -> int:
        """What can still be given back."""
        return max(0, self.captured_minor - self.asked_minor - self.all_minor)


async def insert_refund(tx: Transaction, refund: RefundRow) -> bool:
    """False when the payment's surplus is being given back already, or a row stands for what was
    asked for under this key, or for this refund of Stripe's."""
    return await insert_row(tx, "refunds", refund, is_once=True)


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


async def get_of_key(tx: Transaction, order_id: str, key_hash: str) -> RefundRow | None:
    """The refund that was asked for under this key."""
    row = await tx.fetch_one(
        f"SELECT {_REFUND} FROM refunds WHERE order_id = $1 AND key_hash = $2", order_id, key_hash
    )
    return row_or_none(RefundRow, row)


async def get_given_back(tx: Transaction, payment_id: str) -> GivenBack:
    """What went back of a payment's charge, as Stripe's figure and our rows say it."""
    row = await tx.fetch_one(
        "SELECT COALESCE(p.amount_captured_minor, p.amount_minor) AS captured,"
        " p.amount_refunded_minor,"
        " COALESCE(SUM(CASE WHEN r.state = 'requested' THEN r.amount_minor END), 0) AS asked,"
        " COALESCE(SUM(CASE WHEN r.state IN ('pending', 'requires_action', 'succeeded')"
        "   THEN r.amount_minor END), 0) AS made"
        " FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id WHERE p.id = $1"
        " GROUP BY p.amount_captured_minor, p.amount_minor, p.amount_refunded_minor",
        payment_id,
    )
    if row is None:
        raise LookupError("payments are never deleted")
    return GivenBack(
        row["captured"], row["amount_refunded_minor"], int(row["made"]), int(row["asked"])
    )


async def list_refunds(
    tx: Transaction,
    limit: int,
    before: tuple[datetime, str] | None,
    *,
    order_id: str | None = None,
    state: RefundState | None = None,
) -> list[Row]:
    """Newest first, from after the `(created_at, id)` of the last page's end."""
    wanted = {"order_id": order_id, "state": state}
    return await list_page(tx, f"SELECT {_REFUND} FROM refunds", limit, before, wanted)


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
