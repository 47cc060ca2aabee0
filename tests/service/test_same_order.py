"""One order of one wish: the same basket again, or the same Idempotency-Key, in any race."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import requests

from paidonce.payments.orders import same_order
from support.envelope import assert_error, assert_success
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService

ORDERS = "/api/mobile-app/orders"
MERCHANT_ORDERS = "/api/orders"
WITHIN = 600
BASKET: dict[str, Any] = {
    "items": [{"productId": "tea", "quantity": 1}, {"productId": "cup", "quantity": 2}],
    "shippingAddress": {"street": "Zoë 1", "city": "Bern"},
    "notes": "ring twice",
}


@pytest.fixture
def service(start_service: StartService) -> Running:
    running = start_service(same_order_within_seconds=WITHIN)
    put_product(running, "cup", 900)
    return running


def put_product(service: Running, product_id: str, amount_minor: int) -> None:
    product = {"productId": product_id, "name": "A", "amountMinor": amount_minor, "currency": "usd"}
    assert_success(service.merchant("PUT", "/api/products", {"products": [product]}))


def make(service: Running, basket: Any = BASKET, user: str = "alice", **headers: str) -> str:
    answer = service.call("POST", ORDERS, basket, user=user, headers=headers)
    return str(assert_success(answer, "Order created successfully")["orderId"])


def settle(service: Running) -> None:
    service.run(service.context.background.drain())


# --- without a key -------------------------------------------------------------------------------


def test_the_same_basket_again_is_the_same_order(service: Running) -> None:
    first = assert_success(service.call("POST", ORDERS, BASKET))
    settle(service)
    before = service.last_request()
    again = assert_success(service.call("POST", ORDERS, BASKET))
    settle(service)
    assert again == first
    assert service.stripe_calls(before) == []
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 1}]


def test_what_says_the_same_is_the_same_basket(service: Running) -> None:
    first = make(service)
    said_otherwise = {
        "notes": " ring twice ",
        "billingAddress": {},
        "paymentMethod": "credit_card",
        "shippingAddress": {"city": "Bern", "street": "Zoe\u0308 1", "zip": None},
        "items": [{"productId": "cup", "quantity": 2, "price": 1}, BASKET["items"][0]],
    }
    assert make(service, said_otherwise) == first


@pytest.mark.parametrize(
    "change",
    [
        {"items": BASKET["items"][:1]},
        {"items": [BASKET["items"][0], {"productId": "cup", "quantity": 3}]},
        {"notes": "ring once"},
        {"notes": None},
        {"shippingAddress": {"street": "Zoë 2", "city": "Bern"}},
        {"billingAddress": {"city": "Bern"}},
    ],
    ids=["fewer lines", "more of one", "notes", "no notes", "delivery", "invoice"],
)
def test_another_basket_is_another_order(service: Running, change: dict[str, Any]) -> None:
    first = make(service)
    other = make(service, BASKET | change)
    assert other != first
    assert make(service) == first
    assert make(service, BASKET | change) == other


def test_another_users_basket_is_his_own(service: Running) -> None:
    assert make(service) != make(service, user="bob")


def test_a_changed_price_is_a_new_order_at_the_new_price(service: Running) -> None:
    first = assert_success(service.call("POST", ORDERS, BASKET))
    put_product(service, "cup", 950)
    second = assert_success(service.call("POST", ORDERS, BASKET))
    assert second["orderId"] != first["orderId"]
    assert second["amountMinor"] == first["amountMinor"] + 100


def pay_it(service: Running, order_id: str) -> None:
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def cancel_it(service: Running, order_id: str) -> None:
    assert_success(service.merchant("POST", f"{MERCHANT_ORDERS}/{order_id}/cancel", {}))


def let_time_pass(service: Running, order_id: str) -> None:
    service.clock.added += WITHIN + 1


@pytest.mark.parametrize("end", [pay_it, cancel_it, let_time_pass])
def test_an_order_that_is_over_is_not_answered_again(
    service: Running, end: Callable[[Running, str], None]
) -> None:
    first = make(service)
    settle(service)
    end(service, first)
    second = make(service)
    assert second != first
    assert make(service) == second


@pytest.mark.parametrize("number", [DECLINED_AT_CHARGE, NEEDS_3DS])
def test_an_order_whose_card_was_declined_or_is_asked_about_is_answered_again(
    service: Running, number: str
) -> None:
    first = make(service)
    service.pay(first, service.simulator.create_card(number))
    again = assert_success(service.call("POST", ORDERS, BASKET))
    assert again["orderId"] == first
    assert again["paymentStatus"] == service.order_view(first)["paymentStatus"]
    pay_it(service, first)
    assert service.charges(first) == 1


def test_it_can_be_switched_off(start_service: StartService) -> None:
    service = start_service(same_order_within_seconds=0)
    basket = {"items": BASKET["items"][:1]}
    assert make(service, basket) != make(service, basket)
    assert service.rows("SELECT count(*) AS n FROM order_claims") == [{"n": 0}]


# --- under a key ---------------------------------------------------------------------------------


def test_under_a_key_the_key_decides(service: Running) -> None:
    first = make(service)
    keyed = make(service, **{"Idempotency-Key": "k1"})
    assert keyed != first and make(service, **{"Idempotency-Key": "k2"}) not in (first, keyed)
    pay_it(service, keyed)
    assert make(service, **{"Idempotency-Key": "k1"}) == keyed


def lose_answers(service: Running) -> None:
    """As after a crash between the order's commit and the keeping of its answer."""

    async def work(tx: Any) -> None:
        await tx.execute("DELETE FROM answers")

    service.run(service.context.db.transaction("test", work))


def merchant_make(service: Running, body: dict[str, Any]) -> requests.Response:
    headers = {"Authorization": "Bearer merchant-key-of-the-tests", "Idempotency-Key": "k"}
    return requests.post(f"{service.url}{MERCHANT_ORDERS}", json=body, headers=headers, timeout=40)


def app_make(service: Running, body: dict[str, Any]) -> requests.Response:
    return service.call("POST", ORDERS, body, headers={"Idempotency-Key": "k"})


KEYED = [
    pytest.param(app_make, BASKET, {"notes": "other"}, id="app"),
    pytest.param(
        merchant_make,
        {"userId": "bob", "amountMinor": 500, "currency": "usd", "orderNumber": "N-1"},
        {"amountMinor": 501},
        id="merchant",
    ),
]
Make = Callable[[Running, dict[str, Any]], requests.Response]


@pytest.mark.parametrize(("send", "body", "change"), KEYED)
def test_a_key_whose_answer_was_not_kept_is_still_one_order(
    service: Running, send: Make, body: dict[str, Any], change: dict[str, Any]
) -> None:
    first = assert_success(send(service, body))
    lose_answers(service)
    assert assert_success(send(service, body), "Order created successfully") == first
    lose_answers(service)
    assert_error(send(service, body | change), 409, "idempotency_mismatch", "fix_request")
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 1}]
    service.clock.added += timedelta(hours=25).total_seconds()
    lose_answers(service)
    if send is app_make:
        assert assert_success(send(service, body))["orderId"] != first["orderId"]


def test_a_refused_order_claims_nothing(service: Running) -> None:
    unknown = {"items": [{"productId": "none", "quantity": 1}]}
    assert_error(app_make(service, unknown), 400, "product_not_found")
    assert service.rows("SELECT count(*) AS n FROM order_claims") == [{"n": 0}]


# --- at the same moment --------------------------------------------------------------------------


def all_at_once(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    start = threading.Barrier(len(calls))

    def wait_and_call(call: Callable[[], requests.Response]) -> requests.Response:
        start.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(wait_and_call, calls))


def plain_make(service: Running, body: dict[str, Any]) -> requests.Response:
    return service.call("POST", ORDERS, body)


@pytest.mark.parametrize(
    ("send", "body"),
    [pytest.param(plain_make, BASKET, id="no key"), *(case.values[:2] for case in KEYED)],
)
def test_requests_at_the_same_moment_to_two_servers_make_one_order(
    service: Running, start_service: StartService, send: Make, body: dict[str, Any]
) -> None:
    other = start_service(same_order_within_seconds=WITHIN)
    for round_no in range(3):
        service.clock.added += 86_401
        other.clock.added += 86_401
        changed = body | ({"orderNumber": f"N-{round_no}"} if send is merchant_make else {})
        calls = [partial(send, at, changed) for at in (service, other) * 4]
        answers = [assert_success(answer) for answer in all_at_once(calls)]
        assert len({answer["orderId"] for answer in answers}) == 1
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 3}]


# --- afterwards ----------------------------------------------------------------------------------


def test_claims_are_forgotten_when_they_count_no_longer(service: Running) -> None:
    make(service)
    service.clock.added += timedelta(hours=23).total_seconds()
    assert service.run(same_order.forget_once(service.context)) == 0
    make(service, **{"Idempotency-Key": "k"})
    service.clock.added += timedelta(hours=2).total_seconds()
    assert service.run(same_order.forget_once(service.context)) == 1
    assert service.rows("SELECT count(*) AS n FROM order_claims") == [{"n": 1}]


def test_a_claim_says_nothing_of_its_user(service: Running) -> None:
    make(service, user="alice-liddell", **{"Idempotency-Key": "alices-key"})
    make(service, user="alice-liddell")
    text = str(service.rows("SELECT * FROM order_claims"))
    assert "alice" not in text and "Bern" not in text
