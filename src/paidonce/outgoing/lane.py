"""The work for one endpoint: new events are spread, due ones sent, and what came of it is recorded.

Any number of workers may run a lane of the same endpoint: an event is sent under a lease, and no
transaction is held over a send. A worker that dies between the answer and the record has sent it;
it is sent again, under the same id. Each endpoint has a lane of its own, and each event in it a
place of its own: nobody waits for somebody else's endpoint or order.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

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
TOGETHER_SECONDS = 0.01
"""What is sent within it is recorded together."""
PAUSE_SECONDS = 0.5
"""Between two looks when nothing was due."""
Told = tuple[DueEvent, Sent]
log = get_logger(__name__)


class Lane:
    """One endpoint, as one worker serves it."""

    def __init__(self, ctx: Context, endpoint: Endpoint, courier: Courier) -> None:
        self._ctx = ctx
        self._endpoint = endpoint
        self._courier = courier
        self._owner = new_id()
        self._sending: list[asyncio.Task[Told | None]] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is in the air then comes to its end."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                has_more = await self._fill() > 0 and len(self._sending) < AT_ONCE
                await self._collect(0 if has_more else PAUSE_SECONDS, stopping)
            while self._sending:
                await self._collect(PAUSE_SECONDS)
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
                await self._collect(PAUSE_SECONDS if self._sending else 0)
        finally:
            await self._courier.close()

    async def _collect(self, pause_seconds: float, *others: "asyncio.Future[Any]") -> None:
        """Wait until something was sent, and record what was sent by then in one transaction."""
        waits = {*self._sending, *others}
        if waits:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(waits, timeout=pause_seconds, return_when=first)
        if self._sending:
            await asyncio.wait(self._sending, timeout=TOGETHER_SECONDS)
        done = [task for task in self._sending if task.done()]
        self._sending = [task for task in self._sending if task not in done]
        told = [found for task in done if (found := task.result()) is not None]
        if told:
            await self._record(told)

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
        self._sending += [asyncio.create_task(self._send_alone(each)) for each in due]
        return seen

    async def _take(self, room: int) -> tuple[list[DueEvent], int]:
        """New events are spread, then due ones taken; and how many were seen."""
        db, name, now = self._ctx.db, self._endpoint.name, self._ctx.clock.now()

        async def work(tx: Transaction) -> tuple[list[DueEvent], int]:
            new = await outbox.spread(tx, now, SPREAD_BATCH)
            state = await outbox.get_endpoint(tx, name)
            if state is None or not state.is_open_at(now):
                return [], new
            due, seen = await outbox.take_due(tx, name, self._owner, now, now + LEASE, room)
            return due, new + seen

        if not await db.read(lambda tx: outbox.has_work(tx, name, now)):
            return [], 0
        return await db.transaction("take_notices", work)

    async def _send_alone(self, due: DueEvent) -> Told | None:
        """A bug with one event stops no other: its lease brings it back."""
        try:
            return due, await self._send(due)
        except Exception:
            log.exception("outgoing.failed", event_id=due.event.id)
            return None

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

    async def _record(self, told: list[Told]) -> None:
        """What is not recorded is sent again when its lease is over."""

        async def work(tx: Transaction) -> list[str]:
            return [await self._record_one(tx, due, sent) for due, sent in told]

        try:
            outcomes = await self._ctx.db.transaction("notices_told", work)
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("outgoing.not_recorded", count=len(told), error=str(error))
        except Exception:  # a lane outlives a bug
            log.exception("outgoing.failed", endpoint=self._endpoint.name)
        else:
            for (due, sent), outcome in zip(told, outcomes, strict=True):
                self._log(due, sent, outcome)

    async def _record_one(self, tx: Transaction, due: DueEvent, sent: Sent) -> str:
        """The outcome: delivered, failed or dead."""
        event, name, owner, now = due.event, self._endpoint.name, self._owner, self._ctx.clock.now()
        if sent.is_delivered and sent.status is not None:
            await outbox.record_delivered(tx, name, event, sent.status, now)
            return "delivered"
        note, asked_seconds = sent.note or "no answer", sent.retry_after_seconds(now)
        throttle = retries.throttle_for(sent.status, asked_seconds)
        if throttle is not None:
            await outbox.pause_endpoint(tx, name, now + throttle)
        is_gone = sent.status == retries.GONE
        if is_gone:
            await outbox.disable_endpoint(tx, name, note, now)
        pause = retries.pause_after(due.tries, asked_seconds)
        if pause is None and not is_gone:
            await outbox.record_dead(tx, name, event, owner, sent.status, note, now)
            return "dead"
        again = now + (pause or timedelta(0))
        await outbox.record_failed(tx, name, event.id, owner, sent.status, note, again)
        return "failed"

    def _log(self, due: DueEvent, sent: Sent, outcome: str) -> None:
        record_outgoing(outcome)
        name, event = self._endpoint.name, due.event
        facts = {"event_id": event.id, "type": event.type, "endpoint": name, "tries": due.tries}
        if outcome == "delivered":
            log.info("notice.delivered", **facts)
        elif outcome == "dead":
            log.error("notice.dead", **facts, note=sent.note)
        else:
            log.warning("notice.not_delivered", **facts, note=sent.note)
        if sent.status == retries.GONE:
            log.error("endpoint.disabled", endpoint=name, note=sent.note)
