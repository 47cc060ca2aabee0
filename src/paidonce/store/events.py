"""The history of a payment (append-only), the outbox, and the answers kept under clients'
idempotency keys. No payload with a client secret is ever stored."""

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


async def add_payment_event_once(
    tx: Transaction,
    event_id: str,
    order_id: str,
    payment_id: str,
    kind: str,
    data: str,
    now: datetime,
) -> None:
    """The same about the same payment is told once."""
    await tx.execute(
        "INSERT INTO payment_events (id, order_id, payment_id, attempt_id, kind, data, created_at)"
        " SELECT $1, $2, $3, NULL, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM payment_events"
        " WHERE order_id = $2 AND payment_id = $3 AND kind = $4 AND data = $5)",
        event_id,
        order_id,
        payment_id,
        kind,
        data,
        now,
    )


async def add_to_outbox(
    tx: Transaction,
    entry_id: str,
    order_id: str,
    kind: str,
    subject: str,
    payload: str,
    now: datetime,
) -> None:
    """One entry per order, kind and subject, however often the fact is learned. The caller holds
    the order's lock: entries of an order are sent in the order in which they are written."""
    await tx.execute(
        "INSERT INTO outbox (id, order_id, kind, subject, payload, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        entry_id,
        order_id,
        kind,
        subject,
        payload,
        now,
    )


# --- answers under a client's Idempotency-Key ----------------------------------------------------

_NOTED = "noted "
"""Before the scope of a key whose request got no final answer: the body's hash and nothing else."""


async def get_answer(
    tx: Transaction, scope: str, key_hash: str, since: datetime
) -> tuple[str, StoredAnswer | None] | None:
    """The body hash that the key came with, and the answer, None where none is kept; older ones
    count as forgotten."""
    row = await tx.fetch_one(
        "SELECT body_hash, status, body FROM answers"
        " WHERE scope IN ($1, $2) AND key_hash = $3 AND created_at > $4"
        " ORDER BY length(scope) LIMIT 1",
        scope,
        _NOTED + scope,
        key_hash,
        since,
    )
    if row is None:
        return None
    status, body = int(row["status"]), str(row["body"]).encode()
    return str(row["body_hash"]), StoredAnswer(status, body) if body else None


async def note_key(
    tx: Transaction,
    scope: str,
    key_hash: str,
    body_hash: str,
    now: datetime,
    forgotten_before: datetime,
) -> None:
    """Which body a key came with, while no final answer is kept under it."""
    noted, nothing = _NOTED + scope, StoredAnswer(0, b"")
    await keep_answer(tx, noted, key_hash, body_hash, nothing, now, forgotten_before)


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
