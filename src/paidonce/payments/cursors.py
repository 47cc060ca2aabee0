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
NOT_OURS = "cursor is not one of ours."
_PRODUCT = b"product:"
METHOD_IDS = r"spm_[0-9A-Za-z-]+"


def encode_cursor(created_at: datetime, row_id: str) -> str:
    raw = json.dumps([created_at.isoformat(), row_id]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def encode_product_cursor(product_id: str) -> str:
    """A place in the price list, which has no times."""
    return base64.urlsafe_b64encode(_PRODUCT + product_id.encode()).decode().rstrip("=")


def decode_product_cursor(cursor: str | None) -> str:
    """The id of the last product shown, empty without a cursor; raises as `decode_cursor` does."""
    if cursor is None:
        return ""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        product_id = raw.removeprefix(_PRODUCT).decode()
    except ValueError:
        raise errors.invalid_request(NOT_OURS) from None
    if not raw.startswith(_PRODUCT) or not product_id.isprintable():
        raise errors.invalid_request(NOT_OURS)
    return product_id


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
        raise errors.invalid_request(NOT_OURS)
    return place
