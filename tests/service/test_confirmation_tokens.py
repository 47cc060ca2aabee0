"""A ConfirmationToken where a PaymentMethod is: one try, whose method comes into being with it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

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
from support.tokens import make_token

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
BOTH = pytest.mark.parametrize("method", ["automatic", "manual"])
ATTEMPTS = "SELECT state, stripe_payment_method_id AS method FROM payment_attempts ORDER BY n"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def listed(service: Running) -> list[dict[str, Any]]:
    answer = service.call("GET", "/api/mobile-app/payments/methods")
    return list(assert_success(answer))


def pay_path(order_id: str) -> str:
    return f"/api/mobile-app/orders/{order_id}/pay"


@pytest.mark.parametrize(
    "field",
    [
        "confirmationToken",
        "paymentMethodId",
        "paymentToken",
        "stripePaymentMethodId",
        "paymentMethod",
    ],
)
def test_a_token_pays_wherever_a_method_stands(service: Running, field: str) -> None:
    order_id, token = service.order(), make_token(service)
    before = service.last_request()
    assert_success(service.call("POST", pay_path(order_id), {field: token}))
    assert service.stripe_calls(before) == [("POST", "/v1/payment_intents/:id/confirm")]
    intent = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    assert service.rows(ATTEMPTS) == [{"state": "succeeded", "method": intent["payment_method"]}]
    assert service.charges(order_id) == 1


def test_the_first_payment_of_a_new_user_may_be_a_token(service: Running) -> None:
    order_id = service.order(is_prepared=False)
    assert_success(service.pay(order_id, make_token(service)))
    assert service.charges(order_id) == 1


def test_the_same_token_again_is_answered_paid(service: Running) -> None:
    order_id, token = service.order(), make_token(service)
    first = assert_success(service.pay(order_id, token))
    before = service.last_request()
    assert assert_success(service.pay(order_id, token)) == first
    assert service.stripe_calls(before) == []


def test_two_taps_with_one_token_are_one_try(service: Running) -> None:
    order_id, token = service.order(), make_token(service)
    answers = service.pay_overlapping(order_id, token, token, token)
    assert all(assert_success(answer)["status"] == "succeeded" for answer in answers)
    assert len(service.rows(ATTEMPTS)) == 1 and service.charges(order_id) == 1


@pytest.mark.parametrize("number", [DECLINED_AT_CHARGE, DECLINED_AT_ATTACH])
def test_a_declined_token_is_used_up(service: Running, number: str) -> None:
    order_id, token = service.order(), make_token(service, number)
    assert_error(service.pay(order_id, token), 402, "card_declined", "use_other_method")
    before = service.last_request()
    assert_error(service.pay(order_id, token), 402, "payment_method_consumed", "use_other_method")
    assert_error(service.pay(service.order(), token), 402, "payment_method_consumed")
    confirms = [call for call in service.stripe_calls(before) if call[1].endswith("confirm")]
    assert confirms == []
    assert_success(service.pay(order_id, make_token(service)))
    assert service.charges(order_id) == 1


def test_a_token_that_paid_another_order_is_used_up(service: Running) -> None:
    token = make_token(service)
    assert_success(service.pay(service.order(), token))
    assert_error(service.pay(service.order(), token), 402, "payment_method_consumed")


def test_a_token_of_yesterday_is_used_up(service: Running) -> None:
    token = make_token(service)
    service.simulator.advance_clock(13 * 3600)
    answer = service.pay(service.order(), token)
    assert_error(answer, 402, "payment_method_consumed", "use_other_method")


def token_of_saved_card(service: Running, user: str) -> str:
    """A card that is attached to the user's customer, and a token of it, as only he can make it."""
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(user), card, user=user, save=True))
    path = "/v1/test_helpers/confirmation_tokens"
    return str(service.stripe("POST", path, payment_method=card)["id"])


def test_a_token_of_the_users_own_saved_card_pays(service: Running) -> None:
    order_id = service.order()
    token = token_of_saved_card(service, "alice")
    assert_success(service.pay(order_id, token))
    assert service.charges(order_id) == 1 and len(listed(service)) == 1


@pytest.mark.parametrize("is_unknown", [True, False])
def test_an_unknown_token_and_somebody_elses_card_are_not_found(
    service: Running, is_unknown: bool
) -> None:
    order_id = service.order()
    token = "ctoken_1nobody" if is_unknown else token_of_saved_card(service, "mallory")
    for _ in range(2):
        answer = service.pay(order_id, token)
        assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert len(service.rows("SELECT id FROM payments WHERE order_id = $1", order_id)) == 1
    assert_success(service.pay(order_id, make_token(service)))


def test_a_token_cannot_be_saved_without_a_payment(service: Running) -> None:
    body = {"stripePaymentMethodId": make_token(service)}
    answer = service.call("POST", "/api/mobile-app/payments/methods", body)
    assert_error(answer, 404, "payment_method_not_found")


# --- 3-D Secure ----------------------------------------------------------------------------------


@BOTH
def test_a_challenge_of_a_token_is_passed(start_service: StartService, method: str) -> None:
    service = start_service(stripe_confirmation_method=method)
    order_id, token = service.order(), make_token(service, NEEDS_3DS)
    asked = assert_requires_action(service.pay(order_id, token))
    assert assert_requires_action(service.pay(order_id, token)) == asked
    service.simulator.authenticate(asked["paymentIntentId"])
    assert_success(service.confirm(order_id))
    [attempt] = service.rows(ATTEMPTS)
    assert attempt["state"] == "succeeded" and attempt["method"].startswith("pm_")
    assert service.charges(order_id) == 1


@BOTH
@pytest.mark.parametrize(
    ("number", "outcome", "code"),
    [
        (NEEDS_3DS, "fail", "authentication_failed"),
        (DECLINED_AFTER_3DS, "success", "card_declined"),
    ],
)
def test_a_challenge_that_ends_badly_uses_the_token_up(
    start_service: StartService, method: str, number: str, outcome: str, code: str
) -> None:
    service = start_service(stripe_confirmation_method=method)
    order_id, token = service.order(), make_token(service, number)
    asked = assert_requires_action(service.pay(order_id, token))
    service.simulator.authenticate(asked["paymentIntentId"], outcome)
    assert_error(service.confirm(order_id), 402, code, "use_other_method")
    assert_error(service.pay(order_id, token), 402, "payment_method_consumed")
    assert_success(service.pay(order_id, make_token(service)))
    assert service.charges(order_id) == 1


def test_a_token_left_in_its_challenge_gives_way_to_another(service: Running) -> None:
    order_id = service.order()
    assert_requires_action(service.pay(order_id, make_token(service, NEEDS_3DS)))
    assert_success(service.pay(order_id, make_token(service)))
    assert service.charges(order_id) == 1


# --- lost answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_request", "drop_response", "error_after", "key_in_use"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_that_is_lost_stays_unknown_until_it_is_known(
    service: Running, kind: str, times: int
) -> None:
    order_id, token = service.order(), make_token(service)
    service.simulator.add_fault(match={**CONFIRM, "times": times}, kind=kind)
    answer = service.pay(order_id, token)
    if answer.status_code != 200:
        assert_error(answer, 409, "payment_processing", "wait")
        assert_success(service.pay(order_id, token))
    assert service.charges(order_id) == 1
    [attempt] = service.rows(ATTEMPTS)
    assert attempt["state"] == "succeeded" and attempt["method"].startswith("pm_")


def test_a_success_that_only_the_worker_learns_is_the_tokens(service: Running) -> None:
    order_id, token = service.order(), make_token(service)
    service.simulator.add_fault(match=CONFIRM, kind="drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, token, save=True), 409, "payment_processing")
    service.simulator.clear_faults()
    service.clock.added += 24 * 3600  # its key is not sent any more: the worker looks
    service.recover()
    assert service.order_view(order_id)["status"] == "paid"
    assert [row["state"] for row in service.rows(ATTEMPTS)] == ["succeeded"]
    assert len(listed(service)) == 1


def test_another_token_while_the_first_is_unknown_pays_once(service: Running) -> None:
    order_id, first = service.order(), make_token(service)
    service.simulator.add_fault(match=CONFIRM, kind="drop_response")
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert_error(service.pay(order_id, first), 409, "payment_processing")
    service.simulator.clear_faults()
    assert_success(service.pay(order_id, make_token(service)))
    assert service.charges(order_id) == 1


def test_two_tokens_at_the_same_time_pay_once(service: Running) -> None:
    order_id = service.order()
    tokens = [make_token(service) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda token: service.pay(order_id, token), tokens))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert_success(service.pay(order_id, tokens[0]))
    assert service.charges(order_id) == 1


# --- keeping the card ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_saving", [True, False])
@pytest.mark.parametrize("usage", [None, "off_session"])
@pytest.mark.parametrize("number", [GOOD, NEEDS_3DS])
def test_the_card_of_a_token_is_kept_when_its_user_asks_for_it(
    service: Running, number: str, usage: str | None, is_saving: bool
) -> None:
    """Whatever the token itself says: consent is `savePaymentMethod`."""
    fields = {} if usage is None else {"setup_future_usage": usage}
    order_id, token = service.order(), make_token(service, number, **fields)
    answer = service.pay(order_id, token, save=is_saving)
    if number == NEEDS_3DS:
        asked = assert_requires_action(answer)
        service.simulator.authenticate(asked["paymentIntentId"])
        answer = service.confirm(order_id)
    assert_success(answer)
    kept = listed(service)
    assert len(kept) == is_saving
    intent = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    attached = service.stripe("GET", f"/v1/payment_methods/{intent['payment_method']}")["customer"]
    assert (attached is not None) == is_saving
    if is_saving and number == GOOD:
        assert_success(service.pay(service.order(), kept[0]["id"]))


def test_with_single_use_nothing_is_kept(start_service: StartService) -> None:
    service = start_service(payment_method_policy="single_use")
    order_id = service.order()
    assert_success(service.pay(order_id, make_token(service), save=True))
    assert service.rows("SELECT * FROM payment_methods") == []


# --- the limits ----------------------------------------------------------------------------------


def test_declined_tokens_count(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=2)
    order_id = service.order()
    for _ in range(2):
        token = make_token(service, DECLINED_AT_CHARGE)
        assert_error(service.pay(order_id, token), 402, "card_declined")
    assert_error(service.pay(order_id, make_token(service)), 429, "too_many_attempts")
