"""Stripe's own answers are checked: one that contradicts our books pays nothing and raises an
alarm, in each field and at each place where a success is learned; the truth is found afterwards."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from paidonce.observability import render_metrics
from paidonce.reconcile.asking import CannotCompare
from support.envelope import assert_error, assert_requires_action, assert_success
from support.events import deliver, drain, list_events, make_event
from support.planting import Shop, charged_not_paid, forgotten_charge
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
    running_service,
)
from support.sheet import ask_sheet, open_sheet
from support.tokens import make_token

INTENT_LIES: dict[str, Any] = {
    "id": "pi_3OtherPayment",
    "amount": 1,
    "amount_received": 0,
    "currency": "jpy",
    "livemode": True,
    "client_secret": "pi_3OtherPayment_secret_x",
    "customer": "cus_SomebodyElse",
    "status": "paid_in_full",
    "latest_charge": None,
    "metadata.order_id": "7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f",
    "metadata.payment_id": "pay_0123456789abcdef0123456789abcdef",
    "metadata.user_id": "mallory",
    "metadata.namespace": "0" * 32,
    "metadata": {},
}
CHARGE_LIES: dict[str, Any] = {
    "latest_charge.payment_intent": "pi_3OtherPayment",
    "latest_charge.amount": 1,
    "latest_charge.amount_captured": 1,
    "latest_charge.amount_refunded": 44_001,
    "latest_charge.currency": "jpy",
    "latest_charge.status": "failed",
    "latest_charge.captured": False,
}
ALL_LIES = {**INTENT_LIES, **CHARGE_LIES, "payment_method.customer": "cus_SomebodyElse"}
SOME_LIES = {
    name: ALL_LIES[name]
    for name in (
        "id",
        "client_secret",
        "amount_received",
        "metadata.order_id",
        "latest_charge.amount",
    )
}
"""Of a look, where the same function looks as in a place that has them all."""
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is checked is decided before any database; the one trip of PostgreSQL has its test."""
    return sqlite_url


def lie(service: Running, match: dict[str, Any], name: str, value: Any) -> None:
    service.simulator.add_fault(kind="lie", match=match, fields={name: value})


def lose_the_answer(service: Running) -> None:
    service.simulator.add_fault(kind="drop_response", match={**CONFIRM, "times": 3})


def expect_unknown(answer: Any) -> None:
    assert_error(answer, 409, "payment_processing", "wait")


# --- the places ----------------------------------------------------------------------------------


def by_confirm(service: Running, tell: Callable[[], None]) -> str:
    """The confirm's own answer, and the look behind it."""
    order_id = service.order()
    tell()
    expect_unknown(service.pay(order_id, service.simulator.create_card(GOOD)))
    return order_id


def by_token(service: Running, tell: Callable[[], None]) -> str:
    """The answer to the confirm of a ConfirmationToken, and the look behind it."""
    order_id, token = service.order(), make_token(service)
    tell()
    expect_unknown(service.pay(order_id, token))
    return order_id


def by_sheet(service: Running, tell: Callable[[], None]) -> str:
    """The app has confirmed by itself, and asks for the sheet again."""
    sheet = open_sheet(service, service.order())
    assert sheet.confirm()[0] == 200
    tell()
    expect_unknown(ask_sheet(service, sheet.order_id))
    return sheet.order_id


def by_look(service: Running, tell: Callable[[], None]) -> str:
    """The confirm's answer is lost, and Stripe is asked."""
    order_id = service.order()
    lose_the_answer(service)
    tell()
    expect_unknown(service.pay(order_id, service.simulator.create_card(GOOD)))
    return order_id


def challenged(service: Running) -> str:
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.simulator.authenticate(action["paymentIntentId"])
    return order_id


def by_pay_confirm(service: Running, tell: Callable[[], None]) -> str:
    order_id = challenged(service)
    tell()
    expect_unknown(service.confirm(order_id))
    return order_id


def by_view(service: Running, tell: Callable[[], None]) -> str:
    """GET …/payment."""
    order_id = challenged(service)
    tell()
    assert service.payment(order_id)["status"] in ("processing", "requires_action")
    return order_id


def by_webhook(service: Running, tell: Callable[[], None]) -> str:
    order_id = challenged(service)
    [event] = [
        event
        for event in list_events(service)
        if event["type"] == "payment_intent.succeeded"
        and event["data"]["object"]["metadata"]["order_id"] == order_id
    ]
    tell()
    deliver(service, event)
    drain(service)
    return order_id


def by_recovery(service: Running, tell: Callable[[], None]) -> str:
    order_id = service.order()
    service.simulator.add_fault(kind="drop_response", match=CONFIRM)
    service.simulator.add_fault(kind="drop_request", match=LOOK)
    expect_unknown(service.pay(order_id, service.simulator.create_card(GOOD)))
    service.simulator.clear_faults()
    tell()
    service.recover()
    return order_id


def by_cancel(service: Running, tell: Callable[[], None]) -> str:
    """The merchant cancels; Stripe refuses, since it is charged, and is asked."""
    order_id = challenged(service)
    tell()
    expect_unknown(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    return order_id


def by_reconcile(service: Running, tell: Callable[[], None]) -> str:
    shop = Shop(service)
    planted = charged_not_paid(shop)
    shop.pass_time()
    tell()
    with contextlib.suppress(CannotCompare):  # it ends with that, and changes nothing
        shop.reconcile(fix=True, order_id=planted.order_id)
    return planted.order_id


def by_adoption(service: Running, tell: Callable[[], None]) -> str:
    """A restored database has forgotten the payment."""
    shop = Shop(service)
    planted = forgotten_charge(shop)
    shop.pass_time()
    tell()
    with contextlib.suppress(CannotCompare):  # it ends with that, and changes nothing
        shop.reconcile(fix=True, order_id=planted.order_id)
    return planted.order_id


@dataclass(frozen=True)
class Place:
    """Where a success is learned; what can be lied about there, and whose answers lie."""

    learn: Callable[[Running, Callable[[], None]], str]
    lies: dict[str, Any]
    match: tuple[dict[str, Any], ...] = (LOOK,)
    untold: frozenset[str] = frozenset()
    """Where nothing stands in the order's history, since the command has ended before."""
    left: frozenset[str] = frozenset()
    """What the command leaves to a person, with a finding and without an alarm."""


ENDED = frozenset({"id", "livemode"})
NOT_ADOPTED = frozenset({"customer", "metadata.order_id", "metadata.namespace", "metadata"})
PLACES = {
    "confirm": Place(by_confirm, INTENT_LIES, (CONFIRM, LOOK)),
    "token": Place(by_token, INTENT_LIES, (CONFIRM, LOOK)),
    "sheet": Place(by_sheet, SOME_LIES),
    "look": Place(by_look, ALL_LIES),
    "pay/confirm": Place(by_pay_confirm, SOME_LIES),
    "view": Place(by_view, SOME_LIES),
    "webhook": Place(by_webhook, ALL_LIES),
    "recovery": Place(by_recovery, INTENT_LIES, (CONFIRM, LOOK)),  # it sends the confirm again
    "cancel": Place(by_cancel, ALL_LIES),
    "reconcile --fix": Place(by_reconcile, ALL_LIES, untold=ENDED, left=frozenset({"status"})),
    "adoption": Place(by_adoption, ALL_LIES, untold=ENDED, left=NOT_ADOPTED),
}


SAID_IN_DOCS = {"lies": sum(len(place.lies) for place in PLACES.values())}
"""What docs/security.md says."""


def is_paid(service: Running, order_id: str) -> bool:
    rows = service.rows("SELECT status FROM orders WHERE id = $1", order_id)
    states = service.rows("SELECT state FROM payments WHERE order_id = $1", order_id)
    return rows[0]["status"] == "paid" or any(row["state"] == "succeeded" for row in states)


def find_the_truth(service: Running, order_id: str) -> None:
    service.simulator.clear_faults()
    shop = Shop(service)
    for _ in range(3):
        service.recover(3700)
        shop.reconcile(fix=True, order_id=order_id)


def contradictions_counted() -> float:
    lines = render_metrics().decode().splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("paidonce_contradictions_total{")
    )


def check_lie(service: Running, place: Place, name: str, value: Any) -> None:
    before = contradictions_counted()
    with capture_logs() as logs:
        order_id = place.learn(
            service, lambda: [lie(service, match, name, value) for match in place.match] and None
        )
    alarms = [line for line in logs if line["event"].endswith(".contradicted")]
    assert {line["log_level"] for line in alarms} == (set() if name in place.left else {"critical"})
    assert (contradictions_counted() > before) is (name not in place.left)
    assert not is_paid(service, order_id)
    is_told = "payment.contradicted" in Shop(service).events(order_id)
    assert is_told is (name not in place.untold | place.left)
    find_the_truth(service, order_id)
    assert is_paid(service, order_id)
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("name", PLACES)
def test_a_lie_pays_nothing_and_the_truth_is_found(start_service: StartService, name: str) -> None:
    service, place = start_service(stripe_confirmation_method="automatic"), PLACES[name]
    told = []
    for field, value in place.lies.items():
        try:
            check_lie(service, place, field, value)
        except AssertionError as error:
            told.append(f"{field}: {error}")
        service.simulator.clear_faults()
    assert not told, "\n".join(line.split("\n")[0] for line in told)


def test_the_one_trip_of_postgresql_is_no_way_around(
    postgres_url: str, stripe_simulator: Any
) -> None:
    with running_service(postgres_url, stripe_simulator) as service:
        card = service.simulator.create_card(GOOD)
        assert_success(service.pay(service.order(), card))
        for field, value in (("amount_received", 1), ("metadata.order_id", "another")):
            order_id = service.order()
            for match in (CONFIRM, LOOK):
                lie(service, match, field, value)
            expect_unknown(service.pay(order_id, card))
            assert not is_paid(service, order_id)
            service.simulator.clear_faults()
            assert_success(service.pay(order_id, card))
            assert service.charges(order_id) == 1


def test_a_lie_of_the_confirm_alone_is_seen_through_by_the_look_behind_it(
    start_service: StartService,
) -> None:
    service = start_service()
    order_id = service.order()
    lie(service, CONFIRM, "amount", 1)
    with capture_logs() as logs:
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert [line["fields"] for line in logs if line["event"] == "payment.contradicted"] == [
        ["amount"]
    ]


@pytest.mark.parametrize("status", ["canceled", "requires_payment_method", "requires_action"])
def test_another_payments_end_is_not_the_end_of_this_one(
    start_service: StartService, status: str
) -> None:
    """Told canceled of another intent, a new one would be charged beside the first; told that it
    waits for its holder, the app would get another's client secret."""
    service = start_service()
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    intent_id = service.intent_of(order_id)
    lose_the_answer(service)
    fields = {"id": "pi_3Other", "status": status, "client_secret": "pi_3Other_secret_x"}
    service.simulator.add_fault(kind="lie", match=LOOK, fields=fields)
    expect_unknown(service.pay(order_id, card))
    expect_unknown(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.intent_of(order_id) == intent_id
    find_the_truth(service, order_id)
    assert service.charges(order_id) == 1


def test_a_decline_of_another_intent_declines_nothing(start_service: StartService) -> None:
    service = start_service()
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    lie(service, {**CONFIRM, "times": 1}, "error.payment_intent.id", "pi_3Other")
    expect_unknown(service.pay(order_id, card))
    assert_error(service.pay(order_id, card), 402, "card_declined")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("amount", 1),
        ("currency", "jpy"),
        ("customer", "cus_SomebodyElse"),
        ("metadata.order_id", "another"),
        ("livemode", True),
    ],
)
def test_an_intent_that_is_made_otherwise_than_asked_is_not_recorded(
    start_service: StartService, name: str, value: Any
) -> None:
    service = start_service()
    create = {"method": "POST", "path": "/v1/payment_intents"}
    lie(service, create, name, value)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    assert_error(service.pay(order_id, card), 503, "stripe_unavailable", "retry")
    assert service.intent_of(order_id) == "None"
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert len(service.simulator.objects("payment_intent")) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("metadata.user_id", "mallory"), ("metadata", {}), ("livemode", True)]
)
def test_a_customer_that_is_somebody_elses_is_not_recorded(
    start_service: StartService, name: str, value: Any
) -> None:
    service = start_service()
    lie(service, {"method": "POST", "path": "/v1/customers"}, name, value)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    assert_error(service.pay(order_id, card), 503, "stripe_unavailable", "retry")
    assert service.rows("SELECT id FROM users WHERE stripe_customer_id IS NOT NULL") == []
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert len(service.simulator.objects("customer")) == 1


def test_the_customer_of_another_user_is_never_recorded_twice(start_service: StartService) -> None:
    service = start_service()
    service.order("bob")
    [bobs] = service.rows("SELECT stripe_customer_id AS id FROM users")
    lie(service, {"method": "POST", "path": "/v1/customers"}, "id", bobs["id"])
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    with capture_logs() as logs:
        assert_error(service.pay(order_id, card), 503, "stripe_unavailable", "retry")
    assert any(line["event"] == "stripe.contradicted" for line in logs)
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert len(service.rows("SELECT DISTINCT stripe_customer_id FROM users")) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("customer", "cus_SomebodyElse"), ("customer", None), ("id", "pm_1Other")]
)
def test_a_card_attached_to_somebody_else_is_not_taken(
    start_service: StartService, name: str, value: Any
) -> None:
    service = start_service()
    lie(service, {"method": "POST", "path": "/v1/payment_methods/*/attach"}, name, value)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    with capture_logs() as logs:
        assert_error(service.pay(order_id, card), 503, "stripe_unavailable", "retry")
        body = {"stripePaymentMethodId": card}
        saved = service.call("POST", "/api/mobile-app/payments/methods", body)
        assert_error(saved, 503, "stripe_unavailable", "retry")
    assert [line["fields"] for line in logs if line["event"] == "stripe.contradicted"] == [
        [name],
        [name],
    ]
    assert service.rows("SELECT id FROM payment_methods") == []
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))


def test_a_webhook_that_says_more_than_stripe_shows_does_nothing(
    start_service: StartService,
) -> None:
    """An event is a hint: what counts is the object as Stripe shows it when it is asked."""
    service = start_service()
    order_id = service.order()
    intent = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    told = {**intent, "status": "succeeded", "amount_received": 44_000, "latest_charge": "ch_1"}
    for kind in ("payment_intent.succeeded", "charge.refunded", "payment_intent.canceled"):
        deliver(service, make_event(kind, {**told, "payment_intent": intent["id"]}))
    drain(service)
    assert not is_paid(service, order_id)
    assert service.order_view(order_id)["paymentStatus"] == "pending"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
