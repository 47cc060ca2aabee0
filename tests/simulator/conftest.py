"""The simulator's own tests: real HTTP against a real server, the official SDK as a client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import stripe

from stripesim.receiver import WebhookInbox
from stripesim.testing import ControlClient, SimulatorThread

Json = dict[str, Any]


class Wire:
    """Plain form requests, so that a test sees status, headers and body as they are sent."""

    def __init__(self, simulator: ControlClient) -> None:
        self.simulator = simulator
        self.session = requests.Session()

    def send(
        self,
        method: str,
        path: str,
        form: Json | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        version: str | None = None,
        **headers: str,
    ) -> requests.Response:
        sent = {"Authorization": f"Bearer {key or self.simulator.secret_key}", **headers}
        if idempotency_key:
            sent["Idempotency-Key"] = idempotency_key
        if version:
            sent["Stripe-Version"] = version
        where = {"data": form} if method == "POST" else {"params": form}
        return self.session.request(
            method, self.simulator.url + path, headers=sent, timeout=10, **where
        )

    def post(self, path: str, form: Json | None = None, **options: Any) -> requests.Response:
        return self.send("POST", path, form, **options)

    def get(self, path: str, form: Json | None = None, **options: Any) -> requests.Response:
        return self.send("GET", path, form, **options)

    def ok(self, path: str, form: Json | None = None, **options: Any) -> Json:
        answer = self.post(path, form, **options)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def error(self, path: str, form: Json | None = None, **options: Any) -> tuple[int, Json]:
        answer = self.post(path, form, **options)
        assert answer.status_code >= 400, answer.text
        found: Json = answer.json()["error"]
        return answer.status_code, found

    def card(self, number: str = "4242424242424242", **params: Any) -> str:
        return self.simulator.create_card(number, **params)

    def customer(self) -> str:
        return str(self.ok("/v1/customers", {"email": "ada@example.com"})["id"])

    def saved_card(self, number: str = "4242424242424242") -> tuple[str, str]:
        """A customer and a card attached to it."""
        customer, card = self.customer(), self.card(number)
        self.ok(f"/v1/payment_methods/{card}/attach", {"customer": customer})
        return customer, card

    def intent(self, **params: Any) -> Json:
        return self.ok("/v1/payment_intents", {"amount": 440, "currency": "usd", **params})

    def pay(self, **params: Any) -> Json:
        return self.intent(confirm="true", **params)

    def pay_error(self, **params: Any) -> tuple[int, Json]:
        form = {"amount": 440, "currency": "usd", "confirm": "true", **params}
        return self.error("/v1/payment_intents", form)

    def retrieve(self, intent_id: str) -> Json:
        found: Json = self.get(f"/v1/payment_intents/{intent_id}").json()
        return found

    def events(self, **params: Any) -> list[Json]:
        """Oldest first."""
        found: list[Json] = self.get("/v1/events", {"limit": 100, **params}).json()["data"]
        return found[::-1]

    def event_types(self) -> list[str]:
        return [event["type"] for event in self.events()]


@pytest.fixture
def wire(stripe_simulator: SimulatorThread) -> Wire:
    return Wire(stripe_simulator)


@pytest.fixture
def wire_to() -> Callable[[ControlClient], Wire]:
    return Wire


@pytest.fixture
def client(stripe_simulator: SimulatorThread) -> stripe.StripeClient:
    return stripe.StripeClient(
        stripe_simulator.secret_key, base_addresses={"api": stripe_simulator.url}
    )


@pytest.fixture
def inbox(stripe_simulator: SimulatorThread) -> Iterator[WebhookInbox]:
    with stripe_simulator.receive_webhooks() as opened:
        yield opened
