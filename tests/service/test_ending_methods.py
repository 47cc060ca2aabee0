"""Saved cards are deleted, and cards that nobody asked to keep are released: never under a payment,
never forgotten half-way, and never again usable."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from paidonce.domain.intent import Method
from paidonce.observability.steps import set_step_hook
from paidonce.store.methods import refresh_method, release_method
from support.envelope import assert_error, assert_requires_action, assert_success
from support.saved_methods import (
    DETACH,
    DETACH_CALL,
    MASTERCARD,
    METHODS,
    at_stripe,
    defaults,
    delete,
    is_attached,
    listed,
    listed_ids,
    save,
    saved,
    state_of,
)
from support.service import (
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    WEBHOOK_SECRET,
    Running,
    StartService,
)

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
DAY = 86_400


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


class Crash(BaseException):
    """The process is gone, as far as this request is concerned."""


@contextmanager
def crashing(name: str, when: str) -> Iterator[None]:
    """The next step of this name dies before or after it."""
    is_over = threading.Event()

    def hook(step: str, at: str) -> None:
        if (step, at) == (name, when) and not is_over.is_set():
            is_over.set()
            raise Crash

    set_step_hook(hook)
    try:
        yield
    finally:
        set_step_hook(None)
    assert is_over.is_set(), f"nothing came by {name}"


# --- deleting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "stripePaymentMethodId"])
def test_a_deleted_card_is_gone_everywhere_and_for_good(service: Running, by: str) -> None:
    card = service.simulator.create_card(GOOD)
    item = saved(service, card)
    assert_success(service.pay(service.order(), card))
    before = service.last_request()
    data = assert_success(delete(service, item[by]), "Payment method deleted successfully")
    assert data == {"id": item["id"]}
    assert service.stripe_calls(before) == [DETACH_CALL]
    assert listed(service) == [] and not is_attached(service, card)
    assert state_of(service, card) == "deleted"
    order_id, before = service.order(), service.last_request()
    for answer in (
        delete(service, item[by]),
        delete(service, card),
        service.pay(order_id, card),
        service.pay(order_id, item["id"]),
        save(service, card),
        service.call("PUT", f"{METHODS}/{card}/default"),
    ):
        assert_error(answer, 404, "payment_method_not_found", "use_other_method")
    assert service.stripe_calls(before) == []
    assert service.charges(order_id) == 0
    again = service.simulator.create_card(GOOD)  # the same card, entered anew
    assert saved(service, again)["id"] != item["id"]
    assert_success(service.pay(order_id, again))


def test_deleting_the_default_makes_the_newest_of_the_others_it(service: Running) -> None:
    first, second, third = (
        service.simulator.create_card(number) for number in (GOOD, MASTERCARD, "378282246310005")
    )
    for card in (first, second, third):
        saved(service, card)
    for deleted, default in ((second, [first]), (first, [third]), (third, [])):
        assert_success(delete(service, deleted))
        assert defaults(service) == default


def test_every_entry_of_a_deleted_card_goes_with_it(service: Running) -> None:
    """The user wants the card gone, and knows nothing of entries."""
    cards = [service.simulator.create_card(GOOD) for _ in range(3)]
    for card in cards:
        assert_success(service.pay(service.order(), card, save=True))
    other = service.simulator.create_card(MASTERCARD)
    bobs = service.simulator.create_card(GOOD)
    saved(service, other)
    saved(service, bobs, user="bob")
    (item,) = [item for item in listed(service) if item["stripePaymentMethodId"] == cards[0]]
    assert_success(delete(service, item["id"]))
    assert [is_attached(service, card) for card in (*cards, other, bobs)] == [
        False, False, False, True, True,
    ]  # fmt: skip
    order_id = service.order()
    for card in cards:
        assert_error(service.pay(order_id, card), 404, "payment_method_not_found")
    assert listed_ids(service) == [other] and listed_ids(service, "bob") == [bobs]


def test_a_card_is_not_deleted_while_a_payment_with_it_is_not_over(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(NEEDS_3DS)
    item = saved(service, card)
    action = assert_requires_action(service.pay(order_id, card))
    before = service.last_request()
    for method in (card, item["id"]):
        body = assert_error(delete(service, method), 409, "payment_in_progress", "wait")
        assert body["retryAfter"] > 0
    assert DETACH_CALL not in service.stripe_calls(before)
    assert listed_ids(service) == defaults(service) == [card]
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert_success(delete(service, item["id"]))
    assert service.charges(order_id) == 1


def test_a_payment_with_another_entry_keeps_the_card_as_well(service: Running) -> None:
    entry, listed_one = (service.simulator.create_card(NEEDS_3DS) for _ in range(2))
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, entry))
    item = saved(service, listed_one)
    assert_error(delete(service, item["id"]), 409, "payment_in_progress", "wait")
    assert is_attached(service, entry) and is_attached(service, listed_one)
    service.simulator.authenticate(action["paymentIntentId"], "success")
    assert_success(service.confirm(order_id))
    assert_success(delete(service, item["id"]))
    assert not is_attached(service, entry) and not is_attached(service, listed_one)


def test_a_declined_order_does_not_keep_its_user_from_deleting(service: Running) -> None:
    order_id, card = service.order(), service.simulator.create_card(DECLINED_AT_CHARGE)
    saved(service, card)
    assert_error(service.pay(order_id, card), 402, "card_declined")
    assert_success(delete(service, card))
    assert_error(service.pay(order_id, card), 404, "payment_method_not_found")


# --- deleting on a bad day -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_request", "drop_response", "rate_limit", "error_after"])
def test_a_card_deleted_while_stripe_is_away_is_detached_later(service: Running, kind: str) -> None:
    card = service.simulator.create_card(GOOD)
    item = saved(service, card)
    service.simulator.add_fault(match=DETACH, kind=kind)
    assert_success(delete(service, item["id"]))
    assert listed(service) == [] and state_of(service, card) == "deleting"
    order_id = service.order()
    for method in (card, item["id"]):
        assert_error(service.pay(order_id, method), 404, "payment_method_not_found")
    assert_error(save(service, card), 404, "payment_method_not_found")
    service.recover()
    assert state_of(service, card) == "deleting"  # still away
    service.simulator.clear_faults()
    service.recover(5)
    assert state_of(service, card) == "deleting"  # its time has not come
    service.recover(60)
    assert state_of(service, card) == "deleted" and not is_attached(service, card)
    before = service.last_request()
    service.recover(60)
    assert DETACH_CALL not in service.stripe_calls(before)


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("commit.delete_method", "after"),
        ("stripe.detach", "before"),
        ("stripe.detach", "after"),
        ("commit.release_method", "before"),
        ("commit.release_method", "after"),
    ],
)
def test_a_crash_while_deleting_is_made_good_by_the_worker(
    service: Running, name: str, when: str
) -> None:
    card = service.simulator.create_card(GOOD)
    saved(service, card)
    with crashing(name, when):
        try:
            answer = delete(service, card)
            assert answer.status_code == 500
        except requests.ConnectionError:
            pass
    assert listed(service) == []
    assert_error(service.pay(service.order(), card), 404, "payment_method_not_found")
    service.recover(60)
    assert state_of(service, card) == "deleted" and not is_attached(service, card)


def test_a_card_that_stripe_detached_meanwhile_is_done(service: Running) -> None:
    card = service.simulator.create_card(GOOD)
    saved(service, card)
    at_stripe(service, f"/v1/payment_methods/{card}/detach")
    assert_success(delete(service, card))
    assert state_of(service, card) == "deleted"


# --- released for lying idle ---------------------------------------------------------------------


def unsaved_card(service: Running, number: str = GOOD) -> str:
    """A card that has paid an order of its own, and that nobody asked to keep."""
    card = str(service.simulator.create_card(number))
    assert_success(service.pay(service.order(), card))
    return card


def test_an_unsaved_card_is_detached_after_thirty_idle_days_and_a_saved_one_is_not(
    service: Running,
) -> None:
    idle, used = unsaved_card(service), unsaved_card(service, MASTERCARD)
    kept = service.simulator.create_card("378282246310005")
    saved(service, kept)
    service.clock.added += 29 * DAY
    service.work()
    assert state_of(service, idle) == "attached"
    assert_success(service.pay(service.order(), used))
    service.clock.added += 2 * DAY
    service.work()
    assert [state_of(service, card) for card in (idle, used, kept)] == [
        "released", "attached", "attached",
    ]  # fmt: skip
    assert [is_attached(service, card) for card in (idle, used, kept)] == [False, True, True]
    assert listed_ids(service) == [kept]


def test_the_idle_time_is_a_setting(start_service: StartService) -> None:
    service = start_service(release_unsaved_methods_after_days=2)
    card = unsaved_card(service)
    service.recover(2 * DAY - 60)
    assert state_of(service, card) == "attached"
    service.recover(120)
    assert state_of(service, card) == "released" and not is_attached(service, card)


def test_a_released_card_is_told_as_used_up_and_another_entry_pays(service: Running) -> None:
    card = unsaved_card(service)
    service.recover(31 * DAY)
    assert state_of(service, card) == "released"
    order_id = service.order()
    for _ in range(2):
        answer = service.pay(order_id, card)
        assert_error(answer, 402, "payment_method_consumed", "use_other_method")
    assert_error(save(service, card), 402, "payment_method_consumed", "use_other_method")
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))


def test_while_a_release_is_under_way_the_card_is_used_up_as_well(service: Running) -> None:
    card = unsaved_card(service)
    service.simulator.add_fault(match=DETACH, kind="drop_request")
    service.recover(31 * DAY)
    assert state_of(service, card) == "releasing"
    order_id, before = service.order(), service.last_request()
    for answer in (service.pay(order_id, card), save(service, card)):
        assert_error(answer, 402, "payment_method_consumed", "use_other_method")
    assert service.stripe_calls(before) == []
    service.simulator.clear_faults()
    service.recover(60)
    assert state_of(service, card) == "released" and not is_attached(service, card)


@pytest.mark.parametrize("number", [DECLINED_AT_CHARGE, NEEDS_3DS])
def test_a_card_is_kept_as_long_as_an_order_tried_with_it_is_open(
    service: Running, number: str
) -> None:
    order_id, card = service.order(), service.simulator.create_card(number)
    service.pay(order_id, card)
    service.recover(31 * DAY)  # a challenge is over by then, the order is not
    service.recover(31 * DAY)
    assert state_of(service, card) == "attached" and is_attached(service, card)
    answer = service.merchant("POST", f"/api/orders/{order_id}/cancel")
    assert_success(answer)
    service.recover(60)
    assert state_of(service, card) == "attached"  # looked at again after a day
    service.recover(DAY)
    assert state_of(service, card) == "released" and not is_attached(service, card)


def test_cards_of_open_orders_do_not_keep_others_from_being_released(service: Running) -> None:
    """More of them than fit into a round."""
    for n in range(10):
        user = f"user-{n}"
        card = service.simulator.create_card(DECLINED_AT_CHARGE)
        assert_error(service.pay(service.order(user), card, user=user), 402, "card_declined")
    idle = unsaved_card(service)
    service.clock.added += 31 * DAY
    for _ in range(3):
        service.work()
    assert state_of(service, idle) == "released"


def test_two_workers_release_each_card_once(service: Running, start_service: StartService) -> None:
    other = start_service()
    cards = [unsaved_card(service) for _ in range(6)]
    for each in (service, other):
        each.clock.added += 31 * DAY
    before = service.last_request()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda each: each.work(), [service, other] * 2))
    assert {state_of(service, card) for card in cards} == {"released"}
    assert service.stripe_calls(before).count(DETACH_CALL) == len(cards)


# --- Stripe's events -----------------------------------------------------------------------------


def hear(service: Running) -> None:
    """Let the simulator deliver what has happened, and work on it."""
    url = f"{service.url}/api/webhooks/stripe"
    service.simulator.set_webhook_target(url, WEBHOOK_SECRET)
    service.simulator.flush_webhooks()
    service.work()


def test_a_card_detached_at_stripe_leaves_the_list_and_the_next_one_is_default(
    service: Running,
) -> None:
    service.simulator.set_webhook_target(f"{service.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    first, second = (service.simulator.create_card(number) for number in (GOOD, MASTERCARD))
    saved(service, first)
    saved(service, second)
    at_stripe(service, f"/v1/payment_methods/{first}/detach")
    hear(service)
    assert listed_ids(service) == defaults(service) == [second]
    assert_success(delete(service, second))
    hear(service)  # of the detach that was our own
    assert [state_of(service, card) for card in (first, second)] == ["released", "deleted"]


def test_a_card_renewed_at_stripe_is_shown_as_it_is_now(service: Running) -> None:
    service.simulator.set_webhook_target(f"{service.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    card = service.simulator.create_card(GOOD)
    before = saved(service, card)
    form = {"card[exp_month]": "4", "card[exp_year]": "2049", "billing_details[name]": "Ada"}
    at_stripe(service, f"/v1/payment_methods/{card}", **form)
    hear(service)
    details = {"expiryMonth": "04", "expiryYear": "2049", "cardholderName": "Ada"}
    assert listed(service) == [{**before, "details": {**before["details"], **details}}]


# --- a payment and an end at the same time -------------------------------------------------------


def test_a_payment_and_a_deletion_at_once_never_break_each_other(service: Running) -> None:
    """The card pays and is deleted afterwards, or is deleted and does not pay; both in time."""
    for _ in range(8):
        card = service.simulator.create_card(GOOD)
        saved(service, card)
        order_id = service.order()
        with ThreadPoolExecutor(2) as threads:
            paying = threads.submit(service.pay, order_id, card)
            deleting = threads.submit(delete, service, card)
        paid, deleted = paying.result(), deleting.result()
        if deleted.status_code == 409:
            assert_error(deleted, 409, "payment_in_progress", "wait")
            assert_success(paid)
            assert_success(delete(service, card))
        elif paid.status_code == 200:
            assert_success(deleted)
        else:
            assert_success(deleted)
            assert_error(paid, 404, "payment_method_not_found")
        assert service.charges(order_id) == (1 if paid.status_code == 200 else 0)
        assert not is_attached(service, card)


def test_a_payment_that_began_first_keeps_its_card_from_being_released(service: Running) -> None:
    card = unsaved_card(service)
    service.clock.added += 31 * DAY
    order_id = service.order()
    service.simulator.add_fault(match=CONFIRM, kind="latency", seconds=0.5)
    with ThreadPoolExecutor(1) as threads:
        paying = threads.submit(service.pay, order_id, card)
        while not service.rows("SELECT 1 FROM payment_attempts WHERE state = 'open'"):
            pass
        service.work()
        assert state_of(service, card) == "attached"
        assert_success(paying.result())
    assert is_attached(service, card)


def test_a_payment_and_a_release_at_once_never_break_each_other(service: Running) -> None:
    outcomes: set[Any] = set()
    for _ in range(8):
        card = unsaved_card(service)
        service.clock.added += 31 * DAY
        order_id = service.order()
        with ThreadPoolExecutor(2) as threads:
            paying = threads.submit(service.pay, order_id, card)
            working = threads.submit(service.work)
        paid, _ = paying.result(), working.result()
        if paid.status_code == 200:
            assert_success(paid)
            assert state_of(service, card) == "attached" and is_attached(service, card)
        else:
            assert_error(paid, 402, "payment_method_consumed", "use_other_method")
            assert not is_attached(service, card)
        assert service.charges(order_id) == (1 if paid.status_code == 200 else 0)
        outcomes.add(paid.status_code)
    assert outcomes <= {200, 402}


# --- an order that is paid says so, whatever has become of the card ------------------------------


def test_a_paid_order_answers_success_to_the_id_of_a_deleted_card(service: Running) -> None:
    kept = saved(service, service.simulator.create_card(GOOD))
    order_id = service.order()
    paid = assert_success(service.pay(order_id, kept["id"]))
    assert_success(delete(service, kept["id"]))
    for card in (kept["id"], kept["stripePaymentMethodId"]):
        assert assert_success(service.pay(order_id, card)) == paid
    assert_error(service.pay(service.order(), kept["id"]), 404, "payment_method_not_found")


def test_an_unknown_outcome_is_followed_up_although_the_card_was_detached(
    service: Running,
) -> None:
    """The charge was made and its answers were lost; then somebody detaches the card at Stripe."""
    kept = saved(service, service.simulator.create_card(GOOD))
    order_id = service.order()
    lost = {"path": "/v1/payment_intents/*"}
    service.simulator.add_fault(kind="drop_response", match=lost)
    assert_error(service.pay(order_id, kept["id"]), 409, "payment_processing", "wait")
    service.simulator.clear_faults()
    at_stripe(service, f"/v1/payment_methods/{kept['stripePaymentMethodId']}/detach")
    now = service.clock.now()
    service.run(
        service.context.db.transaction(
            "test", lambda tx: release_method(tx, kept["stripePaymentMethodId"], now)
        )
    )
    assert_success(service.pay(order_id, kept["id"]))
    assert service.charges(order_id) == 1


def test_a_card_is_idle_since_its_last_attempt_whatever_came_of_it(service: Running) -> None:
    bad = service.simulator.create_card(DECLINED_AT_CHARGE)
    for _ in range(4):
        order_id = service.order()
        assert_error(service.pay(order_id, bad), 402, "card_declined")
        assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
        service.clock.added += 10 * DAY
    service.work()
    assert is_attached(service, bad)
    service.clock.added += 31 * DAY
    service.work()
    assert not is_attached(service, bad)


@pytest.mark.parametrize(("year", "stays"), [(2034, "first"), (2025, "second"), (2036, "both")])
def test_a_card_that_is_renewed_into_a_twin_is_listed_once(
    service: Running, year: int, stays: str
) -> None:
    """The bank gives a card the number of another one, as it were. With another expiry it is
    another card, unless it is the old plastic of that number."""
    first = saved(service, service.simulator.create_card(MASTERCARD, exp_month=12, exp_year=2030))
    second = saved(service, service.simulator.create_card(GOOD, exp_month=12, exp_year=2034))
    assert_success(service.call("PUT", f"{METHODS}/{second['id']}/default"))
    (row,) = service.rows("SELECT fingerprint FROM payment_methods WHERE id = $1", second["id"])
    renewed = Method(
        first["stripePaymentMethodId"], "cus", "visa", "4242", 12, year, row["fingerprint"]
    )
    now = service.clock.now()
    service.run(service.context.db.transaction("test", lambda tx: refresh_method(tx, renewed, now)))
    kept = {"first": [first], "second": [second], "both": [second, first]}[stays]
    assert [item["id"] for item in listed(service)] == [item["id"] for item in kept]
    assert defaults(service) == [kept[0]["stripePaymentMethodId"]]
    assert_success(service.pay(service.order(), first["stripePaymentMethodId"]))
    assert_success(service.pay(service.order(), second["stripePaymentMethodId"]))


def test_saves_that_are_sent_together_meet_the_limit(start_service: StartService) -> None:
    service = start_service(declines_per_user_and_hour=3)
    cards = [service.simulator.create_card(DECLINED_AT_ATTACH) for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda card: save(service, card), cards))
    assert sorted(answer.status_code for answer in answers) == [402] * 3 + [429] * 9
    good = service.simulator.create_card(GOOD)
    service.clock.added += 3601
    for _ in range(5):  # a good one is no decline
        saved(service, good)
        assert_success(delete(service, listed_ids(service)[0]))
        good = service.simulator.create_card(GOOD)
    assert service.rows("SELECT id FROM declined_saves WHERE state <> 'saved'") == []
