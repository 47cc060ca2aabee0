"""Outgoing events, as they are sent and shown (docs/outgoing-events.md)."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

VERSION = 1


class EventType(StrEnum):
    """What a merchant is told of (docs/outgoing-events.md)."""

    ORDER_PAID = "order.paid"
    ORDER_AUTHORIZED = "order.authorized"
    ORDER_CANCELED = "order.canceled"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_ACTION_REQUIRED = "payment.action_required"
    ORDER_REFUNDED = "order.refunded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_CLOSED = "dispute.closed"


class DeliveryState(StrEnum):
    PENDING = "pending"  # to be sent, or sent again -> delivered, dead
    DELIVERED = "delivered"
    DEAD = "dead"  # given up after its last try: an alarm, for a person


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """What happened. `payload` and `metadata` are JSON text; what the payload does not say is in
    the order's row, as it is when the event is sent: without the metadata of an erased user."""

    id: str
    type: str
    sequence: int
    payload: str
    created_at: datetime
    order_id: str
    order_number: str
    user_id: str
    amount_minor: int
    currency: str
    metadata: str

    def as_json(self) -> dict[str, Any]:
        """As the merchant sees it, sent or asked for; `type`, `timestamp` (when it happened) and
        `data` are the names of Standard Webhooks. Amounts are in minor units."""
        of_order = {
            "orderId": self.order_id,
            "orderNumber": self.order_number,
            "userId": self.user_id,
            "amountMinor": self.amount_minor,
            "currency": self.currency,
            "metadata": json.loads(self.metadata),
        }
        return {
            "id": self.id,
            "type": self.type,
            "version": VERSION,
            "timestamp": iso(self.created_at),
            "sequence": self.sequence,
            "data": {**of_order, **json.loads(self.payload)},
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far an endpoint was told of an event. `last_status` is its last answer's; `note` says in
    words why it was not taken."""

    endpoint: str
    state: str
    tries: int
    next_try_at: datetime
    last_status: int | None
    note: str | None
    finished_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        is_waiting = self.state == DeliveryState.PENDING
        return {
            "endpoint": self.endpoint,
            "state": self.state,
            "tries": self.tries,
            "lastStatus": self.last_status,
            "note": self.note,
            "nextTryAt": iso(self.next_try_at) if is_waiting else None,
            "finishedAt": iso(self.finished_at) if self.finished_at else None,
        }


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event and whom it was told; nobody where there was no endpoint."""

    event: OutgoingEvent
    deliveries: list[Delivery]

    def as_json(self) -> dict[str, Any]:
        deliveries = [delivery.as_json() for delivery in self.deliveries]
        return {**self.event.as_json(), "deliveries": deliveries}


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a list is to hold; None filters nothing."""

    type: str | None = None
    order_id: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint that was seen in the settings, and what waits for it."""

    name: str
    since_at: datetime
    paused_until: datetime | None
    disabled_at: datetime | None
    note: str | None
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class OutboxState:
    """`waiting`: deliveries to come; `new`: events that were not handed to the endpoints yet."""

    waiting: int
    dead: int
    new: int
    oldest_waiting_at: datetime | None
    oldest_new_at: datetime | None
    endpoints: list[EndpointView]


def iso(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
