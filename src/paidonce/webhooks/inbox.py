"""The inbox as operators see it, and how it is kept small."""

from datetime import timedelta

from paidonce.domain.clock import Clock
from paidonce.observability import record_inbox
from paidonce.payments.context import Parts
from paidonce.store import batches, inbox
from paidonce.store.engine import Database
from paidonce.store.inbox import InboxState, StoredEvent

KEPT_FOR = timedelta(days=90)
"""Stripe redelivers for 3 days, and lists and resends events of 30. What comes again after it was
forgotten would be worked on as a hint once more, which changes nothing."""
RESEND_BATCH = 1000


class Inbox:
    """List, show and resend; needs the database and nothing of Stripe."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def look(self) -> InboxState:
        return await self._db.read(inbox.get_inbox_state)

    async def list_latest(self, state: str | None, limit: int) -> list[StoredEvent]:
        return await self._db.read(lambda tx: inbox.list_events(tx, state, limit))

    async def get(self, event_id: str) -> StoredEvent | None:
        return await self._db.read(lambda tx: inbox.get_event(tx, event_id))

    async def resend(self, event_id: str) -> bool:
        """Whatever its state: a worker takes it within a second. False: no such event."""
        now = self._clock.now()
        return await self._db.transaction(
            "resend_event", lambda tx: inbox.resend_event(tx, event_id, now)
        )

    async def resend_all_set_aside(self) -> int:
        """How many there were."""
        now = self._clock.now()
        return await batches.do_all(
            RESEND_BATCH,
            lambda: self._db.transaction(
                "resend_events", lambda tx: inbox.resend_set_aside(tx, now, RESEND_BATCH)
            ),
        )


async def measure_inbox(ctx: Parts) -> None:
    """Bring the inbox's state into the metrics."""
    state = await ctx.db.read(inbox.get_inbox_state)
    since = state.oldest_pending_at
    age = (ctx.clock.now() - since).total_seconds() if since else 0.0
    record_inbox(
        pending=state.pending, set_aside=state.set_aside, oldest_pending_seconds=max(age, 0.0)
    )


async def forget_once(ctx: Parts) -> int:
    """Delete events that were finished long ago, some batches of them; how many."""
    before = ctx.clock.now() - KEPT_FOR
    return await batches.forget(
        ctx.db,
        lambda tx: inbox.list_forgettable(tx, before, batches.FORGET_BATCH),
        lambda ids: ctx.db.transaction(
            "forget_events", lambda tx: inbox.delete_events(tx, ids, before)
        ),
    )
