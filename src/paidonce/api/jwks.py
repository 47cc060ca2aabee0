"""The public keys of the app's token issuer, from its JWKS URL (RFC 7517)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import jwt

from paidonce.domain import errors
from paidonce.observability import get_logger

# Keys are asked for again after this time, so that a withdrawn key ends; for an unknown key id at
# most this often, so that made-up ids do not make us a load on the issuer; and soon while there is
# no key at all, since nobody can sign in then.
REFRESH_AFTER_SECONDS = 600
ASK_AGAIN_AFTER_SECONDS = 30
ASK_AGAIN_WITHOUT_KEYS_AFTER_SECONDS = 2
TIMEOUT = aiohttp.ClientTimeout(total=5)
LARGEST_SET_BYTES = 1_000_000

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm it may be used with."""

    key: Any
    algorithm: str


class JwksKeys:
    """Keys by their id, fetched when first needed and kept."""

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str | None, VerificationKey] = {}
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def key_for(self, token: str) -> VerificationKey:
        """The key that the token's header names.

        Raises jwt.InvalidTokenError when there is none, 503 `service_unavailable` while the issuer
        could never be asked.
        """
        key_id = jwt.get_unverified_header(token).get("kid")
        key = self._find(key_id)
        if key is None:
            await self._refresh(
                ASK_AGAIN_AFTER_SECONDS if self._keys else ASK_AGAIN_WITHOUT_KEYS_AFTER_SECONDS
            )
            key = self._find(key_id)
        elif self._age() >= REFRESH_AFTER_SECONDS and not self._lock.locked():
            # A known key answers now: a slow issuer must not slow payments down.
            self._refreshing = asyncio.create_task(self._refresh(REFRESH_AFTER_SECONDS))
        if key is None and not self._keys:
            raise errors.service_unavailable()
        if key is None:
            raise jwt.InvalidTokenError
        return key

    def _find(self, key_id: str | None) -> VerificationKey | None:
        if key_id is None:  # a token without an id fits when there is no choice
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _age(self) -> float:
        return self._clock().timestamp() - self._asked_at

    async def _refresh(self, oldest_seconds: float) -> None:
        async with self._lock:
            if self._age() < oldest_seconds:
                return
            self._asked_at = self._clock().timestamp()
            try:
                self._keys = _usable_keys(json.loads(await self._fetch()))
            except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
                # The keys we have stay good: an issuer that is down must not stop payments.
                log.warning("jwks.fetch_failed", reason=type(error).__name__)

    async def _fetch(self) -> bytes:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.get(self._url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"answered {response.status}")
            body = b""
            async for chunk in response.content.iter_chunked(65536):
                body += chunk
                if len(body) > LARGEST_SET_BYTES:
                    raise ValueError("too large")
            return body


def _usable_keys(key_set: Any) -> dict[str | None, VerificationKey]:
    """The RS256 and ES256 signature keys of a set, by key id.

    Raises ValueError when there is none. A key says itself which algorithm it is for, by its type
    and by `alg` where it has one; shared (`oct`) and encryption keys are left out.
    """
    listed = key_set.get("keys") if isinstance(key_set, dict) else None
    keys: dict[str | None, VerificationKey] = {}
    for entry in listed if isinstance(listed, list) else []:
        algorithm = _algorithm_of(entry)
        if algorithm is None:
            continue
        try:
            keys[entry.get("kid")] = VerificationKey(jwt.PyJWK(entry, algorithm).key, algorithm)
        except jwt.PyJWTError:
            log.warning("jwks.key_ignored", algorithm=algorithm)
    if not keys:
        raise ValueError("no usable key")
    return keys


def _algorithm_of(entry: Any) -> str | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(entry.get("kid"), str | None):
        return None
    by_type = {"RSA": "RS256", "EC": "ES256"}
    algorithm = by_type.get(str(entry.get("kty")))
    is_p256 = entry.get("crv") == "P-256"
    if algorithm is None or (algorithm == "ES256" and not is_p256):
        return None
    return algorithm if entry.get("alg", algorithm) == algorithm else None
