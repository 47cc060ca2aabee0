"""The way of an event to the merchant's endpoints: signed, at least once, in its order's order."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from paidonce import outgoing
from paidonce.endpoints import new_secret
from paidonce.observability import set_step_hook
from paidonce.outgoing.desk import Desk
from paidonce.outgoing.lane import LEASE
from paidonce.outgoing.retries import MOST_TRIES, PAUSES_SECONDS
from support.envelope import assert_error, assert_success
from support.receiver import EventReceiver, event_receiver
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    PRICE_MINOR,
    Running,
    StartService,
    running_service,
)


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as found:
        yield found


@pytest.fixture
def service(start_service: StartService, receiver: EventReceiver) -> Running:
    return start_service(**receiver.settings(), cards_without_delay=100)


@pytest.fixture
def on_sqlite(sqlite_url: str, stripe_simulator: Any, receiver: EventReceiver) -> Iterator[Running]:
    """For what the kind of database has no part in."""
    with running_service(sqlite_url, stripe_simulator, **receiver.settings()) as service:
        yield service


def deliver(service: Running, seconds: float = 0) -> int:
    """What is due after so much time."""
    service.clock.added += seconds
    count: int = service.run(outgoing.deliver_once(service.context))
    return count


def paid(service: Running) -> str:
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    return order_id


def declined_then_paid(service: Running) -> str:
    order_id = service.order()
    card = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(order_id, card), 402, "card_declined")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    return order_id


def deliveries(service: Running) -> list[dict[str, Any]]:
    return service.rows("SELECT * FROM event_deliveries ORDER BY position, endpoint")


def states(service: Running) -> list[str]:
    return [row["state"] for row in deliveries(service)]


# --- what is sent --------------------------------------------------------------------------------


def test_a_paid_order_is_told_once_and_its_signature_holds(
    service: Running, receiver: EventReceiver
) -> None:
    order_id = paid(service)
    assert deliver(service) > 0 and deliver(service) == 0
    (told,) = receiver.told
    event = Webhook(receiver.secret).verify(told.body, told.headers)
    (row,) = service.rows("SELECT id, created_at FROM outbox")
    number = service.order_view(order_id)["orderNumber"]
    payment_id = service.payment(order_id)["paymentId"]
    sequence = event.pop("sequence")
    assert isinstance(sequence, int)
    assert event == {
        "id": row["id"],
        "type": "order.paid",
        "version": 1,
        "timestamp": row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "orderId": order_id,
            "orderNumber": number,
            "userId": "alice",
            "paymentId": payment_id,
            "amountMinor": PRICE_MINOR,
            "currency": "usd",
            "metadata": {},
            "stripePaymentIntentId": service.intent_of(order_id),
        },
    }
    assert told.headers["webhook-id"] == row["id"]
    assert told.headers["content-type"] == "application/json"
    assert states(service) == ["delivered"]


def test_a_changed_body_id_or_time_does_not_verify(
    on_sqlite: Running, receiver: EventReceiver
) -> None:
    paid(on_sqlite)
    deliver(on_sqlite)
    (told,) = receiver.told
    hook = Webhook(receiver.secret)
    changes: list[tuple[bytes, dict[str, str]]] = [
        (told.body.replace(b"44000", b"44001"), {}),
        (told.body, {"webhook-id": "another"}),
        (told.body, {"webhook-timestamp": str(int(told.headers["webhook-timestamp"]) + 1)}),
    ]
    for body, changed in changes:
        with pytest.raises(WebhookVerificationError):
            hook.verify(body, {**told.headers, **changed})
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(told.body, told.headers)


def test_while_a_secret_is_rotated_both_sides_verify(
    start_service: StartService, receiver: EventReceiver
) -> None:
    old, new = new_secret(), new_secret()
    settings = {**receiver.settings(), "event_secrets": f"main={new},main={old}"}
    service = start_service(**settings)
    paid(service)
    deliver(service)
    (told,) = receiver.told
    assert len(told.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        assert Webhook(secret).verify(told.body, told.headers)["type"] == "order.paid"


# --- order ---------------------------------------------------------------------------------------


def test_an_orders_events_come_one_after_the_other(
    service: Running, receiver: EventReceiver
) -> None:
    orders = [declined_then_paid(service) for _ in range(4)]
    deliver(service)
    for order_id in orders:
        assert receiver.types(order_id) == ["payment.failed", "order.paid"]
    assert set(states(service)) == {"delivered"}


def test_what_is_not_taken_holds_up_its_own_order_and_no_other(
    service: Running, receiver: EventReceiver
) -> None:
    stuck, other = declined_then_paid(service), declined_then_paid(service)
    receiver.answer = lambda event: 500 if event["data"]["orderId"] == stuck else 200
    deliver(service)
    assert receiver.types(stuck) == ["payment.failed"]
    assert receiver.types(other) == ["payment.failed", "order.paid"]
    for seconds in (1, 2, 2 * PAUSES_SECONDS[0]):
        deliver(service, seconds)
    assert receiver.types(stuck) == ["payment.failed"] * 2
    receiver.answer = lambda _event: 200
    deliver(service, 2 * PAUSES_SECONDS[1])
    assert receiver.types(stuck) == ["payment.failed"] * 3 + ["order.paid"]
    assert set(states(service)) == {"delivered"}


# --- again ---------------------------------------------------------------------------------------


def test_a_try_again_has_the_same_id_and_body_and_its_own_time(
    on_sqlite: Running, receiver: EventReceiver
) -> None:
    paid(on_sqlite)
    receiver.answer = lambda _event: 500
    deliver(on_sqlite)
    receiver.answer = lambda _event: 200
    assert deliver(on_sqlite, PAUSES_SECONDS[0] - 1) == 0
    deliver(on_sqlite, PAUSES_SECONDS[0])
    first, second = receiver.told
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_after_three_days_of_tries_it_is_dead_and_the_next_one_goes(
    service: Running, receiver: EventReceiver
) -> None:
    order_id = declined_then_paid(service)
    receiver.answer = lambda event: 404 if event["type"] == "payment.failed" else 200
    deliver(service)
    began = service.clock.now()
    for pause in PAUSES_SECONDS:
        assert "dead" not in states(service)
        deliver(service, pause * 1.2 + 1)
    assert receiver.types(order_id) == ["payment.failed"] * MOST_TRIES + ["order.paid"]
    assert service.clock.now() - began > timedelta(days=3)
    first, second = deliveries(service)
    assert (first["state"], first["note"], first["last_status"]) == ("dead", "answered 404", 404)
    assert second["state"] == "delivered"
    assert deliver(service, 1_000_000) == 0


def test_retry_after_is_waited_for(on_sqlite: Running, receiver: EventReceiver) -> None:
    paid(on_sqlite)
    receiver.answer = lambda _event: (503, {"Retry-After": "3000"})
    deliver(on_sqlite)
    assert deliver(on_sqlite, 2900) == 0
    receiver.answer = lambda _event: 200
    deliver(on_sqlite, 200)
    assert states(on_sqlite) == ["delivered"] and len(receiver.told) == 2


def test_a_retry_after_that_is_no_time_costs_nobody_his_record(
    on_sqlite: Running, receiver: EventReceiver
) -> None:
    first = paid(on_sqlite)
    paid(on_sqlite)
    odd = {"Retry-After": "Fri, 27 Nov 99999999999999999999 00:01:00 GMT"}
    receiver.answer = lambda event: (500, odd) if event["data"]["orderId"] == first else (204, {})
    deliver(on_sqlite)
    assert states(on_sqlite) == ["pending", "delivered"]
    assert deliveries(on_sqlite)[0]["note"] == "answered 500"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_endpoint_that_has_too_much_is_left_alone_for_a_while(
    on_sqlite: Running, receiver: EventReceiver, status: int
) -> None:
    paid(on_sqlite)
    receiver.answer = lambda _event: status
    deliver(on_sqlite)
    paid(on_sqlite)
    receiver.answer = lambda _event: 200
    deliver(on_sqlite)
    assert len(receiver.told) == 1, "another order's event went out although it said: not now"
    deliver(on_sqlite, 20)
    assert states(on_sqlite) == ["delivered", "delivered"]


def test_gone_disables_the_endpoint_until_a_person_enables_it(
    service: Running, receiver: EventReceiver
) -> None:
    paid(service)
    receiver.answer = lambda _event: 410
    deliver(service)
    paid(service)
    receiver.answer = lambda _event: 200
    deliver(service, 100_000)
    assert len(receiver.told) == 1 and states(service) == ["pending", "pending"]
    steps: list[str] = []
    set_step_hook(lambda name, _when: steps.append(name))
    deliver(service)
    set_step_hook(None)
    assert steps == [], "nobody takes what may not be sent, twice a second"
    (row,) = service.rows("SELECT disabled_at, note FROM event_endpoints")
    assert row["disabled_at"] is not None and row["note"] == "answered 410"
    desk = Desk(service.context.db, service.clock)
    assert service.run(desk.enable("main"))
    deliver(service)
    assert states(service) == ["delivered", "delivered"]


# --- several -------------------------------------------------------------------------------------


def test_an_endpoint_that_hangs_holds_up_no_other(
    start_service: StartService, receiver: EventReceiver
) -> None:
    go_on = threading.Event()
    with event_receiver() as slow:
        slow.answer = lambda _event: 200 if go_on.wait(15) else 500
        both = {
            "event_endpoints": f"slow={slow.url},quick={receiver.url}",
            "event_secrets": f"slow={slow.secret},quick={receiver.secret}",
        }
        service = start_service(**{**receiver.settings(), **both})
        for _ in range(3):
            paid(service)
        with ThreadPoolExecutor(1) as thread:
            work = thread.submit(deliver, service)
            ends_at = time.monotonic() + 10
            while len(receiver.told) < 3 and time.monotonic() < ends_at:
                time.sleep(0.01)
            assert len(receiver.told) == 3 and not work.done()
            go_on.set()
            work.result()
        told = slow.told[0]
        assert Webhook(slow.secret).verify(told.body, told.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(receiver.secret).verify(told.body, told.headers)
    assert Counter((row["endpoint"], row["state"]) for row in deliveries(service)) == {
        ("slow", "delivered"): 3,
        ("quick", "delivered"): 3,
    }


def test_several_workers_tell_each_event_once_and_in_order(
    start_service: StartService, receiver: EventReceiver
) -> None:
    service, other = (
        start_service(**receiver.settings(), cards_without_delay=100) for _ in range(2)
    )
    orders = [declined_then_paid(service) for _ in range(6)]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            list(threads.map(deliver, (service, other, service, other)))
    assert len(receiver.told) == 12
    for order_id in orders:
        assert receiver.types(order_id) == ["payment.failed", "order.paid"]
    assert set(states(service)) == {"delivered"}


def test_what_was_sent_and_not_recorded_is_sent_again_under_the_same_id(
    service: Running, receiver: EventReceiver
) -> None:
    paid(service)

    def die(name: str, when: str) -> None:
        if (name, when) == ("commit.notices_told", "before"):
            raise RuntimeError("the worker is gone")

    set_step_hook(die)
    try:
        deliver(service)
    finally:
        set_step_hook(None)
    assert len(receiver.told) == 1 and states(service) == ["pending"]
    assert deliver(service, LEASE.total_seconds() - 5) == 0, "somebody may be at it still"
    deliver(service, 10)
    assert states(service) == ["delivered"]
    assert len({told.headers["webhook-id"] for told in receiver.told}) == 1
    assert len(receiver.told) == 2


def test_a_worker_that_does_not_know_a_new_endpoint_yet_loses_none_of_its_events(
    database_url: str, stripe_simulator: Any, receiver: EventReceiver
) -> None:
    """While a new endpoint is rolled out, a worker of before may be the one that spreads."""
    with event_receiver() as new:
        both = {
            "event_endpoints": f"main={receiver.url},new={new.url}",
            "event_secrets": f"main={receiver.secret},new={new.secret}",
        }
        old_settings = receiver.settings()
        with (
            running_service(database_url, stripe_simulator, **old_settings) as service,
            running_service(database_url, stripe_simulator, **{**old_settings, **both}) as other,
        ):
            paid(service)
            deliver(service)
            assert (len(receiver.told), len(new.told)) == (1, 0)
            deliver(other)
        assert (len(receiver.told), len(new.told)) == (1, 1)


def test_an_endpoint_is_told_what_happens_from_its_first_day_on(
    database_url: str, stripe_simulator: Any, receiver: EventReceiver
) -> None:
    with running_service(database_url, stripe_simulator) as service:
        paid(service)
        deliver(service)
        assert deliveries(service) == []
        assert service.rows("SELECT id FROM outbox WHERE spread_at IS NOT NULL") == []
    with running_service(database_url, stripe_simulator, **receiver.settings()) as service:
        order_id = paid(service)
        deliver(service)
    assert [told.event["data"]["orderId"] for told in receiver.told] == [order_id]
    assert datetime.fromisoformat(receiver.told[0].event["timestamp"]) < datetime.now(UTC)
