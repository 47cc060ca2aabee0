"""Payments: one per order and generation, each with one PaymentIntent.

Every function that changes a row expects the order's row to be locked (`orders.lock_order`).
"""

from datetime import datetime

from paidonce.domain.states import PAYMENT_MOVES, PaymentState, check_move
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow, columns, insert_row, row_as, row_or_none

_PAYMENT = columns(PaymentRow)


async def get_payment(tx: Transaction, payment_id: str) -> PaymentRow:
    row = await tx.fetch_one(f"SELECT {_PAYMENT} FROM payments WHERE id = $1", payment_id)
    if row is None:
        raise LookupError("payments are never deleted")
    return row_as(PaymentRow, row)


async def get_standing_payment(tx: Transaction, order_id: str) -> PaymentRow | None:
    """The order's one payment that is live, authorized or succeeded."""
    row = await tx.fetch_one(
        f"SELECT {_PAYMENT} FROM payments"
        " WHERE order_id = $1 AND state IN ('live', 'authorized', 'succeeded')",
        order_id,
    )
    return row_or_none(PaymentRow, row)


async def get_latest_payment(tx: Transaction, order_id: str) -> PaymentRow | None:
    row = await tx.fetch_one(
        f"SELECT {_PAYMENT} FROM payments WHERE order_id = $1 ORDER BY generation DESC LIMIT 1",
        order_id,
    )
    return row_or_none(PaymentRow, row)


async def get_payment_of_intent(
    tx: Transaction, stripe_payment_intent_id: str
) -> PaymentRow | None:
    row = await tx.fetch_one(
        f"SELECT {_PAYMENT} FROM payments WHERE stripe_payment_intent_id = $1",
        stripe_payment_intent_id,
    )
    return row_or_none(PaymentRow, row)


async def list_charged(tx: Transaction, order_id: str) -> list[PaymentRow]:
    """The order's payments that took money: the one that paid for it, and those that fit no
    order."""
    rows = await tx.fetch(
        f"SELECT {_PAYMENT} FROM payments WHERE order_id = $1"
        " AND state IN ('succeeded', 'surplus') ORDER BY generation",
        order_id,
    )
    return [row_as(PaymentRow, row) for row in rows]


async def count_generations(tx: Transaction, order_id: str) -> int:
    row = await tx.fetch_one("SELECT count(*) AS n FROM payments WHERE order_id = $1", order_id)
    return int(row["n"]) if row else 0


async def insert_payment(tx: Transaction, payment: PaymentRow) -> None:
    await insert_row(tx, "payments", payment)


async def note_intent_request(
    tx: Transaction,
    payment_id: str,
    stripe_customer_id: str,
    intent_params: str,
    now: datetime,
    next_sweep_at: datetime,
) -> None:
    """Fix the parameters of the create before it is sent; the first writer wins. From now on the
    payment may have an intent that no row holds."""
    await tx.execute(
        "UPDATE payments SET stripe_customer_id = $2, intent_params = $3, intent_requested_at = $4,"
        " next_sweep_at = $5 WHERE id = $1 AND intent_params IS NULL",
        payment_id,
        stripe_customer_id,
        intent_params,
        now,
        next_sweep_at,
    )


async def next_intent_key(tx: Transaction, payment_id: str, old_key_no: int, now: datetime) -> None:
    """The next key for the harmless create, after a saved 500 or when the old key has expired."""
    await tx.execute(
        "UPDATE payments SET intent_key_no = $2 + 1, intent_requested_at = $3"
        " WHERE id = $1 AND intent_key_no = $2 AND stripe_payment_intent_id IS NULL",
        payment_id,
        old_key_no,
        now,
    )


async def save_intent(tx: Transaction, payment_id: str, stripe_payment_intent_id: str) -> None:
    """Compare-and-set: the first intent of a live payment is the only one ever confirmed. Made
    under the first key, it is the only one there can be."""
    await tx.execute(
        "UPDATE payments SET stripe_payment_intent_id = $2,"
        " next_sweep_at = CASE WHEN intent_key_no = 0 THEN NULL ELSE next_sweep_at END"
        " WHERE id = $1 AND stripe_payment_intent_id IS NULL AND state = 'live'",
        payment_id,
        stripe_payment_intent_id,
    )


async def adopt_intent(
    tx: Transaction,
    payment_id: str,
    stripe_customer_id: str,
    intent_params: str,
    stripe_payment_intent_id: str,
    now: datetime,
) -> bool:
    """`save_intent` for one that Stripe has and we have forgotten: with what its create said. False
    when the payment has an intent, is not live, or has asked for one on another customer."""
    changed = await tx.execute(
        "UPDATE payments SET stripe_payment_intent_id = $4, stripe_customer_id = $2,"
        " intent_params = COALESCE(intent_params, $3),"
        " intent_requested_at = COALESCE(intent_requested_at, $5), intent_adopted_at = $5,"
        " next_look_at = $5"
        " WHERE id = $1 AND stripe_payment_intent_id IS NULL AND state = 'live'"
        " AND COALESCE(stripe_customer_id, $2) = $2",
        payment_id,
        stripe_customer_id,
        intent_params,
        stripe_payment_intent_id,
        now,
    )
    return changed == 1


async def set_payment_state(
    tx: Transaction, payment_id: str, old: PaymentState, new: PaymentState, now: datetime
) -> bool:
    check_move(PAYMENT_MOVES, old, new)
    changed = await tx.execute(
        "UPDATE payments SET state = $3, finished_at = $4 WHERE id = $1 AND state = $2",
        payment_id,
        old,
        new,
        now,
    )
    return changed == 1


async def set_charge(tx: Transaction, payment_id: str, stripe_charge_id: str | None) -> None:
    await tx.execute(
        "UPDATE payments SET stripe_charge_id = COALESCE($2, stripe_charge_id) WHERE id = $1",
        payment_id,
        stripe_charge_id,
    )


async def set_captured(tx: Transaction, payment_id: str, amount_captured_minor: int) -> None:
    """What was taken of the money that was held."""
    await tx.execute(
        "UPDATE payments SET amount_captured_minor = $2, next_look_at = NULL WHERE id = $1",
        payment_id,
        amount_captured_minor,
    )


async def set_refunded(
    tx: Transaction,
    payment_id: str,
    amount_refunded_minor: int,
    looked_at: datetime,
    now: datetime,
) -> bool:
    """What Stripe says was given back of this payment's charge, by whomever; a refund that failed
    lowers it again. False when a later look was written before (one from the future was a wrong
    clock's, and is not believed)."""
    changed = await tx.execute(
        "UPDATE payments SET amount_refunded_minor = $2, refunds_seen_at = $3 WHERE id = $1"
        " AND (refunds_seen_at IS NULL OR refunds_seen_at <= $3 OR refunds_seen_at > $4)",
        payment_id,
        amount_refunded_minor,
        looked_at,
        now,
    )
    return changed == 1


async def look_at(tx: Transaction, payment_id: str, next_look_at: datetime | None) -> None:
    """When recovery looks at the payment although none of its attempts is live; None: never."""
    await tx.execute(
        "UPDATE payments SET next_look_at = $2 WHERE id = $1", payment_id, next_look_at
    )


async def note_sheet(
    tx: Transaction,
    payment_id: str,
    now: datetime,
    next_look_at: datetime,
    client_address: str,
    device_hash: str,
) -> None:
    """The client secret goes out with a payment sheet, to whom."""
    await tx.execute(
        "UPDATE payments SET sheet_opened_at = $2, next_look_at = $3, sheet_client_address = $4,"
        " sheet_device_hash = $5 WHERE id = $1",
        payment_id,
        now,
        next_look_at,
        client_address,
        device_hash,
    )


async def get_sheets_opener(tx: Transaction, payment_id: str) -> tuple[str, str]:
    """The address and the device's hash of who opened its payment sheet last; empty: nobody."""
    row = await tx.fetch_one(
        "SELECT sheet_client_address AS address, sheet_device_hash AS device FROM payments"
        " WHERE id = $1",
        payment_id,
    )
    return (str(row["address"]), str(row["device"])) if row else ("", "")


async def list_to_look_at(
    tx: Transaction, now: datetime, limit: int
) -> list[tuple[PaymentRow, datetime]]:
    """Live payments whose client secret is out and whose attempts are all over: the app may have
    confirmed by itself. With the time the secret was last given out, as far as it is known: of an
    adopted intent it is not, so that counts from its adoption."""
    rows = await tx.fetch(
        f"SELECT {_PAYMENT}, intent_adopted_at, (SELECT max(action_at) FROM payment_attempts"
        " WHERE payment_id = payments.id) AS asked_at FROM payments"
        " WHERE state = 'live' AND next_look_at <= $1"
        " AND NOT EXISTS (SELECT 1 FROM payment_attempts"
        "   WHERE payment_id = payments.id AND state IN ('open', 'action'))"
        " ORDER BY next_look_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    times = ("asked_at", "sheet_opened_at", "intent_adopted_at", "created_at")
    return [
        (row_as(PaymentRow, row), max(row[name] for name in times if row[name] is not None))
        for row in rows
    ]


# --- money that is held ---------------------------------------------------------------------------


async def note_hold(
    tx: Transaction, payment_id: str, capture_before: datetime | None, next_look_at: datetime
) -> None:
    """Until when Stripe holds it, None where that was not said, and the worker's next look."""
    await tx.execute(
        "UPDATE payments SET capture_before = COALESCE($2, capture_before), next_look_at = $3"
        " WHERE id = $1 AND state = 'authorized'",
        payment_id,
        capture_before,
        next_look_at,
    )


async def take_holds(
    tx: Transaction, now: datetime, next_look_at: datetime, limit: int
) -> list[PaymentRow]:
    """Held payments whose time for a look has come, put off against other workers."""
    rows = await tx.fetch(
        f"SELECT {_PAYMENT} FROM payments WHERE state = 'authorized' AND next_look_at <= $1"
        " ORDER BY next_look_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await look_at(tx, row["id"], next_look_at)
    return [row_as(PaymentRow, row) for row in rows]


async def count_holds_ending(tx: Transaction, before: datetime) -> int:
    """Of the few that are held at all, which have an index of their own."""
    row = await tx.fetch_one(
        "SELECT count(*) AS n FROM payments WHERE state = 'authorized'"
        " AND next_look_at IS NOT NULL AND capture_before < $1",
        before,
    )
    return int(row["n"]) if row else 0


# --- intents that no row holds -------------------------------------------------------------------


async def sweep_at(tx: Transaction, payment_id: str, next_sweep_at: datetime | None) -> None:
    """When recovery looks for intents of the payment that no row holds; None: there are none."""
    await tx.execute(
        "UPDATE payments SET next_sweep_at = $2 WHERE id = $1", payment_id, next_sweep_at
    )


async def list_to_sweep(tx: Transaction, now: datetime, limit: int) -> list[PaymentRow]:
    """Payments whose create was sent and may have made an intent that is not recorded."""
    rows = await tx.fetch(
        f"SELECT {_PAYMENT} FROM payments WHERE next_sweep_at <= $1"
        " ORDER BY next_sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return [row_as(PaymentRow, row) for row in rows]
