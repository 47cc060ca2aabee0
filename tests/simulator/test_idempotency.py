"""Idempotency keys: replays, mismatches, what is saved and for how long."""

import threading
import time

import pytest

FORM = {"amount": 440, "currency": "usd", "confirm": "true"}
EXPIRY = {"card[exp_month]": 12, "card[exp_year]": 2044}


def test_a_repeat_gets_the_first_answer_and_charges_once(wire):
    form = FORM | {"payment_method": wire.card()}
    first = wire.post("/v1/payment_intents", form, idempotency_key="k")
    again = wire.post("/v1/payment_intents", form, idempotency_key="k")
    assert again.json() == first.json() and again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1
    assert wire.simulator.requests()[-1]["replayed"] is True


def test_a_decline_is_replayed_too(wire):
    form = FORM | {"payment_method": wire.card("4000000000000002")}
    first = wire.post("/v1/payment_intents", form, idempotency_key="k")
    again = wire.post("/v1/payment_intents", form, idempotency_key="k")
    assert first.status_code == again.status_code == 402
    assert first.json() == again.json()
    assert len(wire.get("/v1/payment_intents").json()["data"]) == 1


def test_the_order_of_parameters_does_not_matter(wire):
    first = wire.ok("/v1/customers", {"email": "a@b.c", "name": "A"}, idempotency_key="k")
    again = wire.ok("/v1/customers", {"name": "A", "email": "a@b.c"}, idempotency_key="k")
    assert first == again


def test_other_parameters_under_a_key_are_an_idempotency_error(wire):
    wire.ok("/v1/customers", {"email": "a@b.c"}, idempotency_key="k")
    status, error = wire.error("/v1/customers", {"email": "x@b.c"}, idempotency_key="k")
    assert (status, error["type"]) == (400, "idempotency_error") and "code" not in error
    assert error["message"] == (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        "used with. Try using a key other than 'k' if you meant to execute a different request."
    )


def test_another_endpoint_under_a_key_is_an_idempotency_error(wire):
    wire.ok("/v1/customers", {}, idempotency_key="k")
    status, error = wire.error("/v1/payment_intents", FORM, idempotency_key="k")
    assert (status, error["type"]) == (400, "idempotency_error")
    assert error["message"] == (
        "Keys for idempotent requests can only be used for the same endpoint they were first used "
        "for ('/v1/payment_intents' vs '/v1/customers'). Try using a key other than 'k' if you "
        "meant to execute a different request."
    )


def test_validation_errors_are_not_saved(wire):
    status, _ = wire.error("/v1/customers", {"wat": "1"}, idempotency_key="k")
    assert status == 400
    status, _ = wire.error("/v1/payment_intents", {"currency": "usd"}, idempotency_key="k")
    assert status == 400
    assert wire.ok("/v1/customers", {"email": "a@b.c"}, idempotency_key="k")["email"] == "a@b.c"


def test_a_refusal_by_state_is_saved_like_recorded(wire):
    _, card = wire.saved_card()
    path, form = f"/v1/payment_methods/{card}/attach", {"customer": wire.customer()}
    first = wire.post(path, form, idempotency_key="k")
    assert first.status_code == 400 and first.headers["Stripe-Should-Retry"] == "false"
    assert wire.post(path, form, idempotency_key="k").headers["Idempotent-Replayed"] == "true"


def test_a_key_is_forgotten_after_24_hours(wire):
    first = wire.ok("/v1/customers", {}, idempotency_key="k")
    wire.simulator.advance_clock(24 * 3600 - 60)
    assert wire.ok("/v1/customers", {}, idempotency_key="k")["id"] == first["id"]
    wire.simulator.advance_clock(120)
    assert wire.ok("/v1/customers", {}, idempotency_key="k")["id"] != first["id"]


def test_a_replay_outlives_its_object(wire):
    first = wire.ok("/v1/customers", {}, idempotency_key="k")
    wire.send("DELETE", f"/v1/customers/{first['id']}")
    assert wire.ok("/v1/customers", {}, idempotency_key="k") == first


def test_a_saved_500_is_replayed_and_did_execute(wire):
    wire.simulator.add_fault(kind="error_after", match={"path": "/v1/customers", "nth": 1})
    for _ in range(2):
        status, error = wire.error("/v1/customers", {}, idempotency_key="k")
        assert (status, error["type"]) == (500, "api_error")
    assert len(wire.get("/v1/customers").json()["data"]) == 1


def test_a_second_request_with_a_key_in_flight_is_409(wire):
    wire.simulator.add_fault(kind="latency", seconds=0.5, match={"path": "/v1/customers", "nth": 1})
    answers = []
    first = threading.Thread(
        target=lambda: answers.append(wire.post("/v1/customers", {}, idempotency_key="k"))
    )
    first.start()
    time.sleep(0.15)  # the first one is asleep inside its latency now
    status, error = wire.error("/v1/customers", {}, idempotency_key="k")
    first.join()
    assert (status, error["type"], error["code"]) == (
        409,
        "idempotency_error",
        "idempotency_key_in_use",
    )
    assert answers[0].status_code == 200
    again = wire.post("/v1/customers", {}, idempotency_key="k")
    assert again.json() == answers[0].json()


def test_a_key_longer_than_255_is_refused(wire):
    status, _ = wire.error("/v1/customers", {}, idempotency_key="k" * 256)
    assert status == 400
    assert wire.ok("/v1/customers", {}, idempotency_key="k" * 255)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_keys_count_for_posts_only(wire, method):
    customer = wire.customer()
    answer = wire.send(method, f"/v1/customers/{customer}", idempotency_key="k")
    assert answer.status_code == 200 and "Idempotency-Key" not in answer.headers


def _used_token(wire):
    token = wire.ok("/v1/tokens", {"card[number]": "4242424242424242", **EXPIRY})["id"]
    form = {"type": "card", "card[token]": token}
    wire.ok("/v1/payment_methods", form)
    return "/v1/payment_methods", form


def _spent_confirmation_token(wire):
    made = wire.ok("/v1/test_helpers/confirmation_tokens", {"payment_method": "pm_card_visa"})
    form = {"amount": 440, "currency": "usd", "confirm": "true", "confirmation_token": made["id"]}
    wire.ok("/v1/payment_intents", form)
    return "/v1/payment_intents", form


def _another_customer(wire):
    intent = wire.intent(customer=wire.customer())
    return f"/v1/payment_intents/{intent['id']}", {"customer": wire.customer()}


def _another_type(wire):
    method = wire.ok("/v1/payment_methods", {"type": "klarna"})["id"]
    return f"/v1/payment_intents/{wire.intent()['id']}/confirm", {"payment_method": method}


@pytest.mark.parametrize(
    "refusal", [_used_token, _spent_confirmation_token, _another_customer, _another_type]
)
def test_a_refusal_by_what_happened_before_is_saved(wire, refusal):
    path, form = refusal(wire)
    first = wire.post(path, form, idempotency_key="k")
    assert first.status_code == 400, first.text
    again = wire.post(path, form, idempotency_key="k")
    assert again.headers["Idempotent-Replayed"] == "true" and again.text == first.text
