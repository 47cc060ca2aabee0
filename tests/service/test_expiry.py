"""Unpaid orders expire: by the road of a cancelation, never under a payment that may succeed."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from paidonce import recovery
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import GOOD, NEEDS_3DS, Running, StartService
from support.sheet import open_sheet

HOUR = 3600


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service(order_expires_after_hours=2)


def status_of(service: Running, order_id: str) -> str:
    return str(service.order_view(order_id)["status"])


def merchant_order(service: Running, **changes: Any) -> Any:
    body = {
        "userId": "alice",
        "orderId": str(uuid.uuid4()),
        "amountMinor": 44_000,
        "currency": "usd",
        **changes,
    }
    return service.merchant("POST", "/api/orders", body)


def test_an_unpaid_order_is_canceled_when_its_time_is_over(service: Running) -> None:
    order_id = service.order()
    service.recover(1.9 * HOUR)
    assert status_of(service, order_id) == "pending"
    service.recover(0.2 * HOUR)
    assert status_of(service, order_id) == "canceled"
    intent = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    assert intent["status"] == "canceled"
    answer = service.pay(order_id, service.simulator.create_card(GOOD))
    assert_error(answer, 409, "order_not_payable")
    (row,) = service.rows("SELECT kind, payload FROM outbox")
    assert row["kind"] == "order.canceled" and '"expired"' in row["payload"]


def test_a_paid_order_and_one_without_a_time_do_not_expire(
    service: Running, start_service: StartService
) -> None:
    paid = service.order()
    assert_success(service.pay(paid, service.simulator.create_card(GOOD)))
    service.recover(3 * HOUR)
    assert status_of(service, paid) == "paid"
    other = start_service()
    for_ever = other.order()
    other.recover(30 * 24 * HOUR)
    assert status_of(other, for_ever) == "pending"


def test_the_merchant_says_when_an_order_expires(start_service: StartService) -> None:
    service = start_service()
    ends_at = (service.clock.now() + timedelta(minutes=30)).isoformat()
    data = assert_success(merchant_order(service, expiresAt=ends_at))
    order_id = data["orderId"]
    view = assert_success(service.merchant("GET", f"/api/orders/{order_id}"))
    assert view["expiresAt"][:19] == ends_at[:19]
    same = {"orderId": order_id, "expiresAt": ends_at}
    assert assert_success(merchant_order(service, **same))["orderId"] == order_id
    later = (service.clock.now() + timedelta(minutes=31)).isoformat()
    assert_error(merchant_order(service, orderId=order_id, expiresAt=later), 409, "order_conflict")
    service.recover(31 * 60)
    assert status_of(service, order_id) == "canceled"


def test_a_time_that_is_none_or_over_is_refused(service: Running) -> None:
    for ends_at in ("tomorrow", "2026-11-27T10:00:00", "2020-01-01T00:00:00Z", 7):
        assert_error(merchant_order(service, expiresAt=ends_at), 400, "invalid_request")


def test_a_challenge_that_may_still_be_passed_is_waited_for(service: Running) -> None:
    order_id = service.order()
    service.clock.added += 1.99 * HOUR
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.recover(60)
    assert status_of(service, order_id) == "pending"
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert status_of(service, order_id) == "paid"


def test_a_challenge_in_the_payment_sheet_is_waited_for_as_long_as_one_of_ours(
    service: Running,
) -> None:
    passed, left = open_sheet(service, service.order()), open_sheet(service, service.order())
    for sheet in (passed, left):
        assert sheet.confirm(NEEDS_3DS)[1]["status"] == "requires_action"
    service.clock.added += 2 * HOUR + 60
    service.run(recovery.expire_once(service.context))
    assert {status_of(service, sheet.order_id) for sheet in (passed, left)} == {"pending"}
    service.simulator.authenticate(passed.intent_id, "success")
    service.clock.added += 15 * 60
    service.run(recovery.expire_once(service.context))
    assert status_of(service, passed.order_id) == "paid"
    assert status_of(service, left.order_id) == "canceled"


def test_money_that_is_held_by_the_payment_sheet_does_not_expire(
    start_service: StartService,
) -> None:
    """No event has said so, and Stripe does not answer the first look."""
    service = start_service(order_expires_after_hours=2, capture_method="manual")
    sheet = open_sheet(service, service.order())
    assert sheet.confirm()[1]["status"] == "requires_capture"
    look = {"method": "GET", "path": "/v1/payment_intents/*", "times": 1}
    service.simulator.add_fault(kind="drop_request", match=look)
    service.clock.added += 3 * HOUR
    for _ in range(2):
        service.run(recovery.expire_once(service.context))
        service.clock.added += 60
    assert_success(service.merchant("POST", f"/api/orders/{sheet.order_id}/capture"))
    assert status_of(service, sheet.order_id) == "paid"


def test_a_lost_answer_is_waited_for(service: Running) -> None:
    order_id = service.order()
    service.clock.added += 1.99 * HOUR
    path = {"method": "POST", "path": "/v1/payment_intents/*/confirm", "times": 3}
    service.simulator.add_fault(kind="drop_response", match=path)
    look = {"method": "GET", "path": "/v1/payment_intents/*", "times": 8}
    service.simulator.add_fault(kind="drop_request", match=look)
    card = service.simulator.create_card(GOOD)
    assert_error(service.pay(order_id, card), 409, "payment_processing")
    service.clock.added += 60
    service.run(recovery.expire_once(service.context))
    assert status_of(service, order_id) == "pending"
    service.simulator.clear_faults()
    service.recover(60)
    assert status_of(service, order_id) == "paid"
    assert service.charges(order_id) == 1


def test_money_that_is_held_does_not_expire(start_service: StartService) -> None:
    service = start_service(order_expires_after_hours=2, capture_method="manual")
    order_id = service.order()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    service.recover(3 * HOUR)
    assert status_of(service, order_id) == "pending"
    assert_success(service.merchant("POST", f"/api/orders/{order_id}/capture"))
    assert status_of(service, order_id) == "paid"


@pytest.mark.parametrize("card", [GOOD, NEEDS_3DS], ids=["held", "challenged"])
def test_orders_that_stay_pending_past_their_time_do_not_keep_later_ones(
    start_service: StartService, card: str
) -> None:
    service = start_service(order_expires_after_hours=2, capture_method="manual")
    staying = [service.order() for _ in range(recovery.BATCH)]
    for order_id in staying:
        assert service.pay(order_id, service.simulator.create_card(card)).status_code == 200
    unpaid = service.order()
    service.clock.added += 3 * HOUR
    for _ in range(2):
        service.run(recovery.expire_once(service.context))
        service.clock.added += 31
    assert status_of(service, unpaid) == "canceled"
    assert {status_of(service, order_id) for order_id in staying} == {"pending"}
