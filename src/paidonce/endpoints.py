"""Where outgoing events go: each endpoint's name, address and signing secrets, out of two settings.

Secrets are Standard Webhooks': `whsec_` and the base64 of 24 to 64 random bytes
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
"""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field

from paidonce.outside import BadUrl, check_url

PREFIX = "whsec_"
SECRET_BYTES = 32
SHORTEST_SECRET_BYTES = 24
LONGEST_SECRET_BYTES = 64
MOST_SECRETS = 3
MOST_ENDPOINTS = 10
ONLY_NAME = "main"
"""The name of an endpoint that was given none."""
_NAMED = re.compile(r"(?:(?!whsec_)([a-z0-9][a-z0-9_-]{0,39})=)?(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Somebody who is told. `secrets`: every event is signed with each of them, so that they can be
    rotated; `is_loopback`: an endpoint of development, on this machine."""

    name: str
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)
    is_loopback: bool = False


def new_secret() -> str:
    """A signing secret for both sides."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def parse_endpoints(value: str, *, allows_loopback: bool) -> dict[str, tuple[str, bool]]:
    """`https://…`, or `name=https://…,other=https://…`: name -> (URL, whether it is loopback).
    Raises ValueError with what the setting must be."""
    found: dict[str, tuple[str, bool]] = {}
    for part in _split(value):
        name, url = _name_and_rest(part)
        if name in found:
            raise ValueError(f"must name {name} once")
        try:
            found[name] = url, check_url(url, allows_loopback=allows_loopback)
        except BadUrl as error:
            raise ValueError(f"({name}) {error}") from None
    if len(found) > MOST_ENDPOINTS:
        raise ValueError(f"must have at most {MOST_ENDPOINTS} endpoints")
    return found


def parse_secrets(value: str) -> dict[str, tuple[bytes, ...]]:
    """`whsec_…`, or `name=whsec_…,name=whsec_…`: name -> its secrets, several while rotating.
    Raises ValueError with what the setting must be."""
    found: dict[str, tuple[bytes, ...]] = {}
    for part in _split(value):
        name, secret = _name_and_rest(part)
        found[name] = (*found.get(name, ()), _decode(secret))
        if len(found[name]) > MOST_SECRETS:
            raise ValueError(f"must have at most {MOST_SECRETS} secrets for an endpoint")
    return found


def endpoints_of(urls: str, signing_secrets: str, *, allows_loopback: bool) -> list[Endpoint]:
    """Both settings together. Raises ValueError where an endpoint has no secret, or a secret no
    endpoint: events that nobody can check are not sent."""
    places = parse_endpoints(urls, allows_loopback=allows_loopback)
    keys = parse_secrets(signing_secrets)
    if places.keys() != keys.keys():
        odd = sorted(places.keys() ^ keys.keys())[0]
        raise ValueError(f"EVENT_ENDPOINTS and EVENT_SECRETS must both have {odd}, or neither")
    return [
        Endpoint(name, url, keys[name], is_loopback) for name, (url, is_loopback) in places.items()
    ]


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _name_and_rest(part: str) -> tuple[str, str]:
    found = _NAMED.fullmatch(part)
    return (found[1] or ONLY_NAME, found[2]) if found else (ONLY_NAME, part)


def _decode(secret: str) -> bytes:
    try:
        if not secret.startswith(PREFIX):
            raise ValueError
        raw = secret.removeprefix(PREFIX)
        key = base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not SHORTEST_SECRET_BYTES <= len(key) <= LONGEST_SECRET_BYTES:
        raise ValueError(
            "must be whsec_ and the base64 of 24 to 64 bytes; `paidonce notices secret` makes one"
        )
    return key
