"""The little HTTP that the simulator needs: read a request, send an answer, cut a connection."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LARGEST_BODY = 4 * 1024 * 1024
ABORT_EXTENSION = "stripesim.abort"  # put into the scope by `server.CuttingProtocol`


class BodyTooLarge(Exception):
    """More than LARGEST_BODY bytes."""


@dataclass(frozen=True)
class Request:
    """Header names are lower case; `path` is decoded and without query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    client_ip: str | None
    base_url: str


@dataclass
class Answer:
    """Status, body and headers, ready to send."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def json_answer(status: int, value: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), headers or {})


def html_answer(status: int, page: str) -> Answer:
    return Answer(
        status,
        page.encode(),
        {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        "text/html; charset=utf-8",
    )


async def read_request(scope: Scope, receive: Receive) -> Request:
    """Raises BodyTooLarge while reading, before all of it is in memory."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
    server = scope.get("server") or ("127.0.0.1", 80)
    host = headers.get("host") or f"{server[0]}:{server[1]}"
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        body=body,
        client_ip=client[0] if client else None,
        base_url=f"{scope.get('scheme', 'http')}://{host}",
    )


async def send_head(send: Send, answer: Answer) -> None:
    headers = {
        "Content-Type": answer.content_type,
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
    )


async def send_answer(send: Send, answer: Answer) -> None:
    await send_head(send, answer)
    await send({"type": "http.response.body", "body": answer.body})


async def cut_connection(scope: Scope, receive: Receive) -> None:
    """Close the TCP connection with a reset; the client sees it drop, without an answer.

    Returns when the server knows, so that it does not report an unfinished answer.
    """
    scope["extensions"][ABORT_EXTENSION]()
    while (await receive())["type"] != "http.disconnect":
        pass
