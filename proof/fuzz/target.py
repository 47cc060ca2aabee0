"""What is fuzzed: a server with a secret of its own in every setting, on a database that holds
orders in every state, and the ids, tokens and keys that a request may hold."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import requests

from proof.load.cluster import database
from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.environment import environment  # type: ignore[import-not-found]
from support.postgres import prepare_template  # type: ignore[import-not-found]
from support.processes import Process, free_port, script  # type: ignore[import-not-found]

SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_canaryAAAAAAAAAAAAAAAAAAAA",
    "STRIPE_WEBHOOK_SECRET": "whsec_canaryBBBBBBBBBBBBBBBBBBBB",
    "AUTH_JWT_SECRET": "canary-CCCCCCCCCCCCCCCCCCCCCCCCCCCC",
    "MERCHANT_API_KEY": "canary-DDDDDDDDDDDDDDDDDDDDDDDDDDDD",
}
NO_LIMITS = {
    "DECLINES_PER_USER_AND_HOUR": "1000000",
    "DECLINES_PER_ADDRESS_AND_HOUR": "1000000",
    "CARDS_PER_USER_AND_HOUR": "1000000",
    "CARDS_PER_ADDRESS_AND_HOUR": "1000000",
    "CARDS_WITHOUT_DELAY": "1000000",
}
CARDS = {
    "good": "4242424242424242",
    "challenge": "4000002760003184",
    "declined": "4000000000000341",
    "attach_declined": "4000000000000002",
}
FACTORIES = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
"""A new card at each use; the others are somebody's after their first."""
USERS = ("ann", "bob")
HELD_ORDERS = 10
"""Of each user; whoever captures comes in time."""


def spaced(number: str) -> str:
    """A card number as it stands on the card."""
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


@dataclass
class Target:
    """`values`: by kind (`order`, `payment_method`, …) what a request may name."""

    url: str
    port: int
    database_url: str
    simulator: SimulatorProcess
    process: Any
    document: dict[str, Any]
    tokens: dict[str, str]
    values: dict[str, list[str]] = field(default_factory=dict)

    @property
    def merchant_token(self) -> str:
        return SECRETS["MERCHANT_API_KEY"]

    def call(self, who: str, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method,
            f"{self.url}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
            timeout=40,
        )

    def is_alive(self) -> bool:
        return bool(self.process.is_running())


@contextmanager
def running_target(kind: str) -> Iterator[Target]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database_url = stack.enter_context(database(kind, folder))
        prepare_template(database_url)
        simulator = stack.enter_context(SimulatorProcess())
        port = free_port()
        settings = environment(database_url, simulator.url, **SECRETS, **NO_LIMITS)
        command = [script("paidonce"), "serve", "--port", str(port)]
        home = folder / "server"
        home.mkdir()
        process = Process(command, log_folder=home, environment=settings)
        stack.callback(process.clean_up)
        url = f"http://127.0.0.1:{port}"
        process.wait_for_http(f"{url}/readyz")
        simulator.set_webhook_target(f"{url}/api/webhooks/stripe", SECRETS["STRIPE_WEBHOOK_SECRET"])
        document = json.loads(requests.get(f"{url}/openapi.json", timeout=10).content)
        tokens = {user: _token(user) for user in USERS}
        tokens["merchant"] = SECRETS["MERCHANT_API_KEY"]
        target = Target(url, port, database_url, simulator, process, document, tokens)
        _fill(target)
        yield target


def _token(user: str) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 86_400}
    return jwt.encode(claims, SECRETS["AUTH_JWT_SECRET"], algorithm="HS256")


def _fill(target: Target) -> None:
    """Orders of both users, paid, pending, challenged, declined, canceled; and saved cards."""
    tea = {"productId": "tea", "name": "Tea", "amountMinor": 22_000, "currency": "usd"}
    cup_ids = [f"cup-{number}" for number in range(20)]
    cups = [{**tea, "productId": cup_id} for cup_id in cup_ids]
    target.call("merchant", "PUT", "/api/products", {"products": [tea, *cups]}).raise_for_status()
    values: dict[str, list[str]] = {
        kind: [] for kind in ("order", "payment_method", "payment_intent", "saved_method")
    }
    values["product"] = cup_ids
    for user in USERS:
        for card in ("good", "challenge", "declined", "attach_declined", None):
            made = target.call("merchant", "POST", "/api/orders", _order_of(user)).json()
            order_id = made["data"]["orderId"]
            values["order"].append(order_id)
            if card is None:
                target.call("merchant", "POST", f"/api/orders/{order_id}/cancel")
                continue
            method = target.simulator.create_card(CARDS[card])
            values["payment_method"].append(method)
            path = f"/api/mobile-app/orders/{order_id}/pay"
            body = {"paymentToken": method, "savePaymentMethod": True}
            said = target.call(user, "POST", path, body).json()
            values["payment_intent"].append(said.get("data", {}).get("paymentIntentId", "pi_none"))
        values["order"] += [_held_order(target, user) for _ in range(HELD_ORDERS)]
        kept = target.call(user, "GET", "/api/mobile-app/payments/methods").json()["data"]
        values["saved_method"] += [method["id"] for method in kept]
    events = target.call("merchant", "GET", "/api/events?limit=100").json()["data"]
    values["event"] = [event["id"] for event in events]
    values["payment_method"] += [target.simulator.create_card() for _ in range(20)]
    values["payment_method"] += FACTORIES * 10
    target.values = values


def _held_order(target: Target, user: str) -> str:
    body = {**_order_of(user), "captureMethod": "manual"}
    order_id = str(target.call("merchant", "POST", "/api/orders", body).json()["data"]["orderId"])
    path = f"/api/mobile-app/orders/{order_id}/pay"
    target.call(user, "POST", path, {"paymentToken": "pm_card_visa"}).raise_for_status()
    return order_id


def _order_of(user: str) -> dict[str, Any]:
    return {"userId": user, "amountMinor": 44_000, "currency": "usd"}
