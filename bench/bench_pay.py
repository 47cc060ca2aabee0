"""What a pay request costs: payments a second, and CPU a request, on each database.

    .venv/bin/python bench/bench_pay.py [--payments 300] [--rounds 3]

Each request pays a prepared order with a known card: one Stripe call. The service is a real
`paidonce serve` (its worker left out), the simulator a process of its own, PostgreSQL the one that
the tests use. CPU is that of the service's process alone, from the operating system. One request
at a time gives the CPU; several connections give the payments a second. Medians over the rounds.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import psutil

from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.environment import (  # type: ignore[import-not-found]
    JWT_SECRET,
    MERCHANT_API_KEY,
    environment,
)
from support.postgres import (  # type: ignore[import-not-found]
    PostgresUnavailable,
    prepare_template,
    start_postgres,
)
from support.processes import Process, free_port, script  # type: ignore[import-not-found]

CONNECTIONS = 8
PREPARE_SECONDS = 30


@dataclass(frozen=True)
class Round:
    cpu_ms: float
    alone_ms: float
    payments_a_second: float


class App:
    """The mobile app and the merchant, over kept connections."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        claims = {"sub": "bench", "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        self._user = {"Authorization": f"Bearer {token}"}
        self._merchant = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}

    async def put_product(self) -> None:
        product = {"productId": "tea", "name": "Tea", "amountMinor": 44_000, "currency": "usd"}
        body = {"products": [product]}
        await self._ask("PUT", "/api/products", self._merchant, body)

    async def order(self) -> str:
        body = {"items": [{"productId": "tea", "quantity": 1}]}
        answer = await self._ask("POST", "/api/mobile-app/orders", self._user, body)
        return str(answer["data"]["orderId"])

    async def pay(self, order_id: str, method_id: str) -> None:
        path = f"/api/mobile-app/orders/{order_id}/pay"
        body = {
            "paymentMethod": "credit_card",
            "paymentToken": method_id,
            "savePaymentMethod": False,
        }
        await self._ask("POST", path, self._user, body)

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: Any) -> Any:
        async with self._session.request(
            method, self._url + path, json=body, headers=headers
        ) as answer:
            found = await answer.json()
            if answer.status != 200 or found["status"] != "success":
                raise SystemExit(f"{method} {path}: {answer.status} {found}")
            return found


async def prepared_orders(app: App, simulator: SimulatorProcess, count: int) -> list[str]:
    """Orders whose intent Stripe has made already, so that paying costs one Stripe call."""
    seq = last_request(simulator)
    waiting = iter(range(count))
    made: list[str] = []

    async def make() -> None:
        for _ in waiting:
            made.append(await app.order())

    await asyncio.gather(*(make() for _ in range(CONNECTIONS)))
    ends_at = time.monotonic() + PREPARE_SECONDS
    while intents_after(simulator, seq) < count:
        if time.monotonic() > ends_at:
            raise SystemExit("the orders were not prepared in time")
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)  # the last ones are being recorded
    return made


def last_request(simulator: SimulatorProcess) -> int:
    return max((int(item["seq"]) for item in simulator.requests()), default=0)


def intents_after(simulator: SimulatorProcess, seq: int) -> int:
    asked = simulator.requests(after=seq)
    return sum(item["path"] == "/v1/payment_intents" for item in asked)


async def measure_round(
    app: App, simulator: SimulatorProcess, server: psutil.Process, method_id: str, count: int
) -> Round:
    alone = await prepared_orders(app, simulator, count)
    together = await prepared_orders(app, simulator, count)
    seq = last_request(simulator)

    cpu, started_at = cpu_seconds(server), time.perf_counter()
    for order_id in alone:
        await app.pay(order_id, method_id)
    alone_seconds = time.perf_counter() - started_at
    cpu = cpu_seconds(server) - cpu

    waiting = iter(together)

    async def pay() -> None:
        for order_id in waiting:
            await app.pay(order_id, method_id)

    started_at = time.perf_counter()
    await asyncio.gather(*(pay() for _ in range(CONNECTIONS)))
    together_seconds = time.perf_counter() - started_at

    calls = len(simulator.requests(after=seq))
    if calls != 2 * count:
        raise SystemExit(f"{calls} Stripe calls for {2 * count} payments: orders were not prepared")
    return Round(cpu * 1000 / count, alone_seconds * 1000 / count, count / together_seconds)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(url: str, pid: int, simulator: SimulatorProcess, count: int, rounds: int) -> None:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        app = App(url, session)
        await app.put_product()
        method_id = simulator.create_card()
        for order_id in await prepared_orders(app, simulator, 30):  # the card becomes known
            await app.pay(order_id, method_id)
        server = psutil.Process(pid)
        found = [
            await measure_round(app, simulator, server, method_id, count) for _ in range(rounds)
        ]
    check(simulator, 30 + 2 * count * rounds)
    for unit, values in (
        (f"payments/s with {CONNECTIONS} connections", [each.payments_a_second for each in found]),
        ("ms CPU of the service a payment", [each.cpu_ms for each in found]),
        ("ms a payment, one at a time", [each.alone_ms for each in found]),
    ):
        print(f"  {statistics.median(values):7.2f} {unit}", flush=True)


def check(simulator: SimulatorProcess, payments: int) -> None:
    """A fast wrong answer is none: every order is charged exactly once."""
    groups = simulator.audit(group_by="order_id")["groups"]
    charges = [group["succeeded_charges"] for group in groups]
    if charges != [1] * payments:
        raise SystemExit(f"{sum(charges)} charges for {payments} orders")


@contextmanager
def serving(
    database_url: str, simulator: SimulatorProcess, folder: Path
) -> Iterator[tuple[str, int]]:
    """`paidonce serve`: its address and its process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(
        [script("paidonce"), "serve", "--port", str(port), "--no-worker"],
        log_folder=folder,
        environment=environment(database_url, simulator.url),
    )
    try:
        process.wait_for_http(f"{url}/readyz")
        yield url, process.pid
    finally:
        process.terminate()


def run_on(name: str, database_url: str, count: int, rounds: int) -> None:
    print(name, flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        simulator = stack.enter_context(SimulatorProcess())
        url, pid = stack.enter_context(serving(database_url, simulator, Path(folder)))
        asyncio.run(measure(url, pid, simulator, count, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=300, help="in a round, each way")
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    print(f"{flags.rounds} rounds of {flags.payments} payments, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        run_on("SQLite (a full sync with every commit)", url, flags.payments, flags.rounds)
    try:
        postgres = start_postgres()
    except PostgresUnavailable as error:
        print(f"PostgreSQL: left out, {error}")
        return
    try:
        url = postgres.url(postgres.create_database())
        prepare_template(url)
        name = "PostgreSQL (the tests' own: no sync to the disk)"
        run_on(name, url, flags.payments, flags.rounds)
    finally:
        postgres.stop()


if __name__ == "__main__":
    main()
