"""Connections of clients: so many and no more, and none that says nothing for ever."""

import asyncio
import contextlib
import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from paidonce.api import server
from support.processes import free_port

LARGE = 1_000_000


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    body = b"x" * LARGE if scope["path"] == "/large" else b"ok"
    while scope["path"] == "/echo":
        message = await receive()
        body += b" " + message["body"]
        if not message["more_body"]:
            break
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that answers everything with "ok"."""
    config = uvicorn.Config(healthy, port=free_port(), lifespan="off", **server.UVICORN_OPTIONS)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.005)
    yield config.port
    running.should_exit = True
    thread.join(10)


def connect(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    return connection


def get(connection: http.client.HTTPConnection) -> tuple[int, Any, bytes]:
    connection.request("GET", "/")
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def take(connection: socket.socket) -> tuple[int, bytes]:
    """The next answer, whole, in however many pieces it comes."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.read()


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nX: ", b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"],
    ids=["head", "body"],
)
def test_who_waits_longest_without_a_request_makes_room_for_one_more(
    port: int, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "LEAST_WAIT_SECONDS", 0.05)
    with contextlib.ExitStack() as stack:

        def come() -> http.client.HTTPConnection:
            return stack.enter_context(contextlib.closing(connect(port)))

        working, dripping, idle = come(), come(), come()
        working.request("GET", "/slow")
        dripping.sock.sendall(begun)
        assert get(idle)[0] == 200
        time.sleep(0.1)
        assert get(come())[0] == 200  # in the place of the one that drips
        assert dripping.sock.recv(1) == b""
        time.sleep(0.1)
        assert get(come())[0] == 200  # in the place of the idle one
        assert idle.sock.recv(1) == b""
        assert working.getresponse().status == 200


def test_files_are_left_for_the_connections_to_stripe_and_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for allowed, clients in ((4096, 3296), (1024, 256), (resource.RLIM_INFINITY, 3000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, n=allowed: (n, n))
        assert server._files_for_clients.__wrapped__() == clients


def test_nobody_who_has_just_come_makes_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server, "LEAST_WAIT_SECONDS", 60.0)
    with contextlib.ExitStack() as stack:
        first, second, third = (
            stack.enter_context(contextlib.closing(connect(port))) for _ in range(3)
        )
        assert get(third)[0] == 503
        assert [get(first)[0], get(second)[0]] == [200, 200]


def test_one_connection_too_many_is_told_so_and_closed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server, "MORE_CONNECTIONS", 1)
    with contextlib.ExitStack() as stack:
        first, second, third, fourth = (
            stack.enter_context(contextlib.closing(connect(port))) for _ in range(4)
        )
        for connection in (first, second):
            assert get(connection)[0] == 200
        status, headers, raw = get(third)
        body = json.loads(raw)
        assert (status, body["code"], body["nextStep"]) == (503, "service_unavailable", "retry")
        assert headers["Connection"] == "close" and headers["Retry-After"] == "2"
        assert headers["Request-Id"] == body["requestId"]
        with pytest.raises((http.client.HTTPException, OSError)):
            get(fourth)
        assert get(first)[0] == 200
    time.sleep(0.2)
    with contextlib.closing(connect(port)) as again:
        assert get(again)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["nothing", "half"])
def test_a_connection_that_sends_no_whole_head_is_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        assert connection.recv(100) == b""
        assert 0.1 < time.monotonic() - started < 2


def test_a_kept_connection_may_be_idle_for_longer_than_a_head_may_take(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.6)
    with contextlib.closing(connect(port)) as connection:
        for _ in range(2):
            assert get(connection)[0] == 200
            time.sleep(0.9)


def test_a_kept_connection_that_sends_no_request_is_closed_too(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty line begins no request, and yet the connection is not idle."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with contextlib.closing(connect(port)) as connection:
        assert get(connection)[0] == 200
        connection.sock.settimeout(3)
        connection.sock.sendall(b"\r\n")
        assert connection.sock.recv(100) == b""


TRAILER = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"\r\n", TRAILER])
def test_a_head_without_an_end_is_cut(port: int, begin: bytes) -> None:
    more = (b"\r\n" if begin == b"\r\n" else b"xx") * 32_768
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(begin)
        with pytest.raises(OSError):
            for _ in range(100):  # 6.5 MB, and the limit is 64 KB
                connection.sendall(more)


@pytest.mark.parametrize("last", [b"keep-alive", b"close"])
def test_a_client_that_does_not_take_its_answers_is_cut(
    port: int, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    """Otherwise its requests would hold their places, and it its connection, for ever."""
    monkeypatch.setattr(server, "SEND_SECONDS", 0.3)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(("127.0.0.1", port))
        request = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: %b\r\n\r\n"
        connection.sendall(request % b"keep-alive" * 9 + request % last)
        time.sleep(1)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while found := connection.recv(1 << 20):
                taken += len(found)
        assert taken < 9 * LARGE


SLOW = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "more",
    [b"}", b"\x16\x03\x01", b"GET / HTTP/1.1\r\nno header\r\n\r\n", CHUNKED + b"zz\r\n"],
    ids=["one byte too many", "no HTTP", "a bad head", "a bad body"],
)
def test_what_comes_behind_a_request_in_work_does_not_answer_it(
    port: int, more: bytes, together: bool
) -> None:
    """A client would take the 400 for the answer to its payment, which goes on."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(SLOW + more if together else SLOW)
        if not together:
            time.sleep(0.1)
            connection.sendall(more)
        assert take(connection) == (200, b"ok")


def test_a_late_head_behind_a_request_in_work_does_not_cost_it_its_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.4)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(SLOW + b"GET / HTTP/1.1\r\nHo")
        assert take(connection) == (200, b"ok")
        assert connection.recv(1000) == b""  # and then it is cut


OFFER = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
COUNTED = f"{OFFER}HTTP2-Settings: AAA\r\nContent-Length: 5\r\n\r\nhello"
PIECES = f"{OFFER}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 150, 1000])
@pytest.mark.parametrize("sent", [COUNTED, PIECES], ids=["counted", "chunked"])
def test_an_offer_of_another_protocol_is_passed_over_and_the_body_is_read(
    port: int, sent: str, size: int
) -> None:
    """Java's HttpClient makes this offer with every first request that is not under TLS."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for _ in range(2):
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size].encode())
                time.sleep(0.001)
            status, body = take(connection)
            assert (status, body.replace(b" ", b"")) == (200, b"okhello")


def test_a_tunnel_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        assert b"200" not in connection.recv(1000)
