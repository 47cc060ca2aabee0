"""Settings that change the road: who handles next actions, single use, keeping a card."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import (
    DECLINED_AFTER_3DS,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
)

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
REUSE_WORDS = "may not be used again"
RETURN_URL = "https://shop.example/return?from=stripe"
Start = Callable[..., Running]


@pytest.fixture
def start(start_service: StartService) -> Start:
    return start_service


@pytest.fixture(params=["automatic", "manual"])
def start_either(request: Any, start: Start) -> Start:
    """The same with each confirmation method, for tests with a challenge in them."""
    return partial(start, stripe_confirmation_method=request.param)


def as_app(service: Running, action: dict[str, str]) -> dict[str, Any]:
    """The intent as the app's SDK reads it: with the publishable key and the client secret."""
    answer = requests.get(
        f"{service.simulator.url}/v1/payment_intents/{action['paymentIntentId']}",
        params={"client_secret": action["clientSecret"]},
        headers={"Authorization": f"Bearer {service.simulator.publishable_key}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    intent: dict[str, Any] = answer.json()
    return intent


def as_secret(service: Running, path: str, form: dict[str, Any]) -> requests.Response:
    """A call of somebody else who holds the account's secret key."""
    return requests.post(
        f"{service.simulator.url}/v1/{path}",
        data=form,
        headers={"Authorization": f"Bearer {service.simulator.secret_key}"},
        timeout=10,
    )


def confirms_after(service: Running, seq: int) -> list[dict[str, Any]]:
    asked = service.simulator.requests(after=seq)
    return [item for item in asked if item["path"].endswith("/confirm")]


# --- who handles the next action -----------------------------------------------------------------


def press(page_url: str, button: str) -> requests.Response:
    """Open the hosted page as a browser does and submit the form with this button."""
    page = requests.get(page_url, timeout=10)
    assert page.status_code == 200, page.text
    forms = re.findall(r'<form method="post" action="([^"]+)">(.*?)</form>', page.text, re.DOTALL)
    (action,) = [address for address, inner in forms if button in inner]
    target = urljoin(page_url, action.replace("&amp;", "&"))
    return requests.post(target, timeout=10, allow_redirects=False)


@pytest.mark.parametrize("body_of", ["confirm", "pay with the intent"])
def test_without_the_sdk_the_hosted_page_leads_back_to_the_return_url(
    start_either: Start, body_of: str
) -> None:
    service = start_either(stripe_use_sdk=False, payment_return_url=RETURN_URL)
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    next_action = as_app(service, action)["next_action"]
    assert next_action["type"] == "redirect_to_url"
    assert next_action["redirect_to_url"]["return_url"] == RETURN_URL
    page = action["redirectUrl"]
    assert page == next_action["redirect_to_url"]["url"]
    assert service.payment(order_id)["redirectUrl"] == page
    assert assert_requires_action(service.confirm(order_id))["redirectUrl"] == page

    done = press(page, "Complete authentication")
    assert done.status_code == 303
    back = urlsplit(done.headers["Location"])
    assert done.headers["Location"].startswith(RETURN_URL)
    query = parse_qs(back.query)
    assert query["payment_intent"] == [action["paymentIntentId"]]
    assert query["payment_intent_client_secret"] == [action["clientSecret"]]
    assert query["redirect_status"] == ["succeeded"]

    intent_body = {"paymentIntentId": action["paymentIntentId"]}
    if body_of == "confirm":
        answer = service.confirm(order_id, intent_body)
    else:
        answer = service.call("POST", f"/api/mobile-app/orders/{order_id}/pay", intent_body)
    assert_success(answer)
    assert service.charges(order_id) == 1


def test_without_the_sdk_a_failed_authentication_leads_back_as_well(start_either: Start) -> None:
    service = start_either(stripe_use_sdk=False, payment_return_url="shop://return")
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    done = press(action["redirectUrl"], "Fail authentication")
    assert done.status_code == 303
    assert done.headers["Location"].startswith("shop://return?")
    assert "redirect_status=failed" in done.headers["Location"]
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    assert "redirectUrl" not in service.payment(order_id)
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


def test_with_the_sdk_the_next_action_is_the_sdks(start_either: Start) -> None:
    service = start_either(stripe_use_sdk=True)
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    next_action = as_app(service, action)["next_action"]
    assert next_action["type"] == "use_stripe_sdk"
    assert "redirectUrl" not in action | service.payment(order_id)
    press(next_action["use_stripe_sdk"]["stripe_js"], "Complete authentication")
    assert_success(service.confirm(order_id))
    assert service.charges(order_id) == 1


def test_after_a_passed_challenge_a_killed_app_is_told_to_wait_for_the_servers_confirm(
    start: Start,
) -> None:
    service = start(stripe_confirmation_method="manual")
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    assert service.payment(order_id)["clientSecret"] == action["clientSecret"]
    service.simulator.authenticate(action["paymentIntentId"])
    answer = service.call("GET", f"/api/mobile-app/orders/{order_id}/payment")
    assert assert_success(answer)["status"] == "processing"
    assert answer.json()["nextStep"] == "wait"
    service.recover(50)
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


def test_nobody_is_sent_to_a_challenge_without_its_client_secret(start: Start) -> None:
    service = start()
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    look = {"method": "GET", "path": "/v1/payment_intents/*"}
    service.simulator.add_fault(match=look, kind="drop_request")
    assert service.payment(order_id)["status"] == "processing"
    service.simulator.clear_faults()
    assert service.payment(order_id)["clientSecret"] == action["clientSecret"]


@pytest.mark.parametrize("use_sdk", [True, False])
def test_a_confirm_names_either_the_sdk_or_the_return_url(start: Start, use_sdk: bool) -> None:
    service = start(stripe_use_sdk=use_sdk, payment_return_url=RETURN_URL)
    order_id, before = service.order(), service.last_request()
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    (confirm,) = confirms_after(service, before)
    assert ("use_stripe_sdk" in confirm["params"]) is use_sdk
    assert confirm["params"].get("return_url") == (None if use_sdk else RETURN_URL)


# --- keeping a card ------------------------------------------------------------------------------


def test_consent_goes_with_every_confirm_and_is_said_either_way(start: Start) -> None:
    service = start()
    card = service.simulator.create_card(GOOD)
    for save, expected in ((False, ""), (True, "on_session"), (False, "")):
        order_id, before = service.order(), service.last_request()
        assert_success(service.pay(order_id, card, save=save))
        (confirm,) = confirms_after(service, before)
        assert confirm["params"]["setup_future_usage"] == expected
        assert service.charges(order_id) == 1


def test_a_card_is_kept_only_after_a_success_and_only_when_asked_for(start: Start) -> None:
    service = start()
    listed = "SELECT is_listed FROM payment_methods WHERE stripe_payment_method_id = $1"
    plain, kept, declined = (
        service.simulator.create_card(number)
        for number in (GOOD, "5555555555554444", DECLINED_AT_CHARGE)
    )
    assert_success(service.pay(service.order(), plain))
    assert_success(service.pay(service.order(), kept, save=True))
    assert_error(service.pay(service.order(), declined, save=True), 402, "card_declined")
    found = [service.rows(listed, card)[0]["is_listed"] for card in (plain, kept, declined)]
    assert found == [False, True, False]
    assert_success(service.pay(service.order(), kept, save=False))
    assert service.rows(listed, kept)[0]["is_listed"] is True
    assert_success(service.pay(service.order(), plain, save=True))
    assert service.rows(listed, plain)[0]["is_listed"] is True


# --- a method that somebody else used up ---------------------------------------------------------


def burned_card(service: Running) -> str:
    """A method that was used once, unattached, by somebody with the same account."""
    card = str(service.simulator.create_card(GOOD))
    form = {"amount": 100, "currency": "usd", "payment_method": card, "confirm": "true"}
    answer = as_secret(service, "payment_intents", form)
    assert answer.status_code == 200 and answer.json()["status"] == "succeeded", answer.text
    again = as_secret(service, "payment_intents", form)
    assert again.status_code == 400 and REUSE_WORDS in again.json()["error"]["message"]
    return card


@pytest.mark.parametrize("policy", ["attach", "single_use"])
def test_a_method_used_up_by_somebody_else_is_told_as_consumed(start: Start, policy: str) -> None:
    service = start(payment_method_policy=policy)
    card, order_id = burned_card(service), service.order()
    for _ in range(2):
        answer = service.pay(order_id, card)
        assert_error(answer, 402, "payment_method_consumed", "use_other_method")
        assert REUSE_WORDS not in answer.text
    assert service.order_view(order_id)["paymentStatus"] == "failed"
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


# --- single use ----------------------------------------------------------------------------------


@pytest.fixture
def single(start: Start) -> Running:
    return start(payment_method_policy="single_use")


@pytest.fixture
def single_either(start_either: Start) -> Running:
    return start_either(payment_method_policy="single_use")


def test_single_use_pays_without_an_attach(single: Running) -> None:
    card = single.simulator.create_card(GOOD)
    order_id, before = single.order(), single.last_request()
    assert_success(single.pay(order_id, card))
    assert single.stripe_calls(before) == [("POST", "/v1/payment_intents/:id/confirm")]
    assert single.charges(order_id) == 1


def test_a_second_use_is_refused_from_our_own_record(single: Running) -> None:
    card = single.simulator.create_card(DECLINED_AT_CHARGE)
    order_id = single.order()
    assert_error(single.pay(order_id, card), 402, "card_declined")
    before = single.last_request()
    for _ in range(2):
        answer = single.pay(order_id, card)
        assert_error(answer, 402, "payment_method_consumed", "use_other_method")
        assert REUSE_WORDS not in answer.text
    assert single.stripe_calls(before) == []
    assert_success(single.pay(order_id, single.simulator.create_card(GOOD)))
    assert single.charges(order_id) == 1


def test_a_method_that_paid_one_order_is_refused_for_the_next(single: Running) -> None:
    card = single.simulator.create_card(GOOD)
    first, second = single.order(), single.order()
    paid = assert_success(single.pay(first, card))
    before = single.last_request()
    assert_error(single.pay(second, card), 402, "payment_method_consumed", "use_other_method")
    assert single.stripe_calls(before) == []
    assert assert_success(single.pay(first, card)) == paid
    assert_success(single.pay(second, single.simulator.create_card(GOOD)))
    assert [single.charges(first), single.charges(second)] == [1, 1]


def test_another_users_method_is_consumed_for_everybody(single: Running) -> None:
    card = single.simulator.create_card(GOOD)
    assert_success(single.pay(single.order("bob"), card, user="bob"))
    answer = single.pay(single.order(), card)
    assert_error(answer, 402, "payment_method_consumed", "use_other_method")


def test_a_lost_answer_and_a_retry_with_the_same_method_is_one_charge(single: Running) -> None:
    order_id, card = single.order(), single.simulator.create_card(GOOD)
    single.simulator.add_fault(match={**CONFIRM, "times": 3}, kind="drop_response")
    look = {"method": "GET", "path": "/v1/payment_intents/*"}
    single.simulator.add_fault(match=look, kind="drop_request")
    assert_error(single.pay(order_id, card), 409, "payment_processing", "wait")
    single.simulator.clear_faults()
    assert_success(single.pay(order_id, card))
    assert single.charges(order_id) == 1


def test_a_lost_request_and_a_retry_with_the_same_method_is_one_charge(single: Running) -> None:
    """Stripe never saw it, so the same method is still good."""
    order_id, card = single.order(), single.simulator.create_card(GOOD)
    single.simulator.add_fault(match={**CONFIRM, "times": 3}, kind="drop_request")
    assert_error(single.pay(order_id, card), 409, "payment_processing", "wait")
    assert_success(single.pay(order_id, card))
    assert single.charges(order_id) == 1


def test_a_send_that_was_surely_not_executed_does_not_consume(single: Running) -> None:
    order_id, card = single.order(), single.simulator.create_card(GOOD)
    single.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="rate_limit")
    assert_error(single.pay(order_id, card), 503, "stripe_unavailable", "retry")
    assert_success(single.pay(order_id, card))
    assert single.charges(order_id) == 1


def test_a_double_tap_with_one_method_is_one_charge_and_two_successes(single: Running) -> None:
    order_id, card = single.order(), single.simulator.create_card(GOOD)
    first, second = single.pay_overlapping(order_id, card, card)
    assert assert_success(first) == assert_success(second)
    assert single.charges(order_id) == 1


def test_a_double_tap_with_a_method_each_is_one_charge(single: Running) -> None:
    order_id = single.order()
    cards = [single.simulator.create_card(GOOD) for _ in range(2)]
    answers = single.pay_overlapping(order_id, *cards)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert single.charges(order_id) == 1


def test_the_test_factories_can_be_used_any_number_of_times(single: Running) -> None:
    for _ in range(2):
        order_id = single.order()
        assert_success(single.pay(order_id, "pm_card_visa"))
        assert single.charges(order_id) == 1


def test_single_use_ignores_the_wish_to_keep_the_card(single: Running) -> None:
    order_id, before = single.order(), single.last_request()
    assert_success(single.pay(order_id, single.simulator.create_card(GOOD), save=True))
    (confirm,) = confirms_after(single, before)
    assert confirm["params"]["setup_future_usage"] == ""
    assert single.rows("SELECT id FROM payment_methods WHERE is_listed") == []


def test_single_use_passes_3ds(single_either: Running) -> None:
    order_id, card = single_either.order(), single_either.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(single_either.pay(order_id, card))
    assert assert_requires_action(single_either.pay(order_id, card)) == action
    single_either.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(single_either.confirm(order_id))
    assert single_either.charges(order_id) == 1


@pytest.mark.parametrize(
    ("number", "outcome", "code"),
    [
        (NEEDS_3DS, "fail", "authentication_failed"),
        (DECLINED_AFTER_3DS, "success", "card_declined"),
    ],
)
def test_single_use_after_a_challenge_that_is_over_needs_another_entry(
    single_either: Running, number: str, outcome: str, code: str
) -> None:
    order_id, card = single_either.order(), single_either.simulator.create_card(number)
    action = assert_requires_action(single_either.pay(order_id, card))
    single_either.simulator.authenticate(action["paymentIntentId"], outcome)
    assert_error(single_either.confirm(order_id), 402, code)
    answer = single_either.pay(order_id, card)
    assert_error(answer, 402, "payment_method_consumed", "use_other_method")
    assert REUSE_WORDS not in answer.text
    assert_success(single_either.pay(order_id, single_either.simulator.create_card(GOOD)))
    assert single_either.charges(order_id) == 1


def test_a_used_up_card_entry_is_never_advised_for_a_retry(start_service: StartService) -> None:
    """Under single use the same request again would only be told that the entry is used up."""
    service = start_service(payment_method_policy="single_use")
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(order_id, card), 402, "card_declined", "use_other_method")
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 402, "authentication_failed", "use_other_method")
