"""What all parts of one seed share: its dice, its clock, its history, what may go wrong in it."""

import hashlib
import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from proof.chaos.loop import HERE, Machine, SeededLoop

BEGINNING = datetime(2027, 3, 1, 12, tzinfo=UTC)


class VirtualClock:
    """The service's clock over the loop's time; its pauses are the loop's."""

    def __init__(self, loop: SeededLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        future = self._loop.create_future()
        timer = self._loop.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            timer.cancel()


def _wake(future: Any) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(frozen=True)
class Weather:
    """What may go wrong in one seed, as chances: of a message, a step, a transaction."""

    to_us: dict[str, float]
    to_stripe: dict[str, float]
    hooks: dict[str, float]
    crash_at_step: float
    freeze_at_step: float
    database: dict[str, float]


FAIR = Weather({}, {}, {}, 0.0, 0.0, {})

EXPECTED_ALARMS = frozenset(
    {"event.set_aside", "card_testing.limit_exceeded", "endpoint.disabled", "notice.dead"}
)
"""What may be said loudly here although nothing is broken: an event about an intent that was never
recorded waits for it, and is set aside in the end; a payer meets the limit on declines; the
merchant's server says that it is gone, or never takes an event (the auditor counts the tries)."""

TO_US = ("lost_request", "lost_answer", "late_request", "duplicate")
TO_STRIPE = (
    "lost_request",
    "lost_answer",
    "late_request",
    "duplicate",
    "slow",
    "never_sent",
    "latency",
    "error_before",
    "error_after",
    "rate_limit",
    "lock_timeout",
    "key_in_use",
    "bad_gateway_html",
)
HOOKS = ("lost", "late", "duplicate")
DATABASE = ("unavailable", "unknown_made", "unknown_lost", "stall")


def draw_weather(dice: random.Random) -> Weather:
    """Every seed has its own climate: some faults often, others never, so that rare ones meet."""

    def draw(kinds: tuple[str, ...], share: float, most: float) -> dict[str, float]:
        return {k: dice.uniform(0.01, most) for k in kinds if dice.random() < share}

    return Weather(
        to_us=draw(TO_US, 0.5, 0.2),
        to_stripe=draw(TO_STRIPE, 0.35, 0.3),
        hooks=draw(HOOKS, 0.6, 0.6),
        crash_at_step=dice.choice([0.0, 0.005, 0.02, 0.05]),
        freeze_at_step=dice.choice([0.0, 0.0, 0.01, 0.03]),
        database=draw(DATABASE, 0.25, 0.03),
    )


@dataclass
class World:
    """One seed at work."""

    seed: int
    loop: SeededLoop
    clock: VirtualClock
    weather: Weather
    counts: Counter[str] = field(default_factory=Counter)
    history: list[tuple[float, str, str]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)

    def dice(self, name: str) -> random.Random:
        """Dice of a part's own, so that what one part draws does not move the others."""
        return random.Random(f"{self.seed}:{name}")

    def note(self, who: str, what: str) -> None:
        self.history.append((self.loop.time(), who, what))

    def strikes(self, kind: str) -> None:
        self.counts[f"fault {kind}"] += 1

    def digest(self) -> str:
        """Equal for equal histories."""
        text = "\n".join(f"{at:.6f} {who} {what}" for at, who, what in self.history)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # --- log lines of the service are part of the history

    def hear_log(self, _: Any, level: str, event: Any) -> Any:
        machine = HERE.get()
        who = machine.name if machine else "?"
        words = {k: v for k, v in event.items() if k not in ("event", "source", "request_id")}
        error = words.pop("exc_info", None)
        said = " ".join(f"{k}={v}" for k, v in sorted(words.items()))
        line = f"{level} {event['event']} {said}".strip()
        self.note(who, f"log {line}")
        if error is not None and level == "error":
            self.bugs.append(f"{who} logged {line}: {_words_of(error)}")
        elif level in ("error", "critical"):
            self.alarms.append(line)
            if event["event"] not in EXPECTED_ALARMS:
                self.bugs.append(f"{who} raised an alarm: {line}")
        raise structlog.DropEvent


def _words_of(error: Any) -> str:
    found = error if isinstance(error, BaseException) else sys.exc_info()[1]
    return repr(found)


@contextmanager
def seeded(world: World) -> Iterator[None]:
    """Every id and every random byte of this process comes from the seed, every log line goes to
    the history."""
    dice = world.dice("ids")
    old = os.urandom, random._urandom  # type: ignore[attr-defined]
    os.urandom = dice.randbytes
    random._urandom = dice.randbytes  # type: ignore[attr-defined]
    random.seed(f"{world.seed}:global")
    structlog.configure(
        processors=[world.hear_log],
        wrapper_class=structlog.make_filtering_bound_logger(30),
    )
    try:
        yield
    finally:
        os.urandom, random._urandom = old  # type: ignore[attr-defined]


def new_id() -> str:
    return str(uuid.uuid4())


__all__ = [
    "BEGINNING",
    "FAIR",
    "Machine",
    "VirtualClock",
    "Weather",
    "World",
    "draw_weather",
    "new_id",
    "seeded",
]
