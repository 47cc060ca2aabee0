"""How uvicorn has to run the app: its own answers keep the contract too, nothing waits for ever,
and SIGTERM drains."""

import asyncio
import contextlib
import signal
import sys
from asyncio import TimerHandle
from functools import cache
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import httptools
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from paidonce.api.drain import DRAIN_SECONDS, LAST_SECONDS, Drain
from paidonce.api.envelope import HEADERS
from paidonce.api.errors import answer_for
from paidonce.domain import errors

MAX_CONNECTIONS = 3000
"""Open connections of clients. For one more, that which has been waiting longest without a request
of its own goes; where all are at work, or have just come, the one more gets 503 and is closed."""
MORE_CONNECTIONS = 200
"""So many more are told so; beyond them a connection is closed without a word."""
MAX_FILES = 4096
"""What the process asks the system for, which often allows 1024 unasked."""
FILES_FOR_OTHERS = 600
"""So many of them are left for the connections to Stripe and the database, and for logs. Where the
system allows fewer than MAX_FILES, there are fewer connections of clients."""
HEAD_SECONDS = 10.0
"""For the request line and headers; a body has its own limit (`bodies.BODY_SECONDS`)."""
MAX_HEAD_BYTES = 64 * 1024
"""Of a whole head; and so many bytes in a row that neither are of a body nor end a request."""
SEND_SECONDS = 30.0
"""For a client to take what it is sent; the app gives up then."""
FRESH_SECONDS = 0.5
"""A connection that has just been made has a request on its way."""
LEAST_WAIT_SECONDS = 0.1
"""So long nobody makes room for another one."""
TICK_SECONDS = 0.1
_waiting: WeakKeyDictionary[uvicorn.Config, dict["EnvelopeProtocol", float]] = WeakKeyDictionary()
"""The connections of each server that have sent no whole request, or do not take what they are
sent: longest first, and since when by the loop's clock."""
CLOSE = (b"connection", b"close")
_HEADERS = [(b"content-type", b"application/json")] + [
    (name.lower().encode(), value.encode()) for name, value in HEADERS.items()
]
"""Of the answers that are made here."""


class RequestParser(httptools.HttpRequestParser):
    """Passes over an offer to change the protocol, as a server may (RFC 9110, 7.8): Java's client
    makes one with every first request. httptools takes such a request to have no body, so its head
    is read once more, without the offer."""

    def __init__(self, protocol: "EnvelopeProtocol") -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        while data:
            try:
                return super().feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._protocol.has_offer:
                    raise
                data = self._protocol.head_without_offer() + data[offer.args[0] :]


class EnvelopeProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose answers to what is no HTTP request, or one too many, are the envelope, and
    that waits for nothing longer than it may take: a head, its end, an answer's being taken."""

    _head_timer: TimerHandle | None = None
    _send_timer: TimerHandle | None = None
    _head_bytes = 0
    _begun_bytes = 0
    """Of what is read now, when it begins a request."""
    _is_between = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser = RequestParser(self)
        most = min(MAX_CONNECTIONS, _files_for_clients())
        if len(self.connections) > most and not self._make_room():
            if len(self.connections) > most + MORE_CONNECTIONS:
                transport.abort()
            self.app = refuse_connection
        self._wait()
        self._expect_head()

    def _make_room(self) -> bool:
        """Close the connection that has been waiting longest; whoever drips, or keeps a connection
        for nothing, gives way to somebody who may have a payment."""
        waiting = _waiting.get(self.config, {})
        for longest, since in waiting.items():
            if self.loop.time() - since < LEAST_WAIT_SECONDS:
                break
            del waiting[longest]
            longest.transport.abort()
            return True
        return False

    def _wait(self) -> None:
        _waiting.setdefault(self.config, {})[self] = self.loop.time()

    def _stop_waiting(self) -> None:
        _waiting.get(self.config, {}).pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        self._begun_bytes = len(data) if self._is_between else 0
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The head of the request is too large.")
        elif self._head_timer is None and not self._is_working:
            self._expect_head()  # uvicorn takes whatever came for the end of the idle time

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._begun_bytes, self._is_between = self._begun_bytes, 0, False
        self._expect_head()

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(map(_length, self.headers)) > MAX_HEAD_BYTES:
            raise ValueError("too large a head")  # the parser stops, and 400 is answered
        self._head_bytes = 0
        self._stop_head_timer()
        if not self.has_offer:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes, self._is_between = 0, True
        if not self.has_offer:
            self._stop_waiting()
            super().on_message_complete()

    @property
    def has_offer(self) -> bool:
        """A tunnel (CONNECT) is none: whoever asks for it sends something else than HTTP next."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def head_without_offer(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()
        self._expect_taken()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_waiting()
            self._stop_send_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_taken()
        elif not self._is_working:
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_head_timer()
        self._stop_send_timer()

    def shutdown(self) -> None:
        """The drain: idle connections are closed, a request in work gets its answer first."""
        if self.cycle is None and not self.transport.is_closing():
            self.loop.call_later(FRESH_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """A request that came in whole before is answered first, and alone: its client would take
        this answer for that one's."""
        if self._is_working and (self.pipeline or not self.cycle.more_body):
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        request_id = str(uuid4()).encode()
        body = _body(answer_for(errors.invalid_request(msg)).encode(), request_id)
        headers = [*_HEADERS, (b"request-id", request_id), (b"content-length", b"%d" % len(body))]
        lines = [b"%b: %b" % header for header in [*headers, CLOSE]]
        self.transport.write(b"\r\n".join([b"HTTP/1.1 400 Bad Request", *lines, b"", body]))
        self.transport.close()
        self._expect_taken()

    @property
    def _is_working(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_late_head)

    def _end_late_head(self) -> None:
        """The one before it, which is still in work, is answered all the same."""
        if self._is_working:
            self._expect_head()
        else:
            self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _expect_taken(self) -> None:
        self._stop_send_timer()
        self._send_timer = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


def _length(header: tuple[bytes, bytes]) -> int:
    name, value = header
    return len(name) + len(value) + 4


async def refuse_connection(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The answer on a connection that is one too many."""
    request_id = str(uuid4()).encode()
    answer = answer_for(errors.service_overloaded())
    body = _body(answer.encode(), request_id)
    headers = [
        *_HEADERS,
        (b"request-id", request_id),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", answer.headers["Retry-After"].encode()),
        CLOSE,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _body(envelope: bytes, request_id: bytes) -> bytes:
    return b'%b,"requestId":"%b"}' % (envelope[:-1], request_id)


class Server(uvicorn.Server):
    """uvicorn's server, with the drain in front of its shutdown."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: Any = None) -> None:
        """Readiness is 503 from here on. A second Ctrl-C ends it at once."""
        self._drain.begin()
        self.server_state.default_headers.append(CLOSE)
        loop = asyncio.get_running_loop()
        closes_at = loop.time() + self._drain.delay_seconds
        while loop.time() < closes_at and not self.force_exit:  # noqa: ASYNC110  uvicorn's flag
            await asyncio.sleep(TICK_SECONDS)
        await super().shutdown(sockets)


def serve(app: ASGIApp, drain: Drain, *, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C has drained; SIGTERM ends with exit code 0."""
    _raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again when drained
    grace = int(DRAIN_SECONDS + LAST_SECONDS)
    config = uvicorn.Config(
        app, host=host, port=port, timeout_graceful_shutdown=grace, **UVICORN_OPTIONS
    )
    server = Server(config, drain)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(3)  # as uvicorn.run: it has said why


def _raise_file_limit() -> None:
    """Connections are files; the soft limit is raised where the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - not on every system

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(MAX_FILES, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@cache
def _files_for_clients() -> int:
    """By what the system allows, which is as it is once clients come."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(soft - FILES_FOR_OTHERS - MORE_CONNECTIONS, soft // 4)


# Keyword arguments of uvicorn.Config. Access lines are ours (no query string, no raw path), the
# error log goes through the root logger, and X-Forwarded-For is read by `client_address` alone.
UVICORN_OPTIONS: dict[str, Any] = {
    "http": EnvelopeProtocol,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "proxy_headers": False,
    "server_header": False,
    "timeout_keep_alive": 75,  # longer than the 60 s of common proxies, which then close first
}
