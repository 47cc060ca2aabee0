"""The envelope of every answer, as bytes: the contract that the shipped app reads.

`{"status": "success" | "requires_action" | "error", "message", "data" | "errors", "nextStep",
"code"?, "retryAfter"?, "requestId"}`. The request's id comes last, so that an answer kept under an
Idempotency-Key can be given again under the id of the request that asks for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from paidonce.domain.errors import NextStep

REQUEST_ID = "paidonce.request_id"  # in the ASGI scope, set by the shell
ORDER_ID = "paidonce.order_id"  # the same, of an order that the request has made
CODE, WHY = "paidonce.code", "paidonce.why"  # the same, of an error, for the log line

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer. Client secrets pass through here: nobody on the way may keep one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it has a request id. `fields` are the envelope's, in their order.

    `is_kept`: whether it may be kept under an Idempotency-Key, which no client secret may.
    """

    status: int
    fields: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    is_kept: bool = True

    def encode(self) -> bytes:
        """The envelope without its request id: what is kept under an Idempotency-Key."""
        return encode_json(self.fields)


def success(
    message: str,
    data: Any,
    *,
    status: str = "success",
    next_step: NextStep = NextStep.DONE,
    **beside: Any,
) -> Answer:
    """A 200 with `data`; `beside` are fields that stand beside it (`nextCursor`)."""
    fields = {"status": status, "message": message, "data": data, **beside}
    return Answer(200, {**fields, "nextStep": next_step.value})


def respond(request: Request, answer: Answer) -> Response:
    """The response of this request."""
    if "code" in answer.fields:
        request.scope[CODE] = answer.fields["code"]
    return respond_encoded(request.scope, answer.status, answer.encode(), answer.headers)


def respond_encoded(
    scope: Scope, status: int, envelope: bytes, headers: Mapping[str, str] | None = None
) -> Response:
    """The response for an envelope that was encoded before, under this request's own id."""
    request_id = scope[REQUEST_ID]
    body = b'%b,"requestId":"%b"}' % (envelope[:-1], request_id.encode())
    return Response(
        body,
        status_code=status,
        headers={**HEADERS, "Request-Id": request_id, **(headers or {})},
        media_type="application/json",
    )


def encode_json(value: Any) -> bytes:
    """JSON in ASCII. A Decimal becomes a number digit by digit: no float takes part."""
    return _encode(value).encode("ascii")


def _encode(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        members = [f"{json.dumps(name)}:{_encode(inner)}" for name, inner in value.items()]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_encode, value)) + "]"
    return json.dumps(value, allow_nan=False)
