"""The inbox of Stripe's events: what is kept of each, and how far the work on it has come.

States: `pending` -> `done`, `ignored`, or `set_aside` after bounded tries; a person may send any
of them back to `pending`. No payload is ever stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paidonce.store.engine import Transaction
from paidonce.store.rows import columns, insert_row, places

FINISHED = "state IN ('done', 'ignored')"
STATE_SQL = (
    "SELECT count(CASE WHEN state = 'pending' THEN 1 END) AS pending,"
    " count(CASE WHEN state = 'set_aside' THEN 1 END) AS set_aside,"
    " min(CASE WHEN state = 'pending' THEN received_at END) AS oldest_pending_at"
    " FROM stripe_events WHERE state IN ('pending', 'set_aside')"
)
"""Its condition is the index's own (idx_stripe_events_waiting): what is finished, and kept for
months, is not read."""


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """What is kept of a Stripe event: a hint where to look, never its payload.

    `order_id` is the one in the object's metadata when that names our namespace.
    """

    id: str
    type: str
    object_id: str
    stripe_payment_intent_id: str | None
    order_id: str | None
    event_created_at: datetime
    tries: int = 0


@dataclass(frozen=True, slots=True)
class StoredEvent(InboxEvent):
    """The whole row, for people."""

    state: str = "pending"
    next_try_at: datetime | None = None
    note: str | None = None
    received_at: datetime | None = None
    worked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class InboxState:
    """How many wait and since when, and how many were set aside."""

    pending: int
    set_aside: int
    oldest_pending_at: datetime | None


# --- intake --------------------------------------------------------------------------------------


async def insert_event_once(tx: Transaction, event: InboxEvent, now: datetime) -> bool:
    """False when the event was stored before."""
    times = {"next_try_at": now, "received_at": now}
    return await insert_row(tx, "stripe_events", event, is_once=True, state="pending", **times)


# --- work ----------------------------------------------------------------------------------------


async def take_due_events(
    tx: Transaction, now: datetime, lease_until: datetime, limit: int
) -> list[InboxEvent]:
    """Pending events whose time has come, counted as tried and kept from other workers."""
    rows = await tx.fetch(
        "WITH due AS MATERIALIZED ("
        "SELECT id FROM stripe_events WHERE state = 'pending' AND next_try_at <= $1"
        " ORDER BY next_try_at LIMIT $3 FOR UPDATE SKIP LOCKED)"
        " UPDATE stripe_events SET tries = tries + 1, next_try_at = $2"
        f" WHERE id IN (SELECT id FROM due) RETURNING {columns(InboxEvent)}",
        now,
        lease_until,
        limit,
    )
    return [InboxEvent(**row) for row in rows]


async def finish_events(
    tx: Transaction, event_ids: Sequence[str], state: str, note: str | None, now: datetime
) -> None:
    """`done`, `ignored` or `set_aside` (after bounded tries, for a person)."""
    await tx.execute(
        f"UPDATE stripe_events SET state = $1, note = $2, worked_at = $3"
        f" WHERE id IN ({places(4, event_ids)})",
        state,
        note,
        now,
        *event_ids,
    )


async def put_off_event(tx: Transaction, event_id: str, note: str, next_try_at: datetime) -> None:
    await tx.execute(
        "UPDATE stripe_events SET note = $2, next_try_at = $3 WHERE id = $1",
        event_id,
        note,
        next_try_at,
    )


async def give_tries_back(tx: Transaction, event_ids: Sequence[str]) -> None:
    """What was counted when they were taken; one that a person has sent again meanwhile has all."""
    await tx.execute(
        "UPDATE stripe_events SET tries = tries - 1"
        f" WHERE tries > 0 AND id IN ({places(1, event_ids)})",
        *event_ids,
    )


# --- people --------------------------------------------------------------------------------------


async def get_inbox_state(tx: Transaction) -> InboxState:
    row = await tx.fetch_one(STATE_SQL)
    return InboxState(**row) if row else InboxState(0, 0, None)


async def list_events(tx: Transaction, state: str | None, limit: int) -> list[StoredEvent]:
    """The latest first; of one state, or of all."""
    rows = await tx.fetch(
        f"SELECT {columns(StoredEvent)} FROM stripe_events"
        " WHERE state = $1 OR $1 IS NULL ORDER BY received_at DESC, id LIMIT $2",
        state,
        limit,
    )
    return [StoredEvent(**row) for row in rows]


async def get_event(tx: Transaction, event_id: str) -> StoredEvent | None:
    row = await tx.fetch_one(
        f"SELECT {columns(StoredEvent)} FROM stripe_events WHERE id = $1", event_id
    )
    return StoredEvent(**row) if row else None


async def resend_event(tx: Transaction, event_id: str, now: datetime) -> bool:
    """Back to work, with all its tries. False when there is no such event."""
    changed = await tx.execute(
        "UPDATE stripe_events SET state = 'pending', tries = 0, next_try_at = $2, worked_at = NULL"
        " WHERE id = $1",
        event_id,
        now,
    )
    return changed == 1


async def resend_set_aside(tx: Transaction, now: datetime, limit: int) -> int:
    """The same for `limit` of those that were set aside; how many there were."""
    return await tx.execute(
        "UPDATE stripe_events SET state = 'pending', tries = 0, next_try_at = $1, worked_at = NULL"
        " WHERE id IN (SELECT id FROM stripe_events WHERE state = 'set_aside' LIMIT $2)",
        now,
        limit,
    )


# --- forgetting ----------------------------------------------------------------------------------


async def list_forgettable(tx: Transaction, before: datetime, limit: int) -> list[str]:
    """Events that were finished before that time."""
    rows = await tx.fetch(
        f"SELECT id FROM stripe_events WHERE {FINISHED} AND worked_at < $1 LIMIT $2", before, limit
    )
    return [row["id"] for row in rows]


async def delete_events(tx: Transaction, event_ids: Sequence[str], before: datetime) -> int:
    """Those of them that are still finished, and still so long ago; how many."""
    return sum(
        [
            await tx.execute(
                f"DELETE FROM stripe_events WHERE id = $1 AND {FINISHED} AND worked_at < $2",
                event_id,
                before,
            )
            for event_id in event_ids
        ]
    )
