"""The public keys of the app's token issuer, from its JWKS URL (RFC 7517)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from paidonce.api.compact import is_key_id
from paidonce.domain import errors
from paidonce.observability import get_logger

# Keys are asked for again after this time, so that a withdrawn key ends, and waited for when nobody
# has asked for so long; for an unknown key id, or after an issuer that did not answer, at most this
# often, so that made-up ids do not make us a load on the issuer; and soon while there is no key at
# all, since nobody can sign in then. An issuer that is down for longer than the last time has
# given out no token that is still good: from then on its keys are no keys.
REFRESH_AFTER_SECONDS = 600
WAIT_FOR_REFRESH_AFTER_SECONDS = 1200
ASK_AGAIN_AFTER_SECONDS = 30
ASK_AGAIN_WITHOUT_KEYS_AFTER_SECONDS = 2
KEYS_GOOD_FOR_SECONDS = 6 * 3600
TIMEOUT = aiohttp.ClientTimeout(total=5)
LARGEST_SET_BYTES = 1_000_000
SMALLEST_RSA_BITS = 2048  # RFC 7518, 3.3
LARGEST_RSA_BITS = 8192  # a check takes time by the square of this

_ALGORITHMS = {name: jwt.get_algorithm_by_name(name) for name in ("HS256", "RS256", "ES256")}
log = get_logger(__name__)


class UnknownKey(Exception):
    """The issuer has no key of that id."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm it may be used with."""

    key: Any
    algorithm: str

    @staticmethod
    def of_secret(secret: str) -> "VerificationKey":
        """Raises jwt.InvalidKeyError when it is a public key, which is no secret."""
        return VerificationKey(_ALGORITHMS["HS256"].prepare_key(secret), "HS256")

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        try:
            return bool(_ALGORITHMS[self.algorithm].verify(text, self.key, signature))
        except (ValueError, TypeError):
            return False


class JwksKeys:
    """Keys by their id, fetched when first needed and kept."""

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str | None, VerificationKey] = {}
        self._asked_at = self._answered_at = self._missed_at = float("-inf")
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._locks = WeakKeyDictionary()
        self._refreshing: asyncio.Task[None] | None = None

    async def key_for(self, key_id: str | None) -> VerificationKey:
        """The key of that id; a token without an id fits when there is one key only.

        Raises UnknownKey when there is none, 503 `service_unavailable` while the issuer could not
        be asked.
        """
        await self._keep_fresh()
        key = self._find(key_id)
        if key is None:
            await self._ask_for(key_id)
            key = self._find(key_id)
        if key is None and not self._keys:
            raise errors.service_unavailable()
        if key is None:
            raise UnknownKey
        return key

    async def _ask_for(self, key_id: str | None) -> None:
        """A new key is found at once, unless another id that the issuer does not have was asked for
        a moment ago."""
        async with self._lock:
            if self._find(key_id) is not None:
                return
            last, pause = self._missed_at, ASK_AGAIN_AFTER_SECONDS
            if not self._keys:
                last, pause = self._asked_at, ASK_AGAIN_WITHOUT_KEYS_AFTER_SECONDS
            if self._seconds_since(last) < pause:
                return
            before, self._missed_at = self._missed_at, self._clock().timestamp()
            await self._ask()  # who goes away while it lasts has asked all the same
            if not self._keys or self._find(key_id) is not None:
                self._missed_at = before

    async def _keep_fresh(self) -> None:
        """A known key answers now, since a slow issuer must not slow payments down. Only where
        nobody has asked for long, the first one to come waits for an answer."""
        since_answer = self._seconds_since(self._answered_at)
        if not self._keys or since_answer < REFRESH_AFTER_SECONDS:
            return
        if since_answer >= KEYS_GOOD_FOR_SECONDS:
            log.error("jwks.keys_too_old", seconds=int(since_answer))
            self._keys = {}
        elif self._seconds_since(self._asked_at) >= WAIT_FOR_REFRESH_AFTER_SECONDS:
            await self._refresh(WAIT_FOR_REFRESH_AFTER_SECONDS)
        elif not self._lock.locked():
            self._refreshing = asyncio.create_task(self._refresh(ASK_AGAIN_AFTER_SECONDS))

    @property
    def _lock(self) -> asyncio.Lock:
        """A host's application may start again, in another event loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def _find(self, key_id: str | None) -> VerificationKey | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _seconds_since(self, then: float) -> float:
        return self._clock().timestamp() - then

    async def _refresh(self, oldest_seconds: float) -> None:
        async with self._lock:
            if self._seconds_since(self._asked_at) >= oldest_seconds:
                await self._ask()

    async def _ask(self) -> None:
        self._asked_at = self._clock().timestamp()
        try:
            self._keys = _usable_keys(json.loads(await self._fetch()))
            self._answered_at = self._clock().timestamp()
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            # The keys we have stay good: an issuer that is down must not stop payments.
            log.warning("jwks.fetch_failed", reason=type(error).__name__)
            if not self._keys:  # asking takes longer than the pause: who waited does not ask again
                self._asked_at = self._clock().timestamp()

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
    and by `alg` where it has one. Left out are shared (`oct`) and encryption keys, those that are
    weak or private (whoever reads the set could sign), and different ones with the same id.
    """
    listed = key_set.get("keys") if isinstance(key_set, dict) else None
    keys: dict[str | None, VerificationKey] = {}
    doubled: set[str | None] = set()
    for entry in listed if isinstance(listed, list) else []:
        algorithm = _algorithm_of(entry)
        key = _key_of(entry, algorithm) if algorithm is not None else None
        if key is None:
            continue
        key_id = entry.get("kid")
        if key_id in keys and keys[key_id] != key:
            doubled.add(key_id)
        keys[key_id] = key
    for key_id in doubled:
        log.warning("jwks.key_ignored", reason="another key has the same id")
        del keys[key_id]
    if not keys:
        raise ValueError("no usable key")
    return keys


def _algorithm_of(entry: Any) -> str | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    if "kid" in entry and not is_key_id(entry["kid"]):
        return None
    uses = entry.get("key_ops", ["verify"])
    if not isinstance(uses, list) or "verify" not in uses:
        return None
    by_type = {"RSA": "RS256", "EC": "ES256"}
    algorithm = by_type.get(str(entry.get("kty")))
    is_p256 = entry.get("crv") == "P-256"
    if algorithm is None or (algorithm == "ES256" and not is_p256):
        return None
    return algorithm if entry.get("alg", algorithm) == algorithm else None


def _key_of(entry: dict[str, Any], algorithm: str) -> VerificationKey | None:
    try:
        key = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        log.warning("jwks.key_ignored", algorithm=algorithm, reason="it cannot be read")
        return None
    is_public = isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    is_weak = isinstance(key, rsa.RSAPublicKey) and not (
        SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS
    )
    if not is_public or is_weak:
        reason = "it is private" if not is_public else f"it has {key.key_size} bits"
        log.warning("jwks.key_ignored", algorithm=algorithm, reason=reason)
        return None
    return VerificationKey(key, algorithm)
