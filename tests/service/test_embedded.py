"""`build_router` in applications that were there before: with handlers, middleware, prefixes of
their own. What the host does with its errors and paths stays the host's."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from paidonce.domain.errors import ServiceError
from paidonce.main import build_router
from paidonce.observability import configure_logging
from paidonce.settings import Settings, SettingsError
from support.envelope import assert_error, assert_success
from support.environment import JWT_SECRET, MERCHANT_API_KEY
from support.legacy import Legacy, own_table
from support.processes import free_port
from support.server_thread import served
from support.service import GOOD, make_settings, wait_until

MOBILE = "/api/mobile-app"
ORDER_ID = "7a1c1b3e-8f3e-4a8e-9f54-0d1a6f4f7f10"
StartHost = Callable[..., "Host"]


class Host:
    def __init__(self, url: str, app: FastAPI, router: Any) -> None:
        self.url, self.app, self.router = url, app, router
        claims = {"sub": "alice", "exp": int(time.time()) + 3600}
        self.token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")

    def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **kwargs.pop("headers", {})}
        url = f"{self.url}{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=40, **kwargs)

    def merchant(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {MERCHANT_API_KEY}"}
        return self.call(method, path, body, headers=headers)


@contextmanager
def running_host(app: FastAPI, router: Any) -> Iterator[Host]:
    """On uvicorn as it comes; the application may start again afterwards."""
    port = free_port()
    with served(app, port=port, lifespan="on", log_config=None):
        yield Host(f"http://127.0.0.1:{port}", app, router)


@pytest.fixture
def start_host(database_url: str, stripe_simulator: Any) -> Iterator[StartHost]:
    with ExitStack() as stack:

        def start(
            prefix: str = "",
            prepare: Callable[[FastAPI], None] = lambda app: None,
            *,
            has_operations: bool = False,
            **changes: Any,
        ) -> Host:
            app = FastAPI()
            settings = make_settings(database_url, stripe_simulator, **changes)
            router = build_router(settings, has_operations=has_operations)
            configure_logging(level="WARNING")  # as the tests have it
            app.include_router(router, prefix=prefix)
            prepare(app)
            return stack.enter_context(running_host(app, router))

        yield start


def make_order(host: Host, prefix: str = "") -> str:
    body = {"userId": "alice", "amountMinor": 500, "currency": "usd"}
    answer = host.merchant("POST", f"{prefix}/api/orders", body)
    return str(assert_success(answer)["orderId"])


def wait_for_intent(simulator: Any, order_id: str) -> None:
    """The worker makes it, when nobody pays at once."""
    wait_until(
        lambda: bool(simulator.objects("payment_intent")),
        "nothing prepared the order's PaymentIntent",
    )
    [intent] = simulator.objects("payment_intent")
    assert intent["metadata"]["order_id"] == order_id


@pytest.mark.parametrize("prefix", ["", "/shop/v2"])
def test_an_order_is_paid_once_in_a_host_with_any_prefix(
    start_host: StartHost, stripe_simulator: Any, prefix: str
) -> None:
    host = start_host(prefix)
    order_id, card = make_order(host, prefix), stripe_simulator.create_card(GOOD)
    path = f"{prefix}{MOBILE}/orders/{order_id}/pay"
    for _ in range(2):
        assert_success(host.call("POST", path, {"paymentToken": card}))
    [group] = stripe_simulator.audit(group_by="order_id")["groups"]
    assert group["succeeded_charges"] == 1


def handle_everything(app: FastAPI) -> None:
    """A host that renders every kind of error itself, and lets pages of any site in."""

    async def say(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"host": type(error).__name__}, 418)

    kinds = (HTTPException, RequestValidationError, ServiceError, 404, 405, 500, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, say)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])

    @app.get("/own/{number}")
    def own(number: int) -> int:
        return number


ANSWERS: list[tuple[str, str, Any, int, str]] = [
    ("GET", f"{MOBILE}/orders/{ORDER_ID}", None, 404, "order_not_found"),
    ("GET", f"{MOBILE}/orders/7", None, 400, "invalid_order_id"),
    ("GET", f"{MOBILE}/nothing", None, 404, "not_found"),
    ("GET", f"{MOBILE}/orders/{ORDER_ID}/", None, 404, "not_found"),
    ("DELETE", f"{MOBILE}/orders", None, 405, "method_not_allowed"),
    ("PATCH", "/api/products", None, 405, "method_not_allowed"),
    ("POST", f"{MOBILE}/orders/{ORDER_ID}/pay", [], 400, "invalid_request"),
    ("POST", f"{MOBILE}/orders", {"notes": "4242 4242 4242 4242"}, 400, "card_number_rejected"),
    ("POST", f"{MOBILE}/orders", {"notes": "x" * 200_000}, 413, "body_too_large"),
]


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_every_answer_below_our_paths_is_the_contracts_whatever_the_host_does(
    start_host: StartHost, prefix: str
) -> None:
    host = start_host(prefix, handle_everything)
    for method, path, body, status, code in ANSWERS:
        assert_error(host.call(method, prefix + path, body), status, code)
    assert host.call("DELETE", f"{prefix}{MOBILE}/orders").headers["Allow"] == "GET, POST"
    assert host.call("PATCH", f"{prefix}/api/products").headers["Allow"] == "GET, PUT"
    answer = host.call("GET", f"{prefix}{MOBILE}/orders", headers={"Authorization": "Bearer x"})
    assert_error(answer, 401, "not_authenticated")
    for path in ("/nothing", "/own/x", f"{prefix}/api/else", "/healthz", "/metrics"):
        assert list(host.call("GET", path).json()) == ["host"], path
    assert host.call("GET", "/own/7").json() == 7


def test_operations_come_when_they_are_asked_for(start_host: StartHost) -> None:
    host = start_host(has_operations=True)
    assert_success(host.call("GET", "/readyz"))
    assert "paidonce_http_requests_total" in host.call("GET", "/metrics").text


def test_the_hosts_openapi_holds_our_routes_and_its_own(start_host: StartHost) -> None:
    host = start_host(prepare=handle_everything)
    paths = host.call("GET", "/openapi.json").json()["paths"]
    assert "/own/{number}" in paths and f"{MOBILE}/orders/{{orderId}}/pay" in paths
    assert not any("rest" in path for path in paths)


def test_the_worker_runs_in_the_host(start_host: StartHost, stripe_simulator: Any) -> None:
    host = start_host()
    order_id = make_order(host)
    wait_for_intent(stripe_simulator, order_id)


def test_an_application_that_starts_again_works_as_before(
    database_url: str, stripe_simulator: Any
) -> None:
    """As one application does for all tests of a host, in a loop of its own each time."""
    app = FastAPI()
    router = build_router(make_settings(database_url, stripe_simulator), has_operations=True)
    app.include_router(router)
    configure_logging(level="WARNING")
    with running_host(app, router) as first:
        assert_success(first.call("GET", "/readyz"))
    with running_host(app, router) as again:
        assert_success(again.call("GET", "/readyz"))
        order_id = make_order(again)
        wait_for_intent(stripe_simulator, order_id)


async def test_what_comes_after_the_end_is_told_so(
    database_url: str, stripe_simulator: Any
) -> None:
    app = FastAPI()
    payments = build_router(make_settings(database_url, stripe_simulator))
    app.include_router(payments)
    configure_logging(level="WARNING")
    async with app.router.lifespan_context(app):
        pass
    with pytest.raises(ServiceError) as refused:
        await payments.use_cases.get_merchant_order(ORDER_ID)
    assert refused.value.code == "service_unavailable"


async def test_a_host_does_not_start_with_settings_that_do_not_fit(
    database_url: str, stripe_simulator: Any
) -> None:
    settings = make_settings(database_url, stripe_simulator, users_table="nowhere")
    with pytest.raises(SettingsError, match="USERS_TABLE"):
        await start_and_end(settings)


async def test_a_start_that_fails_leaves_no_connection_open(
    database_url: str, stripe_simulator: Any
) -> None:
    telling = {
        "event_endpoints": "http://127.0.0.1:9/events",
        "event_secrets": "whsec_" + "A" * 32,
        "event_allow_loopback": True,
    }
    await start_and_end(make_settings(database_url, stripe_simulator))
    home = own_table(database_url, "installation")
    Legacy(database_url).run(f"UPDATE {home} SET mode = 'live'")
    with pytest.raises(SettingsError, match="holds live data"):
        await start_and_end(make_settings(database_url, stripe_simulator))
    wait_until(lambda: count_connections(database_url) == 0, "connections stay open")
    Legacy(database_url).run(f"UPDATE {home} SET mode = 'test'")
    Legacy(database_url).run(f"DROP TABLE {own_table(database_url, 'event_deliveries')}")
    Legacy(database_url).run(f"DROP TABLE {own_table(database_url, 'event_endpoints')}")
    with pytest.raises(Exception, match="event_endpoints"):
        await start_and_end(make_settings(database_url, stripe_simulator, **telling))
    wait_until(lambda: count_connections(database_url) == 0, "connections stay open")


async def start_and_end(settings: Settings) -> None:
    app = FastAPI()
    app.include_router(build_router(settings))
    configure_logging(level="WARNING")
    async with app.router.lifespan_context(app):
        pass


def count_connections(url: str) -> int:
    if url.startswith("postgresql"):
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        [(count,)] = Legacy(url).rows(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")
        return int(count)
    path = Path(url.removeprefix("sqlite:///"))
    files = [each for each in Path("/proc/self/fd").iterdir() if each.exists()]
    return sum(each.samefile(path) for each in files)


def test_log_lines_go_redacted_to_the_hosts_logging(
    start_host: StartHost, stripe_simulator: Any
) -> None:
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("paidonce")
    host = start_host()
    build_router(host.router.use_cases.ctx.settings)  # the way of a host that configures nothing
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        order_id = make_order(host)
        answer = host.call("GET", f"{MOBILE}/orders/{order_id}", headers={"Request-Id": "mine"})
        assert_success(answer)
        from paidonce.api import shell

        shell.log.warning("a.leak", text=f"Bearer {host.token}", card="4242424242424242")
        try:
            raise ValueError(stripe_simulator.secret_key)
        except ValueError:
            shell.log.exception("another.leak")
        shell.log.debug("too.quiet")
    finally:
        configure_logging(level="WARNING")
        logger.removeHandler(handler)
        logger.setLevel("NOTSET")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    events = [line["event"] for line in lines]
    assert "request.answered" in events and events[-2:] == ["a.leak", "another.leak"]
    assert "ValueError" in lines[-1]["exception"]
    for secret in (host.token, "4242424242424242", stripe_simulator.secret_key):
        assert secret not in stream.getvalue()
