"""The inbox of Stripe's events: what may come in, the work on it, and what a person does there."""

import asyncio
import itertools
import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from paidonce.observability import set_step_hook
from paidonce.payments.hints import OUTCOME_TYPES
from paidonce.store import inbox as table
from paidonce.store.inbox import InboxEvent
from paidonce.webhooks import forget_once
from paidonce.webhooks.drain import LEASE, LONGEST_PAUSE_SECONDS, MAX_TRIES
from paidonce.webhooks.inbox import Inbox
from stripesim.testing import SimulatorProcess
from support.envelope import assert_error, assert_requires_action, assert_success
from support.events import (
    WEBHOOK_PATH,
    deliver,
    drain,
    inbox,
    intent_of,
    list_events,
    make_event,
    post,
    sign,
)
from support.service import (
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
    running_service,
)

LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


@pytest.fixture
def on_sqlite(sqlite_url: str, stripe_simulator: Any) -> Iterator[Running]:
    """For what the kind of database has no part in."""
    with running_service(sqlite_url, stripe_simulator) as service:
        yield service


def is_paid(service: Running, order_id: str) -> bool:
    """By our own books; nobody asks Stripe for this answer."""
    return bool(service.order_view(order_id)["status"] == "paid")


def authenticated_order(service: Running) -> tuple[str, dict[str, Any]]:
    """An order that is paid at Stripe, of which only an event can tell; and that event."""
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.simulator.authenticate(action["paymentIntentId"], "success")
    [event] = [
        event
        for event in list_events(service)
        if event["type"] == "payment_intent.succeeded"
        and intent_of(event) == action["paymentIntentId"]
    ]
    return order_id, event


@contextmanager
def counted_steps() -> Iterator[Counter[str]]:
    steps: Counter[str] = Counter()

    def count(name: str, when: str) -> None:
        if when == "before":
            steps[name] += 1

    set_step_hook(count)
    try:
        yield steps
    finally:
        set_step_hook(None)


@contextmanager
def dying_before(step: str) -> Iterator[None]:
    """Whoever comes to that step goes no further."""

    def die(name: str, when: str) -> None:
        if (name, when) == (step, "before"):
            raise asyncio.CancelledError

    set_step_hook(die)
    try:
        yield
    finally:
        set_step_hook(None)


# --- intake --------------------------------------------------------------------------------------


def test_the_signature_is_over_the_bytes_and_not_over_what_they_mean(on_sqlite: Running) -> None:
    service = on_sqlite
    event = make_event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"})
    body = json.dumps(event).encode()
    header = sign(service, body)
    others = [
        json.dumps(event, indent=2),
        json.dumps(event, separators=(",", ":")),
        json.dumps(dict(reversed(event.items()))),
    ]
    for other in others:
        assert json.loads(other) == event
        assert_error(post(service, other.encode(), header), 400, "invalid_signature")
    assert inbox(service) == []
    assert_success(post(service, body, header))


@pytest.mark.parametrize(("seconds", "status"), [(290, 200), (310, 400), (-290, 200), (-310, 400)])
def test_a_signature_counts_five_minutes_before_and_after_its_time(
    on_sqlite: Running, seconds: int, status: int
) -> None:
    service = on_sqlite
    event = make_event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"})
    body = json.dumps(event).encode()
    answer = post(service, body, sign(service, body, age_seconds=seconds))
    assert answer.status_code == status, answer.text
    assert len(inbox(service)) == (1 if status == 200 else 0)


def test_the_answer_waits_for_the_inbox_and_never_for_stripe(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    with running_service(sqlite_url, stripe_simulator, has_worker=True) as service:
        order_id, event = authenticated_order(service)
        service.simulator.add_fault(match=LOOK, kind="latency", seconds=1.5)
        began = time.monotonic()
        deliver(service, event)
        assert time.monotonic() - began < 1
        assert [row["id"] for row in inbox(service)] == [event["id"]]
        assert not is_paid(service, order_id)
        ends_at = time.monotonic() + 10
        while not is_paid(service, order_id):
            assert time.monotonic() < ends_at
            time.sleep(0.05)


def test_a_hundred_deliveries_at_once_are_one_event(start_service: StartService) -> None:
    service, other = start_service(), start_service()
    order_id, event = authenticated_order(service)
    body = json.dumps(event).encode()
    headers = {"Content-Type": "application/json", "Stripe-Signature": sign(service, body)}

    def send(number: int) -> int:
        url = (service, other)[number % 2].url + WEBHOOK_PATH
        return requests.post(url, data=body, headers=headers, timeout=30).status_code

    with counted_steps() as steps, ThreadPoolExecutor(16) as threads:
        assert set(threads.map(send, range(100))) == {200}
        assert sum(threads.map(drain, (service, other, service, other))) == 1
    assert steps["stripe.retrieve_intent"] == 1
    assert [(row["id"], row["state"], row["tries"]) for row in inbox(service)] == [
        (event["id"], "done", 1)
    ]
    assert is_paid(service, order_id)
    notices = service.rows(
        "SELECT kind FROM outbox WHERE order_id = $1 ORDER BY position", order_id
    )
    assert [row["kind"] for row in notices] == ["payment.action_required", "order.paid"]


def test_an_event_that_comes_three_days_late_still_pays_the_order(service: Running) -> None:
    """Stripe redelivers for three days; the worker was away for as long."""
    order_id, event = authenticated_order(service)
    service.clock.added += timedelta(days=3).total_seconds()
    deliver(service, event)
    drain(service)
    assert is_paid(service, order_id) and service.charges(order_id) == 1


@pytest.mark.parametrize("days", [30, 100])
def test_events_of_an_order_paid_long_ago_are_taken_and_change_nothing(
    service: Running, days: int
) -> None:
    """30 days is how long Stripe can send an event again; after 100 the first one is forgotten."""
    order_id = service.order()
    data = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    events = [event for event in list_events(service) if intent_of(event)]
    assert len(events) == 3
    for event in events:
        deliver(service, event)
    drain(service)
    tables = ("orders", "payments", "payment_attempts", "payment_events", "outbox")
    books = [service.rows(f"SELECT * FROM {name}") for name in tables]
    service.clock.added += timedelta(days=days).total_seconds()
    assert service.run(forget_once(service.context)) == (3 if days > 90 else 0)
    for event in events:
        deliver(service, event)
    assert drain(service) == (3 if days > 90 else 0)
    assert [service.rows(f"SELECT * FROM {name}") for name in tables] == books
    assert {row["state"] for row in inbox(service)} <= {"done", "ignored"}
    assert assert_success(service.pay(order_id, "pm_whatever")) == data


# --- work ----------------------------------------------------------------------------------------


def test_one_look_answers_all_events_of_an_intent(service: Running) -> None:
    order_id, _ = authenticated_order(service)
    events = [event for event in list_events(service) if event["type"] in OUTCOME_TYPES]
    assert {event["type"] for event in events} == {"charge.succeeded", "payment_intent.succeeded"}
    for event in events:
        deliver(service, event)
    with counted_steps() as steps:
        assert drain(service) == 2
    assert steps["stripe.retrieve_intent"] == 1 and is_paid(service, order_id)
    assert [row["state"] for row in inbox(service)] == ["done", "done"]


def test_events_of_a_worker_that_died_come_again_after_its_lease(service: Running) -> None:
    order_id, event = authenticated_order(service)
    deliver(service, event)
    for step in ("stripe.retrieve_intent", "commit.paid", "commit.events_worked"):
        with dying_before(step), pytest.raises(CancelledError):
            drain(service)
        assert [row["state"] for row in inbox(service)] == ["pending"]
        assert drain(service) == 0
        service.clock.added += LEASE.total_seconds() + 1
    assert drain(service) == 1
    assert [row["state"] for row in inbox(service)] == ["done"]
    assert is_paid(service, order_id) and service.charges(order_id) == 1


def test_an_event_that_kills_every_worker_is_set_aside_in_the_end(service: Running) -> None:
    _, event = authenticated_order(service)
    deliver(service, event)
    with dying_before("commit.events_worked"):
        for _ in range(MAX_TRIES):
            with pytest.raises(CancelledError):
                drain(service)
            service.clock.added += LEASE.total_seconds() + 1
    with counted_steps() as steps:
        drain(service)
    assert steps["stripe.retrieve_intent"] == 0
    [row] = inbox(service)
    assert (row["state"], row["note"]) == ("set_aside", "no try was finished")


def answer_something(service: Running) -> None:
    """Stripe is there: the circuit stays closed."""
    service.run(service.context.gateway.retrieve_account_id(3.0))


def set_aside(service: Running) -> tuple[str, str, list[float]]:
    """An event whose intent Stripe never shows, tried until it is given up; the pauses."""
    order_id, event = authenticated_order(service)
    intent_id = intent_of(event)
    service.simulator.add_fault(
        match={"method": "GET", "path": f"/v1/payment_intents/{intent_id}"},
        kind="error_before",
        status=500,
    )
    deliver(service, event)
    pauses: list[float] = []
    for _ in range(MAX_TRIES):
        answer_something(service)
        assert drain(service) == 1
        [row] = service.rows("SELECT state, next_try_at FROM stripe_events")
        if row["state"] != "pending":
            break
        pauses.append((row["next_try_at"] - service.clock.now()).total_seconds())
        assert drain(service) == 0
        service.clock.added += pauses[-1]
    return order_id, event["id"], pauses


def test_an_event_that_cannot_be_worked_on_is_set_aside_seen_and_sent_again(
    service: Running,
) -> None:
    order_id, event_id, pauses = set_aside(service)
    assert len(pauses) == MAX_TRIES - 1
    wanted = [min(2.0**n, LONGEST_PAUSE_SECONDS) for n in range(1, MAX_TRIES)]
    assert pauses == pytest.approx(wanted, abs=1) and sum(wanted) > 4 * 3600
    [row] = inbox(service)
    assert (row["state"], row["tries"]) == ("set_aside", MAX_TRIES)
    service.clock.added += 10_000
    assert drain(service) == 0 and not is_paid(service, order_id)

    metrics = requests.get(f"{service.url}/metrics", timeout=10).text
    assert 'paidonce_inbox_events{state="set_aside"} 1.0' in metrics
    assert 'paidonce_inbox_events{state="pending"} 0.0' in metrics
    box = Inbox(service.context.db, service.clock)
    [listed] = service.run(box.list_latest("set_aside", 10))
    assert (listed.id, listed.tries, listed.order_id) == (event_id, MAX_TRIES, order_id)
    assert service.run(box.list_latest("done", 10)) == []

    service.simulator.clear_faults()
    assert service.run(box.resend_all_set_aside()) == 1
    [row] = inbox(service)
    assert (row["state"], row["tries"]) == ("pending", 0)
    assert drain(service) == 1
    assert is_paid(service, order_id) and service.charges(order_id) == 1
    assert service.run(box.resend(event_id)) and not service.run(box.resend("evt_nobody"))
    assert drain(service) == 1
    assert [row["state"] for row in inbox(service)] == ["done"]


def test_while_stripe_is_away_no_event_loses_its_tries(on_sqlite: Running) -> None:
    service = on_sqlite
    orders = [authenticated_order(service) for _ in range(10)]
    service.simulator.add_fault(kind="error_before", status=503)
    for _, event in orders:
        deliver(service, event)
    drain(service)
    assert service.context.gateway.is_circuit_open
    tried = sum(row["tries"] for row in inbox(service))
    service.clock.added += 3  # they are due again, and the circuit is open for 4 s
    assert drain(service) == 0
    assert sum(row["tries"] for row in inbox(service)) == tried
    service.simulator.clear_faults()
    ends_at = time.monotonic() + 10
    while any(row["state"] == "pending" for row in inbox(service)):
        assert time.monotonic() < ends_at
        time.sleep(0.2)
        service.clock.added += 10
        drain(service)
    assert all(is_paid(service, order_id) for order_id, _ in orders)


def test_an_outage_of_many_hours_sets_no_event_aside(on_sqlite: Running) -> None:
    """Each time that the circuit is half open one call goes out, and the others do not."""
    service = on_sqlite
    orders = [authenticated_order(service) for _ in range(10)]
    service.simulator.add_fault(kind="error_before", status=503)
    for _, event in orders:
        deliver(service, event)
    drain(service)
    assert service.context.gateway.is_circuit_open
    tried = {row["id"]: row["tries"] for row in inbox(service)}
    for _ in range(20):
        service.clock.added += 3700
        assert drain(service) == 10
    assert {row["id"]: row["tries"] for row in inbox(service)} == tried
    assert {row["state"] for row in inbox(service)} == {"pending"}
    service.simulator.clear_faults()
    service.clock.added += 3700
    drain(service)  # one asks, and closes the circuit
    service.clock.added += 3700
    drain(service)
    assert {row["state"] for row in inbox(service)} == {"done"}
    assert all(is_paid(service, order_id) for order_id, _ in orders)


def test_the_age_and_number_of_what_waits_are_measured(on_sqlite: Running) -> None:
    service = on_sqlite
    for number in range(3):
        event = make_event("charge.succeeded", {"id": f"ch_{number}", "object": "charge"})
        deliver(service, event)
    service.clock.added += 500
    metrics = requests.get(f"{service.url}/metrics", timeout=10).text
    assert 'paidonce_inbox_events{state="pending"} 3.0' in metrics
    [age] = [
        float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("paidonce_inbox_oldest_pending_seconds ")
    ]
    assert 500 <= age < 530


# --- forgetting ----------------------------------------------------------------------------------


def test_only_what_was_finished_long_ago_is_forgotten(service: Running) -> None:
    _, set_aside_id, _ = set_aside(service)
    service.simulator.clear_faults()
    old = make_event("charge.succeeded", {"id": "ch_1", "object": "charge"})
    deliver(service, old)
    drain(service)
    pending = make_event("charge.succeeded", {"id": "ch_2", "object": "charge"})
    deliver(service, pending)
    service.clock.added += timedelta(days=89).total_seconds()
    assert service.run(forget_once(service.context)) == 0
    young = make_event("charge.succeeded", {"id": "ch_3", "object": "charge"})
    deliver(service, young)
    finish(service, [young["id"]])
    service.clock.added += timedelta(days=2).total_seconds()
    assert service.run(forget_once(service.context)) == 1
    kept = {row["id"] for row in inbox(service)}
    assert kept == {set_aside_id, pending["id"], young["id"]}


def finish(service: Running, event_ids: list[str]) -> None:
    """As the worker does."""
    now = service.clock.now()
    service.run(
        service.context.db.transaction(
            "test", lambda tx: table.finish_events(tx, event_ids, "ignored", None, now)
        )
    )


def test_a_big_heap_of_old_events_is_forgotten_in_small_batches(on_sqlite: Running) -> None:
    service = on_sqlite
    events = [queued(number, "charge.succeeded", None, None) for number in range(450)]
    queue(service, events)
    finish(service, [event.id for event in events])
    service.clock.added += timedelta(days=91).total_seconds()
    with counted_steps() as steps:
        assert service.run(forget_once(service.context)) == 450
    assert steps["commit.forget_events"] == 3
    assert inbox(service) == []


# --- a long queue --------------------------------------------------------------------------------


def queued(number: int, kind: str, intent_id: str | None, order_id: str | None) -> InboxEvent:
    at = datetime.now(UTC)
    return InboxEvent(f"evt_queued_{number}", kind, f"ch_{number}", intent_id, order_id, at)


def queue(service: Running, events: list[InboxEvent]) -> None:
    now = service.clock.now()

    async def insert(tx: Any, some: list[InboxEvent]) -> None:
        for event in some:
            await table.insert_event_once(tx, event, now)

    for start in range(0, len(events), 500):
        some = events[start : start + 500]
        service.run(service.context.db.transaction("test", lambda tx, s=some: insert(tx, s)))


def long_queue(service: Running, count: int, orders: list[str]) -> list[InboxEvent]:
    """Events of every kind, some of them of somebody else's intents."""
    intents = [service.intent_of(order_id) for order_id in orders]
    kinds = itertools.cycle([*sorted(OUTCOME_TYPES), "charge.refunded", "invoice.paid"])
    events = []
    for number, kind in zip(range(count), kinds, strict=False):
        place = number % len(orders)
        is_foreign = number % 7 == 6
        intent_id = "pi_of_somebody" if is_foreign else intents[place]
        order_id = None if is_foreign else orders[place]
        events.append(queued(number, kind, intent_id, order_id))
    return events


def test_thousands_of_queued_events_are_each_worked_on_once_by_two_drainers(
    start_service: StartService,
) -> None:
    service, other = start_service(), start_service()
    count = 5000 if service.settings.database_url.startswith("sqlite") else 2000
    orders = [authenticated_order(service)[0] for _ in range(10)]
    queue(service, long_queue(service, count, orders))

    def drain_all(one: Running) -> int:
        return sum(iter(lambda: drain(one), 0))

    with ThreadPoolExecutor(2) as threads:
        worked = list(threads.map(drain_all, (service, other)))
    assert sum(worked) == count and min(worked) > count / 10
    states = service.rows(
        "SELECT state, tries, count(*) AS n FROM stripe_events GROUP BY state, tries"
    )
    assert {(row["state"], row["tries"]) for row in states} == {("done", 1), ("ignored", 1)}
    assert sum(row["n"] for row in states) == count
    assert all(is_paid(service, order_id) for order_id in orders)
    notices = service.rows("SELECT order_id FROM outbox WHERE kind = 'order.paid'")
    assert sorted(row["order_id"] for row in notices) == sorted(orders)


@pytest.fixture
def apart_from_stripe(sqlite_url: str) -> Iterator[Running]:
    """The simulator in a process of its own, so that what it remembers is not counted here."""
    with SimulatorProcess() as stripe, running_service(sqlite_url, stripe) as service:
        yield service


def test_a_long_queue_takes_no_more_memory_than_a_short_one(apart_from_stripe: Running) -> None:
    service = apart_from_stripe
    orders = [authenticated_order(service)[0] for _ in range(2)]
    events = long_queue(service, 1000, orders)
    queue(service, events[:100])
    while drain(service) > 0:  # a turn ends after some seconds
        pass
    peaks = []
    for part in (events[100:200], events[200:]):
        queue(service, part)
        tracemalloc.start()
        assert sum(iter(lambda: drain(service), 0)) == len(part)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.5 * peaks[0], peaks  # for a queue eight times as long
