"""What has to happen later: webhook deliveries and timers. Both survive a restart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stripesim.store.database import Database

Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `due_at` is on the simulator's clock."""

    seq: int
    event: str
    endpoint: str
    attempts: int
    due_at: float


def _nobody_waits() -> None:
    return None


class Deliveries:
    """The queue of signed webhooks."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.on_added: Callable[[], None] = _nobody_waits

    def add(self, event: str, endpoint: str, due_at: float) -> None:
        """Within the event's transaction; the courier wakes up when that is over."""
        self.on_added()
        self._db.execute(
            "INSERT INTO deliveries (event, endpoint, state, due_at) VALUES (?, ?, 'pending', ?)",
            event,
            endpoint,
            due_at,
        )

    def due(self, now: float | None, limit: int) -> list[Delivery]:
        """Pending deliveries, in the order they were due; all of them when `now` is None."""
        rows = self._db.rows(
            "SELECT seq, event, endpoint, attempts, due_at FROM deliveries"
            " WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
            now if now is not None else 1e18,
            limit,
        )
        return [Delivery(*row) for row in rows]

    def next_due_at(self) -> float | None:
        found = self._db.row("SELECT min(due_at) FROM deliveries WHERE state = 'pending'")
        return found[0] if found else None

    def delivered(self, seq: int, answered: str) -> None:
        self._tried("state = 'delivered'", seq, answered)

    def retry(self, seq: int, due_at: float, answered: str) -> None:
        self._tried("due_at = ?", seq, answered, due_at)

    def failed(self, seq: int, answered: str) -> None:
        self._tried("state = 'failed'", seq, answered)

    def _tried(self, change: str, seq: int, answered: str, *values: float) -> None:
        self._db.execute(
            f"UPDATE deliveries SET {change}, attempts = attempts + 1, answered = ? WHERE seq = ?",
            *values,
            answered,
            seq,
        )

    def pending_of_event(self, event: str) -> int:
        found = self._db.row(
            "SELECT count(*) FROM deliveries WHERE event = ? AND state = 'pending'", event
        )
        return int(found[0]) if found else 0

    def of_event(self, event: str) -> list[Json]:
        """`{"endpoint", "state", "attempts", "due_at", "answered"}` of each, oldest first."""
        rows = self._db.rows(
            "SELECT endpoint, state, attempts, due_at, answered FROM deliveries WHERE event = ?"
            " ORDER BY seq",
            event,
        )
        names = ("endpoint", "state", "attempts", "due_at", "answered")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def pending(self) -> int:
        found = self._db.row("SELECT count(*) FROM deliveries WHERE state = 'pending'")
        return int(found[0]) if found else 0

    def forget_endpoint(self, endpoint: str) -> None:
        self._db.execute(
            "UPDATE deliveries SET state = 'failed' WHERE endpoint = ? AND state = 'pending'",
            endpoint,
        )


@dataclass(frozen=True)
class Timer:
    """An action on an object that falls due, for example the end of an authorization."""

    seq: int
    due_at: float
    action: str
    subject: str


class Timers:
    """What the passing of simulator time will do."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, due_at: float, action: str, subject: str) -> None:
        self._db.execute(
            "INSERT INTO timers (due_at, action, subject) VALUES (?, ?, ?)", due_at, action, subject
        )

    def take_due(self, now: float) -> Timer | None:
        found = self._db.row(
            "SELECT seq, due_at, action, subject FROM timers WHERE due_at <= ?"
            " ORDER BY due_at, seq LIMIT 1",
            now,
        )
        if found is None:
            return None
        self._db.execute("DELETE FROM timers WHERE seq = ?", found[0])
        return Timer(*found)

    def next_due_at(self) -> float | None:
        found = self._db.row("SELECT min(due_at) FROM timers")
        return found[0] if found else None
