"""Whether this process knows that its database has forgotten nothing. `restore` opens it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """One that was begun at `began_at`, when the mark was `base`. Its id is in the database, so
    that one which was put back meanwhile, whichever copy it is, does not have it."""

    id: str
    base: datetime
    began_at: datetime


class Gate:
    """Closed from the start. While it is closed, orders from before `closed_at` begin no payment.

    `known_until` is the newest `intents_known_until` that this process has seen in the database:
    one that shows an older value was put back. A comparison that was `begun` and not finished goes
    on behind the intent `after`; the database had seen `server_changes` when it began.
    """

    def __init__(self, now: datetime) -> None:
        self.is_open = False
        self.closed_at = now
        self.known_until: datetime | None = None
        self.server_changes = 0
        self.after: str | None = None
        self.begun: Comparison | None = None

    def open(self, known_until: datetime) -> None:
        self.is_open = True
        self.known_until = known_until
        self.after = self.begun = None

    def close(self, now: datetime) -> None:
        """Whatever was compared was compared with another database."""
        self.is_open = False
        self.closed_at = now
        self.known_until = None
        self.after = self.begun = None


def is_older(known_until: datetime | None, seen: datetime | None) -> bool:
    """Whether a database with this mark is an older one than that in which `seen` stood."""
    if seen is None:
        return False
    return known_until is None or known_until < seen
