"""What the first release wrote is there after every later migration, and goes on being worked on.

The rows are those of its program: today's makes the same ones, and a downgrade to its schema takes
away what came later. Rows to which no short way leads are written by hand."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from migration.test_backfill import with_users
from paidonce.store import migrations
from paidonce.store.migrations import run as runner
from support.envelope import assert_error, assert_requires_action, assert_success
from support.legacy import Legacy, own_table
from support.service import (
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    running_service,
)

FIRST = "0003"
AT = "'2026-05-27 10:00:00+00:00'"
METHODS = "/api/mobile-app/payments/methods"
BY_HAND = (
    ("comparisons", "id, began_at", f"'c', {AT}"),
    ("customer_adoption", "id, last_customer_id, started_at", f"1, 'cus_1', {AT}"),
    (
        "forgotten_intents",
        "stripe_payment_intent_id, order_id, payment_id, found_at, next_look_at, dismissed_at",
        f"'pi_gone', 'o', 'p', {AT}, {AT}, {AT}",
    ),
    (
        "stripe_events",
        "id, type, object_id, state, tries, next_try_at, event_created_at, received_at, worked_at",
        f"'evt_1', 'charge.succeeded', 'ch_1', 'done', 1, {AT}, {AT}, {AT}, {AT}",
    ),
)
REFUND = (
    "id, order_id, payment_id, cause, state, amount_minor, currency, stripe_version, params,"
    " stripe_refund_id, created_at, finished_at"
)


@dataclass
class Shop:
    """Orders by what became of them under the first release."""

    orders: dict[str, str] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)


def order_with_key(service: Running) -> Any:
    body = {"items": [{"productId": "tea", "quantity": 1}], "notes": "ring twice"}
    headers = {"Idempotency-Key": "k-1"}
    answer = service.call("POST", "/api/mobile-app/orders", body, user="1", headers=headers)
    return assert_success(answer)


def live(service: Running, legacy: Legacy) -> Shop:
    """A day of the shop."""
    shop = Shop()
    numbers = {"paid": GOOD, "twice": GOOD, "declined": DECLINED_AT_CHARGE, "action": NEEDS_3DS}
    for name, number in numbers.items():
        shop.orders[name] = service.order("1")
        shop.cards[name] = service.simulator.create_card(number)
        answer = service.pay(shop.orders[name], shop.cards[name], user="1", save=name == "paid")
        shop.answers[name] = answer.json()
    shop.answers["fresh"] = order_with_key(service)
    shop.orders["fresh"] = shop.answers["fresh"]["orderId"]
    service.run(service.context.background.drain())
    bad = service.simulator.create_card(DECLINED_AT_ATTACH)
    refused = service.call("POST", METHODS, {"stripePaymentMethodId": bad}, user="1")
    assert_error(refused, 402, "card_declined")
    for table, names, values in BY_HAND:
        legacy.run(f"INSERT INTO {own_table(legacy.url, table)} ({names}) VALUES ({values})")
    refund = (
        f"SELECT 're-1', order_id, id, 'surplus', 'succeeded', 100, 'usd', stripe_version, '{{}}',"
        f" 're_1', {AT}, {AT} FROM {own_table(legacy.url, 'payments')}"
        f" WHERE order_id = '{shop.orders['twice']}'"
    )
    legacy.run(f"INSERT INTO {own_table(legacy.url, 'refunds')} ({REFUND}) {refund}")
    return shop


def down(url: str) -> None:
    runner._with_connection(url, lambda link: runner._alembic(link, "downgrade", FIRST))


def rows(legacy: Legacy, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Every row of every table, in these columns."""
    return {
        table: sorted(str(row) for row in legacy.rows(f"SELECT {', '.join(names)} FROM {table}"))
        for table, names in columns.items()
    }


@pytest.fixture
def old(empty_database_url: str, stripe_simulator: Any) -> Iterator[tuple[Legacy, Shop]]:
    """A database as the first release left it."""
    legacy = with_users(empty_database_url, 2)
    with running_service(legacy.url, stripe_simulator) as service:
        shop = live(service, legacy)
    down(legacy.url)
    yield legacy, shop


def test_every_row_of_the_first_release_is_kept_and_worked_on(
    old: tuple[Legacy, Shop], stripe_simulator: Any
) -> None:
    legacy, shop = old
    assert migrations.current(legacy.url) == FIRST
    columns = {
        table: [name for name, _ in legacy.columns(table)]
        for table in legacy.tables()
        if not table.startswith("sqlite_") and not table.endswith("alembic_version")
    }
    before = rows(legacy, columns)
    assert [table for table, found in before.items() if not found] == []
    migrations.upgrade(legacy.url)
    assert rows(legacy, columns) == before
    with running_service(legacy.url, stripe_simulator) as service:
        go_on(service, shop)


def go_on(service: Running, shop: Shop) -> None:
    """Today's program on those rows: each order ends as its client was told, or paid, once."""
    orders, cards = shop.orders, shop.cards
    sent = service.last_request()
    again = assert_success(service.pay(orders["paid"], cards["paid"], user="1"))
    assert again == shop.answers["paid"]["data"]
    assert order_with_key(service) == shop.answers["fresh"]
    assert [path for method, path in service.stripe_calls(sent) if method == "POST"] == []
    asked = assert_requires_action(service.pay(orders["action"], cards["action"], user="1"))
    assert asked == shop.answers["action"]["data"]
    service.simulator.authenticate(asked["paymentIntentId"])
    assert_success(service.confirm(orders["action"], user="1"))
    assert_success(service.pay(orders["declined"], cards["twice"], user="1"))
    [card] = assert_success(service.call("GET", METHODS, user="1"))
    assert (card["stripePaymentMethodId"], card["isDefault"]) == (cards["paid"], True)
    assert_success(service.pay(orders["fresh"], card["id"], user="1"))
    listed = assert_success(service.call("GET", "/api/mobile-app/orders", user="1"))
    assert {order["id"] for order in listed} == set(orders.values())
    assert all(order["status"] == "paid" for order in listed), listed
    assert {name: service.charges(order) for name, order in orders.items()} == dict.fromkeys(
        orders, 1
    )
