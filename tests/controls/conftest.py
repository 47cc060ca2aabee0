"""The servers under the scenario: the three controls, and paidonce itself on each database."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import stripe

from controls import broken_server, single_use_random_key
from controls.attach_then_create import AttachThenCreate
from controls.scenario import Server
from controls.shop import ProcessPayment, Shop
from support.environment import JWT_SECRET, MERCHANT_API_KEY, environment
from support.processes import StartProcess, free_port, script
from support.server_thread import served

STRIPE_TIMEOUT_SECONDS = 10


def token_for(user_id: str) -> str:
    claims = {"sub": user_id, "exp": int(time.time()) + 3600}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256")


@contextlib.contextmanager
def serve_control(process_payment: ProcessPayment, simulator: Any) -> Iterator[Server]:
    """A control server on a free port, with the SDK's usual two retries, talking to `simulator`."""
    client = stripe.StripeClient(
        simulator.secret_key,
        base_addresses={"api": simulator.url},
        max_network_retries=2,
        http_client=stripe.RequestsClient(timeout=STRIPE_TIMEOUT_SECONDS),
    )
    port = free_port()
    app = Shop(client, process_payment).build_app()
    with served(app, port=port, log_level="warning", lifespan="off"):
        yield Server(f"http://127.0.0.1:{port}", token_for, MERCHANT_API_KEY)


@pytest.fixture
def broken_server_control(stripe_simulator: Any) -> Iterator[Server]:
    with serve_control(broken_server.process_payment, stripe_simulator) as server:
        yield server


@pytest.fixture
def attach_then_create_control(stripe_simulator: Any) -> Iterator[Server]:
    with serve_control(AttachThenCreate().process_payment, stripe_simulator) as server:
        yield server


@pytest.fixture
def single_use_random_key_control(stripe_simulator: Any) -> Iterator[Server]:
    with serve_control(single_use_random_key.process_payment, stripe_simulator) as server:
        yield server


@pytest.fixture(params=["automatic", "manual"])
def paidonce_server(
    request: pytest.FixtureRequest,
    database_url: str,
    stripe_simulator: Any,
    start_process: StartProcess,
) -> Server:
    """`paidonce serve` as a real process, on each database and with each confirmation method."""
    port = free_port()
    process = start_process(
        script("paidonce"), "serve", "--port", str(port),
        environment=environment(
            database_url, stripe_simulator.url, STRIPE_CONFIRMATION_METHOD=request.param
        ),
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    process.wait_for_http(f"{url}/readyz")
    return Server(url, token_for, MERCHANT_API_KEY)
