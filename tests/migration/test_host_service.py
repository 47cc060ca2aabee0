"""The service on a database whose users are the host's: nobody else comes in, no row is made."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from paidonce.store import migrations
from support.envelope import assert_error, assert_success
from support.legacy import (
    ID_TYPES,
    REPORT_SQL,
    Legacy,
    database_away,
    make_legacy,
    own_table,
)
from support.service import GOOD, Running, running_service

CUSTOMERS = "/v1/customers"


@pytest.fixture(params=ID_TYPES)
def legacy(request: pytest.FixtureRequest, empty_database_url: str) -> Legacy:
    legacy = make_legacy(empty_database_url, request.param)
    migrations.upgrade(legacy.url)
    return legacy


@pytest.fixture
def integers(empty_database_url: str) -> Legacy:
    legacy = make_legacy(empty_database_url, "integer")
    migrations.upgrade(legacy.url)
    return legacy


@pytest.fixture
def service(integers: Legacy, stripe_simulator: Any) -> Iterator[Running]:
    with running_service(integers.url, stripe_simulator) as running:
        yield running


def make_customer(simulator: Any, email: str, **metadata: str) -> str:
    """A customer as the host's old server made it."""
    form = {"email": email} | {f"metadata[{name}]": text for name, text in metadata.items()}
    answer = requests.post(
        f"{simulator.url}{CUSTOMERS}", data=form, auth=(simulator.secret_key, ""), timeout=10
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def customers_made(service: Running) -> list[dict[str, Any]]:
    return [
        item
        for item in service.simulator.requests(after=0)
        if (item["method"], item["path"]) == ("POST", CUSTOMERS)
    ]


def test_every_kind_of_id_pays_and_has_its_customer_in_the_hosts_row(
    legacy: Legacy, stripe_simulator: Any
) -> None:
    people = legacy.people()
    with running_service(legacy.url, stripe_simulator) as service:
        for user in legacy.ids:
            order_id = service.order(user)
            card = stripe_simulator.create_card(GOOD)
            assert_success(service.pay(order_id, card, user=user))
            assert_success(service.pay(service.order(user), card, user=user))
            assert service.charges(order_id) == 1
    customers = [legacy.customer_of(user) for user in legacy.ids]
    assert all(customers) and len(set(customers)) == len(legacy.ids)
    assert legacy.people() == people
    ours = own_table(legacy.url, "users")
    assert legacy.rows(f"SELECT id FROM {ours} WHERE stripe_customer_id IS NOT NULL") == []


def test_a_confirm_without_the_database_is_never_called_unavailable(
    empty_postgres_url: str, stripe_simulator: Any
) -> None:
    """What it asks about may have charged, whether or not the user can be looked for."""
    integers = make_legacy(empty_postgres_url, "integer")
    migrations.upgrade(integers.url)
    with running_service(integers.url, stripe_simulator) as service:
        order_id = service.order("2")
        assert_success(service.pay(order_id, stripe_simulator.create_card(GOOD), user="2"))
        with database_away(integers.url):
            assert_error(service.confirm(order_id, user="2"), 409, "payment_processing", "wait")


ROUTES = [
    ("GET", "/api/mobile-app/orders", None),
    ("POST", "/api/mobile-app/orders", {"items": [{"productId": "tea", "quantity": 1}]}),
    ("GET", "/api/mobile-app/payments", None),
    ("GET", "/api/mobile-app/orders/{order}", None),
    ("GET", "/api/mobile-app/orders/{order}/payment", None),
    ("POST", "/api/mobile-app/orders/{order}/pay", {"paymentToken": "pm_card_visa"}),
    ("POST", "/api/mobile-app/orders/{order}/pay", {"paymentToken": "spm_x"}),
    ("POST", "/api/mobile-app/orders/{order}/pay/confirm", {}),
]


@pytest.mark.parametrize("stranger", ["3", "042", "+42", " 42", "4.2e1", "alice", "9" * 30, "-0"])
def test_a_sub_that_is_no_id_of_the_table_is_401_everywhere(
    service: Running, integers: Legacy, stranger: str
) -> None:
    order_id, seq, people = service.order("42"), service.last_request(), integers.people()
    for method, path, body in ROUTES:
        answer = service.call(method, path.format(order=order_id), body, user=stranger)
        assert_error(answer, 401, "not_authenticated", "sign_in")
    assert service.stripe_calls(seq) == []
    assert integers.people() == people


def test_a_user_whom_the_host_has_deleted_is_401_with_a_known_card_too(
    service: Running, integers: Legacy
) -> None:
    card = service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order("2"), card, user="2"))
    waiting = service.order("2")
    integers.run("DELETE FROM users WHERE id = 2")
    seq = service.last_request()
    assert_error(service.pay(waiting, card, user="2"), 401, "not_authenticated")
    assert service.stripe_calls(seq) == []
    assert service.charges(waiting) == 0


def test_a_merchants_order_for_nobody_is_refused(service: Running) -> None:
    body = {"userId": "77", "amountMinor": 500, "currency": "usd"}
    assert_error(service.merchant("POST", "/api/orders", body), 400, "invalid_request")
    assert_success(service.merchant("POST", "/api/orders", {**body, "userId": "42"}))


def test_the_hosts_email_goes_to_stripe_and_not_the_tokens(service: Running) -> None:
    service.order("1")
    [made] = customers_made(service)
    assert made["params"]["email"] == "user0@shop.example"


# --- customers that are there already ------------------------------------------------------------


def test_a_recorded_customer_is_used(empty_database_url: str, stripe_simulator: Any) -> None:
    legacy = make_legacy(empty_database_url)
    customer = make_customer(stripe_simulator, "user0@shop.example")
    legacy.run(*REPORT_SQL)
    legacy.set_customer("1", customer)
    migrations.upgrade(legacy.url)
    with running_service(legacy.url, stripe_simulator) as service:
        order_id = service.order("1")
        assert_success(service.pay(order_id, stripe_simulator.create_card(GOOD), user="1"))
        assert [item["idempotency_key"] for item in customers_made(service)] == [None]
    assert legacy.customer_of("1") == customer


@pytest.mark.parametrize("name", ["user_id", "userId"])
def test_the_old_servers_customer_is_found_at_the_first_payment(
    service: Running, integers: Legacy, name: str
) -> None:
    make_customer(service.simulator, "user0@shop.example")  # the same e-mail and nothing else
    make_customer(service.simulator, "user0@shop.example", **{name: "2"})  # another user's
    theirs = make_customer(service.simulator, "user0@shop.example", **{name: "1"})
    assert_success(service.pay(service.order("1"), "pm_card_visa", user="1"))
    assert integers.customer_of("1") == theirs
    assert len(customers_made(service)) == 3


def test_an_email_alone_adopts_nothing(service: Running, integers: Legacy) -> None:
    same = make_customer(service.simulator, "user0@shop.example")
    foreign = make_customer(
        service.simulator, "user0@shop.example", user_id="1", namespace=uuid4().hex
    )
    assert_success(service.pay(service.order("1"), "pm_card_visa", user="1"))
    assert integers.customer_of("1") not in (None, same, foreign)


def test_a_customer_that_another_user_has_is_not_taken_from_him(
    service: Running, integers: Legacy
) -> None:
    theirs = make_customer(service.simulator, "user0@shop.example", user_id="1")
    integers.set_customer("2", theirs)
    assert_success(service.pay(service.order("1"), "pm_card_visa", user="1"))
    assert integers.customer_of("2") == theirs
    assert integers.customer_of("1") not in (None, theirs)


@pytest.mark.parametrize("email", ["nobody", "a@b", " lead@shop.example", "", None])
def test_an_email_that_stripe_refuses_keeps_nobody_from_paying(
    service: Running, integers: Legacy, email: str | None
) -> None:
    value = "NULL" if email is None else f"'{email}'"
    integers.run(f"UPDATE users SET email = {value} WHERE id = 1")
    order_id = service.order("1")
    assert_success(service.pay(order_id, "pm_card_visa", user="1"))
    assert integers.customer_of("1")
    assert integers.rows("SELECT email FROM users WHERE id = 1") == [(email,)]
