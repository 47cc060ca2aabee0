"""Cursors of lists: opaque to clients, a place in (created_at, id) to us."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from paidonce.domain import errors

Place = tuple[datetime, str]
ORDER_IDS = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PAYMENT_IDS = r"pay_[0-9A-Za-z]+"
METHOD_IDS = r"spm_[0-9A-Za-z-]+"


def encode_cursor(created_at: datetime, row_id: str) -> str:
    raw = json.dumps([created_at.isoformat(), row_id]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def next_cursor(rows: Sequence[Mapping[str, Any]], limit: int) -> str | None:
    """Of a page for which one row more than `limit` was asked; None on the last one."""
    if len(rows) <= limit:
        return None
    last = rows[limit - 1]
    return encode_cursor(last["created_at"], last["id"])


def decode_cursor(cursor: str | None, ids: str = ".+") -> Place | None:
    """Raises `invalid_request` for anything we did not make, and for a cursor of a list whose ids
    look otherwise than `ids`, a pattern."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        created_at, row_id = json.loads(raw)
        time = datetime.fromisoformat(created_at)
        is_ours = time.tzinfo is not None and row_id.isascii() and row_id.isprintable()
        is_ours = is_ours and re.fullmatch(ids, row_id) is not None
        place = (time.astimezone(UTC), row_id)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        is_ours = False
    if not is_ours:
        raise errors.invalid_request("cursor is not one of ours.")
    return place
