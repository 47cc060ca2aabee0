"""What our books hold about things that Stripe has listed, a page at a time. Nothing is decided
here and nothing is written."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from paidonce.store import forgotten
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow, columns, places, row_as

Found = TypeVar("Found")
Times = tuple[datetime | None, datetime]
"""From and until when a row was created, both included."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a page of Stripe's names: intents, payments, orders and customers, by their ids."""

    intent_ids: set[str]
    payment_ids: set[str]
    order_ids: set[str]
    customer_ids: set[str]


@dataclass(slots=True)
class Books:
    """The rows to a `Named`. `standing` is by order, `attempts` (live ones) by payment; `users`
    says which user has a customer recorded; `dismissed` holds the ids of intents."""

    recorded: dict[str, PaymentRow] = field(default_factory=dict)
    payments: dict[str, PaymentRow] = field(default_factory=dict)
    orders: dict[str, OrderRow] = field(default_factory=dict)
    standing: dict[str, PaymentRow] = field(default_factory=dict)
    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    dismissed: set[str] = field(default_factory=set)


async def get_books(tx: Transaction, named: Named) -> Books:
    """Payments are read before their orders: an order that is paid meanwhile is seen paid."""
    books = Books()
    payment, order = columns(PaymentRow), columns(OrderRow)
    by_intent = f"SELECT {payment} FROM payments WHERE stripe_payment_intent_id IN"
    books.recorded = await _by(
        tx, by_intent, named.intent_ids, _payment, lambda row: row.stripe_payment_intent_id or ""
    )
    by_id = f"SELECT {payment} FROM payments WHERE id IN"
    known = {row.id for row in books.recorded.values()}
    books.payments = await _by(
        tx, by_id, named.payment_ids - known, _payment, lambda row: row.id
    ) | {row.id: row for row in books.recorded.values()}
    order_ids = named.order_ids | {row.order_id for row in books.payments.values()}
    standing = (
        f"SELECT {payment} FROM payments WHERE state IN ('live', 'authorized', 'succeeded')"
        " AND order_id IN"
    )
    books.standing = await _by(tx, standing, order_ids, _payment, lambda row: row.order_id)
    live = {row.id for row in books.standing.values()}
    attempts = (
        f"SELECT {columns(AttemptRow)} FROM payment_attempts WHERE state IN ('open', 'action')"
        " AND payment_id IN"
    )
    books.attempts = await _by(tx, attempts, live, _attempt, lambda row: row.payment_id)
    by_order = f"SELECT {order} FROM orders WHERE id IN"
    books.orders = await _by(tx, by_order, order_ids, _order, lambda row: row.id)
    users = (
        f"SELECT {tx.users.id_text()} AS id, stripe_customer_id FROM {tx.users.name}"
        " WHERE stripe_customer_id IN"
    )
    found = await _rows(tx, users, named.customer_ids)
    books.dismissed = await forgotten.dismissed_intents(tx, list(named.intent_ids))
    books.users = {str(row["stripe_customer_id"]): str(row["id"]) for row in found}
    return books


async def list_recorded_payments(
    tx: Transaction, times: Times, after: str, limit: int
) -> list[PaymentRow]:
    """Payments with an intent that are not retired, by their ids, from behind `after`."""
    rows = await _page(
        tx,
        f"SELECT {columns(PaymentRow)} FROM payments WHERE stripe_payment_intent_id IS NOT NULL"
        " AND state <> 'canceled'",
        times,
        after,
        limit,
    )
    return [_payment(row) for row in rows]


async def list_paid_without_payment(
    tx: Transaction, times: Times, after: str, limit: int
) -> list[OrderRow]:
    """Orders that are paid although none of their payments has succeeded."""
    rows = await _page(
        tx,
        f"SELECT {columns(OrderRow)} FROM orders WHERE status = 'paid' AND NOT EXISTS"
        " (SELECT 1 FROM payments p WHERE p.order_id = orders.id AND p.state = 'succeeded')",
        times,
        after,
        limit,
    )
    return [_order(row) for row in rows]


async def list_customers(tx: Transaction, after: str, limit: int) -> list[tuple[str, str]]:
    """Users with a recorded customer, and the customer, in the order of the customers' ids."""
    rows = await tx.fetch(
        f"SELECT {tx.users.id_text()} AS id, stripe_customer_id FROM {tx.users.name}"
        " WHERE stripe_customer_id > $1 ORDER BY stripe_customer_id LIMIT $2",
        after,
        limit,
    )
    return [(str(row["id"]), str(row["stripe_customer_id"])) for row in rows]


async def list_intents_of_order(tx: Transaction, order_id: str) -> list[str]:
    rows = await tx.fetch(
        "SELECT stripe_payment_intent_id AS id FROM payments"
        " WHERE order_id = $1 AND stripe_payment_intent_id IS NOT NULL",
        order_id,
    )
    return [row["id"] for row in rows]


async def list_customers_of_order(tx: Transaction, order_id: str) -> list[str]:
    """Customers that the order's intents may be on: its payments' and its user's."""
    rows = await tx.fetch(
        "SELECT stripe_customer_id AS id FROM payments"
        " WHERE order_id = $1 AND stripe_customer_id IS NOT NULL"
        f" UNION SELECT h.stripe_customer_id AS id FROM {tx.users.name} h JOIN orders o"
        f" ON {tx.users.has_id('o.user_id', 'h.')}"
        " WHERE o.id = $1 AND h.stripe_customer_id IS NOT NULL",
        order_id,
    )
    return [row["id"] for row in rows]


async def _page(tx: Transaction, select: str, times: Times, after: str, limit: int) -> list[Row]:
    """By the primary key, so that all pages together read the table once."""
    since, until = times
    args: list[object] = [after, until, limit]
    if since is not None:
        select += " AND created_at >= $4"
        args.append(since)
    return await tx.fetch(f"{select} AND id > $1 AND created_at <= $2 ORDER BY id LIMIT $3", *args)


async def _by(
    tx: Transaction,
    select: str,
    ids: Collection[str],
    shape: Callable[[Row], Found],
    key: Callable[[Found], str],
) -> dict[str, Found]:
    return {key(found): found for found in map(shape, await _rows(tx, select, ids))}


async def _rows(tx: Transaction, select: str, ids: Collection[str]) -> list[Row]:
    if not ids:
        return []
    return await tx.fetch(f"{select} ({places(1, ids)})", *ids)


def _payment(row: Row) -> PaymentRow:
    return row_as(PaymentRow, row)


def _order(row: Row) -> OrderRow:
    return row_as(OrderRow, row)


def _attempt(row: Row) -> AttemptRow:
    return row_as(AttemptRow, row)
