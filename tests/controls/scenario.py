"""One scenario and one audit, for any server that speaks the mobile contract.

It knows the server by its public routes only, and the truth by the simulator's audit only. The
client behaves as the shipped app and its user do: a failure is tried again with the same card, a
card that is refused for good is entered again, and an answer that says wait is asked for again.

Findings:
- `reuse_error`     Stripe's "may not be used again" reached the client
- `charged_twice`   an order with more than one charge
- `unpaid`          an order without a charge after all tries, the last with a good card
- `wrong_amount`    an order charged another amount than it was created with
- `misreported`     the last answer about an order contradicts the audit
- `unknown_charge`  a charge that belongs to no order of this scenario
"""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests

GOOD_CARD = "4242424242424242"
DECLINED_AT_ATTACH = "4000000000000002"
DECLINED_AT_CHARGE = "4000000000000341"
REUSE_ERROR = "may not be used again"

AMOUNT_MINOR = 44_000
MAX_TRIES = 6
CLIENT_TIMEOUT_SECONDS = 30  # the app's own
PAUSE_SECONDS = 0.2  # instead of the `retryAfter` a real client would keep to
OVERLAP_SECONDS = 0.4  # how long Stripe is slowed down, so that two taps are in flight together


class Simulator(Protocol):
    """The part of the `stripe_simulator` fixture that the scenario uses."""

    def create_card(self, number: str) -> str: ...
    def add_fault(self, *, match: dict[str, Any], kind: str, **fault: Any) -> Any: ...
    def clear_faults(self) -> Any: ...
    def audit(self, group_by: str = "order_id") -> dict[str, Any]: ...


@dataclass(frozen=True)
class Server:
    """Where the server under test is, and how to be a user or the merchant there."""

    url: str
    token_for: Callable[[str], str]
    merchant_api_key: str


@dataclass(frozen=True)
class Answer:
    """One answer to a pay request; `status` is None when none came."""

    status: int | None
    body: dict[str, Any]

    @property
    def is_paid(self) -> bool:
        return self.status == 200 and self.body.get("status") == "success"

    @property
    def is_reuse_error(self) -> bool:
        return REUSE_ERROR in str(self.body)

    @property
    def next_step(self) -> str | None:
        return self.body.get("nextStep")

    def __str__(self) -> str:
        detail = self.body.get("code") or self.body.get("errors") or self.body.get("message")
        return f"{self.status} {self.body.get('status')} {detail}"


@dataclass
class Order:
    """An order of the scenario and every answer that came back about it."""

    id: str
    step: str
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    kind: str
    step: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.step!r}: {self.detail}"


@dataclass(frozen=True)
class Verdict:
    """Everything the audit has against the server; nothing is a pass."""

    findings: list[Finding]

    def steps_with(self, kind: str) -> set[str]:
        return {finding.step for finding in self.findings if finding.kind == kind}

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or "no findings"


class App:
    """The mobile app in the hands of one user."""

    def __init__(self, server: Server, simulator: Simulator) -> None:
        self.user_id = f"user-{uuid.uuid4()}"
        self.simulator = simulator
        self.orders: list[Order] = []
        self._server = server
        self._headers = {"Authorization": f"Bearer {server.token_for(self.user_id)}"}

    def create_order(self, step: str) -> Order:
        answer = requests.post(
            f"{self._server.url}/api/mobile-app/orders",
            json={"items": [{"productId": "scenario-tea", "quantity": 1}]},
            headers=self._headers,
            timeout=CLIENT_TIMEOUT_SECONDS,
        )
        assert answer.status_code == 200, answer.text
        order = Order(answer.json()["data"]["orderId"], step)
        self.orders.append(order)
        return order

    def pay(self, order: Order, payment_method_id: str) -> Answer:
        """One tap on the pay button."""
        try:
            reply = requests.post(
                f"{self._server.url}/api/mobile-app/orders/{order.id}/pay",
                json={
                    "paymentMethod": "credit_card",
                    "paymentToken": payment_method_id,
                    "savePaymentMethod": False,
                },
                headers=self._headers,
                timeout=CLIENT_TIMEOUT_SECONDS,
            )
            answer = Answer(reply.status_code, reply.json())
        except requests.RequestException:
            answer = Answer(None, {})
        order.answers.append(answer)
        return answer

    def pay_until_settled(self, order: Order, payment_method_id: str) -> None:
        """Tap until it is paid or the user gives up; a refused card is entered once more."""
        for _ in range(MAX_TRIES):
            answer = self.pay(order, payment_method_id)
            if answer.is_paid or "already paid" in str(answer.body):
                return
            if answer.is_reuse_error or answer.next_step == "use_other_method":
                payment_method_id = self.simulator.create_card(GOOD_CARD)
            time.sleep(PAUSE_SECONDS)

    def tap_twice(self, order: Order, first: str, second: str) -> None:
        """Two pay requests in flight at the same time."""
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda method: self.pay(order, method), (first, second)))


# --- the steps -----------------------------------------------------------------------------------


def first_payment(app: App) -> None:
    order = app.create_order("first payment")
    app.pay_until_settled(order, app.simulator.create_card(GOOD_CARD))


def decline_and_again(app: App) -> None:
    """A declined card tried again is declined again, and another card then pays the order."""
    for number in (DECLINED_AT_ATTACH, DECLINED_AT_CHARGE):
        order = app.create_order("decline, then the same card again")
        method = app.simulator.create_card(number)
        app.pay(order, method)
        app.pay(order, method)
        app.pay_until_settled(order, app.simulator.create_card(GOOD_CARD))


def second_order_with_the_same_card(app: App) -> None:
    method = app.simulator.create_card(GOOD_CARD)
    for _ in range(2):
        order = app.create_order("second order with the same card")
        app.pay_until_settled(order, method)


def double_tap(app: App) -> None:
    order = app.create_order("double tap")
    method = app.simulator.create_card(GOOD_CARD)
    with _slow_stripe(app):
        app.tap_twice(order, method, method)
    app.pay_until_settled(order, method)


def double_tap_with_two_entries(app: App) -> None:
    """The app makes a PaymentMethod per tap: the same card, two ids."""
    order = app.create_order("double tap, card entered per tap")
    first, second = (app.simulator.create_card(GOOD_CARD) for _ in range(2))
    with _slow_stripe(app):
        app.tap_twice(order, first, second)
    app.pay_until_settled(order, first)


def lost_answer_of_create(app: App) -> None:
    """Stripe executes, its answers are lost (retries of the SDK included), the user taps again."""
    order = app.create_order("lost answer of create")
    method = app.simulator.create_card(GOOD_CARD)
    with _fault(app, {"path": "/v1/payment_intents", "times": 3}, "drop_response"):
        app.pay(order, method)
    app.pay_until_settled(order, method)


def lost_answer_of_confirm(app: App) -> None:
    order = app.create_order("lost answer of confirm")
    method = app.simulator.create_card(GOOD_CARD)
    with _fault(app, {"path": "/v1/payment_intents/*/confirm"}, "drop_response"):
        app.pay(order, method)
    app.pay_until_settled(order, method)


def repeat_of_a_paid_order(app: App) -> None:
    order = app.create_order("repeat of a paid order")
    method = app.simulator.create_card(GOOD_CARD)
    app.pay_until_settled(order, method)
    app.pay(order, method)


STEPS = (
    first_payment,
    decline_and_again,
    second_order_with_the_same_card,
    double_tap,
    double_tap_with_two_entries,
    lost_answer_of_create,
    lost_answer_of_confirm,
    repeat_of_a_paid_order,
)


@contextmanager
def _fault(app: App, match: dict[str, Any], kind: str, **fault: Any) -> Iterator[None]:
    """A fault of Stripe's POSTs for the length of a `with` block."""
    app.simulator.add_fault(match={"method": "POST", **match}, kind=kind, **fault)
    try:
        yield
    finally:
        app.simulator.clear_faults()


def _slow_stripe(app: App) -> AbstractContextManager[None]:
    return _fault(app, {"path": "/v1/payment_intents*"}, "latency", seconds=OVERLAP_SECONDS)


# --- the audit -----------------------------------------------------------------------------------


def run_scenario(server: Server, simulator: Simulator) -> Verdict:
    """Play every step against `server`, then hold its answers against the simulator's ledger.

    The simulator must be empty at the start, and be the Stripe that `server` talks to.
    """
    put_product(server)
    app = App(server, simulator)
    for step in STEPS:
        step(app)
    return audit(app.orders, simulator.audit(group_by="order_id"))


def put_product(server: Server) -> None:
    product = {
        "productId": "scenario-tea",
        "name": "Tea",
        "amountMinor": AMOUNT_MINOR,
        "currency": "usd",
    }
    answer = requests.put(
        f"{server.url}/api/products",
        json={"products": [product]},
        headers={"Authorization": f"Bearer {server.merchant_api_key}"},
        timeout=CLIENT_TIMEOUT_SECONDS,
    )
    assert answer.status_code == 200, answer.text


def audit(orders: list[Order], ledger: dict[str, Any]) -> Verdict:
    """The verdict on `orders` from the simulator's audit, grouped by order id."""
    groups = {group["key"]: group for group in ledger["groups"]}
    findings: list[Finding] = []
    for order in orders:
        findings += audit_order(order, groups.pop(order.id, None))
    for key, group in groups.items():
        if group["succeeded_charges"]:
            detail = f"{group['succeeded_charges']} under {key!r}"
            findings.append(Finding("unknown_charge", "audit", detail))
    return Verdict(findings)


def audit_order(order: Order, group: dict[str, Any] | None) -> list[Finding]:
    """What is wrong with one order; `group` is its part of the audit, None when Stripe has none."""
    charges = group["succeeded_charges"] if group else 0
    amount = group["amount_captured"] if group else 0
    answers = ", ".join(map(str, order.answers))
    found: list[str] = []
    if any(answer.is_reuse_error for answer in order.answers):
        found.append("reuse_error")
    if charges > 1:
        found.append("charged_twice")
    if charges == 0:
        found.append("unpaid")
    if charges == 1 and amount != AMOUNT_MINOR:
        found.append("wrong_amount")
    if order.answers[-1].is_paid != (charges > 0):
        found.append("misreported")
    detail = f"order {order.id}: {charges} charges, answers: {answers}"
    return [Finding(kind, order.step, detail) for kind in found]
