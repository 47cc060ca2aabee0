"""The HTTP server: uvicorn with httptools and uvloop, and a protocol that can cut connections."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stripesim.app import build_app
from stripesim.config import Config
from stripesim.http import ABORT_EXTENSION, json_answer
from stripesim.wire.errors import INVALID_REQUEST

LARGEST_HEAD = 512 * 1024  # of address and headers, in bytes; more than what is read at once


class CuttingProtocol(HttpToolsProtocol):
    """Puts the transport's `abort` into the scope, for the drop faults, and bounds a head."""

    _is_in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {ABORT_EXTENSION: self.transport.abort}
        self.scope["extensions"] = extensions
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """The parser keeps a head until its end, so one without an end is cut off here."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._is_in_head = False
                self._refuse("431 Request Header Fields Too Large", "Request head too large.")

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in Stripe's envelope too, and the connection is closed."""
        self._is_in_head = False
        self._refuse("400 Bad Request", msg)

    def _refuse(self, status: str, message: str) -> None:
        error = {"message": message, "type": INVALID_REQUEST}
        answer = json_answer(int(status[:3]), {"error": error})
        head = (
            f"HTTP/1.1 {status}\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + answer.body)
        self.transport.close()


class Server(uvicorn.Server):
    """Calls `on_ready` with its address once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if sockets and not self.should_exit:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._on_ready(f"http://{shown}:{port}")


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def make_server(config: Config, on_ready: Callable[[str], None]) -> Server:
    """A server with its simulator; start it with `run(sockets=[bind(host, port)])`."""
    return Server(
        uvicorn.Config(
            build_app(config),
            http=CuttingProtocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            forwarded_allow_ips="127.0.0.1",  # whatever the environment says: see control.access
            timeout_graceful_shutdown=1,
            backlog=1024,
        ),
        on_ready,
    )
