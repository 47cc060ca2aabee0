"""Orders, users and products."""

from datetime import datetime

from paidonce.domain.model import Product
from paidonce.domain.states import ORDER_MOVES, OrderStatus, check_move
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import OrderRow, UserRow, columns, row_as, row_or_none

_ORDER = columns(OrderRow)
_USER = columns(UserRow)


async def lock_order(tx: Transaction, order_id: str) -> OrderRow | None:
    """The order, locked: whoever changes an order, its payments or attempts comes here first."""
    row = await tx.fetch_one(f"SELECT {_ORDER} FROM orders WHERE id = $1 FOR UPDATE", order_id)
    return row_or_none(OrderRow, row)


async def get_order(tx: Transaction, order_id: str) -> OrderRow | None:
    row = await tx.fetch_one(f"SELECT {_ORDER} FROM orders WHERE id = $1", order_id)
    return row_or_none(OrderRow, row)


async def insert_order_once(tx: Transaction, order: OrderRow) -> bool:
    """False when the id or the order number is taken."""
    changed = await tx.execute(
        "INSERT INTO orders (id, user_id, order_number, amount_minor, currency, status,"
        " amount_refunded_minor, items, details, metadata, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        order.id,
        order.user_id,
        order.order_number,
        order.amount_minor,
        order.currency,
        order.status,
        order.items,
        order.details,
        order.metadata,
        order.created_at,
    )
    return changed == 1


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


# --- users ---------------------------------------------------------------------------------------


async def insert_user_once(tx: Transaction, user_id: str, email: str | None, now: datetime) -> None:
    """The user at first sight. The e-mail of a known user stays: it is a parameter of a keyed
    Stripe call, which must not change under its key."""
    await tx.execute(
        "INSERT INTO users (id, email, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user_id,
        email,
        now,
    )


async def get_user(tx: Transaction, user_id: str) -> UserRow:
    row = await tx.fetch_one(f"SELECT {_USER} FROM users WHERE id = $1", user_id)
    if row is None:
        raise LookupError("an order's user has a row")
    return row_as(UserRow, row)


async def note_customer_request(tx: Transaction, user_id: str, now: datetime) -> None:
    """The first time a create is sent under the present key number."""
    await tx.execute(
        "UPDATE users SET customer_requested_at = COALESCE(customer_requested_at, $2)"
        " WHERE id = $1",
        user_id,
        now,
    )


async def next_customer_key(tx: Transaction, user_id: str, old_key_no: int) -> None:
    await tx.execute(
        "UPDATE users SET customer_key_no = $2 + 1, customer_requested_at = NULL"
        " WHERE id = $1 AND customer_key_no = $2 AND stripe_customer_id IS NULL",
        user_id,
        old_key_no,
    )


async def save_customer(
    tx: Transaction, user_id: str, key_no: int, stripe_customer_id: str
) -> None:
    """The first answer under the present key wins; the others read the winner."""
    await tx.execute(
        "UPDATE users SET stripe_customer_id = $3"
        " WHERE id = $1 AND customer_key_no = $2 AND stripe_customer_id IS NULL",
        user_id,
        key_no,
        stripe_customer_id,
    )


async def forget_customer(tx: Transaction, user_id: str, gone_customer_id: str) -> bool:
    """A customer deleted at Stripe, cleared only if it is still the recorded one."""
    changed = await tx.execute(
        "UPDATE users SET stripe_customer_id = NULL, customer_key_no = customer_key_no + 1,"
        " customer_requested_at = NULL WHERE id = $1 AND stripe_customer_id = $2",
        user_id,
        gone_customer_id,
    )
    return changed == 1


async def get_user_of_customer(tx: Transaction, stripe_customer_id: str) -> str | None:
    row = await tx.fetch_one(
        "SELECT id FROM users WHERE stripe_customer_id = $1", stripe_customer_id
    )
    return None if row is None else str(row["id"])


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


async def get_product(tx: Transaction, product_id: str) -> Product | None:
    row: Row | None = await tx.fetch_one(
        "SELECT product_id, name, amount_minor, currency FROM products WHERE product_id = $1",
        product_id,
    )
    if row is None:
        return None
    return Product(row["product_id"], row["name"], row["amount_minor"], row["currency"])
