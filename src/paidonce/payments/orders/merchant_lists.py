"""The merchant's lists of orders and payments, and the timeline: the evidence of one order.

The evidence holds what a person needs who is asked "who paid this, with what, and what did Stripe
say": ids, idempotency keys, times, state changes, Stripe's request ids. Client secrets are nowhere
in our books; a client's address is shown as its network.
"""

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from paidonce.domain import errors
from paidonce.domain.merchant import (
    MerchantPayment,
    OrderFilter,
    PaymentFilter,
    Timeline,
    TimelineEntry,
)
from paidonce.domain.model import Order, Page
from paidonce.domain.states import PaymentState
from paidonce.payments.context import Context
from paidonce.payments.cursors import decode_cursor, next_cursor
from paidonce.payments.orders import shopping
from paidonce.payments.requests import confirm_request, intent_request
from paidonce.store import listings, merchant_lists
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import AttemptRow, PaymentRow, row_as

MOST_ENTRIES = 500
"""Of each kind; an order has a handful."""
KEPT_BITS = {4: 24, 6: 48}
"""Of a client's address: the network, as an access log may keep it."""
NAMES = {
    "n": "attemptNumber",
    "intent": "stripePaymentIntentId",
    "charge": "stripeChargeId",
    "refund": "refundId",
    "request": "stripeRequestId",
}
"""What a note's own words are called in the answer."""


async def list_orders(
    ctx: Context, wanted: OrderFilter, limit: int, cursor: str | None
) -> Page[Order]:
    before = decode_cursor(cursor)
    rows = await ctx.db.read(lambda tx: merchant_lists.list_orders(tx, wanted, limit + 1, before))
    return Page([shopping.order_of(row) for row in rows[:limit]], next_cursor(rows, limit))


async def list_payments(
    ctx: Context, wanted: PaymentFilter, limit: int, cursor: str | None
) -> Page[MerchantPayment]:
    """Payments that were tried at least once, newest first."""
    before = decode_cursor(cursor)
    rows = await ctx.db.read(lambda tx: merchant_lists.list_payments(tx, wanted, limit + 1, before))
    return Page([_payment_of(row) for row in rows[:limit]], next_cursor(rows, limit))


def _payment_of(row: Row) -> MerchantPayment:
    return MerchantPayment(
        summary=replace(shopping.summary_of(row), status=_status(row)),
        user_id=row["user_id"],
        order_number=row["order_number"],
        generation=row["generation"],
        stripe_charge_id=row["stripe_charge_id"],
        amount_refunded_minor=row["amount_refunded_minor"],
        amount_captured_minor=row["amount_captured_minor"],
        capture_before=row["capture_before"],
        error_code=row["error_code"],
        decline_code=row["decline_code"],
        created_at=row["created_at"],
    )


def _status(row: Row) -> str:
    """One of PAYMENT_STATUSES, as the filter means it."""
    taken = row["amount_captured_minor"] or row["amount_minor"]
    match PaymentState(row["state"]):
        case PaymentState.LIVE:
            states = {"open": "processing", "action": "requires_action"}
            return states.get(row["attempt_state"], "failed")
        case PaymentState.SUCCEEDED:
            return "refunded" if row["amount_refunded_minor"] >= taken else "succeeded"
        case state:
            return state.value


# --- the evidence --------------------------------------------------------------------------------


async def get_timeline(ctx: Context, order_id: str) -> tuple[Order, Timeline]:
    """Raises order_not_found."""

    async def work(tx: Transaction) -> tuple[Row | None, merchant_lists.Evidence]:
        order = await listings.get_order_view(tx, order_id)
        return order, await merchant_lists.read_evidence(tx, order_id, MOST_ENTRIES)

    row, evidence = await ctx.db.read(work)
    if row is None:
        raise errors.order_not_found()
    of_payment: dict[str, list[dict[str, Any]]] = {}
    for attempt in evidence.attempts:
        of_payment.setdefault(attempt["payment_id"], []).append(_attempt(ctx, attempt))
    payments = [
        {**_payment(ctx, payment), "attempts": of_payment.get(payment["id"], [])}
        for payment in evidence.payments
    ]
    entries = [
        TimelineEntry(row["created_at"], "order.created"),
        *map(_note, evidence.history),
        *map(_event, evidence.events),
        *map(_notice, evidence.notices),
    ]
    entries.sort(key=lambda entry: entry.at)
    kinds = (evidence.attempts, evidence.history, evidence.events, evidence.notices)
    is_complete = all(len(rows) < MOST_ENTRIES for rows in kinds)
    return shopping.order_of(row), Timeline(payments, entries, is_complete)


def _payment(ctx: Context, row: Row) -> dict[str, Any]:
    key = intent_request(ctx, row_as(PaymentRow, row)).key
    return {
        "paymentId": row["id"],
        "generation": row["generation"],
        "state": row["state"],
        "amountMinor": row["amount_minor"],
        "currency": row["currency"],
        "stripePaymentIntentId": row["stripe_payment_intent_id"],
        "stripeChargeId": row["stripe_charge_id"],
        "stripeCustomerId": row["stripe_customer_id"],
        "stripeVersion": row["stripe_version"],
        "confirmationMethod": row["confirmation_method"],
        "methodPolicy": row["method_policy"],
        "idempotencyKey": key if row["intent_requested_at"] else None,
        "amountRefundedMinor": row["amount_refunded_minor"],
        "amountCapturedMinor": row["amount_captured_minor"],
        "captureBefore": row["capture_before"],
        "createdAt": row["created_at"],
        "finishedAt": row["finished_at"],
    }


def _attempt(ctx: Context, row: Row) -> dict[str, Any]:
    key = confirm_request(ctx, row_as(AttemptRow, row)).key
    return {
        "attemptId": row["id"],
        "attemptNumber": row["n"],
        "source": row["source"],
        "state": row["state"],
        "stripePaymentMethodId": row["stripe_payment_method_id"] or row["requested_method_id"],
        "card": {
            "brand": row["brand"],
            "last4": row["last4"],
            "fingerprint": row["fingerprint"],
        },
        "idempotencyKey": key if row["sends"] > 0 else None,
        "sends": row["sends"],
        "errorCode": row["error_code"],
        "declineCode": row["decline_code"],
        "clientNetwork": network_of(row["client_address"]),
        "createdAt": row["created_at"],
        "firstSentAt": row["first_sent_at"],
        "actionAt": row["action_at"],
        "closedAt": row["closed_at"],
    }


def network_of(address: str) -> str | None:
    """203.0.113.7 -> 203.0.113.0/24; None for what is no address."""
    try:
        host = ip_address(address)
    except ValueError:
        return None
    return str(ip_network(f"{host}/{KEPT_BITS[host.version]}", strict=False))


def _note(row: Row) -> TimelineEntry:
    about = {"paymentId": row["payment_id"], "attemptId": row["attempt_id"]}
    said = {NAMES.get(name, name): value for name, value in json.loads(row["data"]).items()}
    known = {name: value for name, value in {**about, **said}.items() if value is not None}
    return TimelineEntry(row["created_at"], row["kind"], known)


def _event(row: Row) -> TimelineEntry:
    about = {
        "stripeEventId": row["id"],
        "type": row["type"],
        "objectId": row["object_id"],
        "state": row["state"],
        "note": row["note"],
        "eventCreatedAt": row["event_created_at"],
        "workedAt": row["worked_at"],
    }
    known = {name: value for name, value in about.items() if value is not None}
    return TimelineEntry(row["received_at"], "stripe.event", known)


def _notice(row: Row) -> TimelineEntry:
    return TimelineEntry(
        row["created_at"], "notice.written", {"noticeId": row["id"], "type": row["kind"]}
    )
