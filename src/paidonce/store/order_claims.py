"""Which order came of a request: one row per Idempotency-Key, and one per basket of a user.

A row is written in the order's own transaction, so that order and claim are there together or not
at all. Its id is a hash: nothing of the user or his key can be read from it.
"""

from dataclasses import dataclass
from datetime import datetime

from paidonce.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Claim:
    """`body_hash` is that of the request; of a basket, which is its own body, it is empty."""

    order_id: str
    body_hash: str
    created_at: datetime


async def claim_order(
    tx: Transaction, claim_id: str, body_hash: str, order_id: str, now: datetime
) -> Claim:
    """The claim that stands, locked: this one, or an earlier one. Whoever comes at the same moment
    waits here until the first one is committed."""
    row = await tx.fetch_one(
        "INSERT INTO order_claims (id, order_id, body_hash, created_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (id) DO UPDATE SET id = excluded.id"
        " RETURNING order_id, body_hash, created_at",
        claim_id,
        order_id,
        body_hash,
        now,
    )
    if row is None:
        raise LookupError("an insert that returns its row has one")
    return Claim(row["order_id"], row["body_hash"], row["created_at"])


async def replace_claim(
    tx: Transaction, claim_id: str, body_hash: str, order_id: str, now: datetime
) -> None:
    """Another order takes the place of one that is not answered again; the claim is locked."""
    await tx.execute(
        "UPDATE order_claims SET order_id = $3, body_hash = $2, created_at = $4 WHERE id = $1",
        claim_id,
        body_hash,
        order_id,
        now,
    )


async def list_old_claims(tx: Transaction, before: datetime, limit: int) -> list[str]:
    rows = await tx.fetch(
        "SELECT id FROM order_claims WHERE created_at < $1 LIMIT $2", before, limit
    )
    return [row["id"] for row in rows]


async def delete_old_claims(tx: Transaction, claim_ids: list[str], before: datetime) -> int:
    """Those of them that nobody has renewed meanwhile; how many."""
    deleted = [
        await tx.execute(
            "DELETE FROM order_claims WHERE id = $1 AND created_at < $2", claim_id, before
        )
        for claim_id in sorted(claim_ids)
    ]
    return sum(deleted)
