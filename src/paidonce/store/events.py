"""The history of a payment (append-only), the outbox, the inbox of Stripe's events, and the
answers kept under clients' idempotency keys. No payload with a client secret is ever stored."""

from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.model import StoredAnswer
from paidonce.store.engine import Transaction


async def add_payment_event(
    tx: Transaction,
    event_id: str,
    order_id: str,
    payment_id: str | None,
    attempt_id: str | None,
    kind: str,
    data: str,
    now: datetime,
) -> None:
    await tx.execute(
        "INSERT INTO payment_events (id, order_id, payment_id, attempt_id, kind, data, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        event_id,
        order_id,
        payment_id,
        attempt_id,
        kind,
        data,
        now,
    )


async def add_to_outbox(
    tx: Transaction, entry_id: str, order_id: str, kind: str, payload: str, now: datetime
) -> None:
    """One entry per order and kind, however often the fact is learned."""
    await tx.execute(
        "INSERT INTO outbox (id, order_id, kind, payload, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        entry_id,
        order_id,
        kind,
        payload,
        now,
    )


# --- the inbox -----------------------------------------------------------------------------------


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
    tries: int = 0


async def insert_event_once(
    tx: Transaction, event: InboxEvent, event_created_at: datetime, now: datetime
) -> bool:
    """False when the event was stored before."""
    changed = await tx.execute(
        "INSERT INTO stripe_events (id, type, object_id, stripe_payment_intent_id, order_id,"
        " state, tries, next_try_at, event_created_at, received_at)"
        " VALUES ($1, $2, $3, $4, $5, 'pending', 0, $7, $6, $7) ON CONFLICT DO NOTHING",
        event.id,
        event.type,
        event.object_id,
        event.stripe_payment_intent_id,
        event.order_id,
        event_created_at,
        now,
    )
    return changed == 1


async def take_due_events(
    tx: Transaction, now: datetime, retry_at: datetime, limit: int
) -> list[InboxEvent]:
    """Pending events whose time has come, counted as tried and put off against other workers."""
    rows = await tx.fetch(
        "SELECT id, type, object_id, stripe_payment_intent_id, order_id, tries"
        " FROM stripe_events"
        " WHERE state = 'pending' AND next_try_at <= $1"
        " ORDER BY next_try_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE stripe_events SET tries = tries + 1, next_try_at = $2 WHERE id = $1",
            row["id"],
            retry_at,
        )
    return [InboxEvent(**{**row, "tries": row["tries"] + 1}) for row in rows]


async def finish_event(
    tx: Transaction, event_id: str, state: str, note: str | None, now: datetime
) -> None:
    """`done`, `ignored` or `set_aside` (after bounded tries, for a person)."""
    await tx.execute(
        "UPDATE stripe_events SET state = $2, note = $3, worked_at = $4 WHERE id = $1",
        event_id,
        state,
        note,
        now,
    )


async def put_off_event(tx: Transaction, event_id: str, note: str, next_try_at: datetime) -> None:
    await tx.execute(
        "UPDATE stripe_events SET note = $2, next_try_at = $3 WHERE id = $1",
        event_id,
        note,
        next_try_at,
    )


# --- answers under a client's Idempotency-Key ----------------------------------------------------


async def get_answer(
    tx: Transaction, scope: str, key_hash: str, since: datetime
) -> tuple[str, StoredAnswer] | None:
    """The body hash it was given for, and the answer; older ones count as forgotten."""
    row = await tx.fetch_one(
        "SELECT body_hash, status, body FROM answers"
        " WHERE scope = $1 AND key_hash = $2 AND created_at > $3",
        scope,
        key_hash,
        since,
    )
    if row is None:
        return None
    return str(row["body_hash"]), StoredAnswer(int(row["status"]), str(row["body"]).encode())


async def keep_answer(
    tx: Transaction,
    scope: str,
    key_hash: str,
    body_hash: str,
    answer: StoredAnswer,
    now: datetime,
    forgotten_before: datetime,
) -> None:
    """The first final answer stays; one that is forgotten by now gives way."""
    await tx.execute("DELETE FROM answers WHERE created_at <= $1", forgotten_before)
    await tx.execute(
        "INSERT INTO answers (scope, key_hash, body_hash, status, body, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        scope,
        key_hash,
        body_hash,
        answer.status,
        answer.body.decode(),
        now,
    )
