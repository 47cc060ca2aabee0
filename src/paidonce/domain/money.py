"""Money: integers in minor units inside, a JSON number in major units for the app.

Stripe takes "the smallest currency unit" (https://docs.stripe.com/currencies): cents for USD, yen
for JPY, fils for KWD. No float takes part in any conversion.
"""

from decimal import Decimal

ZERO_DECIMAL = frozenset(
    [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
MAX_AMOUNT_MINOR = 99_999_999  # Stripe: "up to eight digits"


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
