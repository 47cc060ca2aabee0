"""Disputes are known, shown and told, whoever reports them; they change no payment."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from paidonce.gateway.disputes import retrieve_dispute
from paidonce.payments.money_back.disputes import read_new_disputes, record_dispute
from support.envelope import assert_error, assert_success
from support.events import deliver, make_event
from support.money_back import (
    DAY,
    HOUR,
    IS_ASKED_ABOUT,
    IS_DISPUTED,
    IS_WARNED_OF,
    ask,
    at_stripe,
    detail,
    execute,
    hear,
    listed,
    listening,
    metric,
    paid_order,
    pass_time,
)
from support.service import GOOD, PRICE_MINOR, Running, StartService, running_service

MULTIPLE = "4000000404000079"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return listening(start_service())


def rows(service: Running) -> list[dict[str, Any]]:
    return service.rows("SELECT * FROM disputes ORDER BY created_at, id")


def submit(service: Running, dispute_id: str, text: str) -> None:
    service.stripe("POST", f"/v1/disputes/{dispute_id}", **{"evidence[uncategorized_text]": text})


def notices(service: Running, order_id: str) -> list[tuple[str, str]]:
    found = service.rows(
        "SELECT kind, payload FROM outbox WHERE order_id = $1 AND kind LIKE 'dispute%'"
        " ORDER BY position",
        order_id,
    )
    return [(row["kind"], json.loads(row["payload"])["dispute"]["status"]) for row in found]


# --- opened --------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhook", "look"])
def test_a_dispute_is_shown_with_its_deadline(service: Running, has_webhooks: bool) -> None:
    if not has_webhooks:
        service.simulator.set_webhook_target(None)
        service.work()  # the list is read, and read on an hour later
    order_id = paid_order(service, IS_DISPUTED)
    if has_webhooks:
        hear(service)
    else:
        pass_time(service, HOUR)
    [made] = service.stripe("GET", "/v1/disputes")["data"]
    [shown] = detail(service, order_id)["disputes"]
    assert shown == listed(service, "/api/disputes")[0]
    assert (shown["disputeId"], shown["stripeChargeId"]) == (made["id"], made["charge"])
    assert (shown["status"], shown["reason"]) == ("needs_response", "fraudulent")
    assert (shown["amountMinor"], shown["currency"]) == (PRICE_MINOR, "usd")
    assert shown["isChargeRefundable"] is False and shown["closedAt"] is None
    assert shown["evidenceDueBy"].endswith("T23:59:59.000Z")
    order = detail(service, order_id)
    assert (order["status"], order["paymentStatus"]) == ("paid", "paid")
    payment = service.rows("SELECT state FROM payments WHERE order_id = $1", order_id)
    assert [row["state"] for row in payment] == ["succeeded"]
    assert notices(service, order_id) == [("dispute.opened", "needs_response")]


def test_a_dispute_raises_an_alarm_once(service: Running) -> None:
    paid_order(service, IS_DISPUTED)
    with structlog.testing.capture_logs() as logs:
        hear(service)
        hear(service)
    alarms = [log for log in logs if log["log_level"] == "critical"]
    assert [log["event"] for log in alarms] == ["dispute.changed"]
    assert alarms[0]["evidence_due_at"] is not None


def test_open_disputes_and_the_nearest_deadline_are_measured(service: Running) -> None:
    assert metric(service, "paidonce_disputes_open") == 0
    due = "paidonce_dispute_evidence_due_timestamp_seconds"
    assert metric(service, due) == 0
    paid_order(service, IS_DISPUTED)
    hear(service)
    assert metric(service, "paidonce_disputes_open") == 1
    [made] = service.stripe("GET", "/v1/disputes")["data"]
    assert metric(service, due) == made["evidence_details"]["due_by"]
    submit(service, made["id"], "some other evidence")
    hear(service)
    assert metric(service, "paidonce_disputes_open") == 1
    assert metric(service, due) == 0


def test_several_disputes_of_a_payment_are_several(service: Running) -> None:
    order_id = paid_order(service, MULTIPLE)
    hear(service)
    shown = detail(service, order_id)["disputes"]
    assert len({each["disputeId"] for each in shown}) == 2
    assert sum(each["amountMinor"] for each in shown) == PRICE_MINOR
    assert len(notices(service, order_id)) == 2


def test_a_dispute_of_somebody_else_is_passed_over(service: Running) -> None:
    card = service.simulator.create_card(IS_DISPUTED)
    service.stripe(
        "POST", "/v1/payment_intents", amount=500, currency="usd", payment_method=card,
        confirm="true", **{"payment_method_types[]": "card"},
    )  # fmt: skip
    hear(service)
    pass_time(service, 2 * HOUR)
    assert rows(service) == []
    states = service.rows("SELECT state FROM stripe_events WHERE type LIKE 'charge.dispute.%'")
    assert {row["state"] for row in states} == {"ignored"}


# --- what becomes of it --------------------------------------------------------------------------


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhook", "look"])
@pytest.mark.parametrize(
    ("evidence", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")]
)
def test_the_bank_s_decision_is_shown(
    service: Running, has_webhooks: bool, evidence: str, status: str
) -> None:
    order_id = paid_order(service, IS_DISPUTED)
    hear(service)
    [opened] = rows(service)
    if not has_webhooks:
        service.simulator.set_webhook_target(None)
    submit(service, opened["id"], evidence)
    service.simulator.advance_clock(60)
    if has_webhooks:
        hear(service)
    else:
        pass_time(service, HOUR)
    [shown] = detail(service, order_id)["disputes"]
    assert shown["status"] == status and shown["closedAt"] is not None
    assert shown["isChargeRefundable"] is (status == "won")
    assert rows(service)[0]["next_look_at"] is None
    assert notices(service, order_id)[-1] == ("dispute.closed", status)
    assert [kind for kind, _ in notices(service, order_id)] == ["dispute.opened", "dispute.closed"]
    assert detail(service, order_id)["paymentStatus"] == "paid"
    assert listed(service, f"/api/disputes?status={status}")[0]["orderId"] == order_id
    assert listed(service, "/api/disputes?status=needs_response") == []


def test_a_dispute_that_nobody_answers_is_lost_and_nobody_has_to_report_it(
    service: Running,
) -> None:
    paid_order(service, IS_DISPUTED)
    hear(service)
    service.simulator.set_webhook_target(None)
    pass_time(service, 10 * DAY)
    assert [row["status"] for row in rows(service)] == ["lost"]
    before = service.last_request()
    pass_time(service, 2 * HOUR)
    calls = service.stripe_calls(before)
    assert [call for call in calls if "disputes/" in call[1]] == []


def test_an_older_look_does_not_overwrite_a_later_one(service: Running) -> None:
    """It was under way when the bank decided. One of a clock that was ahead is not believed."""
    paid_order(service, IS_DISPUTED)
    hear(service)
    [opened] = rows(service)
    asked_at = service.clock.now()
    older = service.run(retrieve_dispute(service.context.gateway, opened["id"], 5))
    submit(service, opened["id"], "winning_evidence")
    service.simulator.advance_clock(60)
    hear(service)
    service.run(record_dispute(service.context, older, asked_at))
    assert [row["status"] for row in rows(service)] == ["won"]
    ahead = service.clock.now() + timedelta(days=1)
    execute(service, "UPDATE disputes SET seen_at = $1", ahead)
    service.run(record_dispute(service.context, older, asked_at))
    assert [row["status"] for row in rows(service)] == ["needs_response"]


def test_an_inquiry_that_becomes_a_dispute_and_an_appeal_are_told_too(service: Running) -> None:
    order_id = paid_order(service, IS_ASKED_ABOUT)
    hear(service)
    [opened] = rows(service)
    seen = service.run(retrieve_dispute(service.context.gateway, opened["id"], 5))
    for status in (
        "warning_under_review", "needs_response", "under_review", "lost", "appeal_needs_response",
        "appeal_under_review", "won",
    ):  # fmt: skip
        service.clock.added += HOUR
        now = service.clock.now()
        service.run(record_dispute(service.context, replace(seen, status=status), now))
    assert notices(service, order_id) == [
        ("dispute.opened", "warning_needs_response"),
        ("dispute.opened", "needs_response"),
        ("dispute.closed", "lost"),
        ("dispute.opened", "appeal_needs_response"),
        ("dispute.closed", "won"),
    ]


def test_without_stripe_s_answer_an_event_waits(service: Running) -> None:
    service.work()  # the list is read, and read on an hour later
    paid_order(service, IS_DISPUTED)
    match = {"method": "GET", "path": "/v1/disputes/*"}
    service.simulator.add_fault(match=match, kind="error_before")
    hear(service)
    assert rows(service) == []
    service.simulator.clear_faults()
    pass_time(service, 60)
    assert [row["status"] for row in rows(service)] == ["needs_response"]


# --- refunds of what is disputed -----------------------------------------------------------------


def test_a_known_dispute_keeps_a_refund_from_being_asked_for(service: Running) -> None:
    order_id = paid_order(service, IS_DISPUTED)
    hear(service)
    before = service.last_request()
    assert_error(ask(service, order_id), 409, "payment_disputed", "contact_support")
    assert ("POST", "/v1/refunds") not in service.stripe_calls(before)
    assert service.rows("SELECT id FROM refunds") == []


def test_a_dispute_that_was_won_unheard_keeps_no_refund_back(service: Running) -> None:
    order_id = paid_order(service, IS_DISPUTED)
    hear(service)
    service.simulator.set_webhook_target(None)
    submit(service, rows(service)[0]["id"], "winning_evidence")
    service.simulator.advance_clock(60)
    assert assert_success(ask(service, order_id))["status"] == "succeeded"
    assert at_stripe(service) == [PRICE_MINOR]


def test_an_inquiry_can_be_refunded(service: Running) -> None:
    order_id = paid_order(service, IS_ASKED_ABOUT)
    hear(service)
    [shown] = detail(service, order_id)["disputes"]
    assert (shown["status"], shown["isChargeRefundable"]) == ("warning_needs_response", True)
    assert assert_success(ask(service, order_id))["status"] == "succeeded"


# --- warnings, and the list ----------------------------------------------------------------------


def test_an_early_fraud_warning_is_shown(service: Running) -> None:
    order_id = paid_order(service, IS_WARNED_OF)
    with structlog.testing.capture_logs() as logs:
        hear(service)
        hear(service)
    assert [log["event"] for log in logs if log["log_level"] == "critical"] == ["fraud.warned"]
    [shown] = detail(service, order_id)["fraudWarnings"]
    assert (shown["fraudType"], shown["isActionable"]) == ("made_with_stolen_card", True)
    assert detail(service, order_id)["paymentStatus"] == "paid"


def test_disputes_are_listed_by_pages_and_filters(service: Running) -> None:
    order_ids = [paid_order(service, IS_DISPUTED) for _ in range(3)]
    paid_order(service, GOOD)
    hear(service)
    assert {each["orderId"] for each in listed(service, "/api/disputes")} == set(order_ids)
    first = service.merchant("GET", "/api/disputes?limit=2").json()
    rest = service.merchant("GET", f"/api/disputes?limit=2&cursor={first['nextCursor']}").json()
    found = [each["orderId"] for each in itertools.chain(first["data"], rest["data"])]
    assert sorted(found) == sorted(order_ids) and rest["nextCursor"] is None
    [one] = listed(service, f"/api/disputes?orderId={order_ids[0]}")
    assert one["orderId"] == order_ids[0]
    for wrong in ("status=Lost!", "status=bogus", "orderId=1", "limit=101"):
        assert service.merchant("GET", f"/api/disputes?{wrong}").status_code == 400, wrong


def read_one_page(service: Running) -> int:
    """The worker's reading of the list, whose time is over when Stripe answers the first call."""
    match = {"method": "GET", "path": "/v1/disputes"}
    held = service.simulator.add_fault(kind="hold", match=match)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(service.run, read_new_disputes(service.context))
        try:
            service.wait_until_struck(held)
            service.clock.added += 30
        finally:
            service.simulator.remove_fault(held)
        return int(reading.result())


def test_a_list_that_is_too_long_for_one_reading_is_read_on_in_the_next(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    """Ours is the oldest, on the third page, and each time Stripe shows one page in time."""
    with running_service(sqlite_url, stripe_simulator) as service:
        order_id = paid_order(service, IS_DISPUTED)
        for _ in range(100):
            card = stripe_simulator.create_card(MULTIPLE)
            service.stripe(
                "POST", "/v1/payment_intents", amount=500, currency="usd", payment_method=card,
                confirm="true", **{"payment_method_types[]": "card"},
            )  # fmt: skip
        began_at = service.clock.now()
        for is_over, count in ((False, 100), (False, 100), (True, 1)):
            assert read_one_page(service) == count
            [row] = service.rows("SELECT disputes_read_until_at AS until_at FROM installation")
            assert (row["until_at"] is not None) is is_over
            service.clock.added += HOUR
        # What was disputed since is on top of the first page: the next reading begins there.
        assert began_at <= row["until_at"] < began_at + timedelta(minutes=5)
        assert [row["order_id"] for row in rows(service)] == [order_id]


def test_what_is_no_dispute_of_stripe_s_ends_quietly(service: Running) -> None:
    """A signed event about a dispute that Stripe does not show: tried again, and nothing more."""
    subject = {"id": "du_unknown", "object": "dispute", "payment_intent": "pi_1"}
    event = make_event("charge.dispute.created", subject)
    deliver(service, event)
    service.work()
    [row] = service.rows("SELECT state, note FROM stripe_events WHERE id = $1", event["id"])
    assert (row["state"], row["note"]) == ("pending", "Stripe did not show the dispute")
