"""What a restored database does not know any more: intents of ours at Stripe without a payment.

`installation.intents_known_until` is how far that was compared: a payment that was opened before it
has a row here, or its intent a row in `forgotten_intents`. It moves forward while the service runs,
and a database that was put back has an older one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paidonce.domain.intent import Intent
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import places

COMPARED_WITHIN = timedelta(days=30)
"""No comparison takes that long."""
STANDS = (
    "f.dismissed_at IS NULL AND NOT EXISTS (SELECT 1 FROM payments held"
    " WHERE held.stripe_payment_intent_id = f.stripe_payment_intent_id)"
)
"""A forgotten intent `f` stands until a payment holds it (whoever records the id adopts it), or a
person has dismissed it."""


def is_refused_sql(order_id: str) -> str:
    """Whether new payments of an order are refused: a condition for any statement."""
    return f"EXISTS (SELECT 1 FROM forgotten_intents f WHERE f.order_id = {order_id} AND {STANDS})"


@dataclass(frozen=True, slots=True)
class ForgottenIntent:
    """By the intent's own metadata; the order may have no row here either."""

    stripe_payment_intent_id: str
    order_id: str
    payment_id: str
    found_at: datetime


_FORGOTTEN = "f.stripe_payment_intent_id, f.order_id, f.payment_id, f.found_at"


async def record_forgotten(tx: Transaction, intent: Intent, now: datetime) -> bool:
    """False when it is listed already. Its metadata names the order and the payment."""
    changed = await tx.execute(
        "INSERT INTO forgotten_intents (stripe_payment_intent_id, order_id, payment_id, found_at,"
        " next_look_at) VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING",
        intent.id,
        intent.metadata.get("order_id", ""),
        intent.metadata.get("payment_id", ""),
        now,
    )
    return changed == 1


async def is_refused(tx: Transaction, order_id: str) -> bool:
    """An order is refused exactly while a forgotten intent stands for it that is not canceled."""
    row = await tx.fetch_one(f"SELECT CASE WHEN {is_refused_sql('$1')} THEN 1 END AS n", order_id)
    return row is not None and row["n"] is not None


async def get_standing(tx: Transaction, stripe_payment_intent_id: str) -> ForgottenIntent | None:
    row = await tx.fetch_one(
        f"SELECT {_FORGOTTEN} FROM forgotten_intents f"
        f" WHERE f.stripe_payment_intent_id = $1 AND {STANDS}",
        stripe_payment_intent_id,
    )
    return _forgotten(row) if row else None


async def dismiss(tx: Transaction, stripe_payment_intent_id: str, now: datetime) -> bool:
    """A person says that it refuses its order no longer; False when one has said so before."""
    changed = await tx.execute(
        "UPDATE forgotten_intents SET dismissed_at = $2"
        " WHERE stripe_payment_intent_id = $1 AND dismissed_at IS NULL",
        stripe_payment_intent_id,
        now,
    )
    return changed == 1


async def dismissed_intents(tx: Transaction, intent_ids: Sequence[str]) -> set[str]:
    """Those of the ids that a person has dismissed."""
    column = "stripe_payment_intent_id"
    select = f"SELECT {column} AS value FROM forgotten_intents WHERE dismissed_at IS NOT NULL"
    return await _among(tx, f"{select} AND {column}", intent_ids)


async def count_standing(tx: Transaction) -> int:
    row = await tx.fetch_one(f"SELECT count(*) AS n FROM forgotten_intents f WHERE {STANDS}")
    return int(row["n"]) if row else 0


async def take_due(
    tx: Transaction, now: datetime, pause: timedelta, limit: int
) -> list[ForgottenIntent]:
    """Standing ones to look at, put off against other workers, ever longer from `pause` on."""
    rows = await tx.fetch(
        f"SELECT {_FORGOTTEN} FROM forgotten_intents f WHERE f.next_look_at <= $1 AND {STANDS}"
        " ORDER BY f.next_look_at LIMIT $2",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE forgotten_intents SET next_look_at = $2 WHERE stripe_payment_intent_id = $1",
            row["stripe_payment_intent_id"],
            now + max(pause, now - row["found_at"]),
        )
    return [_forgotten(row) for row in rows]


async def drop_forgotten(tx: Transaction, stripe_payment_intent_id: str) -> None:
    """Stripe canceled it: it never charges."""
    await tx.execute(
        "DELETE FROM forgotten_intents WHERE stripe_payment_intent_id = $1",
        stripe_payment_intent_id,
    )


async def known_payments(tx: Transaction, payment_ids: Sequence[str]) -> set[str]:
    """Those of the ids that have a row here and have asked Stripe for an intent, or never will:
    their intents are found by the payment itself."""
    return await _among(
        tx,
        "SELECT id AS value FROM payments"
        " WHERE (intent_params IS NOT NULL OR state <> 'live') AND id",
        payment_ids,
    )


async def held_intents(tx: Transaction, intent_ids: Sequence[str]) -> set[str]:
    """Those of the ids that a payment holds."""
    column = "stripe_payment_intent_id"
    return await _among(tx, f"SELECT {column} AS value FROM payments WHERE {column}", intent_ids)


async def _among(tx: Transaction, select: str, values: Sequence[str]) -> set[str]:
    if not values:
        return set()
    return {row["value"] for row in await tx.fetch(f"{select} IN ({places(1, values)})", *values)}


def _forgotten(row: Row) -> ForgottenIntent:
    return ForgottenIntent(
        row["stripe_payment_intent_id"], row["order_id"], row["payment_id"], row["found_at"]
    )


# --- how far it was compared ---------------------------------------------------------------------


async def get_known_until(tx: Transaction) -> datetime | None:
    """None: never compared."""
    row = await tx.fetch_one("SELECT intents_known_until FROM installation")
    return row["intents_known_until"] if row else None


async def get_first_unknown(tx: Transaction, now: datetime) -> datetime:
    """Since when intents may be unknown where nothing was ever compared: the newest payment until
    now, or the installation itself."""
    row = await tx.fetch_one(
        "SELECT COALESCE((SELECT max(created_at) FROM payments WHERE created_at <= $1), created_at)"
        " AS since_at FROM installation",
        now,
    )
    if row is None:
        raise LookupError("a database that is served has its installation")
    since: datetime = row["since_at"]
    return since


async def know_until(tx: Transaction, now: datetime) -> None:
    """Never backwards."""
    await tx.execute(
        "UPDATE installation SET intents_known_until = $1"
        " WHERE intents_known_until IS NULL OR intents_known_until < $1",
        now,
    )


async def begin_comparison(tx: Transaction, comparison_id: str, now: datetime) -> None:
    """Those of processes that died are forgotten on the way."""
    await tx.execute("DELETE FROM comparisons WHERE began_at < $1", now - COMPARED_WITHIN)
    await tx.execute("INSERT INTO comparisons (id, began_at) VALUES ($1, $2)", comparison_id, now)


async def end_comparison(tx: Transaction, comparison_id: str) -> bool:
    """False: this is not the database in which it was begun."""
    return await tx.execute("DELETE FROM comparisons WHERE id = $1", comparison_id) == 1


async def know_only_until(tx: Transaction, known_until: datetime) -> None:
    """Backwards too: what the mark said is not believed."""
    await tx.execute("UPDATE installation SET intents_known_until = $1", known_until)
