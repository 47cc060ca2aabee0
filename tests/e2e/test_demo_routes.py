"""The demo's own routes over HTTP: who may ask, what is refused, and what a lost answer leaves."""

import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from e2e.phone import PAIDONCE, REPAIR
from e2e.serving import Serving, start_serving
from stripesim.testing import ControlClient
from support.environment import environment
from support.processes import StartProcess, free_port, http_status, script


def test_the_page_allows_itself_and_the_simulator_and_nothing_else(demo: dict[str, str]) -> None:
    answer = requests.get(f"{demo['url']}/demo", timeout=10)
    rules = dict(
        rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";")
    )
    assert rules["default-src"] == "'none'" and rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == "'self'" and rules["style-src"] == "'self'"
    assert rules["connect-src"] == f"'self' {demo['stripe_url']}"
    assert "https://" not in answer.text and " style=" not in answer.text
    assert answer.text.count("<script") == answer.text.count('src="/demo/page/app.js"') == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/demo/lose-answer", {"isOn": "yes"}, 400),
        ("PUT", "/demo/lose-answer", [], 400),
        ("GET", "/demo/lose-answer", None, 405),
        ("POST", "/demo/repair/authenticate", {}, 400),
        ("POST", "/demo/repair/authenticate", {"paymentIntentId": "../x", "outcome": "fail"}, 400),
        ("GET", "/demo/page/..%2fapp.py", None, 404),
        ("GET", "/demo/page/app.py", None, 404),
        ("GET", "/demo/nothing", None, 404),
        ("POST", f"{REPAIR}/orders", {"items": [{"productId": "no", "quantity": 1}]}, 401),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    demo: dict[str, str], method: str, path: str, body: Any, status: int
) -> None:
    answer = requests.request(method, f"{demo['url']}{path}", json=body, timeout=10)
    assert answer.status_code == status


def test_the_usual_repair_knows_its_users_and_its_products(demo: dict[str, str]) -> None:
    url, item = f"{demo['url']}{REPAIR}/orders", {"productId": "cup", "quantity": 1}
    mine = {"Authorization": f"Bearer {demo['token']}"}
    other = {"Authorization": f"Bearer {demo['other_token']}"}
    bad = {"items": [{**item, "productId": "no"}]}
    assert requests.post(url, json=bad, headers=mine, timeout=10).status_code == 400
    order = requests.post(url, json={"items": [item]}, headers=mine, timeout=10).json()["data"]
    pay = f"{url}/{order['orderId']}/pay"
    body = {"paymentToken": ControlClient(demo["stripe_url"]).create_card("4242424242424242")}
    assert requests.post(pay, json=body, headers=other, timeout=10).status_code == 404
    assert requests.post(pay, json=body, headers=mine, timeout=10).json()["status"] == "success"
    assert requests.post(pay, json=body, headers=mine, timeout=10).status_code == 400


def test_paidonce_serve_knows_nothing_of_the_demo(
    start_process: StartProcess, tmp_path: Path, demo: dict[str, str]
) -> None:
    settings = environment(f"sqlite:///{tmp_path}/shop.db", demo["stripe_url"])
    settings["STRIPE_WEBHOOK_SECRET"] = ""
    serving = start_serving(start_process, settings)
    for path in ("/demo", "/demo/session", "/demo/page/app.js", "/demo/back", "/demo/ledger"):
        assert http_status(f"{demo['url']}{path}") == 200
        assert http_status(f"{serving.url}{path}") == 404
    for path in ("/demo/lose-answer", f"{REPAIR}/orders", "/demo/repair/authenticate"):
        assert requests.post(f"{serving.url}{path}", json={}, timeout=10).status_code == 404


ITEM = {"productId": "cup", "quantity": 1}
QUANTITIES: list[Any] = [-5, 0, 1.5, True, "2", None, 10**400]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {},
        {"items": []},
        {"items": {}},
        {"items": 5},
        {"items": ["cup"]},
        {"items": [{"productId": [], "quantity": 1}]},
        *[{"items": [ITEM, {**ITEM, "quantity": quantity}]} for quantity in QUANTITIES],
    ],
)
def test_the_usual_repair_makes_no_order_of_nonsense(demo: dict[str, str], body: Any) -> None:
    headers = {"Authorization": f"Bearer {demo['token']}"}
    url = f"{demo['url']}{REPAIR}/orders"
    answer = requests.post(url, json=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"] == ["The order cannot be understood"]


ODD_TOKENS = (5, None, "", "pm_", "tok_visa", "pm_x/../../../_sim/reset?", "pm_x?a", "pm_é")


@pytest.mark.parametrize("body", [[], {}, *[{"paymentToken": token} for token in ODD_TOKENS]])
def test_the_usual_repair_takes_nothing_but_a_payment_method(
    demo: dict[str, str], body: Any
) -> None:
    """The id becomes part of an address that is asked with the secret key."""
    url, headers = f"{demo['url']}{REPAIR}/orders", {"Authorization": f"Bearer {demo['token']}"}
    order = requests.post(url, json={"items": [ITEM]}, headers=headers, timeout=10).json()["data"]
    simulator = ControlClient(demo["stripe_url"])
    before = simulator.requests()
    pay = f"{url}/{order['orderId']}/pay"
    answer = requests.post(pay, json=body, headers=headers, timeout=10)
    assert answer.status_code == 400 and answer.json()["status"] == "error"
    asked = [r["path"] for r in simulator.requests()[len(before) :]]
    assert not [path for path in asked if "payment_methods" in path]
    assert simulator.requests()[: len(before)] == before


# --- who may ask ---------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/demo"),
    ("GET", "/demo/session"),
    ("GET", "/demo/page/app.js"),
    ("GET", "/demo/back"),
    ("GET", "/demo/ledger"),
    ("PUT", "/demo/lose-answer"),
    ("POST", "/demo/repair/authenticate"),
    ("POST", f"{REPAIR}/orders"),
    ("POST", f"{REPAIR}/orders/1/pay"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "host", ["evil.example:{port}", "127.0.0.1", "localhost:1", "localhost.evil.example:{port}", ""]
)
def test_a_page_of_another_name_is_given_nothing(
    demo: dict[str, str], method: str, path: str, host: str
) -> None:
    """A name that was made to lead to this machine: DNS rebinding."""
    headers = {"Host": host.format(port=demo["url"].rsplit(":", 1)[1])}
    answer = requests.request(method, f"{demo['url']}{path}", headers=headers, timeout=10)
    assert answer.status_code == 421
    assert demo["token"] not in answer.text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_names_of_this_machine_are_answered(demo: dict[str, str], name: str) -> None:
    headers = {"Host": f"{name}:{demo['url'].rsplit(':', 1)[1]}"}
    answer = requests.get(f"{demo['url']}/demo/session", headers=headers, timeout=10)
    assert answer.json()["token"]


def test_the_service_itself_is_answered_under_every_name(demo: dict[str, str]) -> None:
    headers = {"Host": "shop.example"}
    assert requests.get(f"{demo['url']}/healthz", headers=headers, timeout=10).status_code == 200


# --- lost answers --------------------------------------------------------------------------------


def test_the_faults_are_gone_when_the_request_is_answered(demo: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {demo['token']}"}
    card = ControlClient(demo["stripe_url"]).create_card("4000000000000002")  # needs few looks
    requests.put(f"{demo['url']}/demo/lose-answer", json={"isOn": True}, timeout=10)
    for base in (PAIDONCE, REPAIR):
        url = f"{demo['url']}{base}/orders"
        order = requests.post(url, json={"items": [ITEM]}, headers=headers, timeout=10).json()
        pay = f"{url}/{order['data']['orderId']}/pay"
        answer = requests.post(pay, json={"paymentToken": card}, headers=headers, timeout=40)
        faults = requests.get(f"{demo['stripe_url']}/_sim/faults", timeout=10).json()["faults"]
        assert answer.json()["status"] == "error" and faults == []


def test_a_simulator_that_is_gone_breaks_no_answer(start_process: StartProcess) -> None:
    """Neither the faults that cannot be set nor the ledger that cannot be read."""
    stripe_port, port = free_port(), free_port()
    stripe_url = f"http://127.0.0.1:{stripe_port}"
    simulator = start_process(script("stripesim"), "serve", "--port", str(stripe_port))
    simulator.wait_for_http(f"{stripe_url}/_sim/health")
    settings = environment("sqlite:///shop.db", stripe_url, PAIDONCE_DEMO_TOKEN="unused")
    command = (sys.executable, "-m", "paidonce.demo.app", str(port))
    serving = Serving(start_process(*command, environment=settings), f"http://127.0.0.1:{port}")
    serving.wait_until_ready()
    cup = {"productId": "cup", "name": "Cup", "amountMinor": 899, "currency": "usd"}
    serving.merchant("PUT", "/api/products", {"products": [cup]})
    orders = [
        serving.call("POST", f"{base}/orders", {"items": [ITEM]}) for base in (PAIDONCE, REPAIR)
    ]
    simulator.kill9()
    assert serving.call("PUT", "/demo/lose-answer", {"isOn": True}).status_code == 200
    for base, order in zip((PAIDONCE, REPAIR), orders, strict=True):
        path = f"{base}/orders/{order.json()['data']['orderId']}/pay"
        answer = serving.call("POST", path, {"paymentToken": "pm_card_visa"})
        assert answer.json()["status"] == "error" and answer.json()["errors"], base
    assert serving.call("GET", "/demo/ledger?order=1").status_code == 502
    decide = {"paymentIntentId": "pi_1", "outcome": "fail"}
    assert serving.call("POST", "/demo/repair/authenticate", decide).status_code == 502
    assert "Traceback" not in serving.process.stderr()
