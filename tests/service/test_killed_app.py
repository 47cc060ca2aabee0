"""The app is killed at any moment: after each of its requests, heard or not. What comes back knows
the order's id, or nothing at all; it asks `GET …/payment`, does what the answer says, and pays once
more where that says so. The order ends paid, exactly once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.envelope import assert_success
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService
from support.sheet import Sheet, ask_sheet
from support.tokens import make_token

ORDERS = "/api/mobile-app/orders"
BASKET = {"items": [{"productId": "tea", "quantity": 2}]}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
MOST_QUESTIONS = 30


class App:
    """What the app does, and what it remembers. A fault strikes what Stripe would answer."""

    def __init__(self, service: Running, *, is_answer_lost: bool) -> None:
        self.service = service
        self.order_id = ""
        self.secret = ""
        self._is_answer_lost = is_answer_lost

    def make_order(self) -> None:
        answer = self.service.call("POST", ORDERS, BASKET)
        self.order_id = assert_success(answer)["orderId"]

    def pay(self, method_id: str) -> None:
        """Stripe's answers may be lost while it runs, so that its outcome is unknown in the end."""
        if self._is_answer_lost:
            self.service.simulator.add_fault(match=CONFIRM, kind="drop_response")
            self.service.simulator.add_fault(match=LOOK, kind="drop_request")
        answer = self.service.pay(self.order_id, method_id)
        self.service.simulator.clear_faults()
        self.secret = answer.json().get("data", {}).get("clientSecret", self.secret)

    def pass_challenge(self) -> None:
        self.service.simulator.authenticate(self.service.intent_of(self.order_id))

    def open_sheet(self) -> Sheet:
        opened = assert_success(ask_sheet(self.service, self.order_id))
        self.secret = opened["paymentIntentClientSecret"]
        return Sheet(self.service, self.order_id, opened)


def with_a_card(app: App) -> Iterator[None]:
    app.make_order()
    yield
    app.pay(app.service.simulator.create_card(GOOD))
    yield


def with_a_token(app: App) -> Iterator[None]:
    app.make_order()
    yield
    app.pay(make_token(app.service))
    yield


def after_a_decline(app: App) -> Iterator[None]:
    app.make_order()
    app.pay(app.service.simulator.create_card(DECLINED_AT_CHARGE))
    yield


def with_a_challenge(app: App) -> Iterator[None]:
    app.make_order()
    app.pay(app.service.simulator.create_card(NEEDS_3DS))
    yield
    if app.secret:  # the SDK has something to show
        app.pass_challenge()
        yield
        app.service.confirm(app.order_id)
        yield


def with_a_sheet(app: App) -> Iterator[None]:
    app.make_order()
    sheet = app.open_sheet()
    yield
    sheet.confirm(DECLINED_AT_CHARGE)
    yield
    sheet.confirm(GOOD)
    yield


def with_a_challenge_in_the_sheet(app: App) -> Iterator[None]:
    app.make_order()
    app.open_sheet().confirm(NEEDS_3DS)
    yield
    app.pass_challenge()
    yield


def come_back(service: Running, order_id: str, secret: str) -> None:
    """A new process of the app: it asks, and does what the answer says."""
    for _ in range(MOST_QUESTIONS):
        found = service.payment(order_id)
        match found["status"]:
            case "succeeded":
                return
            case "requires_action":
                assert secret in ("", found["clientSecret"])
                intent_id = found["clientSecret"].partition("_secret_")[0]
                service.simulator.authenticate(intent_id)
            case "none" | "failed":
                secret = ""
                service.pay(order_id, service.simulator.create_card(GOOD))
            case "processing":
                service.recover(50)  # it waits, as it was told
            case other:
                raise AssertionError(other)
    raise AssertionError("the order was never paid")


def find_order(service: Running) -> str:
    """An app that remembers nothing: its newest order, or the basket once more."""
    orders: list[dict[str, Any]] = assert_success(service.call("GET", ORDERS))
    if orders and orders[0]["status"] == "paid":
        return str(orders[0]["id"])
    again = str(assert_success(service.call("POST", ORDERS, BASKET))["orderId"])
    assert not orders or again == orders[0]["id"]
    return again


Flow = Callable[[App], Iterator[None]]
FLOWS: list[tuple[Flow, int]] = [
    (with_a_card, 2),
    (with_a_token, 2),
    (after_a_decline, 1),
    (with_a_challenge, 3),
    (with_a_sheet, 3),
    (with_a_challenge_in_the_sheet, 2),
]
WAYS = {"knows": (True, False), "forgot": (False, False), "lost": (True, True)}
"""Whether what comes back knows the order's id, and whether Stripe's answers were lost before."""
KILLS = [
    pytest.param(flow, kill, *WAYS[way], id=f"{flow.__name__}-{kill}-{way}")
    for flow, steps in FLOWS
    for kill in range(1, steps + 1)
    for way in WAYS
    if way != "lost" or "sheet" not in flow.__name__  # there the phone asks Stripe itself
]


@pytest.mark.parametrize(("flow", "kill", "knows_order", "is_answer_lost"), KILLS)
def test_an_app_killed_at_any_moment_ends_paid_once(
    start_service: StartService, flow: Flow, kill: int, knows_order: bool, is_answer_lost: bool
) -> None:
    service = start_service(same_order_within_seconds=900)
    app = App(service, is_answer_lost=is_answer_lost)
    steps = flow(app)
    for _ in range(kill):
        next(steps, None)
    order_id = app.order_id if knows_order else find_order(service)
    if flow in (with_a_challenge, with_a_challenge_in_the_sheet) and kill == 1 and app.secret:
        assert service.payment(order_id)["clientSecret"] == app.secret
    come_back(service, order_id, app.secret)
    assert service.order_view(order_id)["status"] == "paid"
    assert service.charges(order_id) == 1
    assert service.rows("SELECT count(*) AS n FROM orders") == [{"n": 1}]
    charged = [
        item
        for item in service.simulator.objects("charge", limit=25)
        if item["status"] == "succeeded"
    ]
    assert len(charged) == 1
