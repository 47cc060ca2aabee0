"""Who is asking: the app's user by JWT, the merchant by API key.

Everything wrong with a token is one answer, 401 `not_authenticated`, which does not say what; the
log does, in a word.
"""

import hmac
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeGuard

from starlette.requests import Request

from paidonce.api.admission import PLACE
from paidonce.api.compact import NotAToken, Token, read_token
from paidonce.api.jwks import JwksKeys, UnknownKey, VerificationKey
from paidonce.domain import errors
from paidonce.domain.model import Principal
from paidonce.observability import has_card_number
from paidonce.settings import Settings

LEEWAY_SECONDS = 15  # clocks of phones, hosts and servers differ; the contract allows at most 30
LATEST_TIME = 253_402_300_799
"""The last second of the year 9999: what lies behind it is no time, but milliseconds for one."""
LONGEST_USER_ID = 255
MERCHANT = "merchant"
"""The principal of a request with one of the merchant's keys."""
LONGEST_EMAIL = 320


class Keys(Protocol):
    """Where the key comes from; the algorithm comes with the key, never from the token."""

    async def key_for(self, key_id: str | None) -> VerificationKey: ...


class SharedSecret:
    """The key of HS256 tokens; what a token calls it is of no importance."""

    def __init__(self, secret: str) -> None:
        self._key = VerificationKey.of_secret(secret)

    async def key_for(self, key_id: str | None) -> VerificationKey:
        return self._key


class Authentication:
    """Checks the `Authorization` header of a request."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        secret = settings.auth_jwt_secret.get_secret_value()
        self._keys: Keys = (
            SharedSecret(secret) if secret else JwksKeys(settings.auth_jwks_url, clock)
        )
        self._audience = settings.auth_audience or None
        self._issuer = settings.auth_issuer or None
        self._merchant_keys = [key.encode() for key in settings.merchant_api_keys]
        self._clock = clock

    async def user(self, request: Request) -> Principal:
        """The token's user; raises `not_authenticated`, or 503 while no JWKS could be loaded."""
        try:
            token = read_token(_bearer(request))
            key = await self._keys.key_for(token.key_id)
            _check_signature(token, key)
            claims = token.claims()
        except NotAToken:
            raise errors.not_authenticated("malformed") from None
        except UnknownKey:
            raise errors.not_authenticated("key_unknown") from None
        self._check_times(claims)
        self._check_parties(claims)
        return _principal(claims)

    def merchant(self, request: Request) -> None:
        """Raise `not_authenticated` unless the request carries one of the merchant's keys; it goes
        on in his name, whatever address he shares, and takes its place in that name."""
        given = _bearer(request).encode("utf-8")
        matches = [hmac.compare_digest(given, key) for key in self._merchant_keys]
        if not any(matches):  # every key was compared: the time does not tell which came close
            raise errors.not_authenticated("api_key")
        request.scope[PLACE].hold(MERCHANT)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """`exp` is required. `iat` is not needed, but a token from the future is nobody's."""
        now = self._clock().timestamp()
        if _seconds(claims.get("exp")) + LEEWAY_SECONDS <= now:
            raise errors.not_authenticated("expired")
        for name in ("nbf", "iat"):
            if name in claims and _seconds(claims[name]) - LEEWAY_SECONDS > now:
                raise errors.not_authenticated("not_yet_valid")

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        """The issuer is one string, the audience one or a list of them (RFC 7519, 4.1)."""
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise errors.not_authenticated("issuer")
        audience = claims.get("aud")
        listed = audience if isinstance(audience, list) else [audience]
        if self._audience is None:
            return
        if self._audience not in listed or not all(isinstance(each, str) for each in listed):
            raise errors.not_authenticated("audience")


def _check_signature(token: Token, key: VerificationKey) -> None:
    if token.algorithm != key.algorithm:
        raise errors.not_authenticated("algorithm")
    if not key.has_signed(token.signed, token.signature):
        raise errors.not_authenticated("signature")


def is_email(value: object) -> TypeGuard[str]:
    """Something with an @ inside; whether it can be reached is not our business."""
    if not isinstance(value, str) or not 3 <= len(value) <= LONGEST_EMAIL:
        return False
    return "@" in value[1:-1] and value.isprintable() and " " not in value


def is_user_id(value: object) -> TypeGuard[str]:
    """A non-empty string of at most 255 characters that can be stored and printed."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_USER_ID and value.isprintable()


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.not_authenticated("no_token")
    return token.strip()


def _seconds(value: object) -> float:
    """A NumericDate (RFC 7519), or `not_authenticated`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise errors.not_authenticated("time")
    if value > LATEST_TIME:
        raise errors.not_authenticated("time")
    return value


def _principal(claims: Mapping[str, Any]) -> Principal:
    user_id, email = claims.get("sub"), claims.get("email")
    if not is_user_id(user_id):
        raise errors.not_authenticated("subject")
    if has_card_number(user_id):  # it would stand in every table, and at Stripe
        raise errors.card_number_rejected()
    return Principal(user_id, email if is_email(email) and not has_card_number(email) else None)
