"""What a person sees of `paidonce notices`: a table, the lines of an event; or JSON."""

import json
from typing import Any

from paidonce.domain.outgoing import Delivery, EndpointView, OutboxState, ToldEvent, iso

COLUMNS = ("event", "type", "order", "endpoint", "state", "tries", "happened", "note")


def list_as_text(events: list[ToldEvent], state: OutboxState) -> str:
    """A table, the latest first, and how the endpoints stand."""
    rows = [COLUMNS, *(row for event in events for row in _rows(event))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    oldest = state.oldest_waiting_at
    since = f", the oldest since {iso(oldest)}" if oldest else ""
    lines.append(f"{state.waiting} waiting{since}; {state.dead} dead; {state.new} not handed on")
    lines += [_endpoint_line(endpoint) for endpoint in state.endpoints]
    return "\n".join(lines)


def list_as_json(events: list[ToldEvent], state: OutboxState) -> str:
    """The same as one line."""
    oldest = state.oldest_waiting_at
    return json.dumps(
        {
            "waiting": state.waiting,
            "dead": state.dead,
            "new": state.new,
            "oldest_waiting_at": iso(oldest) if oldest else None,
            "endpoints": [_endpoint_fields(endpoint) for endpoint in state.endpoints],
            "events": [event.as_json() for event in events],
        }
    )


def event_as_text(event: ToldEvent) -> str:
    """As it is sent, and a line for each endpoint."""
    lines = [json.dumps(event.event.as_json(), indent=2)]
    for told in event.deliveries:
        facts = "  ".join(
            f"{name} {value}" for name, value in told.as_json().items() if value is not None
        )
        lines.append(facts)
    return "\n".join(lines)


def event_as_json(event: ToldEvent) -> str:
    return json.dumps(event.as_json())


def _rows(told: ToldEvent) -> list[tuple[str, ...]]:
    event = told.event
    first = (event.id, event.type, event.order_id)
    happened = iso(event.created_at)
    if not told.deliveries:
        return [(*first, "-", "-", "-", happened, "")]
    return [(*first, *_told(each), happened, each.note or "") for each in told.deliveries]


def _told(delivery: Delivery) -> tuple[str, str, str]:
    return delivery.endpoint, delivery.state, str(delivery.tries)


def _endpoint_line(endpoint: EndpointView) -> str:
    how = "told"
    if endpoint.disabled_at:
        how = f"disabled ({endpoint.note})"
    elif endpoint.paused_until:
        how = f"told, paused until {iso(endpoint.paused_until)}"
    counts = f"{endpoint.waiting} waiting, {endpoint.dead} dead"
    return f"{endpoint.name}: {how}, since {iso(endpoint.since_at)}; {counts}"


def _endpoint_fields(endpoint: EndpointView) -> dict[str, Any]:
    paused, disabled = endpoint.paused_until, endpoint.disabled_at
    return {
        "name": endpoint.name,
        "since_at": iso(endpoint.since_at),
        "paused_until": iso(paused) if paused else None,
        "disabled_at": iso(disabled) if disabled else None,
        "note": endpoint.note,
        "waiting": endpoint.waiting,
        "dead": endpoint.dead,
    }
