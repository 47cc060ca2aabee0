"""An application on uvicorn in a thread of this process, which ends when it is told to.

uvicorn looks ten times a second whether it should stop, and then waits as long once more. With two
thousand servers that are started for a test each, that is minutes.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from socket import socket
from typing import Any

import uvicorn

START_SECONDS = 20
STOP_SECONDS = 30


class PromptServer(uvicorn.Server):
    """`stop` may be called from any thread once the server has started."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._is_told = asyncio.Event()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._is_told.set)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._is_told.wait()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """At once when nobody is connected any more; else as uvicorn does."""
        for listener in (*self.servers, *(sockets or [])):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(3):  # an idle connection is closed within these turns of the loop
            await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            await self.lifespan.shutdown()


@contextlib.contextmanager
def served(app: Any, *, listener: socket | None = None, **options: Any) -> Iterator[PromptServer]:
    """Serve `app` with uvicorn's `options` until the end of the block, on `port` or `listener`."""
    server = PromptServer(uvicorn.Config(app, **options))
    sockets = None if listener is None else [listener]
    thread = threading.Thread(target=server.run, args=(sockets,))
    thread.start()
    try:
        ends_at = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive() and time.monotonic() < ends_at, "the server did not start"
            time.sleep(0.005)
        yield server
    finally:
        if thread.is_alive():
            server.stop()
        thread.join(STOP_SECONDS)
        assert not thread.is_alive(), "the server did not stop"
