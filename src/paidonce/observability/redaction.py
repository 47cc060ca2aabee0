"""Keeping secrets and card numbers out of every log line, whoever wrote it."""

import re
from collections.abc import Mapping
from typing import Any

from paidonce.observability.card_numbers import find_card_numbers

REDACTED = "[redacted]"

# Every pattern keeps what says which kind of secret it was, and drops the secret itself.
_SECRETS = (
    (re.compile(r"\b((?:sk|rk|pk|ek)_(?:test|live)_)[A-Za-z0-9_*]+"), r"\1" + REDACTED),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=_-]+"), r"\1" + REDACTED),
    (re.compile(r"(\w_secret_)[A-Za-z0-9_]+"), r"\1" + REDACTED),
    (re.compile(r"\b(Bearer)\s+[^\s\"',;]+", re.IGNORECASE), r"\1 " + REDACTED),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), REDACTED),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1" + REDACTED + "@"),
)
_SUSPECT = re.compile(
    r"_(?:test|live)_|whsec_|_secret_|bearer|eyJ|://|\d|[^\x00-\x7f]", re.IGNORECASE
)
_SECRET_NAMES = frozenset(
    {
        "authorization",
        "client_secret",
        "clientsecret",
        "cookie",
        "set-cookie",
        "idempotency-key",
        "password",
        "secret",
        "token",
        "card_number",
        "stripe-signature",
    }
)
_DEEPEST = 12


def redact(text: str) -> str:
    """`text` without keys, client secrets, tokens, passwords in addresses, and card numbers."""
    if _SUSPECT.search(text) is None:
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    for start, end in reversed(list(find_card_numbers(text))):
        text = text[:start] + REDACTED + text[end:]
    return text


def redact_value(value: Any, depth: int = 0) -> Any:
    """The same for whatever a log line may hold; a field with a secret's name loses its value."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return REDACTED if redact(str(value)) != str(value) else value
    if isinstance(value, str):
        return redact(value)
    if depth >= _DEEPEST:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            redact(str(name)): REDACTED
            if str(name).lower() in _SECRET_NAMES
            else redact_value(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(inner, depth + 1) for inner in value]
    return redact(repr(value))
