"""The simulator's clock: real time plus what was advanced, never backwards.

With a start time it stands still there until it is advanced, so that a run can be repeated.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

EARLIEST, LATEST = 0, 4_102_444_800


class Clock:
    """Seconds since 1970. `advanced_seconds` is what the control plane added."""

    def __init__(self, real: Callable[[], float] = time.time, advanced_seconds: float = 0) -> None:
        self._real = real
        self.advanced_seconds = advanced_seconds

    def now(self) -> float:
        return self._real() + self.advanced_seconds

    def advance(self, seconds: float) -> None:
        self.advanced_seconds += seconds


def standing_at(start_time: float) -> Clock:
    """A clock that only moves when it is advanced."""
    return Clock(lambda: start_time)


def read_time(text: str) -> float:
    """`1767225600` or `2026-01-01T00:00:00Z` (UTC unless it says otherwise). Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError(f"{text} is not between 1970 and 2100")
    return seconds
