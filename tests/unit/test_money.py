"""Minor units inside, major units outside, and no float in between."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paidonce.api.currencies import CURRENCIES
from paidonce.api.envelope import encode_json
from paidonce.domain.errors import Refused
from paidonce.domain.money import (
    MAX_AMOUNT_MINOR,
    THREE_DECIMAL,
    ZERO_DECIMAL,
    check_charge,
    exponent,
    increment,
    largest,
    smallest,
    to_major,
)
from stripesim.rules.currencies import check_amount
from stripesim.wire.errors import StripeError

AMOUNTS = st.integers(min_value=0, max_value=MAX_AMOUNT_MINOR)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "shown"),
    [
        (44_000, "usd", "440"),
        (12_599, "usd", "125.99"),
        (12_590, "usd", "125.9"),
        (5, "usd", "0.05"),
        (1, "eur", "0.01"),
        (0, "usd", "0"),
        (500, "jpy", "500"),
        (1, "krw", "1"),
        (12_340, "kwd", "12.34"),
        (12_345, "kwd", "12.345"),
        (10, "bhd", "0.01"),
        (1_000, "tnd", "1"),
        (10_000_000, "jpy", "10000000"),
        (99_999_999, "usd", "999999.99"),
        (99_999_000, "usd", "999990"),
    ],
)
def test_the_amount_that_the_app_shows(amount_minor: int, currency: str, shown: str) -> None:
    major = to_major(amount_minor, currency)
    assert format(Decimal(major), "f") == shown
    assert to_major(amount_minor, currency.upper()) == major


@given(AMOUNTS, st.sampled_from(sorted(CURRENCIES)))
def test_back_to_minor_units_is_the_same_amount(amount_minor: int, currency: str) -> None:
    major = to_major(amount_minor, currency)
    assert isinstance(major, int | Decimal) and not isinstance(major, bool)
    assert Decimal(major) * 10 ** exponent(currency) == amount_minor


@given(AMOUNTS, st.sampled_from(sorted(CURRENCIES)))
def test_a_json_number_of_it_names_the_same_amount(amount_minor: int, currency: str) -> None:
    """The app reads a double: with at most eleven digits it is the decimal that was written."""
    major = to_major(amount_minor, currency)
    written = json.dumps(float(major))
    assert Decimal(written) == major


@given(AMOUNTS)
def test_whole_amounts_are_integers(amount: int) -> None:
    assert type(to_major(amount * 100, "usd")) is int
    assert type(to_major(amount, "jpy")) is int


def test_the_lists_of_currencies_do_not_overlap_and_are_known() -> None:
    assert not ZERO_DECIMAL & THREE_DECIMAL
    assert {exponent(currency) for currency in ZERO_DECIMAL} == {0}
    assert {exponent(currency) for currency in THREE_DECIMAL} == {3}
    assert set(CURRENCIES) >= ZERO_DECIMAL | THREE_DECIMAL
    assert exponent("usd") == exponent("EUR") == exponent("ugx") == exponent("isk") == 2


# --- what Stripe can charge ----------------------------------------------------------------------


def amounts_at_the_edges(currency: str) -> list[int]:
    """Around the smallest and the largest amount, and beside the steps between."""
    ends = (1, smallest(currency), largest(currency), 99_999_999, 10**9, MAX_AMOUNT_MINOR)
    near = (-101, -100, -11, -10, -1, 0, 1, 10, 11, 100, 101)
    return sorted({end + by for end in ends for by in near if end + by > 0})


def refusal_of(amount_minor: int, currency: str) -> str | None:
    try:
        check_charge(amount_minor, currency)
    except Refused as refused:
        assert refused.http_status == 400
        return refused.code
    return None


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_in_every_currency_an_order_is_taken_exactly_when_stripe_charges_it(currency: str) -> None:
    """By the simulator's own table of the same page."""
    for amount_minor in amounts_at_the_edges(currency):
        try:
            check_amount(amount_minor, currency, "2026-10-28.endive")
            can_charge = True
        except StripeError:
            can_charge = False
        assert (refusal_of(amount_minor, currency) is None) is can_charge, amount_minor


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_in_every_currency_the_app_reads_what_is_charged(currency: str) -> None:
    """Both ways, at every edge: the JSON number, digit by digit, is the amount in minor units."""
    for amount_minor in amounts_at_the_edges(currency):
        written = encode_json({"amount": to_major(amount_minor, currency)}).decode()
        number = written.removeprefix('{"amount":').removesuffix("}")
        whole, _, part = number.partition(".")
        digits = exponent(currency)
        assert len(part) <= digits and "e" not in number.lower()
        assert int(whole + part.ljust(digits, "0")) == amount_minor


@pytest.mark.parametrize(
    ("amount_minor", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (50, "usd", None),
        (99_999_999, "usd", None),
        (100_000_000, "usd", "amount_too_large"),
        (49, "jpy", "amount_too_small"),
        (50, "jpy", None),
        (17_499, "huf", "amount_too_small"),
        (17_501, "huf", None),  # without decimals for payouts only
        (101, "twd", None),
        (1, "krw", None),
        (1_234, "kwd", "invalid_amount"),
        (1_230, "kwd", None),
        (99_999_990, "kwd", None),
        (150, "isk", "invalid_amount"),
        (500, "isk", None),
        (500, "ugx", None),
        (1, "ugx", "invalid_amount"),
        (999_999_999, "inr", None),
        (1_000_000_000, "inr", "amount_too_large"),
        (9_999_999_999, "cop", None),
        (999_999_999_999, "idr", None),
        (1_000_000_000_000, "idr", "amount_too_large"),
    ],
)
def test_what_is_refused_and_why(amount_minor: int, currency: str, code: str | None) -> None:
    assert refusal_of(amount_minor, currency) == code


@given(st.integers(min_value=1, max_value=MAX_AMOUNT_MINOR), st.sampled_from(sorted(CURRENCIES)))
def test_what_is_taken_lies_between_the_ends_and_on_a_step(amount: int, currency: str) -> None:
    is_taken = refusal_of(amount, currency) is None
    is_between = smallest(currency) <= amount <= largest(currency)
    assert is_taken is (is_between and amount % increment(currency) == 0)
