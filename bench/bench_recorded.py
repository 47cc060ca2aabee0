"""How long after Stripe's charge our books say paid: with webhooks, and with webhooks dead.

    .venv/bin/python bench/bench_recorded.py [--payments 100] [--dead 20] [--json FILE]

The card holder passes the challenge at Stripe and the app never comes back. A real `paidonce serve`
with its worker, the simulator as a process of its own, PostgreSQL the one that the tests use. Ends
with 1 when one payment takes longer than is promised: 2 s, and 60 s with webhooks dead.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import requests

from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.environment import (  # type: ignore[import-not-found]
    JWT_SECRET,
    MERCHANT_API_KEY,
    WEBHOOK_SECRET,
    environment,
)
from support.postgres import (  # type: ignore[import-not-found]
    PostgresUnavailable,
    prepare_template,
    start_postgres,
)
from support.processes import Process, free_port, script  # type: ignore[import-not-found]

NEEDS_3DS = "4000002760003184"
PROMISED_SECONDS = {"webhooks": 2.0, "webhooks dead": 60.0}


class Shop:
    """The app until it is killed, and the merchant who looks at the order."""

    def __init__(self, url: str, simulator: SimulatorProcess) -> None:
        self.url, self.simulator = url, simulator
        claims = {"sub": "bench", "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        self._user = {"Authorization": f"Bearer {token}"}
        self._merchant = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        self._session = requests.Session()
        product = {"productId": "tea", "name": "Tea", "amountMinor": 44_000, "currency": "usd"}
        self._ask("PUT", "/api/products", self._merchant, {"products": [product]})

    def challenge(self) -> tuple[str, str]:
        """An order whose payment waits for its card holder: the order's id and the intent's."""
        body = {"items": [{"productId": "tea", "quantity": 1}]}
        order = self._ask("POST", "/api/mobile-app/orders", self._user, body)
        order_id = str(order["data"]["orderId"])
        paid = {"paymentToken": self.simulator.create_card(NEEDS_3DS)}
        answer = self._ask("POST", f"/api/mobile-app/orders/{order_id}/pay", self._user, paid)
        return order_id, str(answer["data"]["paymentIntentId"])

    def is_paid(self, order_id: str) -> bool:
        answer = self._ask("GET", f"/api/orders/{order_id}", self._merchant)
        return bool(answer["data"]["status"] == "paid")

    def _ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
        answer = self._session.request(
            method, self.url + path, json=body, headers=headers, timeout=40
        )
        if answer.status_code != 200:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def with_webhooks(shop: Shop, count: int) -> list[float]:
    """One at a time: nothing else wakes the worker."""
    found = []
    for _ in range(count):
        order_id, intent_id = shop.challenge()
        shop.simulator.authenticate(intent_id, "success")
        charged_at = time.perf_counter()
        while not shop.is_paid(order_id):
            time.sleep(0.005)
        found.append(time.perf_counter() - charged_at)
    return found


def with_webhooks_dead(shop: Shop, count: int) -> list[float]:
    """All at once, passed at different ages: the pauses between looks grow with the age."""
    shop.simulator.webhooks(mode="drop")
    waiting = [shop.challenge() for _ in range(count)]
    charged_at: dict[str, float] = {}
    found: dict[str, float] = {}
    while len(found) < count:
        if waiting:
            order_id, intent_id = waiting.pop()
            shop.simulator.authenticate(intent_id, "success")
            charged_at[order_id] = time.perf_counter()
        for order_id in charged_at.keys() - found.keys():
            if shop.is_paid(order_id):
                found[order_id] = time.perf_counter() - charged_at[order_id]
        time.sleep(2.0 if waiting else 0.1)
    return list(found.values())


@contextmanager
def serving(database_url: str, simulator: SimulatorProcess, folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = Process(
        [script("paidonce"), "serve", "--port", str(port)],
        log_folder=folder,
        environment=environment(database_url, simulator.url),
    )
    try:
        process.wait_for_http(f"{url}/readyz")
        yield url
    finally:
        process.terminate()


def measure(name: str, database_url: str, payments: int, dead: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, SimulatorProcess() as simulator:
        with serving(database_url, simulator, Path(folder)) as url:
            simulator.set_webhook_target(f"{url}/api/webhooks/stripe", WEBHOOK_SECRET)
            shop = Shop(url, simulator)
            rows = [
                row(name, "webhooks", with_webhooks(shop, payments)),
                row(name, "webhooks dead", with_webhooks_dead(shop, dead)),
            ]
        groups = simulator.audit(group_by="order_id")["groups"]
        if [group["succeeded_charges"] for group in groups] != [1] * (payments + dead):
            raise SystemExit("not every order was charged once")
    return rows


def row(database: str, how: str, seconds: list[float]) -> dict[str, Any]:
    found = {
        "database": database,
        "how": how,
        "payments": len(seconds),
        "median_seconds": round(statistics.median(seconds), 3),
        "slowest_seconds": round(max(seconds), 3),
        "promised_seconds": PROMISED_SECONDS[how],
    }
    print("  ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=100)
    parser.add_argument("--dead", type=int, default=20)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure("SQLite", f"sqlite:///{folder}/bench.db", flags.payments, flags.dead)
    try:
        postgres = start_postgres()
    except PostgresUnavailable as error:
        print(f"PostgreSQL: not measured: {error}")
    else:
        try:
            url = postgres.url(postgres.create_database())
            prepare_template(url)
            rows += measure("PostgreSQL", url, flags.payments, flags.dead)
        finally:
            postgres.stop()
    if flags.json:
        flags.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    return int(any(each["slowest_seconds"] > each["promised_seconds"] for each in rows))


if __name__ == "__main__":
    sys.exit(main())
