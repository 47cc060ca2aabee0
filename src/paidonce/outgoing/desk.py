"""The outbox as operators and the merchant see it, and how it is kept small."""

from datetime import timedelta

from paidonce.domain.clock import Clock
from paidonce.domain.outgoing import EventFilter, OutboxState, ToldEvent
from paidonce.observability import set_outgoing
from paidonce.payments.context import Context, Parts
from paidonce.payments.cursors import Place
from paidonce.store import batches, outbox, outbox_view
from paidonce.store.engine import Database

KEPT_FOR = timedelta(days=90)
"""What was delivered, and what there is nobody to tell. The rest stays, for a person."""
RESEND_BATCH = 500
RETIRE_BATCH = 2000


class Desk:
    """List, show, send again; needs the database and nothing else."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def look(self) -> OutboxState:
        return await self._db.read(outbox_view.get_state)

    async def list_latest(
        self, wanted: EventFilter, limit: int, before: Place | None = None
    ) -> list[ToldEvent]:
        return await self._db.read(lambda tx: outbox_view.list_events(tx, wanted, limit, before))

    async def get(self, event_id: str) -> ToldEvent | None:
        return await self._db.read(lambda tx: outbox_view.get_event(tx, event_id))

    async def resend(self, event_id: str) -> int:
        """Whatever its state; a worker sends it within a second. To how many endpoints it goes."""
        now = self._clock.now()
        return await self._db.transaction(
            "resend_notice", lambda tx: outbox_view.resend_event(tx, event_id, now)
        )

    async def resend_all_dead(self) -> int:
        """How many there were."""
        now = self._clock.now()
        return await batches.do_all(
            RESEND_BATCH,
            lambda: self._db.transaction(
                "resend_notices", lambda tx: outbox_view.resend_dead(tx, now, RESEND_BATCH)
            ),
        )

    async def enable(self, name: str) -> bool:
        """After 410 Gone: at once, whatever was to be tried later. False: no such endpoint."""
        now = self._clock.now()
        return await self._db.transaction(
            "enable_endpoint", lambda tx: outbox.enable_endpoint(tx, name, now)
        )

    async def retire(self, name: str) -> int | None:
        """It left the settings for good: what waits for it is dropped; how many. None: no such.
        First it ends, so that nothing more comes; a run that was stopped is run again."""
        is_known = await self._db.transaction(
            "retire_endpoint", lambda tx: outbox_view.retire_endpoint(tx, name)
        )
        dropped = await batches.do_all(
            RETIRE_BATCH,
            lambda: self._db.transaction(
                "drop_untold", lambda tx: outbox_view.drop_untold(tx, name, RETIRE_BATCH)
            ),
        )
        return dropped if is_known or dropped else None


async def measure_outgoing(ctx: Context) -> None:
    """Bring the outbox's state into the metrics. What no endpoint was handed yet waits too, where
    there is one."""
    state = await ctx.db.read(outbox_view.get_state)
    has_endpoints = bool(ctx.settings.outgoing_endpoints)
    since = [state.oldest_waiting_at, state.oldest_new_at if has_endpoints else None]
    now = ctx.clock.now()
    ages = [(now - moment).total_seconds() for moment in since if moment is not None]
    set_outgoing(
        waiting=state.waiting + (state.new if has_endpoints else 0),
        dead=state.dead,
        oldest_waiting_seconds=max([0.0, *ages]),
    )


async def forget_once(ctx: Parts) -> int:
    """Delete old events that nobody waits for any more, some batches of them; how many."""
    before = ctx.clock.now() - KEPT_FOR
    return await batches.forget(
        ctx.db,
        lambda tx: outbox_view.list_forgettable(tx, before, batches.FORGET_BATCH),
        lambda ids: ctx.db.transaction(
            "forget_notices", lambda tx: outbox_view.delete_events(tx, ids, before)
        ),
    )
