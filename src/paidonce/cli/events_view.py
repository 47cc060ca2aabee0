"""What a person sees of `paidonce events`: a table, lines of an event, figures; or JSON."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from paidonce.store.inbox import InboxState, StoredEvent
from paidonce.webhooks.backfill import Counts

COLUMNS = ("event", "type", "state", "tries", "received", "note")


def list_as_text(events: list[StoredEvent], state: InboxState) -> str:
    """A table, the latest first, and what the whole inbox holds."""
    rows = [COLUMNS, *(_row(event) for event in events)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    oldest = f", the oldest since {_time(state.oldest_pending_at)}" if state.pending else ""
    lines.append(f"{state.pending} pending{oldest}; {state.set_aside} set aside")
    return "\n".join(lines)


def list_as_json(events: list[StoredEvent], state: InboxState) -> str:
    """The same as one line."""
    return json.dumps(
        {
            "pending": state.pending,
            "set_aside": state.set_aside,
            "oldest_pending_at": _time_or_none(state.oldest_pending_at),
            "events": [_fields(event) for event in events],
        }
    )


def event_as_text(event: StoredEvent) -> str:
    """A line for each thing that is known of it."""
    return "\n".join(
        f"{name:<26}{'-' if value is None else value}" for name, value in _fields(event).items()
    )


def event_as_json(event: StoredEvent) -> str:
    return json.dumps(_fields(event))


def counts_as_text(counts: Counts) -> str:
    return "\n".join(
        [
            f"{'read from Stripe':<34}{counts.read:>9}",
            f"{'new':<34}{counts.new:>9}",
            f"{'known already':<34}{counts.known:>9}",
            f"{'ignored':<34}{counts.ignored:>9}",
        ]
    )


def counts_as_json(counts: Counts) -> str:
    return json.dumps(
        {
            "read": counts.read,
            "new": counts.new,
            "known": counts.known,
            "ignored": counts.ignored,
            "until": _time_or_none(counts.until),
        }
    )


def _row(event: StoredEvent) -> tuple[str, ...]:
    received = _time(event.received_at)
    return event.id, event.type, event.state, str(event.tries), received, event.note or ""


def _fields(event: StoredEvent) -> dict[str, Any]:
    return {
        name: _time(value) if isinstance(value, datetime) else value
        for name, value in asdict(event).items()
    }


def _time(moment: datetime | None) -> str:
    return _time_or_none(moment) or "-"


def _time_or_none(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
