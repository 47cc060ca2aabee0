"""The routes of the merchant's own server, under its API key."""

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi, views
from paidonce.api.auth import MERCHANT, Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import ORDER_ID, Answer, respond, success
from paidonce.api.fields import Fields
from paidonce.api.idempotency import Idempotency, request_key_of
from paidonce.api.money_back_views import money_back_view
from paidonce.api.schemas import order_id_of, parse_merchant_order
from paidonce.api.usecases import UseCases
from paidonce.domain.money import MAX_AMOUNT_MINOR


class MerchantRoutes:
    """Orders of every user."""

    def __init__(
        self, use_cases: UseCases, authentication: Authentication, idempotency: Idempotency
    ) -> None:
        self._use_cases = use_cases
        self._authentication = authentication
        self._idempotency = idempotency

    def add_to(self, app: FastAPI | APIRouter) -> None:
        order = "/api/orders/{orderId}"
        openapi.add(app, "POST", "/api/orders", self.create_order, openapi.MERCHANT_ORDER)
        openapi.add(app, "GET", order, self.get_order)
        openapi.add(app, "POST", f"{order}/cancel", self.cancel_order, openapi.EMPTY)
        openapi.add(app, "POST", f"{order}/capture", self.capture_order, openapi.CAPTURE)

    async def create_order(self, request: Request) -> Response:
        """Place an order of the host. With an orderId or an Idempotency-Key the same call again
        answers the same order."""
        self._authentication.merchant(request)
        raw, body = read_json_object(request)

        async def work() -> Answer:
            new = parse_merchant_order(body, request_key_of(request, MERCHANT, raw))
            order = await self._use_cases.create_merchant_order(new)
            request.scope[ORDER_ID] = order.id
            return views.order_created(order)

        return await self._idempotency.answer(request, MERCHANT, raw, work)

    async def get_order(self, request: Request) -> Response:
        """One order of any user."""
        self._authentication.merchant(request)
        order_id = order_id_of(request)
        order = await self._use_cases.get_merchant_order(order_id)
        data = views.merchant_order_detail(order)
        data |= money_back_view(await self._use_cases.get_money_back(order_id))
        return respond(request, success("Order retrieved successfully", data))

    async def cancel_order(self, request: Request) -> Response:
        """Cancel an order; refused while a payment of it may still succeed."""
        self._authentication.merchant(request)
        order_id = order_id_of(request)
        raw, _ = read_json_object(request, is_empty_allowed=True)

        async def work() -> Answer:
            order = await self._use_cases.cancel_order(order_id)
            data = views.merchant_order_detail(order)
            return success("Order canceled successfully", data)

        return await self._idempotency.answer(request, MERCHANT, raw, work)

    async def capture_order(self, request: Request) -> Response:
        """Take the money that is held for an order, once: all of it, or a part."""
        self._authentication.merchant(request)
        order_id = order_id_of(request)
        raw, body = read_json_object(request, is_empty_allowed=True)

        async def work() -> Answer:
            amount = Fields(body).optional_integer("amountMinor", 1, MAX_AMOUNT_MINOR)
            order = await self._use_cases.capture_order(order_id, amount)
            data = views.merchant_order_detail(order)
            return success("Order captured successfully", data)

        return await self._idempotency.answer(request, MERCHANT, raw, work)
