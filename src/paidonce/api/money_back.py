"""The merchant's routes of what goes back: refunds and disputes."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi
from paidonce.api.auth import MERCHANT, Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import Answer, respond, success
from paidonce.api.fields import Fields
from paidonce.api.idempotency import Idempotency, request_key_of
from paidonce.api.money_back_views import dispute_view, refund_view
from paidonce.api.schemas import as_order_id, merchant_page_of, order_id_of
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.errors import NextStep
from paidonce.domain.model import Page
from paidonce.domain.money import MAX_AMOUNT_MINOR
from paidonce.domain.money_back import DISPUTE_STATUSES, REFUND_REASONS, RefundCommand, RefundView

REFUND_STATUSES = (
    "processing",
    "pending",
    "requires_action",
    "succeeded",
    "failed",
    "canceled",
    "refused",
)
NOT_FINAL = frozenset({"processing", "pending", "requires_action"})
LONGEST_STATUS = 40
_PAYMENT_ID = re.compile(r"pay_[0-9a-f]{32}", re.ASCII)
_REFUND_BODY: openapi.Schema = {
    "type": "object",
    "properties": {
        "amountMinor": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_AMOUNT_MINOR},
        "reason": {"type": ["string", "null"], "enum": [*REFUND_REASONS, None]},
        "paymentId": {"type": ["string", "null"], "pattern": f"^{_PAYMENT_ID.pattern}$"},
    },
    "description": "Without amountMinor all that is left goes back.",
}
_ORDER_ID: openapi.Schema = {"type": "string", "format": "uuid"}
_REFUND_FILTERS: openapi.Schema = {
    "status": {"type": "string", "enum": list(REFUND_STATUSES)},
    "orderId": _ORDER_ID,
}
_DISPUTE_FILTERS: openapi.Schema = {
    "status": {"type": "string", "enum": list(DISPUTE_STATUSES)},
    "orderId": _ORDER_ID,
}


class MoneyBackRoutes:
    """Refunds are asked for, and listed with those that others made; disputes are listed."""

    def __init__(
        self, use_cases: UseCases, authentication: Authentication, idempotency: Idempotency
    ) -> None:
        self._use_cases = use_cases
        self._authentication = authentication
        self._idempotency = idempotency

    def add_to(self, app: FastAPI | APIRouter) -> None:
        refunds = "/api/orders/{orderId}/refunds"
        openapi.add(
            app,
            "POST",
            refunds,
            self.refund,
            _REFUND_BODY,
            is_body_optional=True,
            is_key_required=True,
        )
        openapi.add(app, "GET", refunds, self.list_refunds_of_order, is_list=True)
        path, filters = "/api/refunds", _REFUND_FILTERS
        openapi.add(app, "GET", path, self.list_refunds, is_list=True, filters=filters)
        path, filters = "/api/disputes", _DISPUTE_FILTERS
        openapi.add(app, "GET", path, self.list_disputes, is_list=True, filters=filters)

    async def refund(self, request: Request) -> Response:
        """Give money back, all that is left or a part; once for every Idempotency-Key."""
        self._authentication.merchant(request)
        order_id = order_id_of(request)
        raw, body = read_json_object(request, is_empty_allowed=True)
        found = request_key_of(request, MERCHANT, raw)
        if found is None:
            raise errors.invalid_request("Idempotency-Key is required: it makes a refund one.")
        command = _command(order_id, found.key, body)

        async def work() -> Answer:
            return _refund_answer(await self._use_cases.refund_order(command))

        return await self._idempotency.answer(request, MERCHANT, raw, work)

    async def list_refunds_of_order(self, request: Request) -> Response:
        """The refunds of one order, newest first, whoever made them."""
        self._authentication.merchant(request)
        order_id = order_id_of(request)
        page = await self._use_cases.list_refunds_of_order(order_id, *merchant_page_of(request))
        return _list(request, "Refunds", page, refund_view)

    async def list_refunds(self, request: Request) -> Response:
        """Refunds of all orders, newest first."""
        self._authentication.merchant(request)
        page = await self._use_cases.list_refunds(
            *merchant_page_of(request, _REFUND_FILTERS),
            _order_id(request),
            _status(request, REFUND_STATUSES),
        )
        return _list(request, "Refunds", page, refund_view)

    async def list_disputes(self, request: Request) -> Response:
        """Disputes of all orders, newest first; `status` in Stripe's words."""
        self._authentication.merchant(request)
        page = await self._use_cases.list_disputes(
            *merchant_page_of(request, _DISPUTE_FILTERS),
            _order_id(request),
            _status(request, DISPUTE_STATUSES),
        )
        return _list(request, "Disputes", page, dispute_view)


def _command(order_id: str, key: str, body: Mapping[str, Any]) -> RefundCommand:
    fields = Fields(dict(body))
    amount_minor, payment_id = None, body.get("paymentId")
    if body.get("amountMinor") is not None:
        amount_minor = fields.integer("amountMinor", 1, MAX_AMOUNT_MINOR)
    reason = fields.text("reason", LONGEST_STATUS)
    if reason is not None and reason not in REFUND_REASONS:
        raise errors.invalid_request(f"reason must be one of {', '.join(REFUND_REASONS)}.")
    if payment_id is not None and not _PAYMENT_ID.fullmatch(str(payment_id)):
        raise errors.invalid_request("paymentId is not the id of a payment.")
    return RefundCommand(order_id, key, amount_minor, reason, payment_id)


def _order_id(request: Request) -> str | None:
    given = request.query_params.get("orderId") or None
    return None if given is None else as_order_id(given)


def _status(request: Request, known: tuple[str, ...]) -> str | None:
    status = request.query_params.get("status") or None
    if status is not None and status not in known:
        raise errors.invalid_request(f"status must be one of {', '.join(known)}.")
    return status


def _refund_answer(refund: RefundView) -> Answer:
    """What is not final says `wait`: the same request again tells how it stands."""
    next_step = NextStep.WAIT if refund.status in NOT_FINAL else NextStep.DONE
    message = f"Refund {refund.status.replace('_', ' ')}"
    return success(message, refund_view(refund), next_step=next_step)


def _list(request: Request, what: str, page: Page[Any], view: Any) -> Response:
    data = [view(item) for item in page.items]
    message = f"{what} retrieved successfully"
    return respond(request, success(message, data, nextCursor=page.next_cursor))
