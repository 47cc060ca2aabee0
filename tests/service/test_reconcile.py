"""`paidonce reconcile`: each planted fault is found, alone and among all others, and nothing is
found where nothing is wrong; `--fix` does what is safe, once."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from paidonce.domain.intent import Window
from paidonce.observability.steps import set_step_hook
from paidonce.reconcile import CannotCompare, Finding, Kind, Reconcile
from paidonce.store.scratch import Scratch
from support.planting import (
    PLANTS,
    Plant,
    Shop,
    charge_without_order,
    charged_not_paid,
    deleted_customer,
    foreign_charge,
    foreign_charge_without_intent,
    orphan_of_a_race,
    other_customer_than_recorded,
    paid_by_an_unknown_intent,
    second_charge,
    surplus_on_a_paid_order,
)
from support.service import (
    DECLINED_AT_CHARGE,
    NEEDS_3DS,
    WEBHOOK_SECRET,
    running_service,
)


@pytest.fixture
def shop(database_url: str, stripe_simulator: Any) -> Iterator[Shop]:
    with running_service(database_url, stripe_simulator) as service:
        yield Shop(service)


CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}
PARTS = 4


def make_busy(shop: Shop) -> None:
    """Everything that a healthy shop has."""
    service = shop.service
    shop.paid_order()
    shop.paid_order("bob")
    declined = shop.new_order()
    assert service.pay(declined, shop.card(DECLINED_AT_CHARGE)).status_code == 402
    assert service.pay(declined, shop.card()).status_code == 200
    assert service.pay(shop.new_order(), shop.card(DECLINED_AT_CHARGE)).status_code == 402
    pending = shop.new_order()
    assert service.pay(pending, shop.card(NEEDS_3DS)).json()["status"] == "requires_action"
    other_card = shop.new_order()
    service.pay(other_card, shop.card(NEEDS_3DS))
    assert service.pay(other_card, shop.card()).json()["status"] == "success"
    canceled = shop.new_order()
    assert service.merchant("POST", f"/api/orders/{canceled}/cancel").status_code == 200
    refund_as_stripe_tells(shop, shop.paid_order(), amount=10_000)
    refund_as_stripe_tells(shop, shop.paid_order())
    shop.new_order("carol")
    service.order("dave", is_prepared=False)
    service.run(service.context.background.drain())


def refund_as_stripe_tells(shop: Shop, order_id: str, **form: Any) -> None:
    service = shop.service
    service.simulator.set_webhook_target(f"{service.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    shop.stripe("POST", "/v1/refunds", payment_intent=service.intent_of(order_id), **form)
    service.simulator.flush_webhooks()
    service.simulator.set_webhook_target(None)
    service.work()
    assert shop.order(order_id)["amount_refunded_minor"] == form.get("amount", 44_000)


@contextlib.contextmanager
def closing_run(
    shop: Shop, *, is_stopped: bool = False
) -> Iterator[tuple[Reconcile, list[Finding]]]:
    scratch, findings, stop = Scratch(), list[Finding](), asyncio.Event()
    if is_stopped:
        stop.set()
    context = shop.service.context
    yield (
        Reconcile(context, scratch, window=Window(), show=findings.append, stop=stop),
        findings,
    )
    scratch.close()


def stripe_time(shop: Shop) -> datetime:
    """As the last thing that was made says it."""
    latest = shop.stripe("GET", "/v1/events", limit=1)["data"][0]
    return datetime.fromtimestamp(latest["created"], UTC)


def make_foreign(shop: Shop) -> None:
    """Another environment and an old server on the same Stripe account."""
    other = {"namespace": "f" * 32}
    shop.make_intent("an-order-of-staging", metadata=other)
    shop.make_intent("an-order-of-staging", metadata=other, is_charged=False)
    shop.make_intent(shop.orders[0], metadata=other, is_charged=False)
    shop.stripe("POST", "/v1/charges", amount=500, currency="usd", source="tok_visa")
    shop.stripe("POST", "/v1/customers", **{"metadata[user_id]": "alice", **_metadata(other)})
    shop.stripe("POST", "/v1/customers", email="alice@shop.example")


def _metadata(values: dict[str, str]) -> dict[str, str]:
    return {f"metadata[{name}]": text for name, text in values.items()}


# --- found, and nothing found --------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [0, 4, 10, 120])
def test_nothing_is_found_in_a_healthy_busy_shop(
    sqlite_url: str, stripe_simulator: Any, minutes: int
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        make_busy(shop)
        make_foreign(shop)
        shop.pass_time(minutes * 60)
        result = shop.reconcile()
    assert result.findings == []
    if minutes < 5:
        assert (result.counts.intents, result.counts.charges) == (0, 0)
    else:
        assert (result.counts.foreign, result.counts.customers) == (3, 6)
        assert result.counts.intents >= 13
        assert result.counts.payments >= 10


def test_all_faults_together_are_found_in_a_busy_shop_and_nothing_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On pages so small that every list has several."""
    for name in ("gateway.lists.PAGE_SIZE", "reconcile.run.PAGE", "store.scratch.BATCH"):
        monkeypatch.setattr(f"paidonce.{name}", 3)
    make_busy(shop)
    planted = [plant(shop) for plant in PLANTS]
    make_foreign(shop)
    shop.pass_time()
    findings = shop.reconcile().findings
    for each in planted:
        assert len([finding for finding in findings if each.is_told_by(finding)]) == 1, each
    assert len(findings) == len(planted)
    assert {finding.kind for finding in findings} == set(Kind)


@pytest.mark.parametrize("part", range(PARTS))
def test_each_planted_fault_alone_is_told_by_its_name(
    sqlite_url: str, stripe_simulator: Any, part: int
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        shop.paid_order("frank")
        shop.pass_time()
        plant_one_by_one(shop, PLANTS[part::PARTS])


def plant_one_by_one(shop: Shop, plants: list[Plant]) -> None:
    told: list[Finding] = []
    for plant in plants:
        planted = plant(shop)
        shop.pass_time(600)
        findings = shop.reconcile().findings
        fresh = [finding for finding in findings if finding not in told]
        assert [planted.is_told_by(finding) for finding in fresh] == [True], (plant, fresh)
        assert fresh[0].detail and fresh[0].advice and not fresh[0].done
        assert len(findings) == len(told) + 1  # the earlier ones are all told again
        told = findings


def test_what_was_given_back_is_no_finding(sqlite_url: str, stripe_simulator: Any) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        for plant in (second_charge, foreign_charge, charge_without_order, surplus_on_a_paid_order):
            shop.stripe("POST", "/v1/refunds", payment_intent=plant(shop).stripe_id)
        charge = foreign_charge_without_intent(shop)
        shop.stripe("POST", "/v1/refunds", charge=charge.stripe_id)
        shop.pass_time()
        assert shop.reconcile().findings == []


def test_one_order_alone_is_compared(shop: Shop) -> None:
    for plant in (charged_not_paid, second_charge, orphan_of_a_race, paid_by_an_unknown_intent):
        planted, before = plant(shop), shop.service.last_request()
        shop.pass_time(7200)
        result = shop.reconcile(order_id=planted.order_id)
        assert planted.is_told_by(result.only())
        assert len(shop.service.stripe_calls(before)) < 10
    with pytest.raises(CannotCompare, match="not in our books"):
        shop.reconcile(order_id=str(uuid4()))


def test_a_window_leaves_out_what_is_older_and_what_is_younger(shop: Shop) -> None:
    old = charged_not_paid(shop)
    shop.service.simulator.advance_clock(3 * 86_400)
    shop.pass_time(3 * 86_400)
    late = shop.new_order()
    time.sleep(1.1)  # Stripe's times are whole seconds
    young = charged_not_paid(shop)
    shop.pass_time()
    now = stripe_time(shop)
    day = timedelta(days=1)
    assert {f.stripe_id for f in shop.reconcile().findings} == {old.stripe_id, young.stripe_id}
    since = shop.reconcile(window=Window(now - day, None))
    assert young.is_told_by(since.only()) and since.counts.users == 0
    assert old.is_told_by(shop.reconcile(window=Window(None, now - day)).only())
    # A charge of the window whose intent is older than it.
    shop.charge(shop.service.intent_of(late))
    charged = stripe_time(shop)
    told = shop.reconcile(window=Window(charged - timedelta(seconds=1), None)).findings
    assert shop.service.intent_of(late) in {finding.stripe_id for finding in told}


def test_a_deleted_customer_of_an_intent_in_the_window_is_found(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        planted = deleted_customer(shop)
        shop.pass_time()
        result = shop.reconcile(window=Window(stripe_time(shop) - timedelta(hours=1), None))
        assert planted.is_told_by(result.only())
        assert result.counts.users == 0  # they are walked through only in a full run


# --- in flight -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "is_found"), [(4 * 60, False), (6 * 60, True)])
def test_a_charge_of_the_last_minutes_is_still_on_its_way(
    sqlite_url: str, stripe_simulator: Any, seconds: float, is_found: bool
) -> None:
    """It is the charge's age that counts: the intent was made long before."""
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        order_id = shop.new_order()
        stripe_simulator.advance_clock(7200)
        shop.pass_time(7200)
        shop.charge(service.intent_of(order_id))
        shop.pass_time(seconds)
        assert bool(shop.reconcile().findings) is is_found


@pytest.mark.parametrize(("minutes", "is_found"), [(30, False), (61, True)])
def test_a_surplus_that_policy_has_time_for_is_no_finding(
    sqlite_url: str, stripe_simulator: Any, minutes: float, is_found: bool
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        surplus_on_a_paid_order(shop)
        shop.pass_time(minutes * 60)
        assert bool(shop.reconcile().findings) is is_found


@pytest.mark.parametrize(("minutes", "is_found"), [(30, False), (61, True)])
def test_an_attempt_that_recovery_has_time_for_is_no_finding(
    sqlite_url: str, stripe_simulator: Any, minutes: float, is_found: bool
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        order_id = shop.new_order()
        path = "/v1/payment_intents/*"
        for match in (
            {"method": "POST", "path": f"{path}/confirm"},
            {"method": "GET", "path": path},
        ):
            stripe_simulator.add_fault(kind="drop_response", match=match)
        assert service.pay(order_id, shop.card()).status_code == 409
        stripe_simulator.clear_faults()
        assert service.charges(order_id) == 1
        shop.pass_time(minutes * 60)
        findings = shop.reconcile().findings
        assert [f.kind for f in findings] == ([Kind.CHARGED_NOT_PAID] if is_found else [])


def test_a_payment_made_during_the_run_is_no_finding(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    """Stripe's page is older than what the books say meanwhile, so Stripe is asked once more."""
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        shop.new_order()
        page = service.run(service.context.gateway.list_expanded_intents_page(Window(), None, 20))
        assert service.pay(shop.orders[0], shop.card()).status_code == 200
        shop.pass_time()
        with closing_run(shop) as (run, findings):
            service.run(run.compare_page(page.items))
            assert findings == []
            shop.sql("UPDATE payments SET stripe_customer_id = 'cus_x'")
            service.run(run.compare_page(page.items))
            assert [finding.kind for finding in findings] == [Kind.WRONG_CUSTOMER]


def test_only_what_both_looks_found_is_told(sqlite_url: str, stripe_simulator: Any) -> None:
    """Between Stripe's second answer and the look at the books, the order is paid."""
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        planted = other_customer_than_recorded(shop, is_paid=False)
        shop.pass_time()

        def pay(name: str, when: str) -> None:
            if (name, when) == ("stripe.retrieve_intent", "after"):
                path = sqlite_url.removeprefix("sqlite:///")
                with contextlib.closing(sqlite3.connect(path, timeout=5)) as books, books:
                    books.execute("UPDATE paidonce_payments SET state = 'succeeded'")
                    books.execute("UPDATE paidonce_orders SET status = 'paid'")

        set_step_hook(pay)
        try:
            findings = shop.reconcile().findings
        finally:
            set_step_hook(None)
        assert shop.order(planted.order_id)["status"] == "paid"
        assert [finding.kind for finding in findings] == [Kind.WRONG_CUSTOMER]


def test_a_customer_that_was_replaced_meanwhile_is_no_finding(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        deleted_customer(shop)
        shop.pass_time()

        def replace(name: str, when: str) -> None:
            if (name, when) == ("stripe.retrieve_customer", "after"):
                path = sqlite_url.removeprefix("sqlite:///")
                with contextlib.closing(sqlite3.connect(path, timeout=5)) as books, books:
                    books.execute("UPDATE paidonce_users SET stripe_customer_id = NULL")

        set_step_hook(replace)
        try:
            assert shop.reconcile().findings == []
        finally:
            set_step_hook(None)


def test_a_refund_of_the_last_minutes_is_still_on_its_way(
    sqlite_url: str, stripe_simulator: Any
) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        order_id = shop.paid_order()
        stripe_simulator.advance_clock(7200)
        shop.pass_time(7200)
        form = {"payment_intent": service.intent_of(order_id), "amount": 100}
        shop.stripe("POST", "/v1/refunds", **form)
        assert shop.reconcile().findings == []
        shop.pass_time(600)
        assert shop.reconcile().only().kind is Kind.REFUND_NOT_RECORDED


def test_a_run_that_is_told_to_stop_says_so(sqlite_url: str, stripe_simulator: Any) -> None:
    with running_service(sqlite_url, stripe_simulator) as service:
        shop = Shop(service)
        with closing_run(shop, is_stopped=True) as (run, _), pytest.raises(CannotCompare):
            service.run(run.run())
