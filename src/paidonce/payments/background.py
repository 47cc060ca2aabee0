"""Work ahead in this process: bounded, one task per key, never needed for correctness."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from paidonce.observability import get_logger
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit

MAX_TASKS = 200
log = get_logger(__name__)


class Background:
    """Tasks by key. A full house drops new work: whoever needs it does it again."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_closed = False

    def start(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin `work` unless one with this key runs; False when it was not begun."""
        if self._is_closed or key in self._tasks or len(self._tasks) >= MAX_TASKS:
            return False
        task = asyncio.get_running_loop().create_task(self._run(key, work))
        self._tasks[key] = task
        task.add_done_callback(lambda _done: self._tasks.pop(key, None))
        return True

    async def wait_for(self, key: str, timeout_seconds: float) -> None:
        """Wait until the work of this key has ended, or not longer."""
        task = self._tasks.get(key)
        if task is not None:
            await asyncio.wait({task}, timeout=timeout_seconds)

    async def drain(self) -> None:
        """Wait for everything that runs now."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def close(self, timeout_seconds: float) -> None:
        """Take nothing new, give what runs a last while, then stop it."""
        self._is_closed = True
        tasks = set(self._tasks.values())
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("background.database_unavailable", work=_kind(key), error=str(error))
        except Exception:
            log.warning("background.failed", work=_kind(key), exc_info=True)


def _kind(key: str) -> str:
    return key.split(":", 1)[0]
