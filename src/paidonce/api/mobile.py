"""The routes of the shipped app. Each one: who, what, one use case, its answer."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi, views
from paidonce.api.auth import Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import REQUEST_ID, Answer, respond, success
from paidonce.api.fields import Fields
from paidonce.api.idempotency import Idempotency
from paidonce.api.schemas import (
    order_id_of,
    page_of,
    parse_new_order,
    payment_intent_of,
    payment_method_of,
)
from paidonce.api.shell import CLIENT_ADDRESS
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.model import PayCommand

PREFIX = "/api/mobile-app"


class MobileRoutes:
    """Orders and payments of the user whom the token names."""

    def __init__(
        self, use_cases: UseCases, authentication: Authentication, idempotency: Idempotency
    ) -> None:
        self._use_cases = use_cases
        self._authentication = authentication
        self._idempotency = idempotency

    def add_to(self, app: FastAPI) -> None:
        orders = f"{PREFIX}/orders"
        order = f"{orders}/{{orderId}}"
        openapi.add(app, "POST", orders, self.create_order, openapi.NEW_ORDER)
        openapi.add(app, "GET", orders, self.list_orders, is_list=True)
        openapi.add(app, "GET", order, self.get_order)
        openapi.add(app, "POST", f"{order}/pay", self.pay, openapi.PAY)
        openapi.add(app, "POST", f"{order}/pay/confirm", self.confirm, openapi.CONFIRM)
        openapi.add(app, "GET", f"{order}/payment", self.payment_status)
        openapi.add(app, "GET", f"{PREFIX}/payments", self.list_payments, is_list=True)

    async def create_order(self, request: Request) -> Response:
        """Place an order at the server's prices."""
        user = await self._authentication.user(request)
        raw, body = await read_json_object(request)

        async def work() -> Answer:
            order = await self._use_cases.create_order(user, parse_new_order(body))
            return views.order_created(order)

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def list_orders(self, request: Request) -> Response:
        """The user's orders, newest first."""
        user = await self._authentication.user(request)
        page = await self._use_cases.list_orders(user.user_id, *page_of(request))
        data = [views.order_detail(order) for order in page.items]
        message = "Orders retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def get_order(self, request: Request) -> Response:
        """One order of the user."""
        user = await self._authentication.user(request)
        order = await self._use_cases.get_order(user.user_id, order_id_of(request))
        data = views.order_detail(order)
        return respond(request, success("Order retrieved successfully", data))

    async def pay(self, request: Request) -> Response:
        """Pay an order. Repeating the request is always safe; a paid order answers success."""
        user = await self._authentication.user(request)
        order_id = order_id_of(request)
        raw, body = await read_json_object(request)
        address: str = request.scope[CLIENT_ADDRESS]

        async def work() -> Answer:
            payment_method_id = payment_method_of(body)
            payment_intent_id = payment_intent_of(body)
            save_payment_method = Fields(body).boolean("savePaymentMethod")
            if payment_method_id is not None:
                command = PayCommand(
                    user_id=user.user_id,
                    order_id=order_id,
                    payment_method_id=payment_method_id,
                    save_payment_method=save_payment_method,
                    request_id=request.scope[REQUEST_ID],
                    client_address=address,
                )
                return views.payment_outcome(await self._use_cases.pay(command))
            if payment_intent_id is None:
                raise errors.invalid_request(
                    "paymentMethodId is required: a PaymentMethod (pm_…) of the card to charge."
                )
            outcome = await self._use_cases.confirm(user.user_id, order_id, payment_intent_id)
            return views.payment_outcome(outcome)

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def confirm(self, request: Request) -> Response:
        """Go on after the app's 3-D Secure; safe any number of times."""
        user = await self._authentication.user(request)
        order_id = order_id_of(request)
        raw, body = await read_json_object(request, is_empty_allowed=True)

        async def work() -> Answer:
            payment_intent_id = payment_intent_of(body)
            outcome = await self._use_cases.confirm(user.user_id, order_id, payment_intent_id)
            return views.payment_outcome(outcome)

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def payment_status(self, request: Request) -> Response:
        """Where an order's payment stands, for an app that was closed while paying."""
        user = await self._authentication.user(request)
        payment = await self._use_cases.payment_status(user.user_id, order_id_of(request))
        return respond(request, views.payment_status(payment))

    async def list_payments(self, request: Request) -> Response:
        """The user's payments, newest first."""
        user = await self._authentication.user(request)
        page = await self._use_cases.list_payments(user.user_id, *page_of(request))
        data = [views.payment_summary(payment) for payment in page.items]
        message = "Payments retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))
