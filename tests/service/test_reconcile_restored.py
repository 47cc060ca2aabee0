"""The database was restored from an older backup: what it has forgotten is found, adopted, and paid
once. The copy is a real one, a file of SQLite or a database made from a template."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from paidonce.reconcile import Kind
from proof.auditor import Asked, Order, judge, read_books, read_stripe
from support import events
from support.money_back import HOUR, IS_DISPUTED, IS_WARNED_OF, detail, listed
from support.planting import Shop, forgotten_charge
from support.service import GOOD, NEEDS_3DS, PRICE_MINOR, running_service

CREATE = {"method": "POST", "path": "/v1/payment_intents"}
CREATE_CUSTOMER = {"method": "POST", "path": "/v1/customers"}


@pytest.fixture
def copy_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """A copy of a database that nobody has open; its URL."""

    def copy(url: str) -> str:
        if url.startswith("sqlite"):
            path = url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copyfile(path, tmp_path / "backup.db")
            return f"sqlite:///{tmp_path / 'backup.db'}"
        server = request.getfixturevalue("postgres_server")
        name = server.create_database(urlsplit(url).path.lstrip("/"))
        request.addfinalizer(lambda: server.drop_database(name))
        return str(server.url(name))

    return copy


def unprepared_order(shop: Shop) -> str:
    """An order whose payment has no intent yet."""
    shop.service.simulator.add_fault(kind="rate_limit", match={**CREATE, "times": 5})
    order_id = shop.new_order()
    shop.service.simulator.clear_faults()
    assert shop.payment(order_id)["stripe_payment_intent_id"] is None
    return order_id


class Life:
    """The orders that the backup has seen half of."""

    def __init__(self, shop: Shop) -> None:
        """As far as the backup goes."""
        service = shop.service
        self.paid = shop.paid_order()
        self.prepared = shop.new_order()
        self.challenged = shop.new_order()
        answer = service.pay(self.challenged, shop.card(NEEDS_3DS))
        assert answer.json()["status"] == "requires_action"
        self.unprepared = unprepared_order(shop)
        service.simulator.add_fault(kind="rate_limit", match={**CREATE_CUSTOMER, "times": 5})
        self.of_new_user = shop.new_order("bob")
        service.simulator.clear_faults()
        assert shop.payment(self.of_new_user)["stripe_customer_id"] is None
        self.cards: dict[str, str] = {}
        self.payment_ids: dict[str, str] = {}

    def go_on(self, shop: Shop) -> None:
        """What the restored database knows nothing of."""
        for order_id, user in self.forgotten.items():
            self.cards[order_id] = shop.card()
            answer = shop.service.pay(order_id, self.cards[order_id], user=user)
            assert answer.json()["status"] == "success", answer.text
            self.payment_ids[order_id] = answer.json()["data"]["paymentId"]
        self.unknown = shop.paid_order("carol")

    @property
    def forgotten(self) -> dict[str, str]:
        orders = (self.prepared, self.challenged, self.unprepared)
        return {**dict.fromkeys(orders, "alice"), self.of_new_user: "bob"}


def test_a_restored_database_is_brought_up_to_date(
    database_url: str, stripe_simulator: Any, copy_of: Callable[[str], str]
) -> None:
    with running_service(database_url, stripe_simulator) as service:
        life = Life(Shop(service))
    backup = copy_of(database_url)
    with running_service(database_url, stripe_simulator) as service:
        life.go_on(Shop(service))
    charged = money(stripe_simulator)
    with running_service(backup, stripe_simulator) as service:
        shop = Shop(service)
        shop.pass_time()
        kinds = {finding.order_id: finding.kind for finding in shop.reconcile().findings}
        assert kinds == {
            life.prepared: Kind.CHARGED_NOT_PAID,
            life.challenged: Kind.FORGOTTEN_INTENT,
            life.unprepared: Kind.FORGOTTEN_INTENT,
            life.of_new_user: Kind.FORGOTTEN_INTENT,
            life.unknown: Kind.CHARGE_WITHOUT_ORDER,
        }
        fixed = {
            finding.order_id: finding.is_fixed for finding in shop.reconcile(fix=True).findings
        }
        assert fixed == {order_id: order_id != life.unknown for order_id in kinds}
        assert shop.reconcile(fix=True).counts.fixed == 0
        pay_again(shop, life)
        shop.pass_time()
        assert shop.reconcile().only().order_id == life.unknown
    assert money(stripe_simulator) == charged
    assert_auditor_agrees(backup, stripe_simulator, life)


@pytest.mark.parametrize("has_webhooks", [True, False], ids=["webhook", "look"])
def test_disputes_and_refunds_of_a_forgotten_payment_are_known_once_it_is_adopted(
    database_url: str, stripe_simulator: Any, copy_of: Callable[[str], str], has_webhooks: bool
) -> None:
    with running_service(database_url, stripe_simulator) as service:
        shop = Shop(service)
        disputed, warned_of, refunded = (unprepared_order(shop) for _ in range(3))
        recorded = shop.new_order()  # its intent is, and not that it was paid
    backup = copy_of(database_url)
    cards = {disputed: IS_DISPUTED, warned_of: IS_WARNED_OF, refunded: GOOD, recorded: GOOD}
    with running_service(database_url, stripe_simulator) as service:
        for order_id, number in cards.items():
            answer = service.pay(order_id, stripe_simulator.create_card(number))
            assert answer.json()["status"] == "success", answer.text
        for order_id in (refunded, recorded):
            intent_id = service.intent_of(order_id)
            service.stripe("POST", "/v1/refunds", payment_intent=intent_id, amount=500)
    with running_service(backup, stripe_simulator) as service:
        shop = Shop(service)
        if has_webhooks:
            for event in events.list_events(service):
                events.deliver(service, event)
        service.recover()
        assert shop.row("SELECT count(*) AS n FROM disputes")["n"] == 0
        shop.pass_time()
        found = shop.reconcile(fix=True).findings
        assert {finding.order_id for finding in found if finding.is_fixed} >= {*cards} - {recorded}
        service.recover(2 * HOUR)
        assert [each["orderId"] for each in listed(service, "/api/disputes")] == [disputed]
        assert told(shop, disputed) == ["order.paid", "dispute.opened"]
        for order_id in (refunded, recorded):
            assert told(shop, order_id) == ["order.paid", "order.refunded"]
            assert detail(service, order_id)["amountRefundedMinor"] == 500
        warnings = detail(service, warned_of)["fraudWarnings"]
        assert len(warnings) == (1 if has_webhooks else 0)  # Stripe lists none of a payment


@pytest.mark.parametrize("path", ["/v1/disputes", "/v1/refunds"])
def test_what_stripe_did_not_show_of_an_adopted_payment_is_said(
    sqlite_url: str, stripe_simulator: Any, path: str
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        order_id = forgotten_charge(shop).order_id
        shop.pass_time()
        stripe_simulator.add_fault(kind="error_before", match={"method": "GET", "path": path})
        finding = shop.reconcile(fix=True).only()
        assert shop.order(order_id)["status"] == "paid"
        assert not finding.is_fixed
        assert f"Stripe did not show its {path.rsplit('/', 1)[-1]}" in finding.done


def told(shop: Shop, order_id: str) -> list[str]:
    """What the merchant is told of an order, in its order."""
    rows = shop.service.rows(
        "SELECT kind FROM outbox WHERE order_id = $1 ORDER BY position", order_id
    )
    return [row["kind"] for row in rows]


def pay_again(shop: Shop, life: Life) -> None:
    """The app asks once more: everything is paid, under the id that it was told."""
    for order_id, user in life.forgotten.items():
        answer = shop.service.pay(order_id, shop.card(), user=user)
        assert answer.json()["status"] == "success", answer.text
        assert answer.json()["data"]["paymentId"] == life.payment_ids[order_id]
        assert shop.service.charges(order_id) == 1


def money(simulator: Any) -> dict[str, int]:
    groups = simulator.audit(group_by="order_id")["groups"]
    return {group["key"]: group["succeeded_charges"] for group in groups}


def assert_auditor_agrees(url: str, simulator: Any, life: Life) -> None:
    """Nothing is wrong with the orders that the books have."""

    def get(path: str) -> dict[str, Any]:
        answer = requests.get(f"{simulator.url}{path}", auth=(simulator.secret_key, ""), timeout=20)
        body: dict[str, Any] = answer.json()
        return body

    orders = [
        Order(order_id, user, PRICE_MINOR, "usd", frozenset({life.cards[order_id]}))
        for order_id, user in life.forgotten.items()
    ]
    asked = [Asked(order_id, "pay", card, 0) for order_id, card in life.cards.items()]
    asked = [ask for ask in asked if ask.order_id in life.forgotten]
    found = judge(read_stripe(get), read_books(url), orders, asked, is_settled=True)
    known = set(life.forgotten)
    assert [str(each) for each in found if each.order_id in known] == []
