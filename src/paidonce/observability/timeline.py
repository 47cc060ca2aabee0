"""What one request, or one piece of a worker's work, did step by step: for its log line."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from time import perf_counter

MOST_STEPS = 60
"""A timeline is a log line's part; what comes later is only counted."""

_current: ContextVar["Timeline | None"] = ContextVar("timeline", default=None)


class Timeline:
    """Steps in the order they ended. Tasks that the work starts write into it too."""

    __slots__ = ("_lines", "_missing", "_started")

    def __init__(self) -> None:
        self._started = perf_counter()
        self._lines: list[str] = []
        self._missing = 0

    def add(self, name: str, outcome: str, started: float, seconds: float) -> None:
        if len(self._lines) >= MOST_STEPS:
            self._missing += 1
            return
        at = (started - self._started) * 1000
        self._lines.append(f"{name} {outcome} at {at:.1f} took {seconds * 1000:.1f}")

    def lines(self) -> list[str]:
        """`stripe.confirm ok at 3.1 took 112.9`: milliseconds from the work's beginning."""
        return [*self._lines, f"and {self._missing} more"] if self._missing else self._lines


@contextlib.contextmanager
def timeline() -> Iterator[Timeline]:
    """Collect the steps of what runs inside."""
    mine = Timeline()
    token = _current.set(mine)
    try:
        yield mine
    finally:
        _current.reset(token)


def note_step(name: str, outcome: str, started: float, seconds: float) -> None:
    """Write one step into the timeline of the present work, if there is one."""
    current = _current.get()
    if current is not None:
        current.add(name, outcome, started, seconds)
