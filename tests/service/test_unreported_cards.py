"""What happens to cards at Stripe without our hearing of it: the list finds out by itself, paying
tells, and nothing is charged by what is gone."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from paidonce.observability import set_step_hook
from support.envelope import assert_error, assert_success
from support.events import deliver, list_events
from support.saved_methods import (
    MASTERCARD,
    at_stripe,
    defaults,
    is_attached,
    listed,
    listed_ids,
    save,
    saved,
    state_of,
)
from support.service import GOOD, Running, StartService

DAY = 86_400
METHODS_AT_STRIPE = {"method": "GET", "path": "/v1/payment_methods"}
LOOK_CALL = ("GET", "/v1/payment_methods")


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


@contextlib.contextmanager
def just_before(step: str, deed: Callable[[], None]) -> Iterator[None]:
    """Do it once, before the service begins this step; the service waits meanwhile."""
    done: list[str] = []

    def hook(name: str, when: str) -> None:
        if (name, when) == (step, "before") and not done:
            done.append(name)
            deed()

    set_step_hook(hook)
    try:
        yield
    finally:
        set_step_hook(None)
    assert done, f"{step} was not reached"


def two_cards(service: Running) -> tuple[str, str]:
    first, second = (service.simulator.create_card(number) for number in (GOOD, MASTERCARD))
    saved(service, first)
    saved(service, second)
    return first, second


def list_and_look(service: Running) -> list[str]:
    """The list as the app gets it now, and what it started comes to its end."""
    ids = listed_ids(service)
    service.run(service.context.background.drain())
    return ids


def test_a_card_detached_at_stripe_leaves_the_list_although_nobody_told(service: Running) -> None:
    first, second = two_cards(service)
    at_stripe(service, f"/v1/payment_methods/{first}/detach")
    assert list_and_look(service) == [second, first]  # what Stripe said today is not asked again
    service.clock.added += DAY
    assert list_and_look(service) == [second, first]  # and nobody waits for it
    assert listed_ids(service) == defaults(service) == [second]
    order_id = service.order()
    for method in (first, first):
        assert_error(service.pay(order_id, method), 402, "payment_method_consumed")
    assert_error(save(service, first), 402, "payment_method_consumed")
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, second))


def test_a_card_renewed_at_stripe_is_shown_as_it_is_although_nobody_told(
    service: Running,
) -> None:
    first, second = two_cards(service)
    year = str(service.clock.now().year + 9)
    at_stripe(service, f"/v1/payment_methods/{first}", **{"card[exp_year]": year})
    service.clock.added += DAY
    list_and_look(service)
    expiries = {each["stripePaymentMethodId"]: each["details"] for each in listed(service)}
    assert expiries[first]["expiryYear"] == year != expiries[second]["expiryYear"]


def test_a_customer_deleted_at_stripe_takes_his_cards_although_nobody_told(
    service: Running,
) -> None:
    first, second = two_cards(service)
    (row,) = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = 'alice'")
    service.stripe("DELETE", f"/v1/customers/{row['id']}")
    service.clock.added += DAY
    list_and_look(service)
    assert listed(service) == []
    order_id = service.order()
    for method in (first, second):
        answer = service.pay(order_id, method)
        assert answer.status_code in (402, 404), answer.text
    assert service.charges(order_id) == 0
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(order_id, card, save=True))
    assert listed_ids(service) == defaults(service) == [card]


def test_a_customer_deleted_at_stripe_is_noticed_by_paying(service: Running) -> None:
    """Nobody told, and the list was not asked for."""
    first, _ = two_cards(service)
    (row,) = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = 'alice'")
    service.stripe("DELETE", f"/v1/customers/{row['id']}")
    order_id = service.order(is_prepared=False)
    answer = service.pay(order_id, first)
    assert answer.status_code in (402, 404), answer.text
    assert listed(service) == [] and service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD), save=True))
    assert len(listed(service)) == 1


def test_a_card_attached_at_stripe_is_not_listed_unless_its_user_asks(service: Running) -> None:
    first, second = two_cards(service)
    (row,) = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = 'alice'")
    card = service.simulator.create_card("378282246310005")
    at_stripe(service, f"/v1/payment_methods/{card}/attach", customer=row["id"])
    at_stripe(
        service,
        f"/v1/customers/{row['id']}",
        **{"invoice_settings[default_payment_method]": card},
    )
    for event in list_events(service):
        deliver(service, event)
    service.work()
    service.clock.added += DAY
    list_and_look(service)
    assert listed_ids(service) == [second, first] and defaults(service) == [first]
    assert saved(service, card)["stripePaymentMethodId"] == card
    assert_success(service.pay(service.order(), card))


def test_stripe_is_asked_once_a_day_and_only_for_who_looks(service: Running) -> None:
    two_cards(service)
    saved(service, service.simulator.create_card(GOOD), user="bob")
    service.clock.added += DAY
    before = service.last_request()
    for _ in range(3):
        list_and_look(service)
    service.work()
    assert service.stripe_calls(before).count(LOOK_CALL) == 1
    service.clock.added += DAY
    list_and_look(service)
    assert service.stripe_calls(before).count(LOOK_CALL) == 2


@pytest.mark.parametrize("kind", ["drop_request", "rate_limit", "truncate"])
def test_without_stripe_the_list_is_answered_and_asks_again(service: Running, kind: str) -> None:
    first, second = two_cards(service)
    at_stripe(service, f"/v1/payment_methods/{first}/detach")
    service.clock.added += DAY
    service.simulator.add_fault(match=METHODS_AT_STRIPE, kind=kind)
    for _ in range(2):
        assert list_and_look(service) == [second, first]
    service.simulator.clear_faults()
    list_and_look(service)
    assert listed_ids(service) == [second]


def test_a_card_saved_while_the_look_is_under_way_stays(
    service: Running, start_service: StartService
) -> None:
    """Stripe's list was read before the card was attached."""
    two_cards(service)
    other = start_service()
    for each in (service, other):
        each.clock.added += DAY
    card = service.simulator.create_card("378282246310005")
    with just_before("commit.methods_seen", lambda: saved(other, card) and None):
        list_and_look(service)
    assert state_of(service, card) == "attached" and is_attached(service, card)
    assert listed_ids(service)[0] == card
