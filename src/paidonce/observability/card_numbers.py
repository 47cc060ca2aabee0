"""Finding payment card numbers (PANs): refused in requests, removed from logs.

A card number has 13 to 19 digits, begins with an issuer prefix that exists, and ends in a Luhn
check digit (ISO/IEC 7812). People write it with blanks, dashes or dots. Identifiers full of digits
are everywhere in payment data, so digits count only where they stand for themselves: UUIDs,
Stripe ids (`pm_1SRzr3…`) and tokens with letters between their digits are no card numbers.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

SHORTEST = 13
LONGEST_PHONE_NUMBER = 15  # ITU-T E.164, without the plus sign

_UUID = re.compile(r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])", re.IGNORECASE)
# Up to three separators stand between digits: blanks (those that nobody sees too, and what makes a
# digit a picture of a key), dashes and dots.
_SEPARATOR = (
    r"[\s\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0f\ufeff\u20e3"
    r"\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d.\u00b7\u2024\u30fb\uff0e]"
)
_RUN = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{{SHORTEST - 1},}}")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def has_card_number(text: str) -> bool:
    """True when a card number stands anywhere in `text`."""
    return next(find_card_numbers(text), None) is not None


def find_card_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every card number in `text`, from left to right."""
    if len(text) < SHORTEST:
        return
    plain = text if text.isascii() else _with_plain_digits(text)
    if _RUN.search(plain) is None:
        return
    hidden = _UUID.sub(lambda match: "#" * len(match[0]), plain)
    for run in _RUN.finditer(hidden):
        yield from _card_numbers_in(hidden, *run.span())


def _with_plain_digits(text: str) -> str:
    """As long as `text`; digits of every script, raised and circled ones too, are 0 to 9."""
    return "".join(char if char.isascii() else _plain(char) for char in text)


def _plain(char: str) -> str:
    value = unicodedata.digit(char, None)
    return char if value is None else str(value)


def _card_numbers_in(text: str, run_start: int, run_end: int) -> Iterator[tuple[int, int]]:
    """The card numbers in a run of digits and separators: always whole groups of digits.

    "12 4242 4242 4242 4242" is a run of 18 digits with a card number in its last four groups.
    Linear in the run's length, since a request body may be one long run: Luhn sums of any part
    are differences of two running sums.
    """
    places = [place for place in range(run_start, run_end) if text[place].isdecimal()]
    digits = [int(text[place]) for place in places]
    sums = _running_luhn_sums(digits)
    taken = 0
    for first, place in enumerate(places):
        is_group_start = first == 0 or places[first - 1] != place - 1
        if first < taken or not is_group_start:
            continue
        for length in _issued_lengths(tuple(digits[first : first + 4])):
            end = first + length
            if end > len(places) or (sums[end % 2][end] - sums[end % 2][first]) % 10:
                continue
            is_group_end = end == len(places) or places[end] != places[end - 1] + 1
            if is_group_end and _stands_for_itself(text, place, places[end - 1] + 1, length):
                taken = end
                yield place, places[end - 1] + 1
                break


def _running_luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Running sums that double the digits at even places, and those at odd places.

    Luhn doubles every second digit from the right, the last one not: for a part that ends before
    place `end` those are the places of the same parity as `end`.
    """
    even, odd = [0], [0]
    for place, digit in enumerate(digits):
        even.append(even[-1] + (digit if place % 2 else _DOUBLED[digit]))
        odd.append(odd[-1] + (_DOUBLED[digit] if place % 2 else digit))
    return even, odd


def _stands_for_itself(text: str, start: int, end: int, digits: int) -> bool:
    """False for a phone number, and for a part of a token that has more digits elsewhere."""
    if text[max(start - 1, 0) : start] == "+" and digits <= LONGEST_PHONE_NUMBER:
        return False
    before, after = start, end
    while before > 0 and text[before - 1].isalnum():
        before -= 1
    while after < len(text) and text[after].isalnum():
        after += 1
    return not any(char.isdigit() for char in text[before:start] + text[end:after])


@cache
def _issued_lengths(first_four: tuple[int, ...]) -> tuple[int, ...]:
    """How long numbers with this prefix are, longest first (ISO/IEC 7812 issuer prefixes)."""
    four = int("".join(map(str, first_four)) or "0")
    two = four // 100
    if 4000 <= four <= 4999:  # Visa
        return (19, 18, 16, 13)
    if 51 <= two <= 55 or 2221 <= four <= 2720:  # Mastercard
        return (16,)
    if 2200 <= four <= 2204:  # Mir
        return (19, 18, 17, 16)
    if two in (34, 37):  # American Express
        return (15,)
    if two in (30, 36, 38, 39):  # Diners Club
        return (19, 16, 14)
    if two in (50, 56, 57, 58, 67):  # Maestro
        return (19, 18, 17, 16, 15, 14, 13)
    if two in range(60, 70) or two in (81, 82) or 3528 <= four <= 3589:
        return (19, 18, 17, 16)  # Discover, UnionPay, Maestro, RuPay, JCB
    return ()
