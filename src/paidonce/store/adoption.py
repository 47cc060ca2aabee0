"""Taking over customers that somebody made at Stripe before us, and the users who have none yet."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from paidonce.store.engine import Transaction
from paidonce.store.rows import places
from paidonce.store.users import lock_user


@dataclass(frozen=True, slots=True)
class UserCounts:
    """All users, and those whose customer is recorded."""

    users: int
    with_customer: int


class Found(StrEnum):
    """What a customer of Stripe is to the user whom its metadata names."""

    STRANGER = "stranger"  # no such user
    KNOWN = "known"  # recorded already
    FREE = "free"  # the user has none: to be adopted
    DUPLICATE = "duplicate"  # the user has another one, or another user has this one


async def count_users(tx: Transaction) -> UserCounts:
    row = await tx.fetch_one(
        f"SELECT count(*) AS users, count(stripe_customer_id) AS customers FROM {tx.users.name}"
        f" WHERE {tx.users.id_column} IS NOT NULL"
    )
    return UserCounts(row["users"], row["customers"]) if row else UserCounts(0, 0)


async def list_without_customer(tx: Transaction, after: str | None, limit: int) -> list[str]:
    """Ids of users without a customer, in the order of the ids, from behind `after`."""
    users = tx.users
    select = (
        f"SELECT {users.id_text('u.')} AS id FROM {users.name} u"
        f" WHERE u.stripe_customer_id IS NULL AND u.{users.id_column} IS NOT NULL"
    )
    order = f"ORDER BY u.{users.id_column} LIMIT $1"
    if after is None:
        rows = await tx.fetch(f"{select} {order}", limit)
    else:
        behind = f"AND u.{users.id_column} > $2{users.cast}"
        rows = await tx.fetch(f"{select} {behind} {order}", limit, after)
    return [str(row["id"]) for row in rows]


async def look_at_customer(tx: Transaction, user_id: str, stripe_customer_id: str) -> Found:
    users = tx.users
    if not users.can_have(user_id):
        return Found.STRANGER
    row = await tx.fetch_one(
        f"SELECT stripe_customer_id FROM {users.name} WHERE {users.has_id('$1')}", user_id
    )
    if row is None:
        return Found.STRANGER
    if row["stripe_customer_id"] is not None:
        is_same = row["stripe_customer_id"] == stripe_customer_id
        return Found.KNOWN if is_same else Found.DUPLICATE
    taken = await tx.fetch_one(
        f"SELECT 1 AS one FROM {users.name} WHERE stripe_customer_id = $1", stripe_customer_id
    )
    return Found.FREE if taken is None else Found.DUPLICATE


async def adopt_customer(tx: Transaction, user_id: str, stripe_customer_id: str) -> Found:
    """Record the customer unless the user has one; FREE: it was recorded now."""
    await lock_user(tx, user_id)
    found = await look_at_customer(tx, user_id, stripe_customer_id)
    if found is Found.FREE:
        changed = await tx.execute(
            f"UPDATE {tx.users.name} SET stripe_customer_id = $2"
            f" WHERE {tx.users.has_id('$1')} AND stripe_customer_id IS NULL",
            user_id,
            stripe_customer_id,
        )
        return Found.FREE if changed == 1 else Found.DUPLICATE
    return found


async def list_some_customers(tx: Transaction, limit: int) -> list[str]:
    """A few customers that stand in the host's table; none where users are our own."""
    if not tx.users.is_host:
        return []
    rows = await tx.fetch(
        f"SELECT stripe_customer_id AS id FROM {tx.users.name}"
        " WHERE stripe_customer_id IS NOT NULL LIMIT $1",
        limit,
    )
    return [str(row["id"]) for row in rows]


# --- the place in Stripe's list ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A pass through Stripe's list, newest first: where it began, and what it saw last."""

    newest_id: str | None = None
    last_id: str | None = None


async def get_place(tx: Transaction) -> Place:
    """Of a pass that was not finished; else the beginning."""
    row = await tx.fetch_one(
        "SELECT newest_customer_id, last_customer_id FROM customer_adoption"
        " WHERE finished_at IS NULL"
    )
    return Place() if row is None else Place(row["newest_customer_id"], row["last_customer_id"])


async def save_place(tx: Transaction, place: Place, now: datetime, *, is_finished: bool) -> None:
    """After the page before it was adopted, so that a killed pass goes on there."""
    await tx.execute(
        "INSERT INTO customer_adoption"
        " (id, newest_customer_id, last_customer_id, started_at, finished_at)"
        " VALUES (1, $1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET"
        " newest_customer_id = excluded.newest_customer_id,"
        " last_customer_id = excluded.last_customer_id, finished_at = excluded.finished_at",
        place.newest_id,
        place.last_id,
        now,
        now if is_finished else None,
    )


async def list_owners(tx: Transaction, customer_ids: Collection[str]) -> dict[str, str]:
    """Who has which of these customers recorded."""
    if not customer_ids:
        return {}
    rows = await tx.fetch(
        f"SELECT {tx.users.id_text()} AS id, stripe_customer_id FROM {tx.users.name}"
        f" WHERE stripe_customer_id IN ({places(1, customer_ids)})",
        *customer_ids,
    )
    return {str(row["stripe_customer_id"]): str(row["id"]) for row in rows}
