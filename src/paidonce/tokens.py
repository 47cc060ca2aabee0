"""Tokens of the app for development: what a host's own sign-in gives out otherwise."""

import time

import jwt

from paidonce.settings import TokenSettings

TOKEN_DAYS = 30


def make_token(settings: TokenSettings, user: str, email: str | None = None) -> str:
    """HS256 under AUTH_JWT_SECRET, with the audience and issuer that are checked; 30 days."""
    now = int(time.time())
    claims: dict[str, object] = {"sub": user, "iat": now, "exp": now + TOKEN_DAYS * 86400}
    optional = {
        "email": email,
        "aud": settings.auth_audience,
        "iss": settings.auth_issuer,
    }
    claims.update({name: value for name, value in optional.items() if value})
    return jwt.encode(claims, settings.auth_jwt_secret.get_secret_value(), algorithm="HS256")
