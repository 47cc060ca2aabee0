"""The shell around every request: its id, its limits, its log line, and an answer whatever happens.

Plain ASGI, since it stands on the pay path.
"""

import asyncio
import contextlib
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paidonce.api.admission import MACHINE_PATHS, PLACE, Admission, Place
from paidonce.api.bodies import BODY, BodyTooLarge
from paidonce.api.card_numbers import refuse_in_target
from paidonce.api.client_address import ClientAddresses
from paidonce.api.envelope import CODE, ORDER_ID, REQUEST_ID, WHY, respond_encoded
from paidonce.api.errors import answer_for, render_error
from paidonce.api.schemas import is_order_id
from paidonce.domain import errors
from paidonce.observability import (
    Timeline,
    bind_request_id,
    get_logger,
    record_request,
    request_span,
    timeline,
)

CLIENT_ADDRESS = "paidonce.client_address"  # in the ASGI scope
UNMATCHED = "(unmatched)"
MOVE_MONEY = ("/pay", "/pay/confirm", "/capture", "/refunds")
CLIENT_IS_GONE = "the handler is closed"
"""In uvloop's words, when a client went in the moment before it is written to."""

# A client that still sends a refused body must be read for a while: closing at once would reset
# the connection and destroy the answer on its way.
READ_ON_SECONDS = 2.0
READ_ON_BYTES = 8 * 1024 * 1024

_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

log = get_logger(__name__)


class Shell:
    """ASGI middleware around all routes."""

    def __init__(
        self, app: ASGIApp, client_addresses: ClientAddresses, admission: Admission
    ) -> None:
        self._app = app
        self._client_addresses = client_addresses
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        scope[REQUEST_ID] = str(uuid4())  # never the client's: two requests could share it
        scope[CLIENT_ADDRESS] = self._client_addresses.of(scope)
        status = 0

        async def tracked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                await send(message)
            except RuntimeError as error:
                if CLIENT_IS_GONE not in str(error):
                    raise

        request_id = scope[REQUEST_ID]
        with bind_request_id(request_id), request_span(request_id) as span, timeline() as steps:
            try:
                await self._admit(scope, receive, tracked)
            except asyncio.CancelledError:
                if not status:
                    await _say_that_time_is_up(scope, receive, tracked)
                raise
            except Exception as error:
                if status:  # half an answer cannot be repaired: the server closes the connection
                    raise
                response = await render_error(Request(scope), error)
                await response(scope, receive, tracked)
            finally:
                _record(scope, status, perf_counter() - started, steps, span)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the request in whole, then a place for it, then work on it."""
        refuse_in_target(scope)
        lane = self._admission.lane_of(scope)
        try:
            body = scope[BODY] = await lane.arrivals.read(scope, receive)
        except BodyTooLarge:
            await _refuse_body(scope, receive, send, lane.arrivals.limit_bytes)
            return
        place = scope[PLACE] = Place(lane)
        place.hold(scope[CLIENT_ADDRESS])

        async def answer(message: Message) -> None:
            place.leave()  # the work is done, however slowly the client takes its answer
            await send(message)

        try:
            await self._app(scope, _once_more(body, receive), answer)
        finally:
            place.leave()


def _once_more(body: bytes, receive: Receive) -> Receive:
    """For whoever reads the body in the way of ASGI: it comes whole, then the rest."""
    is_told = False

    async def told() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return told


async def _say_that_time_is_up(scope: Scope, receive: Receive, send: Send) -> None:
    """The drain cuts this request. What became of a payment, recovery finds out; one that had not
    come in whole was not begun."""
    moves_money = scope["method"] == "POST" and scope["path"].endswith(MOVE_MONEY)
    is_begun = moves_money and BODY in scope
    error = errors.payment_processing() if is_begun else errors.service_unavailable()
    response = await render_error(Request(scope), error)
    await response(scope, receive, send)


async def _refuse_body(scope: Scope, receive: Receive, send: Send, limit_bytes: int) -> None:
    """413 at once, then read on for a moment, then close."""
    answer = answer_for(errors.body_too_large(limit_bytes))
    scope[CODE] = answer.fields["code"]
    response = respond_encoded(
        scope, answer.status, answer.encode(), {**answer.headers, "Connection": "close"}
    )
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_ON_SECONDS):
            while read < READ_ON_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _record(scope: Scope, status: int, seconds: float, steps: Timeline, span: Any) -> None:
    """Log line, metrics and span: the route's template, never path, query, headers or body. Of the
    path nothing but the id of an order, where it is a UUID."""
    route: Any = scope.get("route")
    template = getattr(route, "path", UNMATCHED)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    record_request(template, method, status, seconds)
    if span is not None:
        span.update_name(f"{method} {template}")
        span.set_attributes({"http.route": template, "http.response.status_code": status})
    order_id = scope.get(ORDER_ID) or scope.get("path_params", {}).get("orderId")
    about = {
        "order_id": order_id.lower() if is_order_id(order_id) else None,
        "code": scope.get(CODE),
        "reason": scope.get(WHY),
    }
    write = log.debug if template.endswith(MACHINE_PATHS) else log.info
    write(
        "request.answered",
        method=method,
        route=template,
        status=status,
        **{name: value for name, value in about.items() if value is not None},
        duration_ms=round(seconds * 1000, 1),
        steps=steps.lines(),
    )
