"""What is sent of an event: the same bytes at every try (docs/outgoing-events.md)."""

import json
from datetime import UTC, datetime
from typing import Any

from paidonce.store.outbox import OutgoingEvent

VERSION = 1


def event_as_json(event: OutgoingEvent) -> dict[str, Any]:
    """The event as the merchant sees it, sent or asked for. Amounts are in minor units."""
    of_order = {
        "orderId": event.order_id,
        "orderNumber": event.order_number,
        "amountMinor": event.amount_minor,
        "currency": event.currency,
    }
    return {
        "id": event.id,
        "type": event.type,
        "version": VERSION,
        "createdAt": iso(event.created_at),
        "sequence": event.sequence,
        "data": {**of_order, **json.loads(event.payload)},
    }


def body_of(event: OutgoingEvent) -> bytes:
    return json.dumps(event_as_json(event), separators=(",", ":")).encode()


def iso(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
