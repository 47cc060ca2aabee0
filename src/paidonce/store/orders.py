"""Orders and products."""

from dataclasses import dataclass
from datetime import datetime

from paidonce.domain.model import Product
from paidonce.domain.states import ORDER_MOVES, OrderStatus, check_move
from paidonce.store.engine import Row, Transaction
from paidonce.store.forgotten import is_refused_sql
from paidonce.store.rows import OrderRow, columns, insert_row, row_as, row_or_none

_ORDER = columns(OrderRow)


@dataclass(frozen=True, slots=True)
class StandsInTheWay:
    """`is_forgotten`: Stripe has an intent of the order that this database does not know.
    `known_until`: how far the database was compared with Stripe."""

    is_forgotten: bool
    known_until: datetime | None


async def lock_order(tx: Transaction, order_id: str) -> OrderRow | None:
    """The order, locked: whoever changes an order, its payments or attempts comes here first."""
    row = await tx.fetch_one(f"SELECT {_ORDER} FROM orders WHERE id = $1 FOR UPDATE", order_id)
    return row_or_none(OrderRow, row)


async def lock_order_to_pay(
    tx: Transaction, order_id: str
) -> tuple[OrderRow, StandsInTheWay] | None:
    """`lock_order` for whoever may begin a payment, in one statement with what forbids it."""
    row = await tx.fetch_one(
        f"SELECT {_ORDER}, CASE WHEN {is_refused_sql('orders.id')} THEN 1 ELSE 0 END"
        " AS is_forgotten, (SELECT intents_known_until FROM installation) AS known_until"
        " FROM orders WHERE id = $1 FOR UPDATE",
        order_id,
    )
    if row is None:
        return None
    way = StandsInTheWay(bool(row["is_forgotten"]), row["known_until"])
    return row_as(OrderRow, row), way


async def get_order(tx: Transaction, order_id: str) -> OrderRow | None:
    row = await tx.fetch_one(f"SELECT {_ORDER} FROM orders WHERE id = $1", order_id)
    return row_or_none(OrderRow, row)


async def insert_order_once(tx: Transaction, order: OrderRow) -> bool:
    """False when the id or the order number is taken."""
    return await insert_row(tx, "orders", order, is_once=True)


async def set_order_status(
    tx: Transaction, order_id: str, old: OrderStatus, new: OrderStatus, paid_at: datetime | None
) -> bool:
    """Move a status; False when it is not `old` any more."""
    check_move(ORDER_MOVES, old, new)
    changed = await tx.execute(
        "UPDATE orders SET status = $3, paid_at = $4 WHERE id = $1 AND status = $2",
        order_id,
        old,
        new,
        paid_at,
    )
    return changed == 1


async def set_refunded(tx: Transaction, order_id: str, amount_refunded_minor: int) -> None:
    """What Stripe says was refunded in all; a refund that failed later lowers it again."""
    await tx.execute(
        "UPDATE orders SET amount_refunded_minor = $2 WHERE id = $1",
        order_id,
        amount_refunded_minor,
    )


async def set_captured(tx: Transaction, order_id: str, amount_captured_minor: int) -> None:
    """What was taken of the money that was held."""
    await tx.execute(
        "UPDATE orders SET amount_captured_minor = $2 WHERE id = $1",
        order_id,
        amount_captured_minor,
    )


async def begin_canceling(tx: Transaction, order_id: str, next_check_at: datetime) -> None:
    """The first step of a cancelation; recovery comes for the second one at `next_check_at`."""
    await tx.execute(
        "UPDATE orders SET status = 'canceling', next_check_at = $2"
        " WHERE id = $1 AND status = 'pending'",
        order_id,
        next_check_at,
    )


async def take_canceling(
    tx: Transaction, now: datetime, next_check_at: datetime, limit: int
) -> list[str]:
    """Orders whose cancelation is to be resumed, put off against other workers."""
    rows = await tx.fetch(
        "SELECT id FROM orders WHERE status = 'canceling' AND next_check_at <= $1"
        " ORDER BY next_check_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE orders SET next_check_at = $2 WHERE id = $1", row["id"], next_check_at
        )
    return [row["id"] for row in rows]


async def take_expired(
    tx: Transaction, now: datetime, next_check_at: datetime, limit: int
) -> list[str]:
    """Unpaid orders that have expired, put off against other workers. What has waited longest comes
    first: some stay pending for long. An order whose money is held is none of them."""
    rows = await tx.fetch(
        "SELECT id FROM orders WHERE status = 'pending' AND expires_at <= $1"
        " AND (next_check_at IS NULL OR next_check_at <= $1)"
        " AND NOT EXISTS (SELECT 1 FROM payments p"
        " WHERE p.order_id = orders.id AND p.state = 'authorized')"
        " ORDER BY COALESCE(next_check_at, expires_at) LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE orders SET next_check_at = $2 WHERE id = $1", row["id"], next_check_at
        )
    return [row["id"] for row in rows]


# --- products ------------------------------------------------------------------------------------


async def put_product(tx: Transaction, product: Product, now: datetime) -> None:
    await tx.execute(
        "INSERT INTO products (product_id, name, amount_minor, currency, updated_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (product_id) DO UPDATE SET name = excluded.name,"
        " amount_minor = excluded.amount_minor, currency = excluded.currency,"
        " updated_at = excluded.updated_at",
        product.product_id,
        product.name,
        product.amount_minor,
        product.currency,
        now,
    )


async def list_products(tx: Transaction, limit: int, after: str) -> list[Product]:
    """By their ids, from behind `after` on; from the first one where that is empty."""
    rows = await tx.fetch(
        "SELECT product_id, name, amount_minor, currency FROM products WHERE product_id > $2"
        " ORDER BY product_id LIMIT $1",
        limit,
        after,
    )
    return [_product(row) for row in rows]


async def delete_product(tx: Transaction, product_id: str) -> bool:
    """False: there is none."""
    return await tx.execute("DELETE FROM products WHERE product_id = $1", product_id) == 1


async def get_product(tx: Transaction, product_id: str) -> Product | None:
    row: Row | None = await tx.fetch_one(
        "SELECT product_id, name, amount_minor, currency FROM products WHERE product_id = $1",
        product_id,
    )
    return None if row is None else _product(row)


def _product(row: Row) -> Product:
    return Product(row["product_id"], row["name"], row["amount_minor"], row["currency"])
