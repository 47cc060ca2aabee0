"""Currencies: how many decimals, and the smallest charge.

Minimums are those of docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in minor units.
"""

from stripesim import guesses
from stripesim.wire.errors import StripeError, invalid_request

# Documented: eight digits, in these currencies more.
MOST_DIGITS = {"cop": 10, "idr": 12, "inr": 9}
TWO_ZEROS = ("isk", "ugx")  # documented: without decimals, yet written with two
ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905
MINIMUMS = {
    "usd": (50, "$0.50"), "aed": (200, "2.00 د.إ"), "aud": (50, "$0.50"), "bgn": (100, "лв1.00"),
    "brl": (50, "R$0.50"), "cad": (50, "$0.50"), "chf": (50, "0.50 Fr"), "czk": (1500, "15.00Kč"),
    "dkk": (250, "2.50 kr."), "eur": (50, "€0.50"), "gbp": (30, "£0.30"), "hkd": (400, "$4.00"),
    "huf": (17500, "175.00 Ft"), "inr": (50, "₹0.50"), "jpy": (50, "¥50"), "mxn": (1000, "$10"),
    "myr": (200, "RM 2"), "nok": (300, "3.00 kr."), "nzd": (50, "$0.50"), "pln": (200, "2.00 zł"),
    "ron": (200, "lei2.00"), "sek": (300, "3.00 kr."), "sgd": (50, "$0.50"), "thb": (1000, "฿10"),
}  # fmt: skip
SUPPORTED = [
    "usd", "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd",
    "bdt", "bgn", "bhd", "bif", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad",
    "cdf", "chf", "clp", "cny", "cop", "crc", "cve", "czk", "djf", "dkk", "dop", "dzd", "egp",
    "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gnf", "gtq", "gyd", "hkd", "hnl",
    "hrk", "htg", "huf", "idr", "ils", "inr", "isk", "jmd", "jod", "jpy", "kes", "kgs", "khr",
    "kmf", "krw", "kwd", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mga",
    "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio",
    "nok", "npr", "nzd", "omr", "pab", "pen", "pgk", "php", "pkr", "pln", "pyg", "qar", "ron",
    "rsd", "rub", "rwf", "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std",
    "szl", "thb", "tjs", "tnd", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "uyu", "uzs",
    "vnd", "vuv", "wst", "xaf", "xcd", "xcg", "xof", "xpf", "yer", "zar", "zmw", "usdc", "btn",
    "ghs", "eek", "lvl", "svc", "vef", "ltl", "sll", "mro",
]  # fmt: skip
ZERO_MESSAGE_SINCE = "2023-10-16"
TOO_SMALL_MESSAGE = "This value must be greater than or equal to 1."
ZERO_MESSAGE = (
    "The amount must be greater than or equal to the minimum charge amount allowed for your account"
    " and the currency set"
    " (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).  If you want to save"
    " a Payment Method for future use without an immediate payment, use a Setup Intent instead: "
    "https://docs.stripe.com/payments/setup-intents"
)


def check_currency(currency: str) -> str:
    """The lower-case currency. Raises StripeError 400 when Stripe does not know it."""
    lower = currency.lower()
    if lower not in SUPPORTED:
        raise invalid_request(
            f"Invalid currency: {lower}. Stripe currently supports these currencies: "
            + ", ".join(SUPPORTED),
            param="currency",
        )
    return lower


def check_amount(amount: int, currency: str, version: str) -> None:
    """Raises StripeError 400 when the amount (minor units) cannot be charged in the currency.

    Recorded: the short text until 2023-08-16 (pay-rails/pay), the long one from 2023-10-16 on
    (antiwork/gumroad).
    """
    if amount <= 0:
        is_short = version[:10] < ZERO_MESSAGE_SINCE
        message = TOO_SMALL_MESSAGE if is_short else ZERO_MESSAGE
        raise invalid_request(message, code="parameter_invalid_integer", param="amount")
    largest = 10 ** MOST_DIGITS.get(currency, 8) - 1
    if amount > largest:
        shown = f"{major(largest, currency)} {currency}"
        raise _amount_error("amount_too_large", guesses.AMOUNT_TOO_LARGE_MESSAGE, shown)
    smallest, shown = MINIMUMS.get(currency, (0, ""))
    if amount < smallest:
        raise _amount_error(
            "amount_too_small", "Amount must be at least {amount}", f"{shown} {currency}"
        )
    if currency in THREE_DECIMAL and amount % 10:
        raise _uneven(guesses.THREE_DECIMAL_MESSAGE, amount, currency)
    if currency in TWO_ZEROS and amount % 100:
        raise _uneven(guesses.NO_DECIMALS_MESSAGE, amount, currency)


def major(amount: int, currency: str) -> str:
    """440 -> "$4.40": how Stripe writes an amount into a message."""
    if currency in ZERO_DECIMAL:
        text = f"{amount:,}"
    elif currency in THREE_DECIMAL:
        text = f"{amount // 1000:,}.{amount % 1000:03}"
    else:
        text = f"{amount // 100:,}.{amount % 100:02}"
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, "")
    return symbol + text


def _uneven(message: str, amount: int, currency: str) -> StripeError:
    return invalid_request(
        message.format(amount=amount, currency=currency),
        code="parameter_invalid_integer",
        param="amount",
    )


def _amount_error(code: str, message: str, shown: str) -> StripeError:
    return invalid_request(message.format(amount=shown), code=code, param="amount")
