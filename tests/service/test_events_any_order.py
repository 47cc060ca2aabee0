"""An event counts once, in whatever order, however often and however late it comes, or not at all.

Real events of real orders, each order's life told again with other deliveries: before the next
step of its life or long after it, twice, or never, with the worker in between or not. What is in
our books and at Stripe at the end is always the same. EVENT_EXAMPLES=300 tries more of them.
"""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from support.envelope import assert_error, assert_requires_action, assert_success
from support.events import at_stripe, deliver, drain, inbox, intent_of, latest_event, list_events
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
    running_service,
)

EXAMPLES = {"sqlite": 4, "postgresql": 1}
MORE = int(os.environ.get("EVENT_EXAMPLES", "0"))
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}


@dataclass
class Story:
    """The life of an order, step by step. `news` are events that nothing else tells us of, so they
    are never dropped."""

    steps: list[Callable[[Running, str], Any]]
    news: tuple[str, ...] = ()
    charges: int = 1
    events: int = 4
    status: str = "paid"
    states: list[str] = field(default_factory=list)


def pay(card: str) -> Callable[[Running, str], Any]:
    def step(service: Running, order_id: str) -> None:
        answer = service.pay(order_id, service.simulator.create_card(card))
        if card == GOOD:
            assert_success(answer)
        elif card == NEEDS_3DS:
            assert_requires_action(answer)
        else:
            assert_error(answer, 402, "card_declined")

    return step


def challenge(outcome: str) -> Callable[[Running, str], Any]:
    def step(service: Running, order_id: str) -> None:
        service.simulator.authenticate(service.intent_of(order_id), outcome)

    return step


def pay_without_answer(card: str) -> Callable[[Running, str], Any]:
    def step(service: Running, order_id: str) -> None:
        service.simulator.add_fault(match=CONFIRM, kind="drop_response")
        service.simulator.add_fault(match=LOOK, kind="drop_request")
        answer = service.pay(order_id, service.simulator.create_card(card))
        assert_error(answer, 409, "payment_processing", "wait")
        service.simulator.clear_faults()

    return step


def ask(service: Running, order_id: str) -> None:
    """The app after the challenge."""
    assert_error(service.confirm(order_id), 402, "authentication_failed")


def cancel(service: Running, order_id: str) -> None:
    assert service.merchant("POST", f"/api/orders/{order_id}/cancel").status_code == 200


def refund(service: Running, order_id: str) -> None:
    """By hand, in the dashboard."""
    form = {"payment_intent": service.intent_of(order_id), "amount": 4_000}
    at_stripe(service, "POST", "/v1/refunds", form)


STORIES = {
    "paid": Story([pay(NEEDS_3DS), challenge("success")], states=["succeeded"]),
    "declined, then paid": Story(
        [pay(DECLINED_AT_CHARGE), pay(GOOD)], events=5, states=["declined", "succeeded"]
    ),
    "a failed challenge, then a passed one": Story(
        [pay(NEEDS_3DS), challenge("fail"), ask, pay(NEEDS_3DS), challenge("success")],
        events=6,
        states=["authentication_failed", "succeeded"],
    ),
    "canceled": Story(
        [pay(NEEDS_3DS), challenge("fail"), ask, cancel],
        charges=0,
        status="canceled",
        states=["authentication_failed"],
    ),
    "canceled while the challenge was open": Story(
        [pay(NEEDS_3DS), cancel], charges=0, events=3, status="canceled", states=["superseded"]
    ),
    "refunded": Story(
        [pay(GOOD), refund],
        news=("refund.", "charge.refund"),
        events=5,
        states=["succeeded"],
    ),
    "paid, and the answer lost": Story([pay_without_answer(GOOD)], events=3, states=["succeeded"]),
    "declined, and the answer lost": Story(
        [pay_without_answer(DECLINED_AT_CHARGE)],
        charges=0,
        events=3,
        status="pending",
        states=["declined"],
    ),
}


def finish(service: Running) -> None:
    """Whatever the worker and time can do."""
    service.work()
    for seconds in (40, 1000, 1000):
        service.recover(seconds)


def end_of(service: Running, order_id: str) -> dict[str, Any]:
    """Everything that is known of an order, without ids and times: our books and Stripe's. How
    often the same key was sent is no part of it: an event may spare recovery a send."""
    [order] = service.rows(
        "SELECT status, amount_refunded_minor FROM orders WHERE id = $1", order_id
    )
    payments = service.rows(
        "SELECT state, amount_minor, stripe_payment_intent_id, stripe_charge_id FROM payments"
        " WHERE order_id = $1 ORDER BY generation",
        order_id,
    )
    attempts = service.rows(
        "SELECT state, source, error_code, decline_code FROM payment_attempts"
        " WHERE order_id = $1 ORDER BY created_at, n",
        order_id,
    )
    outbox = service.rows("SELECT kind FROM outbox WHERE order_id = $1", order_id)
    history = service.rows(
        "SELECT kind FROM payment_events WHERE order_id = $1 AND kind != 'attempt.sent'", order_id
    )
    [at_stripe_] = [
        group
        for group in service.simulator.audit(group_by="order_id")["groups"]
        if group["key"] == order_id
    ]
    intents = [
        at_stripe(service, "GET", f"/v1/payment_intents/{intent_id}")
        for intent_id in at_stripe_["payment_intents"]
    ]
    recorded = [payment.pop("stripe_payment_intent_id") for payment in payments]
    for payment in payments:
        payment["is_charged"] = payment.pop("stripe_charge_id") is not None
    return {
        "order": order,
        "payments": payments,
        "attempts": attempts,
        "outbox": sorted(row["kind"] for row in outbox),
        "history": sorted(row["kind"] for row in history),
        "charges": at_stripe_["succeeded_charges"],
        "captured": at_stripe_["amount_captured"],
        "refunded": at_stripe_["amount_refunded"],
        "intents": sorted(intent["status"] for intent in intents),
        "recorded": sorted(recorded) == sorted(at_stripe_["payment_intents"]),
    }


def events_of(service: Running, order_id: str, after: str | None) -> list[dict[str, Any]]:
    """The events of the order's intents, of those that came after that event."""
    intents = service.rows(
        "SELECT stripe_payment_intent_id AS id FROM payments WHERE order_id = $1", order_id
    )
    known = {row["id"] for row in intents}
    return [event for event in list_events(service, after) if intent_of(event) in known]


def tell(service: Running, story: Story) -> str:
    """The story without any event but its news, which come once and in order."""
    before, order_id = latest_event(service), service.order()
    for step in story.steps:
        step(service, order_id)
    told = events_of(service, order_id, before)
    assert len(told) == story.events, [event["type"] for event in told]
    for event in told:
        if event["type"].startswith(story.news or ("-",)):
            deliver(service, event)
    finish(service)
    return order_id


def assert_told(service: Running, story: Story, expected: dict[str, Any]) -> None:
    """What the story says itself, so that two wrong ends are not equal."""
    assert expected["order"]["status"] == story.status
    assert expected["charges"] == story.charges and expected["recorded"]
    assert [attempt["state"] for attempt in expected["attempts"]] == story.states
    assert expected["outbox"].count("order.paid") == story.charges
    assert expected["order"]["amount_refunded_minor"] == expected["refunded"]


def assert_inbox_empty(service: Running) -> None:
    assert {row["state"] for row in inbox(service)} <= {"done", "ignored"}


@pytest.mark.parametrize("name", STORIES)
def test_any_order_any_number_and_any_loss_of_events_ends_the_same(
    start_service: StartService, name: str
) -> None:
    service, story = start_service(), STORIES[name]
    expected = end_of(service, tell(service, story))
    assert_told(service, story, expected)

    @settings(
        max_examples=MORE or EXAMPLES[service.settings.database_url.partition(":")[0]],
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        before, order_id = latest_event(service), service.order()
        known: list[dict[str, Any]] = []
        for step in story.steps:
            step(service, order_id)
            known = events_of(service, order_id, before)
            for place in data.draw(st.lists(st.integers(0, len(known) - 1), max_size=3), "early"):
                deliver(service, known[place])
            if data.draw(st.booleans(), "work"):
                drain(service)
        for place in data.draw(st.permutations(range(len(known))), "late"):
            is_news = known[place]["type"].startswith(story.news or ("-",))
            for _ in range(data.draw(st.integers(1 if is_news else 0, 2), "copies")):
                deliver(service, known[place])
            if data.draw(st.booleans(), "work"):
                drain(service)
        finish(service)
        note(f"{[event['type'] for event in known]}")
        assert end_of(service, order_id) == expected
        assert_inbox_empty(service)

    run()


def test_every_permutation_of_the_events_of_a_challenge_ends_the_same(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    """All 24 of them, the worker after every event."""
    with running_service(sqlite_url, stripe_simulator) as service:
        run_every_permutation(service, STORIES["paid"])


def run_every_permutation(service: Running, story: Story) -> None:
    expected = end_of(service, tell(service, story))
    for order_of_delivery in itertools.permutations(range(story.events)):
        before, order_id = latest_event(service), service.order()
        for step in story.steps:
            step(service, order_id)
        told = events_of(service, order_id, before)
        for place in order_of_delivery:
            deliver(service, told[place])
            drain(service)
        assert end_of(service, order_id) == expected, order_of_delivery
    assert_inbox_empty(service)
