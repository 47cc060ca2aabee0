"""What the three control servers share: orders in memory, and a pay route that only translates.

Each control is one `process_payment` function. This part is sane on purpose (amounts in minor
units, prices from a price list, an order that is known to be paid is refused), so that a finding
of the audit is about the payment function and nothing else.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import jwt
import stripe
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass(frozen=True)
class Charge:
    """What a payment function is given for one pay request."""

    user_id: str
    order_id: str
    amount_minor: int
    currency: str
    payment_method_id: str


ProcessPayment = Callable[[stripe.StripeClient, Charge], stripe.PaymentIntent]


@dataclass
class _Order:
    user_id: str
    amount_minor: int
    currency: str
    is_paid: bool = False


class Shop:
    """Products and orders of one control server, and its routes."""

    def __init__(self, client: stripe.StripeClient, process_payment: ProcessPayment) -> None:
        self._client = client
        self._process_payment = process_payment
        self._products: dict[str, tuple[int, str]] = {}
        self._orders: dict[str, _Order] = {}

    def build_app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/healthz", lambda _: Response("ok")),
                Route("/api/products", self.put_products, methods=["PUT"]),
                Route("/api/mobile-app/orders", self.create_order, methods=["POST"]),
                Route("/api/mobile-app/orders/{order_id}/pay", self.pay, methods=["POST"]),
            ]
        )

    async def put_products(self, request: Request) -> Response:
        for product in (await request.json())["products"]:
            price = (product["amountMinor"], product["currency"])
            self._products[product["productId"]] = price
        return _success("Products stored", {})

    async def create_order(self, request: Request) -> Response:
        items = (await request.json())["items"]
        prices = [self._products[item["productId"]] for item in items]
        total = sum(price[0] * item["quantity"] for price, item in zip(prices, items, strict=True))
        order_id = str(uuid.uuid4())
        self._orders[order_id] = _Order(_user_id(request), total, prices[0][1])
        data = {"orderId": order_id, "amountMinor": total, "currency": prices[0][1]}
        return _success("Order created successfully", data)

    async def pay(self, request: Request) -> Response:
        order_id = request.path_params["order_id"]
        order = self._orders.get(order_id)
        if order is None or order.user_id != _user_id(request):
            return _error(404, "Order not found")
        if order.is_paid:
            return _error(400, "Order is already paid")
        method = (await request.json())["paymentToken"]
        charge = Charge(order.user_id, order_id, order.amount_minor, order.currency, method)
        try:
            intent = await run_in_threadpool(self._process_payment, self._client, charge)
        except stripe.CardError as error:
            return _error(402, error.user_message or "Payment failed")
        except stripe.InvalidRequestError as error:
            return _error(400, error.user_message or "Payment failed")
        except stripe.StripeError as error:
            return _error(500, error.user_message or "Payment failed")
        if intent.status != "succeeded":
            data = {"paymentIntentId": intent.id, "clientSecret": intent.client_secret}
            return JSONResponse(
                {"status": "requires_action", "message": "Authentication required", "data": data}
            )
        order.is_paid = True
        return _success("Payment processed successfully", {"orderId": order_id})


def _user_id(request: Request) -> str:
    """The token's user. Its signature is not looked at: a control has nothing to protect."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    return str(jwt.decode(token, options={"verify_signature": False})["sub"])


def _success(message: str, data: dict[str, object]) -> Response:
    return JSONResponse({"status": "success", "message": message, "data": data})


def _error(status: int, detail: str) -> Response:
    body = {"status": "error", "message": "Payment failed", "errors": [detail]}
    return JSONResponse(body, status)
