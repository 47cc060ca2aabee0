"""Minor units inside, major units outside, and no float in between."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paidonce.api.currencies import CURRENCIES
from paidonce.domain.money import (
    MAX_AMOUNT_MINOR,
    THREE_DECIMAL,
    ZERO_DECIMAL,
    exponent,
    to_major,
)

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
