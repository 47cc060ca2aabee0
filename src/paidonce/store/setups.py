"""SetupIntents of users: written down before Stripe is asked, and never deleted.

Every function that changes a row expects the user to be locked (`users.lock_user`), but
`take_due`, `take_to_look` and what is only about sending.
"""

from collections.abc import Sequence
from datetime import datetime

from paidonce.domain.states import SETUP_MOVES, SetupState, check_move
from paidonce.store.engine import Transaction
from paidonce.store.rows import SetupRow, columns, insert_row, row_as, row_or_none

_SETUP = columns(SetupRow)


async def insert_setup(tx: Transaction, setup: SetupRow) -> None:
    await insert_row(tx, "setups", setup)


async def get_setup(tx: Transaction, setup_id: str) -> SetupRow:
    row = await tx.fetch_one(f"SELECT {_SETUP} FROM setups WHERE id = $1", setup_id)
    if row is None:
        raise LookupError("setups are never deleted")
    return row_as(SetupRow, row)


async def get_setup_of_intent(tx: Transaction, stripe_setup_intent_id: str) -> SetupRow | None:
    row = await tx.fetch_one(
        f"SELECT {_SETUP} FROM setups WHERE stripe_setup_intent_id = $1", stripe_setup_intent_id
    )
    return row_or_none(SetupRow, row)


async def get_open_setup(
    tx: Transaction, user_id: str, customer_id: str, since: datetime, now: datetime
) -> SetupRow | None:
    """The user's latest one that the app may still go on with."""
    row = await tx.fetch_one(
        f"SELECT {_SETUP} FROM setups WHERE user_id = $1 AND created_at > $2 AND state = 'open'"
        " AND stripe_customer_id = $3 AND ends_at > $4 ORDER BY created_at DESC, id LIMIT 1",
        user_id,
        since,
        customer_id,
        now,
    )
    return row_or_none(SetupRow, row)


async def count_since(
    tx: Transaction, user_id: str, since: datetime
) -> tuple[int, datetime | None]:
    """How many were begun since, and when the first of them was."""
    row = await tx.fetch_one(
        "SELECT count(*) AS n, min(created_at) AS first_at FROM setups"
        " WHERE user_id = $1 AND created_at > $2",
        user_id,
        since,
    )
    return (int(row["n"]), row["first_at"]) if row else (0, None)


async def wish_default(tx: Transaction, setup_id: str, *, is_default: bool) -> None:
    await tx.execute("UPDATE setups SET is_default = $2 WHERE id = $1", setup_id, is_default)


async def forget_wishes(tx: Transaction, user_id: str) -> None:
    """The user has chosen a default himself: what he wished before does not count any more."""
    await tx.execute(
        "UPDATE setups SET is_default = FALSE WHERE user_id = $1 AND state = 'open'", user_id
    )


async def next_key(tx: Transaction, setup_id: str, old_key_no: int) -> None:
    """Stripe saved a 5xx under the old key and will never answer anything else."""
    await tx.execute(
        "UPDATE setups SET key_no = $2 + 1 WHERE id = $1 AND key_no = $2", setup_id, old_key_no
    )


async def save_intent(
    tx: Transaction, setup_id: str, stripe_setup_intent_id: str, next_check_at: datetime
) -> None:
    """The first answer wins."""
    await tx.execute(
        "UPDATE setups SET stripe_setup_intent_id = $2, next_check_at = $3"
        " WHERE id = $1 AND stripe_setup_intent_id IS NULL",
        setup_id,
        stripe_setup_intent_id,
        next_check_at,
    )


async def note_settled(
    tx: Transaction, setup_id: str, attempt_id: str, next_check_at: datetime
) -> None:
    """Somebody is trying: it is looked at again soon."""
    await tx.execute(
        "UPDATE setups SET settled_attempt_id = $2, checks = 0, next_check_at = $3 WHERE id = $1",
        setup_id,
        attempt_id,
        next_check_at,
    )


async def set_state(
    tx: Transaction, setup_id: str, old: SetupState, new: SetupState, now: datetime
) -> None:
    check_move(SETUP_MOVES, old, new)
    await tx.execute(
        "UPDATE setups SET state = $2, finished_at = $3 WHERE id = $1", setup_id, new, now
    )


async def end_all(tx: Transaction, user_id: str, now: datetime) -> None:
    """None of the user's goes on: the worker cancels them at Stripe."""
    await tx.execute(
        "UPDATE setups SET ends_at = $2, next_check_at = $2"
        " WHERE user_id = $1 AND state = 'open' AND ends_at > $2",
        user_id,
        now,
    )


# --- whose turn it is ----------------------------------------------------------------------------


async def take_due(
    tx: Transaction, now: datetime, later: datetime, next_checks: Sequence[datetime], limit: int
) -> list[SetupRow]:
    """Those whose time has come, put off against other workers: to the time that stands in
    `next_checks` for so many looks, the last one for any more, and to `ends_at` at the latest.
    One that is to end comes again `later`, until it has ended."""
    rows = await tx.fetch(
        f"SELECT {_SETUP} FROM setups WHERE state = 'open' AND next_check_at <= $1"
        " ORDER BY next_check_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    setups = [row_as(SetupRow, row) for row in rows]
    for setup in setups:
        next_look_at = next_checks[min(setup.checks, len(next_checks) - 1)]
        next_check_at = later if setup.ends_at <= now else min(next_look_at, setup.ends_at)
        await tx.execute(
            "UPDATE setups SET checks = checks + 1, next_check_at = $2 WHERE id = $1",
            setup.id,
            next_check_at,
        )
    return setups


async def list_to_look(
    tx: Transaction, user_id: str, before: datetime, limit: int
) -> list[SetupRow]:
    """The user's open ones that nobody looked at since `before`, newest first."""
    rows = await tx.fetch(
        f"SELECT {_SETUP} FROM setups WHERE user_id = $1 AND state = 'open'"
        " AND stripe_setup_intent_id IS NOT NULL AND (looked_at IS NULL OR looked_at <= $2)"
        " ORDER BY created_at DESC, id LIMIT $3",
        user_id,
        before,
        limit,
    )
    return [row_as(SetupRow, row) for row in rows]


async def note_look(tx: Transaction, setup_id: str, before: datetime, now: datetime) -> bool:
    """False when somebody else has looked since `before`."""
    changed = await tx.execute(
        "UPDATE setups SET looked_at = $3 WHERE id = $1 AND state = 'open'"
        " AND (looked_at IS NULL OR looked_at <= $2)",
        setup_id,
        before,
        now,
    )
    return changed == 1
