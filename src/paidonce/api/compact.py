"""The compact form of a signed token (RFC 7515, 7519), read strictly.

Nothing of a token is believed before its signature is checked but two words of its header: `kid`
chooses among the issuer's keys, and `alg` has to be the algorithm that the key is for. No other
member of the header is ever used (`jku`, `jwk`, `x5u` and `x5c` name keys, and are passed over);
those that would change how the token is to be read are refused.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

LARGEST_TOKEN_BYTES = 16_384
LONGEST_KEY_ID = 255
MOST_DIGITS = 30
READ_OTHERWISE = ("crit", "b64", "zip", "enc")
"""Extensions that have to be understood, an unencoded payload (RFC 7797), and encryption: none of
them is, so a token that says one of these words means something else than we would read."""


class NotAToken(Exception):
    """It cannot be read as a token in exactly one way."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it came: nothing is known of its signature yet."""

    algorithm: str
    key_id: str | None
    signed: bytes
    payload: bytes
    signature: bytes

    def claims(self) -> Mapping[str, Any]:
        """What it says; to be asked for when the signature was checked. Raises NotAToken."""
        return _object_of(self.payload)


def read_token(text: str) -> Token:
    """Raises NotAToken. Every token has one spelling: base64url without padding, and without bits
    that decode to nothing (RFC 4648, 3.5), so that no two texts are the same token."""
    parts = text.split(".")
    if len(text) > LARGEST_TOKEN_BYTES or len(parts) != 3:
        raise NotAToken
    head, payload, signature = (_decoded(part) for part in parts)
    header = _object_of(head)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or any(name in header for name in READ_OTHERWISE):
        raise NotAToken
    if "kid" in header and not is_key_id(key_id):
        raise NotAToken
    signed = text.rpartition(".")[0].encode("ascii")
    return Token(algorithm, key_id, signed, payload, signature)


def is_key_id(value: object) -> TypeGuard[str]:
    """A name to look up in the issuer's set, and nothing else: never a path or a query."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_KEY_ID


def _decoded(part: str) -> bytes:
    try:
        value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise NotAToken from None
    if base64.urlsafe_b64encode(value).rstrip(b"=") != part.encode():
        raise NotAToken
    return value


def _object_of(raw: bytes) -> dict[str, Any]:
    """A JSON object without a member twice (RFC 7519, 4: refused, since others may read the first
    one), without NaN, Infinity and numbers of absurd length."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_int=_short(int),
            parse_float=_short(float),
            parse_constant=_refuse,
            object_pairs_hook=_without_doubles,
        )
    except (ValueError, RecursionError):
        raise NotAToken from None
    if not isinstance(value, dict):
        raise NotAToken
    return value


def _short(number: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(literal: str) -> Any:
        if len(literal) > MOST_DIGITS:
            raise ValueError("too many digits")
        return number(literal)

    return parse


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member twice")
    return value
