"""A card number is refused wherever a client may write one, whether the route reads that or not: in
the path, the query, the headers that are ours and the body, however it is spelled.

Headers that nobody here reads are passed over with whatever is in them. Machines on the way write
some of them, and ids of traces and requests with up to 19 digits look like card numbers by chance.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from functools import wraps
from typing import Any
from urllib.parse import unquote, unquote_plus

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from paidonce.api.bodies import BODY
from paidonce.domain import errors
from paidonce.observability import has_card_number
from paidonce.observability.card_numbers import SHORTEST

Handler = Callable[[Request], Awaitable[Response]]
OUR_HEADERS = frozenset([b"idempotency-key", b"x-device-id"])
_DIGITS = [b"%d" % digit for digit in range(10)]
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def refuse_in_target(scope: Scope) -> None:
    """Raise `card_number_rejected` when one stands in the path or the query."""
    query = scope["query_string"]
    if _is_one_spelled(scope["path"]) or (query and _is_one_spelled(unquote_plus(_decoded(query)))):
        raise errors.card_number_rejected()


def without_card_numbers(handler: Handler) -> Handler:
    """A route's handler, to which no request comes with one in a header of ours or in the body."""

    @wraps(handler)
    async def checked(request: Request) -> Response:
        for name, value in request.scope["headers"]:
            if name in OUR_HEADERS and _is_one_spelled(_decoded(value)):
                raise errors.card_number_rejected()
        if body := request.scope[BODY]:
            refuse_in_body(body)
        return await handler(request)

    return checked


def refuse_in_body(raw: bytes) -> None:
    """Raise it when one stands in a body: in every text, key and number of it where that is JSON,
    else as it is, and as a form."""
    if raw.isascii() and sum(map(raw.count, _DIGITS)) < SHORTEST:
        return  # most bodies; saves the pay path the second reading
    text = _decoded(raw)
    try:
        found = json.loads(
            text, parse_int=str, parse_float=_whole_digits, object_pairs_hook=_keep_doubles
        )
    except (ValueError, RecursionError):
        found = [text, unquote_plus(text)]
    if any(map(_is_one_spelled, _texts_of(found))):
        raise errors.card_number_rejected()


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _is_one_spelled(text: str) -> bool:
    """As it is, percent-encoded once more, or with JSON's escapes."""
    return (
        has_card_number(text)
        or ("%" in text and has_card_number(unquote(text)))
        or ("\\u" in text and has_card_number(_ESCAPED.sub(_unescaped, text)))
    )


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _texts_of(value: Any) -> Iterator[str]:
    """Every text in a JSON value, without recursion."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, list | tuple):
            waiting.extend(current)


def _keep_doubles(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """A key that stands twice is refused later, and must not hide what stands first."""
    return pairs


def _whole_digits(literal: str) -> str:
    """4242424242424242.0 and 4.242424242424242e15 are digits too; 52.52000612345678 is a place."""
    number = float(literal)
    if math.isfinite(number) and 1e12 <= abs(number) < 1e20:
        return format(Decimal(literal).to_integral_value(), "f")
    return ""
