"""A webhook endpoint for tests: takes what the simulator sends, and checks its signature."""

import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]
PATIENCE_SECONDS = 5.0


class NothingCame(AssertionError):
    """The event that was waited for did not come; the text says what did."""


@dataclass(frozen=True)
class Delivered:
    """One delivery: the bytes and the `Stripe-Signature` to hand to the handler under test."""

    body: bytes
    signature: str
    event: Json

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def object(self) -> Json:
        """`event.data.object`"""
        found: Json = self.event["data"]["object"]
        return found


class WebhookInbox:
    """Listens on a free loopback port. A context manager; `url` and `secret` are its endpoint's.

    `deliveries` holds what came, in the order in which it came. A delivery without a valid
    signature is answered 400 and is not kept.
    """

    def __init__(self, secret: str = "whsec_stripesim") -> None:  # noqa: S107  not a secret at all
        self.secret = secret
        self.deliveries: list[Delivered] = []
        self._statuses: list[int] = []
        self._has_come = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_SECONDS)

    @property
    def types(self) -> list[str]:
        with self._has_come:
            return [delivered.type for delivered in self.deliveries]

    def answer_with(self, *statuses: int) -> None:
        """The next deliveries are kept and answered with these statuses, then with 200 again."""
        self._statuses.extend(statuses)

    def wait_for(self, kind: str, count: int = 1, seconds: float = PATIENCE_SECONDS) -> Delivered:
        """The `count`-th delivery of that type ("*" means any). Raises NothingCame."""
        ends_at = time.monotonic() + seconds
        with self._has_come:
            while True:
                found = [d for d in self.deliveries if kind in ("*", d.type)]
                if len(found) >= count:
                    return found[count - 1]
                left = ends_at - time.monotonic()
                if left <= 0:
                    came = ", ".join(d.type for d in self.deliveries) or "nothing"
                    raise NothingCame(f"no {kind} within {seconds:g} s; what came: {came}")
                self._has_come.wait(left)

    def take(self, body: bytes, signature: str) -> int:
        """Keep a delivery; the status to answer it with."""
        if not is_signed(self.secret, body, signature):
            return 400
        with self._has_come:
            self.deliveries.append(Delivered(body, signature, json.loads(body)))
            self._has_come.notify_all()
            return self._statuses.pop(0) if self._statuses else 200


def is_signed(secret: str, body: bytes, header: str) -> bool:
    """Whether `t=…,v1=…` is the signature of the body (docs.stripe.com/webhooks/signatures)."""
    parts = [part.partition("=") for part in header.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    wanted = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value, wanted) for name, _, value in parts)


def _handler_of(inbox: WebhookInbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(inbox.take(body, self.headers.get("Stripe-Signature", "")))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    return Handler
