"""Users and their Stripe customers. `tx.users` says in which table a customer is recorded."""

from datetime import datetime

from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import UserRow, columns, row_or_none
from paidonce.store.users_table import OWN, IdKind, UsersTable, host_table

_OURS = ", ".join(f"u.{name}" for name in columns(UserRow).split(", ") if "stripe" not in name)


async def get_users_table(tx: Transaction, *, has_schemas: bool) -> UsersTable:
    """The adopted table of the host, or our own; a table half adopted counts as adopted."""
    row = await tx.fetch_one(
        "SELECT schema_name, table_name, id_column, email_column, id_kind FROM host_users"
    )
    if row is None:
        return OWN
    return host_table(
        schema=row["schema_name"] if has_schemas else None,
        table=row["table_name"],
        id_column=row["id_column"],
        email_column=row["email_column"],
        id_kind=IdKind(row["id_kind"]),
    )


async def is_known(tx: Transaction, user_id: str) -> bool:
    """Whether the user is in the host's table; with a table of our own everybody may come."""
    users = tx.users
    if not users.is_host:
        return True
    if not users.can_have(user_id):
        return False
    row = await tx.fetch_one(
        f"SELECT 1 AS one FROM {users.name} WHERE {users.has_id('$1')}", user_id
    )
    return row is not None


async def ensure_user(tx: Transaction, user_id: str, email: str | None, now: datetime) -> bool:
    """Our row of the user, made at first sight. False: the host's table does not have him.

    The e-mail of a known user stays: it is a parameter of a keyed Stripe call, which must not
    change under its key. With a host's table it is the host's, whatever the caller says.
    """
    users = tx.users
    if users.is_host:
        row = (
            await tx.fetch_one(
                f"SELECT CAST({users.email_column} AS TEXT) AS email FROM {users.name}"
                f" WHERE {users.has_id('$1')}",
                user_id,
            )
            if users.can_have(user_id)
            else None
        )
        if row is None:
            return False
        email = row["email"]
    await tx.execute(
        "INSERT INTO users (id, email, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user_id,
        email,
        now,
    )
    return True


async def get_user(tx: Transaction, user_id: str) -> UserRow | None:
    """None for a user never seen, and for one whom the host has deleted."""
    if not tx.users.can_have(user_id):
        return None
    row = await tx.fetch_one(
        f"SELECT {_OURS}, h.stripe_customer_id FROM users u"
        f" JOIN {tx.users.name} h ON {tx.users.has_id('u.id', 'h.')}"
        " WHERE u.id = $1",
        user_id,
    )
    return row_or_none(UserRow, row)


async def lock_user(tx: Transaction, user_id: str) -> None:
    """Whoever moves the key number, the customer or the list of cards comes here first. New orders
    of the user, which point to the row, are not held up."""
    await tx.fetch_one("SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)


async def note_customer_request(tx: Transaction, user_id: str, now: datetime) -> None:
    """The first time a create is sent under the present key number."""
    await tx.execute(
        "UPDATE users SET customer_requested_at = COALESCE(customer_requested_at, $2)"
        " WHERE id = $1",
        user_id,
        now,
    )


async def next_customer_key(
    tx: Transaction, user_id: str, old_key_no: int, *, is_email_refused: bool = False
) -> None:
    """The next key of the create; without the e-mail when Stripe refused just that."""
    await tx.execute(
        "UPDATE users SET customer_key_no = $2 + 1, customer_requested_at = NULL,"
        " email = CASE WHEN $3 THEN NULL ELSE email END"
        " WHERE id = $1 AND customer_key_no = $2",
        user_id,
        old_key_no,
        is_email_refused,
    )


async def save_customer(
    tx: Transaction, user_id: str, key_no: int, stripe_customer_id: str
) -> bool:
    """The first answer under the present key wins; the others read the winner."""
    await lock_user(tx, user_id)
    changed = await tx.execute(
        f"UPDATE {tx.users.name} SET stripe_customer_id = $2"
        f" WHERE {tx.users.has_id('$1')} AND stripe_customer_id IS NULL"
        " AND EXISTS (SELECT 1 FROM users u WHERE u.id = $1 AND u.customer_key_no = $3)"
        f" AND NOT EXISTS (SELECT 1 FROM {tx.users.name} o WHERE o.stripe_customer_id = $2)",
        user_id,
        stripe_customer_id,
        key_no,
    )
    return changed == 1


async def forget_customer(tx: Transaction, user_id: str, gone_customer_id: str) -> bool:
    """A customer deleted at Stripe, cleared only if it is still the recorded one."""
    await lock_user(tx, user_id)
    changed = await tx.execute(
        f"UPDATE {tx.users.name} SET stripe_customer_id = NULL"
        f" WHERE {tx.users.has_id('$1')} AND stripe_customer_id = $2",
        user_id,
        gone_customer_id,
    )
    if changed == 1:
        await tx.execute(
            "UPDATE users SET customer_key_no = customer_key_no + 1, customer_requested_at = NULL"
            " WHERE id = $1",
            user_id,
        )
    return changed == 1


async def get_user_of_customer(tx: Transaction, stripe_customer_id: str) -> str | None:
    row: Row | None = await tx.fetch_one(
        f"SELECT {tx.users.id_text()} AS id FROM {tx.users.name} WHERE stripe_customer_id = $1",
        stripe_customer_id,
    )
    return None if row is None else str(row["id"])


async def get_recorded_customer(tx: Transaction, user_id: str) -> str | None:
    """Where users have theirs, ours or the host's; one may have his before we have met him."""
    table = tx.users
    if not table.can_have(user_id):
        return None
    row = await tx.fetch_one(
        f"SELECT stripe_customer_id AS id FROM {table.name} WHERE {table.has_id('$1')}", user_id
    )
    return None if row is None or row["id"] is None else str(row["id"])


async def get_methods_seen_at(tx: Transaction, user_id: str) -> datetime | None:
    row = await tx.fetch_one("SELECT methods_seen_at FROM users WHERE id = $1", user_id)
    return row["methods_seen_at"] if row else None


async def note_methods_seen(tx: Transaction, user_id: str, now: datetime) -> None:
    await tx.execute("UPDATE users SET methods_seen_at = $2 WHERE id = $1", user_id, now)
