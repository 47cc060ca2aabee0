"""The usual repair of the server that paidonce replaces: attach, then create a confirmed intent.

It is here to be compared with. What surrounds the payment is sane on purpose (prices from a list,
amounts in minor units, a paid order is not paid again), so that what the demo shows comes from the
one function `_charge`, which follows the common advice step by step:
attach the PaymentMethod to the user's Customer, then create and confirm a PaymentIntent.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from paidonce.demo.body import json_object
from paidonce.demo.simulator import Simulator

Json = dict[str, Any]
METHOD_ID = re.compile(r"pm_[A-Za-z0-9_]{1,100}")  # it becomes part of a path
MOST_OF_A_PRODUCT = 1000


@dataclass
class _Order:
    user_id: str
    amount_minor: int
    currency: str
    is_paid: bool = False


class Refused(Exception):
    """An answer that is no success: its HTTP status and the text for the app."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Repair:
    """Orders and customers in memory, and the two routes that the app calls to pay."""

    def __init__(
        self, simulator: Simulator, products: list[Json], jwt_secret: str, return_url: str
    ) -> None:
        self._simulator = simulator
        self._prices = {item["productId"]: item["amountMinor"] for item in products}
        self._currency = products[0]["currency"]
        self._jwt_secret = jwt_secret
        self._return_url = return_url
        self._orders: dict[str, _Order] = {}
        self._customers: dict[str, str] = {}

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/orders", self.create_order, methods=["POST"]),
            Route("/orders/{order_id}/pay", self.pay, methods=["POST"]),
        ]

    async def create_order(self, request: Request) -> Response:
        try:
            user_id = self._user_id(request)
            total = self._total((await json_object(request)).get("items"))
        except Refused as refused:
            return _error(refused)
        order_id = str(uuid.uuid4())
        self._orders[order_id] = _Order(user_id, total, self._currency)
        data = {"orderId": order_id, "totalAmount": total / 100, "status": "pending"}
        return _success("Order created successfully", data)

    async def pay(self, request: Request) -> Response:
        order_id = request.path_params["order_id"]
        try:
            order = self._find(order_id, self._user_id(request))
            if order.is_paid:
                raise Refused(400, "Order is already paid")
            method_id = (await json_object(request)).get("paymentToken")
            if not (isinstance(method_id, str) and METHOD_ID.fullmatch(method_id)):
                raise Refused(400, "Payment method not found")
            intent = await self._charge(order_id, order, method_id)
        except Refused as refused:
            return _error(refused)
        except ConnectionError as error:
            return _error(Refused(500, str(error)))
        if intent["status"] != "succeeded":
            data = {"paymentIntentId": intent["id"], "clientSecret": intent["client_secret"]}
            return _envelope(200, "requires_action", "Additional authentication required", data)
        order.is_paid = True
        data = {"paymentId": intent["id"], "orderId": order_id, "amount": order.amount_minor / 100}
        return _success("Payment processed successfully", {**data, "status": "succeeded"})

    # --- the advice, step by step ----------------------------------------------------------------

    async def _charge(self, order_id: str, order: _Order, method_id: str) -> Json:
        customer_id = await self._ensure_customer(order.user_id)
        path = f"/v1/payment_methods/{method_id}/attach"
        await self._call(path, {"customer": customer_id})
        params = {
            "amount": str(order.amount_minor),
            "currency": order.currency,
            "customer": customer_id,
            "payment_method": method_id,
            "confirmation_method": "manual",
            "confirm": "true",
            "return_url": self._return_url,
            "metadata[order_id]": order_id,
        }
        return await self._call("/v1/payment_intents", params)

    async def _ensure_customer(self, user_id: str) -> str:
        if user_id not in self._customers:
            customer = await self._call("/v1/customers", {"metadata[user_id]": user_id})
            self._customers[user_id] = customer["id"]
        return self._customers[user_id]

    async def _call(self, path: str, params: dict[str, str]) -> Json:
        status, answer = await self._simulator.post(path, params)
        if status >= 400:
            raise Refused(402 if status == 402 else 400, answer["error"]["message"])
        return answer

    # --- what is the same everywhere -------------------------------------------------------------

    def _total(self, items: Any) -> int:
        """Of at least one product, each at least once."""
        try:
            quantities = [(self._prices[item["productId"]], item["quantity"]) for item in items]
        except (KeyError, TypeError):
            raise Refused(400, "The order cannot be understood") from None
        are_right = all(type(n) is int and 0 < n <= MOST_OF_A_PRODUCT for _, n in quantities)
        if not (quantities and are_right):
            raise Refused(400, "The order cannot be understood")
        return sum(price * n for price, n in quantities)

    def _find(self, order_id: str, user_id: str) -> _Order:
        order = self._orders.get(order_id)
        if order is None or order.user_id != user_id:
            raise Refused(404, "Order not found")
        return order

    def _user_id(self, request: Request) -> str:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            return str(jwt.decode(token, self._jwt_secret, algorithms=["HS256"])["sub"])
        except (jwt.PyJWTError, KeyError):
            raise Refused(401, "Authentication required") from None


def _success(message: str, data: Json) -> Response:
    return _envelope(200, "success", message, data)


def _envelope(status: int, word: str, message: str, data: Json) -> Response:
    return JSONResponse({"status": word, "message": message, "data": data}, status)


def _error(refused: Refused) -> Response:
    body = {"status": "error", "message": "Payment failed", "errors": [str(refused)]}
    return JSONResponse(body, refused.status)
