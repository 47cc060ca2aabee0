"""`step(name)` surrounds every Stripe call and every commit.

It is the one choke point: what is measured, counted, traced, written into the timeline of the
present work, and where a test stops the process to see what a crash at that very place does.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Any, Literal

from paidonce.observability.metrics import record_step
from paidonce.observability.timeline import note_step
from paidonce.observability.traces import end_span, start_span

StepHook = Callable[[str, Literal["before", "after"]], None]

_hook: StepHook | None = None


def set_step_hook(hook: StepHook | None) -> None:
    """Call `hook(name, "before" | "after")` around every step of this process; None ends that.

    "after" is called when the step failed too. What the hook raises, the step raises.
    """
    global _hook  # noqa: PLW0603  one hook a process is the point
    _hook = hook


class step:
    """One step, under `with` or `async with`; its outcome is ok, error or canceled.

    `name` comes from the code, never from data: `stripe.<call>` or `commit.<what>`.
    """

    __slots__ = ("_name", "_span", "_started")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        if _hook is not None:
            _hook(self._name, "before")
        self._span: Any = start_span(self._name)
        self._started = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = perf_counter() - self._started
        outcome = _outcome(kind)
        record_step(self._name, outcome, seconds)
        note_step(self._name, outcome, self._started, seconds)
        end_span(self._span, outcome)
        if _hook is not None:
            _hook(self._name, "after")

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)


def _outcome(kind: type[BaseException] | None) -> str:
    if kind is None:
        return "ok"
    return "canceled" if issubclass(kind, asyncio.CancelledError) else "error"
