"""`paidonce demo` as a person starts it: ready by itself, paid in every way, gone at the end."""

import contextlib
import json
import re
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import psutil
import pytest
import requests
from playwright.sync_api import Page

from e2e.serving import assert_one_sentence, charges, wait_until
from stripesim.testing import PUBLISHABLE_KEY, ControlClient
from support.envelope import assert_error, assert_requires_action, assert_success
from support.processes import Process, StartProcess, free_port, http_status, script
from support.service import DECLINED_AFTER_3DS, DECLINED_AT_CHARGE, GOOD, NEEDS_3DS

READY_SECONDS = 60
KEYS = ["url", "stripe_url", "token", "other_token", "merchant_api_key", "webhook_secret"]
COMMAND = (script("paidonce"), "demo", "--json", "--port", "0", "--stripe-port", "0")


@dataclass
class Demo:
    """A demo that is ready: the addresses and keys of its one line, and the calls of its app."""

    process: Process
    facts: dict[str, str]

    @property
    def simulator(self) -> ControlClient:
        return ControlClient(self.facts["stripe_url"])

    def call(
        self, method: str, path: str, body: Any = None, token: str = "token"
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.facts[token]}"}
        url = f"{self.facts['url']}{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=40)

    def order(self, product_id: str = "grinder") -> str:
        body = {"items": [{"productId": product_id, "quantity": 1}]}
        data = assert_success(self.call("POST", "/api/mobile-app/orders", body))
        return str(data["orderId"])

    def pay(self, order_id: str, card: str, token: str = "token") -> requests.Response:
        body = {"paymentMethod": "credit_card", "paymentToken": card}
        return self.call("POST", f"/api/mobile-app/orders/{order_id}/pay", body, token)

    def is_paid(self, order_id: str) -> bool:
        """By the service's own books: this route never asks Stripe."""
        data = assert_success(self.call("GET", f"/api/mobile-app/orders/{order_id}"))
        return bool(data["status"] == "paid")

    def begin_challenge(self, number: str = NEEDS_3DS) -> tuple[str, dict[str, str], str]:
        """An order in 3-D Secure, the app's data for it, and the page the mobile SDK would open."""
        order_id = self.order()
        card = self.simulator.create_card(number)
        action = assert_requires_action(self.pay(order_id, card))
        intent = self.look_as_the_app(action)
        assert intent["status"] == "requires_action"
        next_action = intent["next_action"]
        assert next_action["type"] == "use_stripe_sdk"
        return order_id, action, str(next_action["use_stripe_sdk"]["stripe_js"])

    def look_as_the_app(self, action: dict[str, str]) -> dict[str, Any]:
        """GET the intent with publishable key and client secret, as `handleNextAction` does."""
        answer = requests.get(
            f"{self.facts['stripe_url']}/v1/payment_intents/{action['paymentIntentId']}",
            params={"client_secret": action["clientSecret"]},
            headers={"Authorization": f"Bearer {PUBLISHABLE_KEY}"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        intent: dict[str, Any] = answer.json()
        return intent


def wait_until_ready(process: Process) -> dict[str, str]:
    """The facts of the one line on stdout."""
    line = process.wait_for_line(r"^\{.*\}$", READY_SECONDS)
    facts: dict[str, str] = json.loads(line[0])
    return facts


def end_with_children(process: Process) -> None:
    """Whatever a failed test left: the demo and the processes it started, by their ids."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.clean_up()


def run_demo(folder: Path, *extra: str) -> Process:
    temporary = folder / "tmp"
    temporary.mkdir()
    command = [*COMMAND, *extra]
    return Process(command, log_folder=folder, environment={"TMPDIR": str(temporary)})


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for the tests that only use it."""
    process = run_demo(tmp_path_factory.mktemp("demo"))
    try:
        yield Demo(process, wait_until_ready(process))
    finally:
        end_with_children(process)


def test_it_prints_one_line_once_everything_is_ready(demo: Demo) -> None:
    assert list(demo.facts) == KEYS
    assert all(isinstance(value, str) and value for value in demo.facts.values())
    lines = demo.process.stdout().splitlines()
    assert len(lines) == 1 and json.loads(lines[0]) == demo.facts
    assert http_status(f"{demo.facts['url']}/readyz") == 200
    assert http_status(f"{demo.facts['stripe_url']}/_sim/health") == 200


def test_an_order_is_paid_with_a_good_card_and_the_repeat_charges_nothing(demo: Demo) -> None:
    order_id, card = demo.order(), demo.simulator.create_card(GOOD)
    data = assert_success(demo.pay(order_id, card), "Payment processed successfully")
    assert data["amount"] == 440 and data["status"] == "succeeded"
    assert assert_success(demo.pay(order_id, card)) == data
    assert demo.is_paid(order_id)
    assert charges(demo.simulator, order_id) == 1


def test_every_product_can_be_bought_with_stripes_own_test_method(demo: Demo) -> None:
    for product_id in ("coffee", "grinder", "cup"):
        order_id = demo.order(product_id)
        assert_success(demo.pay(order_id, "pm_card_visa"))
        assert charges(demo.simulator, order_id) == 1


def test_a_declined_card_is_tried_again_and_another_one_pays(demo: Demo) -> None:
    order_id, card = demo.order(), demo.simulator.create_card(DECLINED_AT_CHARGE)
    for _ in range(2):
        body = assert_error(demo.pay(order_id, card), 402, "card_declined")
        assert body["errors"] == ["Your card was declined."]
    assert charges(demo.simulator, order_id) == 0
    assert_success(demo.pay(order_id, demo.simulator.create_card(GOOD)))
    assert charges(demo.simulator, order_id) == 1


def test_the_same_card_pays_a_second_order(demo: Demo) -> None:
    card, orders = demo.simulator.create_card(GOOD), [demo.order() for _ in range(2)]
    for order_id in orders:
        assert_success(demo.pay(order_id, card))
    assert [charges(demo.simulator, order_id) for order_id in orders] == [1, 1]


def test_the_other_user_sees_nothing_of_the_first(demo: Demo) -> None:
    order_id = demo.order()
    card = demo.simulator.create_card(GOOD)
    assert_error(demo.pay(order_id, card, "other_token"), 404, "order_not_found")
    assert charges(demo.simulator, order_id) == 0


def test_the_merchant_key_opens_the_merchant_side(demo: Demo) -> None:
    body = {"userId": "somebody", "amountMinor": 100, "currency": "usd"}
    assert_error(demo.call("POST", "/api/orders", body), 401, "not_authenticated")
    assert_success(demo.call("POST", "/api/orders", body, "merchant_api_key"))


# --- 3-D Secure through the page -----------------------------------------------------------------


def press(page_url: str, label: str) -> requests.Response:
    """Post the form whose button has this label, as a browser without JavaScript does."""
    page = requests.get(page_url, timeout=10)
    assert page.status_code == 200, page.text
    forms = re.findall(r'<form method="post" action="([^"]+)">\s*<button[^>]*>([^<]+)<', page.text)
    actions = {text: action.replace("&amp;", "&") for action, text in forms}
    assert set(actions) == {"Complete authentication", "Fail authentication"}
    return requests.post(urljoin(page_url, actions[label]), allow_redirects=False, timeout=10)


def test_a_challenge_completed_on_the_page_is_recorded_by_webhook(demo: Demo) -> None:
    """The client never asks again: only the webhook can have told."""
    order_id, action, page_url = demo.begin_challenge()
    assert not demo.is_paid(order_id)
    assert press(page_url, "Complete authentication").status_code in (200, 303)
    began = time.monotonic()
    wait_until(lambda: demo.is_paid(order_id), "paid order")
    assert time.monotonic() - began < 4  # recovery alone looks after 5 s for the first time
    assert demo.look_as_the_app(action)["status"] == "succeeded"
    assert charges(demo.simulator, order_id) == 1


def test_a_challenge_failed_on_the_page_can_be_begun_again(demo: Demo) -> None:
    order_id, _, page_url = demo.begin_challenge()
    assert press(page_url, "Fail authentication").status_code in (200, 303)
    confirm = f"/api/mobile-app/orders/{order_id}/pay/confirm"
    assert_error(demo.call("POST", confirm, {}), 402, "authentication_failed", "retry")
    assert charges(demo.simulator, order_id) == 0
    card = demo.simulator.create_card(NEEDS_3DS)
    again = assert_requires_action(demo.pay(order_id, card))
    page_url = demo.look_as_the_app(again)["next_action"]["use_stripe_sdk"]["stripe_js"]
    assert press(page_url, "Complete authentication").status_code in (200, 303)
    assert_success(demo.call("POST", confirm, {}))
    assert charges(demo.simulator, order_id) == 1


def test_a_card_declined_after_the_challenge_says_so(demo: Demo) -> None:
    order_id, _, page_url = demo.begin_challenge(DECLINED_AFTER_3DS)
    press(page_url, "Complete authentication")
    confirm = f"/api/mobile-app/orders/{order_id}/pay/confirm"
    assert_error(demo.call("POST", confirm, {}), 402, "card_declined")
    assert charges(demo.simulator, order_id) == 0
    assert_success(demo.pay(order_id, demo.simulator.create_card(GOOD)))
    assert charges(demo.simulator, order_id) == 1


def test_a_challenge_is_completed_in_a_real_browser(demo: Demo, browser_page: Page) -> None:
    order_id, action, page_url = demo.begin_challenge()
    browser_page.goto(page_url)
    assert "440.00" in browser_page.inner_text("main")
    browser_page.get_by_role("button", name="Complete authentication").click()
    browser_page.wait_for_load_state()
    assert not browser_page.get_by_role("button", name="Complete authentication").is_visible()
    query = parse_qs(urlsplit(browser_page.url).query)
    assert query.get("redirect_status", ["succeeded"]) == ["succeeded"]
    confirm = f"/api/mobile-app/orders/{order_id}/pay/confirm"
    body = {"paymentIntentId": action["paymentIntentId"]}
    assert_success(demo.call("POST", confirm, body))
    assert demo.is_paid(order_id)
    assert charges(demo.simulator, order_id) == 1
    browser_page.goto(page_url)  # the link of a challenge that is over has nothing to press
    assert browser_page.get_by_role("button").count() == 0


# --- the page: see test_demo_page.py -------------------------------------------------------------


def test_its_text_begins_with_the_page_and_a_browser_is_opened_there(
    start_process: StartProcess, tmp_path: Path
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    process = start_process(
        script("paidonce"), "demo", "--port", "0", "--stripe-port", "0",
        environment={"BROWSER": str(browser)},
    )  # fmt: skip
    try:
        process.wait_for_line("Ctrl-C stops the demo", READY_SECONDS)
        first = next(line for line in process.stdout().splitlines() if line.strip())
        page = re.fullmatch(r"Open this page +(http://127\.0\.0\.1:\d+/demo)", first)
        assert page, first
        assert http_status(page[1]) == 200
        wait_until(lambda: opened.exists() and opened.read_text() != "", "opened page")
        assert opened.read_text().strip() == page[1]
        assert process.terminate() == 0, process.stderr()
    finally:
        end_with_children(process)


def test_a_browser_that_cannot_be_opened_does_not_matter(start_process: StartProcess) -> None:
    process = start_process(
        script("paidonce"), "demo", "--port", "0", "--stripe-port", "0",
        environment={"BROWSER": "/nowhere/to/be/found"},
    )  # fmt: skip
    try:
        process.wait_for_line("Ctrl-C stops the demo", READY_SECONDS)
        assert process.terminate() == 0, process.stderr()
        assert "Traceback" not in process.stderr()
    finally:
        end_with_children(process)


# --- the end, and no beginning -------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_its_processes_and_its_data(tmp_path: Path, how: signal.Signals) -> None:
    process = run_demo(tmp_path)
    try:
        facts = wait_until_ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(how)
        assert process.wait() == 0, process.stderr()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
        assert http_status(f"{facts['url']}/healthz") is None
        assert http_status(f"{facts['stripe_url']}/_sim/health") is None
        assert list((tmp_path / "tmp").iterdir()) == []
        assert "Traceback" not in process.stderr()
    finally:
        end_with_children(process)


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's own")
def test_a_killed_demo_leaves_no_process_behind(start_process: StartProcess) -> None:
    process = start_process(*COMMAND)
    process.wait_for_line(r"^\{.*\}$", READY_SECONDS)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_its_data_stays_where_it_was_told_to(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = run_demo(tmp_path, "--data-dir", str(data))
    try:
        demo = Demo(process, wait_until_ready(process))
        order_id, card = demo.order(), demo.simulator.create_card(GOOD)
        paid = assert_success(demo.pay(order_id, card))
        assert process.terminate() == 0, process.stderr()
        process.start()
        again = Demo(process, wait_until_ready(process))
        assert assert_success(again.pay(order_id, card)) == paid
        assert charges(again.simulator, order_id) == 1
        next_order = again.order()
        assert_success(again.pay(next_order, card))
        assert charges(again.simulator, next_order) == 1
    finally:
        end_with_children(process)


@pytest.mark.parametrize("taken", ["--port", "--stripe-port"])
def test_a_port_in_use_stops_it_with_one_sentence(start_process: StartProcess, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        other = "--stripe-port" if taken == "--port" else "--port"
        process = start_process(
            script("paidonce"), "demo", "--json", taken, str(port), other, str(free_port())
        )
        assert process.wait() == 2
    assert_one_sentence(process.stderr(), str(port))
    assert process.stdout() == ""


def test_the_settings_of_a_real_service_are_not_used(start_process: StartProcess) -> None:
    """A demo in a shell that holds live keys must never reach Stripe with them."""
    key = f"sk_live_{uuid.uuid4().hex}"
    environment = {
        "STRIPE_SECRET_KEY": key,
        "STRIPE_PUBLISHABLE_KEY": "pk_live_0123456789abcdef",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/shop",
        "AUTH_ISSUER": "https://issuer.example",
        "PAYMENT_METHOD_POLICY": "never",
        "TRUSTED_PROXIES": "garbage",
        "UNKNOWN_WINDOW_SECONDS": "garbage",
    }
    process = start_process(*COMMAND, environment=environment)
    try:
        demo = Demo(process, wait_until_ready(process))
        order_id = demo.order()
        assert_success(demo.pay(order_id, "pm_card_visa"))
        assert charges(demo.simulator, order_id) == 1
        assert key not in process.stderr()
        assert process.terminate() == 0
    finally:
        end_with_children(process)
