"""Stripe's webhooks on their way to us: signed as the simulator signs them, and lost, late, doubled
and out of order as the weather wants it.

The simulator writes what is to be delivered; its own courier needs sockets, so this one takes over
from there.
"""

import asyncio
import json
from contextvars import Context as Scope

from proof.chaos.machines import Fleet
from proof.chaos.stripe_side import WEBHOOK_SECRET, Answer, StripeSide, late_seconds
from proof.chaos.world import World
from stripesim.delivery import RETRY_SECONDS, signature
from stripesim.wire.versions import render

PATH = "/api/webhooks/stripe"
MOST_TRIES = 6
TIMEOUT_SECONDS = 10


class Courier:
    """Carries every delivery that the simulator has queued."""

    def __init__(self, world: World, stripe_side: StripeSide, fleet: Fleet) -> None:
        self._world, self._stripe, self._fleet = world, stripe_side, fleet
        self._dice = world.dice("hooks")
        self._taken = 0
        self._is_called = False
        self.under_way = 0
        stripe_side.app.world.deliveries.on_added = self._call

    def _call(self) -> None:
        """The simulator is inside its transaction now; look when it is over."""
        if not self._is_called:
            self._is_called = True
            self._world.loop.call_soon(self._take, context=Scope())

    def _take(self) -> None:
        self._is_called = False
        deliveries = self._stripe.app.world.deliveries
        for delivery in deliveries.due(None, 10_000):
            if delivery.seq <= self._taken:
                continue
            self._taken = delivery.seq
            self._fate(delivery.event)

    def _fate(self, event_id: str) -> None:
        weather, dice = self._world.weather.hooks, self._dice
        self._world.counts["webhooks"] += 1
        if dice.random() < weather.get("lost", 0):
            self._world.strikes("webhook lost")
            self._world.note("stripe", f"webhook {event_id} is lost")
            return
        delay = dice.uniform(0.02, 2.0)
        if dice.random() < weather.get("late", 0):
            self._world.strikes("webhook late")
            delay = late_seconds(dice)
        self._start(event_id, delay)
        if dice.random() < weather.get("duplicate", 0):
            self._world.strikes("webhook duplicate")
            for _ in range(dice.choice([1, 1, 2, 4])):
                self._start(event_id, late_seconds(dice))

    def send_again(self, event_id: str) -> None:
        """As a person at the Dashboard asks for it."""
        self._start(event_id, 0)

    def _start(self, event_id: str, delay: float) -> None:
        self.under_way += 1
        self._world.loop.spawn(None, self._deliver(event_id, delay))

    async def _deliver(self, event_id: str, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            for tries in range(MOST_TRIES):
                status = await self._post(event_id)
                self._world.note("stripe", f"webhook {event_id} -> {status}")
                if status is not None and 200 <= status < 300:
                    return
                if status is not None and status != 503:
                    self._world.bugs.append(f"a webhook of Stripe's was answered {status}")
                await asyncio.sleep(RETRY_SECONDS[tries] if tries < 3 else 600)
        finally:
            self.under_way -= 1

    async def _post(self, event_id: str) -> int | None:
        event = self._stripe.app.world.objects.get("event", event_id)
        payload = json.dumps(render(event), indent=2).encode()
        now = int(self._world.clock.now().timestamp())
        headers = {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": signature(WEBHOOK_SECRET, payload, now),
        }
        loop = self._world.loop
        answer: asyncio.Future[Answer] = loop.create_future()
        instance = self._fleet.any_instance(self._dice)
        instance.accept("POST", PATH, headers, payload, answer)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return (await answer)[0]
        except (TimeoutError, ConnectionError):
            return None
