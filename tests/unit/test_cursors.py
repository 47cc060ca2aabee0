"""Cursors of lists: ours come back as they were, everything else is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paidonce.domain.errors import ServiceError
from paidonce.payments.cursors import decode_cursor, encode_cursor

TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1))
IDS = st.one_of(st.uuids().map(str), st.from_regex(r"pay_[0-9a-f]{32}", fullmatch=True))


def made_of(value: Any) -> str:
    raw = json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def refusal_of(cursor: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        decode_cursor(cursor)
    return caught.value


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None) is None


@given(TIMES, IDS)
def test_a_place_survives_the_journey(created_at: datetime, row_id: str) -> None:
    cursor = encode_cursor(created_at, row_id)
    assert decode_cursor(cursor) == (created_at, row_id)
    assert cursor.isascii() and "=" not in cursor and "/" not in cursor and "+" not in cursor


@given(st.text(max_size=200))
def test_garbage_is_an_invalid_request_and_never_a_crash(garbage: str) -> None:
    try:
        place = decode_cursor(garbage)
    except ServiceError as error:
        assert (error.code, error.http_status) == ("invalid_request", 400)
    else:
        assert place is not None
        assert place[0].tzinfo is not None and isinstance(place[1], str)


@given(st.binary(max_size=100))
def test_garbage_in_base64_is_an_invalid_request(garbage: bytes) -> None:
    cursor = base64.urlsafe_b64encode(garbage).decode().rstrip("=")
    assert refusal_of(cursor).code == "invalid_request"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(JSON)
def test_any_other_json_is_an_invalid_request(value: Any) -> None:
    assert refusal_of(made_of(value)).code == "invalid_request"


NOW = "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        ["2026-11-01T00:00:00", "id"],  # without a time zone
        ["2026-11-01", "id"],
        ["yesterday", "id"],
        [0, "id"],
        [NOW],
        [NOW, "id", "more"],
        {"created_at": NOW, "id": "id"},
        [NOW, "a\0b"],  # PostgreSQL stores no NUL
        [NOW, "a\ud800b"],  # nor half of a surrogate pair
        [NOW, 7],
        [NOW, None],
        [NOW, ["id"]],
        ["0001-01-01T00:00:00+14:00", "id"],  # before the first day, in UTC
        ["9999-12-31T23:59:59-14:00", "id"],  # after the last one
    ],
)
def test_a_place_that_no_database_can_take_is_an_invalid_request(value: Any) -> None:
    assert refusal_of(made_of(value)).code == "invalid_request"


def test_another_time_zone_is_the_same_place() -> None:
    moment = datetime(2026, 11, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    place = decode_cursor(encode_cursor(moment, "id"))
    assert place is not None and place[0] == moment
