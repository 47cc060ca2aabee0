"""What a user, an address and a device have tried in the last hour: against card testing.

Declined payments and declined saves count, and what is on its way: an attempt whose end is not
known yet may become a decline. A card that has paid before is none that is being tested, so its
attempts are not counted while they are on their way.
"""

from dataclasses import dataclass
from datetime import datetime

from paidonce.store.engine import Row, Transaction

SCOPES = ("user", "address", "device")
_MINE = {"user": "user_id = $1", "address": "client_address = $2", "device": "device_hash = $3"}
_ANY = (
    "(user_id = $1 OR (client_address = $2 AND client_address <> '')"
    " OR (device_hash = $3 AND device_hash <> ''))"
)
_TRIED = f"""
SELECT user_id, client_address, device_hash, 'declined' AS what, closed_at AS tried_at,
       COALESCE((SELECT fingerprint FROM payment_methods m
                  WHERE m.stripe_payment_method_id = a.stripe_payment_method_id),
                requested_method_id) AS card
  FROM payment_attempts a WHERE state = 'declined' AND closed_at > $4 AND {_ANY}
UNION ALL
SELECT user_id, client_address, device_hash, state, created_at, COALESCE(card, id)
  FROM declined_saves WHERE created_at > $4 AND id <> $5 AND {_ANY}
UNION ALL
SELECT user_id, client_address, device_hash, 'open', created_at, requested_method_id
  FROM payment_attempts a WHERE state = 'open' AND created_at > $4 AND id <> $5 AND {_ANY}
   AND NOT EXISTS (SELECT 1 FROM payment_methods m
        WHERE m.stripe_payment_method_id = a.requested_method_id AND m.first_paid_at IS NOT NULL)
"""


def _counts(scope: str) -> str:
    mine = _MINE[scope]
    declined = f"FILTER (WHERE {mine} AND what = 'declined')"
    return (
        f"count(*) {declined} AS {scope}_declines,"
        f" count(*) FILTER (WHERE {mine} AND what = 'open') AS {scope}_open,"
        f" count(DISTINCT card) FILTER (WHERE {mine}) AS {scope}_cards,"
        f" min(tried_at) FILTER (WHERE {mine}) AS {scope}_first_at,"
        f" max(tried_at) {declined} AS {scope}_last_at"
    )


_COUNTED = f"SELECT {', '.join(_counts(scope) for scope in SCOPES)} FROM ({_TRIED}) AS tried"


@dataclass(frozen=True, slots=True)
class Tried:
    """Of one scope, since a time: declines, attempts on their way, different cards of both and of
    saved ones, when the first of all these was, and the last decline."""

    declines: int
    open: int
    cards: int
    first_at: datetime | None
    last_at: datetime | None


async def count_tried(
    tx: Transaction,
    user_id: str,
    client_address: str,
    device_hash: str,
    since: datetime,
    but_for: str = "",
) -> dict[str, Tried]:
    """By scope. `but_for` is the attempt or the save that asks: it does not count itself. A device
    that has not named itself (`""`) has tried nothing."""
    row = await tx.fetch_one(_COUNTED, user_id, client_address, device_hash, since, but_for)
    if row is None:
        raise LookupError("a count has a row")
    found = {scope: _tried(row, scope) for scope in SCOPES}
    return found if device_hash else {**found, "device": Tried(0, 0, 0, None, None)}


def _tried(row: Row, scope: str) -> Tried:
    return Tried(
        int(row[f"{scope}_declines"]),
        int(row[f"{scope}_open"]),
        int(row[f"{scope}_cards"]),
        row[f"{scope}_first_at"],
        row[f"{scope}_last_at"],
    )


async def has_paid_before(tx: Transaction, user_id: str, before: datetime) -> bool:
    """Whether the user has paid an order at that time or earlier."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM orders WHERE user_id = $1 AND paid_at <= $2 LIMIT 1", user_id, before
    )
    return row is not None
