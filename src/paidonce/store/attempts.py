"""Attempts: one try to confirm a payment's intent, under one idempotency key.

Every function that changes a row expects the order's row to be locked (`orders.lock_order`).
"""

from datetime import datetime

from paidonce.domain.intent import CardRefusal
from paidonce.domain.states import ATTEMPT_MOVES, AttemptState, check_move
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, PaymentRow, columns, insert_row, row_as, row_or_none

_ATTEMPT = columns(AttemptRow)


async def get_attempt(tx: Transaction, attempt_id: str) -> AttemptRow:
    row = await tx.fetch_one(f"SELECT {_ATTEMPT} FROM payment_attempts WHERE id = $1", attempt_id)
    if row is None:
        raise LookupError("attempts are never deleted")
    return row_as(AttemptRow, row)


async def get_live_attempt(tx: Transaction, payment_id: str) -> AttemptRow | None:
    """The payment's one attempt that is open or waits for the card holder."""
    row = await tx.fetch_one(
        f"SELECT {_ATTEMPT} FROM payment_attempts"
        " WHERE payment_id = $1 AND state IN ('open', 'action')",
        payment_id,
    )
    return row_or_none(AttemptRow, row)


async def get_latest_attempt(tx: Transaction, order_id: str) -> AttemptRow | None:
    row = await tx.fetch_one(
        f"SELECT {_ATTEMPT} FROM payment_attempts WHERE order_id = $1"
        " ORDER BY created_at DESC, n DESC LIMIT 1",
        order_id,
    )
    return row_or_none(AttemptRow, row)


async def is_method_consumed(tx: Transaction, requested_method_id: str) -> bool:
    """Under single use a method counts as consumed from its first send on."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM payment_attempts"
        " WHERE requested_method_id = $1 AND sends > 0 AND state <> 'refused' LIMIT 1",
        requested_method_id,
    )
    return row is not None


async def has_charge(tx: Transaction, payment_id: str, stripe_charge_id: str) -> bool:
    """Whether an attempt of the payment was declined with this charge."""
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM payment_attempts"
        " WHERE payment_id = $1 AND stripe_charge_id = $2 LIMIT 1",
        payment_id,
        stripe_charge_id,
    )
    return row is not None


async def _next_number(tx: Transaction, payment_id: str) -> int:
    row = await tx.fetch_one(
        "SELECT COALESCE(max(n), 0) + 1 AS n FROM payment_attempts WHERE payment_id = $1",
        payment_id,
    )
    return int(row["n"]) if row else 1


async def new_attempt(
    tx: Transaction, payment: PaymentRow, attempt_id: str, method_id: str, now: datetime
) -> AttemptRow:
    """The payment's next attempt, open and not sent, under nobody's lease; not inserted yet."""
    return AttemptRow(
        id=attempt_id,
        payment_id=payment.id,
        order_id=payment.order_id,
        user_id=payment.user_id,
        n=await _next_number(tx, payment.id),
        source="server",
        state=AttemptState.OPEN,
        requested_method_id=method_id,
        stripe_payment_method_id=None,
        is_saving_method=False,
        is_single_use=payment.method_policy == "single_use",
        confirm_params=None,
        stripe_version=payment.stripe_version,
        sends=0,
        attach_key_no=0,
        reconfirm_key_no=0,
        lease_owner="",
        lease_until=now,
        checks=0,
        next_check_at=now,
        error_code=None,
        error_message=None,
        decline_code=None,
        advice_code=None,
        client_address="",
        device_hash="",
        is_reason_withheld=False,
        created_at=now,
        first_sent_at=None,
        action_at=None,
        closed_at=None,
    )


async def insert_attempt(tx: Transaction, attempt: AttemptRow) -> None:
    await insert_row(tx, "payment_attempts", attempt)


async def take_lease(
    tx: Transaction, attempt_id: str, owner: str, until: datetime, next_check_at: datetime
) -> None:
    await tx.execute(
        "UPDATE payment_attempts SET lease_owner = $2, lease_until = $3, next_check_at = $4"
        " WHERE id = $1",
        attempt_id,
        owner,
        until,
        next_check_at,
    )


async def release_lease(
    tx: Transaction, attempt_id: str, owner: str, now: datetime, next_check_at: datetime
) -> None:
    """The lease ends with the answer; an open attempt is looked at again at `next_check_at`."""
    await tx.execute(
        "UPDATE payment_attempts SET lease_until = $3, next_check_at = $4"
        " WHERE id = $1 AND lease_owner = $2 AND state IN ('open', 'action')",
        attempt_id,
        owner,
        now,
        next_check_at,
    )


async def set_method(tx: Transaction, attempt_id: str, stripe_payment_method_id: str) -> None:
    """The method as Stripe named it at the attach (test factories get an id of their own)."""
    await tx.execute(
        "UPDATE payment_attempts SET stripe_payment_method_id = $2 WHERE id = $1 AND sends = 0",
        attempt_id,
        stripe_payment_method_id,
    )


async def set_tokens_method(
    tx: Transaction, attempt_id: str, stripe_payment_method_id: str
) -> None:
    """The method that came of the attempt's ConfirmationToken, once Stripe has named it."""
    await tx.execute(
        "UPDATE payment_attempts SET stripe_payment_method_id = $2 WHERE id = $1",
        attempt_id,
        stripe_payment_method_id,
    )


async def next_attach_key(tx: Transaction, attempt_id: str, old_key_no: int) -> None:
    await tx.execute(
        "UPDATE payment_attempts SET attach_key_no = $2 + 1 WHERE id = $1 AND attach_key_no = $2",
        attempt_id,
        old_key_no,
    )


async def next_reconfirm_key(tx: Transaction, attempt_id: str, old_key_no: int) -> None:
    await tx.execute(
        "UPDATE payment_attempts SET reconfirm_key_no = $2 + 1"
        " WHERE id = $1 AND reconfirm_key_no = $2",
        attempt_id,
        old_key_no,
    )


async def record_send(tx: Transaction, attempt_id: str, confirm_params: str, now: datetime) -> None:
    """One more confirm is about to be sent; the parameters of the first one stay for ever."""
    await tx.execute(
        "UPDATE payment_attempts SET sends = sends + 1,"
        " confirm_params = COALESCE(confirm_params, $2),"
        " first_sent_at = COALESCE(first_sent_at, $3) WHERE id = $1 AND state = 'open'",
        attempt_id,
        confirm_params,
        now,
    )


async def set_action(
    tx: Transaction, attempt_id: str, now: datetime, next_check_at: datetime
) -> None:
    """The card holder has to act; nobody works on the attempt until then."""
    await tx.execute(
        "UPDATE payment_attempts SET state = 'action', action_at = $2, lease_until = $2,"
        " next_check_at = $3 WHERE id = $1 AND state = 'open'",
        attempt_id,
        now,
        next_check_at,
    )


async def note_secret_out(tx: Transaction, attempt_id: str, now: datetime) -> None:
    """The card holder was asked to act by somebody who only looked."""
    await tx.execute("UPDATE payment_attempts SET action_at = $2 WHERE id = $1", attempt_id, now)


async def close_attempt(
    tx: Transaction,
    attempt_id: str,
    state: AttemptState,
    now: datetime,
    refusal: CardRefusal | None = None,
) -> bool:
    """End an attempt; False when it was ended already."""
    check_move(ATTEMPT_MOVES, AttemptState.ACTION, state)
    changed = await tx.execute(
        "UPDATE payment_attempts SET state = $2, closed_at = $3, error_code = $4,"
        " error_message = $5, decline_code = $6, advice_code = $7, stripe_charge_id = $8"
        " WHERE id = $1 AND state IN ('open', 'action')",
        attempt_id,
        state,
        now,
        refusal.code if refusal else None,
        refusal.message if refusal else None,
        refusal.decline_code if refusal else None,
        refusal.advice_code if refusal else None,
        refusal.charge if refusal else None,
    )
    return changed == 1


async def withhold_reason(tx: Transaction, attempt_id: str) -> None:
    """Its decline is told without the reason."""
    await tx.execute("UPDATE payment_attempts SET is_told_plainly = TRUE WHERE id = $1", attempt_id)


async def list_due(tx: Transaction, now: datetime, limit: int) -> list[AttemptRow]:
    """Live attempts nobody works on whose time has come, locked against other workers."""
    rows = await tx.fetch(
        f"SELECT {_ATTEMPT} FROM payment_attempts WHERE state IN ('open', 'action')"
        " AND next_check_at <= $1 AND lease_until <= $1"
        " ORDER BY next_check_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return [row_as(AttemptRow, row) for row in rows]


async def note_check(tx: Transaction, attempt_id: str, next_check_at: datetime) -> None:
    await tx.execute(
        "UPDATE payment_attempts SET checks = checks + 1, next_check_at = $2 WHERE id = $1",
        attempt_id,
        next_check_at,
    )
