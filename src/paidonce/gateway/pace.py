"""A request rate that is never exceeded, for commands that ask Stripe about many things."""

import asyncio
from collections.abc import Callable


class Pace:
    """Calls of `wait` return at least 1/rate seconds apart; time that passed unused is lost, so
    that a pause is not followed by a burst."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._pause_seconds = 1 / per_second
        self._monotonic = monotonic
        self._next_at = 0.0
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        async with self._turn:
            left = self._next_at - self._monotonic()
            if left > 0:
                await asyncio.sleep(left)
            self._next_at = self._monotonic() + self._pause_seconds
