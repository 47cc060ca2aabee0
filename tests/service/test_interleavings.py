"""Interleavings in which leaving out one rule of the design shows; most of them the model found.

Requests are held at Stripe until the test lets them go, and whatever has to happen between two
steps of the service happens in the step's hook: nothing depends on how fast anything is.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests

from paidonce.observability import set_step_hook
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, StartService

CREATE = {"method": "POST", "path": "/v1/payment_intents"}
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
CONFIRM_CALL = ("POST", "/v1/payment_intents/:id/confirm")


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def statuses(service: Running) -> list[str]:
    """Those of all intents at Stripe, oldest first."""
    found = service.stripe("GET", "/v1/payment_intents?limit=100")["data"]
    return [intent["status"] for intent in reversed(found)]


def confirm_by_itself(service: Running, action: dict[str, Any], card: str) -> dict[str, Any]:
    """The app confirms with the client secret that it was given."""
    answer = requests.post(
        f"{service.simulator.url}/v1/payment_intents/{action['paymentIntentId']}/confirm",
        data={"client_secret": action["clientSecret"], "payment_method": card},
        headers={"Authorization": f"Bearer {service.simulator.publishable_key}"},
        timeout=10,
    )
    data: dict[str, Any] = answer.json()
    return data


def hold(service: Running, match: dict[str, Any]) -> int:
    """Stripe gets the next such request when the faults are cleared."""
    fault_id: int = service.simulator.add_fault(match={**match, "times": 1}, kind="hold")
    return fault_id


def just_before(step: str, deed: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """Do it once, before the service begins this step; the service waits meanwhile."""
    return at_step(step, "before", deed)


@contextlib.contextmanager
def at_step(step: str, at: str, deed: Callable[[], None]) -> Iterator[None]:
    done: list[str] = []

    def hook(name: str, when: str) -> None:
        if (name, when) == (step, at) and not done:
            done.append(name)
            deed()

    set_step_hook(hook)
    try:
        yield
    finally:
        set_step_hook(None)
    assert done, f"{step} was not reached"


# --- an order is canceled while it is prepared ---------------------------------------------------


def cancel(service: Running, order_id: str) -> requests.Response:
    return service.merchant("POST", f"/api/orders/{order_id}/cancel")


def test_an_intent_that_was_made_late_for_a_canceled_order_stays_open_nowhere(
    service: Running,
) -> None:
    """Rule 1: it is not recorded, so the one who made it cancels it at once."""
    held = hold(service, CREATE)
    order_id = service.order(is_prepared=False)
    service.wait_until_struck(held)
    assert assert_success(cancel(service, order_id))["status"] == "canceled"
    service.simulator.clear_faults()
    service.run(service.context.background.drain())
    assert statuses(service) == ["canceled"]
    assert service.intent_of(order_id) == "None"


def test_an_intent_that_is_recorded_while_its_order_is_canceled_is_canceled_at_once(
    service: Running, start_service: StartService
) -> None:
    other = start_service()
    held = hold(service, CREATE)
    order_id = other.order(is_prepared=False)
    service.wait_until_struck(held)

    def record_the_intent() -> None:
        service.simulator.clear_faults()
        other.run(other.context.background.drain())
        assert statuses(service) == ["requires_payment_method"]
        assert other.intent_of(order_id).startswith("pi_")

    with just_before("commit.canceled", record_the_intent):
        assert assert_success(cancel(service, order_id))["status"] == "canceled"
    assert statuses(service) == ["canceled"]


# --- money is held meanwhile ---------------------------------------------------------------------


def test_a_sheet_that_comes_late_lets_go_of_no_hold(start_service: StartService) -> None:
    """The order is paid, by money that is held, between the sheet's look at the books and at the
    intent: that is not retired."""
    service, other = (start_service(capture_method="manual") for _ in range(2))
    order_id, card = service.order(), service.simulator.create_card(GOOD)

    def pay_it() -> None:
        assert assert_success(other.pay(order_id, card))["status"] == "authorized"

    with at_step("commit.sheet_begin", "after", pay_it):
        answer = service.call("POST", f"/api/mobile-app/orders/{order_id}/payment-sheet", {})
    assert_error(answer, 409, "order_already_paid")
    assert statuses(service) == ["requires_capture"]


# --- a sent attempt is joined --------------------------------------------------------------------


def test_the_repeat_of_a_sent_attempt_asks_for_nothing_but_its_confirm(service: Running) -> None:
    """Rule 2: it is charged, its answer was lost, and its customer is deleted and forgotten. An
    attach would be refused, and could not say what became of the confirm."""
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))
    charged, other = service.order(), service.order()
    service.simulator.add_fault(match=CONFIRM, kind="drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(charged, card), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    [user] = service.rows("SELECT stripe_customer_id AS customer FROM users WHERE id = 'alice'")
    service.stripe("DELETE", f"/v1/customers/{user['customer']}")
    assert_success(service.pay(other, service.simulator.create_card(GOOD)))
    service.simulator.add_fault(match=ATTACH, kind="rate_limit")
    before = service.last_request()
    assert_success(service.pay(charged, card))
    assert service.stripe_calls(before) == [CONFIRM_CALL]
    assert service.charges(charged) == 1


# --- the app's own confirm while one of ours is late ---------------------------------------------


@contextlib.contextmanager
def a_late_confirm(
    service: Running,
) -> Iterator[tuple[str, dict[str, Any], Future[requests.Response]]]:
    """An order whose app was given the client secret and failed its challenge; now it is paid with
    a known card, and Stripe does not have that confirm yet."""
    good, order_id = service.simulator.create_card(GOOD), service.order()
    assert_success(service.pay(service.order(), good))
    challenged = service.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(service.pay(order_id, challenged))
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 402, "authentication_failed")
    held = hold(service, CONFIRM)
    with ThreadPoolExecutor(1) as threads:
        payer = threads.submit(service.pay, order_id, good)
        try:
            service.wait_until_struck(held)
            yield order_id, action, payer
        finally:
            service.simulator.clear_faults()


def assert_lands(service: Running, order_id: str, payer: Future[requests.Response]) -> None:
    service.simulator.clear_faults()
    assert_success(payer.result())
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


def test_the_apps_own_challenge_says_nothing_of_a_confirm_that_is_late(service: Running) -> None:
    """Rule 6: a look at it does not make our attempt wait for that challenge, so its failure is
    not ours."""
    with a_late_confirm(service) as (order_id, action, payer):
        asked = confirm_by_itself(service, action, service.simulator.create_card(NEEDS_3DS))
        assert asked["status"] == "requires_action", asked
        assert service.payment(order_id)["status"] == "requires_action"
        service.simulator.authenticate(action["paymentIntentId"], "fail")
        assert service.payment(order_id)["status"] == "processing"
        assert_lands(service, order_id, payer)


def test_the_apps_own_decline_says_nothing_of_a_confirm_that_is_late(service: Running) -> None:
    """Rule 12: a decline of the app's own confirm closes none of ours."""
    with a_late_confirm(service) as (order_id, action, payer):
        card = service.simulator.create_card(DECLINED_AT_CHARGE)
        declined = confirm_by_itself(service, action, card)
        assert declined["error"]["code"] == "card_declined", declined
        assert service.payment(order_id)["status"] == "processing"
        assert_lands(service, order_id, payer)


# --- a challenge ---------------------------------------------------------------------------------


def test_nobody_is_asked_for_a_challenge_of_an_order_that_is_paid_by_then(
    service: Running, start_service: StartService
) -> None:
    """Rule 7: between Stripe's answer and its record it is passed, and somebody looks."""
    other = start_service()
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)

    def pass_it_and_look() -> None:
        service.simulator.authenticate(other.intent_of(order_id), "success")
        assert other.payment(order_id)["status"] == "succeeded"

    with just_before("commit.action", pass_it_and_look):
        assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


@pytest.fixture
def manual(start_service: StartService) -> Running:
    return start_service(stripe_confirmation_method="manual")


def test_a_challenge_that_is_asked_for_twice_can_be_passed_twice(manual: Running) -> None:
    """Rule 9: the confirm after the second challenge is not answered from the first one's key."""
    order_id, card = manual.order(), manual.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(manual.pay(order_id, card))
    manual.simulator.authenticate(action["paymentIntentId"], "again")
    assert assert_requires_action(manual.confirm(order_id)) == action
    manual.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(manual.confirm(order_id))
    assert manual.charges(order_id) == 1


def test_a_saved_error_of_the_confirm_after_a_challenge_is_not_the_end_of_it(
    manual: Running,
) -> None:
    """Rule 9: Stripe executed nothing and will answer nothing else under that key."""
    order_id, card = manual.order(), manual.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(manual.pay(order_id, card))
    manual.simulator.authenticate(action["paymentIntentId"], "success")
    manual.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="error_saved")
    for _ in range(2):
        assert_error(manual.confirm(order_id), 409, "payment_processing", "wait")
    assert_success(manual.confirm(order_id))
    assert manual.charges(order_id) == 1


def test_a_challenge_that_only_a_look_has_seen_may_end_in_the_apps_own_confirm(
    service: Running,
) -> None:
    """Rule 12: Stripe asked for the challenge and saved a 500 for it, so a look told the app of it;
    without webhooks only recovery can find out that the app went on by itself."""
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    service.clock.added += 30 * 3600  # the order is older than the looks last
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="error_after")
    action = assert_requires_action(service.pay(order_id, card))
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 503, "stripe_unavailable", "retry")
    paid = confirm_by_itself(service, action, service.simulator.create_card(GOOD))
    assert paid["status"] == "succeeded", paid
    service.recover(60)
    assert service.order_view(order_id)["paymentStatus"] == "paid"
    assert service.charges(order_id) == 1
