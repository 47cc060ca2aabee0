"""What this database belongs to: one mode, one Stripe account, one random namespace."""

from dataclasses import dataclass
from datetime import datetime

from paidonce.store.engine import Transaction


@dataclass(frozen=True, slots=True)
class Installation:
    """`namespace` goes into every idempotency key and every intent's metadata."""

    namespace: str
    mode: str
    stripe_account_id: str | None


async def ensure_installation(
    tx: Transaction, namespace: str, mode: str, now: datetime
) -> Installation:
    """The one row, made from the arguments when there is none yet."""
    await tx.execute(
        "INSERT INTO installation (id, namespace, mode, created_at) VALUES (1, $1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        namespace,
        mode,
        now,
    )
    return await get_installation(tx) or Installation(namespace, mode, None)


async def get_installation(tx: Transaction) -> Installation | None:
    row = await tx.fetch_one("SELECT namespace, mode, stripe_account_id FROM installation")
    if row is None:
        return None
    return Installation(row["namespace"], row["mode"], row["stripe_account_id"])


async def save_account(tx: Transaction, stripe_account_id: str) -> None:
    await tx.execute(
        "UPDATE installation SET stripe_account_id = $1 WHERE stripe_account_id IS NULL",
        stripe_account_id,
    )
