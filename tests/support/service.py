"""The real service on a real server in this process: real SDK, real simulator, real database.

The worker runs only when a test says so, and time is a clock that a test can move.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests

from paidonce import worker
from paidonce.api.server import UVICORN_OPTIONS
from paidonce.main import build_app
from paidonce.observability import configure_logging
from paidonce.payments.context import Context
from paidonce.settings import Settings
from support.environment import JWT_SECRET, MERCHANT_API_KEY, WEBHOOK_SECRET
from support.processes import free_port
from support.server_thread import served

GOOD = "4242424242424242"
DECLINED_AT_ATTACH = "4000000000000002"
DECLINED_AT_CHARGE = "4000000000000341"
NEEDS_3DS = "4000002760003184"
DECLINED_AFTER_3DS = "4000008400001629"
PRICE_MINOR = 44_000

configure_logging(level="WARNING")


class MovableClock:
    """Real time plus what a test added. Pauses take a tenth of their time.

    `paused`: every task that has paused, which is how a test knows that a request waits.
    """

    def __init__(self) -> None:
        self.added = 0.0
        self.paused: set[asyncio.Task[Any] | None] = set()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.added)

    def monotonic(self) -> float:
        return time.monotonic() + self.added

    async def sleep(self, seconds: float) -> None:
        self.paused.add(asyncio.current_task())
        await asyncio.sleep(seconds / 10)


@dataclass
class Running:
    """A running service. Calls are those of the app and of the merchant, as HTTP."""

    url: str
    settings: Settings
    clock: MovableClock
    simulator: Any
    app: Any
    loop: asyncio.AbstractEventLoop
    sessions: dict[str, requests.Session] = field(default_factory=dict)

    # --- the app

    def token(self, user: str = "alice") -> str:
        claims = {"sub": user, "exp": int(self.clock.now().timestamp()) + 3600}
        return jwt.encode(claims, JWT_SECRET, algorithm="HS256")

    def call(
        self, method: str, path: str, body: Any = None, *, user: str = "alice", **kwargs: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token(user)}", **kwargs.pop("headers", {})}
        return requests.request(
            method, f"{self.url}{path}", json=body, headers=headers, timeout=40, **kwargs
        )

    def merchant(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        return requests.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=40)

    def order(self, user: str = "alice", *, is_prepared: bool = True) -> str:
        """A new order of 440.00 usd; `is_prepared` waits for the work ahead."""
        answer = self.call(
            "POST",
            "/api/mobile-app/orders",
            {"items": [{"productId": "tea", "quantity": 2}]},
            user=user,
        )
        assert answer.status_code == 200, answer.text
        if is_prepared:
            self.run(self.context.background.drain())
        return str(answer.json()["data"]["orderId"])

    def pay(
        self, order_id: str, method_id: str, *, user: str = "alice", save: bool = False
    ) -> requests.Response:
        body = {
            "paymentMethod": "credit_card",
            "paymentToken": method_id,
            "savePaymentMethod": save,
        }
        return self.call("POST", f"/api/mobile-app/orders/{order_id}/pay", body, user=user)

    def pay_together(self, order_id: str, *method_ids: str) -> list[requests.Response]:
        """Requests in flight at the same time."""
        with ThreadPoolExecutor(len(method_ids)) as threads:
            return list(threads.map(lambda method: self.pay(order_id, method), method_ids))

    def pay_overlapping(self, order_id: str, *method_ids: str) -> list[requests.Response]:
        """One pays, and Stripe gets its confirm only when all others wait for it."""
        paused = len(self.clock.paused)
        held = self.simulator.add_fault(
            match={"method": "POST", "path": "/v1/payment_intents/*/confirm"}, kind="hold"
        )
        with ThreadPoolExecutor(len(method_ids)) as threads:
            answers = [threads.submit(self.pay, order_id, method) for method in method_ids]
            try:
                self.wait_until_struck(held)
                others = paused + len(method_ids) - 1
                wait_until(lambda: len(self.clock.paused) >= others, "not all came to wait")
            finally:
                self.simulator.remove_fault(held)
            return [answer.result() for answer in answers]

    def wait_until_struck(self, fault_id: int) -> None:
        """Until a request has met this fault of the simulator."""

        def is_struck() -> bool:
            (fault,) = [each for each in self.simulator.faults() if each["id"] == fault_id]
            return bool(fault["struck"])

        wait_until(is_struck, "no request has met the fault")

    def confirm(self, order_id: str, body: Any = None, user: str = "alice") -> requests.Response:
        path = f"/api/mobile-app/orders/{order_id}/pay/confirm"
        return self.call("POST", path, body or {}, user=user)

    def payment(self, order_id: str, user: str = "alice") -> dict[str, Any]:
        answer = self.call("GET", f"/api/mobile-app/orders/{order_id}/payment", user=user)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def order_view(self, order_id: str, user: str = "alice") -> dict[str, Any]:
        answer = self.call("GET", f"/api/mobile-app/orders/{order_id}", user=user)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    # --- at Stripe

    def stripe(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        return at_stripe(self.simulator, method, path, **form)

    # --- behind the scenes

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the service's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def work(self) -> int:
        """One round of the worker."""
        count: int = self.run(worker.work_once(self.context))
        return count

    def recover(self, seconds: float = 40) -> None:
        """Let time pass until nothing unfinished is left alone, then work."""
        self.clock.added += seconds
        self.work()

    def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            async def work(tx: Any) -> list[dict[str, Any]]:
                return [dict(row) for row in await tx.fetch(sql, *args)]

            return await self.context.db.read(work)

        rows: list[dict[str, Any]] = self.run(read())
        return rows

    def intent_of(self, order_id: str) -> str:
        """The recorded intent of the order's latest generation."""
        rows = self.rows(
            "SELECT stripe_payment_intent_id AS id FROM payments WHERE order_id = $1"
            " ORDER BY generation DESC LIMIT 1",
            order_id,
        )
        return str(rows[0]["id"])

    # --- the truth

    def charges(self, order_id: str) -> int:
        """Successful charges of an order, by the simulator's ledger."""
        for group in self.simulator.audit(group_by="order_id")["groups"]:
            if group["key"] == order_id:
                return int(group["succeeded_charges"])
        return 0

    def stripe_calls(self, after: int) -> list[tuple[str, str]]:
        """What was asked of Stripe since request `after`: (method, path with ids cut)."""
        return [
            (item["method"], _without_ids(item["path"]))
            for item in self.simulator.requests(after=after)
        ]

    def last_request(self) -> int:
        return max((item["seq"] for item in self.simulator.requests(after=0)), default=0)


def wait_until(is_so: Callable[[], bool], or_else: str) -> None:
    """Look again and again, for 20 s."""
    ends_at = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < ends_at, or_else
        time.sleep(0.01)


def _without_ids(path: str) -> str:
    parts = path.split("/")
    return "/".join(
        ":id" if "_" in part and part[-1].isalnum() and _is_id(part) else part for part in parts
    )


def _is_id(part: str) -> bool:
    return part.startswith(("pi_", "pm_", "cus_", "ch_", "re_", "evt_", "seti_"))


def make_settings(database_url: str, simulator: Any, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": database_url,
        "stripe_secret_key": simulator.secret_key,
        "stripe_publishable_key": simulator.publishable_key,
        "stripe_webhook_secret": WEBHOOK_SECRET,
        "stripe_api_base": simulator.url,
        "payment_return_url": "https://shop.example/return",
        "auth_jwt_secret": JWT_SECRET,
        "merchant_api_key": MERCHANT_API_KEY,
        "same_order_within_seconds": 0,  # tests make as many orders as they like
    }
    return Settings(**{**values, **changes})


def at_stripe(simulator: Any, method: str, path: str, **form: Any) -> dict[str, Any]:
    """A call that a person makes at Stripe, not the service."""
    answer = requests.request(
        method,
        f"{simulator.url}{path}",
        data=form or None,
        headers={"Authorization": f"Bearer {simulator.secret_key}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    return data


@contextlib.contextmanager
def running_service(
    database_url: str, simulator: Any, *, has_worker: bool = False, **changes: Any
) -> Iterator[Running]:
    """Serve on a free port, with `tea` at 220.00 usd in the price list."""
    settings = make_settings(database_url, simulator, **changes)
    clock = MovableClock()
    app = build_app(settings, clock=clock, has_worker=has_worker)
    port = free_port()
    with served(app, port=port, lifespan="on", **UVICORN_OPTIONS) as server:
        service = Running(f"http://127.0.0.1:{port}", settings, clock, simulator, app, server.loop)
        tea = {"productId": "tea", "name": "Tea", "amountMinor": 22_000, "currency": "usd"}
        answer = service.merchant("PUT", "/api/products", {"products": [tea]})
        assert answer.status_code == 200, answer.text
        yield service


StartService = Callable[..., Running]


@pytest.fixture
def start_service(database_url: str, stripe_simulator: Any) -> Iterator[StartService]:
    """Start services on this test's database; each ends with the test, which then is audited."""
    with contextlib.ExitStack() as stack:

        def start(**changes: Any) -> Running:
            return stack.enter_context(running_service(database_url, stripe_simulator, **changes))

        yield start
    groups = stripe_simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []
