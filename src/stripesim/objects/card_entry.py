"""A card as it is entered: checked like Stripe's tokenisation does, then known by name only."""

import time
from typing import Any

from stripesim import guesses
from stripesim.ids import fingerprint
from stripesim.rules import cards
from stripesim.rules.cards import Authentication, Card
from stripesim.wire.errors import StripeError, invalid_request
from stripesim.world import Call

Json = dict[str, Any]
CARD_ERROR = "card_error"


def read_entered(call: Call, entered: Json) -> tuple[Card, Json]:
    """The test card behind number, expiry and CVC, and its public details.

    Details: brand, last4, exp_month, exp_year, fingerprint, funding, cvc_check. Raises StripeError
    400 for missing fields and 402 for a number, expiry or CVC that no card can have.
    """
    for name in ("number", "exp_month", "exp_year"):
        if entered.get(name) in (None, ""):
            raise invalid_request(
                f"Missing required param: card[{name}].",
                code="parameter_missing",
                param=f"card[{name}]",
            )
    number = str(entered["number"]).replace(" ", "").replace("-", "")
    card = cards.BY_NUMBER.get(number)
    month, year = _read_expiry(call, entered)
    cvc = entered.get("cvc")
    if cvc and not (str(cvc).isdigit() and len(str(cvc)) in (3, 4)):
        raise _card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    if card is None:
        if not number.isdigit() or not 12 <= len(number) <= 19 or not cards.passes_luhn(number):
            raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
        raise _card_error(
            "card_declined",
            guesses.NOT_A_TEST_CARD_MESSAGE,
            None,
            decline_code="test_mode_live_card",
        )
    return card, details(card, month, year, "unchecked" if cvc else None)


def read_factory(call: Call, card: Card) -> Json:
    """Details of a card made from `pm_card_…` or `tok_…`. Recorded: this month, next year."""
    month, year = _month_and_year(call.now)
    return details(card, month, year + 1, "unchecked")


def details(card: Card, month: int, year: int, cvc_check: str | None) -> Json:
    return {
        "brand": card.brand,
        "last4": card.number[-4:],
        "exp_month": month,
        "exp_year": year,
        "fingerprint": fingerprint(card.number),
        "funding": card.funding,
        "cvc_check": cvc_check,
        "three_d_secure_supported": card.authentication is not Authentication.UNSUPPORTED,
    }


def _read_expiry(call: Call, entered: Json) -> tuple[int, int]:
    month, year = as_int(entered["exp_month"]), as_int(entered["exp_year"])
    if not 1 <= month <= 12:
        raise _card_error(
            "invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month"
        )
    year += 2000 if year < 100 else 0
    this_month, this_year = _month_and_year(call.now)
    if not this_year <= year <= this_year + 50:
        raise _card_error(
            "invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year"
        )
    if year == this_year and month < this_month:
        raise _card_error(
            "invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month"
        )
    return month, year


def as_int(value: Any) -> int:
    return int(value) if str(value).isdigit() else -1


def _month_and_year(now: int) -> tuple[int, int]:
    at = time.gmtime(now)
    return at.tm_mon, at.tm_year


def _card_error(code: str, message: str, param: str | None, **extra: str) -> StripeError:
    return StripeError(
        402, message, type=CARD_ERROR, code=code, param=param, extra=dict(extra), is_executed=True
    )
