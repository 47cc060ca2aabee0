"""The merchant's lists, over all users. Nothing here decides anything.

Every query is led by an index that also gives the order, so that a page costs what a page holds:
`(created_at, id)` alone, behind the user or behind the state; or by a unique value. A walk goes
from the newest to the oldest by `(created_at, id)`, so what arrives meanwhile changes nothing of
the rest.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from paidonce.domain.merchant import OrderFilter, PaymentFilter
from paidonce.store.engine import Row, Transaction
from paidonce.store.listings import ORDER_VIEW
from paidonce.store.rows import AttemptRow, PaymentRow, columns

Place = tuple[datetime, str]

_LAST = "(SELECT max(n) FROM payment_attempts WHERE payment_id = p.id)"
_PAYMENTS = f"SELECT p.*, {_LAST} AS last_n FROM payments p"
_DETAILS = """
SELECT p.id, p.order_id, p.user_id, p.generation, p.amount_minor, p.currency, p.state,
       p.created_at, p.finished_at, p.stripe_payment_intent_id, p.stripe_charge_id,
       p.amount_refunded_minor, p.amount_captured_minor, p.capture_before,
       a.state AS attempt_state, a.error_code, a.decline_code, m.brand, m.last4, o.order_number
  FROM ({page}) p
  JOIN payment_attempts a ON a.payment_id = p.id AND a.n = p.last_n
  JOIN orders o ON o.id = p.order_id
  LEFT JOIN payment_methods m ON m.stripe_payment_method_id = a.stripe_payment_method_id
 ORDER BY p.created_at DESC, p.id DESC
"""
"""Around a page that is found already, so that nothing here is done for what is not shown."""
_GIVEN_BACK = "p.amount_refunded_minor >= COALESCE(p.amount_captured_minor, p.amount_minor)"
_LIVE = (
    "p.id IN (SELECT payment_id FROM payment_attempts"
    " WHERE state IN ('open', 'action') AND state = "
)
"""The first condition is the index's own; a live attempt has a live payment."""
_PAYMENT_STATUS = {
    "processing": f"{_LIVE}'open')",
    "requires_action": f"{_LIVE}'action')",
    "failed": "p.state = 'live' AND (SELECT state FROM payment_attempts WHERE payment_id = p.id"
    " ORDER BY n DESC LIMIT 1) NOT IN ('open', 'action')",
    "authorized": "p.state = 'authorized'",
    "succeeded": f"p.state = 'succeeded' AND NOT {_GIVEN_BACK}",
    "refunded": f"p.state = 'succeeded' AND p.amount_refunded_minor > 0 AND {_GIVEN_BACK}",
    "canceled": "p.state = 'canceled'",
    "surplus": "p.state = 'surplus'",
}


@dataclass
class _Conditions:
    """Conditions with numbered places, and what stands in them."""

    alias: str
    args: list[Any] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def place(self, value: object) -> str:
        self.args.append(value)
        return f"${len(self.args)}"

    def add(self, condition: str, value: object | None) -> None:
        """`condition` has `{}` where the value goes; None filters nothing."""
        if value is not None:
            self.parts.append(condition.format(self.place(value)))

    def created(self, since: datetime | None, until: datetime | None, before: Place | None) -> None:
        self.add(f"{self.alias}.created_at >= {{}}", since)
        self.add(f"{self.alias}.created_at < {{}}", until)
        if before is not None:
            places = ", ".join(self.place(value) for value in before)
            self.parts.append(f"({self.alias}.created_at, {self.alias}.id) < ({places})")

    def sql(self, view: str, limit: int) -> str:
        where = f" WHERE {' AND '.join(self.parts)}" if self.parts else ""
        order = f"ORDER BY {self.alias}.created_at DESC, {self.alias}.id DESC"
        return f"{view}{where} {order} LIMIT {self.place(limit)}"


def orders_query(wanted: OrderFilter, limit: int, before: Place | None) -> tuple[str, list[Any]]:
    """The statement and its parameters."""
    conditions = _Conditions("o")
    conditions.add("o.user_id = {}", wanted.user_id)
    conditions.add("o.status = {}", wanted.status)
    conditions.add("o.order_number = {}", wanted.order_number)
    conditions.created(wanted.created_from, wanted.created_to, before)
    return conditions.sql(ORDER_VIEW, limit), conditions.args


def payments_query(
    wanted: PaymentFilter, limit: int, before: Place | None
) -> tuple[str, list[Any]]:
    """The statement of the page and its parameters: payments with at least one attempt."""
    conditions = _Conditions("p")
    conditions.parts.append(f"{_LAST} IS NOT NULL")
    conditions.add("p.user_id = {}", wanted.user_id)
    conditions.add("p.order_id = {}", wanted.order_id)
    conditions.add(
        "p.order_id = (SELECT id FROM orders WHERE order_number = {})", wanted.order_number
    )
    conditions.add("p.stripe_payment_intent_id = {}", wanted.stripe_payment_intent_id)
    if wanted.status is not None:
        conditions.parts.append(_PAYMENT_STATUS[wanted.status])
    conditions.created(wanted.created_from, wanted.created_to, before)
    return conditions.sql(_PAYMENTS, limit), conditions.args


async def list_orders(
    tx: Transaction, wanted: OrderFilter, limit: int, before: Place | None
) -> list[Row]:
    sql, args = orders_query(wanted, limit, before)
    return await tx.fetch(sql, *args)


async def list_payments(
    tx: Transaction, wanted: PaymentFilter, limit: int, before: Place | None
) -> list[Row]:
    page, args = payments_query(wanted, limit, before)
    return await tx.fetch(_DETAILS.format(page=page), *args)


# --- the evidence of one order -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows of one order; `events` are Stripe's, from the inbox, `notices` what we tell others."""

    payments: list[Row]
    attempts: list[Row]
    history: list[Row]
    events: list[Row]
    notices: list[Row]


async def read_evidence(tx: Transaction, order_id: str, limit: int) -> Evidence:
    """At most `limit` rows of each kind, the oldest first."""
    return Evidence(
        payments=await tx.fetch(
            f"SELECT {columns(PaymentRow)}, amount_refunded_minor FROM payments"
            " WHERE order_id = $1 ORDER BY generation LIMIT $2",
            order_id,
            limit,
        ),
        attempts=await tx.fetch(
            f"SELECT {columns(AttemptRow, 'a.')}, m.brand, m.last4, m.fingerprint"
            " FROM payment_attempts a LEFT JOIN payment_methods m"
            " ON m.stripe_payment_method_id = a.stripe_payment_method_id"
            " WHERE a.order_id = $1 ORDER BY a.created_at, a.n LIMIT $2",
            order_id,
            limit,
        ),
        history=await tx.fetch(
            "SELECT id, payment_id, attempt_id, kind, data, created_at FROM payment_events"
            " WHERE order_id = $1 ORDER BY created_at, id LIMIT $2",
            order_id,
            limit,
        ),
        events=await tx.fetch(
            "SELECT id, type, object_id, state, note, event_created_at, received_at, worked_at"
            " FROM stripe_events WHERE stripe_payment_intent_id IN"
            " (SELECT stripe_payment_intent_id FROM payments WHERE order_id = $1)"
            " ORDER BY received_at, id LIMIT $2",
            order_id,
            limit,
        ),
        notices=await tx.fetch(
            "SELECT id, kind, created_at FROM outbox WHERE order_id = $1"
            " ORDER BY created_at, id LIMIT $2",
            order_id,
            limit,
        ),
    )
