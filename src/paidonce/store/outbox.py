"""Outgoing events on their way: which endpoints there are, and what each was told.

A delivery is `pending` until it is `delivered`, or `dead` after its last try; a person may send any
of them back to `pending`. An order's events go to an endpoint one after the other, by their
position: of its pending ones only the first is ever taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.outgoing import OutgoingEvent
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import places


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event to send now; this is its try number `tries`."""

    event: OutgoingEvent
    tries: int


@dataclass(frozen=True, slots=True)
class EndpointState:
    """Nothing is sent until `paused_until`, and nothing at all once it is disabled."""

    since_at: datetime
    paused_until: datetime | None
    disabled_at: datetime | None
    note: str | None

    def is_open_at(self, now: datetime) -> bool:
        is_paused = self.paused_until is not None and self.paused_until > now
        return self.disabled_at is None and not is_paused


EVENT_SQL = (
    "SELECT e.id, e.kind AS type, COALESCE(e.position, 0) AS sequence, e.payload, e.created_at,"
    " e.order_id, o.order_number, o.user_id, o.amount_minor, o.currency, o.metadata"
    " FROM outbox e JOIN orders o ON o.id = e.order_id"
)


def event_of(row: Row) -> OutgoingEvent:
    return OutgoingEvent(**{name: row[name] for name in OutgoingEvent.__slots__})


# --- endpoints -----------------------------------------------------------------------------------


async def register_endpoints(tx: Transaction, names: Sequence[str], now: datetime) -> None:
    """An endpoint is told what happens from the day on that it is first seen."""
    for name in names:
        await tx.execute(
            "INSERT INTO event_endpoints (name, since_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            name,
            now,
        )


async def list_endpoint_names(tx: Transaction) -> list[str]:
    return [row["name"] for row in await tx.fetch("SELECT name FROM event_endpoints")]


async def get_endpoint(tx: Transaction, name: str) -> EndpointState | None:
    row = await tx.fetch_one(
        "SELECT since_at, paused_until, disabled_at, note FROM event_endpoints WHERE name = $1",
        name,
    )
    return EndpointState(**row) if row else None


async def pause_endpoint(tx: Transaction, name: str, until: datetime) -> None:
    await tx.execute(
        "UPDATE event_endpoints SET paused_until = $2 WHERE name = $1"
        " AND (paused_until IS NULL OR paused_until < $2)",
        name,
        until,
    )


async def disable_endpoint(tx: Transaction, name: str, note: str, now: datetime) -> bool:
    changed = await tx.execute(
        "UPDATE event_endpoints SET disabled_at = $2, note = $3"
        " WHERE name = $1 AND disabled_at IS NULL",
        name,
        now,
        note,
    )
    return changed == 1


async def enable_endpoint(tx: Transaction, name: str, now: datetime) -> bool:
    """What was to be tried later is due too. False when there is no such endpoint."""
    changed = await tx.execute(
        "UPDATE event_endpoints SET disabled_at = NULL, paused_until = NULL, note = NULL"
        " WHERE name = $1",
        name,
    )
    await tx.execute(
        "UPDATE event_deliveries SET next_try_at = $2, lease_owner = NULL"
        " WHERE endpoint = $1 AND state = 'pending' AND next_try_at > $2",
        name,
        now,
    )
    return changed == 1


# --- events -> deliveries ------------------------------------------------------------------------


async def has_work(tx: Transaction, endpoint: str, now: datetime) -> bool:
    """A look that takes no lock: something happened, or something is due that may be sent."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM outbox WHERE spread_at IS NULL UNION ALL"
        " SELECT 1 FROM event_deliveries d JOIN event_endpoints p ON p.name = d.endpoint"
        " WHERE d.endpoint = $1 AND d.state = 'pending' AND d.next_try_at <= $2"
        " AND p.disabled_at IS NULL AND (p.paused_until IS NULL OR p.paused_until <= $2) LIMIT 1",
        endpoint,
        now,
    )
    return row is not None


async def spread(tx: Transaction, now: datetime, limit: int) -> int:
    """A delivery of each new event to each endpoint that was there when it happened, whether or not
    this process knows it: while settings change, not all do. Due since it happened: whoever looked
    at his clock before the spreader finds it too. How many events. Spreaders wait for each other,
    so that no later event of an order comes first."""
    rows = await tx.fetch(
        "SELECT id FROM outbox WHERE spread_at IS NULL ORDER BY position LIMIT $1 FOR UPDATE", limit
    )
    ids = [row["id"] for row in rows]
    if not ids:
        return 0
    await tx.execute(
        "INSERT INTO event_deliveries"
        " (event_id, endpoint, order_id, position, state, next_try_at, created_at)"
        " SELECT e.id, p.name, e.order_id, COALESCE(e.position, 0), 'pending',"
        " CASE WHEN e.created_at < $1 THEN e.created_at ELSE $1 END, $1"
        " FROM outbox e JOIN event_endpoints p ON p.since_at <= e.created_at"
        f" WHERE e.id IN ({places(2, ids)})"
        " ON CONFLICT DO NOTHING",
        now,
        *ids,
    )
    await tx.execute(f"UPDATE outbox SET spread_at = $1 WHERE id IN ({places(2, ids)})", now, *ids)
    return len(ids)


# --- deliveries ----------------------------------------------------------------------------------


async def take_due(
    tx: Transaction, endpoint: str, owner: str, now: datetime, lease_until: datetime, limit: int
) -> tuple[list[DueEvent], int]:
    """Events to send now, counted as tried and kept from other workers; and how many were seen due:
    those behind an earlier event of their order are put off until that one's time."""
    rows = await tx.fetch(
        "SELECT event_id, order_id, position FROM event_deliveries"
        " WHERE endpoint = $1 AND state = 'pending' AND next_try_at <= $2"
        " ORDER BY next_try_at, position LIMIT $3 FOR UPDATE SKIP LOCKED",
        endpoint,
        now,
        limit,
    )
    if not rows:
        return [], 0
    order_ids = dict.fromkeys(row["order_id"] for row in rows)
    firsts = {order_id: await _first(tx, endpoint, order_id) for order_id in order_ids}
    taken: list[str] = []
    for row in rows:
        first = firsts[row["order_id"]]
        if first is not None and first["event_id"] != row["event_id"]:
            is_taken_now = first["next_try_at"] <= now
            until = lease_until if is_taken_now else first["next_try_at"]
            await _put_off(tx, row["event_id"], endpoint, until)
        else:
            taken.append(row["event_id"])
    return await _take(tx, endpoint, owner, lease_until, taken), len(rows)


async def _first(tx: Transaction, endpoint: str, order_id: str) -> Row | None:
    """The order's first pending event. Asked after the rows were locked, so that whatever ended
    before is seen; order by order, since in one statement PostgreSQL may go through all of them."""
    return await tx.fetch_one(
        "SELECT event_id, next_try_at FROM event_deliveries"
        " WHERE endpoint = $1 AND order_id = $2 AND state = 'pending' ORDER BY position LIMIT 1",
        endpoint,
        order_id,
    )


async def _put_off(tx: Transaction, event_id: str, endpoint: str, until: datetime) -> None:
    await tx.execute(
        "UPDATE event_deliveries SET next_try_at = $3 WHERE event_id = $1 AND endpoint = $2",
        event_id,
        endpoint,
        until,
    )


async def _take(
    tx: Transaction, endpoint: str, owner: str, lease_until: datetime, event_ids: list[str]
) -> list[DueEvent]:
    if not event_ids:
        return []
    tried = await tx.fetch(
        "UPDATE event_deliveries SET tries = tries + 1, lease_owner = $2, next_try_at = $3"
        f" WHERE endpoint = $1 AND event_id IN ({places(4, event_ids)})"
        " RETURNING event_id, tries",
        endpoint,
        owner,
        lease_until,
        *event_ids,
    )
    tries = {row["event_id"]: int(row["tries"]) for row in tried}
    rows = await tx.fetch(f"{EVENT_SQL} WHERE e.id IN ({places(1, event_ids)})", *event_ids)
    return [DueEvent(event_of(row), tries[row["id"]]) for row in rows]


async def record_delivered(
    tx: Transaction, endpoint: str, event: OutgoingEvent, status: int, now: datetime
) -> None:
    """It was told, whoever may have it under his lease by now; the next of its order is due."""
    await tx.execute(
        "UPDATE event_deliveries SET state = 'delivered', last_status = $3, note = NULL,"
        " finished_at = $4 WHERE event_id = $1 AND endpoint = $2 AND state <> 'delivered'",
        event.id,
        endpoint,
        status,
        now,
    )
    await _release_next(tx, endpoint, event.order_id, now)


async def record_failed(
    tx: Transaction,
    endpoint: str,
    event_id: str,
    owner: str,
    status: int | None,
    note: str,
    next_try_at: datetime,
) -> bool:
    """False when somebody else has it by now."""
    changed = await tx.execute(
        "UPDATE event_deliveries SET last_status = $4, note = $5, next_try_at = $6"
        " WHERE event_id = $1 AND endpoint = $2 AND lease_owner = $3 AND state = 'pending'",
        event_id,
        endpoint,
        owner,
        status,
        note,
        next_try_at,
    )
    return changed == 1


async def record_dead(
    tx: Transaction,
    endpoint: str,
    event: OutgoingEvent,
    owner: str,
    status: int | None,
    note: str,
    now: datetime,
) -> bool:
    """After its last try; the next of its order is due. False when somebody else has it by now."""
    changed = await tx.execute(
        "UPDATE event_deliveries SET state = 'dead', last_status = $4, note = $5, finished_at = $6"
        " WHERE event_id = $1 AND endpoint = $2 AND lease_owner = $3 AND state = 'pending'",
        event.id,
        endpoint,
        owner,
        status,
        note,
        now,
    )
    if changed == 1:
        await _release_next(tx, endpoint, event.order_id, now)
    return changed == 1


async def _release_next(tx: Transaction, endpoint: str, order_id: str, now: datetime) -> None:
    """What waited behind it: not those that somebody has in hand, or that failed by themselves.
    One that is due already too: a worker that looks at it now still finds this one before it, and
    puts it off."""
    await tx.execute(
        "UPDATE event_deliveries SET next_try_at = $3 WHERE endpoint = $1 AND order_id = $2"
        " AND state = 'pending' AND tries = 0",
        endpoint,
        order_id,
        now,
    )
