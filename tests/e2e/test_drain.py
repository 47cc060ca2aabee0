"""SIGTERM, as a balancer and a client see it, and in the middle of a worker's sweep."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import requests

from e2e.serving import Serving, assert_one_sentence, charges, start_serving, wait_until
from e2e.test_crashes import CONFIRM, end_leases, run_sql, wait_until_struck
from paidonce import __version__
from stripesim.testing import SimulatorProcess
from support.envelope import assert_error, assert_success
from support.environment import JWT_SECRET, environment
from support.legacy import own_table
from support.processes import Process, StartProcess, free_port, http_status, script

RETRIEVE = {"method": "GET", "path": "/v1/payment_intents/*"}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    with SimulatorProcess(data=tmp_path / "stripe.db") as running:
        yield running


class Kept:
    """One kept connection, as a balancer has them."""

    def __init__(self, serving: Serving) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(serving.url).netloc, timeout=30)
        claims = {"sub": "alice", "exp": int(time.time()) + 3600}
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str | None, Any]:
        """Status, the Connection header, and the body; raises when the connection was closed."""
        text = json.dumps(body) if body is not None else None
        if self._connection.sock is None:
            self._connection.connect()
        self._connection.auto_open = 0
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.headers.get("Connection"), json.loads(answer.read())


def test_a_server_that_ends_says_so_and_serves_for_a_moment_more(
    sqlite_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    settings = environment(sqlite_url, simulator.url, DRAIN_DELAY_SECONDS="3")
    serving = start_serving(start_process, settings)
    order_id, card = serving.order(), simulator.create_card()
    kept, idle = Kept(serving), Kept(serving)
    for connection in (kept, idle):
        assert connection.ask("GET", "/readyz")[:2] == (200, None)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(serving.process.terminate)
        wait_until(lambda: http_status(f"{serving.url}/readyz") == 503, "503 of a server that ends")
        status, says, body = Kept(serving).ask("GET", "/readyz")
        assert (status, says, body["code"]) == (503, "close", "service_unavailable")
        assert "ending" in body["errors"][0]
        pay = {"paymentToken": card}
        path = f"/api/mobile-app/orders/{order_id}/pay"
        status, says, body = kept.ask("POST", path, pay)
        assert (status, says, body["status"]) == (200, "close", "success")
        assert ending.result() == 0
    assert time.monotonic() - started > 2.9
    with pytest.raises((http.client.HTTPException, OSError)):
        idle.ask("GET", "/healthz")
    assert http_status(f"{serving.url}/healthz") is None


def test_a_payment_that_came_in_while_the_server_ends_is_finished_and_a_later_one_is_not_begun(
    sqlite_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    """Stripe takes longer than the door stays open."""
    settings = environment(sqlite_url, simulator.url, DRAIN_DELAY_SECONDS="2")
    serving = start_serving(start_process, settings)
    order_id, later, card = serving.order(), serving.order(), simulator.create_card()
    simulator.add_fault(match=CONFIRM, kind="latency", seconds=5)
    with ThreadPoolExecutor(2) as threads:
        ending = threads.submit(serving.process.terminate)
        wait_until(lambda: http_status(f"{serving.url}/readyz") == 503, "503 of a server that ends")
        paying = threads.submit(serving.pay, order_id, card)
        wait_until_struck(simulator)
        wait_until(lambda: http_status(f"{serving.url}/healthz") is None, "end of its taking in")
        with pytest.raises(requests.ConnectionError, match="refused"):
            serving.pay(later, card)
        assert not paying.done()
        answer = paying.result()
        assert_success(answer)
        assert answer.headers["Connection"] == "close"
        assert ending.result() == 0
    assert (charges(simulator, order_id), charges(simulator, later)) == (1, 0)


def told(process: Process) -> list[dict[str, Any]]:
    """What it says of its start and its end."""
    lines = [json.loads(line) for line in process.stderr().splitlines()]
    return [line for line in lines if line["event"].endswith((".started", ".ended"))]


def test_processes_say_what_they_are_and_a_worker_can_be_probed_and_scraped(
    empty_sqlite_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    settings = environment(empty_sqlite_url, simulator.url)
    serving = start_serving(start_process, settings, "--no-worker")
    [line] = told(serving.process)
    about = {name: line[name] for name in ("event", "mode", "database", "worker", "version")}
    assert about == {
        "event": "service.started",
        "mode": "test",
        "database": "sqlite",
        "worker": False,
        "version": __version__,
    }
    for secret in (empty_sqlite_url.removeprefix("sqlite:///"), simulator.url, *settings.values()):
        assert secret not in json.dumps(line) or len(secret) < 10
    port = free_port()
    settings = {**settings, "WORKER_PORT": str(port)}
    with socket.create_server(("127.0.0.1", port)):
        refused = start_process(script("paidonce"), "worker", environment=settings)
        assert refused.wait() == 2
        assert_one_sentence(refused.stderr(), "WORKER_PORT")
    worker = start_process(script("paidonce"), "worker", environment=settings)
    url = f"http://127.0.0.1:{port}"
    worker.wait_for_http(f"{url}/healthz")
    assert assert_success(requests.get(f"{url}/readyz", timeout=5))["database"] == "ok"
    assert "paidonce_outgoing_tries_total" in requests.get(f"{url}/metrics", timeout=5).text
    unknown = requests.post(f"{url}/api/webhooks/stripe", data=b"{}", timeout=5)
    assert_error(unknown, 404, "not_found")
    assert worker.terminate(15) == 0
    started, ended = told(worker)
    assert (started["event"], started["listens"]) == ("worker.started", True)
    assert ended["event"] == "worker.ended"


def test_a_worker_that_ends_finishes_its_sweep(
    database_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    """The sweep hangs at Stripe when the signal comes; what it learns is still written down."""
    settings = environment(database_url, simulator.url)
    serving = start_serving(start_process, settings, "--no-worker")
    order_id, card = serving.order(), simulator.create_card()
    simulator.add_fault(match={**CONFIRM, "times": 3}, kind="drop_response")
    simulator.add_fault(match=RETRIEVE, kind="error_before")
    assert_error(serving.pay(order_id, card), 409, "payment_processing")
    simulator.clear_faults()
    end_leases(database_url)
    simulator.add_fault(match={"path": "/v1/payment_intents/*"}, kind="latency", seconds=2)
    worker = start_process(script("paidonce"), "worker", environment=settings)
    wait_until_struck(simulator)
    assert worker.terminate(15) == 0
    assert "Traceback" not in worker.stderr()
    assert [line["event"] for line in told(worker)] == ["worker.started", "worker.ended"]
    attempts = own_table(database_url, "payment_attempts")
    assert run_sql(database_url, f"SELECT state FROM {attempts}") == [("succeeded",)]


def test_a_worker_alone_ends_an_order_that_is_older_than_itself(
    database_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    """It has to compare the database with Stripe by itself before it may (`payments.restore`)."""
    settings = environment(database_url, simulator.url)
    serving = start_serving(start_process, settings, "--no-worker")
    order_id = serving.order()
    orders = own_table(database_url, "orders")
    run_sql(database_url, f"UPDATE {orders} SET expires_at = created_at")
    start_process(script("paidonce"), "worker", environment=settings)

    def is_canceled() -> bool:
        answer = serving.call("GET", f"/api/mobile-app/orders/{order_id}")
        return bool(assert_success(answer)["status"] == "canceled")

    wait_until(is_canceled, "the end of the order")
