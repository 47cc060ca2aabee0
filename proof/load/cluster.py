"""Real processes on one database: the simulator, servers, a worker."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import requests

from stripesim.testing import SECRET_KEY, SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from support.environment import (  # type: ignore[import-not-found]
    JWT_SECRET,
    MERCHANT_API_KEY,
    WEBHOOK_SECRET,
    environment,
)
from support.postgres import prepare_template, start_postgres  # type: ignore[import-not-found]
from support.processes import Process, free_port, script  # type: ignore[import-not-found]

PRICE_MINOR = 22_000
START_SECONDS = 60
ONE_ADDRESS = {
    "DECLINES_PER_ADDRESS_AND_HOUR": "1000000",
    "CARDS_PER_ADDRESS_AND_HOUR": "1000000",
}
"""All clients come from one address, so its limit is put away."""


@dataclass
class Server:
    """One `paidonce serve`."""

    process: Any
    url: str

    def wait_until_ready(self) -> None:
        self.process.wait_for_http(f"{self.url}/readyz", timeout_seconds=START_SECONDS)


@dataclass
class Cluster:
    """Everything that runs, ready to be paid at."""

    database_url: str
    simulator: SimulatorProcess
    servers: list[Server]
    workers: list[Any]

    def get_stripe(self, path: str) -> dict[str, Any]:
        """For the auditor."""
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        answer = requests.get(f"{self.simulator.url}{path}", headers=headers, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def merchant(self, method: str, path: str, body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        url = self.servers[0].url
        return requests.request(method, f"{url}{path}", json=body, headers=headers, timeout=40)


def headers_of(user: str) -> dict[str, str]:
    """Whose app it is."""
    claims = {"sub": user, "exp": int(time.time()) + 7200}
    return {"Authorization": f"Bearer {jwt.encode(claims, JWT_SECRET, algorithm='HS256')}"}


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a fresh, empty database; PostgreSQL is one of the tests' own."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'paidonce.db'}"
        return
    server = start_postgres()
    try:
        yield server.url(server.create_database())
    finally:
        server.stop()


@contextmanager
def running(kind: str, *, servers: int, workers: int = 0, **changes: str) -> Iterator[Cluster]:
    """Start everything on a fresh database; whatever runs is ended by its own process id."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database(kind, folder))
        prepare_template(url)
        yield stack.enter_context(
            running_on(url, folder, servers=servers, workers=workers, **changes)
        )


@contextmanager
def running_on(
    url: str, folder: Path, *, servers: int, workers: int = 0, **changes: str
) -> Iterator[Cluster]:
    """The same on a database that is there already."""
    with ExitStack() as stack:
        simulator = stack.enter_context(SimulatorProcess())
        settings = environment(url, simulator.url, **ONE_ADDRESS, **changes)
        found = [_start_server(stack, folder / f"server-{n}", settings) for n in range(servers)]
        cluster = Cluster(url, simulator, found, [])
        for n in range(workers):
            home = folder / f"worker-{n}"
            home.mkdir()
            process = Process([script("paidonce"), "worker"], log_folder=home, environment=settings)
            stack.callback(process.clean_up)
            cluster.workers.append(process)
        for server in found:
            server.wait_until_ready()
        prepare_prices(cluster)
        yield cluster


def prepare_prices(cluster: Cluster) -> None:
    """A price list, and Stripe's events at the first server."""
    webhook = f"{cluster.servers[0].url}/api/webhooks/stripe"
    cluster.simulator.set_webhook_target(webhook, WEBHOOK_SECRET)
    tea = {"productId": "tea", "name": "Tea", "amountMinor": PRICE_MINOR, "currency": "usd"}
    cluster.merchant("PUT", "/api/products", {"products": [tea]}).raise_for_status()


def _start_server(stack: ExitStack, home: Path, settings: dict[str, str]) -> Server:
    home.mkdir()
    port = free_port()
    command = [script("paidonce"), "serve", "--port", str(port)]
    process = Process(command, log_folder=home, environment=settings)
    stack.callback(process.clean_up)
    return Server(process, f"http://127.0.0.1:{port}")
