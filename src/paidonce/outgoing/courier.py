"""Sends one request to an endpoint, and nowhere else.

The name is resolved once for a connection, every answer of the resolver is checked, and what is
connected to is checked again where the socket is made: a name that changes its mind in between, or
an address that never passed the resolver, gets no connection. TLS is verified against the name.
Redirects are answers like any other, proxies of the environment are not used, cookies are not kept,
and of the answer only its status counts: its body is neither unpacked nor shown to anybody.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection

from paidonce.endpoints import Endpoint
from paidonce.outside import is_loopback, is_public

SEND_SECONDS = 20.0
"""For all of it; Standard Webhooks says 15 to 30."""
CONNECT_SECONDS = 5.0
MOST_ANSWER_BYTES = 4096
"""Of a body, so that its connection can be used again; of a longer one the connection ends."""
ANSWER_SECONDS = 1.0
MOST_EARLY_ANSWERS = 10
"""Of those that come before the answer, `100 Continue` and its like."""
KEEP_ALIVE_SECONDS = 15.0
Lookup = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it. `status`: the answer's, None without one; `note`: what a person reads."""

    status: int | None
    note: str | None = None
    retry_after: str | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    def retry_after_seconds(self, now: datetime) -> float | None:
        """`Retry-After`, in seconds or as a date; None where it says nothing that can be read."""
        if self.retry_after is None:
            return None
        if self.retry_after.isascii() and self.retry_after.isdigit():
            return float(self.retry_after[:9])
        try:
            until = parsedate_to_datetime(self.retry_after)
        except (ValueError, OverflowError):  # a number that no time has
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - now).total_seconds())


class TooManyAnswers(aiohttp.ClientError):
    """The answer did not come for all that came before it."""


class AddressDenied(OSError):
    """An address that is inside a network, or that was never looked up."""


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class Courier:
    """Connections to one endpoint. `lookup`, `is_allowed` and `trust` are the resolver, the rule
    for addresses and the certificates; the defaults are the ones to send with."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        lookup: Lookup = look_up,
        is_allowed: Callable[[str], bool] | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._lookup = lookup
        self._is_allowed = is_allowed or (is_loopback if endpoint.is_loopback else is_public)
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def send(self, headers: Mapping[str, str], body: bytes) -> Sent:
        """One POST. Never raises for what the other side does."""
        try:
            return await self._post(headers, body)
        except TimeoutError:
            return Sent(None, "no answer in time")
        except aiohttp.ClientError as error:
            return Sent(None, _words_for(error))
        except (OSError, ValueError) as error:
            return Sent(None, f"the call failed: {type(error).__name__}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Sent:
        async with self._open().post(
            self._endpoint.url, data=body, headers=headers, allow_redirects=False
        ) as response:
            if not await _has_short_body(response):
                response.close()
            note = None if 200 <= response.status <= 299 else f"answered {response.status}"
            return Sent(response.status, note, response.headers.get("Retry-After"))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_CheckedResolver(self._lookup, self._check),
                    use_dns_cache=False,
                    socket_factory=self._make_socket,
                    ssl=self._trust or _trust(),
                    keepalive_timeout=KEEP_ALIVE_SECONDS,
                ),
                timeout=aiohttp.ClientTimeout(total=SEND_SECONDS, sock_connect=CONNECT_SECONDS),
                response_class=_Response,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _make_socket(self, address: Any) -> socket.socket:
        """The last place before a connection: this very address is connected to."""
        family, kind, protocol, _, place = address
        self._check(str(place[0]))
        return socket.socket(family, kind, protocol)

    def _check(self, address: str) -> None:
        if not self._is_allowed(address):
            raise AddressDenied("the address is inside a network")


class _CheckedResolver(AbstractResolver):
    """One look-up; one denied address among the answers denies them all."""

    def __init__(self, lookup: Lookup, check: Callable[[str], None]) -> None:
        self._lookup = lookup
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._lookup(host, port)
        for address in addresses:
            self._check(address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in dict.fromkeys(addresses)
        ]

    async def close(self) -> None:
        """It holds nothing."""


class _Response(aiohttp.ClientResponse):
    """aiohttp reads over answers of the kind 1xx, however many there are."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol: Any = connection.protocol
        read, left = protocol.read, MOST_EARLY_ANSWERS

        async def read_few() -> Any:
            nonlocal left
            if left < 0:
                raise TooManyAnswers
            left -= 1
            return await read()

        protocol.read = read_few
        try:
            return await super().start(connection)
        finally:
            protocol.read = read


async def _has_short_body(response: aiohttp.ClientResponse) -> bool:
    """Whether the body came whole, and in a moment; otherwise its connection is of no more use."""
    size = 0
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while size <= MOST_ANSWER_BYTES:
                chunk = await response.content.read(MOST_ANSWER_BYTES)
                if not chunk:
                    return True
                size += len(chunk)
    except (TimeoutError, aiohttp.ClientError):
        return False
    return False


@lru_cache
def _trust() -> ssl.SSLContext:
    """The system's certificates; reading them takes a while, so a process does it once."""
    return ssl.create_default_context()


def _words_for(error: aiohttp.ClientError) -> str:
    """What a person reads; nothing of the request or of its address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, AddressDenied):
            return "its address is inside a network: not called"
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return "its name was not found"
        return "no connection"
    return f"the call failed: {type(error).__name__}"
