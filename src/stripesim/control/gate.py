"""The door of the API: where faults strike, and where two requests with one key meet."""

import asyncio

from stripesim import guesses
from stripesim.api import Api, api_error, idempotency_key, preflight_answer
from stripesim.control.faults import Fault, Faults
from stripesim.control.lies import told_otherwise
from stripesim.http import (
    Answer,
    Receive,
    Request,
    Scope,
    Send,
    cut_connection,
    read_request,
    send_answer,
    send_head,
)
from stripesim.wire.errors import StripeError

LOCK_TIMEOUT_MESSAGE = (
    "This object cannot be accessed right now because another API request or Stripe process is "
    "currently accessing it. If you see this error intermittently, retry the request. If you see "
    "this error frequently and are making multiple concurrent requests to a single object, make "
    "your requests serially or at a lower rate."
)
BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad "
    b"Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
SLOW_PIECES = 10
WAITING = ("latency", "hold")


class BelongsToThePast(Exception):
    """The store was emptied while the request waited; it may not be executed in the new one."""


class Gate:
    """Lets API requests in, one at a time per idempotency key, with the faults of the rules."""

    def __init__(self, api: Api, faults: Faults) -> None:
        self._api = api
        self._faults = faults
        self._keys_in_flight: set[tuple[str, str]] = set()  # with the epoch of the store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive)
        if request.method == "OPTIONS":
            await send_answer(send, preflight_answer(request))
            return
        fault = self._faults.strike(request.method, request.path)
        if fault and fault.kind == "drop_request":
            self._api.log_cut(request, fault)
            await cut_connection(scope, receive)
            return
        try:
            answer = await self._execute(request, fault)
        except BelongsToThePast:
            await cut_connection(scope, receive)
            return
        await _send(scope, receive, send, answer, fault)

    async def _execute(self, request: Request, fault: Fault | None) -> Answer:
        refusal = refusal_of(request, fault)
        if refusal is not None:
            return self._api.refuse(request, refusal, fault)
        key, epoch = idempotency_key(request), self._api.world.epoch
        if key and (epoch, key) in self._keys_in_flight:
            return self._api.refuse(request, key_in_use(key), fault)
        if fault is None or fault.kind not in WAITING:
            return self._api.execute(request, fault)
        if key:
            self._keys_in_flight.add((epoch, key))
        try:
            if fault.kind == "hold":
                await fault.removed.wait()
            else:
                await asyncio.sleep(fault.seconds)
            if self._api.world.epoch != epoch:
                raise BelongsToThePast
            return self._api.execute(request, fault)
        finally:
            self._keys_in_flight.discard((epoch, key or ""))


async def _send(
    scope: Scope, receive: Receive, send: Send, answer: Answer, fault: Fault | None
) -> None:
    """The answer as the fault lets it through."""
    kind = fault.kind if fault else None
    if kind == "drop_response":
        await cut_connection(scope, receive)
    elif kind == "truncate":
        await _send_half(scope, receive, send, answer)
    elif kind == "slow_body" and fault:
        await _send_slowly(send, answer, fault.seconds)
    elif kind == "lie" and fault:
        await send_answer(send, told_otherwise(answer, fault.fields))
    elif kind == "bad_gateway_html":
        status = (fault.status if fault else None) or 502
        await send_answer(send, Answer(status, BAD_GATEWAY, {}, "text/html"))
    else:
        await send_answer(send, answer)


def refusal_of(request: Request, fault: Fault | None) -> StripeError | None:
    """The answer of faults that do not execute the request."""
    kind = fault.kind if fault else None
    if kind == "error_before":
        return api_error((fault.status if fault else None) or 500)
    if kind == "rate_limit":
        return StripeError(429, guesses.RATE_LIMIT_MESSAGE, code="rate_limit")
    if kind == "lock_timeout":
        headers = {"Stripe-Should-Retry": "true"}
        return StripeError(429, LOCK_TIMEOUT_MESSAGE, code="lock_timeout", headers=headers)
    if kind == "key_in_use":
        return key_in_use(idempotency_key(request) or "")
    return None


def key_in_use(key: str) -> StripeError:
    return StripeError(
        409,
        guesses.KEY_IN_USE_MESSAGE.format(key=key),
        type="idempotency_error",
        code="idempotency_key_in_use",
    )


async def _send_half(scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
    """The whole length is promised, half of it is sent, then the connection is cut."""
    await send_head(send, answer)
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    await asyncio.sleep(0.02)  # so that the first half is on its way before the reset
    await cut_connection(scope, receive)


async def _send_slowly(send: Send, answer: Answer, seconds: float) -> None:
    """The body in ten pieces over `seconds`."""
    await send_head(send, answer)
    size = max(1, -(-len(answer.body) // SLOW_PIECES))
    for start in range(0, len(answer.body), size):
        await asyncio.sleep(seconds / SLOW_PIECES)
        piece = answer.body[start : start + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
