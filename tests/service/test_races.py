"""Many at once: requests, processes, users, cards. One order is charged once, one user has one
customer, and whoever loses is told to wait or gets the winner's answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import requests

from support.envelope import assert_envelope, assert_error, assert_requires_action, assert_success
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService, wait_until

Result = TypeVar("Result")
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
WAITING = {"payment_in_progress", "payment_processing"}


@pytest.fixture
def service(start_service: StartService) -> Iterator[Running]:
    """A running service; whatever the test did, no order is charged twice at its end."""
    running = start_service(cards_per_user_and_hour=100, declines_per_user_and_hour=100)
    yield running
    groups = running.simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(call) for call in calls]
        return [one.result() for one in running]


def pay_call(service: Running, order_id: str, card: str) -> Callable[[], requests.Response]:
    return lambda: service.pay(order_id, card)


def assert_paid_or_told_to_wait(answers: Sequence[requests.Response]) -> list[dict[str, Any]]:
    """Every answer is a success or says wait; returns the data of the successes."""
    paid = []
    for answer in answers:
        body = assert_envelope(answer)
        if answer.status_code == 200:
            assert body["status"] == "success", body
            paid.append(body["data"])
        else:
            assert answer.status_code == 409 and body["code"] in WAITING, body
            assert body["nextStep"] == "wait", body
    return paid


def slow_down(service: Running, match: dict[str, Any]) -> None:
    service.simulator.add_fault(match=match, kind="latency", seconds=0.3)


# --- one order, one card -------------------------------------------------------------------------


@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared", "unprepared"])
@pytest.mark.parametrize("is_known_card", [True, False], ids=["known-card", "new-card"])
def test_twelve_identical_requests_charge_once(
    service: Running, is_known_card: bool, is_prepared: bool
) -> None:
    card = service.simulator.create_card(GOOD)
    if is_known_card:
        assert_success(service.pay(service.order(), card))
    order_id = service.order(is_prepared=is_prepared)
    slow_down(service, CONFIRM)
    before = service.last_request()
    answers = at_once([pay_call(service, order_id, card)] * 12)
    paid = assert_paid_or_told_to_wait(answers)
    assert paid and all(data == paid[0] for data in paid)
    confirms = [call for call in service.stripe_calls(before) if call[1].endswith("/confirm")]
    assert len(confirms) == 1
    service.simulator.clear_faults()
    assert assert_success(service.pay(order_id, card)) == paid[0]
    assert service.charges(order_id) == 1
    assert service.simulator.audit()["totals"]["customers"] == 1


def test_a_duplicate_gets_the_first_ones_decline_and_not_a_second_try(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    slow_down(service, CONFIRM)
    answers = at_once([pay_call(service, order_id, card)] * 3)
    for answer in answers:
        assert_error(answer, 402, "card_declined")
    attempts = service.rows("SELECT id FROM payment_attempts WHERE order_id = $1", order_id)
    assert len(attempts) <= 3
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_a_duplicate_that_looks_late_is_not_told_of_a_decline_when_the_order_is_paid_by_then(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the declined attempt, and looks again only after another card has paid."""
    bad, good = (
        service.simulator.create_card(DECLINED_AT_CHARGE),
        service.simulator.create_card(GOOD),
    )
    order_id = service.order()
    assert_error(service.pay(order_id, bad), 402, "card_declined")  # known from now on
    is_waiting, may_look = threading.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        is_waiting.set()
        await may_look.wait()

    slow_down(service, CONFIRM)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(service.pay, order_id, bad)
        time.sleep(0.1)  # its attempt stands, its confirm is slow
        monkeypatch.setattr(service.clock, "sleep", sleep)
        duplicate = threads.submit(service.pay, order_id, bad)
        assert is_waiting.wait(10)
        assert_error(first.result(), 402, "card_declined")
        assert_success(service.pay(order_id, good))
        service.loop.call_soon_threadsafe(may_look.set)
        assert_success(duplicate.result())
    assert service.charges(order_id) == 1


def test_a_double_tap_of_three_d_secure_is_one_challenge(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    slow_down(service, CONFIRM)
    answers = at_once([pay_call(service, order_id, card)] * 4)
    service.simulator.clear_faults()
    actions = [assert_requires_action(answer) for answer in answers]
    assert all(action == actions[0] for action in actions)
    service.simulator.authenticate(actions[0]["paymentIntentId"], "success")
    confirms = at_once([lambda: service.confirm(order_id)] * 4)
    for answer in confirms:
        assert_success(answer)
    assert service.charges(order_id) == 1


def test_sixteen_requests_to_two_services_charge_once(
    service: Running, start_service: StartService
) -> None:
    other, card = start_service(), service.simulator.create_card(GOOD)
    order_id = service.order()
    slow_down(service, CONFIRM)
    calls = [pay_call(one, order_id, card) for one in (service, other)] * 8
    paid = assert_paid_or_told_to_wait(at_once(calls))
    assert paid and all(data == paid[0] for data in paid)
    service.simulator.clear_faults()
    for one in (service, other):
        assert assert_success(one.pay(order_id, card)) == paid[0]
    assert service.charges(order_id) == 1


def test_two_services_prepare_one_order_with_one_intent_that_can_charge(
    service: Running, start_service: StartService
) -> None:
    """Nothing is there yet: no customer, no intent. Both begin at once."""
    other = start_service()
    for n in range(3):
        user = f"user-{n}"
        card = service.simulator.create_card(GOOD)
        order_id = service.order(user, is_prepared=False)
        calls = [
            lambda one=one, order_id=order_id, card=card, user=user: one.pay(
                order_id, card, user=user
            )
            for one in (service, other, other)
        ]
        assert assert_paid_or_told_to_wait(at_once(calls))
        assert_success(other.pay(order_id, card, user=user))
        assert service.charges(order_id) == 1
    assert service.simulator.audit()["totals"]["customers"] == 3


def test_pay_confirm_and_view_at_once_agree(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    slow_down(service, CONFIRM)
    answers = at_once(
        [
            pay_call(service, order_id, card),
            pay_call(service, order_id, card),
            lambda: service.call("GET", f"/api/mobile-app/orders/{order_id}/payment"),
        ]
    )
    assert_paid_or_told_to_wait(answers[:2])
    assert assert_success(answers[2])["status"] in ("none", "processing", "succeeded")
    service.simulator.clear_faults()
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


# --- two cards -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [CONFIRM, ATTACH], ids=["slow-confirm", "slow-attach"])
def test_two_cards_at_once_on_one_order_charge_once(service: Running, slow: dict[str, Any]) -> None:
    order_id = service.order()
    cards = [service.simulator.create_card(GOOD) for _ in range(2)]
    slow_down(service, slow)
    answers = at_once([pay_call(service, order_id, card) for card in cards])
    paid = assert_paid_or_told_to_wait(answers)
    assert paid
    service.simulator.clear_faults()
    for card in cards:
        assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_a_declined_card_and_a_good_one_at_once_end_paid_once(service: Running) -> None:
    order_id = service.order()
    bad, good = (service.simulator.create_card(n) for n in (DECLINED_AT_CHARGE, GOOD))
    slow_down(service, CONFIRM)
    of_bad, of_good = at_once([pay_call(service, order_id, card) for card in (bad, good)])
    assert assert_envelope(of_bad)["status"] in ("success", "error")
    assert_paid_or_told_to_wait([of_good])
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, good))
    assert service.charges(order_id) == 1


def test_two_cards_that_need_a_challenge_leave_one_that_can_charge(service: Running) -> None:
    order_id = service.order()
    cards = [service.simulator.create_card(NEEDS_3DS) for _ in range(2)]
    answers = at_once([pay_call(service, order_id, card) for card in cards])
    intents = {
        answer.json()["data"]["paymentIntentId"] for answer in answers if answer.status_code == 200
    }
    for intent_id in intents:
        try:
            service.simulator.authenticate(intent_id, "success")
        except Exception as error:
            assert "no authentication is pending" in str(error)
    service.recover()
    assert_success(service.confirm(order_id))
    assert service.charges(order_id) == 1


def test_two_cards_take_each_others_place_once(service: Running) -> None:
    """The older card comes back from its attach while the newer one is at its own: it waits."""
    order_id = service.order()
    cards = older, newer = [service.simulator.create_card(GOOD) for _ in range(2)]
    holds = []
    with ThreadPoolExecutor(2) as threads:
        answers = []
        for card in cards:
            attach = {"method": "POST", "path": f"/v1/payment_methods/{card}/attach"}
            holds.append(service.simulator.add_fault(match=attach, kind="hold"))
            answers.append(threads.submit(service.pay, order_id, card))
            service.wait_until_struck(holds[-1])
        paused = len(service.clock.paused)
        service.simulator.remove_fault(holds[0])
        wait_until(
            lambda: len(service.clock.paused) > paused or answers[0].done(), "nothing happened"
        )
        service.simulator.remove_fault(holds[1])
        for answer in answers:
            assert_success(answer.result())
    attempts = service.rows("SELECT requested_method_id, state FROM payment_attempts ORDER BY n")
    assert [tuple(row.values()) for row in attempts] == [
        (older, "superseded"),
        (newer, "succeeded"),
    ]


# --- users ---------------------------------------------------------------------------------------


def test_twenty_first_payments_of_a_user_make_one_customer(service: Running) -> None:
    orders = at_once([lambda: service.order(is_prepared=False)] * 20)
    cards = [service.simulator.create_card(GOOD) for _ in orders]
    pairs = zip(orders, cards, strict=True)
    answers = at_once([pay_call(service, order_id, card) for order_id, card in pairs])
    assert_paid_or_told_to_wait(answers)
    for order_id, card in zip(orders, cards, strict=True):
        assert_success(service.pay(order_id, card))
    assert [service.charges(order_id) for order_id in orders] == [1] * 20
    assert service.simulator.audit()["totals"]["customers"] == 1


def test_one_card_pays_many_orders_at_once(service: Running) -> None:
    orders = [service.order() for _ in range(6)]
    card = service.simulator.create_card(GOOD)
    answers = at_once([pay_call(service, order_id, card) for order_id in orders])
    assert_paid_or_told_to_wait(answers)
    for order_id in orders:
        assert_success(service.pay(order_id, card))
    assert [service.charges(order_id) for order_id in orders] == [1] * 6


def test_a_method_belongs_to_the_user_who_used_it_first(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    of_bob = service.order("bob")
    for _ in range(2):
        answer = service.pay(of_bob, card, user="bob")
        assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.charges(of_bob) == 0
    assert_success(service.pay(of_bob, service.simulator.create_card(GOOD), user="bob"))
    assert service.charges(of_bob) == 1


def test_two_users_with_one_method_at_once_charge_one_of_them(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    orders = {user: service.order(user) for user in ("alice", "bob")}
    slow_down(service, ATTACH)
    calls = [
        lambda user=user, order_id=order_id: service.pay(order_id, card, user=user)
        for user, order_id in orders.items()
    ]
    answers = at_once(calls)
    assert sorted(answer.status_code for answer in answers) == [200, 404]
    for answer in answers:
        if answer.status_code == 404:
            assert_error(answer, 404, "payment_method_not_found")
    assert sum(service.charges(order_id) for order_id in orders.values()) == 1
    service.simulator.clear_faults()
    for user, order_id in orders.items():
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD), user=user))
        assert service.charges(order_id) == 1


def test_another_users_order_is_as_if_it_did_not_exist(service: Running) -> None:
    order_id, card = service.order("alice"), service.simulator.create_card(GOOD)
    answers = at_once(
        [
            lambda: service.pay(order_id, card, user="bob"),
            lambda: service.confirm(order_id, user="bob"),
        ]
    )
    for answer in answers:
        assert_error(answer, 404, "order_not_found")
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1
