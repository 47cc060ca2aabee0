"""The app's screens of saved cards on a real server: only what an app and a card holder can do."""

import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from e2e.serving import Serving, charges, start_serving, wait_until
from stripesim.testing import SimulatorProcess
from support.envelope import assert_error, assert_success
from support.environment import JWT_SECRET, WEBHOOK_SECRET, environment
from support.processes import StartProcess

METHODS = "/api/mobile-app/payments/methods"
SETUP = "/api/mobile-app/payments/setup"
GOOD, MASTERCARD, NEEDS_3DS = "4242424242424242", "5555555555554444", "4000002760003184"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(data=tmp_path / "stripe.db") as running:
        yield running


class App:
    """The shipped app with Stripe's SDK in it: our routes, and Stripe with the publishable key."""

    def __init__(self, serving: Serving, simulator: SimulatorProcess) -> None:
        self.serving, self.simulator = serving, simulator

    def cards(self) -> list[str]:
        """The list as the screen shows it, the default one marked."""
        data = assert_success(self.serving.call("GET", METHODS))
        return [
            item["details"]["last4"] + ("*" if item["isDefault"] else "")
            for item in data
            if not item["isExpired"]
        ]

    def card_id(self, last4: str) -> str:
        data = assert_success(self.serving.call("GET", METHODS))
        return next(str(item["id"]) for item in data if item["details"]["last4"] == last4)

    def set_up(self, **body: Any) -> dict[str, Any]:
        data: dict[str, Any] = assert_success(self.serving.call("POST", SETUP, body))
        return data

    def confirm(self, setup: dict[str, Any], number: str) -> dict[str, Any]:
        """`confirmSetupIntent` with the card that the user has typed."""
        answer = requests.post(
            f"{self.simulator.url}/v1/setup_intents/{setup['setupIntentId']}/confirm",
            data={
                "client_secret": setup["clientSecret"],
                "payment_method_data[type]": "card",
                "payment_method_data[card][number]": number,
                "payment_method_data[card][exp_month]": "12",
                "payment_method_data[card][exp_year]": "2040",
                "payment_method_data[card][cvc]": "123",
            },
            headers={"Authorization": f"Bearer {setup['publishableKey']}"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        intent: dict[str, Any] = answer.json()
        return intent


def press(intent: dict[str, Any], button: str) -> None:
    """The card holder at the bank's page."""
    page = requests.get(intent["next_action"]["use_stripe_sdk"]["stripe_js"], timeout=10)
    forms = re.findall(r'<form method="post" action="([^"]+)">\s*<button[^>]*>([^<]+)<', page.text)
    path = next(html.unescape(action) for action, label in forms if label == button)
    target = requests.compat.urljoin(page.url, path)
    assert requests.post(target, timeout=10, allow_redirects=False).ok


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhooks", "no-webhooks"])
def test_the_screens_of_saved_cards(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    has_webhooks: bool,
) -> None:
    serving = start_serving(start_process, environment(database_url, simulator.url))
    if has_webhooks:
        simulator.set_webhook_target(f"{serving.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    app = App(serving, simulator)
    assert app.cards() == []
    assert app.confirm(app.set_up(), GOOD)["status"] == "succeeded"
    assert app.cards() == ["4242*"]

    setup = app.set_up(isDefault=True)
    asked = app.confirm(setup, NEEDS_3DS)
    assert asked["status"] == "requires_action"
    press(asked, "Fail authentication")
    assert app.cards() == ["4242*"]
    assert app.set_up(isDefault=True) == setup
    press(app.confirm(setup, NEEDS_3DS), "Complete authentication")
    wait_until(lambda: app.cards() == ["3184*", "4242"], "second card")

    again = app.set_up()
    assert again["setupIntentId"] != setup["setupIntentId"]
    app.confirm(again, GOOD)  # the first card once more
    wait_until(lambda: app.set_up()["setupIntentId"] != again["setupIntentId"], "saved card")
    assert app.cards() == ["3184*", "4242"]

    first = app.card_id("4242")
    assert_success(serving.call("PUT", f"{METHODS}/{first}/default"))
    assert app.cards() == ["3184", "4242*"]
    order_id = serving.order()
    assert_success(serving.pay(order_id, first))
    assert charges(simulator, order_id) == 1
    for path in (f"{METHODS}/{first}", f"{METHODS}/{first}/default"):
        method = "PUT" if path.endswith("default") else "DELETE"
        answer = requests.request(
            method, f"{serving.url}{path}", headers=as_user("mallory"), timeout=10
        )
        assert_error(answer, 404, "payment_method_not_found")
    assert_success(serving.call("DELETE", f"{METHODS}/{first}"))
    assert app.cards() == ["3184*"]
    order_id = serving.order()
    assert_error(serving.pay(order_id, first), 404, "payment_method_not_found")
    assert charges(simulator, order_id) == 0


def as_user(user: str) -> dict[str, str]:
    token = jwt.encode({"sub": user, "exp": 4_000_000_000}, JWT_SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/setup_intents"), ("GET", "/v1/setup_intents/*")],
    ids=["created", "looked-at"],
)
def test_a_service_killed_while_a_card_is_saved_saves_it_once(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    method: str,
    path: str,
) -> None:
    """Stripe has executed the call, and nobody was there to hear its answer."""
    serving = start_serving(start_process, environment(database_url, simulator.url))
    app = App(serving, simulator)
    app.confirm(app.set_up(), MASTERCARD)
    assert app.cards() == ["4444*"]
    match = {"method": method, "path": path, "times": 1}
    if method == "GET":
        app.confirm(app.set_up(), GOOD)
    simulator.add_fault(match=match, kind="latency", seconds=1)
    with ThreadPoolExecutor(1) as person:
        lost = person.submit(ask_in_vain, serving, "POST" if method == "POST" else "GET")
        wait_until(
            lambda: bool(simulator._control("GET", "/_sim/faults")["faults"][0]["struck"]),
            "slow call",
        )
        serving.process.kill9()
        lost.result()
    simulator.clear_faults()
    serving.process.start()
    serving.wait_until_ready()
    if method == "POST":
        app.confirm(app.set_up(), GOOD)
    wait_until(lambda: app.cards() == ["4242", "4444*"], "second card")
    listed = requests.get(
        f"{simulator.url}/v1/setup_intents",
        headers={"Authorization": f"Bearer {simulator.secret_key}"},
        timeout=10,
    ).json()["data"]
    assert [intent["status"] for intent in listed] == ["succeeded", "succeeded"]


def ask_in_vain(serving: Serving, method: str) -> None:
    with pytest.raises(requests.RequestException):
        serving.call(
            method, SETUP if method == "POST" else METHODS, {} if method == "POST" else None
        )
