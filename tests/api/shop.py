"""The real app on a real server, with use cases that fail the test which reaches them."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import requests
import uvicorn

from paidonce.api import build_api
from paidonce.api.server import UVICORN_OPTIONS
from paidonce.domain import errors
from paidonce.settings import Settings

JWT_SECRET = "a shared secret of 64 bytes, so that HS512 could be tried as well"
MERCHANT_KEY, SECOND_MERCHANT_KEY = "mk_first_key_of_the_shop", "mk_second_key_of_the_shop"
ORDER_ID = "7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def settings_with(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "stripe_secret_key": "sk_test_1",
        "stripe_publishable_key": "pk_test_1",
        "stripe_webhook_secret": "whsec_shop_of_the_tests",
        "payment_return_url": "https://shop.example/return",
        "auth_jwt_secret": JWT_SECRET,
        "merchant_api_key": f"{MERCHANT_KEY}, {SECOND_MERCHANT_KEY}",
        "trusted_proxies": "",
    }
    return Settings(**{**values, **changes})


class NoUseCase:
    """Stands where the use cases are; a test that reaches one fails."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        async def reached(*_: Any) -> Any:
            self.reached.append(name)
            raise AssertionError(f"{name} was reached")

        return reached

    async def receive_webhook(self, body: bytes, signature: str) -> None:
        """No signature is good here."""
        raise errors.invalid_signature()

    async def measure(self) -> None:
        """Nothing to measure: asked for by every look at the metrics."""


@dataclass
class Shop:
    """A running server, and a client of it."""

    url: str
    use_cases: Any
    now: datetime = NOW
    session: requests.Session = field(default_factory=requests.Session)

    def token(self, user_id: Any = "user-1", *, key: str = JWT_SECRET, **claims: Any) -> str:
        payload = {"sub": user_id, "exp": self.now + timedelta(minutes=5), **claims}
        return jwt.encode({k: v for k, v in payload.items() if v is not None}, key, "HS256")

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        token: str | None = "valid",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """One request; the token is a valid user's unless another one, or None, is given."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {self.token() if token == 'valid' else token}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        return self.session.request(
            method, self.url + path, data=raw, headers=sent, timeout=10, allow_redirects=False
        )

    def merchant(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.call(method, path, token=options.pop("token", MERCHANT_KEY), **options)

    def raw_exchange(self, sent: bytes) -> bytes:
        """What the server answers to these bytes, to the end of an envelope."""
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(sent)
            received = b""
            while b'"requestId"' not in received:
                chunk = connection.recv(65536)
                assert chunk, f"closed without an envelope: {received!r}"
                received += chunk
            return received


StartShop = Callable[..., Shop]


@contextlib.contextmanager
def running_shops() -> Iterator[StartShop]:
    """A function that starts servers; all of them end with the block."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(use_cases: Any = None, **changes: Any) -> Shop:
        use_cases = NoUseCase() if use_cases is None else use_cases
        listening = socket.create_server(("127.0.0.1", 0))
        shop = Shop(f"http://127.0.0.1:{listening.getsockname()[1]}", use_cases)
        shop.session.trust_env = False
        app = build_api(settings_with(**changes), use_cases, lambda: shop.now)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", **UVICORN_OPTIONS))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        return shop

    try:
        yield start
    finally:
        for server, _ in running:
            server.should_exit = server.force_exit = True
        for _, thread in running:
            thread.join(10)
            assert not thread.is_alive()
