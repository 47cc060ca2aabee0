"""The known-card path in one PostgreSQL round trip before Stripe's call and one after it.

Each statement does what a transaction of several statements does on the general road
(`payments.pay`: `claim`, `record`), but only in the plain case: everything known, nothing in the
way. In any other case it changes nothing and gives None, and the caller takes the general road.
The rows that decide are locked in the statement's first part, so PostgreSQL looks at their newest
versions; a concurrent winner makes the unique indexes refuse the insert. The method's row is locked
against whoever wants to delete or release it; other payments with it go on.

Only a card that has paid before: whatever may be a test of a card goes the general road, where it
is counted while it is on its way. A card that is to be listed for the first time takes the general
road after its success: whether the same card is listed already can only be seen under the user's
lock, in a later statement.
"""

from dataclasses import fields
from datetime import datetime
from functools import lru_cache

from paidonce.store.engine import Row
from paidonce.store.forgotten import is_refused_sql
from paidonce.store.postgresql import PostgresqlDatabase
from paidonce.store.rows import AttemptRow, OrderRow, PaymentRow, columns, row_as
from paidonce.store.users_table import UsersTable


def _prefixed(shape: type, alias: str, prefix: str) -> str:
    """The fields of `shape` out of what was selected or returned under their names."""
    names = [item.name for item in fields(shape)]
    return ", ".join(f"{alias}.{name} AS {prefix}{name}" for name in names)


def _unprefixed(row: Row, prefix: str) -> Row:
    size = len(prefix)
    return {name[size:]: value for name, value in row.items() if name.startswith(prefix)}


@lru_cache(maxsize=8)
def _claim_sql(users: UsersTable) -> str:
    return f"""
WITH ready AS (
    SELECT {_prefixed(OrderRow, "o", "o_")}, {_prefixed(PaymentRow, "p", "p_")},
           m.stripe_payment_method_id AS method_id
      FROM orders o
      JOIN payments p ON p.order_id = o.id AND p.state = 'live'
      JOIN {users.name} u ON {users.has_id("o.user_id", "u.")}
       AND u.stripe_customer_id = p.stripe_customer_id
      JOIN payment_methods m ON m.stripe_payment_method_id = $4 AND m.user_id = o.user_id
       AND m.state = 'attached' AND m.stripe_customer_id = p.stripe_customer_id
       AND m.first_paid_at IS NOT NULL
     WHERE o.id = $1 AND o.user_id = $2 AND o.status = 'pending'
       AND o.amount_refunded_minor < o.amount_minor
       AND p.stripe_payment_intent_id IS NOT NULL AND p.method_policy = 'attach'
       AND NOT EXISTS (SELECT 1 FROM payment_attempts a
                        WHERE a.payment_id = p.id AND a.state IN ('open', 'action'))
       AND (SELECT count(*) FROM payment_attempts a WHERE a.user_id = $2
             AND a.state = 'declined' AND a.closed_at > $11)
         + (SELECT count(*) FROM declined_saves d WHERE d.user_id = $2 AND d.state <> 'saved'
             AND d.created_at > $11) < $12
       AND (SELECT count(*) FROM payment_attempts a WHERE a.client_address = $7
             AND a.state = 'declined' AND a.closed_at > $11)
         + (SELECT count(*) FROM declined_saves d WHERE d.client_address = $7
             AND d.state <> 'saved' AND d.created_at > $11) < $13
       AND NOT EXISTS (SELECT 1 FROM payment_attempts a WHERE a.device_hash = $16
             AND a.device_hash <> '' AND a.state = 'declined' AND a.closed_at > $11)
       AND NOT {is_refused_sql("o.id")}
       AND (SELECT intents_known_until FROM installation) >= $15
       FOR UPDATE OF o, p FOR KEY SHARE OF m
), attempt AS (
    INSERT INTO payment_attempts (id, payment_id, order_id, user_id, n, source, state,
           requested_method_id, stripe_payment_method_id, is_saving_method, is_single_use,
           confirm_params, stripe_version, sends, lease_owner, lease_until, next_check_at,
           client_address, device_hash, created_at, first_sent_at)
    SELECT $3, p_id, o_id, o_user_id,
           (SELECT COALESCE(max(n), 0) + 1 FROM payment_attempts WHERE payment_id = p_id),
           'server', 'open', $4, method_id, $5, FALSE, $6, p_stripe_version, 1,
           $8, $9, $9, $7, $16, $10, $10
      FROM ready
    ON CONFLICT DO NOTHING
    RETURNING {columns(AttemptRow)}
), history AS (
    INSERT INTO payment_events (id, order_id, payment_id, attempt_id, kind, data, created_at)
    SELECT $14, order_id, payment_id, id, 'attempt.sent',
           format('{{"n": %s%s}}', n, ', "requestId": ' || to_json($17::text)::text), $10
      FROM attempt
)
SELECT ready.*, {_prefixed(AttemptRow, "attempt", "a_")} FROM ready, attempt
"""


_PAID = """
WITH standing AS (
    SELECT o.id AS order_id, p.id AS payment_id, a.id AS attempt_id,
           a.stripe_payment_method_id AS method_id
      FROM orders o
      JOIN payments p ON p.id = $2 AND p.order_id = o.id AND p.state = 'live'
      JOIN payment_attempts a ON a.id = $3 AND a.payment_id = p.id AND a.state IN ('open', 'action')
     WHERE o.id = $1 AND o.status = 'pending'
       AND (NOT a.is_saving_method OR a.is_single_use OR EXISTS (SELECT 1 FROM payment_methods m
             WHERE m.stripe_payment_method_id = a.stripe_payment_method_id AND m.is_listed))
       FOR UPDATE OF o, p, a
), attempt AS (
    UPDATE payment_attempts SET state = 'succeeded', closed_at = $5
      FROM standing WHERE payment_attempts.id = standing.attempt_id
), payment AS (
    UPDATE payments SET state = 'succeeded', stripe_charge_id = $4, finished_at = $5
      FROM standing WHERE payments.id = standing.payment_id
), paid AS (
    UPDATE orders SET status = 'paid', paid_at = $5
      FROM standing WHERE orders.id = standing.order_id RETURNING orders.id
), method AS (
    UPDATE payment_methods SET last_used_at = $5, first_paid_at = COALESCE(first_paid_at, $5)
      FROM standing WHERE payment_methods.stripe_payment_method_id = standing.method_id
       AND payment_methods.state = 'attached'
), notice AS (
    INSERT INTO outbox (id, order_id, kind, payload, created_at)
    SELECT $6, order_id, 'order.paid', $7, $5 FROM standing ON CONFLICT DO NOTHING
), history AS (
    INSERT INTO payment_events (id, order_id, payment_id, attempt_id, kind, data, created_at)
    SELECT $8, order_id, payment_id, attempt_id, 'payment.succeeded', $9, $5::timestamptz
      FROM standing
    UNION ALL
    SELECT $10, order_id, payment_id, attempt_id, 'attempt.succeeded', $11, $5
      FROM standing
)
SELECT id FROM paid
"""


async def claim_ready(
    db: PostgresqlDatabase,
    *,
    order_id: str,
    user_id: str,
    attempt_id: str,
    method_id: str,
    is_saving_method: bool,
    confirm_params: str,
    client_address: str,
    lease_owner: str,
    lease_until: datetime,
    now: datetime,
    declines_since: datetime,
    declines_per_user: int,
    declines_per_address: int,
    event_id: str,
    known_until: datetime,
    device_hash: str = "",
    request_id: str | None = None,
) -> tuple[OrderRow, PaymentRow, AttemptRow] | None:
    """T1 with the send recorded: attempt inserted, lease taken, confirm may be sent at once."""
    row = await db.statement(
        "claim",
        _claim_sql(db.users),
        order_id,
        user_id,
        attempt_id,
        method_id,
        is_saving_method,
        confirm_params,
        client_address,
        lease_owner,
        lease_until,
        now,
        declines_since,
        declines_per_user,
        declines_per_address,
        event_id,
        known_until,
        device_hash,
        request_id,
    )
    if row is None:
        return None
    return (
        row_as(OrderRow, _unprefixed(row, "o_")),
        row_as(PaymentRow, _unprefixed(row, "p_")),
        row_as(AttemptRow, _unprefixed(row, "a_")),
    )


async def record_paid(
    db: PostgresqlDatabase,
    *,
    order_id: str,
    payment_id: str,
    attempt_id: str,
    stripe_charge_id: str | None,
    now: datetime,
    outbox_id: str,
    outbox_payload: str,
    event_id: str,
    event_data: str,
    attempt_event_id: str,
    attempt_event_data: str,
) -> bool:
    """P7 after a success: attempt, payment, order, method and outbox in one commit."""
    row = await db.statement(
        "paid",
        _PAID,
        order_id,
        payment_id,
        attempt_id,
        stripe_charge_id,
        now,
        outbox_id,
        outbox_payload,
        event_id,
        event_data,
        attempt_event_id,
        attempt_event_data,
    )
    return row is not None
