"""An event loop without a selector: virtual time, and a seed that decides who runs next.

Every callback belongs to a machine (the context in which it was made says to which). A machine
works its own callbacks in order, as an event loop does; which machine goes next is drawn. When
nobody has anything to do, time jumps to the next timer. What belongs to a dead machine never runs
again, not even its `finally`; what belongs to a frozen one waits.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Machine:
    """Something that runs by itself and can die by itself: an instance, a worker."""

    name: str
    is_dead: bool = False
    frozen_until: float = 0.0
    hears_of_death: list[Callable[[], None]] = field(default_factory=list)


HERE: ContextVar[Machine | None] = ContextVar("machine", default=None)
"""The machine that runs now; None: the world outside (network, clients)."""


class NothingLeft(Exception):
    """Somebody waits, and nothing that could happen would end it."""


class _Ready:
    """What may run now, by machine. The loop's base class only ever appends and clears."""

    def __init__(self) -> None:
        self.queues: dict[Machine | None, deque[asyncio.Handle]] = {}

    def append(self, handle: asyncio.Handle) -> None:
        machine = handle._context.get(HERE)  # type: ignore[attr-defined]
        queue = self.queues.get(machine)
        if queue is None:
            self.queues[machine] = queue = deque()
        queue.append(handle)

    def clear(self) -> None:
        self.queues.clear()


class SeededLoop(asyncio.BaseEventLoop):
    """`clock_zero` is nothing: time starts at 0 and only jumps."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._virtual_now = 0.0
        self._clock_resolution = 1e-9
        self._queued = _Ready()
        self._ready = self._queued
        self._timers: list[asyncio.TimerHandle] = []
        self._scheduled = self._timers
        self.graveyard: list[Any] = []
        self.set_task_factory(self._keep)

    def time(self) -> float:
        return self._virtual_now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """No thread: done at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def freeze(self, machine: Machine, seconds: float) -> None:
        """The machine stands still: its memory and its messages stay, its time does not pass."""
        machine.frozen_until = self._virtual_now + seconds
        self.call_later(seconds, _nothing, context=Context())

    def spawn(self, machine: Machine | None, work: Any) -> "asyncio.Task[Any]":
        """A task that belongs to the machine, with everything that it starts."""
        context = Context()
        context.run(HERE.set, machine)
        return self.create_task(work, context=context)

    def _keep(self, loop: Any, work: Any, context: Any = None) -> "asyncio.Task[Any]":
        """Tasks are kept to the end, so that none is closed, and its `finally` run, before."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.graveyard.append(task)
        return task

    def _run_once(self) -> None:
        """One callback of one machine, at the earliest time at which there is one."""
        handle = None
        while handle is None:
            self._bring_due()
            handle = self._pick()
            if handle is None:
                self._jump()
        if not handle._cancelled:
            handle._run()

    def _bring_due(self) -> None:
        timers = self._timers
        while timers and timers[0]._when <= self._virtual_now:  # type: ignore[attr-defined]
            timer = heapq.heappop(timers)
            timer._scheduled = False  # type: ignore[attr-defined]
            if not timer._cancelled:
                self._queued.append(timer)

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False  # type: ignore[attr-defined]
        if not timers:
            raise NothingLeft
        self._virtual_now = max(self._virtual_now, timers[0]._when)  # type: ignore[attr-defined]

    def _pick(self) -> asyncio.Handle | None:
        queues, now = self._queued.queues, self._virtual_now
        able: list[Machine | None] = []
        for machine in list(queues):
            if machine is None or (machine.frozen_until <= now and not machine.is_dead):
                able.append(machine)
            elif machine.is_dead:
                self.graveyard.append(queues.pop(machine))
        if not able:
            return None
        chosen = able[0] if len(able) == 1 else able[int(self._dice.random() * len(able))]
        queue = queues[chosen]
        handle = queue.popleft()
        if not queue:
            del queues[chosen]
        return handle

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""


def _nothing() -> None:
    """Time itself."""
