"""Saved cards: listed when asked for, once each, usable by either id, with one default."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from paidonce.store import migrations
from stripesim.testing import ControlClient
from support.envelope import assert_envelope, assert_error, assert_requires_action, assert_success
from support.legacy import make_legacy
from support.saved_methods import (
    ATTACH,
    ATTACH_CALL,
    MASTERCARD,
    METHODS,
    at_stripe,
    defaults,
    delete,
    is_attached,
    listed,
    listed_ids,
    make_default,
    save,
    saved,
    state_of,
)
from support.service import (
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
    running_service,
)

AMEX = "378282246310005"
DISCOVER = "6011111111111117"


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


# --- the contract --------------------------------------------------------------------------------


def test_a_saved_card_looks_as_the_contract_says(service: Running) -> None:
    card = service.simulator.create_card(
        GOOD, exp_month=3, exp_year=2041, **{"billing_details[name]": "Ada Lovelace"}
    )
    body = {
        "stripePaymentMethodId": card,
        "type": "credit_card",
        "details": {"brand": "somebody's", "last4": "0000", "cardholderName": "Nobody"},
        "isDefault": False,
    }
    data = assert_success(service.call("POST", METHODS, body), "Payment method saved successfully")
    assert data.pop("id").startswith("spm_")
    expected = {
        "type": "credit_card",
        "stripePaymentMethodId": card,
        "isDefault": True,
        "isExpired": False,
        "details": {
            "brand": "visa",
            "last4": "4242",
            "expiryMonth": "03",
            "expiryYear": "2041",
            "cardholderName": "Ada Lovelace",
        },
    }
    assert data == expected
    answer = service.call("GET", METHODS)
    body = assert_envelope(answer)
    assert body["message"] == "Payment methods retrieved successfully"
    assert body["nextCursor"] is None
    (item,) = body["data"]
    assert item.pop("id").startswith("spm_")
    assert item == expected
    assert "fingerprint" not in answer.text


def test_what_stripe_does_not_know_is_an_empty_string(service: Running) -> None:
    data = saved(service, service.simulator.create_card(GOOD))
    assert data["details"]["cardholderName"] == ""
    assert all(isinstance(value, str) for value in data["details"].values())


def test_the_list_is_the_users_own_newest_first_and_in_pages(service: Running) -> None:
    assert listed(service) == []
    cards = []
    for number in (GOOD, MASTERCARD, AMEX, DISCOVER, "3566002020360505"):
        cards.append(service.simulator.create_card(number))
        saved(service, cards[-1])
    saved(service, service.simulator.create_card(GOOD), user="bob")
    assert listed_ids(service) == cards[::-1]
    found: list[str] = []
    cursor = ""
    for expected in (2, 2, 1):
        body = assert_envelope(service.call("GET", f"{METHODS}?limit=2{cursor}"))
        assert len(body["data"]) == expected
        found += [item["stripePaymentMethodId"] for item in body["data"]]
        cursor = f"&cursor={body['nextCursor']}"
    assert body["nextCursor"] is None and found == cards[::-1]
    for query in ("limit=0", "limit=101", "cursor=nonsense"):
        assert_error(service.call("GET", f"{METHODS}?{query}"), 400, "invalid_request")


def test_the_first_saved_card_is_the_default_and_another_can_become_it(service: Running) -> None:
    first, second, third = (
        service.simulator.create_card(number) for number in (GOOD, MASTERCARD, AMEX)
    )
    assert saved(service, first, isDefault=False)["isDefault"] is True
    second_id = saved(service, second)["id"]
    assert defaults(service) == [first]
    assert saved(service, third, isDefault=True)["isDefault"] is True
    assert defaults(service) == [third]
    data = assert_success(
        make_default(service, second_id), "Default payment method updated successfully"
    )
    assert (data["id"], data["isDefault"]) == (second_id, True)
    assert defaults(service) == [second]
    for _ in range(2):
        assert_success(make_default(service, first))  # by Stripe's id, any number of times
        assert defaults(service) == [first]
    assert saved(service, second, isDefault=True)["isDefault"] is True  # saved before
    assert defaults(service) == [second]


def test_a_default_is_never_charged_unasked(service: Running) -> None:
    saved(service, service.simulator.create_card(GOOD), isDefault=True)
    order_id, before = service.order(), service.last_request()
    path = f"/api/mobile-app/orders/{order_id}/pay"
    for body in ({}, {"paymentMethod": "credit_card"}, {"savePaymentMethod": True}):
        assert_error(service.call("POST", path, body), 400, "invalid_request")
    assert service.stripe_calls(before) == []
    assert service.charges(order_id) == 0


# --- only what was asked for ---------------------------------------------------------------------


def test_only_a_card_that_its_user_asked_to_keep_is_listed(service: Running) -> None:
    plain, kept = service.simulator.create_card(GOOD), service.simulator.create_card(MASTERCARD)
    assert_success(service.pay(service.order(), plain))
    assert_success(service.pay(service.order(), kept, save=True))
    assert listed_ids(service) == defaults(service) == [kept]
    order_id = service.order()
    assert_success(service.pay(order_id, plain))
    assert service.charges(order_id) == 1 and listed_ids(service) == [kept]
    before = service.last_request()
    data = saved(service, plain)  # it is attached already, so Stripe need not be asked
    assert service.stripe_calls(before) == []
    assert {item["stripePaymentMethodId"] for item in listed(service)} == {kept, plain}
    assert data["isDefault"] is False


def test_a_declined_payment_saves_nothing(service: Running) -> None:
    card = service.simulator.create_card(DECLINED_AT_CHARGE)
    assert_error(service.pay(service.order(), card, save=True), 402, "card_declined")
    assert listed(service) == []


def test_a_card_with_3ds_is_listed_when_it_has_paid(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    action = assert_requires_action(service.pay(order_id, card, save=True))
    assert listed(service) == []
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert listed_ids(service) == [card]


# --- one card, one saved method ------------------------------------------------------------------


def test_saving_again_answers_the_same_saved_method(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    first = saved(service, card)
    before = service.last_request()
    assert saved(service, card) == first
    assert service.stripe_calls(before) == []
    assert len(listed(service)) == 1


def test_the_same_card_entered_twice_is_one_saved_method_and_both_ids_pay(
    service: Running,
) -> None:
    old, new = service.simulator.create_card(GOOD), service.simulator.create_card(GOOD)
    first = saved(service, old)
    assert saved(service, new) == first
    assert listed_ids(service) == [old]
    for method in (old, new, first["id"]):
        order_id = service.order()
        assert_success(service.pay(order_id, method, save=True))
        assert service.charges(order_id) == 1
    assert listed_ids(service) == [old]


def test_the_same_card_used_twice_with_the_wish_to_keep_it_is_listed_once(
    service: Running,
) -> None:
    old, new = service.simulator.create_card(GOOD), service.simulator.create_card(GOOD)
    for method in (old, new, new, old):
        assert_success(service.pay(service.order(), method, save=True))
    assert listed_ids(service) == [old]


def test_the_same_card_of_two_users_is_a_saved_method_of_each(service: Running) -> None:
    for user in ("alice", "bob"):
        card = service.simulator.create_card(GOOD)
        saved(service, card, user=user)
        assert listed_ids(service, user) == defaults(service, user) == [card]


def test_a_second_entry_that_is_to_be_the_default_makes_the_first_one_it(
    service: Running,
) -> None:
    old, new, other = (service.simulator.create_card(number) for number in (GOOD, GOOD, MASTERCARD))
    saved(service, other)
    saved(service, old)
    assert saved(service, new, isDefault=True)["stripePaymentMethodId"] == old
    assert defaults(service) == [old]


def test_with_another_expiry_it_is_another_card(service: Running) -> None:
    """As two card holders of one account have, or the new plastic before the old one expires."""
    year = service.clock.now().year
    one, other, again, not_kept = (
        service.simulator.create_card(GOOD, exp_month=12, exp_year=year + plus)
        for plus in (2, 6, 2, 4)
    )
    assert_success(service.pay(service.order(), not_kept))
    saved(service, one)
    assert saved(service, other)["stripePaymentMethodId"] == other
    assert saved(service, again)["stripePaymentMethodId"] == one
    assert listed_ids(service) == [other, one] and defaults(service) == [one]
    assert_success(delete(service, one))
    assert listed_ids(service) == defaults(service) == [other]
    assert not is_attached(service, one) and not is_attached(service, again)
    for card in (other, not_kept):
        assert_success(service.pay(service.order(), card))


@pytest.mark.parametrize("gone", ["expired", "good"])
def test_beside_another_listed_card_of_its_number_a_card_goes_with_its_own_entries(
    service: Running, gone: str
) -> None:
    """Both were saved while both were good, and time alone takes none of them from the list."""
    year = service.clock.now().year
    cards = {
        name: [
            service.simulator.create_card(GOOD, exp_month=12, exp_year=year + plus)
            for _ in range(2)
        ]
        for name, plus in (("expired", 1), ("good", 6))
    }
    for entry, first in cards.values():
        assert saved(service, first)["stripePaymentMethodId"] == first
        assert saved(service, entry)["stripePaymentMethodId"] == first
    not_kept = service.simulator.create_card(GOOD, exp_month=12, exp_year=year + 4)
    assert_success(service.pay(service.order(), not_kept))
    service.clock.added += 2 * 366 * 86_400
    [stays] = cards.keys() - {gone}
    assert_success(delete(service, cards[gone][1]))
    assert listed_ids(service) == [cards[stays][1]]
    assert not any(is_attached(service, entry) for entry in cards[gone])
    assert all(is_attached(service, entry) for entry in (*cards[stays], not_kept))


def test_an_expired_card_gives_way_to_its_renewal(service: Running) -> None:
    """A number that is entered again after it has expired is the same card on new plastic."""
    year = service.clock.now().year
    old, again, new = (
        service.simulator.create_card(GOOD, exp_month=12, exp_year=year + plus)
        for plus in (1, 1, 6)
    )
    other = service.simulator.create_card(MASTERCARD, exp_month=12, exp_year=year + 6)
    old_id = saved(service, old)["id"]
    saved(service, other)
    service.clock.added += 2 * 366 * 86_400
    item = saved(service, new)
    assert item["stripePaymentMethodId"] == new and item["isDefault"] and item["id"] != old_id
    assert set(listed_ids(service)) == {new, other} and defaults(service) == [new]
    for entry in (again, old):  # the old plastic, entered by mistake
        assert saved(service, entry)["stripePaymentMethodId"] == new
    assert set(listed_ids(service)) == {new, other} and defaults(service) == [new]
    assert_success(delete(service, new))
    assert not any(is_attached(service, entry) for entry in (old, new, again))


def test_expired_cards_are_marked_and_stand_behind_the_others(service: Running) -> None:
    year = service.clock.now().year
    good, first, second, bad = (
        service.simulator.create_card(number, exp_month=12, exp_year=year + plus)
        for number, plus in ((GOOD, 9), (AMEX, 1), (DISCOVER, 1), (MASTERCARD, 1))
    )
    for card in (first, good, second, bad):
        saved(service, card)
    assert [item["isExpired"] for item in listed(service)] == [False] * 4
    service.clock.added += 2 * 366 * 86_400
    items = listed(service)
    assert [item["stripePaymentMethodId"] for item in items] == [good, bad, second, first]
    assert [item["isExpired"] for item in items] == [False, True, True, True]
    assert defaults(service) == [first]  # the user's own choice stays, whatever the time
    pages, cursor = [], ""
    while cursor is not None:
        answer = service.call("GET", f"{METHODS}?limit=1{cursor}").json()
        pages += [item["stripePaymentMethodId"] for item in answer["data"]]
        cursor = answer["nextCursor"] and f"&cursor={answer['nextCursor']}"
    assert pages == [good, bad, second, first]
    assert_success(delete(service, first))
    assert defaults(service) == [good]  # although others are newer
    assert_success(delete(service, good))
    assert defaults(service) == [bad]  # one of them is


def test_a_card_is_good_to_the_end_of_its_month(service: Running) -> None:
    now = service.clock.now()
    card = service.simulator.create_card(GOOD, exp_month=now.month, exp_year=now.year)
    assert saved(service, card)["isExpired"] is False
    service.clock.added += 31 * 86_400
    assert saved(service, card)["isExpired"] is True


def test_a_card_detached_by_hand_makes_room_for_a_new_entry(service: Running) -> None:
    old, new = service.simulator.create_card(GOOD), service.simulator.create_card(GOOD)
    saved(service, old)
    at_stripe(service, f"/v1/payment_methods/{old}/detach")
    assert_error(service.pay(service.order(), old), 402, "payment_method_consumed")
    assert listed_ids(service) == [], "what Stripe calls dead is offered no longer"
    saved(service, new)
    assert listed_ids(service) == defaults(service) == [new]


# --- paying with a saved card --------------------------------------------------------------------


@pytest.mark.parametrize("field", ["paymentMethodId", "paymentToken", "stripePaymentMethodId"])
def test_a_saved_card_pays_by_our_id_and_by_stripes(service: Running, field: str) -> None:
    card = service.simulator.create_card(GOOD)
    for method in (saved(service, card)["id"], card):
        order_id, before = service.order(), service.last_request()
        path = f"/api/mobile-app/orders/{order_id}/pay"
        assert_success(service.call("POST", path, {field: method}))
        assert service.charges(order_id) == 1
        calls = service.stripe_calls(before)
        assert calls == [("POST", "/v1/payment_intents/:id/confirm")]


def test_anothers_a_deleted_and_an_unknown_card_cannot_pay(service: Running) -> None:
    bobs = service.simulator.create_card(GOOD)
    bobs_id = saved(service, bobs, user="bob")["id"]
    mine = service.simulator.create_card(GOOD)
    mine_id = saved(service, mine)["id"]
    assert_success(delete(service, mine_id))
    order_id, before = service.order(), service.last_request()
    for method in (bobs, bobs_id, mine, mine_id, "spm_unknown", "card_1"):
        answer = service.pay(order_id, method)
        assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.stripe_calls(before) == [], "our own books knew"
    assert_error(service.pay(order_id, "pm_unknown"), 404, "payment_method_not_found")
    assert service.charges(order_id) == 0
    order_id = service.order("bob")
    assert_success(service.pay(order_id, bobs, user="bob"))


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stripePaymentMethodId": None},
        {"stripePaymentMethodId": ""},
        {"stripePaymentMethodId": 7},
        {"stripePaymentMethodId": ["pm_1"]},
        {"stripePaymentMethodId": "pm_1/../x"},
        {"stripePaymentMethodId": "pm_" + "x" * 255},
        {"stripePaymentMethodId": "pm_1", "isDefault": "yes"},
        {"stripePaymentMethodId": "pm_1", "isDefault": 1},
        [],
        "pm_1",
    ],
)
def test_a_bad_body_is_refused_before_stripe(service: Running, body: Any) -> None:
    before = service.last_request()
    assert_error(service.call("POST", METHODS, body), 400, "invalid_request", "fix_request")
    assert service.stripe_calls(before) == []


def test_a_card_that_cannot_be_saved_is_told_by_its_code(service: Running) -> None:
    bobs = service.simulator.create_card(GOOD)
    saved(service, bobs, user="bob")
    for method in ("pm_unknown", bobs, "card_1", "spm_unknown"):
        assert_error(save(service, method), 404, "payment_method_not_found", "use_other_method")
    foreign = service.simulator.create_card(GOOD)  # attached by somebody we know nothing of
    customer = at_stripe(service, "/v1/customers", email="x@example.com")["id"]
    at_stripe(service, f"/v1/payment_methods/{foreign}/attach", customer=customer)
    assert_error(save(service, foreign), 404, "payment_method_not_found", "use_other_method")
    dead = service.simulator.create_card(GOOD)
    at_stripe(service, f"/v1/payment_methods/{dead}/attach", customer=customer)
    at_stripe(service, f"/v1/payment_methods/{dead}/detach")
    assert_error(save(service, dead), 402, "payment_method_consumed", "use_other_method")
    assert listed(service) == []


def test_a_decline_at_saving_is_told_in_stripes_words_and_not_remembered(service: Running) -> None:
    card = service.simulator.create_card(DECLINED_AT_ATTACH)
    before = service.last_request()
    for _ in range(2):
        body = assert_error(save(service, card), 402, "card_declined", "retry")
        assert body["declineCode"] == "generic_decline"
        assert body["errors"] == ["Your card was declined."]
    attaches = [
        item for item in service.simulator.requests(after=before) if "attach" in item["path"]
    ]
    keys = {item["idempotency_key"] for item in attaches}
    assert len(keys) == 2 and all(key.startswith("att:") for key in keys)
    assert listed(service) == []


def test_the_path_takes_only_a_saved_card_of_the_user(service: Running) -> None:
    bobs, plain = service.simulator.create_card(GOOD), service.simulator.create_card(MASTERCARD)
    bobs_id = saved(service, bobs, user="bob")["id"]
    assert_success(service.pay(service.order(), plain))  # ours, and never asked to keep
    (row,) = service.rows(
        "SELECT id FROM payment_methods WHERE stripe_payment_method_id = $1", plain
    )
    before = service.last_request()
    for method in (bobs, bobs_id, plain, row["id"], "spm_x", "pm_x", "1", "x" * 300, "%00"):
        for answer in (delete(service, method), make_default(service, method)):
            assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.stripe_calls(before) == []
    assert listed_ids(service, "bob") == [bobs] and is_attached(service, plain)


def test_a_method_that_is_no_card_is_not_listed(service: Running) -> None:
    made = at_stripe(
        service,
        "/v1/payment_methods",
        **{"type": "us_bank_account", "us_bank_account[account_number]": "000123456789"},
    )
    answer = save(service, made["id"])
    assert answer.status_code in (400, 404)
    assert_envelope(answer)
    assert listed(service) == []


def test_nobody_without_a_token_comes_near(service: Running) -> None:
    for method, path in (
        ("GET", METHODS),
        ("POST", METHODS),
        ("DELETE", f"{METHODS}/spm_1"),
        ("PUT", f"{METHODS}/spm_1/default"),
    ):
        answer = service.call(method, path, {}, headers={"Authorization": "Bearer x"})
        assert_error(answer, 401, "not_authenticated", "sign_in")
    assert_error(service.call("PUT", METHODS), 405, "method_not_allowed")


def test_an_idempotency_key_answers_the_same_again(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    body, headers = {"stripePaymentMethodId": card}, {"Idempotency-Key": "k"}
    first = assert_success(service.call("POST", METHODS, body, headers=headers))
    assert_success(delete(service, first["id"]))
    again = service.call("POST", METHODS, body, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert assert_success(again) == first
    other = {"stripePaymentMethodId": "pm_other"}
    answer = service.call("POST", METHODS, other, headers=headers)
    assert_error(answer, 409, "idempotency_mismatch")


def test_with_a_hosts_table_only_its_users_have_saved_cards(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = make_legacy(empty_database_url)
    migrations.upgrade(legacy.url)
    with running_service(legacy.url, stripe_simulator) as service:
        card = service.simulator.create_card(GOOD)
        before = service.last_request()
        for stranger in ("4711", "alice"):
            for method, path, body in (
                ("GET", METHODS, None),
                ("POST", METHODS, {"stripePaymentMethodId": card}),
                ("DELETE", f"{METHODS}/{card}", None),
                ("PUT", f"{METHODS}/{card}/default", None),
            ):
                answer = service.call(method, path, body, user=stranger)
                assert_error(answer, 401, "not_authenticated", "sign_in")
        assert service.stripe_calls(before) == []
        method_id = saved(service, card, user="1")["id"]
        assert legacy.customer_of("1") is not None
        assert listed_ids(service, "1") == defaults(service, "1") == [card]
        assert_success(service.pay(service.order("1"), method_id, user="1", save=True))
        assert_success(delete(service, method_id, "1"))


# --- card testing --------------------------------------------------------------------------------


def test_declined_saves_and_declined_payments_count_together(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=4, cards_without_delay=9)
    for _ in range(2):
        card = service.simulator.create_card(DECLINED_AT_ATTACH)
        assert_error(save(service, card), 402, "card_declined")
        assert_error(service.pay(service.order(), card), 402, "card_declined")
    order_id, good = service.order(), service.simulator.create_card(GOOD)
    before = service.last_request()
    for answer in (save(service, good), service.pay(order_id, good)):
        body = assert_error(answer, 429, "too_many_attempts", "retry")
        assert 3500 < body["retryAfter"] <= 3600
    assert service.stripe_calls(before) == []
    saved(service, service.simulator.create_card(GOOD), user="bob")
    service.clock.added += 3601
    saved(service, good)
    assert_success(service.pay(service.order(), good))


def test_declined_saves_alone_reach_the_limit_and_old_ones_are_forgotten(
    start_service: StartService,
) -> None:
    service = start_service(declines_per_user_and_hour=2)
    card = service.simulator.create_card(DECLINED_AT_ATTACH)
    counted = "SELECT count(*) AS n FROM declined_saves"
    for _ in range(2):
        for _ in range(2):
            assert_error(save(service, card), 402, "card_declined")
        assert_error(save(service, card), 429, "too_many_attempts")
        assert service.rows(counted)[0]["n"] == 2
        service.clock.added += 3601


def test_a_known_card_pays_although_a_limit_of_saves_is_near(start_service: StartService) -> None:
    """The fast road counts them as well, neither more nor less."""
    service = start_service(declines_per_user_and_hour=2)
    good, bad = (service.simulator.create_card(number) for number in (GOOD, DECLINED_AT_ATTACH))
    saved(service, good)
    assert_error(save(service, bad), 402, "card_declined")
    assert_success(service.pay(service.order(), good))
    assert_error(save(service, bad), 402, "card_declined")
    assert_error(service.pay(service.order(), good), 429, "too_many_attempts")


# --- Stripe's bad days ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["rate_limit", "lock_timeout", "drop_request", "drop_response", "error_before"]
)
def test_without_stripe_nothing_is_saved_and_a_repeat_saves(service: Running, kind: str) -> None:
    service.order()  # the customer is there
    card = service.simulator.create_card(GOOD)
    service.simulator.add_fault(match=ATTACH, kind=kind)
    body = assert_error(save(service, card), 503, "stripe_unavailable", "retry")
    assert body["retryAfter"] > 0 and "not saved" in body["message"]
    assert listed(service) == []
    service.simulator.clear_faults()
    service.clock.added += 10  # an open circuit tries again
    saved(service, card)
    assert listed_ids(service) == [card]


@pytest.mark.parametrize("kind", ["drop_response", "error_after", "key_in_use"])
def test_one_lost_answer_is_made_good_within_the_request(service: Running, kind: str) -> None:
    service.order()
    card = service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**ATTACH, "times": 1}, kind=kind)
    saved(service, card)
    assert listed_ids(service) == [card]


def test_a_customer_deleted_at_stripe_is_replaced(service: Running) -> None:
    saved(service, service.simulator.create_card(MASTERCARD))
    (row,) = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = 'alice'")
    control: ControlClient = service.simulator
    control._send(
        "DELETE",
        f"/v1/customers/{row['id']}",
        b"",
        {"Authorization": f"Bearer {control.secret_key}"},
    )
    card = service.simulator.create_card(GOOD)
    saved(service, card)
    assert listed_ids(service) == defaults(service) == [card]


def test_a_user_never_seen_can_save_a_card_and_gets_one_customer(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    before = service.last_request()
    saved(service, card, user="newcomer")
    assert service.stripe_calls(before) == [("POST", "/v1/customers"), ATTACH_CALL]
    assert_success(service.pay(service.order("newcomer"), card, user="newcomer"))
    assert service.stripe_calls(before).count(("POST", "/v1/customers")) == 1


# --- at the same time ----------------------------------------------------------------------------


def test_two_entries_of_one_card_saved_at_once_are_listed_once(service: Running) -> None:
    for round_no in range(4):
        user = f"user-{round_no}"
        service.order(user)
        cards = [service.simulator.create_card(GOOD) for _ in range(4)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(
                threads.map(lambda card: save(service, card, user=user), [*cards, *cards])  # noqa: B023
            )
        found = {assert_success(answer)["id"] for answer in answers}
        assert len(found) == len(listed(service, user)) == len(defaults(service, user)) == 1
        assert {state_of(service, card) for card in cards} == {"attached"}


def test_two_entries_of_one_card_that_pay_at_once_are_listed_once(service: Running) -> None:
    for _ in range(4):
        user = f"user-{service.last_request()}"
        jobs = []
        for _ in range(4):
            card, order_id = service.simulator.create_card(GOOD), service.order(user)
            assert_success(service.pay(service.order(user), card, user=user))  # known by now
            jobs.append((order_id, card))
        with ThreadPoolExecutor(4) as threads:
            answers = threads.map(lambda job: service.pay(*job, user=user, save=True), jobs)  # noqa: B023
            for answer in list(answers):
                assert_success(answer)
        assert len(listed(service, user)) == len(defaults(service, user)) == 1


def test_two_defaults_chosen_at_once_are_one(service: Running) -> None:
    ids = [
        saved(service, service.simulator.create_card(number))["id"]
        for number in (GOOD, MASTERCARD, AMEX)
    ]
    for _ in range(5):
        with ThreadPoolExecutor(6) as threads:
            for answer in list(threads.map(lambda each: make_default(service, each), ids * 2)):
                assert_success(answer)
        assert len(defaults(service)) == 1


# --- single use ----------------------------------------------------------------------------------


def test_with_single_use_nothing_is_saved_and_nothing_listed(start_service: StartService) -> None:
    service = start_service(payment_method_policy="single_use")
    card = service.simulator.create_card(GOOD)
    before = service.last_request()
    assert_error(save(service, card), 404, "not_found", "fix_request")
    assert_error(make_default(service, card), 404, "not_found", "fix_request")
    assert_error(delete(service, card), 404, "payment_method_not_found")
    assert service.stripe_calls(before) == []
    assert_success(service.pay(service.order(), card, save=True))
    assert listed(service) == []


def test_cards_saved_before_single_use_can_still_be_deleted(start_service: StartService) -> None:
    service = start_service()
    card = service.simulator.create_card(GOOD)
    method_id = saved(service, card)["id"]
    single = start_service(payment_method_policy="single_use")
    assert listed(single) == []
    assert_success(delete(single, method_id))
    assert not is_attached(single, card)
