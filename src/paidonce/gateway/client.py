"""Every Stripe call the service makes, each with its own idempotency key and its own timeout.

The SDK retries nothing: a send that nobody counted could charge behind our back. Objects come as
`domain.intent` shapes, everything else as a `Failure`; no exception of the SDK leaves this room.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import stripe

from paidonce.domain.clock import Clock, Deadline, SystemClock
from paidonce.domain.intent import (
    Charge,
    Customer,
    EventsPage,
    Failure,
    Intent,
    ListPage,
    Method,
    Reason,
    Refund,
    Window,
)
from paidonce.gateway.circuit import Circuit
from paidonce.gateway.contradictions import about, contradiction, id_of_customer
from paidonce.gateway.key_alarm import KeyAlarm
from paidonce.gateway.lists import PAGE_SIZE, last_of_page, list_page, list_query
from paidonce.gateway.pace import Pace
from paidonce.gateway.translate import (
    translate_charge,
    translate_error,
    translate_intent,
    translate_method,
    translate_refund,
)
from paidonce.gateway.transport import AiohttpTransport, call_timeout_seconds
from paidonce.observability import get_logger, step
from paidonce.settings import StripeSettings

CALL_TIMEOUT_SECONDS = 10.0
EVER = Window()
Shape = TypeVar("Shape")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keyed:
    """A POST as it stands in a committed row: key, form parameters, API version."""

    key: str
    stripe_version: str
    params: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx whose body is an object or a list."""

    data: dict[str, Any] = field(repr=False)
    is_replayed: bool = False
    request_id: str | None = None


class StripeGateway:
    """A Stripe account. `time_left` is in seconds and caps the call's own timeout. A `pace` is
    kept by every call. `transport` carries the SDK's requests, over HTTPS unless given."""

    def __init__(
        self,
        settings: StripeSettings,
        pace: Pace | None = None,
        *,
        transport: stripe.HTTPClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        stripe.enable_telemetry = False
        self._pace = pace
        self._transport = transport or AiohttpTransport()
        self._clock = clock or SystemClock()
        self._circuit = Circuit(self._clock.monotonic)
        self._key_alarm = KeyAlarm(self._clock.monotonic)
        self._is_live = settings.mode == "live"
        self._client = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            stripe_version=stripe.api_version,
            base_addresses={"api": settings.stripe_api_base} if settings.stripe_api_base else None,
            max_network_retries=0,
            http_client=self._transport,
        )

    @property
    def stripe_version(self) -> str:
        """The API version new rows are written for: the SDK's own."""
        return str(stripe.api_version)

    @property
    def is_circuit_open(self) -> bool:
        return self._circuit.is_open

    @property
    def key_complaint(self) -> str | None:
        """What Stripe has against our key, as long as it has."""
        return self._key_alarm.complaint

    async def close(self) -> None:
        await self._transport.close_async()  # type: ignore[no-untyped-call]

    # --- money moves only here -----------------------------------------------------------------

    async def confirm_intent(
        self, intent_id: str, request: Keyed, time_left: float
    ) -> Intent | Failure:
        """POST /v1/payment_intents/:id/confirm. A 402 is Failure(DECLINED)."""
        path = f"/v1/payment_intents/{intent_id}/confirm"
        return about(intent_id, _intent(await self._post("confirm", path, request, time_left)))

    async def capture(self, intent_id: str, request: Keyed, time_left: float) -> Intent | Failure:
        """POST /v1/payment_intents/:id/capture, once; what is not taken is given back."""
        path = f"/v1/payment_intents/{intent_id}/capture"
        return about(intent_id, _intent(await self._post("capture", path, request, time_left)))

    async def create_refund(self, request: Keyed, time_left: float) -> Refund | Failure:
        """POST /v1/refunds. A card refund is answered `succeeded`, and may fail later."""
        answer = await self._post("create_refund", "/v1/refunds", request, time_left)
        refund = _translated(answer, translate_refund)
        if isinstance(refund, Failure) or isinstance(answer, Failure):
            return refund
        return replace(refund, stripe_request_id=answer.request_id)

    # --- harmless: repeated at will --------------------------------------------------------------

    async def create_intent(self, request: Keyed, time_left: float) -> Intent | Failure:
        """POST /v1/payment_intents, never with `confirm`."""
        return _intent(await self._post("create_intent", "/v1/payment_intents", request, time_left))

    async def create_customer(self, request: Keyed, time_left: float) -> str | Failure:
        """POST /v1/customers; the customer's id."""
        answer = await self._post("create_customer", "/v1/customers", request, time_left)
        return id_of_customer(request.params["metadata"], _translated(answer, _customer))

    async def attach_method(
        self, method_id: str, request: Keyed, time_left: float
    ) -> Method | Failure:
        """POST /v1/payment_methods/:id/attach. A card that declines is refused here with a 402."""
        path = f"/v1/payment_methods/{method_id}/attach"
        answer = await self._post("attach", path, request, time_left)
        method = _translated(answer, translate_method)
        if isinstance(method, Failure) or isinstance(answer, Failure):
            return method
        return replace(method, stripe_request_id=answer.request_id)

    async def detach_method(
        self, method_id: str, request: Keyed, time_left: float
    ) -> Method | Failure:
        """POST /v1/payment_methods/:id/detach, for good. Failure(METHOD_UNATTACHED) when it was."""
        path = f"/v1/payment_methods/{method_id}/detach"
        answer = await self._post("detach", path, request, time_left)
        return _translated(answer, translate_method)

    async def cancel_intent(
        self, intent_id: str, request: Keyed, time_left: float
    ) -> Intent | Failure:
        """POST /v1/payment_intents/:id/cancel."""
        path = f"/v1/payment_intents/{intent_id}/cancel"
        return about(intent_id, _intent(await self._post("cancel", path, request, time_left)))

    async def delete_customer(self, customer_id: str, time_left: float) -> Customer | Failure:
        """DELETE /v1/customers/:id, for good; its methods can never be used again. A Failure with
        404 when it was deleted before."""
        path = f"/v1/customers/{quote(customer_id, safe='')}"
        answer = await self._call("delete_customer", "delete", path, {}, {}, time_left)
        return _translated(answer, _customer)

    # --- looking ---------------------------------------------------------------------------------

    async def retrieve_intent(self, intent_id: str, time_left: float) -> Intent | Failure:
        """GET /v1/payment_intents/:id with its charge and method, and the time of this look."""
        path = f"/v1/payment_intents/{quote(intent_id, safe='')}"
        params = {"expand": ["latest_charge", "payment_method"]}
        looked_at = self._clock.now()
        answer = await self._call("retrieve_intent", "get", path, params, {}, time_left)
        intent = about(intent_id, _intent(answer))
        return intent if isinstance(intent, Failure) else replace(intent, looked_at=looked_at)

    async def retrieve_method(self, method_id: str, time_left: float) -> Method | Failure:
        """GET /v1/payment_methods/:id."""
        path = f"/v1/payment_methods/{quote(method_id, safe='')}"
        answer = await self._call("retrieve_method", "get", path, {}, {}, time_left)
        return about(method_id, _translated(answer, translate_method))

    async def list_methods_of(self, customer_id: str, time_left: float) -> list[Method] | Failure:
        """GET /v1/payment_methods of a customer: what is attached to it."""
        query = {"customer": customer_id}
        return await self.read_list("/v1/payment_methods", query, translate_method, time_left)

    async def find_intents(
        self,
        customer_id: str,
        metadata: Mapping[str, str],
        since: datetime,
        time_left: float,
    ) -> list[Intent] | Failure:
        """GET /v1/payment_intents of a customer from that time on, newest first: those whose
        metadata holds the given values."""
        query = {"customer": customer_id, "created": {"gte": int(since.timestamp())}}
        found = await self.read_list("/v1/payment_intents", query, translate_intent, time_left)
        if isinstance(found, Failure):
            return found
        return [each for each in found if metadata.items() <= each.metadata.items()]

    async def list_refunds_of(self, intent_id: str, time_left: float) -> list[Refund] | Failure:
        """GET /v1/refunds of an intent's charge, newest first."""
        query = {"payment_intent": intent_id}
        return await self.read_list("/v1/refunds", query, translate_refund, time_left)

    async def retrieve_customer(self, customer_id: str, time_left: float) -> Customer | Failure:
        """GET /v1/customers/:id. A deleted customer is still answered; one that this key's account
        and mode never had is a Failure with 404."""
        path = f"/v1/customers/{quote(customer_id, safe='')}"
        answer = await self._call("retrieve_customer", "get", path, {}, {}, time_left)
        return about(customer_id, _translated(answer, _customer))

    async def list_customers_with_email(
        self, email: str, time_left: float
    ) -> list[Customer] | Failure:
        """GET /v1/customers with this e-mail, which any number may share."""
        return await self.read_list("/v1/customers", {"email": email}, _customer, time_left)

    async def find_customer(
        self, metadata: Mapping[str, str], first: datetime, last: datetime, time_left: float
    ) -> str | Failure | None:
        """A customer created between the two times whose metadata holds the given values."""
        window = {"created": {"gte": int(first.timestamp()), "lte": int(last.timestamp())}}
        async for page in self._pages("/v1/customers", window, time_left):
            found = _translated(page, _customers)
            if isinstance(found, Failure):
                return found
            for customer in found:
                if metadata.items() <= customer.metadata.items():
                    return customer.id
        return None

    async def list_events_page(
        self, query: Mapping[str, Any], time_left: float
    ) -> EventsPage | Failure:
        """GET /v1/events, of the last 30 days, newest first. `query` has `types` (at most 20),
        `limit` (at most 100), and `created`, `starting_after` or `ending_before`."""
        answer = await self._call("list", "get", "/v1/events", query, {}, time_left)
        return _translated(
            answer, lambda data: EventsPage(list(data["data"]), data["has_more"] is True)
        )

    async def retrieve_account_id(self, time_left: float) -> str | Failure:
        """GET /v1/account: whose key this is."""
        answer = await self._call("retrieve_account", "get", "/v1/account", {}, {}, time_left)
        return _translated(answer, _object_id)

    # --- whole lists, a page at a time -----------------------------------------------------------

    async def list_expanded_intents_page(
        self, window: Window, after: str | None, time_left: float, customer_id: str | None = None
    ) -> ListPage[Intent] | Failure:
        """GET /v1/payment_intents, newest first, from behind the intent `after`; each with its
        latest charge and its customer."""
        query = list_query(window, after)
        query["expand"] = ["data.latest_charge", "data.customer"]
        if customer_id is not None:
            query["customer"] = customer_id
        answer = await self._call("list", "get", "/v1/payment_intents", query, {}, time_left)
        return _translated(answer, lambda data: list_page(data, translate_intent))

    async def list_charges_page(
        self, window: Window, after: str | None, time_left: float
    ) -> ListPage[Charge] | Failure:
        """GET /v1/charges, newest first: those of intents, and those that were made without."""
        query = list_query(window, after)
        answer = await self._call("list", "get", "/v1/charges", query, {}, time_left)
        return _translated(answer, lambda data: list_page(data, translate_charge))

    async def list_customers_page(
        self, after: str | None, time_left: float, window: Window = EVER
    ) -> ListPage[Customer] | Failure:
        """GET /v1/customers, newest first, from behind the customer `after`; deleted ones are in
        no list."""
        query = list_query(window, after)
        answer = await self._call("list", "get", "/v1/customers", query, {}, time_left)
        return _translated(answer, lambda data: list_page(data, _customer))

    async def find_last_refund(
        self, intent_id: str, time_left: float
    ) -> tuple[str, datetime] | Failure | None:
        """GET /v1/refunds of an intent: the latest one's id and time."""
        query = {"payment_intent": intent_id, "limit": 1}
        answer = await self._call("list", "get", "/v1/refunds", query, {}, time_left)
        return _translated(answer, _first_of_page)

    async def read(
        self,
        path: str,
        query: Mapping[str, Any],
        time_left: float,
        translate: Callable[[Mapping[str, Any]], Shape],
        *,
        name: str = "list",
    ) -> Shape | Failure:
        """A GET in a shape of the caller's: what `gateway.account` is built on."""
        answer = await self._call(name, "get", path, query, {}, time_left)
        return _translated(answer, translate)

    async def write(
        self,
        name: str,
        path: str,
        request: Keyed,
        time_left: float,
        translate: Callable[[Mapping[str, Any]], Shape],
    ) -> Shape | Failure:
        """A POST, its answer in a shape of the caller's."""
        return _translated(await self._post(name, path, request, time_left), translate)

    async def read_list(
        self,
        path: str,
        query: Mapping[str, Any],
        translate: Callable[[Mapping[str, Any]], Shape],
        time_left: float,
    ) -> list[Shape] | Failure:
        """Every object of a list, or a Failure; see `_pages`."""
        items: list[Shape] = []
        async for page in self._pages(path, query, time_left):
            found = _translated(page, lambda data: [translate(item) for item in data["data"]])
            if isinstance(found, Failure):
                return found
            items += found
        return items

    # --- the one way out -------------------------------------------------------------------------

    async def _post(
        self, name: str, path: str, request: Keyed, time_left: float
    ) -> Answered | Failure:
        options = {"idempotency_key": request.key, "stripe_version": request.stripe_version}
        return await self._call(name, "post", path, request.params, options, time_left)

    async def _pages(
        self, path: str, params: Mapping[str, Any], time_left: float
    ) -> AsyncIterator[Answered | Failure]:
        """A list to its end, page by page, as long as the time lasts. It ends with the first
        Failure; a list that is longer than the time is one: nobody decides by a part of it."""
        query = {**params, "limit": PAGE_SIZE}
        deadline = Deadline.after(self._clock, time_left)
        while True:
            answer = await self._call("list", "get", path, query, {}, deadline.left)
            yield answer
            last = _translated(answer, last_of_page)
            if isinstance(last, Failure) or last is None:
                return
            if deadline.left == 0:
                log.error("stripe.list_cut", path=path, seconds=time_left)
                yield Failure(Reason.NOT_EXECUTED, "there was no time to read the list to its end")
                return
            query["starting_after"] = last

    async def _call(
        self,
        name: str,
        method: str,
        path: str,
        params: Mapping[str, Any],
        options: Mapping[str, Any],
        time_left: float,
    ) -> Answered | Failure:
        if self._pace is not None:
            await self._pace.wait()
        if not self._circuit.may_call():
            return Failure(Reason.NOT_EXECUTED, "the circuit to Stripe is open")
        token = call_timeout_seconds.set(max(0.1, min(CALL_TIMEOUT_SECONDS, time_left)))
        try:
            async with step(f"stripe.{name}"):
                answer = await self._client.raw_request_async(method, path, **params, **options)
        except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a strange answer
            return self._failed(name, translate_error(error))
        finally:
            call_timeout_seconds.reset(token)
        self._circuit.note_answer()
        self._key_alarm.note_success(name)
        data = answer.data
        if not isinstance(data, dict) or not data.keys() & {"id", "data", "client_secret"}:
            return self._failed(name, Failure(Reason.UNKNOWN, "Stripe's answer is no object"))
        if data.get("livemode", self._is_live) is not self._is_live:
            return contradiction(str(data.get("object")), "livemode")
        headers = answer.headers
        is_replayed = headers.get("Idempotent-Replayed") == "true"
        return Answered(data, is_replayed, headers.get("Request-Id"))

    def _failed(self, name: str, failure: Failure) -> Failure:
        has_answer = failure.http_status is not None and failure.http_status < 500
        if has_answer:
            self._circuit.note_answer()
        else:
            self._circuit.note_fault()
        self._key_alarm.note_failure(name, failure)
        log.info(
            "stripe.call_failed",
            call=name,
            reason=failure.reason.value,
            http_status=failure.http_status,
            stripe_code=failure.code,
            stripe_param=failure.param,
            stripe_request_id=failure.stripe_request_id,
        )
        return failure


def _intent(answer: Answered | Failure) -> Intent | Failure:
    intent = _translated(answer, translate_intent)
    if isinstance(answer, Failure) or isinstance(intent, Failure):
        return intent
    return replace(intent, is_replayed=answer.is_replayed, stripe_request_id=answer.request_id)


def _translated(
    answer: Answered | Failure, translate: Callable[[Mapping[str, Any]], Shape]
) -> Shape | Failure:
    """The answer in our shape; JSON of another form than Stripe's is an unknown outcome."""
    if isinstance(answer, Failure):
        return answer
    try:
        return translate(answer.data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, OSError):
        # The last two: a time that no clock has.
        return Failure(Reason.UNKNOWN, "Stripe's answer has another form than expected")


def _object_id(data: Mapping[str, Any]) -> str:
    return str(data["id"])


def _customers(data: Mapping[str, Any]) -> list[Customer]:
    return [_customer(item) for item in data["data"]]


def _customer(data: Mapping[str, Any]) -> Customer:
    is_deleted = data.get("deleted") is True
    return Customer(_object_id(data), dict(data.get("metadata") or {}), is_deleted)


def _first_of_page(data: Mapping[str, Any]) -> tuple[str, datetime] | None:
    for item in data["data"]:
        return _object_id(item), datetime.fromtimestamp(item["created"], UTC)
    return None
