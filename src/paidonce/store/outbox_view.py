"""The outbox as people see it: lists, figures, sending again, forgetting."""

from datetime import datetime

from paidonce.domain.outgoing import (
    Delivery,
    EndpointView,
    EventFilter,
    OutboxState,
    ToldEvent,
)
from paidonce.store.engine import Row, Transaction
from paidonce.store.outbox import EVENT_SQL, event_of
from paidonce.store.rows import places

_DELIVERY = "endpoint, state, tries, next_try_at, last_status, note, finished_at"
_STATE = (
    "SELECT count(CASE WHEN state = 'pending' THEN 1 END) AS waiting,"
    " count(CASE WHEN state = 'dead' THEN 1 END) AS dead,"
    " min(CASE WHEN state = 'pending' THEN created_at END) AS oldest_waiting_at"
    " FROM event_deliveries WHERE state IN ('pending', 'dead')"
)
_NEW = "SELECT count(*) AS n, min(created_at) AS oldest_new_at FROM outbox WHERE spread_at IS NULL"


# --- reading -------------------------------------------------------------------------------------


async def list_events(
    tx: Transaction, wanted: EventFilter, limit: int, before: tuple[datetime, str] | None
) -> list[ToldEvent]:
    """Newest first, from after the `(created_at, id)` of the last page's end."""
    args: list[object] = [limit]
    conditions = []
    for condition, value in (
        ("e.kind = {}", wanted.type),
        ("e.order_id = {}", wanted.order_id),
        (
            "EXISTS (SELECT 1 FROM event_deliveries d WHERE d.event_id = e.id AND d.state = {})",
            wanted.state,
        ),
    ):
        if value is not None:
            args.append(value)
            conditions.append(condition.format(f"${len(args)}"))
    if before is not None:
        args += before
        conditions.append(f"(e.created_at, e.id) < (${len(args) - 1}, ${len(args)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = " ORDER BY e.created_at DESC, e.id DESC LIMIT $1"
    return await _with_deliveries(tx, await tx.fetch(f"{EVENT_SQL}{where}{order}", *args))


async def get_event(tx: Transaction, event_id: str) -> ToldEvent | None:
    found = await _with_deliveries(tx, await tx.fetch(f"{EVENT_SQL} WHERE e.id = $1", event_id))
    return found[0] if found else None


async def _with_deliveries(tx: Transaction, rows: list[Row]) -> list[ToldEvent]:
    ids = [row["id"] for row in rows]
    deliveries: dict[str, list[Delivery]] = {event_id: [] for event_id in ids}
    if ids:
        for row in await tx.fetch(
            f"SELECT event_id, {_DELIVERY} FROM event_deliveries"
            f" WHERE event_id IN ({places(1, ids)}) ORDER BY endpoint",
            *ids,
        ):
            values = {name: row[name] for name in Delivery.__slots__}
            deliveries[row["event_id"]].append(Delivery(**values))
    return [ToldEvent(event_of(row), deliveries[row["id"]]) for row in rows]


async def get_state(tx: Transaction) -> OutboxState:
    """Its conditions are those of the indexes: what was delivered is not read. Without an endpoint
    nothing is new: all of it is kept for the list alone."""
    told = await tx.fetch_one(_STATE)
    rows = await tx.fetch(
        "SELECT p.name, p.since_at, p.paused_until, p.disabled_at, p.note,"
        " (SELECT count(*) FROM event_deliveries d WHERE d.endpoint = p.name"
        " AND d.state = 'pending') AS waiting,"
        " (SELECT count(*) FROM event_deliveries d WHERE d.endpoint = p.name"
        " AND d.state = 'dead') AS dead FROM event_endpoints p ORDER BY p.name"
    )
    new = await tx.fetch_one(_NEW) if rows else None
    if told is None:
        raise LookupError("a count has a row")
    return OutboxState(
        waiting=told["waiting"],
        dead=told["dead"],
        new=new["n"] if new else 0,
        oldest_waiting_at=told["oldest_waiting_at"],
        oldest_new_at=new["oldest_new_at"] if new else None,
        endpoints=[EndpointView(**row) for row in rows],
    )


# --- sending again -------------------------------------------------------------------------------


async def resend_event(tx: Transaction, event_id: str, now: datetime) -> int:
    """Back to work with all its tries, waiting from now on, to everybody it was for and who is
    still there; to every endpoint where that is nobody. To how many it goes; 0: no such event, or
    no endpoint."""
    changed = await tx.execute(
        "UPDATE event_deliveries SET state = 'pending', tries = 0, lease_owner = NULL,"
        " next_try_at = $2, created_at = $2, finished_at = NULL WHERE event_id = $1"
        " AND endpoint IN (SELECT name FROM event_endpoints)",
        event_id,
        now,
    )
    if changed:
        return changed
    await tx.execute(
        "UPDATE outbox SET spread_at = $2 WHERE id = $1 AND spread_at IS NULL", event_id, now
    )
    return await tx.execute(
        "INSERT INTO event_deliveries"
        " (event_id, endpoint, order_id, position, state, next_try_at, created_at)"
        " SELECT e.id, p.name, e.order_id, COALESCE(e.position, 0), 'pending', $2, $2"
        " FROM outbox e CROSS JOIN event_endpoints p WHERE e.id = $1 ON CONFLICT DO NOTHING",
        event_id,
        now,
    )


async def resend_dead(tx: Transaction, now: datetime, limit: int) -> int:
    """The same for `limit` of those that were given up, each to its endpoint; how many."""
    rows = await tx.fetch(
        "SELECT event_id, endpoint FROM event_deliveries WHERE state = 'dead'"
        " ORDER BY finished_at LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE event_deliveries SET state = 'pending', tries = 0, lease_owner = NULL,"
            " next_try_at = $3, created_at = $3, finished_at = NULL"
            " WHERE event_id = $1 AND endpoint = $2",
            row["event_id"],
            row["endpoint"],
            now,
        )
    return len(rows)


async def drop_untold(tx: Transaction, endpoint: str, limit: int) -> int:
    """Forget so many of the deliveries that an endpoint did not take; how many there were. Each
    state has an index of its own."""
    count = 0
    for state in ("pending", "dead"):
        count += await tx.execute(
            "DELETE FROM event_deliveries WHERE endpoint = $1 AND event_id IN"
            f" (SELECT event_id FROM event_deliveries WHERE endpoint = $1 AND state = '{state}'"
            " LIMIT $2)",
            endpoint,
            limit - count,
        )
    return count


async def retire_endpoint(tx: Transaction, name: str) -> bool:
    """It is told nothing any more. False: no such endpoint."""
    return await tx.execute("DELETE FROM event_endpoints WHERE name = $1", name) == 1


# --- forgetting ----------------------------------------------------------------------------------


async def list_forgettable(tx: Transaction, before: datetime, limit: int) -> list[str]:
    """Events of before that time which everybody was told whom they were for. Without an endpoint
    that is nobody: one that comes later is told what happens from then on."""
    rows = await tx.fetch(
        "SELECT e.id FROM outbox e WHERE (e.spread_at < $1 OR e.spread_at IS NULL"
        " AND e.created_at < $1 AND NOT EXISTS (SELECT 1 FROM event_endpoints))"
        " AND NOT EXISTS (SELECT 1 FROM event_deliveries d WHERE d.event_id = e.id"
        " AND (d.state <> 'delivered' OR d.finished_at >= $1)) LIMIT $2",
        before,
        limit,
    )
    return [row["id"] for row in rows]


async def delete_events(tx: Transaction, event_ids: list[str], before: datetime) -> int:
    """Those of them that are still so; how many."""
    count = 0
    for event_id in event_ids:
        locked = await tx.fetch_one("SELECT id FROM outbox WHERE id = $1 FOR UPDATE", event_id)
        waits = await tx.fetch_one(
            "SELECT 1 AS one FROM event_deliveries WHERE event_id = $1"
            " AND (state <> 'delivered' OR finished_at >= $2) LIMIT 1",
            event_id,
            before,
        )
        if locked is None or waits is not None:
            continue
        await tx.execute("DELETE FROM event_deliveries WHERE event_id = $1", event_id)
        count += await tx.execute("DELETE FROM outbox WHERE id = $1", event_id)
    return count
