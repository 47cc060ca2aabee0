"""Time, given to whoever needs it, so that a test can be its master."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The time of day, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that only ever grow, for deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Wait on this clock."""


class SystemClock:
    """The machine's own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of one request's time."""

    clock: Clock
    ends_at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        return cls(clock, clock.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.ends_at - self.clock.monotonic())
