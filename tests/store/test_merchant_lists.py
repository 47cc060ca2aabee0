"""Every query of the merchant's lists is led by an index and reads no more than its page, on both
databases, when the tables are large."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paidonce.domain.merchant import PAYMENT_STATUSES, OrderFilter, PaymentFilter
from paidonce.store import merchant_lists
from paidonce.store.engine import Database, Transaction

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ORDERS = 3_000
"""Enough that a plan by a scan would be the cheaper one only where no index leads."""
BEFORE = (NOW + timedelta(minutes=ORDERS // 2), "order-x")
USER, SINCE = "user-7", NOW + timedelta(minutes=5)
CAN_SORT_A_FEW = "processing", "requires_action"
"""Of what is under way at one moment, found by the attempts that are live."""


async def fill(tx: Transaction) -> None:
    """Mostly paid orders; every 60th payment is of one of the other states."""
    for user in range(50):
        await tx.execute("INSERT INTO users (id, created_at) VALUES ($1, $2)", f"user-{user}", NOW)
    for i in range(ORDERS):
        at = NOW + timedelta(minutes=i)
        user, state = f"user-{i % 50}", _state(i)
        await tx.execute(
            "INSERT INTO orders (id, user_id, order_number, amount_minor, currency, status, items,"
            " details, metadata, created_at) VALUES ($1, $2, $3, 100, 'usd', $4, '[]', '{}', '{}',"
            " $5)",
            f"order-{i}",
            user,
            f"N-{i}",
            "paid" if state in ("succeeded", "refunded") else "pending",
            at,
        )
        await tx.execute(
            "INSERT INTO payments (id, order_id, user_id, generation, state, amount_minor,"
            " currency, confirmation_method, method_policy, stripe_version,"
            " stripe_payment_intent_id, amount_refunded_minor, created_at)"
            " VALUES ($1, $2, $3, 1, $4, 100, 'usd', 'automatic', 'attach', 'v', $5, $6, $7)",
            f"pay-{i}",
            f"order-{i}",
            user,
            {"refunded": "succeeded"}.get(state, state if "-" not in state else "live"),
            f"pi_{i}",
            100 if state == "refunded" else 0,
            at,
        )
        await tx.execute(
            "INSERT INTO payment_attempts (id, payment_id, order_id, user_id, n, source, state,"
            " requested_method_id, is_saving_method, is_single_use, stripe_version, sends,"
            " lease_owner, lease_until, next_check_at, client_address, created_at)"
            " VALUES ($1, $2, $3, $4, 1, 'server', $5, 'pm_1', FALSE, FALSE, 'v', 1, '', $6, $6,"
            " '', $6)",
            f"attempt-{i}",
            f"pay-{i}",
            f"order-{i}",
            user,
            state.removeprefix("live-") if "-" in state else "succeeded",
            at,
        )


def _state(i: int) -> str:
    others = ("live-open", "live-action", "live-declined", "authorized", "refunded", "canceled")
    return others[i // 60 % len(others)] if i % 60 == 0 else "succeeded"


async def plan_of(db: Database, query: tuple[str, list[Any]], *, is_sqlite: bool) -> str:
    """PostgreSQL sorts a few rows rather than follow an index; here it may only where it must."""
    sql, args = query

    async def explain(tx: Transaction) -> list[Any]:
        if is_sqlite:
            return await tx.fetch(f"EXPLAIN QUERY PLAN {sql}", *args)
        for way in ("sort", "bitmapscan"):
            await tx.execute(f"SET LOCAL enable_{way} = off")
        return await tx.fetch(f"EXPLAIN {sql}", *args)

    rows = await db.transaction("explain", explain)
    return "\n".join(str(value) for row in rows for value in row.values())


def assert_led_by_an_index(plan: str, what: object, *, may_sort: bool) -> None:
    scans = [
        line
        for line in plan.splitlines()
        if (
            "SCAN" in line and "INDEX" not in line and "CONSTANT" not in line and "LIST" not in line
        )
        or "Seq Scan" in line
    ]
    assert not scans, (what, plan)
    is_sorted = "TEMP B-TREE" in plan or "Sort" in plan
    assert may_sort or not is_sorted, (what, plan)


@pytest.fixture
async def large(db: Database, database_url: str) -> tuple[Database, bool]:
    is_sqlite = database_url.startswith("sqlite")
    await db.transaction("fill", fill)
    if not is_sqlite:
        for table in ("orders", "payments", "payment_attempts", "payment_methods"):
            await db.transaction("analyze", lambda tx, name=table: tx.execute(f"ANALYZE {name}"))
    return db, is_sqlite


async def test_every_list_is_led_by_an_index(large: tuple[Database, bool]) -> None:
    db, is_sqlite = large
    orders = [
        OrderFilter(),
        OrderFilter(user_id=USER),
        OrderFilter(status="pending"),
        OrderFilter(status="paid", created_from=SINCE),
        OrderFilter(order_number="N-77"),
        OrderFilter(created_from=SINCE, created_to=SINCE + timedelta(days=1)),
    ]
    for before in (None, BEFORE):
        for wanted in orders:
            plan = await plan_of(
                db, merchant_lists.orders_query(wanted, 21, before), is_sqlite=is_sqlite
            )
            is_one = wanted.order_number is not None
            assert_led_by_an_index(plan, wanted, may_sort=is_one)
        payments = [
            PaymentFilter(),
            PaymentFilter(user_id=USER),
            PaymentFilter(order_id="order-77"),
            PaymentFilter(order_number="N-77"),
            PaymentFilter(stripe_payment_intent_id="pi_77"),
            PaymentFilter(created_from=SINCE),
            *[PaymentFilter(status=status) for status in PAYMENT_STATUSES],
        ]
        for one in payments:
            plan = await plan_of(
                db, merchant_lists.payments_query(one, 21, before), is_sqlite=is_sqlite
            )
            is_few = (
                one.order_id or one.order_number or one.stripe_payment_intent_id
            ) is not None or one.status in CAN_SORT_A_FEW
            assert_led_by_an_index(plan, one, may_sort=is_few)


async def test_each_status_finds_its_own_and_together_they_find_all(
    large: tuple[Database, bool],
) -> None:
    db, _ = large
    found: dict[str, list[str]] = {}
    for status in PAYMENT_STATUSES:
        wanted = PaymentFilter(status=status)
        rows = await db.read(
            lambda tx, one=wanted: merchant_lists.list_payments(tx, one, ORDERS, None)
        )
        found[status] = [row["id"] for row in rows]
    assert sorted(each for ids in found.values() for each in ids) == sorted(
        f"pay-{i}" for i in range(ORDERS)
    )
    for status, state in (
        ("processing", "live-open"),
        ("requires_action", "live-action"),
        ("failed", "live-declined"),
        ("authorized", "authorized"),
        ("refunded", "refunded"),
        ("canceled", "canceled"),
        ("succeeded", "succeeded"),
    ):
        expected = [f"pay-{i}" for i in range(ORDERS) if _state(i) == state]
        assert found[status] == expected[::-1], status
    assert found["surplus"] == []
