"""Money: integers in minor units inside, a JSON number in major units for the app.

Stripe takes "the currency's minor unit": cents for USD, yen for JPY, fils for KWD. No float takes
part in any conversion. Everything here is from https://docs.stripe.com/currencies:

- The zero-decimal currencies, and the three-decimal ones, whose last digit has to be 0.
- ISK and UGX have no decimals, yet are written with two, which have to be 00.
- HUF and TWD are zero-decimal for payouts only: they are charged with two decimals.
- The smallest charge by currency. Stripe's own minimum is that of the currency it settles in, so a
  currency that is not in the table may be refused by Stripe all the same, when the payment is made.
- The largest: eight digits, in a few currencies more.
"""

from decimal import Decimal

from paidonce.domain import errors

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905
WRITTEN_WITH_TWO_ZEROS = frozenset(("isk", "ugx"))
MINIMUM_MINOR = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
MOST_DIGITS = {"cop": 10, "idr": 12, "inr": 9}
DIGITS = 8
MAX_AMOUNT_MINOR = 10**12 - 1
"""In any currency."""


def exponent(currency: str) -> int:
    """How many digits of a minor-unit amount stand behind the decimal point."""
    currency = currency.lower()
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def to_major(amount_minor: int, currency: str) -> int | Decimal:
    """Minor units to what the app shows: 44000 usd -> 440, 12599 usd -> Decimal("125.99")."""
    major = Decimal(amount_minor).scaleb(-exponent(currency))
    return int(major) if major == major.to_integral_value() else major.normalize()


def increment(currency: str) -> int:
    """Amounts in the currency are multiples of this many minor units."""
    if currency in THREE_DECIMAL:
        return 10
    return 100 if currency in WRITTEN_WITH_TWO_ZEROS else 1


def smallest(currency: str) -> int:
    return max(MINIMUM_MINOR.get(currency, 1), increment(currency))


def largest(currency: str) -> int:
    limit: int = 10 ** MOST_DIGITS.get(currency, DIGITS) - 1
    return limit - limit % increment(currency)


def check_charge(amount_minor: int, currency: str) -> None:
    """Whether Stripe can charge it. Raises amount_too_small, amount_too_large, invalid_amount."""
    check_step(amount_minor, currency)
    if amount_minor < smallest(currency):
        raise errors.amount_too_small(smallest(currency), currency)
    if amount_minor > largest(currency):
        raise errors.amount_too_large(largest(currency), currency)


def check_price(amount_minor: int, currency: str) -> None:
    """Whether a product can cost so much. Less than the smallest charge is fine: more pieces, and
    other products, make it more. Raises amount_too_large, invalid_amount."""
    check_step(amount_minor, currency)
    if amount_minor > largest(currency):
        raise errors.amount_too_large(largest(currency), currency)


def check_step(amount_minor: int, currency: str) -> None:
    """A part of an amount has no minimum, and the same steps. Raises invalid_amount."""
    if amount_minor % increment(currency):
        raise errors.invalid_amount(increment(currency), currency)
