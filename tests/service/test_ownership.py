"""Another user's order, payment or card does not exist: every mobile route, every kind of id. And
whatever a client sends beside what it may say changes nothing.

Both are made from the app's own table of routes: a new route has to be entered here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
import requests

from support.envelope import assert_success
from support.saved_methods import saved
from support.service import GOOD, NEEDS_3DS, Running, running_service

MOBILE = "/api/mobile-app"
ORDERS, METHODS = f"{MOBILE}/orders", f"{MOBILE}/payments/methods"
ORDER = f"{ORDERS}/{{orderId}}"
Route = tuple[str, str]


@dataclass(frozen=True)
class World:
    """Alice's things, and Bob, who wants them."""

    service: Running
    order_id: str
    intent_id: str
    pending_order_id: str
    pending_intent_id: str
    card: str
    saved_id: str
    bobs_order_id: str
    bobs_card: str


@pytest.fixture
def world(sqlite_url: str, stripe_simulator: Any) -> Iterator[World]:
    with running_service(sqlite_url, stripe_simulator) as service:
        card = service.simulator.create_card(GOOD)
        order_id = service.order()
        assert_success(service.pay(order_id, card, save=True))
        pending = service.order()
        service.pay(pending, service.simulator.create_card(NEEDS_3DS))
        saved_id = saved(service, card)["id"]
        bobs_order, bobs_card = service.order("bob"), service.simulator.create_card(GOOD)
        assert_success(service.pay(service.order("bob"), bobs_card, user="bob"))
        yield World(
            service, order_id, service.intent_of(order_id), pending, service.intent_of(pending),
            card, saved_id, bobs_order, bobs_card,
        )  # fmt: skip


# --- the ownership matrix ------------------------------------------------------------------------


@dataclass(frozen=True)
class Try:
    """One request of Bob's with an id of Alice's, and the same with one that nobody has."""

    path: str
    foreign: str
    random: str
    body: dict[str, Any] | None = None
    is_random_asked: bool = False
    """Whether Stripe is asked about the random one: a PaymentMethod that we do not know may be the
    user's own new one."""
    is_in_body: str = ""
    """The field that holds the id, where it stands in the body."""


def of_order(world: World, path: str, **body: Any) -> list[Try]:
    found = [
        Try(path, order, str(uuid4()), body or None)
        for order in (world.order_id, world.pending_order_id)
    ]
    return found


def pay_tries(world: World) -> list[Try]:
    own = ORDER.replace("{orderId}", world.bobs_order_id) + "/pay"
    fields = ("paymentMethodId", "paymentToken", "stripePaymentMethodId", "paymentMethod")
    return [
        *of_order(world, f"{ORDER}/pay", paymentToken=world.bobs_card),
        *of_order(world, f"{ORDER}/pay", paymentIntentId=world.pending_intent_id),
        *(
            Try(own, card, "pm_1Nobodys", is_in_body=name, is_random_asked=True)
            for name in fields
            for card in (world.card,)
        ),
        *(Try(own, world.saved_id, f"spm_{uuid4()}", is_in_body=name) for name in fields[:3]),
        *(
            Try(own, intent, "pi_3Nobodys", is_in_body="paymentIntentId")
            for intent in (world.intent_id, world.pending_intent_id)
        ),
    ]


def confirm_tries(world: World) -> list[Try]:
    own = ORDER.replace("{orderId}", world.bobs_order_id) + "/pay/confirm"
    return [
        *of_order(world, f"{ORDER}/pay/confirm"),
        *of_order(world, f"{ORDER}/pay/confirm", paymentIntentId=world.pending_intent_id),
        *(
            Try(own, intent, "pi_3Nobodys", is_in_body="paymentIntentId")
            for intent in (world.intent_id, world.pending_intent_id)
        ),
    ]


def of_method(world: World, path: str) -> list[Try]:
    return [
        Try(path, world.saved_id, f"spm_{uuid4()}"),
        Try(path, world.card, "pm_1Nobodys"),
    ]


def save_tries(world: World) -> list[Try]:
    name = "stripePaymentMethodId"
    return [Try(METHODS, world.card, "pm_1Nobodys", is_in_body=name, is_random_asked=True)]


def none(world: World) -> list[Try]:
    """No id is taken; what it lists is looked at in a test of its own."""
    return []


MATRIX: dict[Route, Callable[[World], list[Try]]] = {
    ("POST", ORDERS): none,
    ("GET", ORDERS): none,
    ("GET", ORDER): lambda world: of_order(world, ORDER),
    ("POST", f"{ORDER}/pay"): pay_tries,
    ("POST", f"{ORDER}/pay/confirm"): confirm_tries,
    ("GET", f"{ORDER}/payment"): lambda world: of_order(world, f"{ORDER}/payment"),
    ("POST", f"{ORDER}/payment-sheet"): lambda world: of_order(world, f"{ORDER}/payment-sheet"),
    ("GET", f"{MOBILE}/payments"): none,
    ("GET", METHODS): none,
    ("POST", METHODS): save_tries,
    ("POST", f"{MOBILE}/payments/setup"): none,
    ("DELETE", f"{METHODS}/{{id}}"): lambda world: of_method(world, f"{METHODS}/{{id}}"),
    ("PUT", f"{METHODS}/{{id}}/default"): lambda w: of_method(w, f"{METHODS}/{{id}}/default"),
}


TRIES = 30
ROUTES_THAT_CHANGE = 8


def mobile_routes(service: Running) -> set[Route]:
    return {
        (method, route.path)
        for route in service.app.routes
        if getattr(route, "path", "").startswith(f"{MOBILE}/")
        for method in getattr(route, "methods", None) or ()
        if method not in ("HEAD", "OPTIONS") and "{path" not in route.path
    }


def ask(world: World, method: str, tried: Try, given: str) -> requests.Response:
    path = tried.path.replace("{orderId}", given).replace("{id}", given)
    body = {tried.is_in_body: given} if tried.is_in_body else tried.body
    return world.service.call(method, path, body, user="bob")


def told(answer: requests.Response) -> dict[str, Any]:
    """The answer without what is another one every time."""
    return {name: value for name, value in answer.json().items() if name != "requestId"}


def test_every_route_of_the_app_is_in_the_matrix(world: World) -> None:
    routes = mobile_routes(world.service)
    assert routes == MATRIX.keys()


def test_what_is_another_users_does_not_exist(world: World) -> None:
    rows = ("orders", "payments", "payment_attempts", "payment_methods", "payment_events")
    ours = {table: world.service.rows(f"SELECT * FROM {table} ORDER BY id") for table in rows}
    count = 0
    for (method, template), tries in MATRIX.items():
        for tried in tries(world):
            where = f"{method} {template} {tried}"
            before = world.service.last_request()
            foreign = ask(world, method, tried, tried.foreign)
            assert world.service.stripe_calls(before) == [], where
            random = ask(world, method, tried, tried.random)
            if not tried.is_random_asked:
                assert world.service.stripe_calls(before) == [], where
            is_intent = tried.is_in_body == "paymentIntentId"
            assert foreign.status_code == (400 if is_intent else 404), (where, foreign.text)
            assert (foreign.status_code, told(foreign)) == (random.status_code, told(random)), where
            assert tried.foreign not in foreign.text, where
            count += 1
    assert count == TRIES
    for table in ("orders", "payments", "payment_methods"):
        assert world.service.rows(f"SELECT * FROM {table} ORDER BY id") == ours[table]


def test_lists_show_what_is_ones_own_whatever_cursor_is_given(world: World) -> None:
    service = world.service
    for path in (ORDERS, f"{MOBILE}/payments", METHODS):
        alices = service.call("GET", f"{path}?limit=1").json()
        cursor = alices["nextCursor"]
        mine = service.call("GET", path, user="bob").text
        for other in ("", f"?cursor={cursor}" if cursor else "?limit=1"):
            text = service.call("GET", f"{path}{other}", user="bob").text
            for secret in (world.order_id, world.pending_order_id, world.card, world.saved_id):
                assert secret not in text and secret not in mine
        assert service.call("GET", path, user="carol").json()["data"] == []


def test_a_kept_answer_is_its_users_own(world: World) -> None:
    """Another user's Idempotency-Key opens nothing."""
    service, headers = world.service, {"Idempotency-Key": "the-same-key"}
    body = {"items": [{"productId": "tea", "quantity": 1}]}
    alices = service.call("POST", ORDERS, body, headers=headers).json()["data"]["orderId"]
    bobs = service.call("POST", ORDERS, body, user="bob", headers=headers).json()["data"]["orderId"]
    assert alices != bobs
    path = f"{ORDERS}/{alices}/pay"
    answer = service.call("POST", path, {"paymentToken": world.card}, headers=headers)
    assert_success(answer)
    stolen = service.call("POST", path, {"paymentToken": world.card}, user="bob", headers=headers)
    assert stolen.status_code == 404


# --- mass assignment -----------------------------------------------------------------------------

HOSTILE: dict[str, Any] = {
    **dict.fromkeys(("amount", "amountMinor", "amount_minor", "totalAmount", "total", "price"), 1),
    **dict.fromkeys(("unitAmountMinor", "unit_amount_minor", "unitPrice", "discount", "tax"), 1),
    **dict.fromkeys(("amountRefunded", "amount_refunded_minor", "amountCapturedMinor"), 44_000),
    **dict.fromkeys(("currency", "Currency"), "jpy"),
    **dict.fromkeys(("userId", "user_id", "user", "sub", "owner", "email"), "alice"),
    **dict.fromkeys(("customer", "customerId", "stripeCustomerId", "stripe_customer_id"), "cus_1"),
    **dict.fromkeys(("status", "paymentStatus", "payment_status", "state"), "paid"),
    **dict.fromkeys(("paid", "isPaid", "is_paid", "succeeded", "isAdmin", "livemode"), True),
    **dict.fromkeys(("paidAt", "paid_at", "createdAt", "created_at", "expiresAt"), "2020-01-01"),
    **dict.fromkeys(("id", "orderId", "order_id", "paymentId", "payment_id"), str(uuid4())),
    **dict.fromkeys(("orderNumber", "order_number"), "ORD-HACKED"),
    **dict.fromkeys(("captureMethod", "capture_method", "confirmationMethod"), "manual"),
    **dict.fromkeys(("stripeVersion", "apiVersion"), "2020-08-27"),
    **{key: {"order_id": "x", "amount": 1} for key in ("metadata", "data", "payment", "order")},
    **dict.fromkeys(("application_fee_amount", "transfer_data", "on_behalf_of", "off_session"), 1),
    "setup_future_usage": "off_session",
    "isListed": True,
    "fingerprint": "x",
    "details": {"brand": "amex", "last4": "0000", "expiryMonth": "01", "expiryYear": "2099"},
    "__proto__": {"paid": True},
}


SAID_IN_DOCS = {
    "routes": len(MATRIX),
    "tries": TRIES,
    "fields": len(HOSTILE),
    "routes that change something": ROUTES_THAT_CHANGE,
}
"""What docs/security.md says."""


@dataclass
class Walk:
    """One user's way through every route that changes something; `extra` goes into each body."""

    service: Running
    user: str
    extra: dict[str, Any]
    passed: set[Route] = field(default_factory=set)
    answers: list[Any] = field(default_factory=list)

    def call(self, route: Route, body: dict[str, Any], **ids: str) -> Any:
        method, template = route
        self.passed.add(route)
        path = template
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", value)
        answer = self.service.call(method, path, {**self.extra, **body}, user=self.user)
        self.answers.append((route, answer.status_code, self.shape(answer.json())))
        return answer.json().get("data")

    def shape(self, value: Any) -> Any:
        """The answer, where ids, secrets and times of one walk are no others' of another one."""
        if isinstance(value, dict):
            return {name: self.shape(each) for name, each in value.items() if name != "requestId"}
        if isinstance(value, list):
            return [self.shape(each) for each in value]
        is_own = isinstance(value, str) and (
            "_" in value or "-" in value or value == self.user or len(value) > 30
        )
        return "…" if is_own and "requires" not in value else value

    def go(self) -> None:
        card, other = (self.service.simulator.create_card(GOOD) for _ in range(2))
        basket = {"items": [{**self.extra, "productId": "tea", "quantity": 2}]}
        order_id = self.call(("POST", ORDERS), basket)["orderId"]
        self.service.run(self.service.context.background.drain())
        self.call(("POST", f"{ORDER}/payment-sheet"), {"stripeVersion": None}, orderId=order_id)
        self.call(("POST", f"{ORDER}/pay"), {"paymentToken": card}, orderId=order_id)
        self.call(("POST", f"{ORDER}/pay/confirm"), {"paymentIntentId": None}, orderId=order_id)
        method_id = self.call(("POST", METHODS), {"stripePaymentMethodId": other})["id"]
        self.call(("PUT", f"{METHODS}/{{id}}/default"), {}, id=method_id)
        self.call(("POST", f"{MOBILE}/payments/setup"), {})
        self.call(("DELETE", f"{METHODS}/{{id}}"), {}, id=method_id)

    def rows(self) -> dict[str, Any]:
        """What stands in our books of this user."""
        columns = {
            "orders": "status, amount_minor, currency, amount_refunded_minor, user_id,"
            " capture_method, amount_captured_minor, metadata",
            "payments": "state, amount_minor, currency, user_id, confirmation_method,"
            " method_policy, amount_refunded_minor, amount_captured_minor, stripe_version",
            "payment_attempts": "state, n, source, user_id, is_saving_method, sends",
            "payment_methods": "state, is_listed, is_default, brand, last4, exp_month, exp_year,"
            " user_id",
        }
        return {
            table: [
                self.shape(row)
                for row in self.service.rows(
                    f"SELECT {names} FROM {table} WHERE user_id = $1 ORDER BY created_at, id",
                    self.user,
                )
            ]
            for table, names in columns.items()
        }

    def at_stripe(self) -> dict[str, Any]:
        """What Stripe has of this user: his intents and his customer."""
        intents = [
            each
            for each in self.service.simulator.objects("payment_intent")
            if each["metadata"]["user_id"] == self.user
        ]
        customers = [
            each
            for each in self.service.simulator.objects("customer")
            if each["metadata"]["user_id"] == self.user
        ]
        names = ("amount", "amount_received", "currency", "status", "livemode", "capture_method")
        return {
            "intents": [
                {**{name: each[name] for name in names}, "metadata": sorted(each["metadata"])}
                for each in intents
            ],
            "customers": [(each["email"], sorted(each["metadata"])) for each in customers],
        }


def test_nothing_that_a_client_adds_changes_anything(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        plain, hostile = Walk(service, "walker-1", {}), Walk(service, "walker-2", HOSTILE)
        plain.go()
        hostile.go()
        writes = {
            route for route in mobile_routes(service) if route[0] in ("POST", "PUT", "DELETE")
        }
        assert len(writes) == ROUTES_THAT_CHANGE
        assert hostile.passed == writes, "a new route that changes something has to be walked"
        assert [answer[:2] for answer in plain.answers] == [a[:2] for a in hostile.answers]
        assert plain.answers == hostile.answers
        assert plain.rows() == hostile.rows()
        assert plain.at_stripe() == hostile.at_stripe()
        [order] = service.rows("SELECT * FROM orders WHERE user_id = 'walker-2'")
        assert (order["amount_minor"], order["currency"], order["status"]) == (
            44_000,
            "usd",
            "paid",
        )
        assert service.rows("SELECT id FROM orders WHERE user_id = 'alice'") == []
