"""`paidonce serve` as a real process, and the app and the merchant as they call it."""

import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import requests

from stripesim.testing import SECRET_KEY, ControlClient
from support.environment import JWT_SECRET, MERCHANT_API_KEY, WEBHOOK_SECRET
from support.processes import Process, StartProcess, free_port, script

DRAINED = (0, -signal.SIGTERM)
"""Exit codes after SIGTERM: by itself, or by the same signal once the last answer has left."""


@dataclass
class Serving:
    """A `paidonce serve` that is ready, with `tea` at 220.00 usd in its price list."""

    process: Process
    url: str

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        claims = {"sub": "alice", "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=40)

    def merchant(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        return requests.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=40)

    def order(self) -> str:
        body = {"items": [{"productId": "tea", "quantity": 2}]}
        answer = self.call("POST", "/api/mobile-app/orders", body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["data"]["orderId"])

    def pay(self, order_id: str, card: str) -> requests.Response:
        body = {"paymentMethod": "credit_card", "paymentToken": card}
        return self.call("POST", f"/api/mobile-app/orders/{order_id}/pay", body)

    def pay_or_lose(self, order_id: str, card: str) -> requests.Response | None:
        """The answer, None when the connection broke."""
        with contextlib.suppress(requests.RequestException):
            return self.pay(order_id, card)
        return None

    def is_paid(self, order_id: str) -> bool:
        """By the service's own books."""
        answer = self.call("GET", f"/api/mobile-app/orders/{order_id}")
        return bool(answer.json()["data"]["status"] == "paid")

    def wait_until_ready(self) -> None:
        self.process.wait_for_http(f"{self.url}/readyz")


def start_serving(start_process: StartProcess, settings: Mapping[str, str], *flags: str) -> Serving:
    """Start `paidonce serve` on a free port and wait until it is ready."""
    port = free_port()
    command = [script("paidonce"), "serve", "--port", str(port), *flags]
    process = start_process(*command, environment=settings)
    serving = Serving(process, f"http://127.0.0.1:{port}")
    serving.wait_until_ready()
    tea = {"productId": "tea", "name": "Tea", "amountMinor": 22_000, "currency": "usd"}
    answer = serving.merchant("PUT", "/api/products", {"products": [tea]})
    assert answer.status_code == 200, answer.text
    return serving


def charges(simulator: ControlClient, order_id: str) -> int:
    """Successful charges of an order, by the simulator's ledger; no order may ever have two."""
    groups = simulator.audit(group_by="order_id")["groups"]
    assert all(group["succeeded_charges"] <= 1 for group in groups), groups
    found = [group["succeeded_charges"] for group in groups if group["key"] == order_id]
    return int(found[0]) if found else 0


def wait_until(is_so: Callable[[], bool], what: str, timeout_seconds: float = 15.0) -> None:
    ends_at = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < ends_at, f"no {what} in {timeout_seconds} s"
        time.sleep(0.03)


def assert_one_sentence(stderr: str, *words: str) -> None:
    """What a start that was refused says: one line, `paidonce: …`, with these words in it."""
    lines = stderr.strip().splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("paidonce: ") and lines[0].endswith("."), stderr
    for word in words:
        assert word in lines[0], stderr
    for word in ("Traceback", JWT_SECRET, SECRET_KEY, MERCHANT_API_KEY, WEBHOOK_SECRET):
        assert word not in stderr
