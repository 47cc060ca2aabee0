"""`paidonce users export` and `erase`: everything that is kept about a user, and its end."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
import requests

from migration.test_backfill import with_users
from paidonce.payments.erasure import CannotErase, erase_user
from paidonce.store import erasure as store
from support import events
from support.envelope import assert_success
from support.environment import MERCHANT_API_KEY, environment
from support.legacy import Legacy, own_table
from support.money_back import execute
from support.moving_in import Account, Done, reading, run
from support.saved_methods import MASTERCARD, save
from support.service import Running, running_service

DEVICE = "the-hash-of-her-telephone"
SECRETS = ("Elm Street", "ring twice", "alice@shop.example", "Alice Liddell", "203.0.113.7")
"""What is personal in an order, a card and a request."""


def users(url: str, simulator: Any, *words: str, code: int) -> Done:
    return run("users", *words, env=reading(url, simulator), code=code)


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as somebody else reads them."""
    legacy = Legacy(url)
    left_out = own_table(url, "installation")  # how far it was compared with Stripe moves on
    names = [name for name in legacy.tables() - {left_out} if not name.startswith("sqlite_")]
    return {name: legacy.rows(f"SELECT * FROM {name}") for name in sorted(names)}


def customer_of(service: Running, user: str) -> str:
    [row] = service.rows("SELECT stripe_customer_id AS id FROM users WHERE id = $1", user)
    return str(row["id"])


def shop(service: Running, user: str) -> tuple[str, str]:
    """A paid order with everything personal in it, and a saved card with its holder's name."""
    headers = {"X-Forwarded-For": "203.0.113.7", "Idempotency-Key": f"key-of-{user}"}
    body = {
        "items": [{"productId": "tea", "quantity": 2}],
        "shippingAddress": {"line1": "1 Elm Street"},
        "notes": "ring twice",
    }
    answer = service.call("POST", "/api/mobile-app/orders", body, user=user, headers=headers)
    assert answer.status_code == 200, answer.text
    order_id = str(answer.json()["data"]["orderId"])
    service.run(service.context.background.drain())
    card = service.simulator.create_card(MASTERCARD, **{"billing_details[name]": "Alice Liddell"})
    paid = service.call(
        "POST", f"/api/mobile-app/orders/{order_id}/pay",
        {"paymentToken": card, "savePaymentMethod": True}, user=user, headers=headers,
    )  # fmt: skip
    assert paid.status_code == 200, paid.text
    return order_id, card


def a_shop(url: str, simulator: Any) -> Any:
    return running_service(url, simulator, trusted_proxies="127.0.0.1")


def plant_traces(service: Running, user: str) -> None:
    async def work(tx: Any) -> None:
        await tx.execute("UPDATE users SET email = $2 WHERE id = $1", user, "alice@shop.example")
        await tx.execute(
            "UPDATE payment_attempts SET device_hash = $2 WHERE user_id = $1", user, DEVICE
        )

    service.run(service.context.db.transaction("test", work))


def test_an_export_has_everything_of_the_user_and_nothing_of_others(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        order_id, card = shop(service, "alice")
        others, _ = shop(service, "bob")
        plant_traces(service, "alice")
        secret = service.stripe("GET", f"/v1/payment_intents/{service.intent_of(order_id)}")
    text = users(database_url, stripe_simulator, "export", "alice", code=0).stdout
    found = json.loads(text)
    assert [order["id"] for order in found["orders"]] == [order_id]
    assert found["orders"][0]["details"]["notes"] == "ring twice"
    assert [row["stripe_payment_method_id"] for row in found["payment_methods"]] == [card]
    assert found["payments"][0]["state"] == "succeeded"
    assert "attempt.succeeded" in {row["kind"] for row in found["payment_events"]}
    for each in SECRETS:
        assert each in text
    assert others not in text
    assert secret["client_secret"] not in text
    done = users(database_url, stripe_simulator, "export", "nobody", code=1)
    assert "do not know the user nobody" in done.stderr


def test_an_erased_user_has_nothing_personal_left_and_the_books_still_balance(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        order_id, card = shop(service, "alice")
        customer = customer_of(service, "alice")
        plant_traces(service, "alice")
        fingerprint = service.stripe("GET", f"/v1/payment_methods/{card}")["card"]["fingerprint"]
    before = str(everything(database_url))
    assert all(each in before for each in (*SECRETS, DEVICE, fingerprint, customer))
    done = users(database_url, stripe_simulator, "erase", "alice", code=1)
    assert customer in done.stdout and "nothing was done" in done.stderr
    assert str(everything(database_url)) == before
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    after = everything(database_url)
    left = {
        (table, each)
        for table, rows in after.items()
        for each in (*SECRETS, DEVICE, fingerprint)
        if each in str(rows)
    }
    assert left == set()
    account = Account(stripe_simulator)
    assert account.get(f"customers/{customer}") == {
        "id": customer, "object": "customer", "deleted": True
    }  # fmt: skip
    account.pay(customer=account.customer(), payment_method=card, is_refused=True)
    with a_shop(database_url, stripe_simulator) as service:
        [order] = service.rows("SELECT status, amount_minor, items FROM orders")
        assert (order["status"], order["amount_minor"]) == ("paid", 44_000)
        assert "tea" in order["items"]
        assert service.order_view(order_id)["paymentStatus"] == "paid"
        assert service.charges(order_id) == 1


def test_metadata_of_an_erased_users_orders_stands_nowhere_and_is_told_to_nobody(
    database_url: str, stripe_simulator: Any
) -> None:
    """Nor in the merchant's answers that are kept under his keys, of the user's orders only."""
    with a_shop(database_url, stripe_simulator) as service:
        ids = {}
        for user in ("alice", "bob"):
            wanted = {
                "userId": user,
                "amountMinor": 500,
                "currency": "usd",
                "orderId": str(uuid4()),
            }
            wanted["metadata"] = {"gift": f"for a friend of {user}"}
            order_id = ids[user] = wanted["orderId"]
            assert service.merchant("POST", "/api/orders", wanted).status_code == 200
            keyed(service, f"/api/orders/{order_id}/cancel")
            path = f"/api/events?orderId={order_id}"
            [event] = service.merchant("GET", path).json()["data"]
            assert (event["data"]["userId"], event["data"]["metadata"]) == (
                user,
                wanted["metadata"],
            )
            keyed(service, f"/api/events/{event['id']}/resend")
    assert str(everything(database_url)).count("for a friend of alice") == 3
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    left = str(everything(database_url))
    assert (left.count("for a friend of alice"), left.count("for a friend of bob")) == (0, 3)
    with a_shop(database_url, stripe_simulator) as service:
        path = f"/api/events?orderId={ids['alice']}"
        [event] = service.merchant("GET", path).json()["data"]
        assert (event["data"]["userId"], event["data"]["metadata"]) == ("alice", {})


def keyed(service: Running, path: str) -> None:
    headers = {"Authorization": f"Bearer {MERCHANT_API_KEY}", "Idempotency-Key": "once"}
    assert requests.post(f"{service.url}{path}", headers=headers, timeout=40).status_code == 200


def test_another_user_is_untouched(database_url: str, stripe_simulator: Any) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        shop(service, "bob")
        customer = customer_of(service, "bob")
    bobs = users(database_url, stripe_simulator, "export", "bob", code=0).stdout
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    assert users(database_url, stripe_simulator, "export", "bob", code=0).stdout == bobs
    assert "deleted" not in Account(stripe_simulator).get(f"customers/{customer}")
    answers = Legacy(database_url).rows(f"SELECT scope FROM {own_table(database_url, 'answers')}")
    assert answers and all(scope.endswith(" user=bob") for (scope,) in answers)


def test_a_user_with_something_open_is_refused_and_keeps_everything(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        service.order("alice")
    before, seq = everything(database_url), stripe_simulator.last_requests(1)[0]["seq"]
    for words in ((), ("--yes",)):
        done = users(database_url, stripe_simulator, "erase", "alice", *words, code=2)
        assert "1 orders of the user are not over" in done.stderr
    assert everything(database_url) == before
    asked = stripe_simulator.requests(after=seq)
    assert {item["method"] for item in asked} == {"GET"}


def test_what_stripe_did_not_hear_is_gone_on_with_by_the_next_run(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        customer = customer_of(service, "alice")
        plant_traces(service, "alice")
    second = Account(stripe_simulator).customer("alice@shop.example", userId="alice")
    foreign = Account(stripe_simulator).customer("alice@shop.example", userId="bob")
    stripe_simulator.add_fault(
        kind="error_before", match={"method": "DELETE", "path": f"/v1/customers/{customer}"}
    )
    done = users(database_url, stripe_simulator, "erase", "alice", "--yes", code=2)
    assert f"did not delete {customer}" in done.stderr and "run it again" in done.stderr
    stripe_simulator.clear_faults()
    assert "alice@shop.example" in str(everything(database_url))
    done = users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    assert customer in done.stdout.splitlines()[0] and second in done.stdout
    again = users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    assert again.stdout.splitlines()[0] == "Customers that were deleted at Stripe: none."
    assert "Deleted there before: " in again.stdout and customer in again.stdout
    account = Account(stripe_simulator)
    for each, is_deleted in ((customer, True), (second, True), (foreign, False)):
        assert ("deleted" in account.get(f"customers/{each}")) is is_deleted, each
    assert "alice@shop.example" not in str(everything(database_url))


@contextmanager
def erasing(service: Running, user: str) -> Iterator[Future[Any]]:
    """An erasure that waits while Stripe deletes the user's customer, until the block ends."""
    path = f"/v1/customers/{customer_of(service, user)}"
    held = service.simulator.add_fault(kind="hold", match={"method": "DELETE", "path": path})
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(service.run, erase_user(service.context, user, is_sure=True))
        try:
            service.wait_until_struck(held)
            yield run
        finally:
            service.simulator.remove_fault(held)


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "being-made"])
def test_a_customer_that_is_made_while_stripe_deletes_the_first_is_deleted_by_the_next_run(
    database_url: str, stripe_simulator: Any, is_recorded: bool
) -> None:
    with a_shop(database_url, stripe_simulator) as service, ThreadPoolExecutor(1) as threads:
        shop(service, "alice")
        first = customer_of(service, "alice")
        plant_traces(service, "alice")
        with erasing(service, "alice") as run:
            create = {"method": "POST", "path": "/v1/customers"}
            held = stripe_simulator.add_fault(kind="hold", match=create)
            answer = threads.submit(save, service, stripe_simulator.create_card(MASTERCARD))
            service.wait_until_struck(held)
            if is_recorded:
                stripe_simulator.remove_fault(held)
                assert_success(answer.result())
        with pytest.raises(CannotErase, match=r"(being made|meanwhile); run it again"):
            run.result()
        stripe_simulator.clear_faults()
        assert_success(answer.result())
        second = customer_of(service, "alice")
    assert "alice@shop.example" in str(everything(database_url))
    done = users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    assert second in done.stdout.splitlines()[0]
    assert f"Deleted there before: {first}" in done.stdout
    account = Account(stripe_simulator)
    assert account.get("customers?email=alice@shop.example")["data"] == []
    left = str(everything(database_url))
    assert not any(each in left for each in (*SECRETS, DEVICE))


def test_an_order_that_is_made_while_stripe_deletes_the_customer_keeps_its_address(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        with erasing(service, "alice") as run:
            body = {
                "items": [{"productId": "tea", "quantity": 1}],
                "shippingAddress": {"line1": "2 Oak Street"},
            }
            order = assert_success(service.call("POST", "/api/mobile-app/orders", body))
        with pytest.raises(CannotErase, match="1 orders of the user are not over"):
            run.result()
        assert "Oak Street" in str(service.rows("SELECT details FROM orders"))
        service.run(service.context.background.drain())
        assert service.merchant("POST", f"/api/orders/{order['orderId']}/cancel").ok
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    assert "Oak Street" not in str(everything(database_url))


def test_an_order_that_begins_as_the_erasure_ends_keeps_its_address(
    database_url: str, stripe_simulator: Any
) -> None:
    """New orders do not wait for the user's lock: what was not over is not touched."""
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        shop(service, "bob")
        execute(service, "UPDATE orders SET status = 'pending' WHERE user_id = 'alice'")
        for user in ("alice", "bob"):
            service.run(
                service.context.db.transaction(
                    "test",
                    lambda tx, user=user: store.erase(tx, user, f" user={user}", " merchant"),
                )
            )
        rows = service.rows("SELECT user_id, details FROM orders ORDER BY user_id")
        assert ["Elm Street" in str(row["details"]) for row in rows] == [True, False]


def test_a_later_token_of_the_same_user_starts_anew(
    database_url: str, stripe_simulator: Any
) -> None:
    with a_shop(database_url, stripe_simulator) as service:
        shop(service, "alice")
        old = customer_of(service, "alice")
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    with a_shop(database_url, stripe_simulator) as service:
        order_id = service.order("alice")
        assert service.pay(order_id, "pm_card_visa").status_code == 200
        assert customer_of(service, "alice") != old
        methods = service.call("GET", "/api/mobile-app/payments/methods").json()["data"]
        assert methods == []


def test_a_late_event_of_stripe_brings_nothing_of_an_erased_users_card_back(
    database_url: str, stripe_simulator: Any
) -> None:
    """Stripe sends events again for days, and the operator may send them again himself."""
    with a_shop(database_url, stripe_simulator) as service:
        _, card = shop(service, "alice")
        method = service.stripe("GET", f"/v1/payment_methods/{card}")
    users(database_url, stripe_simulator, "erase", "alice", "--yes", code=0)
    with a_shop(database_url, stripe_simulator) as service:
        for kind in ("payment_method.updated", "payment_method.automatically_updated"):
            events.deliver(service, events.make_event(kind, method))
        assert events.drain(service) == 2
    after = str(everything(database_url))
    assert method["card"]["fingerprint"] not in after and "Alice Liddell" not in after


def test_settings_of_the_service_are_not_needed(sqlite_url: str, stripe_simulator: Any) -> None:
    assert len(reading(sqlite_url, stripe_simulator)) == 3 < len(environment("", ""))
    users(sqlite_url, stripe_simulator, "export", "nobody", code=1)


def test_with_a_hosts_table_only_our_column_is_cleared_whether_we_have_met_the_user_or_not(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 3)
    people = legacy.people()
    with a_shop(legacy.url, stripe_simulator) as service:
        shop(service, "1")
    met, not_met = legacy.customer_of("1"), Account(stripe_simulator).customer(userId="2")
    assert met
    legacy.set_customer("2", not_met)
    other = Account(stripe_simulator).customer(userId="3")
    legacy.set_customer("3", other)
    for user in "12":
        users(legacy.url, stripe_simulator, "erase", user, "--yes", code=0)
    assert [legacy.customer_of(user) for user in "123"] == [None, None, other]
    assert legacy.people() == people
    account = Account(stripe_simulator)
    for each, is_deleted in ((met, True), (not_met, True), (other, False)):
        assert ("deleted" in account.get(f"customers/{each}")) is is_deleted
    rows = legacy.rows(f"SELECT email FROM {own_table(legacy.url, 'users')} WHERE id = '1'")
    assert rows == [(None,)]


def test_a_user_whom_the_host_has_deleted_before_can_still_be_erased(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 2)
    with a_shop(legacy.url, stripe_simulator) as service:
        shop(service, "1")
    customer = legacy.customer_of("1")
    legacy.run("DELETE FROM users WHERE id = 1")
    users(legacy.url, stripe_simulator, "erase", "1", "--yes", code=0)
    assert "deleted" in Account(stripe_simulator).get(f"customers/{customer}")
    left = everything(legacy.url)
    assert not any(each in str(left) for each in (*SECRETS, "user1@shop.example"))
