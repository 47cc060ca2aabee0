"""What may be seen on a screen or in a test's report: no key, no secret, no card number."""

import re
from typing import Any

from stripesim.rules.cards import passes_luhn

HIDDEN = "[redacted]"
SECRET_NAMES = frozenset(
    {"number", "cvc", "client_secret", "secret", "key", "account_number", "iban"}
)
SECRET_TEXTS = (
    (re.compile(r"_secret_\w+"), f"_secret_{HIDDEN}"),
    (re.compile(r"\bwhsec_\w+"), f"whsec_{HIDDEN}"),
    (re.compile(r"\b((?:sk|pk|rk|ek)_(?:test|live)_)\w+"), rf"\1{HIDDEN}"),
)
SUSPECT = re.compile(r"_secret_|whsec_|_test_|_live_|\d[\d -]{10}")  # the quick way out
DIGITS = re.compile(r"(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])")
KIND_OF_KEY = re.compile(r"(?:Bearer|Basic)? *(?:(?:sk|pk|rk|ek)_(?:test|live)_)?", re.IGNORECASE)


def redacted(value: Any, name: str = "") -> Any:
    """The same JSON without what must not be seen."""
    if isinstance(value, dict):
        return {inner: redacted(v, inner) for inner, v in value.items()}
    if isinstance(value, list):
        return [redacted(v, name) for v in value]
    if not isinstance(value, str):
        return value
    if name in SECRET_NAMES:
        return HIDDEN
    return redacted_text(value)


def redacted_text(text: str) -> str:
    if not SUSPECT.search(text):
        return text
    for pattern, instead in SECRET_TEXTS:
        text = pattern.sub(instead, text)
    return DIGITS.sub(_without_card_number, text)


def _without_card_number(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return HIDDEN if passes_luhn(digits) else match[0]


def redacted_headers(headers: dict[str, str]) -> dict[str, str]:
    """Of the key only its kind; no cookies."""
    shown = {}
    for name, value in headers.items():
        if name.lower() == "authorization":
            kind = KIND_OF_KEY.match(value)
            shown[name] = (kind[0] if kind else "") + HIDDEN
        elif name.lower() != "cookie":
            shown[name] = redacted_text(value)
    return shown
