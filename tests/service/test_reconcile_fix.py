"""`paidonce reconcile --fix` does what is safe, says what it did, and does nothing twice; it never
charges and never refunds."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from paidonce.domain.intent import Window
from paidonce.payments import restore
from paidonce.reconcile import Finding, Kind
from paidonce.store import payments
from support.planting import (
    FIXED,
    LEFT,
    PLANTS,
    Shop,
    charged_not_paid,
    forgotten_charge,
    forgotten_intent,
    orphan_of_a_race,
)
from support.service import NEEDS_3DS, running_service

HOUR = 3600


@pytest.fixture
def shop(database_url: str, stripe_simulator: Any) -> Iterator[Shop]:
    with running_service(database_url, stripe_simulator) as service:
        yield Shop(service)


@pytest.fixture
def sqlite_shop(sqlite_url: str, stripe_simulator: Any) -> Iterator[Shop]:
    with running_service(sqlite_url, stripe_simulator) as service:
        yield Shop(service)


def money(shop: Shop) -> dict[str, tuple[int, int, int]]:
    """What was charged and refunded, by the simulator's ledger."""
    groups = shop.service.simulator.audit(group_by="order_id")["groups"]
    return {
        group["key"]: (
            group["succeeded_charges"],
            group["amount_captured"],
            group["amount_refunded"],
        )
        for group in groups
    }


def writes(shop: Shop, after: int) -> set[str]:
    """What was asked of Stripe beside looking: the last word of every POST's path."""
    calls = shop.service.stripe_calls(after)
    return {path.rsplit("/", 1)[-1] for method, path in calls if method != "GET"}


def test_fix_brings_in_order_what_is_safe_and_leaves_the_rest(shop: Shop) -> None:
    fixed = [plant(shop) for plant in FIXED]
    left = [plant(shop) for plant in LEFT]
    shop.pass_time()
    before, seq = money(shop), shop.service.last_request()
    first = shop.reconcile(fix=True)
    for planted in fixed:
        [finding] = [f for f in first.findings if planted.is_told_by(f)]
        assert finding.is_fixed and finding.done, finding
    for planted in left:
        [finding] = [f for f in first.findings if planted.is_told_by(f)]
        assert not finding.is_fixed and "nothing" in finding.done, finding
    assert (first.counts.findings, first.counts.fixed) == (len(PLANTS), len(FIXED))
    assert writes(shop, seq) == {"cancel"}  # nothing is confirmed, created or refunded
    assert money(shop) == before

    shop.pass_time(600)
    seq = shop.service.last_request()
    again = shop.reconcile(fix=True)
    assert again.counts.fixed == 0
    assert writes(shop, seq) == set()
    # Two charges are recorded as surplus now, which the worker has not given back yet.
    rest = [f for f in again.findings if not any(p.is_told_by(f) for p in left)]
    assert {finding.order_id: finding.kind for finding in rest} == {
        fixed[1].order_id: Kind.SURPLUS_NOT_RETURNED,
        fixed[2].order_id: Kind.SECOND_CHARGE,
    }
    assert len(again.findings) == len(LEFT) + len(rest)


def test_reconciling_without_fix_only_reads(sqlite_shop: Shop) -> None:
    for plant in FIXED:
        plant(sqlite_shop)
    sqlite_shop.pass_time()
    seq = sqlite_shop.service.last_request()
    events = sqlite_shop.service.rows("SELECT id FROM payment_events ORDER BY id")
    first = sqlite_shop.reconcile()
    assert writes(sqlite_shop, seq) == set()
    assert sqlite_shop.service.rows("SELECT id FROM payment_events ORDER BY id") == events
    assert sqlite_shop.reconcile().findings == first.findings


def test_a_fix_is_in_the_history_of_its_order(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    kinds = {
        charged_not_paid: "payment.reconciled",
        orphan_of_a_race: "intent.orphan_canceled",
        forgotten_charge: "intent.adopted",
    }
    planted = {plant: plant(shop) for plant in kinds}
    shop.pass_time()
    shop.reconcile(fix=True)
    for plant, kind in kinds.items():
        assert shop.events(planted[plant].order_id).count(kind) == 1
    assert shop.intent(planted[orphan_of_a_race].stripe_id)["status"] == "canceled"
    for plant in (charged_not_paid, forgotten_charge):
        order_id = planted[plant].order_id
        assert shop.order(order_id)["status"] == "paid"
        assert "payment.succeeded" in shop.events(order_id)
        rows = shop.service.rows("SELECT kind FROM outbox WHERE order_id = $1", order_id)
        assert [row["kind"] for row in rows] == ["order.paid"]


def test_an_adopted_intent_is_the_one_that_is_paid(shop: Shop) -> None:
    planted = forgotten_intent(shop)
    shop.pass_time()
    finding = shop.reconcile(fix=True).only()
    assert finding.done == "adopted: it is the order's intent again"
    answer = shop.service.pay(planted.order_id, shop.card())
    assert answer.json()["status"] == "success"
    assert shop.service.intent_of(planted.order_id) == planted.stripe_id
    assert shop.service.charges(planted.order_id) == 1
    assert shop.intent(planted.stripe_id)["status"] == "succeeded"
    shop.pass_time()
    assert shop.reconcile().findings == []


def test_a_forgotten_challenge_that_is_completed_is_recorded_by_recovery(shop: Shop) -> None:
    order_id = shop.new_order()
    assert shop.service.pay(order_id, shop.card(NEEDS_3DS)).json()["status"] == "requires_action"
    intent_id = shop.service.intent_of(order_id)
    for table in ("payment_events", "payment_attempts", "payments"):
        shop.sql(f"DELETE FROM {table} WHERE order_id = $1", order_id)
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed
    shop.service.simulator.authenticate(intent_id)
    shop.service.recover(60)
    assert shop.order(order_id)["status"] == "paid"
    assert shop.service.charges(order_id) == 1


@pytest.mark.parametrize("has_row", [False, True], ids=["no row", "a row"])
def test_an_old_challenge_that_is_completed_after_its_adoption_is_recorded_by_recovery(
    shop: Shop, has_row: bool
) -> None:
    order_id, _ = adopted_challenge(shop, has_row=has_row)
    shop.service.recover(60)
    shop.service.recover(12 * HOUR)
    shop.service.simulator.authenticate(shop.service.intent_of(order_id))
    shop.service.recover(2 * HOUR)
    assert shop.order(order_id)["status"] == "paid"
    assert shop.service.charges(order_id) == 1


@pytest.mark.parametrize("is_away", [False, True], ids=["", "Stripe is away"])
def test_an_adopted_challenge_that_nobody_completes_is_ended(shop: Shop, is_away: bool) -> None:
    """A day after its adoption, or as soon as Stripe takes part again; then the order is paid."""
    order_id, intent_id = adopted_challenge(shop, has_row=True)
    shop.service.recover(60)
    assert shop.intent(intent_id)["status"] == "requires_action"
    if is_away:
        look = {"method": "GET", "path": "/v1/payment_intents/*"}
        shop.service.simulator.add_fault(kind="error_before", match=look)
        shop.service.recover(25 * HOUR)
        shop.service.simulator.clear_faults()
    shop.service.recover(25 * HOUR)
    assert shop.intent(intent_id)["status"] == "canceled"
    assert shop.payment(order_id)["state"] == "canceled"
    answer = shop.service.pay(order_id, shop.card())
    assert answer.json()["status"] == "success"
    assert shop.service.charges(order_id) == 1


def adopted_challenge(shop: Shop, *, has_row: bool) -> tuple[str, str]:
    """It waits for its card holder since two days, when the books begin to know of it again."""
    order_id = shop.new_order()
    assert shop.service.pay(order_id, shop.card(NEEDS_3DS)).json()["status"] == "requires_action"
    intent_id = shop.service.intent_of(order_id)
    shop.sql("DELETE FROM payment_events WHERE order_id = $1", order_id)
    shop.sql("DELETE FROM payment_attempts WHERE order_id = $1", order_id)
    if has_row:
        shop.sql(
            "UPDATE payments SET stripe_payment_intent_id = NULL, intent_params = NULL,"
            " intent_requested_at = NULL, next_sweep_at = NULL, next_look_at = NULL"
            " WHERE order_id = $1",
            order_id,
        )
    else:
        shop.sql("DELETE FROM payments WHERE order_id = $1", order_id)
    shop.pass_time(48 * HOUR)
    assert shop.reconcile(fix=True).only().is_fixed
    return order_id, intent_id


# --- what adoption refuses -----------------------------------------------------------------------


def _forget_payments(shop: Shop, order_id: str) -> None:
    """With the intent that was prepared, which nobody has any more."""
    shop.stripe("POST", f"/v1/payment_intents/{shop.service.intent_of(order_id)}/cancel")
    for table in ("payment_events", "payments"):
        shop.sql(f"DELETE FROM {table} WHERE order_id = $1", order_id)


def leave(shop: Shop, stripe_id: str) -> Finding:
    """What the run says about an intent that it must not touch."""
    shop.pass_time()
    seq = shop.service.last_request()
    [finding] = [f for f in shop.reconcile(fix=True).findings if f.stripe_id == stripe_id]
    assert finding.kind is Kind.FORGOTTEN_INTENT
    assert not finding.is_fixed
    assert writes(shop, seq) == set()
    rows = shop.service.rows(
        "SELECT id FROM payments WHERE stripe_payment_intent_id = $1", stripe_id
    )
    assert rows == []
    return finding


def test_a_forgotten_intent_that_disagrees_is_left(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    order_id = planted.order_id
    for change, back, word in (
        ("amount_minor = 1", "amount_minor = 44000", "amount"),
        ("currency = 'eur'", "currency = 'usd'", "currency"),
        ("status = 'canceled'", "status = 'pending'", "canceled"),
    ):
        shop.sql(f"UPDATE orders SET {change} WHERE id = $1", order_id)
        assert word in leave(shop, planted.stripe_id).done
        shop.sql(f"UPDATE orders SET {back} WHERE id = $1", order_id)
    customer = shop.row("SELECT stripe_customer_id FROM users WHERE id = 'alice'")
    shop.sql("UPDATE users SET stripe_customer_id = 'cus_y' WHERE id = 'alice'")
    assert "customer" in leave(shop, planted.stripe_id).done
    shop.sql("UPDATE users SET stripe_customer_id = $1", customer["stripe_customer_id"])
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed


def test_a_forgotten_intent_that_names_another_user_is_left(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    order_id = shop.new_order("bob")
    _forget_payments(shop, order_id)
    customer = shop.row("SELECT stripe_customer_id FROM users WHERE id = 'bob'")
    intent_id = shop.make_intent(order_id, customer=customer["stripe_customer_id"])
    assert "another user" in leave(shop, intent_id).done


def test_a_customer_that_was_forgotten_too_comes_back_if_it_is_the_users(
    sqlite_shop: Shop,
) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    shop.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = 'alice'")
    path, name = f"/v1/customers/{customer}", "metadata[user_id]"
    shop.stripe("POST", path, **{name: "somebody else"})
    assert "does not say" in leave(shop, planted.stripe_id).done
    shop.stripe("POST", path, **{name: "alice"})
    assert shop.reconcile(fix=True).only().is_fixed
    row = shop.row("SELECT stripe_customer_id FROM users WHERE id = 'alice'")
    assert row["stripe_customer_id"] == customer


def test_a_deleted_customer_does_not_come_back(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    shop.sql("UPDATE users SET stripe_customer_id = NULL WHERE id = 'alice'")
    shop.stripe("DELETE", f"/v1/customers/{customer}")
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed
    row = shop.row("SELECT stripe_customer_id FROM users WHERE id = 'alice'")
    assert row["stripe_customer_id"] is None
    assert shop.order(planted.order_id)["status"] == "paid"


def test_two_forgotten_charges_of_one_order_are_left(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    second = shop.make_intent(planted.order_id, customer=customer)
    shop.pass_time()
    findings = shop.reconcile(fix=True).findings
    assert {finding.stripe_id for finding in findings} == {planted.stripe_id, second}
    assert {finding.kind for finding in findings} == {Kind.FORGOTTEN_INTENT, Kind.SECOND_CHARGE}
    assert not any(finding.is_fixed for finding in findings)
    assert shop.order(planted.order_id)["status"] == "pending"


def test_a_forgotten_charge_older_than_the_window_counts_too(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    shop.service.simulator.advance_clock(3 * 86_400)
    shop.pass_time(3 * 86_400)
    second = shop.make_intent(planted.order_id, customer=customer)
    shop.pass_time()
    since = shop.service.clock.now() - timedelta(days=1)
    findings = shop.reconcile(fix=True, window=Window(since, None)).findings
    assert {finding.stripe_id for finding in findings} == {planted.stripe_id, second}
    assert not any(finding.is_fixed for finding in findings)


def test_a_forgotten_charge_that_was_given_back_does_not_refuse_its_order_for_ever(
    sqlite_shop: Shop,
) -> None:
    """The order was paid and refunded after the backup: that is what its user is told."""
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    shop.stripe("POST", "/v1/refunds", payment_intent=planted.stripe_id)
    restart(shop)
    answer = shop.service.pay(planted.order_id, shop.card())
    assert answer.json()["code"] == "payment_processing"
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed
    answer = shop.service.pay(planted.order_id, shop.card())
    assert answer.json()["code"] == "order_not_payable"
    assert shop.service.charges(planted.order_id) == 1
    assert shop.reconcile().findings == []


def test_the_charge_that_was_not_given_back_is_the_orders(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    returned = shop.make_intent(planted.order_id, customer=customer)
    shop.stripe("POST", "/v1/refunds", payment_intent=returned)
    shop.pass_time()
    assert shop.reconcile(fix=True).only().stripe_id == planted.stripe_id
    assert shop.service.pay(planted.order_id, shop.card()).json()["status"] == "success"
    assert shop.reconcile().findings == []


def restart(shop: Shop) -> None:
    """What a process does at its start."""
    context = shop.service.context
    context.gate.close(shop.service.clock.now())
    assert shop.service.run(restore.ensure_compared(context, 5))


def test_two_forgotten_intents_without_a_charge_are_left(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_intent(shop)
    customer = shop.intent(planted.stripe_id)["customer"]
    shop.make_intent(planted.order_id, customer=customer, is_charged=False)
    assert "2 of them" in leave(shop, planted.stripe_id).done


def test_the_only_charge_among_forgotten_intents_is_adopted(sqlite_shop: Shop) -> None:
    """And the one that lost a race for the same payment is canceled in the same run."""
    shop = sqlite_shop
    order_id = shop.new_order()
    payment = shop.payment(order_id)
    intent_id = str(payment["stripe_payment_intent_id"])
    loser = shop.make_intent(
        order_id,
        is_charged=False,
        customer=payment["stripe_customer_id"],
        metadata={"payment_id": payment["id"]},
    )
    shop.charge(intent_id)
    for table in ("payment_events", "payments"):
        shop.sql(f"DELETE FROM {table} WHERE order_id = $1", order_id)
    shop.pass_time()
    told = {f.stripe_id: (f.kind, f.done) for f in shop.reconcile(fix=True).findings}
    assert told == {
        intent_id: (Kind.FORGOTTEN_INTENT, "adopted and recorded: the order is paid"),
        loser: (Kind.ORPHAN_INTENT, "canceled at Stripe"),
    }
    assert shop.payment(order_id)["id"] == payment["id"]  # under the id that the app was told
    assert shop.reconcile(fix=True).findings == []


def test_an_order_that_has_begun_anew_is_not_overwritten(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    anew = shop.make_intent(
        planted.order_id,
        is_charged=False,
        customer=shop.intent(planted.stripe_id)["customer"],
        metadata={"payment_id": f"pay_{0:032x}"},
    )
    _record(shop, planted.order_id, f"pay_{0:032x}", anew)
    assert "another intent" in leave(shop, planted.stripe_id).done
    shop.stripe("POST", f"/v1/payment_intents/{anew}/cancel")  # a person did what was advised
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed
    assert shop.order(planted.order_id)["status"] == "paid"
    assert shop.payment(planted.order_id)["generation"] == 2


def test_a_payment_begun_anew_without_an_intent_gives_way(sqlite_shop: Shop) -> None:
    """It was opened after the restore, and Stripe was never reached for it."""
    shop = sqlite_shop
    planted = forgotten_charge(shop)
    _record(shop, planted.order_id, "pay_anew", None)
    shop.pass_time()
    assert shop.reconcile(fix=True).only().is_fixed
    states = {
        row["id"]: row["state"]
        for row in shop.service.rows(
            "SELECT id, state FROM payments WHERE order_id = $1", planted.order_id
        )
    }
    assert states.pop("pay_anew") == "canceled"
    assert list(states.values()) == ["succeeded"]


def test_a_recorded_intent_is_never_written_over(shop: Shop) -> None:
    payment = shop.payment(shop.new_order())
    now = shop.service.clock.now()
    for change in ("state = 'live'", "state = 'canceled', stripe_payment_intent_id = NULL"):
        shop.sql(f"UPDATE payments SET {change} WHERE id = $1", payment["id"])
        before = shop.payment(payment["order_id"])
        is_adopted = shop.service.run(
            shop.service.context.db.transaction(
                "adopted",
                lambda tx: payments.adopt_intent(
                    tx, payment["id"], payment["stripe_customer_id"], "{}", "pi_other", now
                ),
            )
        )
        assert is_adopted is False
        assert shop.payment(payment["order_id"]) == before


def _record(shop: Shop, order_id: str, payment_id: str, intent_id: str | None) -> None:
    other = shop.new_order()
    shop.sql(
        "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor, currency,"
        " confirmation_method, method_policy, stripe_version, stripe_customer_id, intent_params,"
        " stripe_payment_intent_id, created_at)"
        " SELECT $2, $3, user_id, 1, state, amount_minor, currency, confirmation_method,"
        " method_policy, stripe_version, stripe_customer_id, intent_params, $4, created_at"
        " FROM payments WHERE order_id = $1",
        other,
        payment_id,
        order_id,
        intent_id,
    )
