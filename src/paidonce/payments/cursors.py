"""Cursors of lists: opaque to clients, a place in (created_at, id) to us."""

import base64
import binascii
import json
from datetime import datetime

from paidonce.domain import errors

Place = tuple[datetime, str]


def encode_cursor(created_at: datetime, row_id: str) -> str:
    raw = json.dumps([created_at.isoformat(), row_id]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> Place | None:
    """Raises `invalid_request` for anything we did not make."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        created_at, row_id = json.loads(raw)
        place = (datetime.fromisoformat(created_at), str(row_id))
    except (ValueError, TypeError, binascii.Error, UnicodeError, RecursionError):
        raise errors.invalid_request("cursor is not one of ours.") from None
    if place[0].tzinfo is None:
        raise errors.invalid_request("cursor is not one of ours.")
    return place
