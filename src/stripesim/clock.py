"""The simulator's clock: real time plus what was advanced, never backwards."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970. `advanced_seconds` is what the control plane added."""

    def __init__(self, real: Callable[[], float] = time.time, advanced_seconds: float = 0) -> None:
        self._real = real
        self.advanced_seconds = advanced_seconds

    def now(self) -> float:
        return self._real() + self.advanced_seconds

    def advance(self, seconds: float) -> None:
        self.advanced_seconds += seconds
