"""What stands in the head of every answer, and what never does: of routes, of what is no route, and
of the server below them. CORS is closed: no web page of anybody's reads an answer."""

import contextlib
import http.client
import socket

import pytest

from api.shop import ORDER_ID, Shop
from paidonce.api import server

PAY = f"/api/mobile-app/orders/{ORDER_ID}/pay"
PREFLIGHT = (
    "OPTIONS /api/mobile-app/orders HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n"
    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
)
CHUNKED = f"POST {PAY} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SENT: dict[str, tuple[int, str]] = {
    "a success": (200, "GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n"),
    "HEAD": (200, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    "metrics": (200, "GET /metrics HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n"),
    "the OpenAPI": (200, "GET /openapi.json HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n"),
    "no token": (401, f"POST {PAY} HTTP/1.1\r\nHost: x\r\nOrigin: null\r\n\r\n"),
    "no route": (404, "GET /nothing HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n\r\n"),
    "no method": (405, "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a preflight": (405, PREFLIGHT),
    "a preflight of nothing": (404, PREFLIGHT.replace("/api/mobile-app/orders", "/nothing")),
    "a body that is too long": (
        413,
        f"POST {PAY} HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n",
    ),
    "the same in chunks": (413, CHUNKED + "10001\r\n" + "x" * 0x10001 + "\r\n"),
    "no HTTP": (400, "this is not HTTP\r\n\r\n"),
    "another version": (400, "GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
    "a head that is too long": (400, "GET / HTTP/1.1\r\nHost: x\r\nX: " + "y" * 66_000),
    "a target that is too long": (400, "GET /" + "y" * 66_000),
    "a whole head that is too long": (400, "GET / HTTP/1.1\r\nX: " + "y" * 66_000 + "\r\n\r\n"),
    "many headers": (400, "GET / HTTP/1.1\r\n" + "X: y\r\n" * 12_000 + "\r\n"),
    "a head at the limit": (
        200,
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + "y" * 64_000 + "\r\n\r\n",
    ),
    "two lengths": (
        400,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ),
    "no length": (400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
    "a length and chunks": (400, CHUNKED.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n")),
    "a tunnel": (400, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
}
SAID_IN_DOCS = {"kinds of answer": len(SENT) + 1}
"""What docs/security.md says."""
EVERYWHERE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
NOWHERE = ("server", "x-powered-by", "set-cookie", "location", "via")


def assert_safe(headers: dict[str, str]) -> None:
    for name, value in EVERYWHERE.items():
        assert headers.get(name) == value, (name, headers)
    assert not [name for name in headers if name.startswith("access-control-") or name in NOWHERE]


def exchange(shop: Shop, sent: bytes) -> tuple[int, dict[str, str]]:
    host, _, port = shop.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        answer = http.client.HTTPResponse(connection, method=sent.split(b" ")[0].decode())
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.mark.parametrize("what", SENT)
def test_every_answer_has_the_same_head(shop: Shop, what: str) -> None:
    status, sent = SENT[what]
    answered, headers = exchange(shop, sent.encode())
    assert answered == status, headers
    assert_safe(headers)
    kinds = {"metrics": "text/plain; version=0.0.4; charset=utf-8"}
    assert headers["content-type"] == kinds.get(what, "application/json")
    if what not in ("metrics", "the OpenAPI"):
        assert headers["request-id"]
    if status in (400, 413):
        assert headers["connection"] == "close"


def test_one_connection_too_many_has_the_same_head(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 0)
    monkeypatch.setattr(server, "LEAST_WAIT_SECONDS", 60)  # nobody makes room
    status, headers = exchange(shop, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 503
    assert_safe(headers)


def test_the_check_finds_what_is_missing_and_what_is_too_much() -> None:
    for wrong in (
        {"cache-control": "no-cache"},
        {"server": "uvicorn"},
        {"access-control-allow-origin": "*"},
    ):
        with pytest.raises(AssertionError):
            assert_safe({**EVERYWHERE, **wrong})
    assert_safe(dict(EVERYWHERE))
