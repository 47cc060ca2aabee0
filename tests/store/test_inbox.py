"""The inbox is kept for months, and looked at every minute."""

from datetime import UTC, datetime

from paidonce.store import inbox
from paidonce.store.engine import Database, Transaction
from paidonce.store.inbox import InboxEvent, InboxState

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FINISHED, PENDING, SET_ASIDE = 3_000, 5, 2


async def fill(tx: Transaction) -> None:
    """Mostly what was finished long ago, as in an inbox that is kept."""
    for number in range(FINISHED + PENDING + SET_ASIDE):
        event = InboxEvent(f"evt_{number}", "charge.succeeded", "ch_1", None, None, NOW)
        await inbox.insert_event_once(tx, event, NOW)
    finished = [f"evt_{number}" for number in range(FINISHED)]
    for start in range(0, FINISHED, 500):
        await inbox.finish_events(tx, finished[start : start + 500], "done", None, NOW)
    set_aside = [f"evt_{FINISHED + number}" for number in range(SET_ASIDE)]
    await inbox.finish_events(tx, set_aside, "set_aside", "why", NOW)


async def explain(db: Database, sql: str, *, is_sqlite: bool) -> str:
    if not is_sqlite:
        await db.transaction("analyze", lambda tx: tx.execute("ANALYZE stripe_events"))
    how = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    rows = await db.read(lambda tx: tx.fetch(f"{how} {sql}"))
    return " ".join(str(value) for row in rows for value in row.values())


async def test_the_state_of_the_inbox_is_read_from_what_waits(
    db: Database, database_url: str
) -> None:
    await db.transaction("fill", fill)
    assert await db.read(inbox.get_inbox_state) == InboxState(PENDING, SET_ASIDE, NOW)
    is_sqlite = database_url.startswith("sqlite")
    assert "idx_stripe_events_waiting" in await explain(db, inbox.STATE_SQL, is_sqlite=is_sqlite)
