"""The shop as a process of its own, on a database with the users of years, and a simulated Stripe:
one of each for a file of tests, in which every test has users and orders of its own.

`stripe_simulator` is the fixture of paidonce's distribution, which empties it for every test. Here
it keeps what it has, as Stripe does.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from stripesim.testing import SimulatorThread

SHOP = Path(__file__).parents[1]
WEBHOOK_SECRET = "whsec_of_the_shops_tests"
EVENT_SECRET = "whsec_dGhlLXNob3AtaGVhcnMtb2YtaXRzLW9yZGVycw=="
START_SECONDS = 30


@pytest.fixture
def event_secret() -> str:
    """What outgoing events are signed with."""
    return EVENT_SECRET


@pytest.fixture(scope="module")
def stripe_simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture(scope="module")
def shop_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "shop.db"


@pytest.fixture
def shop(running_shop: str, stripe_simulator: SimulatorThread) -> str:
    """The address of a running shop that hears from Stripe."""
    stripe_simulator.set_webhook_target(f"{running_shop}/api/webhooks/stripe", WEBHOOK_SECRET)
    return running_shop


@pytest.fixture(scope="module")
def running_shop(shop_database: Path, stripe_simulator: SimulatorThread) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "SHOP_DATABASE": str(shop_database),
        "DATABASE_URL": f"sqlite:///{shop_database}",
        "USERS_TABLE": "users",
        "STRIPE_API_BASE": stripe_simulator.url,
        "STRIPE_SECRET_KEY": stripe_simulator.secret_key,
        "STRIPE_PUBLISHABLE_KEY": stripe_simulator.publishable_key,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "PAYMENT_RETURN_URL": "shop://return",
        "AUTH_JWT_SECRET": "the-secret-of-the-shops-own-tokens",
        "EVENT_ENDPOINTS": f"{url}/paidonce-events",
        "EVENT_SECRETS": EVENT_SECRET,
        "EVENT_ALLOW_LOOPBACK": "true",
        "SHOP_EVENT_SECRET": EVENT_SECRET,
    }
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port)]
    log_file = shop_database.with_suffix(".log")
    with log_file.open("w") as log:
        process = subprocess.Popen(command, cwd=SHOP, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(url, process, log_file)
            yield url
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            requests.get(f"{url}/openapi.json", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the shop did not start:\n{log.read_text()}")
