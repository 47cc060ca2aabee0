"""Request bodies: limited while they come in, then JSON that nothing further in has to fear."""

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.types import Receive, Scope

from paidonce.api.fields import PLAIN_NAME
from paidonce.domain import errors

MAX_BODY_BYTES = 64 * 1024
MAX_WEBHOOK_BODY_BYTES = 1024 * 1024  # Stripe's events carry whole objects
MOST_ARRIVING_BYTES = 32 * 1024 * 1024
"""Of all bodies of one kind that have not come in whole."""
BODY_SECONDS = 10  # as long as a head may take; the app gives up after 30 s
DEEPEST_NESTING = 32
LARGEST_INTEGER_DIGITS = 30
BODY = "paidonce.body"  # in the ASGI scope, set by the shell: the whole body, as bytes

Place = tuple["Place", str | int] | None
"""Where something stands in a JSON value: the way there, and the field or the number in a list."""
_JSON_TYPE = re.compile(
    r"application/json\s*(;\s*charset=\"?(utf-?8|us-ascii)\"?\s*)?;?\s*", re.IGNORECASE
)


class BodyTooLarge(Exception):
    """The body has more bytes than its limit; nothing of it is used."""


class Arrivals:
    """The bodies on their way. When they are more than `most_bytes` together, those that have been
    on their way longest give way, so that slow ones keep nobody out."""

    def __init__(self, limit_bytes: int, most_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._most_bytes = most_bytes
        self._bytes = 0
        self._waiting: dict[asyncio.Timeout, bytearray] = {}  # the oldest first

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Raises BodyTooLarge as soon as it is, `invalid_request` when it does not
        come whole in BODY_SECONDS, `service_overloaded` when it gave way."""
        if _announced_bytes(scope) > self.limit_bytes:
            raise BodyTooLarge
        timer, body = asyncio.timeout(BODY_SECONDS), bytearray()
        try:
            async with timer:
                self._waiting[timer] = body
                await self._fill(body, receive, timer)
        except TimeoutError:
            if timer not in self._waiting:
                raise errors.service_overloaded() from None
            raise errors.invalid_request("The request body is incomplete.") from None
        finally:
            self._forget(timer)
        return bytes(body)

    async def _fill(self, body: bytearray, receive: Receive, timer: asyncio.Timeout) -> None:
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise errors.invalid_request("The request body is incomplete.")
            part = message.get("body", b"")
            if len(body) + len(part) > self.limit_bytes:
                raise BodyTooLarge
            body += part
            if timer in self._waiting:  # it has not given way
                self._bytes += len(part)
            while self._bytes > self._most_bytes:
                self._end_the_oldest()
            has_more = message.get("more_body", False)

    def _end_the_oldest(self) -> None:
        oldest = next(iter(self._waiting))
        self._forget(oldest)
        if not oldest.expired():
            oldest.reschedule(0)

    def _forget(self, timer: asyncio.Timeout) -> None:
        self._bytes -= len(self._waiting.pop(timer, b""))


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


def read_json_object(
    request: Request, *, is_empty_allowed: bool = False
) -> tuple[bytes, dict[str, Any]]:
    """The raw body, which the shell has taken in, and the JSON object in it.

    Raises `unsupported_media_type` and `invalid_request`. With `is_empty_allowed` no body means
    `{}`.
    """
    raw: bytes = request.scope[BODY]
    if not raw:
        if is_empty_allowed:
            return raw, {}
        raise errors.invalid_request("A JSON object is required as the body.")
    if _JSON_TYPE.fullmatch(request.headers.get("content-type", "")) is None:
        raise errors.unsupported_media_type()
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise errors.invalid_request("The body must be a JSON object.")
    return raw, value


def parse_json(raw: bytes) -> Any:
    """Strict JSON in UTF-8: finite numbers, no key twice, no NUL, no half of a surrogate pair."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        raise errors.invalid_request("The body is not valid JSON.") from None
    for text, place in _strings_of(value):
        _check_string(text, place)
    return value


def _check_string(text: str, place: Place) -> None:
    if "\0" in text:
        raise errors.invalid_request(f"{_said(place)} contains a NUL character.")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise errors.invalid_request(f"{_said(place)} contains half of a surrogate pair.")


def _said(place: Place) -> str:
    """`items[0].productId`. A name is said when it looks like one: whatever else stands in its
    place, the field that holds it is named."""
    way: list[str | int] = []
    while place is not None:
        place, part = place
        way.append(part)
    said = ""
    for part in reversed(way):
        if isinstance(part, int):
            said += f"[{part}]"
        elif PLAIN_NAME.fullmatch(part):
            said += f".{part}" if said else part
        else:
            break
    return said or "The body"


def _strings_of(value: Any) -> Iterator[tuple[str, Place]]:
    """Every string and key in a JSON value with its place, without recursion."""
    waiting: list[tuple[Any, int, Place]] = [(value, 0, None)]
    while waiting:
        current, depth, place = waiting.pop()
        if depth > DEEPEST_NESTING:
            raise errors.invalid_request(f"The body is nested deeper than {DEEPEST_NESTING}.")
        if isinstance(current, str):
            yield current, place
        elif isinstance(current, dict):
            for name, inner in current.items():
                yield name, (place, name)
                waiting.append((inner, depth + 1, (place, name)))
        elif isinstance(current, list):
            waiting.extend((inner, depth + 1, (place, n)) for n, inner in enumerate(current))


def _integer(literal: str) -> int:
    if len(literal) > LARGEST_INTEGER_DIGITS:
        raise ValueError("too many digits")
    return int(literal)


def _number(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 7493 forbids a key twice: whoever reads the other one sees another request."""
    value = dict(pairs)
    if len(value) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        what = twice if PLAIN_NAME.fullmatch(twice) else "A field"
        raise errors.invalid_request(f"{what} stands twice in the same object.")
    return value
