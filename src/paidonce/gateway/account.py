"""Reading what is on a Stripe account, whoever made it. Nothing but GETs; with `ReadOnlyTransport`
under the gateway nothing else can be sent."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from paidonce.domain.account import (
    AccountCharge,
    AccountCustomer,
    AccountEvent,
    AccountIntent,
    AccountMethod,
)
from paidonce.domain.intent import Failure, ListPage, Window
from paidonce.gateway.client import EVER, StripeGateway
from paidonce.gateway.lists import PAGE_SIZE, list_page, list_query
from paidonce.gateway.translate import DEAD_METHOD_TEXT, translate_method, translate_status

Shape = TypeVar("Shape")
Json = Mapping[str, Any]


class AccountReader:
    """Pages of Stripe's lists, newest first, from behind the object `after`."""

    def __init__(self, gateway: StripeGateway) -> None:
        self._gateway = gateway

    async def list_customers(
        self, after: str | None, time_left: float, window: Window = EVER
    ) -> ListPage[AccountCustomer] | Failure:
        """GET /v1/customers. Deleted ones are in no list."""
        return await self._page("/v1/customers", list_query(window, after), time_left, _customer)

    async def list_intents(
        self,
        after: str | None,
        time_left: float,
        window: Window = EVER,
        customer_id: str | None = None,
    ) -> ListPage[AccountIntent] | Failure:
        """GET /v1/payment_intents, of a customer where one is named."""
        query = list_query(window, after) | _of(customer_id)
        return await self._page("/v1/payment_intents", query, time_left, _intent)

    async def list_charges(
        self,
        after: str | None,
        time_left: float,
        window: Window = EVER,
        customer_id: str | None = None,
    ) -> ListPage[AccountCharge] | Failure:
        """GET /v1/charges, of a customer where one is named: of intents and without, declined ones
        too."""
        query = list_query(window, after) | _of(customer_id)
        return await self._page("/v1/charges", query, time_left, _charge)

    async def list_events(
        self, types: Sequence[str], since: datetime, after: str | None, time_left: float
    ) -> ListPage[AccountEvent] | Failure:
        """GET /v1/events of these types (20 at most) from that time on; Stripe keeps 30 days."""
        query = list_query(Window(since), after) | {"types": list(types)}
        return await self._page("/v1/events", query, time_left, _event)

    async def retrieve_intent(self, intent_id: str, time_left: float) -> AccountIntent | Failure:
        """GET /v1/payment_intents/:id."""
        return await self._read("/v1/payment_intents", intent_id, time_left, _intent)

    async def retrieve_charge(self, charge_id: str, time_left: float) -> AccountCharge | Failure:
        """GET /v1/charges/:id."""
        return await self._read("/v1/charges", charge_id, time_left, _charge)

    async def retrieve_customer(
        self, customer_id: str, time_left: float
    ) -> AccountCustomer | Failure:
        """GET /v1/customers/:id. A deleted one has neither e-mail nor metadata."""
        return await self._read("/v1/customers", customer_id, time_left, _customer)

    async def list_methods(
        self, customer_id: str, after: str | None, time_left: float
    ) -> ListPage[AccountMethod] | Failure:
        """GET /v1/customers/:id/payment_methods: all that are attached to it."""
        path = f"/v1/customers/{quote(customer_id, safe='')}/payment_methods"
        return await self._page(path, list_query(EVER, after), time_left, _method)

    async def retrieve_method(self, method_id: str, time_left: float) -> AccountMethod | Failure:
        """GET /v1/payment_methods/:id. A dead one is still shown, and nothing says that it is."""
        return await self._read("/v1/payment_methods", method_id, time_left, _method)

    async def list_method_ids(self, customer_id: str, time_left: float) -> list[str] | Failure:
        """GET /v1/customers/:id/payment_methods: the newest 100 that are attached to it."""
        path = f"/v1/customers/{quote(customer_id, safe='')}/payment_methods"
        query = {"limit": PAGE_SIZE}
        return await self._gateway.read(
            path, query, time_left, lambda data: [str(item["id"]) for item in data["data"]]
        )

    async def _read(
        self, path: str, object_id: str, time_left: float, translate: Callable[[Json], Shape]
    ) -> Shape | Failure:
        whole = f"{path}/{quote(object_id, safe='')}"
        return await self._gateway.read(whole, {}, time_left, translate)

    async def _page(
        self,
        path: str,
        query: dict[str, Any],
        time_left: float,
        translate: Callable[[Json], Shape],
    ) -> ListPage[Shape] | Failure:
        return await self._gateway.read(
            path, query, time_left, lambda data: list_page(data, translate)
        )


def _of(customer_id: str | None) -> dict[str, str]:
    return {} if customer_id is None else {"customer": customer_id}


def _customer(data: Json) -> AccountCustomer:
    if data.get("deleted") is True:
        return AccountCustomer(data["id"], None, {}, None)
    return AccountCustomer(data["id"], data.get("email"), _metadata(data), _created(data))


def _method(data: Json) -> AccountMethod:
    checks = ((data.get("card") or {}).get("checks") or {}).values()
    is_checked = any(each not in (None, "unchecked", "unavailable") for each in checks)
    return AccountMethod(translate_method(data), data.get("type") == "card", is_checked)


def _event(data: Json) -> AccountEvent:
    return AccountEvent(data["id"], data["type"], data["data"]["object"]["id"], _created(data))


def _intent(data: Json) -> AccountIntent:
    error = data.get("last_payment_error") or {}
    method = data.get("payment_method") or error.get("payment_method")
    return AccountIntent(
        id=data["id"],
        status=translate_status(data.get("status")),
        amount=data["amount"],
        currency=data["currency"],
        customer=_id(data.get("customer")),
        method_id=_id(method),
        has_consent=data.get("setup_future_usage") is not None,
        is_tried=bool(error or data.get("latest_charge")),
        is_reuse_refused=DEAD_METHOD_TEXT in str(error.get("message") or ""),
        metadata=_metadata(data),
        created_at=_created(data),
    )


def _charge(data: Json) -> AccountCharge:
    details = data.get("payment_method_details") or {}
    return AccountCharge(
        id=data["id"],
        intent_id=_id(data.get("payment_intent")),
        amount=data["amount"],
        amount_refunded=data["amount_refunded"],
        currency=data["currency"],
        is_succeeded=data["status"] == "succeeded" and data["captured"] is True,
        customer=_id(data.get("customer")),
        method_id=_id(data.get("payment_method")),
        fingerprint=(details.get("card") or {}).get("fingerprint"),
        metadata=_metadata(data),
        created_at=_created(data),
    )


def _metadata(data: Json) -> dict[str, str]:
    return dict(data.get("metadata") or {})


def _created(data: Json) -> datetime:
    return datetime.fromtimestamp(data["created"], UTC)


def _id(value: object) -> str | None:
    """An id, whether Stripe gave the id or the object."""
    if isinstance(value, Mapping):
        return str(value["id"])
    return str(value) if value else None
