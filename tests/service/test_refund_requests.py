"""The merchant gives money back: never more than was paid, each request once, and it is shown."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import structlog

from paidonce.observability import set_step_hook
from paidonce.store.engine import UnknownCommit
from support.envelope import assert_error, assert_success
from support.money_back import (
    DAY,
    FAILS_LATER,
    HOUR,
    IS_DISPUTED,
    REFUND,
    SUCCEEDS_LATER,
    ask,
    at_stripe,
    detail,
    execute,
    hear,
    listed,
    listening,
    paid_order,
    pass_time,
)
from support.service import GOOD, PRICE_MINOR, Running, StartService, running_service

LIST = {"method": "GET", "path": "/v1/refunds"}


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def rows(service: Running) -> list[dict[str, Any]]:
    return service.rows("SELECT * FROM refunds ORDER BY created_at")


# --- whole and in parts --------------------------------------------------------------------------


def test_without_an_amount_all_that_is_left_goes_back(service: Running) -> None:
    order_id = paid_order(service)
    part = assert_success(ask(service, order_id, amountMinor=4_000, reason="duplicate"))
    assert (part["status"], part["amountMinor"], part["amount"]) == ("succeeded", 4_000, 40)
    assert (part["cause"], part["reason"], part["failureReason"]) == (
        "requested",
        "duplicate",
        None,
    )
    assert detail(service, order_id)["paymentStatus"] == "partially_refunded"
    rest = assert_success(ask(service, order_id))
    assert (rest["status"], rest["amountMinor"]) == ("succeeded", 40_000)
    assert at_stripe(service) == [4_000, 40_000]
    shown = detail(service, order_id)
    assert (shown["paymentStatus"], shown["amountRefundedMinor"]) == ("refunded", PRICE_MINOR)
    assert service.order_view(order_id)["amountRefunded"] == 440
    assert shown["refunds"] == [rest, part]
    made = service.stripe("GET", "/v1/refunds")["data"]
    assert [each["reason"] for each in made] == [None, "duplicate"]
    assert {each["metadata"]["refund_id"] for each in made} == {part["refundId"], rest["refundId"]}


@pytest.mark.parametrize(
    ("currency", "charged", "odd", "part"),
    [("kwd", 10_000, 1_234, 1_230), ("isk", 500_000, 1_250, 1_200)],
)
def test_an_amount_that_the_currency_does_not_have_is_not_given_back(
    service: Running, currency: str, charged: int, odd: int, part: int
) -> None:
    order = {"userId": "alice", "amountMinor": charged, "currency": currency}
    order_id = assert_success(service.merchant("POST", "/api/orders", order))["orderId"]
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert_error(ask(service, order_id, amountMinor=odd), 400, "invalid_amount", "fix_request")
    assert rows(service) == []
    assert_success(ask(service, order_id, amountMinor=part))
    # Somebody may have given back what has no sense: all that is left still goes back.
    [made] = service.stripe("GET", "/v1/refunds")["data"]
    by_hand = {"payment_intent": made["payment_intent"], "amount": odd}
    service.stripe("POST", "/v1/refunds", **by_hand)
    left = charged - part - odd
    assert assert_success(ask(service, order_id, amountMinor=left))["status"] == "succeeded"


def test_two_equal_refunds_under_two_keys_are_two(service: Running) -> None:
    order_id = paid_order(service)
    first = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    second = assert_success(ask(service, order_id, "two", amountMinor=4_000))
    assert first["refundId"] != second["refundId"]
    assert at_stripe(service) == [4_000, 4_000]


@pytest.mark.parametrize("later", [0, 30 * DAY])
def test_a_repeated_request_is_one_refund_for_ever(service: Running, later: float) -> None:
    order_id = paid_order(service)
    first = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    pass_time(service, later)
    assert_error(ask(service, order_id, "one", amountMinor=5_000), 409, "idempotency_mismatch")
    before = service.last_request()
    again = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    assert again == first
    assert service.stripe_calls(before) == []
    assert_error(ask(service, order_id, "one", amountMinor=5_000), 409, "idempotency_mismatch")
    assert_error(ask(service, order_id, "one"), 409, "idempotency_mismatch")
    assert assert_success(ask(service, order_id, "one", amountMinor=4_000)) == first
    assert at_stripe(service) == [4_000]


@pytest.mark.parametrize(("place", "is_made"), [("refund_asked", False), ("refund", True)])
def test_a_refund_that_was_begun_is_not_known_when_the_database_goes_away(
    service: Running, place: str, is_made: bool
) -> None:
    """The commit of its row may have been made; its end could not be written down."""
    order_id = paid_order(service)

    def lose(name: str, side: str) -> None:
        if (name, side) == (f"commit.{place}", "after"):
            raise UnknownCommit("the connection broke")

    set_step_hook(lose)
    try:
        answer = ask(service, order_id, "one", amountMinor=4_000)
    finally:
        set_step_hook(None)
    assert_error(answer, 409, "payment_processing", "wait")
    assert (at_stripe(service) == [4_000]) is is_made
    again = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    assert again["amountMinor"] == 4_000
    assert at_stripe(service) == [4_000]


def test_a_key_is_one_order_s(service: Running) -> None:
    for order_id in (paid_order(service), paid_order(service)):
        assert_success(ask(service, order_id, "one", amountMinor=4_000))
    assert at_stripe(service) == [4_000, 4_000]


def test_a_refund_needs_a_key(service: Running) -> None:
    order_id = paid_order(service)
    answer = service.merchant("POST", f"/api/orders/{order_id}/refunds", {"amountMinor": 4_000})
    body = assert_error(answer, 400, "invalid_request", "fix_request")
    assert "Idempotency-Key" in body["errors"][0]
    assert rows(service) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amountMinor": 0}, "amountMinor"),
        ({"amountMinor": -5}, "amountMinor"),
        ({"amountMinor": 4.5}, "amountMinor"),
        ({"amountMinor": "4000"}, "amountMinor"),
        ({"amountMinor": True}, "amountMinor"),
        ({"reason": "the cup was broken"}, "reason"),
        ({"reason": 7}, "reason"),
        ({"paymentId": "pay_1"}, "paymentId"),
        ({"paymentId": ["pay_1"]}, "paymentId"),
        ([], "object"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(service: Running, body: Any, field: str) -> None:
    order_id = service.order()
    before = service.last_request()
    error = assert_error(ask(service, order_id, body=body), 400, "invalid_request")
    assert field in error["errors"][0]
    assert service.stripe_calls(before) == []


# --- the cap -------------------------------------------------------------------------------------


def test_more_than_is_left_is_refused_and_the_answer_says_what_is_left(service: Running) -> None:
    order_id = paid_order(service)
    assert_success(ask(service, order_id, amountMinor=4_000))
    answer = ask(service, order_id, amountMinor=40_001)
    body = assert_error(answer, 409, "refund_exceeds_payment", "fix_request")
    assert "400 usd (amountMinor 40000)" in body["message"]
    assert_success(ask(service, order_id, amountMinor=40_000))
    assert_error(ask(service, order_id), 409, "refund_exceeds_payment")
    assert at_stripe(service) == [4_000, 40_000]
    assert len(rows(service)) == 2


def test_of_two_refunds_of_the_rest_at_the_same_moment_one_wins(service: Running) -> None:
    """Also while Stripe has made none of them yet: the row counts, not Stripe's figure."""
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND, kind="latency", seconds=0.5)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(service, order_id), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            assert_error(answer, 409, "refund_exceeds_payment")
    assert at_stripe(service) == [PRICE_MINOR]
    assert [row["state"] for row in rows(service)] == ["succeeded"]


def test_parts_at_the_same_moment_never_exceed_the_payment(service: Running) -> None:
    order_id = paid_order(service)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(service, order_id, amountMinor=15_000), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert at_stripe(service) == [15_000, 15_000]
    assert len(rows(service)) == 2


def test_the_same_request_in_two_processes_is_one_refund(
    database_url: str, stripe_simulator: Any, service: Running
) -> None:
    order_id = paid_order(service)
    with running_service(database_url, stripe_simulator) as other:
        service.simulator.add_fault(match=REFUND, kind="latency", seconds=0.3)
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda each: ask(each, order_id, "one"), (service, other)))
    assert len({assert_success(answer)["refundId"] for answer in answers}) == 1
    pass_time(service, HOUR)
    assert at_stripe(service) == [PRICE_MINOR]
    assert len(rows(service)) == 1


def test_what_was_given_back_in_the_dashboard_counts_before_anybody_has_told_us(
    service: Running,
) -> None:
    order_id = paid_order(service)
    intent_id = service.intent_of(order_id)
    service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=42_000)
    assert_error(ask(service, order_id, amountMinor=2_001), 409, "refund_exceeds_payment")
    rest = assert_success(ask(service, order_id))
    assert rest["amountMinor"] == 2_000
    assert [each["cause"] for each in detail(service, order_id)["refunds"]] == [
        "requested",
        "dashboard",
    ]
    assert detail(service, order_id)["paymentStatus"] == "refunded"


@pytest.mark.parametrize("lie", [{"payment_intent": "pi_1"}, {"currency": "jpy"}])
def test_a_refund_of_another_payment_in_the_list_is_none(
    service: Running, lie: dict[str, str]
) -> None:
    order_id = paid_order(service)
    service.stripe("POST", "/v1/refunds", payment_intent=service.intent_of(order_id), amount=1_000)
    fields = {f"data.*.{name}": value for name, value in lie.items()}
    service.simulator.add_fault(match=LIST | {"times": 1}, kind="lie", fields=fields)
    with structlog.testing.capture_logs() as logs:
        ask(service, order_id, "one", amountMinor=4_000)
    assert "refund.contradicted" in [log["event"] for log in logs]
    assert [row["cause"] for row in service.rows("SELECT cause FROM refunds")] in (
        [],
        ["requested"],
    )


def test_a_refund_whose_answer_was_lost_is_not_counted_twice(service: Running) -> None:
    """Stripe's figure has it, and our row does not know: the list is read first."""
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND, kind="drop_response")
    lost = assert_success(ask(service, order_id, "one", amountMinor=40_000))
    assert (lost["status"], lost["stripeRefundId"]) == ("processing", None)
    service.simulator.clear_faults()
    assert service.order_view(order_id)["amountRefundedMinor"] == 40_000
    assert assert_success(ask(service, order_id))["amountMinor"] == 4_000
    assert at_stripe(service) == [4_000, 40_000]
    assert [row["state"] for row in rows(service)] == ["succeeded", "succeeded"]


def test_what_was_asked_for_and_is_not_made_counts(service: Running) -> None:
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND, kind="insufficient_balance")
    waiting = assert_success(ask(service, order_id, amountMinor=40_000))
    assert waiting["status"] == "processing"
    assert waiting["failureReason"].startswith("Insufficient funds")
    assert_error(ask(service, order_id, amountMinor=4_001), 409, "refund_exceeds_payment")
    service.simulator.clear_faults()
    for _ in range(3):
        pass_time(service, HOUR)
    assert at_stripe(service) == [40_000]


def test_a_refund_that_failed_can_be_asked_for_again(service: Running) -> None:
    order_id = paid_order(service, FAILS_LATER)
    assert_success(ask(service, order_id, "one"))
    service.simulator.advance_clock(3 * DAY)
    again = assert_success(ask(service, order_id, "two"))
    assert again["amountMinor"] == PRICE_MINOR
    assert [row["state"] for row in rows(service)] == ["failed", "succeeded"]
    assert at_stripe(service) == [PRICE_MINOR]


# --- what cannot be refunded ---------------------------------------------------------------------


def test_an_order_that_is_not_paid_is_not_refunded(service: Running) -> None:
    order_id = service.order()
    before = service.last_request()
    assert_error(ask(service, order_id), 409, "order_not_refundable")
    assert_success(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    assert_error(ask(service, order_id), 409, "order_not_refundable")
    unknown = "00000000-0000-4000-8000-000000000000"
    assert_error(ask(service, unknown), 404, "order_not_found")
    other = {"paymentId": f"pay_{'0' * 32}"}
    assert_error(ask(service, paid_order(service), body=other), 409, "order_not_refundable")
    assert ("POST", "/v1/refunds") not in service.stripe_calls(before)


def test_a_disputed_payment_is_not_refunded_and_the_answer_says_so(service: Running) -> None:
    """Stripe knows of the dispute before we do, and then we know it too."""
    order_id = paid_order(service, IS_DISPUTED)
    for _ in range(2):
        assert_error(ask(service, order_id, "one"), 409, "payment_disputed", "contact_support")
    assert [row["state"] for row in rows(service)] == ["refused"]
    listening(service).simulator.flush_webhooks()
    assert at_stripe(service) == []


def test_what_stripe_refuses_because_it_was_given_back_meanwhile_is_told(
    service: Running,
) -> None:
    """The dashboard is quicker than our call, after our look."""
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND, kind="rate_limit")
    assert assert_success(ask(service, order_id, "one"))["status"] == "processing"
    service.simulator.clear_faults()
    service.stripe("POST", "/v1/refunds", payment_intent=service.intent_of(order_id), amount=1_000)
    body = assert_error(ask(service, order_id, "one"), 409, "refund_exceeds_payment")
    assert "amountMinor 43000" in body["message"]
    assert {(row["cause"], row["state"]) for row in rows(service)} == {
        ("requested", "refused"),
        ("dashboard", "succeeded"),
    }


# --- answers that are lost, and a Stripe that stays away -----------------------------------------


@pytest.mark.parametrize("kind", ["drop_request", "drop_response", "error_before", "error_after"])
@pytest.mark.parametrize("later", [60, 2 * DAY])
def test_a_refund_without_an_answer_is_processing_and_is_made_once(
    service: Running, kind: str, later: float
) -> None:
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND | {"times": 1}, kind=kind)
    first = ask(service, order_id, "one", amountMinor=4_000)
    body = first.json()
    assert (first.status_code, body["data"]["status"], body["nextStep"]) == (
        200,
        "processing",
        "wait",
    )
    service.simulator.clear_faults()
    pass_time(service, later)
    pass_time(service, later)
    assert at_stripe(service) == [4_000]
    again = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    assert (again["refundId"], again["status"]) == (body["data"]["refundId"], "succeeded")
    assert detail(service, order_id)["amountRefundedMinor"] == 4_000


def test_a_repeated_request_finishes_what_has_no_answer(service: Running) -> None:
    """Nobody waits for the worker, or for the answer that said `processing` to be forgotten."""
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND | {"times": 1}, kind="drop_response")
    assert assert_success(ask(service, order_id, "one"))["status"] == "processing"
    again = assert_success(ask(service, order_id, "one"))
    assert again["status"] == "succeeded"
    assert at_stripe(service) == [PRICE_MINOR]


@pytest.mark.parametrize("lie", [{"amount": 1}, {"currency": "jpy"}, {"payment_intent": "pi_1"}])
def test_an_answer_about_another_refund_is_none(service: Running, lie: dict[str, Any]) -> None:
    """It is an alarm; the truth is found later."""
    order_id = paid_order(service)
    service.simulator.add_fault(match=REFUND | {"times": 1}, kind="lie", fields=lie)
    with structlog.testing.capture_logs() as logs:
        answer = assert_success(ask(service, order_id, "one", amountMinor=4_000))
    assert (answer["status"], answer["stripeRefundId"]) == ("processing", None)
    alarms = [log["event"] for log in logs if log["log_level"] == "critical"]
    assert alarms == ["refund.contradicted"]
    assert assert_success(ask(service, order_id, "one", amountMinor=4_000))["status"] == "succeeded"
    assert at_stripe(service) == [4_000]


def test_without_a_look_at_stripe_nothing_is_written_down(service: Running) -> None:
    order_id = paid_order(service)
    service.simulator.add_fault(match=LIST, kind="drop_request")
    body = assert_error(ask(service, order_id, "one"), 503, "stripe_unavailable", "retry")
    assert "refund" in body["message"]
    assert rows(service) == []
    service.simulator.clear_faults()
    assert assert_success(ask(service, order_id, "one"))["status"] == "succeeded"


def test_a_restored_database_knows_the_request_again(service: Running) -> None:
    """The row is gone with the copy that was put back, the answer too; Stripe's list has it."""
    order_id = paid_order(service)
    made = assert_success(ask(service, order_id, "one", amountMinor=4_000, reason="fraudulent"))
    for table in ("refunds", "answers"):
        execute(service, f"DELETE FROM {table}")
    again = assert_success(ask(service, order_id, "one", amountMinor=4_000, reason="fraudulent"))
    assert again["stripeRefundId"] == made["stripeRefundId"]
    assert (again["cause"], again["reason"]) == ("requested", "fraudulent")
    assert_error(ask(service, order_id, "one", amountMinor=4_001), 409, "idempotency_mismatch")
    assert at_stripe(service) == [4_000]


# --- what is shown -------------------------------------------------------------------------------


def test_a_pending_refund_says_wait_and_is_told_anew(service: Running) -> None:
    order_id = paid_order(service, SUCCEEDS_LATER)
    answer = ask(service, order_id, "one")
    assert (answer.json()["data"]["status"], answer.json()["nextStep"]) == ("pending", "wait")
    pass_time(service, 3 * DAY)
    assert assert_success(ask(service, order_id, "one"))["status"] == "succeeded"


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhook", "look"])
def test_a_refund_that_fails_after_days_is_shown(service: Running, has_webhooks: bool) -> None:
    if has_webhooks:
        listening(service)
    order_id = paid_order(service, FAILS_LATER)
    assert_success(ask(service, order_id, "one"))
    assert detail(service, order_id)["paymentStatus"] == "refunded"
    pass_time(service, 3 * DAY)
    if has_webhooks:
        hear(service)
    [shown] = listed(service, f"/api/orders/{order_id}/refunds")
    assert (shown["status"], shown["failureReason"]) == ("failed", "expired_or_canceled_card")
    assert shown["finishedAt"] is not None
    order = detail(service, order_id)
    assert (order["paymentStatus"], order["amountRefundedMinor"]) == ("paid", 0)


def test_a_refund_of_the_dashboard_is_shown_and_followed(service: Running) -> None:
    listening(service)
    order_id = paid_order(service, FAILS_LATER)
    intent_id = service.intent_of(order_id)
    made = service.stripe(
        "POST", "/v1/refunds", payment_intent=intent_id, amount=4_000, reason="duplicate"
    )
    hear(service)
    [shown] = listed(service, f"/api/orders/{order_id}/refunds")
    assert (shown["cause"], shown["status"], shown["reason"]) == (
        "dashboard",
        "succeeded",
        "duplicate",
    )
    assert (shown["stripeRefundId"], shown["amountMinor"]) == (made["id"], 4_000)
    assert detail(service, order_id)["paymentStatus"] == "partially_refunded"
    hear(service)
    service.simulator.set_webhook_target(None)
    pass_time(service, 3 * DAY)
    [shown] = listed(service, f"/api/orders/{order_id}/refunds")
    assert shown["status"] == "failed"
    assert detail(service, order_id)["paymentStatus"] == "paid"


def test_late_money_on_a_canceled_order_is_shown_and_given_back_on_request(
    start_service: StartService, stripe_simulator: Any
) -> None:
    service = listening(start_service(refund_surplus=False))
    order_id = paid_order(service)
    execute(service, "UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    execute(service, "UPDATE orders SET status = 'canceled' WHERE id = $1", order_id)
    hear(service)
    hear(service)
    [surplus] = detail(service, order_id)["surplus"]
    assert (surplus["amountMinor"], surplus["amountRefundedMinor"]) == (PRICE_MINOR, 0)
    assert surplus["stripePaymentIntentId"] == service.intent_of(order_id)
    given = assert_success(ask(service, order_id))
    assert (given["paymentId"], given["amountMinor"]) == (surplus["paymentId"], PRICE_MINOR)
    [surplus] = detail(service, order_id)["surplus"]
    assert surplus["amountRefundedMinor"] == PRICE_MINOR
    assert at_stripe(service) == [PRICE_MINOR]


def test_a_second_charge_of_a_paid_order_goes_back_by_its_own_name(
    start_service: StartService, stripe_simulator: Any
) -> None:
    """Without its name it is the payment of the order that is refunded."""
    service = listening(start_service(refund_surplus=False))
    order_id = service.order()
    retired = service.intent_of(order_id)
    execute(service, "UPDATE payments SET state = 'canceled' WHERE order_id = $1", order_id)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    card = service.simulator.create_card(GOOD)
    service.stripe("POST", f"/v1/payment_intents/{retired}/confirm", payment_method=card)
    hear(service)
    [surplus] = detail(service, order_id)["surplus"]
    given = assert_success(ask(service, order_id, paymentId=surplus["paymentId"]))
    made = service.stripe("GET", "/v1/refunds")["data"]
    assert [(each["payment_intent"], each["amount"]) for each in made] == [(retired, PRICE_MINOR)]
    order = detail(service, order_id)
    assert (order["paymentStatus"], order["amountRefundedMinor"]) == ("paid", 0)
    told = service.rows("SELECT kind FROM outbox WHERE order_id = $1", order_id)
    assert "order.refunded" not in {row["kind"] for row in told}
    rest = assert_success(ask(service, order_id))
    assert rest["paymentId"] != given["paymentId"]
    assert detail(service, order_id)["paymentStatus"] == "refunded"
    stripe_simulator.reset()  # two charges of one order were made on purpose


def test_the_merchant_is_told_of_refunds_and_of_their_failures(service: Running) -> None:
    order_id = paid_order(service, FAILS_LATER)
    part = assert_success(ask(service, order_id, amountMinor=4_000, reason="duplicate"))
    pass_time(service, 3 * DAY)
    told = service.rows(
        "SELECT kind, subject, payload FROM outbox WHERE order_id = $1 ORDER BY position", order_id
    )
    assert [(row["kind"], row["subject"]) for row in told] == [
        ("order.paid", ""),
        ("order.refunded", part["refundId"]),
        ("refund.failed", part["refundId"]),
    ]
    assert json.loads(told[1]["payload"]) == {
        "paymentId": part["paymentId"],
        "amountRefundedMinor": 4_000,
        "refund": {
            "id": part["refundId"],
            "amountMinor": 4_000,
            "reason": "duplicate",
            "stripeRefundId": part["stripeRefundId"],
            "cause": "requested",
        },
    }
    assert json.loads(told[2]["payload"])["amountRefundedMinor"] == 0


def test_a_refund_that_is_heard_of_before_its_payment_is_told_after_it(service: Running) -> None:
    """The app pays with the sheet, a clerk gives it back, and only the refund's events arrive."""
    order_id = service.order()
    sheet = assert_success(
        service.call("POST", f"/api/mobile-app/orders/{order_id}/payment-sheet", {})
    )
    intent_id, card = sheet["paymentIntentId"], service.simulator.create_card(GOOD)
    service.stripe("POST", f"/v1/payment_intents/{intent_id}/confirm", payment_method=card)
    listening(service)
    service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=4_000)
    hear(service)
    told = service.rows("SELECT kind FROM outbox WHERE order_id = $1 ORDER BY position", order_id)
    assert [row["kind"] for row in told] == ["order.paid", "order.refunded"]


def test_refunds_are_listed_by_pages_and_filters(service: Running) -> None:
    first, second = paid_order(service), paid_order(service, SUCCEEDS_LATER)
    for amount_minor in (1_000, 2_000, 3_000):
        assert_success(ask(service, first, amountMinor=amount_minor))
    assert_success(ask(service, second, amountMinor=4_000))
    everything = [each["amountMinor"] for each in listed(service, "/api/refunds")]
    assert everything == [4_000, 3_000, 2_000, 1_000]
    page = service.merchant("GET", "/api/refunds?limit=3").json()
    assert [each["amountMinor"] for each in page["data"]] == [4_000, 3_000, 2_000]
    rest = service.merchant("GET", f"/api/refunds?limit=3&cursor={page['nextCursor']}").json()
    assert [each["amountMinor"] for each in rest["data"]] == [1_000]
    assert rest["nextCursor"] is None
    [pending] = listed(service, "/api/refunds?status=pending")
    assert pending["orderId"] == second
    assert len(listed(service, f"/api/refunds?status=succeeded&orderId={first}&limit=100")) == 3
    assert listed(service, "/api/refunds?status=processing") == []
    for wrong in ("status=made", "orderId=7", "limit=0", "cursor=nonsense"):
        answer = service.merchant("GET", f"/api/refunds?{wrong}")
        assert answer.status_code == 400, wrong


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/orders/{id}/refunds"),
        ("GET", "/api/orders/{id}/refunds"),
        ("GET", "/api/refunds"),
        ("GET", "/api/disputes"),
    ],
)
def test_refunds_are_the_merchant_s_alone(service: Running, method: str, path: str) -> None:
    order_id = paid_order(service)
    url = path.format(id=order_id)
    assert_error(service.call(method, url), 401, "not_authenticated")
    answer = requests.request(method, f"{service.url}{url}", timeout=10)
    assert_error(answer, 401, "not_authenticated")
    assert rows(service) == []
