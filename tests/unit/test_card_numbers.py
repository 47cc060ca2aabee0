"""Card numbers are found however they are written; ids full of digits are not taken for them."""

import time
import uuid

import pytest

from paidonce.observability import has_card_number, redact


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242",
        "4000 0027 6000 3184",
        "4000-0000-0000-0002",
        "4242\u00a04242\u20134242\u200b4242",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "4242.4242.4242.4242",
        "card:4242424242424242;cvc:123",
        "Visa4242424242424242",
        "12 4242 4242 4242 4242 03",
        "4242424242424242 12a34",
        "+4242424242424242",
        "\uff14\uff12\uff14\uff12" * 4,
        "\uff14\uff12\uff14\uff12\uff0d" * 4,
        "\u0664\u0662\u0664\u0662 " * 4,
        "\u2074\u00b2\u2074\u00b2" * 4,
        "\u2463\u2461\u2463\u2461" * 4,
        "4\ufe0f\u20e32\ufe0f\u20e3" * 8,
        "\u202a4242\u202c \u200e4242\u00b74242\u30fb4242",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "3056930009020004",
        "36227206271667",
        "3566002020360505",
        "6200000000000005",
        "6205500000000000004",
        "pm_4242424242424242",
    ],
)
def test_a_card_number_is_found(text: str) -> None:
    assert has_card_number(text)
    assert "[redacted]" in redact(text)
    assert not has_card_number(redact(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",  # Luhn
        "424242424242",  # 12 digits
        "42424242424242424242",  # 20 digits
        "1234567812345670",  # Luhn, but no issuer begins with 1
        "0000000000000000",
        "pm_1SRzr34242424242424242",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
        "7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f",
        "aaaa4242-4242-4242-4242-aaaaaaaaaaaa",
        "00004242-4242-4242-4242-424242424242",
        "+49 1511 1234567",
        "1790000000000",  # milliseconds since 1970
        "2026-11-23 12:00:00.123456",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "52.520008, 13.404954",
        "192.168.100.200",
        "ORD-20261123-000042",
    ],
)
def test_what_is_no_card_number_is_let_through(text: str) -> None:
    assert not has_card_number(text)


def test_no_uuid_is_ever_a_card_number() -> None:
    for number in range(5000):
        digits = f"{number:04d}"
        made = f"{digits}4242-4242-4242-8242-42424242{digits}"
        assert str(uuid.UUID(made)) == made
        assert not has_card_number(made)


@pytest.mark.parametrize(
    "text", ["4 " * 32_000, "424242424242424 " * 4000, "1a" * 32_000, "4" * 64_000, "4-." * 20_000]
)
def test_a_long_text_is_searched_in_no_time(text: str) -> None:
    started = time.perf_counter()
    has_card_number(text)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key sk_test_51Habc used", "key sk_test_[redacted] used"),
        (
            "rk_live_1 pk_live_2 ek_test_3",
            "rk_live_[redacted] pk_live_[redacted] ek_test_[redacted]",
        ),
        ("whsec_abc+/=", "whsec_[redacted]"),
        ("pi_1_secret_2", "pi_1_secret_[redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "[redacted]"),
        ("postgresql://user:pass@host/db", "postgresql://user:[redacted]@host/db"),
        ("order 7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f paid", None),
    ],
)
def test_secrets_are_removed_and_their_kind_is_kept(text: str, kept: str | None) -> None:
    assert redact(text) == (text if kept is None else kept)
