"""A card is saved without paying: one SetupIntent per wish, the card is found whoever reports it,
and nobody tries cards with it."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from paidonce.payments.cards import setups
from support.card_setups import (
    CANCEL,
    CREATE,
    CREATE_CALL,
    LOOK,
    LOOK_CALL,
    SETUP,
    ask,
    begun,
    card_set_up,
    client_confirms,
    setup_rows,
    statuses,
)
from support.envelope import assert_error, assert_success
from support.events import deliver, list_events
from support.saved_methods import (
    ATTACH_CALL,
    MASTERCARD,
    at_stripe,
    defaults,
    delete,
    is_attached,
    listed,
    listed_ids,
    make_default,
    save,
    saved,
)
from support.service import DECLINED_AT_ATTACH, GOOD, NEEDS_3DS, Running, StartService

ATTEMPTS_CALL = ("GET", "/v1/setup_attempts")
HOUR = 3600


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def cancel_at_stripe(service: Running, setup: dict[str, Any]) -> None:
    service.stripe("POST", f"/v1/setup_intents/{setup['setupIntentId']}/cancel")


# --- the contract --------------------------------------------------------------------------------


def test_the_app_is_given_what_its_sdk_needs(service: Running) -> None:
    data = assert_success(ask(service), "Card setup started successfully")
    intent = at_stripe(service, f"/v1/setup_intents/{data['setupIntentId']}")
    assert data == {
        "setupIntentId": intent["id"],
        "clientSecret": intent["client_secret"],
        "customerId": intent["customer"],
        "publishableKey": service.simulator.publishable_key,
    }
    assert intent["allowed_payment_method_types"] == ["card"]
    assert intent["metadata"]["user_id"] == "alice"
    request = next(
        item for item in service.simulator.requests() if item["path"] == "/v1/setup_intents"
    )
    assert request["params"]["usage"] == "on_session"
    (row,) = setup_rows(service)
    assert request["idempotency_key"].endswith(f":{row['id']}:0")
    wanted = {**json.loads(row["params"]), "allowed_payment_method_types": {"0": "card"}}
    assert request["params"] == wanted
    assert intent["client_secret"] not in repr(row)


def test_the_body_may_be_empty_and_is_checked(service: Running) -> None:
    assert_success(service.call("POST", SETUP))
    answer = service.call("POST", SETUP, {"isDefault": "yes"})
    assert_error(answer, 400, "invalid_request", "fix_request")
    answer = service.call("POST", SETUP, {}, headers={"Authorization": "Bearer x"})
    assert_error(answer, 401, "not_authenticated", "sign_in")


def test_no_client_secret_is_kept_under_an_idempotency_key(service: Running) -> None:
    for _ in range(2):
        answer = service.call("POST", SETUP, {}, headers={"Idempotency-Key": "k"})
        assert_success(answer)
        assert "Idempotent-Replayed" not in answer.headers
    assert service.rows("SELECT body FROM answers") == [{"body": ""}]
    other = service.call("POST", SETUP, {"isDefault": True}, headers={"Idempotency-Key": "k"})
    assert_error(other, 409, "idempotency_mismatch")
    assert len(statuses(service)) == 1


def test_with_single_use_there_is_nothing_to_save(start_service: StartService) -> None:
    service = start_service(payment_method_policy="single_use")
    before = service.last_request()
    assert_error(ask(service), 404, "not_found", "fix_request")
    assert service.stripe_calls(before) == []


# --- one SetupIntent per wish --------------------------------------------------------------------


def test_a_phone_that_asks_again_gets_the_same_one(service: Running) -> None:
    first = begun(service)
    for _ in range(3):
        assert begun(service) == first
    client_confirms(service, first, service.simulator.create_card(NEEDS_3DS))
    assert begun(service) == first  # in the middle of a challenge
    assert len(statuses(service)) == len(setup_rows(service)) == 1
    assert begun(service, "bob")["setupIntentId"] != first["setupIntentId"]


def test_requests_at_the_same_time_make_one(service: Running) -> None:
    service.order()  # the customer is there
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: ask(service), range(6)))
    assert len({assert_success(answer)["setupIntentId"] for answer in answers}) == 1
    assert len(statuses(service)) == len(setup_rows(service)) == 1


def test_a_user_never_seen_gets_one_customer(service: Running) -> None:
    before = service.last_request()
    begun(service, "newcomer")
    assert service.stripe_calls(before) == [("POST", "/v1/customers"), CREATE_CALL]


def test_after_a_success_the_next_wish_is_another(service: Running) -> None:
    first = begun(service)
    client_confirms(service, first, service.simulator.create_card(GOOD))
    second = begun(service)
    assert second["setupIntentId"] != first["setupIntentId"]
    assert len(listed(service)) == 1  # seen on the way
    client_confirms(service, second, service.simulator.create_card(MASTERCARD))
    service.clock.added += 2
    assert len(listed(service)) == 2


def test_what_is_canceled_at_stripe_is_not_handed_out_again(service: Running) -> None:
    first = begun(service)
    cancel_at_stripe(service, first)
    assert begun(service)["setupIntentId"] != first["setupIntentId"]
    assert [row["state"] for row in setup_rows(service)] == ["closed", "open"]


def test_old_ones_are_canceled_by_the_worker(service: Running) -> None:
    begun(service)
    service.clock.added += 11 * 60
    begun(service)
    service.clock.added += 50 * 60
    service.work()
    assert statuses(service) == ["canceled", "requires_payment_method"]
    service.clock.added += HOUR
    service.work()
    assert statuses(service) == ["canceled", "canceled"]
    assert {row["state"] for row in setup_rows(service)} == {"closed"}
    before = service.last_request()
    service.clock.added += HOUR
    service.work()
    assert not [path for _, path in service.stripe_calls(before) if "setup" in path]


def test_a_user_gets_so_many_in_an_hour(service: Running) -> None:
    for _ in range(setups.MOST_PER_HOUR):
        cancel_at_stripe(service, begun(service))
    body = assert_error(ask(service), 429, "too_many_attempts", "retry")
    assert HOUR - 60 < body["retryAfter"] <= HOUR
    begun(service, "bob")
    service.clock.added += HOUR
    begun(service)


def test_a_setup_intent_is_looked_at_less_and_less(service: Running) -> None:
    begun(service)
    before = service.last_request()
    for _ in range(59):
        service.clock.added += 60
        service.work()
    looks = service.stripe_calls(before).count(LOOK_CALL)
    assert 8 < looks < 20


# --- the card is saved, whoever reports it -------------------------------------------------------


def _by_list(service: Running, _card: str) -> None:
    listed(service)


def _by_event(service: Running, _card: str) -> None:
    for event in list_events(service):
        if event["type"] == "setup_intent.succeeded":
            deliver(service, event)
    service.work()


def _by_worker(service: Running, _card: str) -> None:
    service.clock.added += 6
    service.work()


def _by_saving(service: Running, card: str) -> None:
    saved(service, card)


REPORTERS = [_by_list, _by_event, _by_worker, _by_saving]


@pytest.mark.parametrize("report", REPORTERS, ids=lambda each: each.__name__)
def test_the_card_is_saved_whoever_reports_it(service: Running, report: Any) -> None:
    saved(service, service.simulator.create_card(MASTERCARD))
    card = card_set_up(service, GOOD, isDefault=True)
    before = service.last_request()
    report(service, card)
    assert ATTACH_CALL not in service.stripe_calls(before)
    assert [row["state"] for row in setup_rows(service)] == ["succeeded"]
    before = service.last_request()
    assert listed_ids(service)[0] == card and defaults(service) == [card]
    assert service.stripe_calls(before) == []  # nothing is open any more
    for again in REPORTERS:
        again(service, card)
    assert len(listed_ids(service)) == 2
    assert_success(service.pay(service.order(), card))


@pytest.mark.parametrize("outcome", ["success", "fail"])
def test_three_d_secure_on_the_client(service: Running, outcome: str) -> None:
    setup, card = begun(service), service.simulator.create_card(NEEDS_3DS)
    assert client_confirms(service, setup, card)["status"] == "requires_action"
    assert listed(service) == []
    service.simulator.authenticate(setup["setupIntentId"], outcome)
    service.clock.added += 2
    assert listed_ids(service) == ([card] if outcome == "success" else [])
    assert service.rows("SELECT * FROM declined_saves WHERE state = 'declined'") == []
    if outcome == "fail":
        assert begun(service) == setup
        card = service.simulator.create_card(GOOD)
        client_confirms(service, setup, card)
        service.clock.added += 2
        assert listed_ids(service) == [card]


def test_a_list_asked_for_again_and_again_does_not_ask_stripe_each_time(service: Running) -> None:
    begun(service)
    before = service.last_request()
    for _ in range(5):
        listed(service)
    assert service.stripe_calls(before) == [LOOK_CALL]
    service.clock.added += 2
    listed(service)
    listed(service, "bob")
    assert service.stripe_calls(before) == [LOOK_CALL] * 2


def test_the_list_does_not_wait_for_stripe(service: Running) -> None:
    saved(service, service.simulator.create_card(MASTERCARD))
    begun(service)
    service.simulator.add_fault(match=LOOK, kind="drop_request")
    assert len(listed(service)) == 1


def test_a_default_chosen_afterwards_stays(service: Running) -> None:
    other = service.simulator.create_card(MASTERCARD)
    saved(service, other)
    saved(service, service.simulator.create_card("378282246310005"), isDefault=True)
    card = card_set_up(service, GOOD, isDefault=True)
    assert_success(make_default(service, other))
    _by_event(service, card)
    assert defaults(service) == [other] and len(listed(service)) == 3


@pytest.mark.parametrize("door", ["save", "pay"])
def test_the_same_card_through_another_door_is_one(service: Running, door: str) -> None:
    older, newer = service.simulator.create_card(GOOD), service.simulator.create_card(GOOD)
    setup = begun(service)
    if door == "save":
        saved(service, older)
    else:
        assert_success(service.pay(service.order(), older, save=True))
    client_confirms(service, setup, newer)
    _by_event(service, newer)
    assert listed_ids(service) == [older]
    for card in (older, newer):
        assert_success(service.pay(service.order(), card))


def test_the_same_card_through_every_door_at_once_is_one(service: Running) -> None:
    for n in range(3):
        user = f"user-{n}"
        service.order(user)
        first, second, third = (service.simulator.create_card(GOOD) for _ in range(3))
        assert_success(service.pay(service.order(user), third, user=user))  # known by now
        order_id = service.order(user)
        client_confirms(service, begun(service, user), first)
        with ThreadPoolExecutor(4) as threads:
            works = [
                threads.submit(lambda: listed(service, user)),  # noqa: B023
                threads.submit(lambda: saved(service, second, user=user)),  # noqa: B023
                threads.submit(lambda: service.pay(order_id, third, user=user, save=True)),  # noqa: B023
                threads.submit(service.work),
            ]
            for work in works:
                work.result()
        service.clock.added += 6
        service.work()
        assert len(listed(service, user)) == len(defaults(service, user)) == 1


def test_a_card_detached_before_anybody_looked_is_not_listed(service: Running) -> None:
    card = card_set_up(service, GOOD)
    at_stripe(service, f"/v1/payment_methods/{card}/detach")
    _by_event(service, card)
    assert listed(service) == []
    assert [row["state"] for row in setup_rows(service)] == ["succeeded"]


def test_a_card_deleted_before_anybody_reported_stays_deleted(service: Running) -> None:
    card = card_set_up(service, GOOD)
    service.clock.added -= 2  # so that saving does not look
    listed(service)
    assert_success(delete(service, card))
    for report in REPORTERS[:3]:
        report(service, card)
    assert listed(service) == [] and not is_attached(service, card)


def test_a_customer_deleted_at_stripe_is_replaced(service: Running) -> None:
    first = begun(service)
    service.stripe("DELETE", f"/v1/customers/{first['customerId']}")
    service.clock.added += 11 * 60
    second = begun(service)
    assert second["customerId"] != first["customerId"]
    client_confirms(service, second, service.simulator.create_card(GOOD))
    assert len(listed(service)) == 1
    service.clock.added += 2 * HOUR
    service.work()
    assert {row["state"] for row in setup_rows(service)} == {"closed", "succeeded"}


# --- Stripe's bad days ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["rate_limit", "drop_request", "drop_response", "error_before", "error_after"]
)
def test_without_stripe_the_answer_is_503_and_a_repeat_goes_on(service: Running, kind: str) -> None:
    service.order()  # the customer is there
    service.simulator.add_fault(match=CREATE, kind=kind)
    body = assert_error(ask(service), 503, "stripe_unavailable", "retry")
    assert "not saved" in body["message"]
    service.simulator.clear_faults()
    service.clock.added += 10  # an open circuit tries again
    setup = begun(service)
    assert len(setup_rows(service)) == 1
    card = service.simulator.create_card(GOOD)
    client_confirms(service, setup, card)
    assert listed_ids(service) == [card]
    service.clock.added += 2 * HOUR
    service.work()
    assert len([each for each in statuses(service) if each != "canceled"]) <= 5


@pytest.mark.parametrize("kind", ["drop_response", "error_after", "key_in_use"])
def test_one_lost_answer_is_made_good_within_the_request(service: Running, kind: str) -> None:
    service.order()
    service.simulator.add_fault(match={**CREATE, "times": 1}, kind=kind)
    begun(service)
    assert len(statuses(service)) == (2 if kind == "error_after" else 1)
    assert len(setup_rows(service)) == 1
    service.clock.added += 2 * HOUR
    service.work()
    assert set(statuses(service)) == {"canceled"}  # and what was made under the first key


@pytest.mark.parametrize("kind", ["drop_response", "drop_request"])
def test_what_was_made_and_never_answered_is_canceled_in_the_end(
    service: Running, kind: str
) -> None:
    service.order()
    service.simulator.add_fault(match=CREATE, kind=kind)
    assert_error(ask(service), 503, "stripe_unavailable", "retry")
    service.simulator.clear_faults()
    assert len(statuses(service)) == (1 if kind == "drop_response" else 0)
    service.clock.added += 2 * HOUR
    service.work()
    assert set(statuses(service)) <= {"canceled"}
    assert [row["state"] for row in setup_rows(service)] == ["closed"]


@pytest.mark.parametrize("kind", ["drop_response", "drop_request", "error_after", "rate_limit"])
def test_a_cancel_that_went_wrong_is_sent_again(service: Running, kind: str) -> None:
    begun(service)
    service.simulator.add_fault(match={**CANCEL, "times": 1}, kind=kind)
    service.clock.added += 2 * HOUR
    service.work()
    service.clock.added += HOUR
    service.work()
    assert statuses(service) == ["canceled"]
    assert [row["state"] for row in setup_rows(service)] == ["closed"]


# --- card testing --------------------------------------------------------------------------------


def test_declines_on_the_client_count_like_any_other(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=3)
    setup = begun(service)
    for _ in range(2):
        bad = service.simulator.create_card(DECLINED_AT_ATTACH)
        assert client_confirms(service, setup, bad)["error"]["code"] == "card_declined"
    service.clock.added += 6
    service.work()
    assert begun(service) == setup  # a person with two declines goes on
    client_confirms(service, setup, service.simulator.create_card(DECLINED_AT_ATTACH))
    for event in list_events(service):
        if event["type"] == "setup_intent.setup_failed":
            deliver(service, event)
    service.work()
    service.work()
    assert statuses(service) == ["canceled"]  # and that was the end of it
    assert len(service.rows("SELECT * FROM declined_saves")) == 3
    order_id, good = service.order(), service.simulator.create_card(GOOD)
    before = service.last_request()
    for answer in (ask(service), save(service, good), service.pay(order_id, good)):
        assert_error(answer, 429, "too_many_attempts", "retry")
    assert service.stripe_calls(before) == []
    begun(service, "bob")
    service.clock.added += HOUR + 1
    begun(service)


def test_declines_seen_by_a_repeated_request_end_it(start_service: StartService) -> None:
    """No event came, and the worker has not looked."""
    service = start_service(declines_per_user_and_hour=2)
    setup = begun(service)
    for _ in range(2):
        client_confirms(service, setup, service.simulator.create_card(DECLINED_AT_ATTACH))
    assert_error(ask(service), 429, "too_many_attempts", "retry")
    service.work()
    assert statuses(service) == ["canceled"]


def test_declines_before_a_success_count_too(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=2)
    setup = begun(service)
    for _ in range(2):
        client_confirms(service, setup, service.simulator.create_card(DECLINED_AT_ATTACH))
    card = service.simulator.create_card(GOOD)
    client_confirms(service, setup, card)
    assert listed_ids(service) == [card]
    assert_error(ask(service), 429, "too_many_attempts", "retry")


# --- who does not belong -------------------------------------------------------------------------


def test_an_event_about_a_setup_intent_of_somebody_else_does_nothing(service: Running) -> None:
    customer = begun(service)["customerId"]
    other = at_stripe(service, "/v1/setup_intents", customer=customer, confirm="true",
                      payment_method="pm_card_visa", usage="on_session")  # fmt: skip
    assert other["status"] == "succeeded"
    _by_event(service, "")
    assert listed(service) == []


@pytest.mark.parametrize("field", ["setup_id", "user_id", "namespace"])
def test_a_setup_intent_that_says_to_be_another_saves_nothing(service: Running, field: str) -> None:
    setup, card = begun(service), service.simulator.create_card(GOOD)
    path = f"/v1/setup_intents/{setup['setupIntentId']}"
    at_stripe(service, path, **{f"metadata[{field}]": "another"})
    client_confirms(service, setup, card)
    _by_event(service, card)
    assert listed(service) == []
    assert [row["state"] for row in setup_rows(service)] == ["open"]
