"""The shop as a process of its own, on a database with the users of years, and a simulated Stripe.

The fixture `stripe_simulator` comes with paidonce's distribution.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

SHOP = Path(__file__).parents[1]
WEBHOOK_SECRET = "whsec_of_the_shops_tests"
EVENT_SECRET = "whsec_dGhlLXNob3AtaGVhcnMtb2YtaXRzLW9yZGVycw=="
START_SECONDS = 30


@pytest.fixture
def event_secret() -> str:
    """What outgoing events are signed with."""
    return EVENT_SECRET


@pytest.fixture
def shop(tmp_path: Path, stripe_simulator: Any) -> Iterator[str]:
    """The address of a running shop."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "SHOP_DATABASE": str(tmp_path / "shop.db"),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}",
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
    with (tmp_path / "shop.log").open("w") as log:
        process = subprocess.Popen(command, cwd=SHOP, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(url, process, tmp_path / "shop.log")
            stripe_simulator.set_webhook_target(f"{url}/api/webhooks/stripe", WEBHOOK_SECRET)
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
