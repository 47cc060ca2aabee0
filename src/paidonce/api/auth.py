"""Who is asking: the app's user by JWT, the merchant by API key.

Everything wrong with a token is one answer, 401 `not_authenticated`, which does not say what.
"""

import hmac
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeGuard

import jwt
from jwt.types import Options
from starlette.requests import Request

from paidonce.api.jwks import JwksKeys, VerificationKey
from paidonce.domain import errors
from paidonce.domain.model import Principal
from paidonce.settings import Settings

LEEWAY_SECONDS = 15  # clocks of phones, hosts and servers differ; the contract allows at most 30
LONGEST_USER_ID = 255
LONGEST_EMAIL = 320

# The signature is PyJWT's work; times are checked here, against the clock that is injected.
_OPTIONS: Options = {
    "require": ["exp", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Keys(Protocol):
    """Where the key comes from; the algorithm comes with the key, never from the token."""

    async def key_for(self, token: str) -> VerificationKey: ...


class SharedSecret:
    """The key of HS256 tokens."""

    def __init__(self, secret: str) -> None:
        self._key = VerificationKey(secret, "HS256")

    async def key_for(self, token: str) -> VerificationKey:
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
        self._options: Options = {**_OPTIONS, "verify_aud": self._audience is not None}
        self._merchant_keys = [key.encode() for key in settings.merchant_api_keys]
        self._clock = clock

    async def user(self, request: Request) -> Principal:
        """The token's user; raises `not_authenticated`, or 503 while no JWKS could be loaded."""
        token = _bearer(request)
        try:
            key = await self._keys.key_for(token)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                options=self._options,
                audience=self._audience,
                issuer=self._issuer,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise errors.not_authenticated() from None
        self._check_times(claims)
        return _principal(claims)

    def merchant(self, request: Request) -> None:
        """Raise `not_authenticated` unless the request carries one of the merchant's keys."""
        given = _bearer(request).encode("utf-8")
        matches = [hmac.compare_digest(given, key) for key in self._merchant_keys]
        if not any(matches):  # every key was compared: the time does not tell which came close
            raise errors.not_authenticated()

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock().timestamp()
        if _seconds(claims["exp"]) + LEEWAY_SECONDS <= now:
            raise errors.not_authenticated()
        for name in ("nbf", "iat"):
            if claims.get(name) is not None and _seconds(claims[name]) - LEEWAY_SECONDS > now:
                raise errors.not_authenticated()


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
        raise errors.not_authenticated()
    return token.strip()


def _seconds(value: object) -> float:
    """A NumericDate (RFC 7519), or `not_authenticated`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise errors.not_authenticated()
    return value


def _principal(claims: Mapping[str, Any]) -> Principal:
    user_id, email = claims["sub"], claims.get("email")
    if not is_user_id(user_id):
        raise errors.not_authenticated()
    return Principal(user_id, email if is_email(email) else None)
