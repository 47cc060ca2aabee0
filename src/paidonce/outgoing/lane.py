"""The work for one endpoint: new events are spread, due ones sent, and what came of it is recorded.

Any number of workers may run a lane of the same endpoint: an event is sent under a lease, and no
transaction is held over a send. A worker that dies between the answer and the record has sent it;
it is sent again, under the same id. Each endpoint has a lane of its own, and each event in it a
place of its own: nobody waits for somebody else's endpoint or order.
"""

import asyncio
import json
from datetime import timedelta

from paidonce.endpoints import Endpoint
from paidonce.observability import get_logger, record_outgoing, step
from paidonce.outgoing import retries
from paidonce.outgoing.courier import Courier, Sent
from paidonce.outgoing.signature import sign
from paidonce.payments.context import Context, new_id
from paidonce.store import outbox
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.outbox import DueEvent

AT_ONCE = 16
"""Requests to one endpoint at a time."""
SPREAD_BATCH = 100
LEASE = timedelta(seconds=60)
"""Outlives a send (20 s) and its record."""
PAUSE_SECONDS = 0.5
"""Between two looks when nothing was due."""
log = get_logger(__name__)


class Lane:
    """One endpoint, as one worker serves it."""

    def __init__(self, ctx: Context, endpoint: Endpoint, courier: Courier) -> None:
        self._ctx = ctx
        self._endpoint = endpoint
        self._courier = courier
        self._owner = new_id()
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is in the air then comes to its end."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                is_idle = await self._fill() == 0
                waits = {stopping, *self._sending}
                is_waiting = is_idle or len(self._sending) >= AT_ONCE
                if is_waiting:
                    await asyncio.wait(
                        waits, timeout=PAUSE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                    )
            await asyncio.gather(*self._sending)
        finally:
            stopping.cancel()
            for task in self._sending:
                task.cancel()
            await self._courier.close()

    async def deliver_due(self) -> int:
        """All that is due now, and what that makes due; how many events were seen."""
        count = 0
        try:
            while True:
                seen = await self._fill()
                count += seen
                if seen == 0 and not self._sending:
                    return count
                if self._sending:
                    await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._courier.close()

    async def _fill(self) -> int:
        """Begin to send as many as there is room for; how many events were seen."""
        room = AT_ONCE - len(self._sending)
        if room == 0:
            return 0
        try:
            due, seen = await self._take(room)
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("outgoing.database_unavailable", error=str(error))
            return 0
        except Exception:  # a lane outlives a bug
            log.exception("outgoing.failed", endpoint=self._endpoint.name)
            return 0
        for each in due:
            task = asyncio.create_task(self._send_alone(each))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return seen

    async def _take(self, room: int) -> tuple[list[DueEvent], int]:
        """New events are spread, then due ones taken; and how many were seen."""
        db, name, now = self._ctx.db, self._endpoint.name, self._ctx.clock.now()
        names = [endpoint.name for endpoint in self._ctx.settings.outgoing_endpoints]

        async def work(tx: Transaction) -> tuple[list[DueEvent], int]:
            new = await outbox.spread(tx, names, now, SPREAD_BATCH)
            state = await outbox.get_endpoint(tx, name)
            if state is None or not state.is_open_at(now):
                return [], new
            due, seen = await outbox.take_due(tx, name, self._owner, now, now + LEASE, room)
            return due, new + seen

        if not await db.read(lambda tx: outbox.has_work(tx, name, now)):
            return [], 0
        return await db.transaction("take_notices", work)

    async def _send_alone(self, due: DueEvent) -> None:
        """One bad event or a database that is away stops no other: its lease brings it back."""
        try:
            await self._record(due, await self._send(due))
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("outgoing.not_recorded", event_id=due.event.id, error=str(error))
        except Exception:
            log.exception("outgoing.failed", event_id=due.event.id)

    async def _send(self, due: DueEvent) -> Sent:
        event = due.event
        body = json.dumps(event.as_json(), separators=(",", ":")).encode()
        timestamp = int(self._ctx.clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "paidonce",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._endpoint.secrets, event.id, timestamp, body),
        }
        async with step("outgoing.send"):
            return await self._courier.send(headers, body)

    async def _record(self, due: DueEvent, sent: Sent) -> None:
        event, name, status = due.event, self._endpoint.name, sent.status
        now = self._ctx.clock.now()
        if sent.is_delivered and status is not None:
            delivered = status

            async def tell(tx: Transaction) -> None:
                await outbox.record_delivered(tx, name, event, delivered, now)

            await self._ctx.db.transaction("notice_delivered", tell)
            record_outgoing("delivered")
            log.info("notice.delivered", event_id=event.id, endpoint=name, tries=due.tries)
            return
        await self._record_failure(due, sent)

    async def _record_failure(self, due: DueEvent, sent: Sent) -> None:
        event, name, now = due.event, self._endpoint.name, self._ctx.clock.now()
        note = sent.note or "no answer"
        asked_seconds = sent.retry_after_seconds(now)
        pause = retries.pause_after(due.tries, asked_seconds)
        throttle = retries.throttle_for(sent.status, asked_seconds)
        is_gone = sent.status == retries.GONE

        async def work(tx: Transaction) -> bool:
            if throttle is not None:
                await outbox.pause_endpoint(tx, name, now + throttle)
            is_disabled = is_gone and await outbox.disable_endpoint(tx, name, note, now)
            if pause is None and not is_gone:
                await outbox.record_dead(tx, name, event, self._owner, sent.status, note, now)
            else:
                again = now + (pause or timedelta(0))
                await outbox.record_failed(
                    tx, name, event.id, self._owner, sent.status, note, again
                )
            return is_disabled

        is_disabled = await self._ctx.db.transaction("notice_failed", work)
        is_dead = pause is None and not is_gone
        record_outgoing("dead" if is_dead else "failed")
        facts = {"event_id": event.id, "type": event.type, "endpoint": name, "tries": due.tries}
        if is_dead:
            log.error("notice.dead", **facts, note=note)
        else:
            log.warning("notice.not_delivered", **facts, note=note)
        if is_disabled:
            log.error("endpoint.disabled", endpoint=name, note=note)
