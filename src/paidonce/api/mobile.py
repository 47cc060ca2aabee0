"""The routes of the shipped app. Each one: who, what, one use case, its answer."""

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi, views
from paidonce.api.admission import PLACE
from paidonce.api.auth import Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import ORDER_ID, REQUEST_ID, Answer, respond, success
from paidonce.api.fields import Fields
from paidonce.api.idempotency import Idempotency, request_key_of
from paidonce.api.schemas import (
    device_of,
    method_to_save_of,
    order_id_of,
    page_of,
    parse_new_order,
    payment_intent_of,
    payment_method_of,
    saved_method_id_of,
    stripe_version_of,
)
from paidonce.api.shell import CLIENT_ADDRESS
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.model import PayCommand, Principal, SaveMethod, SetUpCard
from paidonce.domain.sheet import SheetRequest

PREFIX = "/api/mobile-app"


class MobileRoutes:
    """Orders, payments and saved cards of the user whom the token names."""

    def __init__(
        self, use_cases: UseCases, authentication: Authentication, idempotency: Idempotency
    ) -> None:
        self._use_cases = use_cases
        self._authentication = authentication
        self._idempotency = idempotency

    def add_to(self, app: FastAPI | APIRouter) -> None:
        orders = f"{PREFIX}/orders"
        order = f"{orders}/{{orderId}}"
        openapi.add(app, "POST", orders, self.create_order, openapi.NEW_ORDER)
        openapi.add(app, "GET", orders, self.list_orders, is_list=True)
        openapi.add(app, "GET", order, self.get_order)
        openapi.add(app, "POST", f"{order}/pay", self.pay, openapi.PAY)
        openapi.add(app, "POST", f"{order}/pay/confirm", self.confirm, openapi.CONFIRM)
        openapi.add(app, "GET", f"{order}/payment", self.payment_status)
        openapi.add(app, "POST", f"{order}/payment-sheet", self.payment_sheet, openapi.SHEET)
        openapi.add(app, "GET", f"{PREFIX}/payments", self.list_payments, is_list=True)
        methods = f"{PREFIX}/payments/methods"
        openapi.add(app, "GET", methods, self.list_methods, is_list=True)
        openapi.add(app, "POST", methods, self.save_method, openapi.SAVE_METHOD)
        openapi.add(app, "POST", f"{PREFIX}/payments/setup", self.set_up_card, openapi.SET_UP_CARD)
        openapi.add(app, "DELETE", f"{methods}/{{id}}", self.delete_method)
        openapi.add(app, "PUT", f"{methods}/{{id}}/default", self.set_default_method)

    async def create_order(self, request: Request) -> Response:
        """Place an order at the server's prices."""
        user = await self._user(request)
        raw, body = read_json_object(request)
        principal = f"user={user.user_id}"

        async def work() -> Answer:
            basket = parse_new_order(body, request_key_of(request, principal, raw))
            order = await self._use_cases.create_order(user, basket)
            request.scope[ORDER_ID] = order.id
            return views.order_created(order)

        return await self._idempotency.answer(request, principal, raw, work)

    async def list_orders(self, request: Request) -> Response:
        """The user's orders, newest first."""
        user = await self._user(request)
        page = await self._use_cases.list_orders(user.user_id, *page_of(request))
        data = [views.order_detail(order) for order in page.items]
        message = "Orders retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def get_order(self, request: Request) -> Response:
        """One order of the user."""
        user = await self._user(request)
        order = await self._use_cases.get_order(user.user_id, order_id_of(request))
        data = views.order_detail(order)
        return respond(request, success("Order retrieved successfully", data))

    async def pay(self, request: Request) -> Response:
        """Pay an order. Repeating the request is always safe; a paid order answers success."""
        user = await self._user(request)
        order_id = order_id_of(request)
        raw, body = read_json_object(request)
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
                    device_id=device_of(request),
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
        user = await self._user(request)
        order_id = order_id_of(request)
        raw, body = read_json_object(request, is_empty_allowed=True)

        async def work() -> Answer:
            payment_intent_id = payment_intent_of(body)
            outcome = await self._use_cases.confirm(user.user_id, order_id, payment_intent_id)
            return views.payment_outcome(outcome)

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def payment_sheet(self, request: Request) -> Response:
        """What Stripe's payment sheet is opened with. Nothing of it is kept under a key."""
        user = await self._user(request)
        order_id = order_id_of(request)
        raw, body = read_json_object(request, is_empty_allowed=True)
        address: str = request.scope[CLIENT_ADDRESS]

        async def work() -> Answer:
            version, device = stripe_version_of(body), device_of(request)
            asked = SheetRequest(user.user_id, order_id, version, address, device)
            return views.payment_sheet(await self._use_cases.open_payment_sheet(asked))

        principal = f"user={user.user_id}"
        return await self._idempotency.answer(request, principal, raw, work, keeps=False)

    async def payment_status(self, request: Request) -> Response:
        """Where an order's payment stands, for an app that was closed while paying."""
        user = await self._user(request)
        payment = await self._use_cases.payment_status(user.user_id, order_id_of(request))
        return respond(request, views.payment_status(payment))

    async def list_payments(self, request: Request) -> Response:
        """The user's payments, newest first."""
        user = await self._user(request)
        page = await self._use_cases.list_payments(user.user_id, *page_of(request))
        data = [views.payment_summary(payment) for payment in page.items]
        message = "Payments retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def list_methods(self, request: Request) -> Response:
        """The cards that the user asked to keep, newest first."""
        user = await self._user(request)
        page = await self._use_cases.list_methods(user.user_id, *page_of(request))
        data = [views.saved_method(method) for method in page.items]
        message = "Payment methods retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def save_method(self, request: Request) -> Response:
        """Keep a card; one that is kept already is answered as it is."""
        user = await self._user(request)
        raw, body = read_json_object(request)
        address: str = request.scope[CLIENT_ADDRESS]

        async def work() -> Answer:
            method_id, is_default = method_to_save_of(body)
            command = SaveMethod(user, method_id, is_default, address, device_of(request))
            method = await self._use_cases.save_method(command)
            return success("Payment method saved successfully", views.saved_method(method))

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def set_up_card(self, request: Request) -> Response:
        """Begin to save a card without paying; the app confirms it with Stripe's SDK."""
        user = await self._user(request)
        raw, body = read_json_object(request, is_empty_allowed=True)
        address: str = request.scope[CLIENT_ADDRESS]

        async def work() -> Answer:
            is_default = Fields(body).boolean("isDefault")
            command = SetUpCard(user, is_default, address, device_of(request))
            return views.card_setup(await self._use_cases.set_up_card(command))

        return await self._idempotency.answer(request, f"user={user.user_id}", raw, work)

    async def delete_method(self, request: Request) -> Response:
        """Forget a card, every entry of it, for good."""
        user = await self._user(request)
        method_id = saved_method_id_of(request)
        deleted_id = await self._use_cases.delete_method(user.user_id, method_id)
        return respond(request, success("Payment method deleted successfully", {"id": deleted_id}))

    async def set_default_method(self, request: Request) -> Response:
        """The card to offer first; no card is ever charged without being named."""
        user = await self._user(request)
        method_id = saved_method_id_of(request)
        method = await self._use_cases.set_default_method(user.user_id, method_id)
        message = "Default payment method updated successfully"
        return respond(request, success(message, views.saved_method(method)))

    async def _user(self, request: Request) -> Principal:
        """The token's user, in whose name the request goes on: he may hold so many places. Who
        waits for the issuer's keys holds none, and keeps nobody of his address out."""
        place = request.scope[PLACE]
        place.leave()
        user = await self._authentication.user(request)
        place.hold(f"user={user.user_id}")
        return user
