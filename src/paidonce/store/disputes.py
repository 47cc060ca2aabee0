"""Disputes and early fraud warnings, as Stripe showed them last. A row is never deleted."""

from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.money_back import FraudWarning
from paidonce.store.engine import Row, Transaction
from paidonce.store.listings import list_page
from paidonce.store.rows import DisputeRow, columns, insert_row, row_as, row_or_none

_DISPUTE = columns(DisputeRow)
_WARNING = columns(FraudWarning)


@dataclass(frozen=True, slots=True)
class OpenDisputes:
    """How many are open, and when the nearest deadline for evidence that is to come is."""

    count: int
    nearest_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListReading:
    """Whether it is this worker's turn, and how far the list was read before."""

    is_mine: bool
    read_until: datetime | None


async def get_dispute(tx: Transaction, dispute_id: str) -> DisputeRow | None:
    row = await tx.fetch_one(f"SELECT {_DISPUTE} FROM disputes WHERE id = $1", dispute_id)
    return row_or_none(DisputeRow, row)


async def insert_dispute(tx: Transaction, dispute: DisputeRow) -> None:
    await insert_row(tx, "disputes", dispute)


async def update_dispute(tx: Transaction, dispute: DisputeRow) -> None:
    """What may change of it."""
    await tx.execute(
        "UPDATE disputes SET amount_minor = $2, reason = $3, status = $4,"
        " is_charge_refundable = $5, evidence_due_at = $6, seen_at = $7, closed_at = $8,"
        " next_look_at = $9 WHERE id = $1",
        dispute.id,
        dispute.amount_minor,
        dispute.reason,
        dispute.status,
        dispute.is_charge_refundable,
        dispute.evidence_due_at,
        dispute.seen_at,
        dispute.closed_at,
        dispute.next_look_at,
    )


async def has_unrefundable(tx: Transaction, payment_id: str) -> bool:
    """Whether a dispute keeps Stripe from giving the payment's money back."""
    row = await tx.fetch_one(
        "SELECT id FROM disputes WHERE payment_id = $1 AND NOT is_charge_refundable LIMIT 1",
        payment_id,
    )
    return row is not None


async def list_disputes(
    tx: Transaction,
    limit: int,
    before: tuple[datetime, str] | None,
    *,
    order_id: str | None = None,
    status: str | None = None,
) -> list[Row]:
    """Newest first, from after the `(created_at, id)` of the last page's end."""
    wanted = {"order_id": order_id, "status": status}
    return await list_page(tx, f"SELECT {_DISPUTE} FROM disputes", limit, before, wanted)


async def take_due(
    tx: Transaction, now: datetime, next_look_at: datetime, limit: int
) -> list[DisputeRow]:
    """Open disputes whose time has come, put off against other workers."""
    rows = await tx.fetch(
        f"SELECT {_DISPUTE} FROM disputes WHERE next_look_at <= $1"
        " ORDER BY next_look_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE disputes SET next_look_at = $2 WHERE id = $1", row["id"], next_look_at
        )
    return [row_as(DisputeRow, row) for row in rows]


async def get_open(tx: Transaction, now: datetime) -> OpenDisputes:
    row = await tx.fetch_one(
        "SELECT count(*) AS n, min(CASE WHEN evidence_due_at > $1 AND status IN"
        " ('needs_response', 'warning_needs_response', 'appeal_needs_response')"
        " THEN evidence_due_at END) AS nearest_at FROM disputes WHERE closed_at IS NULL",
        now,
    )
    return OpenDisputes(int(row["n"]), row["nearest_at"]) if row else OpenDisputes(0, None)


# --- how far Stripe's list was read --------------------------------------------------------------


async def is_list_due(tx: Transaction, now: datetime) -> bool:
    row = await tx.fetch_one(
        "SELECT namespace FROM installation"
        " WHERE disputes_read_again_at IS NULL OR disputes_read_again_at <= $1",
        now,
    )
    return row is not None


async def take_list(tx: Transaction, now: datetime, again_at: datetime) -> ListReading:
    """Whoever is first reads it; the others wait until `again_at`."""
    changed = await tx.execute(
        "UPDATE installation SET disputes_read_again_at = $2"
        " WHERE disputes_read_again_at IS NULL OR disputes_read_again_at <= $1",
        now,
        again_at,
    )
    row = await tx.fetch_one("SELECT disputes_read_until_at FROM installation")
    return ListReading(changed == 1, row["disputes_read_until_at"] if row else None)


async def note_list_read(tx: Transaction, until: datetime) -> None:
    await tx.execute("UPDATE installation SET disputes_read_until_at = $1", until)


# --- early fraud warnings ------------------------------------------------------------------------


async def put_warning(tx: Transaction, order_id: str, warning: FraudWarning) -> bool:
    """False when it was known; then it is brought up to date."""
    if await insert_row(tx, "fraud_warnings", warning, is_once=True, order_id=order_id):
        return True
    await tx.execute(
        "UPDATE fraud_warnings SET is_actionable = $2 WHERE id = $1",
        warning.id,
        warning.is_actionable,
    )
    return False


async def list_warnings(tx: Transaction, order_id: str) -> list[FraudWarning]:
    rows = await tx.fetch(
        f"SELECT {_WARNING} FROM fraud_warnings WHERE order_id = $1 ORDER BY created_at, id",
        order_id,
    )
    return [FraudWarning(**row) for row in rows]
