"""Money that fits no order goes back: once, whatever becomes of the calls, and our balance is
Stripe's."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from paidonce import worker
from paidonce.domain.intent import Intent
from paidonce.payments import refunds
from paidonce.payments.pay.follow_up import conclude_without_attempt
from paidonce.payments.pay.prepare import read_payment
from paidonce.payments.refunds import Cause
from paidonce.store import orders, payments
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import GOOD, NEEDS_3DS, PRICE_MINOR, WEBHOOK_SECRET, Running, StartService

REFUND = {"method": "POST", "path": "/v1/refunds"}
REFUND_CALL = ("POST", "/v1/refunds")
FAILS_LATER, SUCCEEDS_LATER = "4000000000005126", "4000000000007726"
IS_DISPUTED = "4000000000000259"
NO_BALANCE = "Insufficient funds in your Stripe balance to refund this amount."
HOUR, DAY = 3600, 86_400


@pytest.fixture
def start(start_service: StartService, stripe_simulator: Any) -> Iterator[StartService]:
    """Surplus charges are the subject here: the audit of double charges is not for them."""
    yield start_service
    stripe_simulator.reset()


@pytest.fixture
def service(start: StartService) -> Running:
    return listening(start())


def listening(service: Running) -> Running:
    url = f"{service.url}/api/webhooks/stripe"
    service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
    return service


def execute(service: Running, sql: str, *args: Any) -> None:
    async def work(tx: Any) -> None:
        await tx.execute(sql, *args)

    service.run(service.context.db.transaction("test", work))


def hear(service: Running) -> None:
    """The webhooks arrive and are worked on."""
    service.simulator.flush_webhooks()
    service.work()


def pass_time(service: Running, seconds: float) -> None:
    service.simulator.advance_clock(seconds)
    service.recover(seconds)


def charge_by_hand(service: Running, intent_id: str, number: str = GOOD) -> None:
    card = service.simulator.create_card(number)
    service.stripe("POST", f"/v1/payment_intents/{intent_id}/confirm", payment_method=card)


def retire(service: Running, order_id: str, status: str | None = None) -> str:
    """End the standing generation in our books alone, which we never do; its intent."""
    intent_id = service.intent_of(order_id)
    execute(service, "UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    if status is not None:
        execute(service, "UPDATE orders SET status = $2 WHERE id = $1", order_id, status)
    return intent_id


def paid_twice(service: Running, number: str = GOOD) -> tuple[str, str]:
    """An order paid in its second generation, and the intent of the first, which charged too."""
    order_id = service.order()
    retired = retire(service, order_id)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    charge_by_hand(service, retired, number)
    return order_id, retired


def refund_rows(service: Running) -> list[dict[str, Any]]:
    """Ours; what was made at Stripe by hand is told apart."""
    return service.rows("SELECT * FROM refunds WHERE cause <> 'dashboard' ORDER BY created_at")


def states(service: Running) -> list[str]:
    return [row["state"] for row in refund_rows(service)]


def refunds_at_stripe(service: Running) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.stripe("GET", "/v1/refunds?limit=100")["data"]
    return found


def keys(service: Running) -> list[str]:
    return [
        item["idempotency_key"]
        for item in service.simulator.requests(after=0)
        if (item["method"], item["path"]) == REFUND_CALL
    ]


def assert_balanced(service: Running, order_id: str) -> int:
    """I13: what Stripe holds of an order is what our books say it holds; that amount."""
    [group] = [
        group
        for group in service.simulator.audit(group_by="order_id")["groups"]
        if group["key"] == order_id
    ]
    held = group["amount_captured"] - group["amount_refunded"]
    [ours] = service.rows(
        "SELECT sum(amount_minor - amount_refunded_minor) AS balance FROM payments"
        " WHERE order_id = $1 AND state IN ('succeeded', 'surplus')",
        order_id,
    )
    assert int(ours["balance"]) == held
    return int(held)


# --- by policy -----------------------------------------------------------------------------------


def test_a_second_charge_of_an_order_goes_back_and_the_first_one_stays(service: Running) -> None:
    order_id, retired = paid_twice(service)
    hear(service)
    hear(service)
    [row] = refund_rows(service)
    assert (row["state"], row["amount_minor"], row["cause"]) == ("succeeded", 44_000, "surplus")
    [made] = refunds_at_stripe(service)
    assert (made["payment_intent"], made["amount"]) == (retired, PRICE_MINOR)
    assert made["metadata"] == {
        "order_id": order_id,
        "payment_id": row["payment_id"],
        "refund_id": row["id"],
        "namespace": service.context.installation.namespace,
    }
    assert assert_balanced(service, order_id) == PRICE_MINOR
    assert service.order_view(order_id)["paymentStatus"] == "paid"
    [order] = service.rows("SELECT amount_refunded_minor FROM orders WHERE id = $1", order_id)
    assert order["amount_refunded_minor"] == 0
    notices = service.rows("SELECT kind FROM outbox WHERE order_id = $1", order_id)
    assert [notice["kind"] for notice in notices] == ["order.paid"]
    assert keys(service) == [f"re:{service.context.installation.namespace}:{row['id']}:0"]


def test_money_on_a_canceled_order_goes_back(service: Running) -> None:
    """The app confirmed by itself while the order was being canceled."""
    order_id = service.order()
    action = service.pay(order_id, service.simulator.create_card(NEEDS_3DS)).json()["data"]
    execute(
        service, "UPDATE payment_attempts SET state = 'superseded' WHERE order_id = $1", order_id
    )
    retire(service, order_id, "canceled")
    service.simulator.authenticate(action["paymentIntentId"], "success")
    hear(service)
    hear(service)
    assert states(service) == ["succeeded"]
    assert assert_balanced(service, order_id) == 0
    assert service.order_view(order_id)["status"] == "canceled"
    assert service.payment(order_id)["status"] == "canceled"
    assert_error(
        service.pay(order_id, service.simulator.create_card(GOOD)), 409, "order_not_payable"
    )
    [item] = assert_success(service.call("GET", "/api/mobile-app/payments"))
    assert item["status"] == "refunded"


def test_a_success_of_a_retired_generation_goes_back_and_the_order_is_paid_by_the_next(
    service: Running,
) -> None:
    order_id = service.order()
    retired = retire(service, order_id)
    charge_by_hand(service, retired)
    hear(service)
    assert service.order_view(order_id)["status"] == "pending"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    hear(service)
    assert states(service) == ["succeeded"]
    assert assert_balanced(service, order_id) == PRICE_MINOR


def test_without_the_policy_the_money_stays_and_is_shown(start: StartService) -> None:
    service = listening(start(refund_surplus=False))
    order_id, _ = paid_twice(service)
    hear(service)
    pass_time(service, DAY)
    assert refund_rows(service) == [] and refunds_at_stripe(service) == []
    found = service.rows("SELECT state FROM payments WHERE order_id = $1", order_id)
    assert sorted(row["state"] for row in found) == ["succeeded", "surplus"]
    assert assert_balanced(service, order_id) == 2 * PRICE_MINOR


def test_what_was_given_back_by_hand_is_not_given_back_again(service: Running) -> None:
    order_id, retired = paid_twice(service)
    service.stripe("POST", "/v1/refunds", payment_intent=retired, amount=4_000)
    hear(service)
    hear(service)
    assert [row["amount_minor"] for row in refund_rows(service)] == [40_000]
    assert sorted(made["amount"] for made in refunds_at_stripe(service)) == [4_000, 40_000]
    assert assert_balanced(service, order_id) == PRICE_MINOR


def test_a_charge_refunded_by_hand_meanwhile_is_told_to_a_person(service: Running) -> None:
    order_id, retired = paid_twice(service)
    service.simulator.add_fault(match=REFUND, kind="rate_limit")
    hear(service)
    service.simulator.clear_faults()
    service.stripe("POST", "/v1/refunds", payment_intent=retired)
    pass_time(service, 2 * HOUR)
    [row] = refund_rows(service)
    assert (row["state"], row["failure_reason"]) == ("refused", "charge_already_refunded")
    assert row["next_check_at"] is None
    assert assert_balanced(service, order_id) == PRICE_MINOR


@pytest.mark.parametrize(
    ("number", "by_hand", "reason"),
    [
        (GOOD, 42_000, "Refund amount ($40.00) is greater than unrefunded amount on charge"),
        (GOOD, PRICE_MINOR, "charge_already_refunded"),
        (IS_DISPUTED, None, "charge_disputed"),
    ],
)
def test_what_stripe_will_never_refund_is_told_to_a_person_at_once(
    service: Running, number: str, by_hand: int | None, reason: str
) -> None:
    order_id = paid_order(service, number)
    if by_hand is not None:
        intent_id = service.intent_of(order_id)
        service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=by_hand)
    ask_for(service, order_id, 4_000)
    service.work()
    [row] = refund_rows(service)
    assert row["state"] == "refused" and row["failure_reason"].startswith(reason)
    assert row["next_check_at"] is None
    assert_balanced(service, order_id)


# --- looks in any order --------------------------------------------------------------------------


def look(service: Running, intent_id: str) -> Intent:
    intent = service.run(service.context.gateway.retrieve_intent(intent_id, 5))
    assert isinstance(intent, Intent)
    return intent


def write_down(service: Running, order_id: str, intent: Intent) -> None:
    [row] = service.rows("SELECT id FROM payments WHERE order_id = $1", order_id)
    payment = service.run(read_payment(service.context, row["id"]))
    service.run(conclude_without_attempt(service.context, payment, intent))


def test_an_older_look_does_not_take_a_refund_back(service: Running) -> None:
    """It was asked for before the refund, and written down after a later look."""
    order_id = paid_order(service)
    intent_id = service.intent_of(order_id)
    older = look(service, intent_id)
    service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=4_000)
    hear(service)
    write_down(service, order_id, older)
    assert service.order_view(order_id)["paymentStatus"] == "partially_refunded"
    assert assert_balanced(service, order_id) == PRICE_MINOR - 4_000


def test_a_look_of_a_clock_that_was_ahead_does_not_stand_for_ever(service: Running) -> None:
    order_id = paid_order(service)
    intent_id = service.intent_of(order_id)
    service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=1_000)
    service.clock.added += DAY
    write_down(service, order_id, look(service, intent_id))
    service.clock.added -= DAY
    assert service.order_view(order_id)["paymentStatus"] == "partially_refunded"
    service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=3_000)
    hear(service)
    assert assert_balanced(service, order_id) == PRICE_MINOR - 4_000


# --- not yet -------------------------------------------------------------------------------------


def test_a_refund_that_our_balance_does_not_cover_waits_for_it(service: Running) -> None:
    """It is tried at last every hour, its reason is in sight, and it is made once."""
    order_id, _ = paid_twice(service)
    service.simulator.add_fault(match=REFUND, kind="insufficient_balance")
    hear(service)
    for _ in range(12):
        pass_time(service, 60)
    tries = len(keys(service))
    for _ in range(24 * 4):
        pass_time(service, 900)
    assert 12 <= len(keys(service)) - tries <= 26
    [row] = refund_rows(service)
    assert (row["state"], row["failure_reason"]) == ("requested", NO_BALANCE)
    assert metric(service, "paidonce_refunds_overdue") == 1
    assert refunds_at_stripe(service) == []
    service.simulator.clear_faults()
    for _ in range(3):
        pass_time(service, HOUR)
    [row] = refund_rows(service)
    assert (row["state"], row["failure_reason"]) == ("succeeded", None)
    assert [made["amount"] for made in refunds_at_stripe(service)] == [PRICE_MINOR]
    assert metric(service, "paidonce_refunds_overdue") == 0
    assert assert_balanced(service, order_id) == PRICE_MINOR


def test_a_key_is_kept_until_stripe_answers_from_it(service: Running) -> None:
    """Else an earlier send that is late could be executed beside that under the next key."""
    ask_for(service, paid_order(service), 4_000)
    service.simulator.add_fault(match=REFUND | {"times": 1}, kind="insufficient_balance")
    for _ in range(3):
        pass_time(service, 60)
    assert [key.rpartition(":")[2] for key in keys(service)] == ["0", "0", "1"]
    assert states(service) == ["succeeded"]


def test_a_refusal_that_we_do_not_know_ends_no_refund(service: Running) -> None:
    order_id = paid_order(service)
    ask_for(service, order_id, 4_000)
    [row] = refund_rows(service)
    wrong = row["params"].replace(service.intent_of(order_id), "pi_of_nobody")
    assert wrong != row["params"]
    execute(service, "UPDATE refunds SET params = $1", wrong)
    for _ in range(3):
        pass_time(service, HOUR)
    [waiting] = refund_rows(service)
    assert (waiting["state"], waiting["failure_reason"]) == ("requested", "resource_missing")
    execute(service, "UPDATE refunds SET params = $1", row["params"])
    pass_time(service, HOUR)
    assert states(service) == ["succeeded"]
    assert [made["amount"] for made in refunds_at_stripe(service)] == [4_000]


def metric(service: Running, name: str) -> float:
    service.clock.added += 60
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


# --- once ----------------------------------------------------------------------------------------


def ask_for(service: Running, order_id: str, amount_minor: int) -> None:
    """A part of a paid order, as the merchant wants it: a second one would be taken by Stripe."""

    async def work(tx: Any) -> None:
        await orders.lock_order(tx, order_id)
        payment = await payments.get_standing_payment(tx, order_id)
        assert payment is not None
        await refunds.request_refund(service.context, tx, payment, amount_minor, Cause.REQUESTED)

    service.run(service.context.db.transaction("test", work))


def paid_order(service: Running, number: str = GOOD) -> str:
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(number)))
    return order_id


@pytest.mark.parametrize(
    ("kind", "age"),
    [
        ("drop_request", 10),
        ("drop_request", 2 * DAY),
        ("drop_response", 10),
        ("drop_response", 2 * DAY),
        ("error_before", 10),
        ("error_after", 10),
        ("rate_limit", 2 * DAY),
    ],
)
def test_a_refund_is_made_once_whatever_becomes_of_the_call(
    service: Running, kind: str, age: float
) -> None:
    service.simulator.set_webhook_target(None)
    order_id = paid_order(service)
    ask_for(service, order_id, 4_000)
    service.simulator.add_fault(match=REFUND, kind=kind)
    service.work()
    service.simulator.clear_faults()
    for _ in range(3):
        pass_time(service, age)
    assert [made["amount"] for made in refunds_at_stripe(service)] == [4_000]
    assert states(service) == ["succeeded"]
    assert len(set(keys(service))) == 1
    assert assert_balanced(service, order_id) == PRICE_MINOR - 4_000
    assert service.order_view(order_id)["paymentStatus"] == "partially_refunded"


def test_a_saved_error_without_a_refund_of_ours_gets_the_next_key(service: Running) -> None:
    """What is listed decides: nobody waits for ever for a key that only says 500."""
    service.simulator.set_webhook_target(None)
    order_id = paid_order(service)
    ask_for(service, order_id, 4_000)
    service.simulator.add_fault(match=REFUND, kind="error_after")
    service.simulator.add_fault(match={"method": "GET", "path": "/v1/refunds"}, kind="drop_request")
    service.work()
    service.simulator.clear_faults()
    [made] = refunds_at_stripe(service)
    renamed = {"metadata[refund_id]": "of somebody else"}
    service.stripe("POST", f"/v1/refunds/{made['id']}", **renamed)
    for _ in range(2):
        pass_time(service, 60)
    assert [key.rpartition(":")[2] for key in keys(service)] == ["0", "0", "1"]
    assert states(service) == ["succeeded"]
    assert assert_balanced(service, order_id) == PRICE_MINOR - 8_000


def test_an_old_refund_is_not_sent_while_stripe_does_not_list_what_there_is(
    service: Running,
) -> None:
    service.simulator.set_webhook_target(None)
    ask_for(service, paid_order(service), 4_000)
    service.simulator.add_fault(match=REFUND, kind="drop_response")
    service.work()
    service.simulator.clear_faults()
    service.simulator.add_fault(match={"method": "GET", "path": "/v1/refunds"}, kind="error_before")
    sent = len(keys(service))
    pass_time(service, 2 * DAY)
    assert len(keys(service)) == sent and states(service) == ["requested"]
    service.simulator.clear_faults()
    pass_time(service, 2 * HOUR)
    assert [made["amount"] for made in refunds_at_stripe(service)] == [4_000]
    assert states(service) == ["succeeded"]


def test_a_refund_of_a_restored_database_is_not_made_again(service: Running) -> None:
    """The row was copied before it was sent, and put back days later."""
    service.simulator.set_webhook_target(None)
    order_id = paid_order(service)
    ask_for(service, order_id, 4_000)
    [row] = refund_rows(service)
    service.work()
    execute(
        service,
        "UPDATE refunds SET state = 'requested', stripe_refund_id = NULL, checks = 0,"
        " next_check_at = created_at, finished_at = NULL WHERE id = $1",
        row["id"],
    )
    pass_time(service, 2 * DAY)
    assert [made["amount"] for made in refunds_at_stripe(service)] == [4_000]
    assert states(service) == ["succeeded"]


def test_two_workers_make_one_refund(service: Running, start: StartService) -> None:
    other = start()
    order_id = paid_order(service)
    ask_for(service, order_id, 4_000)
    service.simulator.add_fault(match=REFUND, kind="latency", seconds=0.2)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda each: each.run(worker.work_once(each.context)), (service, other)))
    pass_time(service, 120)
    assert [made["amount"] for made in refunds_at_stripe(service)] == [4_000]
    assert states(service) == ["succeeded"]


def test_a_surplus_is_given_back_once_however_often_it_is_seen(service: Running) -> None:
    order_id, _ = paid_twice(service)
    for _ in range(3):
        hear(service)
        service.simulator.webhooks(duplicate=1.0)
    execute(service, "UPDATE stripe_events SET state = 'pending', next_try_at = received_at")
    pass_time(service, HOUR)
    assert len(refund_rows(service)) == len(refunds_at_stripe(service)) == 1
    assert assert_balanced(service, order_id) == PRICE_MINOR


# --- later ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhook", "look"])
def test_a_refund_that_fails_later_is_shown_and_not_counted(
    start: StartService, has_webhooks: bool
) -> None:
    service = listening(start()) if has_webhooks else start()
    order_id = paid_order(service, FAILS_LATER)
    ask_for(service, order_id, PRICE_MINOR)
    service.work()
    assert states(service) == ["succeeded"]
    assert service.order_view(order_id)["paymentStatus"] == "refunded"
    service.simulator.advance_clock(3 * DAY)
    if has_webhooks:
        hear(service)
    else:
        service.recover(3 * DAY)
    [row] = refund_rows(service)
    assert (row["state"], row["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert service.order_view(order_id)["paymentStatus"] == "paid"
    assert assert_balanced(service, order_id) == PRICE_MINOR
    pass_time(service, DAY)
    assert len(refunds_at_stripe(service)) == 1


def test_a_pending_refund_is_followed_to_its_end(service: Running) -> None:
    service.simulator.set_webhook_target(None)
    order_id = paid_order(service, SUCCEEDS_LATER)
    ask_for(service, order_id, 4_000)
    service.work()
    assert states(service) == ["pending"]
    pass_time(service, 3 * DAY)
    assert states(service) == ["succeeded"]
    assert assert_balanced(service, order_id) == PRICE_MINOR - 4_000


def test_a_refund_that_is_over_is_looked_at_ever_more_seldom_and_then_no_more(
    service: Running,
) -> None:
    ask_for(service, paid_order(service), 4_000)
    service.work()
    before = service.last_request()
    for _ in range(8):
        pass_time(service, 3 * HOUR)
    calls = [call for call in service.stripe_calls(before) if call[1] != "/v1/disputes"]
    assert 0 < len(calls) <= 2 * 5
    pass_time(service, 41 * DAY)
    assert [row["next_check_at"] for row in refund_rows(service)] == [None]


def test_a_slow_refund_does_not_hold_up_recovery(start: StartService) -> None:
    """Stripe's refunds hang; a challenge that nobody reported is recorded all the same."""
    service = listening(start(has_worker=True))
    service.simulator.add_fault(match=REFUND, kind="latency", seconds=5)
    paid_twice(service)
    service.simulator.flush_webhooks()
    wait_until(lambda: [row["checks"] for row in refund_rows(service)] == [1], "a refund in work")
    service.simulator.set_webhook_target(None)
    order_id = service.order()
    answer = service.pay(order_id, service.simulator.create_card(NEEDS_3DS))
    service.simulator.authenticate(assert_requires_action(answer)["paymentIntentId"])
    service.clock.added += 40
    wait_until(lambda: service.order_view(order_id)["status"] == "paid", "the order is paid")
    assert states(service) == ["requested"]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    ends_at = time.monotonic() + 3
    while not is_so():
        assert time.monotonic() < ends_at, what
        time.sleep(0.02)
