"""What is kept about one user: all of it for an export, and what goes when he is erased.

Every function that writes expects the user to be locked (`users.lock_user`).
"""

import json
from dataclasses import dataclass
from datetime import datetime

from paidonce.store.engine import Row, Transaction
from paidonce.store.users import get_recorded_customer

EXPORTED = {
    "orders": (
        "id, order_number, amount_minor, currency, status, amount_refunded_minor, items, details,"
        " metadata, created_at, paid_at",
        "user_id = $1",
    ),
    "payments": (
        "id, order_id, state, amount_minor, currency, amount_refunded_minor, stripe_customer_id,"
        " stripe_payment_intent_id, stripe_charge_id, sheet_client_address, created_at,"
        " finished_at",
        "user_id = $1",
    ),
    "payment_attempts": (
        "id, payment_id, n, source, state, stripe_payment_method_id, error_code, decline_code,"
        " client_address, created_at, closed_at",
        "user_id = $1",
    ),
    "payment_methods": (
        "id, stripe_payment_method_id, stripe_customer_id, state, is_listed, is_default, brand,"
        " last4, exp_month, exp_year, fingerprint, cardholder_name, created_at, last_used_at",
        "user_id = $1",
    ),
    "setups": ("id, state, client_address, created_at, finished_at", "user_id = $1"),
    "declined_saves": ("id, client_address, created_at", "user_id = $1"),
    "refunds": (
        "id, order_id, payment_id, cause, state, amount_minor, currency, stripe_refund_id,"
        " created_at, finished_at",
        "order_id IN (SELECT id FROM orders WHERE user_id = $1)",
    ),
    "disputes": (
        "id, order_id, payment_id, amount_minor, currency, reason, status, evidence_due_at,"
        " created_at, closed_at",
        "order_id IN (SELECT id FROM orders WHERE user_id = $1)",
    ),
    "fraud_warnings": (
        "id, order_id, payment_id, fraud_type, created_at",
        "order_id IN (SELECT id FROM orders WHERE user_id = $1)",
    ),
    "payment_events": (
        "order_id, payment_id, attempt_id, kind, data, created_at",
        "order_id IN (SELECT id FROM orders WHERE user_id = $1)",
    ),
    "erasures": ("id, stripe_customer_ids, begun_at, finished_at", "user_id = $1"),
}
"""By table: its columns, and which rows are the user's. Client secrets and the parameters of calls
are in none of them."""

_OPEN = (
    ("orders", "status IN ('pending', 'canceling')"),
    ("payment_attempts", "state IN ('open', 'action')"),
    ("setups", "state = 'open'"),
)


@dataclass(frozen=True, slots=True)
class Erasure:
    id: str
    customer_ids: list[str]


async def get_email(tx: Transaction, user_id: str) -> Row | None:
    """Our own row of the user, whether the host still has one or not."""
    return await tx.fetch_one("SELECT email FROM users WHERE id = $1", user_id)


async def list_customers(tx: Transaction, user_id: str) -> set[str]:
    """Customers that the user had with us, the recorded one among them."""
    rows = await tx.fetch(
        "SELECT stripe_customer_id AS id FROM payments WHERE user_id = $1"
        " UNION SELECT stripe_customer_id AS id FROM payment_methods WHERE user_id = $1"
        " UNION SELECT stripe_customer_id AS id FROM setups WHERE user_id = $1",
        user_id,
    )
    recorded = await get_recorded_customer(tx, user_id)
    return {str(row["id"]) for row in rows if row["id"]} | ({recorded} if recorded else set())


async def list_rows(tx: Transaction, table: str, user_id: str) -> list[Row]:
    """A user's rows of a table of EXPORTED, oldest first."""
    names, condition = EXPORTED[table]
    order = "begun_at" if table == "erasures" else "created_at"
    return await tx.fetch(
        f"SELECT {names} FROM {table} WHERE {condition} ORDER BY {order}", user_id
    )


async def count_open(tx: Transaction, user_id: str) -> dict[str, int]:
    """What is not over yet, by table; empty when everything is."""
    found: dict[str, int] = {}
    for table, condition in _OPEN:
        row = await tx.fetch_one(
            f"SELECT count(*) AS n FROM {table} WHERE user_id = $1 AND {condition}", user_id
        )
        if row is not None and row["n"]:
            found[table] = row["n"]
    return found


async def get_unfinished(tx: Transaction, user_id: str) -> Erasure | None:
    row = await tx.fetch_one(
        "SELECT id, stripe_customer_ids FROM erasures WHERE user_id = $1 AND finished_at IS NULL",
        user_id,
    )
    return None if row is None else Erasure(row["id"], json.loads(row["stripe_customer_ids"]))


async def insert_erasure(tx: Transaction, erasure: Erasure, user_id: str, now: datetime) -> None:
    await tx.execute(
        "INSERT INTO erasures (id, user_id, stripe_customer_ids, begun_at) VALUES ($1, $2, $3, $4)",
        erasure.id,
        user_id,
        json.dumps(erasure.customer_ids),
        now,
    )


async def erase(tx: Transaction, user_id: str, scope: str, merchants_scope: str) -> None:
    """Everything personal goes; amounts, states, times and Stripe's ids stay. `scope` is what the
    scopes of the user's kept answers end with, `merchants_scope` the merchant's: those that show
    the metadata of an order name the order, or an event of it, in their path. New orders do not
    wait for the user's lock: one that is not over was made just now, and keeps what it needs."""
    for statement in (
        "UPDATE users SET email = NULL WHERE id = $1",
        "UPDATE orders SET details = '{}', metadata = '{}' WHERE user_id = $1"
        " AND status NOT IN ('pending', 'canceling')",
        "UPDATE payment_attempts SET client_address = '', device_hash = '' WHERE user_id = $1",
        "UPDATE setups SET client_address = '', device_hash = '' WHERE user_id = $1",
        "UPDATE payments SET sheet_client_address = '', sheet_device_hash = '' WHERE user_id = $1",
        "UPDATE payment_methods SET state = 'deleted', is_listed = FALSE, is_default = FALSE,"
        " brand = NULL, last4 = NULL, exp_month = NULL, exp_year = NULL, fingerprint = NULL,"
        " cardholder_name = NULL WHERE user_id = $1",
        "DELETE FROM declined_saves WHERE user_id = $1",
    ):
        await tx.execute(statement, user_id)
    await tx.execute(
        "DELETE FROM answers WHERE substr(scope, length(scope) - length($1) + 1) = $1", scope
    )
    await tx.execute(
        "DELETE FROM answers WHERE scope LIKE $2 AND EXISTS (SELECT 1 FROM orders o"
        " WHERE o.user_id = $1 AND (scope LIKE '%/' || o.id || '/%' OR EXISTS (SELECT 1"
        " FROM outbox e WHERE e.order_id = o.id AND scope LIKE '%/' || e.id || '/%')))",
        user_id,
        f"%{merchants_scope}",
    )


async def finish(tx: Transaction, erasure_id: str, now: datetime) -> None:
    await tx.execute("UPDATE erasures SET finished_at = $2 WHERE id = $1", erasure_id, now)
