"""PaymentMethods known to us. A row stays as a tombstone when its method is dead.

States: `attached` to the customer in the row · `released` (detached, or its customer is gone).
"""

from datetime import datetime

from paidonce.domain.intent import Method
from paidonce.store.engine import Transaction
from paidonce.store.rows import MethodRow, columns, row_or_none

_METHOD = columns(MethodRow)


async def get_method(tx: Transaction, method_id: str) -> MethodRow | None:
    """By Stripe's id or by ours."""
    row = await tx.fetch_one(
        f"SELECT {_METHOD} FROM payment_methods WHERE stripe_payment_method_id = $1 OR id = $1",
        method_id,
    )
    return row_or_none(MethodRow, row)


async def save_method(
    tx: Transaction, row_id: str, user_id: str, customer_id: str, method: Method, now: datetime
) -> None:
    """A method that Stripe has just attached to the user's customer."""
    await tx.execute(
        "INSERT INTO payment_methods (id, user_id, stripe_payment_method_id, stripe_customer_id,"
        " state, is_listed, brand, last4, exp_month, exp_year, fingerprint, cardholder_name,"
        " created_at, last_used_at)"
        " VALUES ($1, $2, $3, $4, 'attached', FALSE, $5, $6, $7, $8, $9, $10, $11, $11)"
        " ON CONFLICT (stripe_payment_method_id) DO UPDATE SET state = 'attached',"
        " stripe_customer_id = excluded.stripe_customer_id, last_used_at = excluded.last_used_at"
        " WHERE payment_methods.user_id = excluded.user_id",
        row_id,
        user_id,
        method.id,
        customer_id,
        method.brand,
        method.last4,
        method.exp_month,
        method.exp_year,
        method.fingerprint,
        method.cardholder_name,
        now,
    )


async def note_use(
    tx: Transaction, stripe_payment_method_id: str, is_to_be_listed: bool, now: datetime
) -> None:
    """It has paid. If the user asked to keep it, it is listed from now on."""
    await tx.execute(
        "UPDATE payment_methods SET last_used_at = $3, is_listed = is_listed OR $2"
        " WHERE stripe_payment_method_id = $1 AND state = 'attached'",
        stripe_payment_method_id,
        is_to_be_listed,
        now,
    )


async def release_method(tx: Transaction, stripe_payment_method_id: str) -> None:
    await tx.execute(
        "UPDATE payment_methods SET state = 'released', is_listed = FALSE"
        " WHERE stripe_payment_method_id = $1",
        stripe_payment_method_id,
    )


async def release_methods_of_customer(tx: Transaction, stripe_customer_id: str) -> None:
    await tx.execute(
        "UPDATE payment_methods SET state = 'released', is_listed = FALSE"
        " WHERE stripe_customer_id = $1",
        stripe_customer_id,
    )
