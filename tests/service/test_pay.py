"""The cases that were asked for, on both databases and with both confirmation methods."""

from typing import Any

import pytest

from stripesim.testing import ControlError
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import (
    DECLINED_AFTER_3DS,
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
)

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}


@pytest.fixture(params=["automatic", "manual"])
def service(request: Any, start_service: StartService) -> Running:
    return start_service(stripe_confirmation_method=request.param)


def test_a_first_payment_is_charged_once_and_says_so(service: Running) -> None:
    order_id = service.order()
    data = assert_success(
        service.pay(order_id, service.simulator.create_card(GOOD)), "Payment processed successfully"
    )
    assert data == {
        "paymentId": data["paymentId"],
        "orderId": order_id,
        "amount": 440,
        "amountMinor": 44_000,
        "currency": "usd",
        "status": "succeeded",
    }
    assert data["paymentId"].startswith("pay_")
    assert service.charges(order_id) == 1
    view = service.order_view(order_id)
    assert (view["status"], view["paymentStatus"]) == ("paid", "paid")
    assert service.payment(order_id)["status"] == "succeeded"


def test_an_unprepared_order_is_paid_as_well(service: Running) -> None:
    order_id = service.order(is_prepared=False)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_the_repeat_of_a_paid_order_answers_the_same_and_asks_stripe_nothing(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    first = assert_success(service.pay(order_id, card))
    before = service.last_request()
    assert assert_success(service.pay(order_id, card)) == first
    assert assert_success(service.pay(order_id, service.simulator.create_card(GOOD))) == first
    calls = [call for call in service.stripe_calls(before) if call[1] != "/v1/payment_methods"]
    assert calls == []
    assert service.charges(order_id) == 1


def test_a_card_declined_by_the_charge_can_be_tried_again_with_the_same_method(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    for _ in range(3):
        body = assert_error(service.pay(order_id, card), 402, "card_declined")
        assert body["message"] == "Payment failed"
        assert body["errors"] == ["Your card was declined."]
        assert body["declineCode"] == "generic_decline"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_a_card_declined_at_the_attach_can_be_tried_again_with_the_same_method(
    service: Running,
) -> None:
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_ATTACH)
    for _ in range(2):
        body = assert_error(service.pay(order_id, card), 402, "card_declined", "retry")
        assert body["declineCode"] == "generic_decline"
    assert service.payment(order_id)["status"] == "failed"
    assert service.payment(order_id)["lastError"] == "Your card was declined."
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_the_same_method_pays_five_orders(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    orders = [service.order() for _ in range(5)]
    for order_id in orders:
        assert_success(service.pay(order_id, card))
    assert [service.charges(order_id) for order_id in orders] == [1] * 5
    audit = service.simulator.audit(group_by="order_id")
    assert audit["totals"]["customers"] == 1


def test_a_retry_after_a_lost_answer_ends_in_one_charge(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match=CONFIRM, kind="drop_response")
    service.simulator.add_fault(
        match={"method": "GET", "path": "/v1/payment_intents/*"}, kind="drop_request"
    )
    assert_error(service.pay(order_id, card), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_a_lost_answer_is_found_out_within_the_same_request(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="drop_response")
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


# --- 3-D Secure ----------------------------------------------------------------------------------


def begin_challenge(service: Running, number: str = NEEDS_3DS) -> tuple[str, str, dict[str, str]]:
    order_id, card = service.order(), service.simulator.create_card(number)
    return order_id, card, assert_requires_action(service.pay(order_id, card))


def test_three_d_secure_passed(service: Running) -> None:
    order_id, _, action = begin_challenge(service)
    assert service.charges(order_id) == 0
    service.simulator.authenticate(action["paymentIntentId"], "success")
    data = assert_success(service.confirm(order_id, {"paymentIntentId": action["paymentIntentId"]}))
    assert data["paymentId"] == action["paymentId"]
    assert assert_success(service.confirm(order_id)) == data
    assert service.charges(order_id) == 1


def test_three_d_secure_passed_and_the_app_posts_pay_with_the_intent_only(
    service: Running,
) -> None:
    order_id, _, action = begin_challenge(service)
    service.simulator.authenticate(action["paymentIntentId"], "success")
    body = {"paymentIntentId": action["paymentIntentId"]}
    assert_success(service.call("POST", f"/api/mobile-app/orders/{order_id}/pay", body))
    assert service.charges(order_id) == 1


def test_three_d_secure_failed_can_be_tried_again_with_the_same_card(service: Running) -> None:
    order_id, card, action = begin_challenge(service)
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    again = assert_requires_action(service.pay(order_id, card))
    service.simulator.authenticate(again["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert service.charges(order_id) == 1


def test_three_d_secure_declined_after_the_authentication(service: Running) -> None:
    order_id, _, action = begin_challenge(service, DECLINED_AFTER_3DS)
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert_error(service.confirm(order_id), 402, "card_declined")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_a_pending_challenge_answers_the_same_client_secret_again(service: Running) -> None:
    order_id, card, action = begin_challenge(service)
    assert assert_requires_action(service.pay(order_id, card)) == action
    assert assert_requires_action(service.confirm(order_id)) == action


def test_an_app_that_was_killed_finds_its_challenge_again(service: Running) -> None:
    order_id, _, action = begin_challenge(service)
    status = service.payment(order_id)
    assert status["status"] == "requires_action"
    assert status["clientSecret"] == action["clientSecret"]
    assert status["paymentId"] == action["paymentId"]
    service.simulator.authenticate(action["paymentIntentId"], "success")
    service.recover()
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


def test_an_abandoned_challenge_is_ended_and_can_charge_no_more(service: Running) -> None:
    order_id, card, action = begin_challenge(service)
    service.recover(service.settings.authentication_window_seconds + 60)
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    with pytest.raises(ControlError, match="no authentication is pending"):
        service.simulator.authenticate(action["paymentIntentId"], "success")
    again = assert_requires_action(service.pay(order_id, card))
    assert again["paymentIntentId"] != action["paymentIntentId"]
    service.simulator.authenticate(again["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert service.charges(order_id) == 1


def test_a_challenge_left_for_another_card_can_charge_no_more(service: Running) -> None:
    order_id, _, action = begin_challenge(service)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    with pytest.raises(ControlError, match="no authentication is pending"):
        service.simulator.authenticate(action["paymentIntentId"], "success")
    service.recover()
    assert service.charges(order_id) == 1
    assert assert_success(service.confirm(order_id))["orderId"] == order_id


@pytest.mark.parametrize("kind", ["unknown", "another user's", "unknown to us, another's"])
def test_what_is_no_card_of_the_payers_ends_no_challenge(service: Running, kind: str) -> None:
    order_id, method, action = begin_challenge(service)
    before, other = service.payment(order_id), "pm_doesnotexist"
    if kind == "another user's":
        other = service.simulator.create_card(GOOD)
        assert_success(service.pay(service.order("bob"), other, user="bob"))
    if kind == "unknown to us, another's":
        customer = service.stripe("POST", "/v1/customers")["id"]
        other = service.simulator.create_card(GOOD)
        service.stripe("POST", f"/v1/payment_methods/{other}/attach", customer=customer)
    assert_error(service.pay(order_id, other), 404, "payment_method_not_found")
    assert service.payment(order_id) == before
    again = assert_requires_action(service.pay(order_id, method))
    assert again["clientSecret"] == action["clientSecret"]
    service.simulator.authenticate(action["paymentIntentId"], "success")
    data = assert_success(service.pay(order_id, other))
    assert data["paymentId"] == action["paymentId"], "what was paid is told, whatever is asked for"
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("had_challenge", [True, False])
def test_a_try_that_was_refused_is_failed_in_every_view(
    service: Running, had_challenge: bool
) -> None:
    order_id = begin_challenge(service)[0] if had_challenge else service.order()
    nobodys = "pm_card_doesnotexist"  # an id as Stripe's test ids: it is not looked at first
    assert_error(service.pay(order_id, nobodys), 404, "payment_method_not_found")
    assert service.payment(order_id)["status"] == "failed"
    assert service.order_view(order_id)["paymentStatus"] == "failed"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.order_view(order_id)["paymentStatus"] == "paid"


def test_a_card_that_stripe_does_not_show_takes_the_challenges_place_as_ever(
    service: Running,
) -> None:
    order_id, _, _ = begin_challenge(service)
    good = service.simulator.create_card(GOOD)
    service.simulator.add_fault(
        kind="error_before", match={"method": "GET", "path": "/v1/payment_methods/*"}
    )
    assert_success(service.pay(order_id, good))
    assert service.charges(order_id) == 1


def test_a_challenge_that_was_passed_wins_over_another_card(service: Running) -> None:
    order_id, _, action = begin_challenge(service)
    service.simulator.authenticate(action["paymentIntentId"], "success")
    data = assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert data["paymentId"] == action["paymentId"]
    assert service.charges(order_id) == 1
