"""Stripe slow, gone, refusing, or cut off in the middle: no lying answer, and one charge."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from paidonce.gateway import client as gateway_client
from paidonce.payments.requests import attach_request
from paidonce.store import attempts
from stripesim import guesses
from support.envelope import assert_envelope, assert_error, assert_requires_action, assert_success
from support.legacy import database_away
from support.processes import free_port
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
    running_service,
)

KINDS = [
    "drop_request",
    "drop_response",
    "error_before",
    "error_after",
    "error_saved",
    "rate_limit",
    "lock_timeout",
    "key_in_use",
    "truncate",
    "bad_gateway_html",
]
NOT_EXECUTED = {"rate_limit", "lock_timeout"}
EXECUTED = {"drop_response", "error_after", "truncate", "bad_gateway_html"}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
CREATE = {"method": "POST", "path": "/v1/payment_intents"}
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
CUSTOMER = {"method": "POST", "path": "/v1/customers"}
SAVED = {"error_after", "error_saved"}
STAGES = {
    "customer": CUSTOMER,
    "attach": ATTACH,
    "create": CREATE,
    "confirm": CONFIRM,
    "confirm_known": CONFIRM,
    "look": LOOK,
}
DAY = 24 * 3600 + 60


@pytest.fixture
def service(start_service: StartService) -> Iterator[Running]:
    """A running service; whatever the test did, no order is charged twice at its end.

    Pauses between repeats are nearly nothing here.
    """
    running = start_service()
    running.clock.sleep = lambda seconds: asyncio.sleep(seconds / 100)  # type: ignore[method-assign]
    yield running
    groups = running.simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []


def generations(service: Running, order_id: str) -> list[str]:
    """The states of an order's payments, first generation first."""
    rows = service.rows(
        "SELECT state FROM payments WHERE order_id = $1 ORDER BY generation", order_id
    )
    return [str(row["state"]) for row in rows]


def customer_of(service: Running, user: str = "alice") -> str:
    rows = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = $1", user)
    return str(rows[0]["id"])


def keys_of(service: Running, path: str, after: int = 0) -> list[str]:
    """The idempotency keys of the POSTs to `path`, in order."""
    return [
        item["idempotency_key"]
        for item in service.simulator.requests(after=after)
        if item["method"] == "POST" and item["path"] == path
    ]


def paying_method(service: Running, order_id: str) -> str:
    """The method whose charge succeeded, by Stripe's object."""
    intent = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    assert intent["status"] == "succeeded", intent
    return str(intent["payment_method"])


def lose_every_confirm(service: Running, kind: str, times: int | None = None) -> None:
    match = CONFIRM if times is None else {**CONFIRM, "times": times}
    service.simulator.add_fault(match=match, kind=kind)


# --- every fault at every call -------------------------------------------------------------------


def expected_answer(stage: str, kind: str) -> tuple[int, str | None]:
    if stage == "look":
        return 409, "payment_processing"
    if stage.startswith("confirm"):
        if kind in NOT_EXECUTED:
            return 503, "stripe_unavailable"
        return (200, None) if kind in EXECUTED | SAVED else (409, "payment_processing")
    return (200, None) if kind in SAVED else (503, "stripe_unavailable")


def begin(service: Running, stage: str, kind: str, user: str) -> tuple[str, str]:
    """An order whose next pay request meets the fault; and the card it is paid with."""
    card = service.simulator.create_card(GOOD)
    is_early = stage in ("customer", "create")
    if stage == "confirm_known":
        assert_success(service.pay(service.order(user), card, user=user))
    order_id = "" if is_early else service.order(user)
    match = STAGES[stage]
    if kind in SAVED:  # the saved answer alone repeats it
        match = {**match, "times": 1}
    if stage == "look":
        service.simulator.add_fault(match={**CONFIRM, "times": 3}, kind="drop_response")
    service.simulator.add_fault(match=match, kind=kind)
    return order_id or service.order(user, is_prepared=False), card


@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_of_any_call_lies_or_charges_twice(service: Running, kind: str) -> None:
    for ending in ("repeat", "recovery"):
        for stage in STAGES:
            _meet_fault(service, stage, kind, ending)


def _meet_fault(service: Running, stage: str, kind: str, ending: str) -> None:
    """One order meets one fault: the answer is true, and then it is paid, once."""
    case, user = f"{kind} at {stage}, then {ending}", f"{stage}-{ending}"
    order_id, card = begin(service, stage, kind, user)
    answer = service.pay(order_id, card, user=user)
    body = assert_envelope(answer)
    found = (answer.status_code, body.get("code"))
    assert found == expected_answer(stage, kind), (case, body)
    charges = service.charges(order_id)
    assert charges == 1 or answer.status_code != 200, case
    assert charges == 0 or answer.status_code != 503, case
    service.simulator.clear_faults()
    if ending == "recovery":
        service.recover()
        is_unpaid = answer.status_code == 503
        assert service.charges(order_id) == (0 if is_unpaid else 1), case
        status = service.order_view(order_id, user)["status"]
        assert status == ("pending" if is_unpaid else "paid"), case
    assert_success(service.pay(order_id, card, user=user))
    assert service.charges(order_id) == 1, case
    assert service.order_view(order_id, user)["status"] == "paid", case


# --- 5xx saved under a key -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "path"),
    [(CREATE, "/v1/payment_intents"), (CUSTOMER, "/v1/customers")],
    ids=["create", "customer"],
)
def test_a_harmless_call_gets_its_next_key_after_a_saved_error(
    service: Running, match: dict[str, Any], path: str
) -> None:
    service.simulator.add_fault(match={**match, "times": 1}, kind="error_after")
    order_id = service.order()
    numbers = [key.rpartition(":")[2] for key in keys_of(service, path)]
    if path == "/v1/customers":  # it was executed: found by its metadata, not made again
        assert numbers == ["0", "0"]
        assert service.simulator.audit()["totals"]["customers"] == 1
    else:
        assert numbers == ["0", "0", "1"]
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_an_attach_gets_its_next_key_after_a_saved_error(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**ATTACH, "times": 1}, kind="error_after")
    assert_success(service.pay(order_id, card))
    keys = keys_of(service, f"/v1/payment_methods/{card}/attach")
    assert [key.rpartition(":")[2] for key in keys] == ["0", "0", "1"]
    assert len({key.rpartition(":")[0] for key in keys}) == 1
    assert service.charges(order_id) == 1


def test_an_attach_to_another_customer_has_another_key(service: Running) -> None:
    """The process died behind the attach, and the customer was deleted at Stripe meanwhile."""
    order_id = service.order()
    service.pay(order_id, service.simulator.create_card(GOOD))
    attempt = service.run(
        service.context.db.read(lambda tx: attempts.get_latest_attempt(tx, order_id))
    )
    keys = {attach_request(service.context, attempt, each).key for each in ("cus_1", "cus_2")}
    assert len(keys) == 2


def test_a_confirm_never_gets_another_key_after_a_saved_error(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, "error_after")
    assert_success(service.pay(order_id, card))
    keys = keys_of(service, f"/v1/payment_intents/{service.intent_of(order_id)}/confirm")
    assert len(keys) == 2 and len(set(keys)) == 1
    assert service.charges(order_id) == 1


def test_a_saved_error_of_a_confirm_that_declined_is_found_out_by_looking(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    lose_every_confirm(service, "error_after", times=1)
    answer = service.pay(order_id, card)
    body = assert_envelope(answer)
    assert body["status"] == "error" and answer.status_code in (402, 409), body
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


# --- gone ----------------------------------------------------------------------------------------


def start_without_stripe(start_service: StartService) -> Running:
    return start_service(stripe_api_base=f"http://127.0.0.1:{free_port()}")


def test_stripe_gone_from_the_start_is_unavailable_and_charges_later(
    start_service: StartService,
) -> None:
    lonely = start_without_stripe(start_service)
    order_id, card = lonely.order(), lonely.simulator.create_card(GOOD)
    for _ in range(2):
        body = assert_error(lonely.pay(order_id, card), 503, "stripe_unavailable", "retry")
        assert body["retryAfter"] > 0
    assert lonely.charges(order_id) == 0
    service = start_service()
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1
    assert assert_success(lonely.pay(order_id, card))["orderId"] == order_id


def test_stripe_gone_before_a_prepared_confirm_is_surely_not_executed(
    start_service: StartService,
) -> None:
    service = start_service()
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    order_id = service.order()
    lonely = start_without_stripe(start_service)
    assert_error(lonely.pay(order_id, card), 503, "stripe_unavailable", "retry")
    assert service.charges(order_id) == 0
    service.recover()
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_stripe_gone_after_a_send_is_never_called_unavailable(
    start_service: StartService,
) -> None:
    service = start_service()
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    lonely = start_without_stripe(start_service)
    for method in (card, service.simulator.create_card(GOOD)):
        assert_error(lonely.pay(order_id, method), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_a_confirm_without_the_database_is_never_called_unavailable(
    postgres_url: str, stripe_simulator: Any
) -> None:
    """What it asks about may have charged."""
    with running_service(postgres_url, stripe_simulator) as service:
        order_id = service.order()
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        with database_away(postgres_url):
            assert_error(service.confirm(order_id), 409, "payment_processing", "wait")
        assert_success(service.confirm(order_id))


@pytest.mark.parametrize("created", [10**17, 10**20])
def test_a_time_that_no_clock_has_is_no_answer(service: Running, created: int) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    for match in (CONFIRM, LOOK):
        service.simulator.add_fault(kind="lie", match=match, fields={"created": created})
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_an_open_circuit_is_never_called_unavailable_while_an_attempt_is_unknown(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    for _ in range(4):
        assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    assert service.context.gateway.is_circuit_open
    before = service.last_request()
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    other = service.order(is_prepared=False)
    assert_error(service.pay(other, card), 503, "stripe_unavailable", "retry")
    assert service.stripe_calls(before) == []
    assert service.charges(order_id) == 1 and service.charges(other) == 0


# --- slow ----------------------------------------------------------------------------------------


def test_a_confirm_that_arrives_late_is_found_out_and_charges_once(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_client, "CALL_TIMEOUT_SECONDS", 0.2)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="latency", seconds=1.5)
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    assert service.charges(order_id) == 0
    monkeypatch.undo()
    ends_at = time.monotonic() + 10
    while (answer := service.pay(order_id, card)).status_code != 200:
        assert_error(answer, 409, "payment_processing", "wait")
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    assert_success(answer)
    assert service.charges(order_id) == 1


def test_a_confirm_that_arrives_late_cannot_charge_beside_another_card(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_client, "CALL_TIMEOUT_SECONDS", 0.2)
    order_id, first = service.order(), service.simulator.create_card(GOOD)
    second = service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="latency", seconds=1.2)
    assert_error(service.pay(order_id, first), 409, "payment_processing", "wait")
    old = service.intent_of(order_id)
    monkeypatch.undo()
    assert_success(service.pay(order_id, second))

    def has_arrived() -> bool:
        confirms = [
            item
            for item in service.simulator.requests(after=0)
            if item["path"] == f"/v1/payment_intents/{old}/confirm" and item["status"] != 409
        ]
        return bool(confirms)

    ends_at = time.monotonic() + 10
    while not has_arrived():
        assert time.monotonic() < ends_at
        time.sleep(0.03)
    assert service.charges(order_id) == 1
    service.recover()
    assert service.charges(order_id) == 1


def test_a_confirm_that_lands_between_the_look_and_the_cancel_is_the_one_charge(
    service: Running,
) -> None:
    """The cancel is refused then, and a refused cancel means look again."""
    order_id, first = service.order(), service.simulator.create_card(GOOD)
    second, intent = service.simulator.create_card(GOOD), service.intent_of(order_id)
    lose_every_confirm(service, "drop_request")
    assert_error(service.pay(order_id, first), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    cancel = {"method": "POST", "path": "/v1/payment_intents/*/cancel"}
    service.simulator.add_fault(match=cancel, kind="latency", seconds=2)
    before = service.last_request()
    with ThreadPoolExecutor(1) as threads:
        payer = threads.submit(service.pay, order_id, second)
        while not service.simulator.requests(after=before):  # the look
            time.sleep(0.02)
        service.stripe("POST", f"/v1/payment_intents/{intent}/confirm", payment_method=first)
        assert_success(payer.result())
    assert paying_method(service, order_id) == first
    assert service.charges(order_id) == 1


# --- unknown, and another card -------------------------------------------------------------------


def test_another_card_after_a_lost_confirm_cancels_the_intent_and_pays_in_the_next_generation(
    service: Running,
) -> None:
    order_id, first = service.order(), service.simulator.create_card(GOOD)
    second = service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_request", times=3)
    assert_error(service.pay(order_id, first), 409, "payment_processing", "wait")
    old = service.intent_of(order_id)
    assert_success(service.pay(order_id, second))
    assert service.stripe("GET", f"/v1/payment_intents/{old}")["status"] == "canceled"
    assert generations(service, order_id) == ["canceled", "succeeded"]
    assert paying_method(service, order_id) == second
    assert service.charges(order_id) == 1


def test_another_card_after_a_lost_success_gets_the_first_ones_success(service: Running) -> None:
    order_id, first = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, first), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert paying_method(service, order_id) == first
    assert generations(service, order_id) == ["succeeded"]
    assert service.charges(order_id) == 1


def test_another_card_waits_while_stripe_cannot_cancel_the_unknown_one(service: Running) -> None:
    order_id, first = service.order(), service.simulator.create_card(GOOD)
    second = service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_request")
    service.simulator.add_fault(
        match={"method": "POST", "path": "/v1/payment_intents/*/cancel"}, kind="error_before"
    )
    assert_error(service.pay(order_id, first), 409, "payment_processing", "wait")
    assert_error(service.pay(order_id, second), 409, "payment_processing", "wait")
    assert service.charges(order_id) == 0
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, second))
    assert service.charges(order_id) == 1


def test_a_never_sent_attempt_gives_way_to_another_card(service: Running) -> None:
    order_id, slow = service.order(), service.simulator.create_card(GOOD)
    other = service.simulator.create_card(GOOD)
    path = f"/v1/payment_methods/{slow}/attach"
    service.simulator.add_fault(match={"method": "POST", "path": path}, kind="latency", seconds=0.5)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(service.pay, order_id, slow)
        while not service.rows(
            "SELECT id FROM payment_attempts WHERE requested_method_id = $1", slow
        ):
            pass
        assert_success(service.pay(order_id, other))
        assert_success(first.result())
    assert paying_method(service, order_id) == other
    states = service.rows("SELECT state FROM payment_attempts ORDER BY n")
    assert [row["state"] for row in states] == ["superseded", "succeeded"]
    assert service.charges(order_id) == 1


# --- keys that Stripe has forgotten --------------------------------------------------------------


def let_a_day_pass(service: Running) -> None:
    service.clock.added += DAY
    service.simulator.advance_clock(DAY)


@pytest.mark.parametrize("who", ["client", "recovery"])
@pytest.mark.parametrize("kind", ["drop_request", "drop_response"])
def test_a_confirm_older_than_a_day_is_never_sent_again(
    service: Running, kind: str, who: str
) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, kind)
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    old = service.intent_of(order_id)
    was_charged = service.charges(order_id) == 1
    assert was_charged == (kind == "drop_response")
    service.simulator.clear_faults()
    let_a_day_pass(service)
    before = service.last_request()
    if who == "recovery":
        service.recover()
        assert service.order_view(order_id)["status"] == ("paid" if was_charged else "pending")
    assert_success(service.pay(order_id, card))
    assert keys_of(service, f"/v1/payment_intents/{old}/confirm", before) == []
    expected = "succeeded" if was_charged else "canceled"
    assert service.stripe("GET", f"/v1/payment_intents/{old}")["status"] == expected
    assert service.charges(order_id) == 1


def test_an_intent_whose_answer_was_lost_a_day_ago_is_adopted(service: Running) -> None:
    service.simulator.add_fault(match=CREATE, kind="drop_response")
    order_id = service.order()
    service.simulator.clear_faults()
    made = service.simulator.audit()["totals"]["payment_intents"]
    assert made == 1 and service.intent_of(order_id) == "None"
    let_a_day_pass(service)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.simulator.audit()["totals"]["payment_intents"] == 1
    assert service.charges(order_id) == 1


def test_a_customer_whose_answer_was_lost_a_day_ago_is_adopted(service: Running) -> None:
    service.simulator.add_fault(match=CUSTOMER, kind="drop_response")
    order_id = service.order()
    service.simulator.clear_faults()
    assert customer_of(service) == "None"
    let_a_day_pass(service)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.simulator.audit()["totals"]["customers"] == 1
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("hours", [5, 30])
def test_a_customer_made_behind_a_saved_error_is_found_however_late(
    service: Running, hours: float
) -> None:
    """Nothing arrived at first; hours later the create is executed, and Stripe saves a 500."""
    service.simulator.add_fault(match=CUSTOMER, kind="drop_request")
    order_id = service.order()
    assert service.simulator.audit()["totals"]["customers"] == 0
    service.simulator.clear_faults()
    service.clock.added += hours * 3600
    service.simulator.advance_clock(hours * 3600)
    service.simulator.add_fault(match={**CUSTOMER, "times": 1}, kind="error_after")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.simulator.audit()["totals"]["customers"] == 1


# --- changed by hand at Stripe -------------------------------------------------------------------


def test_a_customer_deleted_before_the_order_is_replaced(service: Running) -> None:
    assert_success(service.pay(service.order(), service.simulator.create_card(GOOD)))
    gone = customer_of(service)
    service.stripe("DELETE", f"/v1/customers/{gone}")
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert customer_of(service) != gone
    assert service.charges(order_id) == 1


def test_a_customer_deleted_before_the_attach_is_replaced(service: Running) -> None:
    order_id = service.order()
    gone, old = customer_of(service), service.intent_of(order_id)
    service.stripe("DELETE", f"/v1/customers/{gone}")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert customer_of(service) != gone
    assert generations(service, order_id) == ["canceled", "succeeded"]
    assert service.stripe("GET", f"/v1/payment_intents/{old}")["status"] == "canceled"
    assert service.charges(order_id) == 1


def test_a_customer_deleted_between_attach_and_create_is_replaced(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    gone = customer_of(service)
    service.simulator.add_fault(match=CREATE, kind="error_before")
    order_id = service.order()
    service.simulator.clear_faults()
    assert service.intent_of(order_id) == "None"
    service.stripe("DELETE", f"/v1/customers/{gone}")
    answer = service.pay(order_id, card)
    if answer.status_code != 200:  # Stripe keeps the card with the customer who is gone
        assert_error(answer, 404, "payment_method_not_found")
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert customer_of(service) != gone
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("is_refused", [False, True], ids=["confirmed", "refused"])
def test_a_customer_deleted_before_the_confirm_does_not_block_the_order(
    service: Running, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    """Nobody knows whether Stripe confirms an intent whose customer is gone."""
    monkeypatch.setattr(guesses, "DELETED_CUSTOMERS_INTENT_CAN_BE_CONFIRMED", not is_refused)
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    order_id = service.order()
    service.stripe("DELETE", f"/v1/customers/{customer_of(service)}")
    answer = service.pay(order_id, card)
    if is_refused:  # Stripe keeps the card with the customer who is gone
        assert_error(answer, 404, "payment_method_not_found")
        assert service.charges(order_id) == 0
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        assert generations(service, order_id) == ["canceled", "succeeded"]
    else:
        assert_success(answer)
    assert service.charges(order_id) == 1
    next_order = service.order()
    assert_success(service.pay(next_order, service.simulator.create_card(GOOD)))
    assert service.charges(next_order) == 1


def test_two_payments_that_find_the_customer_gone_make_one_new_customer(service: Running) -> None:
    orders = [service.order(), service.order()]
    gone = customer_of(service)
    cards = [service.simulator.create_card(GOOD) for _ in orders]
    service.stripe("DELETE", f"/v1/customers/{gone}")
    # One hears of it when the other has replaced the customer already.
    service.simulator.add_fault(match={**ATTACH, "times": 1}, kind="latency", seconds=2)
    with ThreadPoolExecutor(2) as threads:
        for answer in threads.map(service.pay, orders, cards):
            assert_success(answer)
    customers = service.stripe("GET", "/v1/customers")["data"]
    assert [found["id"] for found in customers if found["id"] != gone] == [customer_of(service)]
    assert [service.charges(order_id) for order_id in orders] == [1, 1]


@pytest.mark.parametrize("is_known_card", [True, False], ids=["known-card", "new-card"])
def test_an_intent_canceled_by_hand_makes_way_for_the_next_generation(
    service: Running, is_known_card: bool
) -> None:
    card = service.simulator.create_card(GOOD)
    if is_known_card:
        assert_success(service.pay(service.order(), card))
    order_id = service.order()
    service.stripe("POST", f"/v1/payment_intents/{service.intent_of(order_id)}/cancel")
    assert_success(service.pay(order_id, card))
    assert generations(service, order_id) == ["canceled", "succeeded"]
    assert service.charges(order_id) == 1


def test_an_intent_canceled_by_hand_during_the_challenge_fails_the_authentication(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(service.pay(order_id, card))
    service.stripe("POST", f"/v1/payment_intents/{action['paymentIntentId']}/cancel")
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_a_card_detached_by_hand_is_consumed_and_another_one_pays(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    order_id = service.order()
    service.stripe("POST", f"/v1/payment_methods/{card}/detach")
    for _ in range(2):
        body = assert_error(
            service.pay(order_id, card), 402, "payment_method_consumed", "use_other_method"
        )
        assert "may not be used again" not in str(body)
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_a_card_detached_by_hand_after_it_paid_unheard_is_not_called_consumed(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    lose_every_confirm(service, "drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    service.stripe("POST", f"/v1/payment_methods/{card}/detach")
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1
