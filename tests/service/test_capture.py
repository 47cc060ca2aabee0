"""Authorised now, captured later: the hold, its capture, its release, its end; and their races."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from paidonce.observability import set_step_hook
from paidonce.store.engine import UnknownCommit
from support.envelope import assert_error, assert_requires_action, assert_success
from support.events import deliver, list_events
from support.legacy import Legacy, own_table
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService

CAPTURE = {"method": "POST", "path": "/v1/payment_intents/*/capture"}
DAY = 24 * 3600


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service(capture_method="manual")


def merchant_order(service: Running, **changes: Any) -> str:
    body = {
        "userId": "alice",
        "orderId": str(uuid.uuid4()),
        "amountMinor": 44_000,
        "currency": "usd",
        **changes,
    }
    data = assert_success(service.merchant("POST", "/api/orders", body))
    service.run(service.context.background.drain())
    return str(data["orderId"])


def held_order(service: Running) -> str:
    order_id = service.order()
    data = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert data["status"] == "authorized"
    return order_id


def capture(service: Running, order_id: str, amount: int | None = None) -> Any:
    body = {} if amount is None else {"amountMinor": amount}
    return service.merchant("POST", f"/api/orders/{order_id}/capture", body)


def seen_by_merchant(service: Running, order_id: str) -> dict[str, Any]:
    return dict(assert_success(service.merchant("GET", f"/api/orders/{order_id}")))


def intent_at_stripe(service: Running, order_id: str) -> dict[str, Any]:
    return service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")


def taken(service: Running, order_id: str) -> int:
    return int(intent_at_stripe(service, order_id)["amount_received"])


# --- the hold ------------------------------------------------------------------------------------


def test_an_order_for_later_capture_is_authorized_and_not_paid(service: Running) -> None:
    order_id = service.order()
    card = service.simulator.create_card(GOOD)
    data = assert_success(service.pay(order_id, card, save=True), "Payment processed successfully")
    assert (data["status"], data["amount"]) == ("authorized", 440)
    assert intent_at_stripe(service, order_id)["status"] == "requires_capture"
    assert (service.charges(order_id), taken(service, order_id)) == (0, 0)
    view = service.order_view(order_id)
    assert (view["status"], view["paymentStatus"]) == ("pending", "pending")
    assert service.payment(order_id)["status"] == "authorized"
    (line,) = service.call("GET", "/api/mobile-app/payments").json()["data"]
    assert line["status"] == "authorized"
    (saved,) = service.call("GET", "/api/mobile-app/payments/methods").json()["data"]
    assert saved["stripePaymentMethodId"] == card
    assert [row["kind"] for row in service.rows("SELECT kind FROM outbox")] == ["order.authorized"]


def test_whoever_pays_a_held_order_again_holds_nothing_more(service: Running) -> None:
    order_id = held_order(service)
    seen = service.last_request()
    other = service.simulator.create_card(GOOD)
    for answer in (service.pay(order_id, other), service.confirm(order_id)):
        assert assert_success(answer)["status"] == "authorized"
    calls = [call for call in service.stripe_calls(seen) if call[0] == "POST"]
    assert calls == [("POST", "/v1/payment_methods")]
    intents = service.stripe("GET", "/v1/payment_intents?limit=100")["data"]
    assert [each["status"] for each in intents] == ["requires_capture"]


@pytest.mark.parametrize(("asked", "told"), [(None, 1), (20_000, 44_000), (20_000, 0)])
def test_an_answer_that_names_another_amount_than_was_to_be_captured_is_none(
    service: Running, asked: int | None, told: int
) -> None:
    order_id = held_order(service)
    fields = {"amount_received": told}
    service.simulator.add_fault(kind="lie", match=CAPTURE, fields=fields)
    with capture_logs() as logs:
        assert_error(capture(service, order_id, asked), 409, "payment_processing")
    (alarm,) = [line for line in logs if line["log_level"] == "critical"]
    assert (alarm["event"], alarm["fields"]) == ("payment.contradicted", ["amount_received"])
    assert seen_by_merchant(service, order_id)["paymentStatus"] == "pending"
    service.simulator.clear_faults()
    assert assert_success(capture(service, order_id, asked))["paymentStatus"] == "paid"
    wanted = asked or 44_000
    assert seen_by_merchant(service, order_id)["amountCapturedMinor"] == wanted
    assert taken(service, order_id) == wanted


@pytest.mark.parametrize(("place", "is_taken"), [("capture_request", False), ("paid", True)])
def test_a_capture_that_was_begun_is_not_known_when_the_database_goes_away(
    service: Running, place: str, is_taken: bool
) -> None:
    order_id = held_order(service)

    def lose(name: str, side: str) -> None:
        if (name, side) == (f"commit.{place}", "after"):
            raise UnknownCommit("the connection broke")

    set_step_hook(lose)
    try:
        answer = capture(service, order_id)
    finally:
        set_step_hook(None)
    assert_error(answer, 409, "payment_processing", "wait")
    assert (taken(service, order_id) == 44_000) is is_taken
    assert assert_success(capture(service, order_id))["paymentStatus"] == "paid"
    assert taken(service, order_id) == 44_000


def test_a_double_tap_is_one_hold(service: Running) -> None:
    order_id = service.order()
    cards = [service.simulator.create_card(GOOD) for _ in range(2)]
    answers = service.pay_overlapping(order_id, *cards, cards[0])
    assert {assert_success(answer)["status"] for answer in answers} == {"authorized"}
    intents = service.stripe("GET", "/v1/payment_intents?limit=100")["data"]
    assert [each["status"] for each in intents] == ["requires_capture"]


def test_a_card_that_comes_back_late_lets_go_of_no_hold(service: Running) -> None:
    """Its attach was slow, and another card's money is held by the intent meanwhile."""
    order_id = service.order()
    late, held = (service.simulator.create_card(GOOD) for _ in range(2))
    attach = {"method": "POST", "path": f"/v1/payment_methods/{late}/attach"}
    slow = service.simulator.add_fault(match=attach, kind="hold")
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(service.pay, order_id, late)
        service.wait_until_struck(slow)
        assert assert_success(service.pay(order_id, held))["status"] == "authorized"
        service.simulator.remove_fault(slow)
        assert assert_success(answer.result())["status"] == "authorized"
    intents = service.stripe("GET", "/v1/payment_intents?limit=100")["data"]
    assert [(each["status"], each["payment_method"]) for each in intents] == [
        ("requires_capture", held)
    ]


@pytest.mark.parametrize("method", ["automatic", "manual"])
def test_a_challenge_that_is_passed_holds_the_money(
    start_service: StartService, method: str
) -> None:
    service = start_service(capture_method="manual", stripe_confirmation_method=method)
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert assert_success(service.confirm(order_id))["status"] == "authorized"


def test_a_lost_answer_of_a_hold_is_found_out(service: Running) -> None:
    order_id = service.order()
    path = {"method": "POST", "path": "/v1/payment_intents/*/confirm", "times": 3}
    service.simulator.add_fault(kind="drop_response", match=path)
    answer = service.pay(order_id, service.simulator.create_card(GOOD))
    assert assert_success(answer)["status"] == "authorized"


def test_the_merchant_chooses_for_each_order(start_service: StartService) -> None:
    service = start_service()
    later, now = merchant_order(service, captureMethod="manual"), merchant_order(service)
    for order_id, status in ((later, "authorized"), (now, "succeeded")):
        card = service.simulator.create_card(GOOD)
        assert assert_success(service.pay(order_id, card))["status"] == status
    assert seen_by_merchant(service, later)["captureMethod"] == "manual"
    assert seen_by_merchant(service, now)["captureMethod"] == "automatic"
    wrong = {"userId": "alice", "amountMinor": 100, "currency": "usd", "captureMethod": "later"}
    assert_error(service.merchant("POST", "/api/orders", wrong), 400, "invalid_request")
    same = {"userId": "alice", "amountMinor": 44_000, "currency": "usd", "orderId": later}
    assert assert_success(service.merchant("POST", "/api/orders", same))["orderId"] == later
    other = {**same, "captureMethod": "automatic"}
    assert_error(service.merchant("POST", "/api/orders", other), 409, "order_conflict")


def test_an_order_whose_money_is_held_is_pending_whatever_was_declined_before(
    service: Running,
) -> None:
    order_id = service.order()
    declined = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(order_id, declined), 402, "card_declined")
    assert service.order_view(order_id)["paymentStatus"] == "failed"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.order_view(order_id)["paymentStatus"] == "pending"
    assert service.payment(order_id)["status"] == "authorized"


# --- the capture ---------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [None, 44_000, 30_000])
def test_a_capture_takes_the_whole_or_a_part_once(service: Running, amount: int | None) -> None:
    order_id = held_order(service)
    want = amount or 44_000
    data = assert_success(capture(service, order_id, amount), "Order captured successfully")
    assert (data["status"], data["paymentStatus"]) == ("paid", "paid")
    assert (data["amountMinor"], data["amountCapturedMinor"]) == (44_000, want)
    assert taken(service, order_id) == want
    again = assert_success(capture(service, order_id, amount))
    assert again["amountCapturedMinor"] == want
    assert_error(capture(service, order_id, want - 100), 409, "order_not_capturable")
    assert service.charges(order_id) == 1
    paid = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert (paid["status"], paid["amountCapturedMinor"]) == ("succeeded", want)
    kinds = [row["kind"] for row in service.rows("SELECT kind FROM outbox ORDER BY created_at")]
    assert kinds == ["order.authorized", "order.paid"]
    assert service.payment(order_id)["amountCapturedMinor"] == want
    sent = [item for item in service.simulator.requests() if item["path"].endswith("/capture")]
    assert len(sent) == 1
    assert ":0" in sent[0]["idempotency_key"] and sent[0]["idempotency_key"].startswith("cp:")


def test_what_is_not_held_cannot_be_captured(service: Running, start_service: StartService) -> None:
    unpaid = service.order()
    assert_error(capture(service, unpaid), 409, "order_not_capturable")
    declined = service.order()
    service.pay(declined, service.simulator.create_card(DECLINED_AT_CHARGE))
    assert_error(capture(service, declined), 409, "order_not_capturable")
    order_id = held_order(service)
    assert_error(capture(service, order_id, 44_001), 400, "invalid_request")
    for wrong in (0, -1, 1.5, "1", True):
        answer = service.merchant("POST", f"/api/orders/{order_id}/capture", {"amountMinor": wrong})
        assert_error(answer, 400, "invalid_request")
    assert_error(capture(service, str(uuid.uuid4())), 404, "order_not_found")
    assert_error(service.call("POST", f"/api/orders/{order_id}/capture"), 401, "not_authenticated")
    assert taken(service, order_id) == 0


@pytest.mark.parametrize("kind", ["drop_response", "error_after"])
def test_a_lost_answer_of_a_capture_is_found_out_by_the_worker(service: Running, kind: str) -> None:
    order_id = held_order(service)
    service.simulator.add_fault(kind=kind, match={**CAPTURE, "times": 1})
    assert_error(capture(service, order_id, 20_000), 409, "payment_processing", "wait")
    assert_error(capture(service, order_id, 10_000), 409, "order_not_capturable")
    service.recover(61)
    view = seen_by_merchant(service, order_id)
    assert (view["status"], view["amountCapturedMinor"]) == ("paid", 20_000)
    assert taken(service, order_id) == 20_000


@pytest.mark.parametrize("kind", ["drop_request", "rate_limit", "error_before", "error_saved"])
def test_a_capture_that_was_not_made_is_made_by_the_worker(service: Running, kind: str) -> None:
    order_id = held_order(service)
    service.simulator.add_fault(kind=kind, match={**CAPTURE, "times": 1})
    assert_error(capture(service, order_id), 409, "payment_processing", "wait")
    service.recover(61)
    service.recover(61)
    assert seen_by_merchant(service, order_id)["status"] == "paid"
    assert (taken(service, order_id), service.charges(order_id)) == (44_000, 1)


def test_captures_at_the_same_time_take_it_once(service: Running) -> None:
    order_id = held_order(service)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: capture(service, order_id, 30_000), range(4)))
    assert {assert_success(answer)["amountCapturedMinor"] for answer in answers} == {30_000}
    assert (taken(service, order_id), service.charges(order_id)) == (30_000, 1)


def test_of_a_capture_and_a_cancelation_one_wins(service: Running) -> None:
    for _ in range(4):
        order_id = held_order(service)

        def cancel(order_id: str = order_id) -> Any:
            return service.merchant("POST", f"/api/orders/{order_id}/cancel")

        def take(order_id: str = order_id) -> Any:
            return capture(service, order_id)

        with ThreadPoolExecutor(2) as threads:
            canceled, captured = [
                future.result() for future in (threads.submit(cancel), threads.submit(take))
            ]
        intent, status = intent_at_stripe(service, order_id), None
        if captured.status_code == 200:
            status = "succeeded"
            assert canceled.status_code == 409
        else:
            status = "canceled"
            assert_success(canceled)
            assert_error(captured, 409, "order_not_capturable")
        assert intent["status"] == status
        view = seen_by_merchant(service, order_id)
        assert view["status"] == {"succeeded": "paid"}.get(status, status)


def test_a_capture_under_way_is_not_canceled(service: Running) -> None:
    order_id = held_order(service)
    service.simulator.add_fault(kind="drop_response", match={**CAPTURE, "times": 1})
    assert_error(capture(service, order_id), 409, "payment_processing")
    answer = service.merchant("POST", f"/api/orders/{order_id}/cancel")
    assert_error(answer, 409, "payment_in_progress")


def test_a_capture_in_the_dashboard_pays_the_order(service: Running) -> None:
    order_id = held_order(service)
    path = f"/v1/payment_intents/{service.intent_of(order_id)}/capture"
    service.stripe("POST", path, amount_to_capture=12_300)
    for event in list_events(service):
        if event["type"] in ("charge.captured", "payment_intent.succeeded"):
            deliver(service, event)
    service.work()
    view = seen_by_merchant(service, order_id)
    assert (view["status"], view["amountCapturedMinor"]) == ("paid", 12_300)
    assert_error(capture(service, order_id), 409, "order_not_capturable")


# --- the end of a hold ---------------------------------------------------------------------------


def test_canceling_an_order_releases_its_hold(service: Running) -> None:
    order_id = held_order(service)
    data = assert_success(service.merchant("POST", f"/api/orders/{order_id}/cancel"))
    assert data["status"] == "canceled"
    kinds = [row["kind"] for row in service.rows("SELECT kind FROM outbox ORDER BY position")]
    assert kinds == ["order.authorized", "order.canceled"]
    assert intent_at_stripe(service, order_id)["status"] == "canceled"
    assert_error(capture(service, order_id), 409, "order_not_capturable")
    answer = service.pay(order_id, service.simulator.create_card(GOOD))
    assert_error(answer, 409, "order_not_payable")
    assert_error(service.confirm(order_id), 409, "order_not_payable")
    assert service.payment(order_id)["status"] == "canceled"


def test_the_end_of_a_hold_is_shown_and_looked_for(service: Running) -> None:
    order_id = held_order(service)
    assert "captureBefore" not in seen_by_merchant(service, order_id)
    service.work()
    charge_id = intent_at_stripe(service, order_id)["latest_charge"]
    charge = service.stripe("GET", f"/v1/charges/{charge_id}")
    ends_at = charge["payment_method_details"]["card"]["capture_before"]
    view = seen_by_merchant(service, order_id)
    assert view["amountAuthorizedMinor"] == 44_000
    assert view["captureBefore"].startswith(_utc(ends_at))
    (line,) = service.merchant("GET", "/api/payments?status=authorized").json()["data"]
    assert line["captureBefore"] == view["captureBefore"]


def test_holds_that_end_soon_are_counted(service: Running) -> None:
    held_order(service)
    service.work()
    assert "paidonce_holds_ending 0.0" in _metrics(service)
    service.clock.added += 6.5 * DAY
    assert "paidonce_holds_ending 1.0" in _metrics(service)


def test_a_figure_that_cannot_be_read_keeps_no_other_from_being_read(service: Running) -> None:
    held_order(service)
    service.work()
    assert "paidonce_holds_ending 0.0" in _metrics(service)
    url = service.settings.database_url
    Legacy(url).run(f"ALTER TABLE {own_table(url, 'outbox')} RENAME TO outbox_away")
    service.clock.added += 6.5 * DAY
    assert "paidonce_holds_ending 1.0" in _metrics(service)


def test_a_hold_that_stripe_releases_makes_the_order_payable_again(service: Running) -> None:
    order_id = held_order(service)
    service.work()
    service.simulator.advance_clock(8 * DAY)
    assert intent_at_stripe(service, order_id)["status"] == "canceled"
    service.recover(8 * DAY)
    payment = service.payment(order_id)
    assert payment["status"] == "failed"
    assert "released" in payment["lastError"]
    assert_error(service.confirm(order_id), 402, "authorization_expired", "retry")
    notices = service.rows("SELECT kind, payload FROM outbox ORDER BY position")
    assert [row["kind"] for row in notices] == ["order.authorized", "payment.failed"]
    assert json.loads(notices[1]["payload"])["code"] == "authorization_expired"
    assert_error(capture(service, order_id), 409, "order_not_capturable")
    again = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert again["status"] == "authorized"
    assert assert_success(capture(service, order_id))["status"] == "paid"
    assert service.charges(order_id) == 1


def test_a_hold_whose_time_is_over_by_our_clock_stands_until_stripe_says_so(
    service: Running,
) -> None:
    order_id = held_order(service)
    service.work()
    service.recover(8 * DAY)
    assert service.payment(order_id)["status"] == "authorized"
    assert assert_success(capture(service, order_id))["status"] == "paid"
    assert service.charges(order_id) == 1


def test_a_capture_of_a_hold_that_is_over_is_refused_with_its_reason(service: Running) -> None:
    order_id = held_order(service)
    service.simulator.advance_clock(8 * DAY)  # and nobody has told us
    body = assert_error(capture(service, order_id), 409, "order_not_capturable")
    assert "no more" in body["message"]
    view = seen_by_merchant(service, order_id)
    assert view["status"] == "pending" and "amountAuthorizedMinor" not in view


def _utc(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()[:19]


def _metrics(service: Running) -> str:
    return requests.get(f"{service.url}/metrics", timeout=10).text
