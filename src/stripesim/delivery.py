"""The courier: sends due webhooks in the background, signed, again and again until a 2xx.

Deliveries are rows written with their events, so none is sent before its event is committed and
none is lost by a crash; a crash between a 2xx and its note sends it twice, as Stripe may too.
Retries come after 1, 5 and 30 s, then hourly, on the simulator's clock. The courier also looks at
the timers once a second, so that what falls due happens without a request.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import aiohttp

from stripesim.store.outgoing import Delivery
from stripesim.wire.versions import render
from stripesim.world import World

Json = dict[str, Any]
RETRY_SECONDS = (1, 5, 30)
THEN_EVERY_SECONDS = 3600
MOST_ATTEMPTS = 75  # three days
TIMEOUT_SECONDS = 10
BATCH = 50
IDLE_SECONDS = 1.0  # how often the clock is looked at when nothing wakes the courier


class Courier:
    """Sends what is due, one after the other in the order in which it fell due."""

    def __init__(self, world: World, run_timers: Callable[[], None]) -> None:
        self._world = world
        self._run_timers = run_timers
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        world.deliveries.on_added = self.wake

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._session:
            await self._session.close()
            self._session = None

    async def begin_anew(self) -> None:
        """Give up the attempt that is on its way, as after a reset."""
        await self.stop()
        await self.start()

    def wake(self) -> None:
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                self._run_timers()
                sent = await self._send_due()
            except Exception:  # noqa: BLE001  the courier outlives a bug in one delivery
                traceback.print_exc(file=sys.stderr)
                sent = 0
                await asyncio.sleep(IDLE_SECONDS)
            if not sent:
                await self._wait()

    async def _wait(self) -> None:
        due_at = self._world.deliveries.next_due_at()
        wait = IDLE_SECONDS
        if due_at is not None and self._world.webhooks.mode != "pause":
            wait = min(max(due_at - self._world.clock.now(), 0.01), IDLE_SECONDS)
        # Not wait_for: in Python 3.11 it can swallow a cancellation that comes with the wake-up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()
        self._wake.clear()

    async def _send_due(self) -> int:
        if self._world.webhooks.mode == "pause":
            return 0
        async with self._sending:
            batch = self._world.deliveries.due(self._world.clock.now(), BATCH)
            sent = 0
            for delivery in batch:
                if self._world.webhooks.mode == "pause":
                    break
                await self._send(delivery)
                sent += 1
            return sent

    async def flush(self) -> Json:
        """Send everything pending once, now, whatever its time and the mode."""
        async with self._sending:
            batch = self._world.deliveries.due(None, 1_000_000)
            if self._world.webhooks.shuffle:
                self._world.webhook_dice.shuffle(batch)
            results = [await self._send(delivery) for delivery in batch]
        return {
            "delivered": sum(results),
            "failed": len(results) - sum(results),
            "pending": self._world.deliveries.pending(),
        }

    async def _send(self, delivery: Delivery) -> bool:
        """One attempt, noted in its own transaction."""
        endpoints = {e["id"]: e for e in self._world.enabled_endpoints()}
        endpoint = endpoints.get(delivery.endpoint)
        event = self._world.objects.get("event", delivery.event)
        answered = "the endpoint is gone or disabled"
        if endpoint and event:
            answered = await self._post(endpoint, event)
        is_delivered = answered.startswith("2")
        with self._world.database.transaction():
            if is_delivered:
                self._world.deliveries.delivered(delivery.seq, answered)
            elif endpoint is None or delivery.attempts + 1 >= MOST_ATTEMPTS:
                self._world.deliveries.failed(delivery.seq, answered)
            else:
                self._world.deliveries.retry(delivery.seq, self._next_try(delivery), answered)
        return is_delivered

    def _next_try(self, delivery: Delivery) -> float:
        tried = delivery.attempts
        wait = RETRY_SECONDS[tried] if tried < len(RETRY_SECONDS) else THEN_EVERY_SECONDS
        return self._world.clock.now() + wait

    async def _post(self, endpoint: Json, event: Json) -> str:
        """The status of the answer as text, or what went wrong."""
        if self._session is None:
            return "the simulator is stopping"
        payload = json.dumps(render(event), indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(endpoint["secret"], payload, int(time.time())),
        }
        try:
            async with self._session.post(
                endpoint["url"], data=payload, headers=headers, allow_redirects=False
            ) as answer:
                return str(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"no answer ({_reason(error)})"


def _reason(error: Exception) -> str:
    """In the system's words where it has some ("connection refused")."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number and number > 0 else type(error).__name__


def signature(secret: str, payload: bytes, timestamp: int) -> str:
    """`t=<unix>,v1=<hex hmac-sha256(secret, "<t>.<payload>")>`; real time, whatever the clock."""
    signed = f"{timestamp}.".encode() + payload
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
