"""The contract for machines: adds a route together with its OpenAPI description.

Bodies are checked by `schemas`, by hand; what stands here describes them.
"""

import json
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api.card_numbers import Handler, without_card_numbers
from paidonce.api.envelope import HEADERS
from paidonce.api.statuses import MEANINGS, list_errors
from paidonce.domain.errors import NextStep
from paidonce.domain.money import MAX_AMOUNT_MINOR

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_AMOUNT_MINOR: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_AMOUNT_MINOR}
_CURRENCY: Schema = {"type": "string", "minLength": 3, "maxLength": 3, "examples": ["usd"]}


def _object(required: list[str], **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _list_of(item: Schema, most: int) -> Schema:
    return {"type": "array", "items": item, "minItems": 1, "maxItems": most}


_ANY_DETAIL: Schema = {"type": ["object", "string", "null"]}
NEW_ORDER = _object(
    ["items"],
    items=_list_of(
        _object(
            ["productId", "quantity"],
            productId={**_TEXT, "maxLength": 100},
            quantity={"type": "integer", "minimum": 1, "maximum": 10_000},
        ),
        100,
    ),
    shippingAddress=_ANY_DETAIL,
    billingAddress=_ANY_DETAIL,
    paymentMethod=_ANY_DETAIL,
    notes={"type": ["string", "null"], "maxLength": 5000},
)
PAY: Schema = {
    **_object(
        [],
        paymentMethodId={"type": "string"},
        paymentToken={"type": "string"},
        stripePaymentMethodId={"type": "string"},
        confirmationToken={"type": "string"},
        paymentMethod={"type": "string"},
        paymentIntentId={"type": "string"},
        savePaymentMethod={"type": "boolean"},
    ),
    "description": "The PaymentMethod is the first of paymentMethodId, paymentToken, "
    "stripePaymentMethodId, confirmationToken, and paymentMethod when it begins with pm_ or "
    "ctoken_; a ConfirmationToken may stand in any of them. With paymentIntentId only, the request "
    "acts as pay/confirm.",
}
CONFIRM = _object([], paymentIntentId={"type": "string"})
SHEET: Schema = {
    **_object(
        [],
        stripeVersion={
            "type": ["string", "null"],
            "maxLength": 200,
            "examples": ["2025-10-29.clover"],
        },
    ),
    "description": "With stripeVersion, the version that the app's SDK speaks, an ephemeral key is "
    "made for it.",
}
SAVE_METHOD: Schema = {
    **_object(
        ["stripePaymentMethodId"],
        stripePaymentMethodId={**_TEXT, "maxLength": 255},
        isDefault={"type": ["boolean", "null"]},
    ),
    "description": "Other fields are ignored: Stripe is asked what the card is.",
}
SET_UP_CARD = _object([], isDefault={"type": ["boolean", "null"]})
EMPTY = _object([])
PRODUCTS = _object(
    ["products"],
    products=_list_of(
        _object(
            ["productId", "name", "amountMinor", "currency"],
            productId={**_TEXT, "maxLength": 100},
            name={**_TEXT, "maxLength": 250},
            amountMinor=_AMOUNT_MINOR,
            currency=_CURRENCY,
        ),
        1000,
    ),
)
MERCHANT_ORDER = _object(
    ["userId", "amountMinor", "currency"],
    userId={**_TEXT, "maxLength": 255},
    email={"type": ["string", "null"], "maxLength": 320},
    orderId={"type": ["string", "null"], "format": "uuid"},
    amountMinor=_AMOUNT_MINOR,
    currency=_CURRENCY,
    orderNumber={"type": ["string", "null"], "maxLength": 100},
    captureMethod={"enum": ["automatic", "manual", None]},
    expiresAt={"type": ["string", "null"], "format": "date-time"},
    metadata={
        "type": ["object", "null"],
        "maxProperties": 50,
        "additionalProperties": {"type": "string", "maxLength": 500},
    },
)
CAPTURE = _object([], amountMinor={"type": ["integer", "null"], "minimum": 1})
_OPTIONAL_BODIES = (CONFIRM, EMPTY, SET_UP_CARD, SHEET, CAPTURE)

_BESIDE: Schema = {
    "message": {"type": "string"},
    "requestId": {"type": "string", "format": "uuid"},
    "nextStep": {"type": "string", "enum": [step.value for step in NextStep]},
}
ENVELOPE = _object(
    ["status", "message", "data", "nextStep", "requestId"],
    status={"type": "string", "enum": ["success", "requires_action"]},
    data={"type": "object"},
    **_BESIDE,
)
LIST_ENVELOPE = _object(
    ["status", "message", "data", "nextCursor", "nextStep", "requestId"],
    status={"type": "string", "enum": ["success"]},
    data={"type": "array", "items": {"type": "object"}},
    nextCursor={"type": ["string", "null"]},
    **_BESIDE,
)
ERROR_ENVELOPE = _object(
    ["status", "message", "errors", "code", "nextStep", "requestId"],
    status={"type": "string", "enum": ["error"]},
    errors={"type": "array", "items": {"type": "string"}, "minItems": 1},
    code={"type": "string", "pattern": "^[a-z0-9_]+$"},
    declineCode={"type": "string"},
    retryAfter={"type": "integer"},
    **_BESIDE,
)

_ORDER_ID: Schema = {
    "name": "orderId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_EVENT_ID: Schema = {
    "name": "eventId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_METHOD_ID: Schema = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The saved method's id (spm_…), or Stripe's (pm_…)",
    "schema": {"type": "string", "maxLength": 255},
}
_PRODUCT_ID: Schema = {
    "name": "productId",
    "in": "path",
    "required": True,
    "schema": {**_TEXT, "maxLength": 100},
}
_PAGE: list[Schema] = [
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
    {"name": "cursor", "in": "query", "schema": {"type": "string", "maxLength": 600}},
]
_COUNTED = ("/pay", "/payment-sheet", "/payments/methods", "/payments/setup")
_DEVICE_ID: Schema = {
    "name": "X-Device-Id",
    "in": "header",
    "description": "What the app calls its device; declines are counted by it.",
    "schema": {"type": "string", "maxLength": 200},
}
_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def add(
    app: FastAPI | APIRouter,
    method: str,
    path: str,
    handler: Handler,
    body: Schema | None = None,
    *,
    is_list: bool = False,
    filters: Schema | None = None,
    is_body_optional: bool = False,
    is_key_required: bool = False,
) -> None:
    """Add a route and describe it: its parameters, its body, the envelope of every answer.
    `filters` are a list's own parameters of the query, each with its schema."""
    parameters = [_ORDER_ID] if "{orderId}" in path else []
    parameters += [_EVENT_ID] if "{eventId}" in path else []
    parameters += [_PRODUCT_ID] if "{productId" in path else []
    parameters += [_METHOD_ID] if "methods/{id}" in path else []
    parameters += _PAGE if is_list else []
    parameters += [
        {"name": name, "in": "query", "schema": schema} for name, schema in (filters or {}).items()
    ]
    if method == "POST":
        parameters.append({**_IDEMPOTENCY_KEY, "required": is_key_required})
    parameters += [_DEVICE_ID] if method == "POST" and path.endswith(_COUNTED) else []
    description: Schema = {"security": [{"bearer": []}], "parameters": parameters}
    if body is not None:
        is_optional = is_body_optional or any(body is optional for optional in _OPTIONAL_BODIES)
        content = {"application/json": {"schema": body}}
        description["requestBody"] = {"required": not is_optional, "content": content}
    app.add_api_route(
        path,
        without_card_numbers(handler),
        methods=[method],
        response_class=Response,
        response_model=None,
        responses={
            200: _answer("The answer", LIST_ENVELOPE if is_list else ENVELOPE),
            **{
                status: _answer(MEANINGS[status], ERROR_ENVELOPE)
                for status in list_errors(method, path)
            },
        },
        openapi_extra=description,
    )


def add_document(app: FastAPI) -> None:
    """The route of the whole document, which is made once: it takes milliseconds, and anybody may
    ask for it."""

    @cache
    def document() -> bytes:
        return json.dumps(describe(app), separators=(",", ":")).encode()

    async def answer(_request: Request) -> Response:
        return Response(document(), media_type="application/json", headers=HEADERS)

    app.add_route("/openapi.json", answer, include_in_schema=False)


def describe(app: FastAPI) -> Schema:
    """The whole document; FastAPI's own, and how a caller shows who he is."""
    document = FastAPI.openapi(app)
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "The app: the user's JWT. The merchant: the API key.",
    }
    for create, (place, pointer) in _LINKED.items():
        if create in document["paths"]:
            _link(document["paths"], create, place, pointer)
    return document


_LINKED = {
    "/api/mobile-app/orders": ("orderId", "orderId"),
    "/api/mobile-app/payments/methods": ("id", "id"),
    "/api/orders": ("orderId", "orderId"),
}
"""By the path of a POST: the parameter of paths below that names what it made, and where its answer
has it."""


def _link(paths: Schema, create: str, place: str, pointer: str) -> None:
    """From the answer that made something to everything that can be done with it."""
    parameters = {place: f"$response.body#/data/{pointer}"}
    paths[create]["post"]["responses"]["200"]["links"] = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": parameters,
        }
        for path, methods in paths.items()
        if path.startswith(f"{create}/{{{place}}}")
        for operation in methods.values()
    }


def _answer(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
