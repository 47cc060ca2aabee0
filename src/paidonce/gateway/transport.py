"""aiohttp under Stripe's SDK, through the SDK's documented `HTTPClient` class.

The SDK's own aiohttp client lets a lost body escape as a foreign error; here every network fault
becomes `stripe.APIConnectionError`, and one that never reached Stripe is a `NeverSent`.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn

import aiohttp
import stripe

CONNECT_TIMEOUT_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 15.0
MAX_CONNECTIONS = 350
"""To Stripe: as many as requests, work in the background and a worker's round have in the air."""
POOL_SECONDS = 5.0
"""For one of them to become free, and to connect."""

call_timeout_seconds: ContextVar[float] = ContextVar("call_timeout_seconds", default=10.0)
"""How long the present call may take in all; the gateway sets it for every call."""


class NeverSent(stripe.APIConnectionError):
    """No connection was made, so Stripe surely saw nothing."""


class AiohttpTransport(stripe.HTTPClient):
    """One connection pool, made at first use inside the running loop."""

    name = "aiohttp"

    def __init__(self) -> None:
        super().__init__()
        self._session: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send once. Raises NeverSent or stripe.APIConnectionError, nothing else."""
        timeout = aiohttp.ClientTimeout(
            total=call_timeout_seconds.get(),
            connect=POOL_SECONDS,
            sock_connect=CONNECT_TIMEOUT_SECONDS,
        )
        try:
            async with self._open().request(
                method, url, headers=headers, data=post_data, timeout=timeout, allow_redirects=False
            ) as response:
                return await response.read(), response.status, response.headers
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _network_fault(NeverSent, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _network_fault(stripe.APIConnectionError, error) from error

    def request(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this transport is for async calls")

    def request_stream(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this transport does not stream")

    async def request_stream_async(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this transport does not stream")

    async def sleep_async(self, secs: float) -> None:
        await asyncio.sleep(secs)

    def close(self) -> None:
        """Nothing to do without a loop; see close_async."""

    async def close_async(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS,
                    keepalive_timeout=KEEP_ALIVE_SECONDS,
                    ssl=_trust(stripe.ca_bundle_path),
                ),
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class ReadOnlyTransport(AiohttpTransport):
    """Sends GETs; whatever else is asked of it ends here, unsent."""

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Raises NeverSent for what is no GET; else as its base."""
        if method.lower() != "get":
            raise _network_fault(NeverSent, PermissionError())
        return await super().request_async(method, url, headers, post_data)


@lru_cache
def _trust(ca_bundle_path: str) -> ssl.SSLContext:
    """Reading the certificates takes longer than all else of a start, so a process does it once."""
    return ssl.create_default_context(cafile=ca_bundle_path)


def _network_fault(
    kind: Callable[..., stripe.APIConnectionError], error: Exception
) -> stripe.APIConnectionError:
    """The SDK's exception; the message names the fault and nothing of the request."""
    return kind(f"the call to Stripe failed: {type(error).__name__}")
