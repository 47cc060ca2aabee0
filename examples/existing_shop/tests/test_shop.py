"""The shop as its app meets it: sign up, check out, pay, come back with the same card."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

GOOD, NEEDS_3DS, DECLINED = "4242424242424242", "4000002760003184", "4000000000000341"


class Phone:
    """The app of a new user."""

    def __init__(self, shop: str) -> None:
        self.shop = shop
        credentials = {"email": f"{uuid4()}@shop.example", "password": "correct horse"}
        requests.post(f"{shop}/signup", json=credentials, timeout=10).raise_for_status()
        token = requests.post(f"{shop}/login", json=credentials, timeout=10).json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def check_out(self, order_id: str | None = None, **items: int) -> dict[str, Any]:
        body = {"items": items, "order_id": order_id or str(uuid4())}
        answer = requests.post(f"{self.shop}/checkout", json=body, headers=self.headers, timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        url = f"{self.shop}/api/mobile-app{path}"
        return requests.request(method, url, json=body, headers=self.headers, timeout=40)

    def pay(self, order_id: str, card: str) -> requests.Response:
        return self.call("POST", f"/orders/{order_id}/pay", {"paymentToken": card})


def charges(simulator: Any, order_id: str) -> int:
    groups = simulator.audit(group_by="order_id")["groups"]
    return sum(group["succeeded_charges"] for group in groups if group["key"] == order_id)


def test_a_card_pays_one_order_once_and_the_next_order_too(
    shop: str, stripe_simulator: Any
) -> None:
    phone, card = Phone(shop), stripe_simulator.create_card(GOOD)
    first, second = phone.check_out(tea=2, pot=1), phone.check_out(tea=1)
    assert first["amountMinor"] == 7400
    for order in (first, first, second):
        answer = phone.pay(order["orderId"], card)
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, "succeeded")
    assert [charges(stripe_simulator, order["orderId"]) for order in (first, second)] == [1, 1]


def test_a_checkout_that_is_sent_again_is_the_same_order(shop: str) -> None:
    phone, order_id = Phone(shop), str(uuid4())
    assert phone.check_out(order_id, tea=1) == phone.check_out(order_id, tea=1)
    answer = phone.call("GET", "/orders").json()
    assert [order["id"] for order in answer["data"]] == [order_id]


def test_3d_secure_ends_in_success_once_it_is_done(shop: str, stripe_simulator: Any) -> None:
    phone, card = Phone(shop), stripe_simulator.create_card(NEEDS_3DS)
    order_id = phone.check_out(pot=1)["orderId"]
    asked = phone.pay(order_id, card).json()
    assert asked["status"] == "requires_action"
    stripe_simulator.authenticate(asked["data"]["paymentIntentId"])
    done = phone.call("POST", f"/orders/{order_id}/pay/confirm", {}).json()
    assert (done["status"], charges(stripe_simulator, order_id)) == ("success", 1)


def test_a_declined_card_is_said_to_be_one_and_another_pays(
    shop: str, stripe_simulator: Any
) -> None:
    phone = Phone(shop)
    order_id = phone.check_out(tea=1)["orderId"]
    declined = phone.pay(order_id, stripe_simulator.create_card(DECLINED))
    assert (declined.status_code, declined.json()["code"]) == (402, "card_declined")
    assert phone.pay(order_id, stripe_simulator.create_card(GOOD)).status_code == 200


def test_the_shops_own_errors_are_its_own_and_paidonces_are_the_contracts(shop: str) -> None:
    phone = Phone(shop)
    assert requests.get(f"{shop}/nothing", timeout=10).json() == {"detail": "Not Found"}
    unknown = phone.call("GET", "/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    nobodys = phone.call("GET", f"/orders/{uuid4()}")
    assert (nobodys.status_code, nobodys.json()["code"]) == (404, "order_not_found")


def test_an_app_that_was_closed_during_the_challenge_finds_out(
    shop: str, stripe_simulator: Any
) -> None:
    stripe_simulator.set_webhook_target(None)
    phone, card = Phone(shop), stripe_simulator.create_card(NEEDS_3DS)
    order_id = phone.check_out(pot=1)["orderId"]
    intent_id = phone.pay(order_id, card).json()["data"]["paymentIntentId"]
    stripe_simulator.authenticate(intent_id)
    assert phone.call("GET", f"/orders/{order_id}/payment").json()["data"]["status"] == "succeeded"


def test_what_is_paid_is_packed(shop: str, stripe_simulator: Any, shop_database: Path) -> None:
    phone = Phone(shop)
    paid, unpaid = phone.check_out(tea=1)["orderId"], phone.check_out(pot=1)["orderId"]
    assert phone.pay(paid, stripe_simulator.create_card(GOOD)).status_code == 200
    ends_at = time.monotonic() + 20
    packed: list[tuple[str, str]] = []
    while not packed and time.monotonic() < ends_at:
        time.sleep(0.05)
        with closing(sqlite3.connect(shop_database)) as db:
            packed = db.execute(
                "SELECT order_id, state FROM parcels WHERE order_id IN (?, ?)", (paid, unpaid)
            ).fetchall()
    assert packed == [(paid, "to pack")]
