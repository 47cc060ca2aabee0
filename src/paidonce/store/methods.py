"""PaymentMethods known to us. A row stays as a tombstone when its method is dead.

The states are those of `domain.states.MethodState`. A method is listed when its user asked to keep
it; of the listed ones of a user one is the default. The same card entered twice is two methods at
Stripe, known by one fingerprint, which never leaves our side, and one expiry: one of the two is
listed.

`last_used_at` orders the background work: of an attached method it says since when it lies idle, of
one that is `releasing` or `deleting` when its detach is to be sent (again).

Locks: whoever lists, unlists or moves the default takes `users.lock_user` first. A payment that
begins holds the method's row with KEY SHARE, whoever ends a method holds it with UPDATE: one of the
two sees the other. Order: the order's row, the user's, the methods'.
"""

from datetime import datetime, timedelta
from typing import Literal

from paidonce.domain.intent import Method
from paidonce.domain.states import MethodState
from paidonce.store.engine import Transaction
from paidonce.store.rows import MethodRow, columns, row_as, row_or_none
from paidonce.store.users import lock_user

_METHOD = columns(MethodRow)
LOOK_AGAIN = timedelta(days=1)
"""An idle method that was tried since, or whose order is open, is looked at again after a day."""


async def get_method(tx: Transaction, method_id: str) -> MethodRow | None:
    """By Stripe's id or by ours."""
    row = await tx.fetch_one(
        f"SELECT {_METHOD} FROM payment_methods WHERE stripe_payment_method_id = $1 OR id = $1",
        method_id,
    )
    return row_or_none(MethodRow, row)


async def get_method_to_pay(tx: Transaction, stripe_payment_method_id: str) -> MethodRow | None:
    """Held until the attempt is committed, so that nobody ends the method in between."""
    row = await tx.fetch_one(
        f"SELECT {_METHOD} FROM payment_methods WHERE stripe_payment_method_id = $1 FOR KEY SHARE",
        stripe_payment_method_id,
    )
    return row_or_none(MethodRow, row)


async def save_method(
    tx: Transaction, row_id: str, user_id: str, customer_id: str, method: Method, now: datetime
) -> None:
    """A method that Stripe has just attached to the user's customer. One that is being deleted or
    released stays so."""
    await tx.execute(
        "INSERT INTO payment_methods (id, user_id, stripe_payment_method_id, stripe_customer_id,"
        " state, is_listed, brand, last4, exp_month, exp_year, fingerprint, cardholder_name,"
        " created_at, last_used_at)"
        " VALUES ($1, $2, $3, $4, 'attached', FALSE, $5, $6, $7, $8, $9, $10, $11, $11)"
        " ON CONFLICT (stripe_payment_method_id) DO UPDATE SET state = 'attached',"
        " stripe_customer_id = excluded.stripe_customer_id, last_used_at = excluded.last_used_at"
        " WHERE payment_methods.user_id = excluded.user_id"
        " AND payment_methods.state IN ('attached', 'released')",
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


async def refresh_method(tx: Transaction, method: Method, now: datetime) -> None:
    """What Stripe says of it by now: a bank may renew a card without its holder. That may make it
    the twin of another listed one. Of a deleted one nothing is kept: its user may be erased."""
    known = await get_method(tx, method.id)
    if known is None:
        return
    await lock_user(tx, known.user_id)
    await tx.execute(
        "UPDATE payment_methods SET brand = $2, last4 = $3, exp_month = $4, exp_year = $5,"
        " fingerprint = $6, cardholder_name = $7"
        " WHERE stripe_payment_method_id = $1 AND state <> 'deleted'",
        method.id,
        method.brand,
        method.last4,
        method.exp_month,
        method.exp_year,
        method.fingerprint,
        method.cardholder_name,
    )
    renewed = await get_method(tx, method.id)
    if renewed is not None and renewed.is_listed:
        await _list_one_entry(tx, renewed, now)


async def list_attached(
    tx: Transaction, user_id: str, customer_id: str, before: datetime
) -> list[MethodRow]:
    """The user's methods that were attached to this customer before then, listed or not."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE user_id = $1 AND stripe_customer_id = $2"
        " AND state = 'attached' AND created_at < $3 ORDER BY created_at, id",
        user_id,
        customer_id,
        before,
    )
    return [row_as(MethodRow, row) for row in rows]


async def note_use(tx: Transaction, stripe_payment_method_id: str, now: datetime) -> None:
    """It has paid."""
    await tx.execute(
        "UPDATE payment_methods SET last_used_at = $2, first_paid_at = COALESCE(first_paid_at, $2)"
        " WHERE stripe_payment_method_id = $1 AND state = 'attached'",
        stripe_payment_method_id,
        now,
    )


# --- the list ------------------------------------------------------------------------------------


async def keep_method(
    tx: Transaction, user_id: str, stripe_payment_method_id: str, now: datetime
) -> MethodRow | None:
    """List the method, and give the listed one, which may be another entry of the same card. None
    when it is not attached to this user any more."""
    row = await tx.fetch_one(
        f"SELECT {_METHOD} FROM payment_methods WHERE stripe_payment_method_id = $1"
        " FOR NO KEY UPDATE",  # whoever wants to end it comes before or after
        stripe_payment_method_id,
    )
    method = row_or_none(MethodRow, row)
    if method is None or method.user_id != user_id or method.state is not MethodState.ATTACHED:
        return None
    listed = method if method.is_listed else await _list_one_entry(tx, method, now)
    await _ensure_default(tx, user_id, now)
    return await get_method(tx, listed.id)


async def _list_one_entry(tx: Transaction, method: MethodRow, now: datetime) -> MethodRow:
    """List the method or keep another entry of the same card, and unlist what gives way: of entries
    with one expiry the one that is listed already stays, of those the oldest; an expired entry
    gives way to one that expires later."""
    others = await _list_entries(tx, method, is_listed=True)
    rivals = [method, *(other for other in others if _is_rival(method, other, now))]
    best = min(rivals, key=_rank)
    gives_way = [each for each in rivals if each.id != best.id and _is_rival(best, each, now)]
    for each in gives_way:
        if each.is_listed:
            await _unlist(tx, each)
    if not best.is_listed:
        await tx.execute("UPDATE payment_methods SET is_listed = TRUE WHERE id = $1", best.id)
    if not best.is_default and any(each.is_default for each in gives_way):
        await set_default(tx, method.user_id, best.id)
    return best


def _is_rival(one: MethodRow, other: MethodRow, now: datetime) -> bool:
    """Whether one of two entries of a number has to give way: same card, or its older plastic."""
    return _is_same(one, other) or is_expired(one, now) or is_expired(other, now)


def _is_same(one: MethodRow, other: MethodRow) -> bool:
    """Of two entries of a number: with one expiry they are one card."""
    return (one.exp_year, one.exp_month) == (other.exp_year, other.exp_month)


def _rank(entry: MethodRow) -> tuple[int, int, bool, datetime, str]:
    year, month = entry.exp_year or 0, entry.exp_month or 0
    return -year, -month, not entry.is_listed, entry.created_at, entry.id


def is_expired(method: MethodRow, now: datetime) -> bool:
    """A card is good to the end of its month."""
    expiry = (method.exp_year or now.year, method.exp_month or now.month)
    return expiry < (now.year, now.month)


async def _unlist(tx: Transaction, method: MethodRow) -> None:
    """It goes on paying for whoever holds its id."""
    await tx.execute(
        "UPDATE payment_methods SET is_listed = FALSE, is_default = FALSE WHERE id = $1", method.id
    )


async def set_default(tx: Transaction, user_id: str, row_id: str) -> None:
    """One default at a time."""
    await tx.execute(
        "UPDATE payment_methods SET is_default = FALSE"
        " WHERE user_id = $1 AND is_default AND id <> $2",
        user_id,
        row_id,
    )
    await tx.execute("UPDATE payment_methods SET is_default = TRUE WHERE id = $1", row_id)


async def _ensure_default(tx: Transaction, user_id: str, now: datetime) -> None:
    """As long as any card is listed one is the default: unless the user chose the newest, and an
    expired one only where there is no other."""
    await tx.execute(
        "UPDATE payment_methods SET is_default = TRUE WHERE id ="
        " (SELECT id FROM payment_methods WHERE user_id = $1 AND state = 'attached' AND is_listed"
        f"   ORDER BY {is_expired_sql('$2', '$3')}, created_at DESC, id DESC LIMIT 1)"
        " AND NOT EXISTS (SELECT 1 FROM payment_methods WHERE user_id = $1 AND is_default)",
        user_id,
        now.year,
        now.month,
    )


async def _list_entries(
    tx: Transaction, method: MethodRow, *, is_listed: bool, is_locking: bool = False
) -> list[MethodRow]:
    """The user's other attached methods of the same card number, oldest first."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE user_id = $1 AND fingerprint = $2"
        " AND id <> $3 AND state = 'attached' AND is_listed = $4 ORDER BY created_at, id"
        + (" FOR UPDATE" if is_locking else ""),
        method.user_id,
        method.fingerprint,
        method.id,
        is_listed,
    )
    return [row_as(MethodRow, row) for row in rows]


def is_expired_sql(year: str, month: str, alias: str = "") -> str:
    """`is_expired` for any statement, 1 or 0."""
    after = f"{alias}exp_year * 12 + {alias}exp_month < {year} * 12 + {month}"
    return f"CASE WHEN {after} THEN 1 ELSE 0 END"


# --- the end of a method -------------------------------------------------------------------------


async def begin_deleting(
    tx: Transaction, user_id: str, method: MethodRow, now: datetime, due_at: datetime
) -> list[MethodRow] | None:
    """Unlist a card with every entry of it that is not listed by itself; what is to be detached
    from `due_at` on. None while a payment with one of them is not over."""
    locked = await tx.fetch_one(
        f"SELECT {_METHOD} FROM payment_methods WHERE id = $1 FOR UPDATE", method.id
    )
    entries = [row_as(MethodRow, locked)] if locked is not None else []
    stay = await _list_entries(tx, method, is_listed=True)
    others = await _list_entries(tx, method, is_listed=False, is_locking=True)
    entries += [other for other in others if _goes_with(method, other, stay, now)]
    for entry in entries:
        if await _is_in_use(tx, entry):
            return None
    for entry in entries:
        await tx.execute(
            "UPDATE payment_methods SET state = 'deleting', is_listed = FALSE, is_default = FALSE,"
            " last_used_at = $2 WHERE id = $1 AND state = 'attached'",
            entry.id,
            due_at,
        )
    await _ensure_default(tx, user_id, now)
    return entries


def _goes_with(method: MethodRow, entry: MethodRow, stay: list[MethodRow], now: datetime) -> bool:
    """Whether an unlisted entry of its number is the deleted card's: the same card, or old plastic,
    unless that is the same as one that stays in the list."""
    is_of_another = any(_is_same(entry, each) for each in stay)
    return _is_same(method, entry) or (is_expired(entry, now) and not is_of_another)


async def begin_releasing_idle(
    tx: Transaction, idle_since: datetime, now: datetime, limit: int
) -> None:
    """Methods that nobody asked to keep and nobody used since. The rows are locked before it is
    looked who uses them, so that a payment that began first wins."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE state = 'attached' AND NOT is_listed"
        " AND last_used_at <= $1 ORDER BY last_used_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        idle_since,
        limit,
    )
    for row in rows:
        method = row_as(MethodRow, row)
        is_used = await _is_in_use(tx, method, idle_since=idle_since)
        await tx.execute(
            "UPDATE payment_methods SET state = $2, last_used_at = $3 WHERE id = $1",
            method.id,
            MethodState.ATTACHED if is_used else MethodState.RELEASING,
            idle_since + LOOK_AGAIN if is_used else now,
        )


async def take_to_detach(
    tx: Transaction, now: datetime, later: datetime, limit: int
) -> list[MethodRow]:
    """Methods whose detach is due, put off against other workers."""
    rows = await tx.fetch(
        f"SELECT {_METHOD} FROM payment_methods WHERE state IN ('releasing', 'deleting')"
        " AND last_used_at <= $1 ORDER BY last_used_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    for row in rows:
        await tx.execute(
            "UPDATE payment_methods SET last_used_at = $2 WHERE id = $1", row["id"], later
        )
    return [row_as(MethodRow, row) for row in rows]


async def release_method(tx: Transaction, stripe_payment_method_id: str, now: datetime) -> None:
    """It is attached to nobody any more: Stripe said so."""
    method = await get_method(tx, stripe_payment_method_id)
    if method is None:
        return
    await lock_user(tx, method.user_id)
    await tx.execute(
        "UPDATE payment_methods SET is_listed = FALSE, is_default = FALSE,"
        " state = CASE WHEN state IN ('deleting', 'deleted') THEN 'deleted' ELSE 'released' END"
        " WHERE id = $1",
        method.id,
    )
    await _ensure_default(tx, method.user_id, now)


async def release_methods_of_customer(tx: Transaction, stripe_customer_id: str) -> None:
    await tx.execute(
        "UPDATE payment_methods SET state = 'released', is_listed = FALSE, is_default = FALSE"
        " WHERE stripe_customer_id = $1 AND state = 'attached'",
        stripe_customer_id,
    )


async def _is_in_use(
    tx: Transaction, method: MethodRow, *, idle_since: datetime | None = None
) -> bool:
    """Whether an attempt with it is not over; with `idle_since` also whether it was tried since
    then, or an order is open that was tried to be paid with it."""
    is_used = "a.state IN ('open', 'action')"
    values: list[object] = [method.user_id, method.stripe_payment_method_id]
    if idle_since is not None:
        is_used = f"({is_used} OR a.created_at > $3 OR o.status IN ('pending', 'canceling'))"
        values.append(idle_since)
    row = await tx.fetch_one(
        "SELECT 1 AS one FROM orders o JOIN payment_attempts a ON a.order_id = o.id"
        " WHERE o.user_id = $1 AND (a.stripe_payment_method_id = $2 OR a.requested_method_id = $2)"
        f" AND {is_used} LIMIT 1",
        *values,
    )
    return row is not None


# --- saves, as the limits count them -------------------------------------------------------------


_INSERT_SAVE = """
INSERT INTO declined_saves (id, user_id, client_address, device_hash, card, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""


async def note_save(
    tx: Transaction,
    save_id: str,
    user_id: str,
    client_address: str,
    device_hash: str,
    card: str,
    now: datetime,
    forget_before: datetime,
) -> None:
    """A save begins, and may become a decline. Those that count no longer go."""
    await tx.execute("DELETE FROM declined_saves WHERE created_at <= $1", forget_before)
    await tx.execute(_INSERT_SAVE, save_id, user_id, client_address, device_hash, card, "open", now)


async def note_client_save(
    tx: Transaction,
    save_id: str,
    user_id: str,
    client_address: str,
    device_hash: str,
    card: str,
    state: Literal["declined", "saved"],
    saved_at: datetime,
) -> None:
    """What became of a card that the app has tried to save by itself: counted once."""
    await tx.execute(
        f"{_INSERT_SAVE} ON CONFLICT DO NOTHING",
        save_id,
        user_id,
        client_address,
        device_hash,
        card,
        state,
        saved_at,
    )


async def end_save(
    tx: Transaction, save_id: str, state: Literal["declined", "saved"], card: str | None = None
) -> None:
    """What became of it; the card of one that was saved counts among the different ones too."""
    await tx.execute(
        "UPDATE declined_saves SET state = $2, card = COALESCE($3, card) WHERE id = $1",
        save_id,
        state,
        card,
    )


async def forget_save(tx: Transaction, save_id: str) -> None:
    """It told nothing of its card."""
    await tx.execute("DELETE FROM declined_saves WHERE id = $1", save_id)
