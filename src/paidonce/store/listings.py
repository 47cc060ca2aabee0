"""What lists and views read. Nothing here decides anything."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paidonce.store.engine import Row, Transaction
from paidonce.store.methods import is_expired_sql
from paidonce.store.rows import MethodRow, OrderRow, columns, row_as

ORDER_VIEW = f"""
SELECT {columns(OrderRow, "o.")},
       COALESCE((SELECT max(CASE WHEN a.state IN ('open', 'action') THEN 2 ELSE 1 END)
                 FROM payment_attempts a WHERE a.order_id = o.id), 0) = 1 AS has_failed,
       (SELECT count(*) FROM payments p WHERE p.order_id = o.id AND p.state = 'authorized') > 0
       AS is_authorized,
       (SELECT p.capture_before FROM payments p WHERE p.order_id = o.id AND p.state = 'authorized')
       AS capture_before
  FROM orders o
"""

_PAYMENT_VIEW = """
SELECT p.id, p.order_id, p.amount_minor, p.currency, p.state, p.created_at, p.finished_at,
       p.stripe_payment_intent_id, a.state AS attempt_state, m.brand, m.last4,
       p.amount_refunded_minor, p.amount_captured_minor
  FROM payments p
  JOIN payment_attempts a ON a.payment_id = p.id
   AND a.n = (SELECT max(n) FROM payment_attempts WHERE payment_id = p.id)
  LEFT JOIN payment_methods m ON m.stripe_payment_method_id = a.stripe_payment_method_id
"""


def order_row(row: Row) -> OrderRow:
    return row_as(OrderRow, row)


async def get_order_view(tx: Transaction, order_id: str) -> Row | None:
    return await tx.fetch_one(f"{ORDER_VIEW} WHERE o.id = $1", order_id)


async def list_orders(
    tx: Transaction, user_id: str, limit: int, before: tuple[datetime, str] | None
) -> list[Row]:
    """Newest first, from after the `(created_at, id)` of the last page's end."""
    return await _page(tx, ORDER_VIEW, "o", user_id, limit, before)


async def list_payments(
    tx: Transaction, user_id: str, limit: int, before: tuple[datetime, str] | None
) -> list[Row]:
    """Payments with at least one attempt, newest first."""
    return await _page(tx, _PAYMENT_VIEW, "p", user_id, limit, before)


async def list_methods(
    tx: Transaction,
    user_id: str,
    limit: int,
    before: tuple[datetime, str] | None,
    now: datetime,
) -> list[Row]:
    """Methods that their user asked to keep, newest first, those that have expired behind them."""
    expired = is_expired_sql("$3", "$4", "m.")
    listed = (
        f"SELECT {columns(MethodRow, 'm.')} FROM payment_methods m"
        " WHERE m.user_id = $1 AND m.state = 'attached' AND m.is_listed"
    )
    order = f"ORDER BY {expired}, m.created_at DESC, m.id DESC LIMIT $2"
    values = (user_id, limit, now.year, now.month)
    if before is None:
        return await tx.fetch(f"{listed} {order}", *values)
    of_last = f"COALESCE((SELECT {expired} FROM payment_methods m WHERE m.id = $6), 0)"
    after = f"({expired} > {of_last} OR {expired} = {of_last} AND (m.created_at, m.id) < ($5, $6))"
    return await tx.fetch(f"{listed} AND {after} {order}", *values, *before)


async def list_page(
    tx: Transaction,
    select: str,
    limit: int,
    before: tuple[datetime, str] | None,
    wanted: Mapping[str, Any],
) -> list[Row]:
    """Of one table, newest first, the rows whose columns have the `wanted` values; None is any."""
    given = {column: value for column, value in wanted.items() if value is not None}
    tests = [f"{column} = ${n}" for n, column in enumerate(given, 2)]
    if before is not None:
        tests.append(f"(created_at, id) < (${len(given) + 2}, ${len(given) + 3})")
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    order = " ORDER BY created_at DESC, id DESC LIMIT $1"
    return await tx.fetch(f"{select}{where}{order}", limit, *given.values(), *(before or ()))


async def _page(
    tx: Transaction,
    view: str,
    alias: str,
    user_id: str,
    limit: int,
    before: tuple[datetime, str] | None,
) -> list[Row]:
    order = f"ORDER BY {alias}.created_at DESC, {alias}.id DESC LIMIT $2"
    if before is None:
        return await tx.fetch(f"{view} WHERE {alias}.user_id = $1 {order}", user_id, limit)
    after = f"({alias}.created_at, {alias}.id) < ($3, $4)"
    return await tx.fetch(
        f"{view} WHERE {alias}.user_id = $1 AND {after} {order}", user_id, limit, *before
    )
