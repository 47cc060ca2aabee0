"""A small server beside other work, in the loop that is there: what a worker says of itself."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from paidonce.api.server import UVICORN_OPTIONS

END_SECONDS = 2
"""For an answer that is on its way when the work has ended."""


class _Beside(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for the work, which ends this server too."""
        yield


@contextlib.asynccontextmanager
async def serving_beside(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve on a socket that listens, as long as the block lasts."""
    config = uvicorn.Config(
        app, lifespan="off", timeout_graceful_shutdown=END_SECONDS, **UVICORN_OPTIONS
    )
    server = _Beside(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
