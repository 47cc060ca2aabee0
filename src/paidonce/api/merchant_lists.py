"""The merchant's routes that read: all orders and payments, and the evidence of one order."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi, views
from paidonce.api.auth import LONGEST_USER_ID, Authentication, is_user_id
from paidonce.api.envelope import respond, success
from paidonce.api.fields import time_of
from paidonce.api.schemas import (
    LONGEST_ID,
    LONGEST_STRIPE_ID,
    as_order_id,
    merchant_page_of,
    order_id_of,
)
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.merchant import (
    ORDER_STATUSES,
    PAYMENT_STATUSES,
    MerchantPayment,
    OrderFilter,
    PaymentFilter,
    Timeline,
)
from paidonce.domain.money import to_major

_TEXT: openapi.Schema = {"type": "string", "minLength": 1}
_TIME: openapi.Schema = {"type": "string", "format": "date-time"}
_BOTH = {
    "userId": {**_TEXT, "maxLength": LONGEST_USER_ID},
    "orderNumber": {**_TEXT, "maxLength": LONGEST_ID},
    "createdFrom": _TIME,
    "createdTo": _TIME,
}
ORDER_FILTERS = {**_BOTH, "status": {"type": "string", "enum": list(ORDER_STATUSES)}}
PAYMENT_FILTERS = {
    **_BOTH,
    "status": {"type": "string", "enum": list(PAYMENT_STATUSES)},
    "orderId": {"type": "string", "format": "uuid"},
    "stripePaymentIntentId": {**_TEXT, "maxLength": LONGEST_STRIPE_ID},
}


class MerchantListRoutes:
    """Reading changes nothing and asks nothing of Stripe."""

    def __init__(self, use_cases: UseCases, authentication: Authentication) -> None:
        self._use_cases = use_cases
        self._authentication = authentication

    def add_to(self, app: FastAPI | APIRouter) -> None:
        for path, handler, filters in (
            ("/api/orders", self.list_orders, ORDER_FILTERS),
            ("/api/payments", self.list_payments, PAYMENT_FILTERS),
        ):
            openapi.add(app, "GET", path, handler, is_list=True, filters=filters)
        openapi.add(app, "GET", "/api/orders/{orderId}/timeline", self.get_timeline)

    async def list_orders(self, request: Request) -> Response:
        """Orders of all users, newest first."""
        self._authentication.merchant(request)
        query = _Query(request)
        wanted = OrderFilter(
            user_id=query.user_id(),
            status=query.one_of("status", ORDER_STATUSES),
            order_number=query.text("orderNumber", LONGEST_ID),
            created_from=query.time("createdFrom"),
            created_to=query.time("createdTo"),
        )
        size = merchant_page_of(request, ORDER_FILTERS)
        page = await self._use_cases.list_merchant_orders(wanted, *size)
        data = [views.merchant_order_detail(order) for order in page.items]
        message = "Orders retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def list_payments(self, request: Request) -> Response:
        """Payments of all users that were tried at least once, newest first."""
        self._authentication.merchant(request)
        query = _Query(request)
        wanted = PaymentFilter(
            user_id=query.user_id(),
            status=query.one_of("status", PAYMENT_STATUSES),
            order_id=query.order_id(),
            order_number=query.text("orderNumber", LONGEST_ID),
            stripe_payment_intent_id=query.text("stripePaymentIntentId", LONGEST_STRIPE_ID),
            created_from=query.time("createdFrom"),
            created_to=query.time("createdTo"),
        )
        size = merchant_page_of(request, PAYMENT_FILTERS)
        page = await self._use_cases.list_merchant_payments(wanted, *size)
        data = [merchant_payment(payment) for payment in page.items]
        message = "Payments retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def get_timeline(self, request: Request) -> Response:
        """Everything that happened to an order, with the ids to look it up at Stripe."""
        self._authentication.merchant(request)
        order, timeline = await self._use_cases.get_timeline(order_id_of(request))
        data = {**views.merchant_order_detail(order), **timeline_data(timeline)}
        return respond(request, success("Timeline retrieved successfully", data))


class _Query:
    """Filters of a list; one that is empty filters nothing."""

    def __init__(self, request: Request) -> None:
        self._given = request.query_params

    def text(self, name: str, longest: int) -> str | None:
        value = self._given.get(name) or None
        if value is not None and (len(value) > longest or not value.isprintable()):
            raise errors.invalid_request(
                f"{name} must be a string of 1 to {longest} printable characters."
            )
        return value

    def user_id(self) -> str | None:
        value = self._given.get("userId") or None
        if value is not None and not is_user_id(value):
            raise errors.invalid_request("userId is not the id of a user.")
        return value

    def order_id(self) -> str | None:
        value = self._given.get("orderId") or None
        return None if value is None else as_order_id(value)

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self._given.get(name) or None
        if value is not None and value not in known:
            raise errors.invalid_request(f"{name} must be one of {', '.join(known)}.")
        return value

    def time(self, name: str) -> datetime | None:
        value = self._given.get(name) or None
        return None if value is None else time_of(name, value.replace(" ", "+"))


def merchant_payment(payment: MerchantPayment) -> dict[str, Any]:
    """As for the app, and what only the merchant is to know."""
    summary = payment.summary
    data = {
        **views.payment_summary(summary),
        "userId": payment.user_id,
        "orderNumber": payment.order_number,
        "generation": payment.generation,
        "createdAt": views.timestamp(payment.created_at),
        "stripeChargeId": payment.stripe_charge_id,
        "amountRefunded": to_major(payment.amount_refunded_minor, summary.currency),
        "amountRefundedMinor": payment.amount_refunded_minor,
    }
    if payment.amount_captured_minor is not None:
        data["amountCapturedMinor"] = payment.amount_captured_minor
    if payment.capture_before is not None:
        data["captureBefore"] = views.timestamp(payment.capture_before)
    if summary.status == "failed":
        data["errorCode"] = payment.error_code
        data["declineCode"] = payment.decline_code
    return data


def timeline_data(timeline: Timeline) -> dict[str, Any]:
    return {
        "payments": [_with_times(payment) for payment in timeline.payments],
        "timeline": [
            {"at": views.timestamp(entry.at), "kind": entry.kind, **_with_times(entry.about)}
            for entry in timeline.entries
        ],
        "isComplete": timeline.is_complete,
    }


def _with_times(value: Any) -> Any:
    """Times as the API writes them, however deep they stand."""
    if isinstance(value, datetime):
        return views.timestamp(value)
    if isinstance(value, dict):
        return {name: _with_times(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_times(inner) for inner in value]
    return value
