"""Statement descriptors: what a card's statement may say.

Documented (docs.stripe.com/get-started/account/statement-descriptors): at most 22 characters, at
least one Latin letter, none of < > \\ ' " *. The suffix follows the account's prefix and "* ", and
the whole is cut to 22 characters.
"""

import re
from typing import Any

from stripesim import guesses
from stripesim.wire.errors import invalid_request

Json = dict[str, Any]
LONGEST = 22
ACCOUNT = "STRIPESIM"  # what the account is called on statements
FORBIDDEN = re.compile(r"[<>\\'\"*]")
CARDS_TAKE_SUFFIX = "2024-01-02"  # documented: since that day a card's own descriptor is refused


def check(params: Json, method_types: list[str], version: str) -> None:
    """Raises StripeError 400 for what a PaymentIntent's `params` say."""
    check_text(params)
    is_new = version[:10] >= CARDS_TAKE_SUFFIX
    if params.get("statement_descriptor") and "card" in method_types and is_new:
        raise invalid_request(
            guesses.DESCRIPTOR_OF_CARD_MESSAGE,
            code="payment_intent_invalid_parameter",
            param="statement_descriptor",
        )


def check_text(params: Json) -> None:
    """Raises StripeError 400 for `statement_descriptor` and its suffix."""
    for name in ("statement_descriptor", "statement_descriptor_suffix"):
        text = params.get(name)
        if text:
            _check_text(name, text)


def _check_text(name: str, text: str) -> None:
    if len(text) > LONGEST:
        message = guesses.DESCRIPTOR_LENGTH_MESSAGE.format(
            longest=LONGEST, text=text, length=len(text)
        )
        raise invalid_request(message, param=name)
    if not re.search("[A-Za-z]", text):
        raise invalid_request(guesses.DESCRIPTOR_LETTER_MESSAGE, param=name)
    if FORBIDDEN.search(text):
        raise invalid_request(guesses.DESCRIPTOR_CHARACTERS_MESSAGE, param=name)


def calculated(descriptor: str | None, suffix: str | None) -> str:
    """What stands on the statement."""
    if suffix:
        return f"{ACCOUNT}* {suffix}"[:LONGEST].strip()
    return descriptor or ACCOUNT
