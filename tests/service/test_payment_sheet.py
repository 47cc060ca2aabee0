"""The payment sheet: the app confirms the order's one intent by itself. Nothing that it, Stripe, a
second phone or a server does at the same time charges twice, and what it did is found out."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    PRICE_MINOR,
    Running,
    StartService,
)
from support.sheet import Sheet, ask_sheet, open_sheet

VERSION = "2025-10-29.clover"
DAY = 24 * 3600
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
SESSION = {"method": "POST", "path": "/v1/customer_sessions"}
KEY = {"method": "POST", "path": "/v1/ephemeral_keys"}
STATES = "SELECT source, state FROM payment_attempts WHERE order_id = $1 ORDER BY n"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def sent(service: Running, path: str) -> list[dict[str, Any]]:
    """What was posted there, with headers and answers."""
    found = [item for item in service.simulator.requests() if item["path"] == path]
    return [service.simulator.request(item["seq"]) for item in found if item["method"] == "POST"]


def is_paid(service: Running, order_id: str) -> bool:
    """By our own books: this route asks nobody."""
    return bool(service.order_view(order_id)["status"] == "paid")


def at_stripe(service: Running, intent_id: str) -> str:
    return str(service.stripe("GET", f"/v1/payment_intents/{intent_id}")["status"])


# --- what it is opened with ----------------------------------------------------------------------


@pytest.mark.parametrize("is_prepared", [True, False])
def test_it_is_opened_with_the_orders_one_intent(service: Running, is_prepared: bool) -> None:
    order_id = service.order(is_prepared=is_prepared)
    first, again = open_sheet(service, order_id, VERSION), open_sheet(service, order_id, VERSION)
    assert first.intent_id == again.intent_id == service.intent_of(order_id)
    secrets = ("customerSessionClientSecret", "ephemeralKeySecret")
    assert all(first.data[name] != again.data[name] for name in secrets)
    assert first.data["publishableKey"] == service.settings.stripe_publishable_key
    assert first.data["customerId"].startswith("cus_")
    intent = service.stripe("GET", f"/v1/payment_intents/{first.intent_id}")
    assert intent["client_secret"] == first.data["paymentIntentClientSecret"]
    assert (intent["status"], intent["amount"]) == ("requires_payment_method", PRICE_MINOR)
    assert len(sent(service, "/v1/payment_intents")) == 1


def test_the_session_lets_the_sheet_show_and_keep_cards_and_remove_none(service: Running) -> None:
    open_sheet(service, service.order())
    [request] = sent(service, "/v1/customer_sessions")
    assert sent(service, "/v1/ephemeral_keys") == []
    features = request["answer"]["components"]["mobile_payment_element"]["features"]
    assert features["payment_method_redisplay"] == features["payment_method_save"] == "enabled"
    assert features["payment_method_remove"] == "disabled"


@pytest.mark.parametrize("version", [VERSION, "2020-08-27", "2022-11-15; alipay_beta=v1"])
def test_the_key_is_made_for_the_version_that_the_app_names(service: Running, version: str) -> None:
    answer = ask_sheet(service, service.order(), version)
    [request] = sent(service, "/v1/ephemeral_keys")
    headers = {name.lower(): value for name, value in request["request_headers"].items()}
    assert headers["stripe-version"] == version
    if ";" not in version:  # the simulator knows no betas
        assert assert_success(answer)["ephemeralKeySecret"].startswith("ek_test_")


@pytest.mark.parametrize(
    "version",
    ["latest", "2025-10-29.clover\n", "2025-10-29 .clover", "2025-10-29;", "2" * 300, 20251029, []],
)
def test_what_is_no_version_is_refused(service: Running, version: Any) -> None:
    order_id = service.order()
    before = service.last_request()
    assert_error(ask_sheet(service, order_id, version), 400, "invalid_request")
    assert service.stripe_calls(before) == []


def test_a_version_that_stripe_does_not_know_is_refused(service: Running) -> None:
    answer = ask_sheet(service, service.order(), "2031-01-01.never")
    assert "stripeVersion" in assert_error(answer, 400, "invalid_request")["errors"][0]


def test_no_secret_of_it_is_kept(service: Running) -> None:
    with capture_logs() as logs:
        order_id = service.order()
        opened = assert_success(
            ask_sheet(service, order_id, VERSION, headers={"Idempotency-Key": "k"})
        )
    again = assert_success(ask_sheet(service, order_id, VERSION, headers={"Idempotency-Key": "k"}))
    assert again["ephemeralKeySecret"] != opened["ephemeralKeySecret"]
    tables = ("payments", "payment_events", "answers", "users", "outbox", "orders")
    written = str([service.rows(f"SELECT * FROM {table}") for table in tables]) + str(logs)
    for name in ("paymentIntentClientSecret", "customerSessionClientSecret", "ephemeralKeySecret"):
        assert opened[name] and opened[name] not in written


def test_a_key_is_of_one_body_though_no_answer_is_kept(service: Running) -> None:
    order_id, key = service.order(), {"Idempotency-Key": "k"}
    assert_success(ask_sheet(service, order_id, VERSION, headers=key))
    assert_error(ask_sheet(service, order_id, headers=key), 409, "idempotency_mismatch")
    assert_success(ask_sheet(service, order_id, VERSION, headers=key))


# --- when it is not opened -----------------------------------------------------------------------


def test_another_users_order_is_not_there(service: Running) -> None:
    order_id = service.order()
    before = service.last_request()
    assert_error(ask_sheet(service, order_id, user="mallory"), 404, "order_not_found")
    nobodys = "00000000-0000-4000-8000-000000000000"
    assert_error(ask_sheet(service, nobodys), 404, "order_not_found")
    assert_error(ask_sheet(service, "no-uuid"), 400, "invalid_order_id")
    assert service.stripe_calls(before) == []


def test_an_order_that_is_over_has_no_sheet(service: Running) -> None:
    paid, canceled = service.order(), service.order()
    assert_success(service.pay(paid, service.simulator.create_card(GOOD)))
    assert_error(ask_sheet(service, paid), 409, "order_already_paid", "done")
    assert_success(service.merchant("POST", f"/api/orders/{canceled}/cancel", {}))
    assert_error(ask_sheet(service, canceled), 409, "order_not_payable")


def test_with_manual_confirmation_there_is_no_sheet(start_service: StartService) -> None:
    service = start_service(stripe_confirmation_method="manual")
    order_id = service.order()
    answer = ask_sheet(service, order_id)
    assert_error(answer, 409, "payment_sheet_unavailable", "use_other_method")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_while_a_payment_is_under_way_there_is_no_sheet(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match=CONFIRM, kind="hold")
    with ThreadPoolExecutor(1) as threads:
        payer = threads.submit(service.pay, order_id, card)
        for _ in range(200):
            if service.rows("SELECT id FROM payment_attempts WHERE sends > 0"):
                break
            threading.Event().wait(0.01)
        assert_error(ask_sheet(service, order_id), 409, "payment_processing", "wait")
        service.simulator.clear_faults()
        assert_success(payer.result())
    assert_error(ask_sheet(service, order_id), 409, "order_already_paid")


def test_an_unknown_outcome_stays_unknown(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match=CONFIRM, kind="drop_request")
    assert_error(service.pay(order_id, card), 409, "payment_processing")
    service.simulator.clear_faults()
    assert_error(ask_sheet(service, order_id), 409, "payment_processing", "wait")
    assert_success(service.pay(order_id, card))
    assert service.charges(order_id) == 1


def test_a_challenge_of_ours_is_not_taken_away(service: Running) -> None:
    order_id = service.order()
    asked = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    assert_error(ask_sheet(service, order_id), 409, "authentication_pending", "authenticate")
    service.simulator.authenticate(asked["paymentIntentId"], "fail")
    sheet = open_sheet(service, order_id)
    assert sheet.intent_id == asked["paymentIntentId"]
    assert sheet.confirm()[0] == 200
    assert service.payment(order_id)["status"] == "succeeded"


def test_an_attempt_that_was_never_sent_gives_way(service: Running) -> None:
    order_id = service.order()
    match = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
    service.simulator.add_fault(match=match, kind="hold")
    with ThreadPoolExecutor(1) as threads:
        payer = threads.submit(service.pay, order_id, service.simulator.create_card(GOOD))
        for _ in range(200):
            if service.rows("SELECT id FROM payment_attempts"):
                break
            threading.Event().wait(0.01)
        assert_error(ask_sheet(service, order_id), 409, "payment_in_progress", "wait")
        service.clock.added += 31  # the lease is over
        sheet = open_sheet(service, order_id)
        assert sheet.confirm()[0] == 200
        service.simulator.clear_faults()
        assert payer.result().status_code in (200, 409)  # its own time is over as well
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


def test_a_payment_that_begins_while_the_sheet_is_prepared_keeps_it_back(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    before = service.last_request()
    service.simulator.add_fault(match=SESSION, kind="hold")
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask_sheet, service, order_id)
        for _ in range(300):
            if ("GET", "/v1/payment_intents/:id") in service.stripe_calls(before):
                break
            threading.Event().wait(0.01)
        assert_requires_action(service.pay(order_id, card))
        service.simulator.clear_faults()
        assert_error(asking.result(), 409, "authentication_pending", "authenticate")
    assert service.rows("SELECT sheet_opened_at FROM payments") == [{"sheet_opened_at": None}]


@pytest.mark.parametrize("match", [LOOK, SESSION, KEY], ids=["intent", "session", "key"])
def test_without_stripe_it_says_so_and_hands_nothing_out(
    service: Running, match: dict[str, str]
) -> None:
    order_id = service.order()
    service.simulator.add_fault(match=match, kind="rate_limit")
    assert_error(ask_sheet(service, order_id, VERSION), 503, "stripe_unavailable", "retry")
    rows = service.rows("SELECT sheet_opened_at, next_look_at FROM payments")
    assert rows == [{"sheet_opened_at": None, "next_look_at": None}]
    service.simulator.clear_faults()
    assert open_sheet(service, order_id, VERSION).confirm()[0] == 200


def test_a_customer_deleted_at_stripe_is_replaced(service: Running) -> None:
    order_id = service.order()
    old = open_sheet(service, order_id)
    service.stripe("DELETE", f"/v1/customers/{old.data['customerId']}")
    new = open_sheet(service, order_id)
    assert new.data["customerId"] != old.data["customerId"]
    assert new.intent_id != old.intent_id and at_stripe(service, old.intent_id) == "canceled"
    assert new.confirm()[0] == 200
    assert service.payment(order_id)["status"] == "succeeded"


# --- what the app did is found out ---------------------------------------------------------------


def by_looking(service: Running, sheet: Sheet) -> None:
    assert service.payment(sheet.order_id)["status"] == "succeeded"


def by_waiting(service: Running, sheet: Sheet) -> None:
    service.recover(50)


def by_confirming(service: Running, sheet: Sheet) -> None:
    assert_success(service.confirm(sheet.order_id, {"paymentIntentId": sheet.intent_id}))


def by_paying_again(service: Running, sheet: Sheet) -> None:
    assert_success(service.pay(sheet.order_id, service.simulator.create_card(GOOD)))


def by_asking_for_a_sheet(service: Running, sheet: Sheet) -> None:
    assert_error(ask_sheet(service, sheet.order_id), 409, "order_already_paid", "done")


WAYS = [by_looking, by_waiting, by_confirming, by_paying_again, by_asking_for_a_sheet]


@pytest.mark.parametrize("find_out", WAYS)
def test_a_success_of_the_app_is_found_without_webhooks(
    service: Running, find_out: Callable[[Running, Sheet], None]
) -> None:
    sheet = open_sheet(service, service.order())
    assert sheet.confirm()[0] == 200
    assert not is_paid(service, sheet.order_id)
    find_out(service, sheet)
    assert is_paid(service, sheet.order_id)
    assert service.charges(sheet.order_id) == 1


def test_a_challenge_in_the_sheet_can_be_finished_after_the_app_was_killed(
    service: Running,
) -> None:
    sheet = open_sheet(service, service.order())
    assert service.payment(sheet.order_id)["status"] == "none"
    assert sheet.confirm(NEEDS_3DS)[1]["status"] == "requires_action"
    found = service.payment(sheet.order_id)
    assert found["status"] == "requires_action"
    assert found["clientSecret"] == sheet.data["paymentIntentClientSecret"]
    asked = assert_requires_action(service.confirm(sheet.order_id))
    assert asked["clientSecret"] == found["clientSecret"]
    service.simulator.authenticate(sheet.intent_id)
    assert service.payment(sheet.order_id)["status"] == "succeeded"


@pytest.mark.parametrize("number", [DECLINED_AT_CHARGE, NEEDS_3DS])
def test_after_a_no_in_the_sheet_the_order_is_paid_with_another_card(
    service: Running, number: str
) -> None:
    sheet = open_sheet(service, service.order())
    sheet.confirm(number)
    if number == NEEDS_3DS:
        service.simulator.authenticate(sheet.intent_id, "fail")
    found = service.payment(sheet.order_id)
    assert found["status"] == ("failed" if number == DECLINED_AT_CHARGE else "none")
    if number == DECLINED_AT_CHARGE:
        assert found["lastError"] == "Your card was declined."
        assert_error(service.confirm(sheet.order_id), 402, "card_declined")
    assert open_sheet(service, sheet.order_id).intent_id == sheet.intent_id
    assert_success(service.pay(sheet.order_id, service.simulator.create_card(GOOD)))
    assert service.charges(sheet.order_id) == 1


def test_a_sheet_that_is_left_is_dead_after_a_day(service: Running) -> None:
    sheet, challenged = open_sheet(service, service.order()), open_sheet(service, service.order())
    challenged.confirm(NEEDS_3DS)
    service.recover(DAY - 60)
    assert at_stripe(service, sheet.intent_id) == "requires_payment_method"
    for _ in range(3):
        service.recover(3 * 3600)
    assert [at_stripe(service, each.intent_id) for each in (sheet, challenged)] == ["canceled"] * 2
    before = service.last_request()
    service.recover(DAY)
    assert [call for call in service.stripe_calls(before) if "payment_intents" in call[1]] == []
    assert sheet.confirm()[0] == 400
    fresh = open_sheet(service, sheet.order_id)
    assert fresh.intent_id != sheet.intent_id and fresh.confirm()[0] == 200
    assert service.payment(sheet.order_id)["status"] == "succeeded"


def test_a_sheet_opened_again_begins_its_day_anew(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    service.recover(DAY - 600)
    open_sheet(service, sheet.order_id)
    service.recover(3600)
    assert sheet.confirm()[0] == 200
    service.recover(4 * 3600)
    assert is_paid(service, sheet.order_id)


# --- at the same time ----------------------------------------------------------------------------


def test_two_phones_with_two_sheets_pay_once(service: Running) -> None:
    order_id = service.order()
    sheets = [open_sheet(service, order_id) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda sheet: sheet.confirm(), sheets))
    assert sorted(status for status, _ in answers) == [200, 400]
    assert service.payment(order_id)["status"] == "succeeded"
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("number", [GOOD, NEEDS_3DS, DECLINED_AT_CHARGE])
@pytest.mark.parametrize("seconds", [0, 0.2], ids=["together", "slow"])
def test_the_sheet_and_a_payment_at_the_same_time_pay_once(
    service: Running, number: str, seconds: float
) -> None:
    sheet, card = open_sheet(service, service.order()), service.simulator.create_card(GOOD)
    if seconds:
        service.simulator.add_fault(match=CONFIRM, kind="latency", seconds=seconds)
    with ThreadPoolExecutor(2) as threads:
        payer = threads.submit(service.pay, sheet.order_id, card)
        phone = threads.submit(sheet.confirm, number)
        answer, _ = payer.result(), phone.result()
    service.simulator.clear_faults()
    assert answer.status_code in (200, 409), answer.text
    assert_success(service.pay(sheet.order_id, card))
    assert service.charges(sheet.order_id) == 1


def test_a_payment_beside_an_open_challenge_of_the_sheet_pays_once(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    sheet.confirm(NEEDS_3DS)
    assert_success(service.pay(sheet.order_id, service.simulator.create_card(GOOD)))
    assert service.charges(sheet.order_id) == 1
    rows = service.rows(STATES, sheet.order_id)
    assert rows[-1] == {"source": "server", "state": "succeeded"}


def test_a_no_to_the_apps_card_is_not_told_of_ours(service: Running) -> None:
    """Our challenge was open when the app, which has the secret, tried a card of its own."""
    order_id = service.order()
    sheet = open_sheet(service, order_id)
    assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    assert sheet.confirm(DECLINED_AT_CHARGE)[0] == 402
    assert_error(service.confirm(order_id), 402, "authentication_failed")
    service.recover(50)
    states = [(row["source"], row["state"]) for row in service.rows(STATES, order_id)]
    assert states == [("server", "authentication_failed"), ("client", "declined")]


def test_a_canceled_order_cannot_be_paid_by_its_sheet(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    assert_success(service.merchant("POST", f"/api/orders/{sheet.order_id}/cancel", {}))
    assert sheet.confirm()[0] == 400
    assert service.payment(sheet.order_id)["status"] == "canceled"
    assert service.charges(sheet.order_id) == 0


def test_an_order_that_its_sheet_has_paid_cannot_be_canceled(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    assert sheet.confirm()[0] == 200
    answer = service.merchant("POST", f"/api/orders/{sheet.order_id}/cancel", {})
    assert_error(answer, 409, "order_not_payable")
    assert is_paid(service, sheet.order_id) and service.charges(sheet.order_id) == 1


# --- the limits ----------------------------------------------------------------------------------


def test_a_decline_of_the_app_counts_once(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    sheet.confirm(DECLINED_AT_CHARGE)
    for _ in range(3):
        service.payment(sheet.order_id)
    assert service.rows(STATES, sheet.order_id) == [{"source": "client", "state": "declined"}]
    sheet.confirm(DECLINED_AT_CHARGE)
    service.payment(sheet.order_id)
    assert len(service.rows(STATES, sheet.order_id)) == 2


def test_our_own_decline_is_not_taken_for_the_apps(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    card = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(sheet.order_id, card), 402, "card_declined")
    service.payment(sheet.order_id)
    assert service.rows(STATES, sheet.order_id) == [{"source": "server", "state": "declined"}]


def test_too_many_declines_end_the_sheet(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=3)
    order_id, sheet = service.order(), None
    for _ in range(3):
        sheet = open_sheet(service, order_id)
        assert sheet.confirm(DECLINED_AT_CHARGE)[0] == 402
        service.payment(order_id)
    assert sheet is not None and at_stripe(service, sheet.intent_id) == "canceled"
    assert sheet.confirm(GOOD)[0] == 400
    assert_error(ask_sheet(service, order_id), 429, "too_many_attempts")
    service.clock.added += 3601
    assert open_sheet(service, order_id).confirm()[0] == 200
    assert service.payment(order_id)["status"] == "succeeded"


# --- keeping a card ------------------------------------------------------------------------------


def listed(service: Running) -> list[dict[str, Any]]:
    answer = service.call("GET", "/api/mobile-app/payments/methods")
    return list(assert_success(answer))


@pytest.mark.parametrize("is_saving", [True, False])
def test_a_card_is_kept_when_its_holder_ticked_the_box(service: Running, is_saving: bool) -> None:
    sheet = open_sheet(service, service.order())
    _, intent = sheet.confirm(is_saving=is_saving)
    service.payment(sheet.order_id)
    kept = [item["stripePaymentMethodId"] for item in listed(service)]
    assert kept == ([intent["payment_method"]] if is_saving else [])
    if is_saving:
        assert_success(service.pay(service.order(), str(intent["payment_method"])))


def test_a_card_that_nobody_asked_to_keep_stays_unlisted_when_it_pays_in_a_sheet(
    service: Running,
) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order(), card))  # attached by us, for its further orders
    sheet = open_sheet(service, service.order())
    assert sheet.confirm(method=card)[0] == 200
    assert service.payment(sheet.order_id)["status"] == "succeeded"
    assert listed(service) == []


def test_a_box_ticked_with_a_declined_card_keeps_nothing(service: Running) -> None:
    sheet = open_sheet(service, service.order())
    assert sheet.confirm(DECLINED_AT_CHARGE, is_saving=True)[0] == 402
    service.payment(sheet.order_id)
    assert sheet.confirm(GOOD)[0] == 200
    service.payment(sheet.order_id)
    assert listed(service) == []


def test_the_same_card_kept_again_is_one_saved_card(service: Running) -> None:
    for _ in range(2):
        sheet = open_sheet(service, service.order())
        assert sheet.confirm(is_saving=True)[0] == 200
        service.payment(sheet.order_id)
    assert len(listed(service)) == 1


def test_a_kept_card_pays_in_the_next_sheet(service: Running) -> None:
    first = open_sheet(service, service.order())
    _, intent = first.confirm(is_saving=True)
    service.payment(first.order_id)
    second = open_sheet(service, service.order())
    assert second.confirm(method=intent["payment_method"])[0] == 200
    assert service.payment(second.order_id)["status"] == "succeeded"
    assert len(listed(service)) == 1


def test_with_single_use_the_sheet_knows_no_customer(start_service: StartService) -> None:
    service = start_service(payment_method_policy="single_use")
    sheet = open_sheet(service, service.order(), VERSION)
    assert sheet.data["customerId"] is None
    assert sheet.data["customerSessionClientSecret"] is sheet.data["ephemeralKeySecret"] is None
    assert sent(service, "/v1/customer_sessions") == sent(service, "/v1/ephemeral_keys") == []
    _, intent = sheet.confirm()
    assert service.payment(sheet.order_id)["status"] == "succeeded"
    answer = service.pay(service.order(), str(intent["payment_method"]))
    assert_error(answer, 402, "payment_method_consumed")
