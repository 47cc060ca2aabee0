"""The shipped app's screens on a real server, on both databases: requests as the versions in the
field send them, and its answers to the letter of the report. Nothing but HTTP is looked at.
The screens of saved cards are in test_saved_cards.py."""

from typing import Any

import pytest
import requests

from e2e.serving import Serving, charges, start_serving, wait_until
from stripesim.testing import SimulatorThread
from support.envelope import assert_error, assert_requires_action, assert_success
from support.environment import environment
from support.processes import StartProcess

ORDERS = "/api/mobile-app/orders"
PAYMENTS = "/api/mobile-app/payments"
GOOD, DECLINED, NEEDS_3DS = "4242424242424242", "4000000000000341", "4000002760003184"
BASKET = {
    "items": [{"productId": "tea", "quantity": 2}],
    "shippingAddress": {"street": "1 Elm Street"},
    "paymentMethod": "credit_card",
    "notes": "ring twice",
}


@pytest.fixture
def serving(
    start_process: StartProcess, database_url: str, stripe_simulator: SimulatorThread
) -> Serving:
    return start_serving(start_process, environment(database_url, stripe_simulator.url))


def new_order(serving: Serving) -> str:
    """The checkout."""
    data = assert_success(serving.call("POST", ORDERS, BASKET), "Order created successfully")
    assert (data["totalAmount"], data["amountMinor"], data["currency"]) == (440, 44_000, "usd")
    assert (data["status"], data["paymentStatus"]) == ("pending", "pending")
    assert data["orderNumber"].startswith("ORD-")
    return str(data["orderId"])


def paid_with(serving: Serving, order_id: str, card: str) -> dict[str, Any]:
    data: dict[str, Any] = assert_success(
        serving.pay(order_id, card), "Payment processed successfully"
    )
    assert data["paymentId"].startswith("pay_")
    assert (data["orderId"], data["amount"], data["status"]) == (order_id, 440, "succeeded")
    return data


def payment_of(serving: Serving, order_id: str) -> dict[str, Any]:
    """What an app that was killed asks."""
    data: dict[str, Any] = assert_success(serving.call("GET", f"{ORDERS}/{order_id}/payment"))
    return data


def confirm(serving: Serving, order_id: str, intent_id: str) -> requests.Response:
    path = f"{ORDERS}/{order_id}/pay/confirm"
    return serving.call("POST", path, {"paymentIntentId": intent_id})


def test_pay_again_after_a_decline_and_with_the_same_card_and_look_at_both_histories(
    serving: Serving, stripe_simulator: SimulatorThread
) -> None:
    first, card = new_order(serving), stripe_simulator.create_card(GOOD)
    bad = stripe_simulator.create_card(DECLINED)
    for _ in range(2):
        body = assert_error(serving.pay(first, bad), 402, "card_declined", "retry")
        assert (body["message"], body["errors"]) == (
            "Payment failed",
            ["Your card was declined."],
        )
    paid = paid_with(serving, first, card)
    assert paid_with(serving, first, card) == paid
    second, third = new_order(serving), new_order(serving)
    paid_with(serving, second, card)
    assert [charges(stripe_simulator, each) for each in (first, second, third)] == [1, 1, 0]

    page = serving.call("GET", f"{ORDERS}?limit=2").json()
    assert [(each["id"], each["paymentStatus"]) for each in page["data"]] == [
        (third, "pending"),
        (second, "paid"),
    ]
    rest = serving.call("GET", f"{ORDERS}?limit=2&cursor={page['nextCursor']}").json()
    assert [each["id"] for each in rest["data"]] == [first] and rest["nextCursor"] is None
    [order] = rest["data"]
    assert (order["status"], order["paymentStatus"], order["totalAmount"]) == ("paid", "paid", 440)
    shown = assert_success(serving.call("GET", f"{ORDERS}/{first}"))
    assert {name: shown[name] for name in order} == order

    history = serving.call("GET", PAYMENTS).json()["data"]
    succeeded = [each for each in history if each["status"] == "succeeded"]
    assert [each["orderId"] for each in succeeded] == [second, first]
    assert {(each["amount"], each["currency"]) for each in succeeded} == {(440, "usd")}
    assert succeeded[1]["id"] == paid["paymentId"]
    assert all(each["stripePaymentIntentId"].startswith("pi_") for each in succeeded)
    assert all(each["paymentDate"] for each in succeeded)


def test_three_d_secure_fails_is_tried_again_and_the_app_is_killed_meanwhile(
    serving: Serving, stripe_simulator: SimulatorThread
) -> None:
    order_id, card = new_order(serving), stripe_simulator.create_card(NEEDS_3DS)
    asked = assert_requires_action(serving.pay(order_id, card))
    assert assert_requires_action(confirm(serving, order_id, asked["paymentIntentId"])) == asked
    stripe_simulator.authenticate(asked["paymentIntentId"], "fail")
    failed = confirm(serving, order_id, asked["paymentIntentId"])
    assert_error(failed, 402, "authentication_failed", "retry")

    again = assert_requires_action(serving.pay(order_id, card))
    killed = payment_of(serving, order_id)  # by an app that knows the order alone
    assert (killed["status"], killed["clientSecret"]) == ("requires_action", again["clientSecret"])
    stripe_simulator.authenticate(again["paymentIntentId"])
    wait_until(lambda: payment_of(serving, order_id)["status"] == "succeeded", "payment")
    assert_success(confirm(serving, order_id, again["paymentIntentId"]))
    paid_with(serving, order_id, card)
    assert charges(stripe_simulator, order_id) == 1


def test_an_app_killed_with_its_pay_request_under_way_finds_it_paid(
    serving: Serving, stripe_simulator: SimulatorThread
) -> None:
    order_id, card = new_order(serving), stripe_simulator.create_card(GOOD)
    assert payment_of(serving, order_id)["status"] == "none"
    match = {"method": "POST", "path": "/v1/payment_intents/*/confirm", "times": 1}
    stripe_simulator.add_fault(kind="latency", match=match, seconds=0.5)
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{serving.url}{ORDERS}/{order_id}/pay",
            json={"paymentMethod": "credit_card", "paymentToken": card},
            headers=serving.call("GET", ORDERS).request.headers,
            timeout=0.2,
        )
    assert payment_of(serving, order_id)["status"] in ("processing", "succeeded")
    wait_until(lambda: payment_of(serving, order_id)["status"] == "succeeded", "payment")
    paid_with(serving, order_id, card)
    assert charges(stripe_simulator, order_id) == 1


def test_the_payment_sheet_pays_the_orders_one_intent_on_the_phone(
    serving: Serving, stripe_simulator: SimulatorThread
) -> None:
    order_id = new_order(serving)
    path = f"{ORDERS}/{order_id}/payment-sheet"
    sheet = assert_success(serving.call("POST", path, {"stripeVersion": "2024-06-20"}))
    assert sheet["ephemeralKeySecret"].startswith("ek_test_")
    assert sheet["customerId"].startswith("cus_") and sheet["customerSessionClientSecret"]
    again = assert_success(serving.call("POST", path, {}))
    intent_id = sheet["paymentIntentId"]
    assert again["paymentIntentId"] == intent_id and again["ephemeralKeySecret"] is None
    answer = requests.post(
        f"{stripe_simulator.url}/v1/payment_intents/{intent_id}/confirm",
        data={
            "client_secret": sheet["paymentIntentClientSecret"],
            "payment_method": stripe_simulator.create_card(GOOD),
        },
        headers={"Authorization": f"Bearer {sheet['publishableKey']}"},
        timeout=10,
    )
    assert answer.json()["status"] == "succeeded"
    wait_until(lambda: payment_of(serving, order_id)["status"] == "succeeded", "payment")
    assert serving.is_paid(order_id)
    assert_error(serving.call("POST", path, {}), 409, "order_already_paid", "done")
    assert charges(stripe_simulator, order_id) == 1
