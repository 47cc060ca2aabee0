"""The signature of a webhook, made by the SDK's own function."""

from datetime import UTC, datetime, timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from paidonce.gateway.signature import TOLERANCE_SECONDS, find_fault

SECRET = "whsec_the_first"
OTHER = "whsec_the_second"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
BODY = '{"id": "evt_1", "text": "Grüße"}'


def header_of(
    secret: str = SECRET, body: str = BODY, at: datetime = NOW, scheme: str = "v1"
) -> str:
    moment = int(at.timestamp())
    header = stripe.WebhookSignature.generate_signature_header(body, secret, moment)
    return str(header).replace("v1=", f"{scheme}=")


def is_good(header: str, secrets: list[str] | None = None, body: str = BODY) -> bool:
    keys = [SECRET] if secrets is None else secrets
    return find_fault(body.encode(), header, keys, NOW) is None


def test_what_the_secret_signed_is_good() -> None:
    assert is_good(header_of())


def test_the_sdk_agrees() -> None:
    now = datetime.now(UTC)
    header = header_of(at=now)
    assert stripe.WebhookSignature.verify_header(BODY, header, SECRET, TOLERANCE_SECONDS)
    assert find_fault(BODY.encode(), header, [SECRET], now) is None


@pytest.mark.parametrize(
    "header",
    [
        header_of(secret=OTHER),
        header_of(body=BODY + " "),
        header_of(scheme="v0"),
        header_of().replace("t=", "t=1"),
        header_of()[:-1],
        header_of() + "0",
        header_of().split(",")[0],
        header_of().split(",")[1],
        f"{header_of()},t=1",
        "",
        ",",
        "t=,v1=",
        "t=-1,v1=00",
        "t=1e9,v1=00",
        "t=٣,v1=00",
        "t=999999999999999999999999,v1=00",
        "v1=é,t=1",
    ],
)
def test_anything_else_is_refused(header: str) -> None:
    assert not is_good(header)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("", "no_header"),
        ("v1=00", "malformed"),
        (header_of(at=NOW - timedelta(hours=1)), "too_old"),
        (header_of(at=NOW + timedelta(hours=1)), "from_the_future"),
        (header_of(secret=OTHER), "no_match"),
    ],
)
def test_what_is_wrong_has_a_word(header: str, fault: str) -> None:
    assert find_fault(BODY.encode(), header, [SECRET], NOW) == fault


def test_the_time_is_signed_as_well() -> None:
    later = NOW + timedelta(seconds=10)
    signature = header_of().split(",")[1]
    assert not is_good(f"t={int(later.timestamp())},{signature}")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-299, True), (-300, True), (-301, False), (299, True), (301, False), (3600, False)],
)
def test_old_and_future_times_are_refused(seconds: int, expected: bool) -> None:
    assert is_good(header_of(at=NOW + timedelta(seconds=seconds))) is expected


def test_while_a_secret_is_rotated_either_one_will_do() -> None:
    for secret in (SECRET, OTHER):
        assert is_good(header_of(secret), [SECRET, OTHER])
    assert not is_good(header_of("whsec_third"), [SECRET, OTHER])
    both = f"{header_of(OTHER)},{header_of().split(',')[1]}"
    assert is_good(both, [SECRET]) and is_good(both, [OTHER])


def test_without_a_secret_nothing_is_good() -> None:
    assert not is_good(header_of(), [])
    assert not is_good(header_of(secret="x"), [])


@given(st.text(max_size=200))
def test_garbage_is_refused_and_never_a_crash(header: str) -> None:
    assert not is_good(header)


@given(st.lists(st.sampled_from(["t=", "v1=", "1793534400", ",", "=", " ", "0" * 64, "t", "v1"])))
def test_headers_that_look_like_one_are_refused(parts: list[str]) -> None:
    assert not is_good("".join(parts))


@given(st.binary(max_size=64))
def test_any_other_body_under_a_good_header_is_refused(body: bytes) -> None:
    is_found = find_fault(body, header_of(), [SECRET], NOW) is not None
    assert is_found == (body != BODY.encode())
