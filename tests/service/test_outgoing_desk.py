"""Outgoing events as the merchant and operators see them: lists, sending again, figures, and what
is forgotten."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from paidonce import outgoing
from paidonce.observability import render_metrics
from paidonce.outgoing import desk as desk_module
from paidonce.outgoing.desk import Desk
from paidonce.outgoing.retries import PAUSES_SECONDS
from paidonce.store import outbox
from support.envelope import assert_error, assert_success
from support.launcher import shared_launcher
from support.money_back import ask
from support.processes import script
from support.receiver import EventReceiver, event_receiver
from support.service import DECLINED_AT_CHARGE, GOOD, Running, StartService, running_service

DAYS = 24 * 3600.0


@pytest.fixture
def receiver() -> Iterator[EventReceiver]:
    with event_receiver() as found:
        yield found


@pytest.fixture
def service(start_service: StartService, receiver: EventReceiver) -> Running:
    return start_service(**receiver.settings("shop"))


def deliver(service: Running, seconds: float = 0) -> None:
    service.clock.added += seconds
    service.run(outgoing.deliver_once(service.context))


def paid(service: Running) -> str:
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    return order_id


def listed(service: Running, query: str = "") -> list[dict[str, Any]]:
    answer = service.merchant("GET", f"/api/events{query}")
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def make_dead(service: Running, receiver: EventReceiver) -> None:
    receiver.answer = lambda _event: 404
    for pause in (0, *PAUSES_SECONDS):
        deliver(service, pause * 1.2 + 1)
    receiver.answer = lambda _event: 204


# --- the merchant --------------------------------------------------------------------------------


def test_the_list_has_what_was_sent_and_to_whom(service: Running, receiver: EventReceiver) -> None:
    first, second = paid(service), paid(service)
    deliver(service)
    events = listed(service)
    assert [event["data"]["orderId"] for event in events] == [second, first]
    sent = {told.event["id"]: told.event for told in receiver.told}
    for event in events:
        (delivery,) = event.pop("deliveries")
        assert event == sent[event["id"]]
        assert delivery.pop("finishedAt") is not None
        assert delivery == {
            "endpoint": "shop",
            "state": "delivered",
            "tries": 1,
            "lastStatus": 204,
            "note": None,
            "nextTryAt": None,
        }
    one = service.merchant("GET", f"/api/events/{events[0]['id'].upper()}")
    assert assert_success(one)["id"] == events[0]["id"]


def test_the_list_is_filtered_and_walked_to_its_end(
    service: Running, receiver: EventReceiver
) -> None:
    order_id = service.order()
    card = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(order_id, card), 402, "card_declined")
    others = [paid(service) for _ in range(3)]
    receiver.answer = lambda event: 500 if event["type"] == "payment.failed" else 204
    deliver(service)
    assert [e["data"]["orderId"] for e in listed(service, "?type=payment.failed")] == [order_id]
    assert [e["type"] for e in listed(service, "?state=pending")] == ["payment.failed"]
    assert listed(service, "?state=dead") == []
    of_order = listed(service, f"?orderId={others[0].upper()}&state=&type=")
    assert [event["type"] for event in of_order] == ["order.paid"]
    walked, cursor = [], ""
    while True:
        answer = service.merchant("GET", f"/api/events?limit=3{cursor}").json()
        walked += [event["id"] for event in answer["data"]]
        if answer["nextCursor"] is None:
            break
        cursor = f"&cursor={answer['nextCursor']}"
    assert walked == [event["id"] for event in listed(service)] and len(walked) == 4


def test_a_filter_that_makes_no_sense_is_refused(service: Running) -> None:
    for query in ("state=lost", "type=%27%20OR%201", "type=order.payed", "cursor=abc", "limit=0"):
        assert_error(service.merchant("GET", f"/api/events?{query}"), 400, "invalid_request")
    assert_error(service.merchant("GET", "/api/events?orderId=1"), 400, "invalid_order_id")


def test_only_the_merchant_may_look_and_send_again(service: Running) -> None:
    paid(service)
    (event,) = listed(service)
    for method, path in (
        ("GET", "/api/events"),
        ("GET", f"/api/events/{event['id']}"),
        ("POST", f"/api/events/{event['id']}/resend"),
    ):
        assert_error(service.call(method, path), 401, "not_authenticated")
    for unknown in ("x", "00000000-0000-4000-8000-000000000000"):
        path = f"/api/events/{unknown}"
        assert_error(service.merchant("GET", path), 404, "event_not_found")
        assert_error(service.merchant("POST", f"{path}/resend"), 404, "event_not_found")


def test_an_event_is_sent_again_with_the_same_id(service: Running, receiver: EventReceiver) -> None:
    paid(service)
    deliver(service)
    (event,) = listed(service)
    answer = service.merchant("POST", f"/api/events/{event['id']}/resend")
    (delivery,) = assert_success(answer)["deliveries"]
    assert (delivery["state"], delivery["tries"]) == ("pending", 0)
    deliver(service)
    assert [told.headers["webhook-id"] for told in receiver.told] == [event["id"]] * 2
    assert receiver.told[0].body == receiver.told[1].body


def test_what_happened_before_there_was_an_endpoint_is_sent_by_hand(
    database_url: str, stripe_simulator: Any, receiver: EventReceiver
) -> None:
    with running_service(database_url, stripe_simulator) as service:
        paid(service)
        (event,) = listed(service)
        assert event["deliveries"] == []
        again = service.merchant("POST", f"/api/events/{event['id']}/resend")
        assert assert_success(again)["deliveries"] == []
    with running_service(database_url, stripe_simulator, **receiver.settings()) as service:
        deliver(service)
        assert receiver.told == []
        service.merchant("POST", f"/api/events/{event['id']}/resend")
        deliver(service)
    assert [told.event["id"] for told in receiver.told] == [event["id"]]


# --- operators -----------------------------------------------------------------------------------


def test_the_dead_are_counted_listed_and_sent_again(
    service: Running, receiver: EventReceiver
) -> None:
    paid(service)
    make_dead(service, receiver)
    paid(service)
    service.run(outgoing.measure_outgoing(service.context))
    metrics = render_metrics().decode()
    assert 'paidonce_outgoing_events{state="dead"} 1.0' in metrics
    assert 'paidonce_outgoing_events{state="waiting"} 1.0' in metrics
    desk = Desk(service.context.db, service.clock)
    assert service.run(desk.resend_all_dead()) == 1
    assert service.run(desk.resend_all_dead()) == 0
    service.run(outgoing.measure_outgoing(service.context))
    assert oldest_waiting() < 60, "what is sent again has waited from then on"
    deliver(service)
    assert [event["deliveries"][0]["state"] for event in listed(service)] == ["delivered"] * 2


def test_the_age_of_what_waits_is_measured(service: Running, receiver: EventReceiver) -> None:
    paid(service)
    service.clock.added += 500
    service.run(outgoing.measure_outgoing(service.context))
    assert 500 <= oldest_waiting() < 600, "an event that no worker has handed on yet"
    receiver.answer = lambda _event: 500
    deliver(service)
    service.clock.added += 200
    service.run(outgoing.measure_outgoing(service.context))
    assert 200 <= oldest_waiting() < 300


def oldest_waiting() -> float:
    name = "paidonce_outgoing_oldest_waiting_seconds "
    lines = render_metrics().decode().splitlines()
    return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


def test_what_was_delivered_is_forgotten_after_90_days_and_the_rest_is_kept(
    service: Running, receiver: EventReceiver
) -> None:
    dead = paid(service)
    make_dead(service, receiver)
    paid(service)
    deliver(service)
    service.clock.added += 89 * DAYS
    assert service.run(outgoing.forget_once(service.context)) == 0
    service.clock.added += 2 * DAYS
    waiting = paid(service)
    assert service.run(outgoing.forget_once(service.context)) == 1
    assert [event["data"]["orderId"] for event in listed(service)] == [waiting, dead]
    assert len(service.rows("SELECT event_id FROM event_deliveries")) == 1


def test_what_there_is_nobody_to_tell_is_forgotten_after_90_days_too(
    start_service: StartService,
) -> None:
    service = start_service()
    paid(service)
    service.clock.added += 89 * DAYS
    assert service.run(outgoing.forget_once(service.context)) == 0
    service.clock.added += 2 * DAYS
    young = paid(service)
    assert service.run(outgoing.forget_once(service.context)) == 1
    assert [row["order_id"] for row in service.rows("SELECT order_id FROM outbox")] == [young]
    assert service.run(Desk(service.context.db, service.clock).look()).new == 0


def test_what_waits_for_an_endpoint_that_is_not_served_is_not_forgotten(
    service: Running, start_service: StartService
) -> None:
    """It left the settings before the event was handed on, and may come back."""
    paid(service)
    other = start_service()
    other.clock.added += 91 * DAYS
    assert other.run(outgoing.forget_once(other.context)) == 0
    assert other.run(Desk(other.context.db, other.clock).look()).new == 1


def test_an_endpoint_that_is_enabled_is_told_at_once_and_in_order(
    service: Running, receiver: EventReceiver
) -> None:
    """Also what failed before it answered 410, and what waits behind that."""
    order_id = paid(service)
    receiver.answer = lambda _event: 500
    deliver(service)
    service.clock.added += PAUSES_SECONDS[0] * 1.2 + 1
    receiver.answer = lambda _event: 410
    deliver(service)
    assert ask(service, order_id).status_code == 200
    receiver.answer = lambda _event: 204
    deliver(service, 1)
    assert receiver.types() == ["order.paid"] * 2
    desk = Desk(service.context.db, service.clock)
    assert service.run(desk.enable("nobody")) is False
    assert service.run(desk.enable("shop")) is True
    deliver(service)
    assert receiver.types() == ["order.paid"] * 3 + ["order.refunded"]


def test_an_endpoint_that_left_for_good_leaves_nothing_that_waits(
    service: Running, receiver: EventReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much it is: batch by batch. What it was told stays, as evidence."""
    monkeypatch.setattr(desk_module, "RETIRE_BATCH", 1)
    paid(service)
    deliver(service)
    paid(service)
    make_dead(service, receiver)
    for _ in range(2):
        paid(service)
    receiver.answer = lambda _event: 500
    deliver(service)
    desk = Desk(service.context.db, service.clock)
    assert service.run(desk.retire("nobody")) is None
    assert service.run(desk.retire("shop")) == 3
    assert service.run(desk.retire("shop")) is None
    left = service.rows("SELECT state FROM event_deliveries")
    assert [row["state"] for row in left] == ["delivered"]
    state = service.run(desk.look())
    assert (state.waiting, state.endpoints) == (0, [])


def test_what_an_endpoint_was_told_that_has_left_is_not_sent_to_it_again(
    service: Running, receiver: EventReceiver
) -> None:
    """Nobody would ever take it, and it would wait for ever."""
    paid(service)
    deliver(service)
    (event,) = listed(service)
    desk = Desk(service.context.db, service.clock)
    assert service.run(desk.retire("shop")) == 0
    assert service.run(desk.resend(event["id"])) == 0
    again = service.merchant("POST", f"/api/events/{event['id']}/resend").json()
    assert again["message"] == "There is no endpoint to send to"
    assert service.run(desk.look()).waiting == 0
    now = service.clock.now()
    names = ["other", "third"]
    register = service.context.db.transaction(
        "x", lambda tx: outbox.register_endpoints(tx, names, now)
    )
    service.run(register)
    assert service.run(desk.resend(event["id"])) == 2, "it is for whoever is there"
    (event,) = listed(service)
    states = {each["endpoint"]: each["state"] for each in event["deliveries"]}
    assert states == {"shop": "delivered", "other": "pending", "third": "pending"}


def test_the_commands_say_it(
    sqlite_url: str, stripe_simulator: Any, receiver: EventReceiver
) -> None:
    with running_service(sqlite_url, stripe_simulator, **receiver.settings("shop")) as service:
        order_id = paid(service)
        receiver.answer = lambda _event: 410
        deliver(service)
        (event,) = listed(service)
        text = command(sqlite_url, "list")
        for word in (event["id"], "order.paid", order_id, "pending", "answered 410", "1 waiting"):
            assert word in text
        assert "shop: disabled (answered 410)" in text
        found = json.loads(command(sqlite_url, "list", "--json", "--order", order_id))
        assert found["waiting"] == 1 and found["events"] == [event]
        assert json.loads(command(sqlite_url, "show", event["id"], "--json")) == event
        assert "shop is told again" in command(sqlite_url, "enable", "shop")
        assert "on its way again, to 1" in command(sqlite_url, "resend", event["id"])
        receiver.answer = lambda _event: 204
        deliver(service)
        assert receiver.types() == ["order.paid"] * 2
        assert receiver.secret not in text and receiver.url not in text
    assert "0 on their way again" in command(sqlite_url, "resend", "--all-dead")
    assert command(sqlite_url, "secret").startswith("whsec_")
    for wrong in (("show", "x"), ("resend", "x"), ("enable", "x"), ("retire", "x")):
        command(sqlite_url, *wrong, exits=1)
    command(sqlite_url, "resend", exits=2)


def command(database_url: str, *arguments: str, exits: int = 0) -> str:
    done = shared_launcher().run(
        script("paidonce"), "notices", *arguments, environment={"DATABASE_URL": database_url}
    )
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout + done.stderr
