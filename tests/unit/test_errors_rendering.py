"""Every error of the domain renders as the envelope, with all that its kind promises."""

import inspect
import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from paidonce.api.client_address import ClientAddresses
from paidonce.api.envelope import encode_json
from paidonce.api.errors import answer_for, service_error_for
from paidonce.domain import errors
from paidonce.domain.errors import Money, NextStep, OutcomeUnknown, ServiceError, Unavailable
from paidonce.settings import Settings

SAMPLES: dict[str, Any] = {
    "why": "a word for the log",
    "detail": "the detail",
    "position": 1,
    "reason": "it is canceled",
    "limit_bytes": 65536,
    "smallest_minor": 50,
    "largest_minor": 99_999_999,
    "step_minor": 10,
    "left_minor": 100,
    "currency": "usd",
    "retry_after_seconds": 5,
    "decline_code": "insufficient_funds",
    "can_retry": False,
    "code": "card_declined",
    "message": "Payment failed",
}


def _every_error() -> list[ServiceError]:
    made = []
    for name, make in inspect.getmembers(errors, inspect.isfunction):
        if make.__module__ == errors.__name__ and not name.startswith("_") and name != "field":
            made.append(_make(make))
    return made


def _make(make: Callable[..., ServiceError]) -> ServiceError:
    return make(**{name: SAMPLES[name] for name in inspect.signature(make).parameters})


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: error.code)
def test_every_error_renders_to_the_contract(error: ServiceError) -> None:
    answer = answer_for(error)
    body = json.loads(answer.encode())
    assert answer.status == error.http_status and 400 <= answer.status <= 599
    assert body["status"] == "error" and "data" not in body and "requestId" not in body
    assert body["message"] and body["errors"] and all(body["errors"])
    assert re.fullmatch(r"[a-z][a-z0-9_]*", body["code"])
    assert body["nextStep"] in set(NextStep)
    assert body.get("declineCode") == error.decline_code
    assert body.get("retryAfter") == error.retry_after_seconds
    assert answer.headers.get("Retry-After") == (
        None if error.retry_after_seconds is None else str(error.retry_after_seconds)
    )


GOES_ON = (NextStep.WAIT, NextStep.AUTHENTICATE)


def test_the_walk_above_sees_every_error() -> None:
    codes = {error.code for error in _every_error()}
    assert {"invalid_request", "card_declined", "payment_processing", "internal_error"} <= codes
    assert len(codes) >= 20


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: error.code)
def test_money_that_may_have_moved_is_never_answered_with_another_card(error: ServiceError) -> None:
    if error.money is Money.UNKNOWN:
        assert error.next_step in (*GOES_ON, NextStep.CONTACT_SUPPORT)
    if isinstance(error, OutcomeUnknown):
        assert error.http_status == 409 and error.next_step in GOES_ON
    if isinstance(error, Unavailable):
        assert (error.http_status, error.next_step) == (503, NextStep.RETRY)


def test_what_nobody_foresaw_says_nothing_about_itself() -> None:
    answer = answer_for(service_error_for(KeyError("sk_test_secret")))
    assert answer.status == 500 and b"sk_test" not in answer.encode()
    assert json.loads(answer.encode())["code"] == "internal_error"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (440, "440"),
        (Decimal("125.99"), "125.99"),
        (Decimal("0.01"), "0.01"),
        (Decimal("1E-3"), "0.001"),
        (Decimal("999999.99"), "999999.99"),
        (Decimal("9007199254740993.01"), "9007199254740993.01"),  # no float has these digits
        ({"a": [Decimal("1.5"), None, True, "é\u2028"]}, '{"a":[1.5,null,true,"\\u00e9\\u2028"]}'),
    ],
)
def test_json_is_exact(value: Any, text: str) -> None:
    assert encode_json(value) == text.encode()


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", "198.51.100.7", "1.1.1.1", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7", "1.1.1.1", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.0/8", "10.0.0.1", "1.1.1.1, 2.2.2.2, 10.9.9.9", "2.2.2.2"),
        ("10.0.0.0/8", "10.0.0.1", "1.1.1.1, garbage", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.0/8", "10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "2.2.2.2:4711", "2.2.2.2"),
        ("::1", "::1", "[2001:db8:1:2:3::1]:443", "2001:db8:1:2::"),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8", None, "1.1.1.1", "unknown"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_ours(
    trusted: str, peer: str | None, forwarded: str | None, expected: str
) -> None:
    settings = Settings(
        stripe_secret_key="sk_test_1",
        stripe_publishable_key="pk_test_1",
        payment_return_url="https://shop.example/return",
        auth_jwt_secret="x" * 32,
        trusted_proxies=trusted,
    )
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope = {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}
    assert ClientAddresses(settings.trusted_proxy_networks).of(scope) == expected


def test_a_proxy_that_is_not_trusted_is_named_once() -> None:
    addresses = ClientAddresses([])
    with capture_logs() as lines:
        addresses.of({"client": ("10.0.0.1", 1), "headers": []})
        for _ in range(2):
            forwarded = [(b"x-forwarded-for", b"192.0.2.1")]
            assert addresses.of({"client": ("10.0.0.1", 1), "headers": forwarded}) == "10.0.0.1"
    assert [(line["event"], line["address"]) for line in lines] == [
        ("proxy.not_trusted", "10.0.0.1")
    ]
