"""A circuit breaker in front of Stripe: after a row of faults, calls fail at once for a moment.

It protects the clients' time, not the money: a call that it stops was surely not executed.
"""

from collections.abc import Callable

FAULTS_TO_OPEN = 8
OPEN_SECONDS = 4.0  # an open circuit tries again within 5 s (docs/limits.md)


class Circuit:
    """Closed, open for OPEN_SECONDS, then half open: one call may try."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._faults = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._faults >= FAULTS_TO_OPEN and self._monotonic() < self._open_until

    def may_call(self) -> bool:
        """Whether to call now; when the time is over, the first asker goes and the others wait."""
        if self._faults < FAULTS_TO_OPEN:
            return True
        now = self._monotonic()
        if now < self._open_until:
            return False
        self._open_until = now + OPEN_SECONDS
        return True

    def note_answer(self) -> None:
        """Stripe answered, whatever it said."""
        self._faults = 0

    def note_fault(self) -> None:
        """No answer, or a 5xx."""
        self._faults += 1
        if self._faults >= FAULTS_TO_OPEN:
            self._open_until = self._monotonic() + OPEN_SECONDS
