"""The end of a process, asked for by SIGTERM or Ctrl-C: what runs is finished, then it ends.

Readiness turns 503 at once and every answer says `Connection: close`, so that a balancer and kept
connections go elsewhere; for a moment whoever comes all the same is still served. Then nothing new
is taken in, and what was begun has as long as a request may take.
"""

import asyncio
import time
from collections.abc import Callable

DRAIN_SECONDS = 25.0
"""As long as a payment may take, once it came in whole (`payments.context.REQUEST_SECONDS`)."""
LAST_SECONDS = 2.0
"""For writing down what a call brought whose time was up."""


class Drain:
    """Whether this process is ending, and how long what runs still has."""

    def __init__(
        self, delay_seconds: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.delay_seconds = delay_seconds
        self.begun = asyncio.Event()
        self._monotonic = monotonic
        self._ends_at = float("inf")

    def renew(self) -> None:
        """The application starts again in the same process, maybe in another event loop."""
        if self.begun.is_set():
            self.begun = asyncio.Event()
            self._ends_at = float("inf")

    def begin(self) -> None:
        if not self.begun.is_set():
            self._ends_at = self._monotonic() + self.delay_seconds + DRAIN_SECONDS
            self.begun.set()

    @property
    def left(self) -> float:
        """Seconds; never less than LAST_SECONDS, so that nothing is cut before it was told."""
        return max(LAST_SECONDS, min(DRAIN_SECONDS, self._ends_at - self._monotonic()))
