"""A merchant's server that takes events: keeps what came, and answers as a test says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from paidonce.endpoints import new_secret


@dataclass(frozen=True)
class Told:
    """One request, as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class EventReceiver:
    """`answer` gives a status, or a status and headers, for an event; called in its own thread."""

    url: str = ""
    secret: str = field(default_factory=new_secret)
    told: list[Told] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], int | tuple[int, dict[str, str]]] = lambda _event: 204

    def settings(self, name: str = "main") -> dict[str, Any]:
        """What a service needs to tell it of events."""
        return {
            "event_endpoints": f"{name}={self.url}",
            "event_secrets": f"{name}={self.secret}",
            "event_allow_loopback": True,
        }

    def types(self, order_id: str | None = None) -> list[str]:
        """In the order in which they came."""
        events = [told.event for told in self.told]
        return [e["type"] for e in events if order_id in (None, e["data"]["orderId"])]


@contextmanager
def event_receiver() -> Iterator[EventReceiver]:
    receiver = EventReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.told.append(Told(headers, body))
            answer = receiver.answer(json.loads(body))
            status, extra = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {"Content-Length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
