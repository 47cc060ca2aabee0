"""I12: everything has a bound. What is one too many is told so at once, and costs nothing."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from paidonce.api import admission, bodies, jwks
from paidonce.gateway import transport
from paidonce.gateway.transport import AiohttpTransport, NeverSent
from paidonce.payments import background
from paidonce.payments.cards.release import MOST_AT_ONCE
from paidonce.store.engine import sqlite_path
from support.envelope import assert_envelope, assert_error, assert_success
from support.events import WEBHOOK_PATH, deliver, make_event, sign
from support.saved_methods import DETACH_CALL, delete, listed, saved
from support.service import GOOD, Running, StartService

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
RETRIEVE = {"method": "GET", "path": "/v1/payment_intents/*"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is bounded here stands before any database."""
    return sqlite_url


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(12) as pool:
        yield pool


def wait_for_stripe(service: Running, times: int) -> None:
    """So many calls hang at Stripe."""
    ends_at = time.monotonic() + 10
    while service.simulator._control("GET", "/_sim/faults")["faults"][0]["struck"] < times:
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def fill(service: Running, threads: ThreadPoolExecutor, *users: str) -> "list[Future[Any]]":
    """Payments that wait for Stripe, one of each user."""
    cards = {user: service.simulator.create_card(GOOD) for user in users}
    for user, card in cards.items():
        assert_success(service.pay(service.order(user), card, user=user))
    orders = [(service.order(user), card, user) for user, card in cards.items()]
    service.simulator.add_fault(match=CONFIRM, kind="latency", seconds=1.5)
    paying = [threads.submit(service.pay, order, card, user=user) for order, card, user in orders]
    wait_for_stripe(service, len(users))
    return paying


HALF = "half" * 250


@contextlib.contextmanager
def slow_bodies(service: Running, path: str, count: int, **headers: str) -> Iterator[list[Any]]:
    """Connections on which half of a body was sent, 1,000 bytes; the rest does not come."""
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    sent = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n{head}\r\n{HALF}"
    address = ("127.0.0.1", urlsplit(service.url).port or 0)
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)
        ]
        for connection in found:
            connection.sendall(sent.encode())
        yield found


@contextlib.contextmanager
def held_writes(service: Running) -> Iterator[None]:
    """Another process writes, and the service's own transactions wait for it."""
    with contextlib.closing(sqlite3.connect(sqlite_path(service.settings.database_url))) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


# --- requests ------------------------------------------------------------------------------------


def test_one_payment_too_many_is_turned_away_untouched_and_the_rest_goes_on(
    start_service: StartService, threads: ThreadPoolExecutor
) -> None:
    service = start_service(max_requests=3)
    other, card = service.order("bob"), service.simulator.create_card(GOOD)
    paying = fill(service, threads, "alice", "carol", "dave")
    before = service.last_request()
    refused = service.pay(other, card, user="bob")
    assert_error(refused, 503, "service_unavailable", "retry")
    assert refused.headers["Retry-After"] == "2" and refused.json()["retryAfter"] == 2
    assert service.rows("SELECT id FROM payment_attempts WHERE order_id = $1", other) == []
    assert service.stripe_calls(before) == []
    for path in ("/api/mobile-app/orders", f"/api/mobile-app/orders/{other}"):
        assert service.call("GET", path, user="bob").status_code == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert requests.get(f"{service.url}{path}", timeout=5).status_code == 200
    webhook = requests.post(f"{service.url}/api/webhooks/stripe", data=b"{}", timeout=5)
    assert_error(webhook, 400, "invalid_signature")
    for answer in paying:
        assert_success(answer.result())
    assert_success(service.pay(other, card, user="bob"))


def test_reads_that_wait_leave_payments_alone(
    start_service: StartService, threads: ThreadPoolExecutor
) -> None:
    service = start_service(max_requests=2)
    card, order_id, other = service.simulator.create_card(GOOD), service.order(), service.order()
    service.simulator.add_fault(match={**CONFIRM, "times": 9}, kind="drop_request")
    assert_error(service.pay(order_id, card), 409, "payment_processing")
    service.simulator.clear_faults()
    service.simulator.add_fault(match=RETRIEVE, kind="latency", seconds=1.5)
    looking = threads.submit(service.payment, order_id)
    wait_for_stripe(service, 1)
    refused = service.call("GET", f"/api/mobile-app/orders/{order_id}/payment")
    assert_error(refused, 429, "too_many_requests", "retry")
    assert service.call("GET", "/api/mobile-app/orders", user="bob").status_code == 200
    assert_success(service.pay(other, card))
    assert looking.result()["status"] == "processing"


def test_a_look_at_a_payment_waits_two_seconds_for_stripe_and_tells_what_is_known(
    start_service: StartService,
) -> None:
    service = start_service()
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    service.simulator.add_fault(match={**CONFIRM, "times": 9}, kind="drop_response")
    service.simulator.add_fault(match=RETRIEVE, kind="latency", seconds=4)
    with ThreadPoolExecutor(1) as one:
        paying = one.submit(service.pay, order_id, card)
        wait_for_stripe(service, 3)
        time.sleep(0.1)
        started = time.monotonic()
        assert service.payment(order_id)["status"] == "processing"
        assert 1.5 < time.monotonic() - started < 3.5
        service.simulator.clear_faults()
        paying.result()
    assert_success(service.pay(order_id, card))


def test_places_are_given_back_whatever_becomes_of_a_request(
    start_service: StartService, threads: ThreadPoolExecutor
) -> None:
    service = start_service(max_requests=2)
    for _ in range(4):
        assert service.call("POST", "/api/mobile-app/orders", {"items": 1}).status_code == 400
        assert service.call("POST", "/api/mobile-app/nothing", {}).status_code == 404
        raw = "POST /api/mobile-app/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        address = ("127.0.0.1", urlsplit(service.url).port or 0)
        with socket.create_connection(address) as gone:
            gone.sendall(f"{raw}Authorization: Bearer {service.token()}\r\n\r\n".encode())
    time.sleep(0.2)
    service.order()


def test_slow_bodies_of_anybody_hold_no_place(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_ARRIVING_BYTES", 3900)
    service = start_service(max_requests=2)
    order_id, card = service.order(), service.simulator.create_card(GOOD)
    path = f"/api/mobile-app/orders/{order_id}/pay"
    with slow_bodies(service, path, 9) as strangers:
        for connection in strangers[:-3]:  # those that came last are still waited for
            assert b"503 Service Unavailable" in connection.recv(1000)
        assert_success(service.pay(order_id, card))


def test_slow_webhooks_give_way_to_those_of_stripe(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_ARRIVING_BYTES", 3900)
    service = start_service(max_requests=2)
    with slow_bodies(service, WEBHOOK_PATH, 9, Stripe_Signature="t=1,v1=0") as strangers:
        for connection in strangers[:-3]:
            assert b"503 Service Unavailable" in connection.recv(1000)
        deliver(service, make_event("charge.succeeded", {"id": "ch_1", "object": "charge"}))
        strangers[-1].sendall(HALF.encode())  # after Stripe's came and went
        assert b"400 Bad Request" in strangers[-1].recv(1000)


def test_a_body_that_does_not_come_whole_in_time_is_told_so(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    service = start_service(max_requests=2)
    for path in ("/api/mobile-app/orders", WEBHOOK_PATH):
        with slow_bodies(service, path, 1) as [connection]:
            assert b"400 Bad Request" in connection.recv(1000)
    service.order()


async def test_one_user_with_slow_bodies_and_hundreds_of_duplicates_leaves_places_to_others(
    start_service: StartService,
) -> None:
    """Alice's payment hangs at Stripe, and all her duplicates wait for it."""
    service = start_service(max_requests=20)
    card, other_card = service.simulator.create_card(GOOD), service.simulator.create_card(GOOD)
    assert_success(service.pay(service.order("bob"), other_card, user="bob"))
    order_id, other = service.order(), service.order("bob")
    service.simulator.add_fault(match={**CONFIRM, "times": 1}, kind="latency", seconds=5)
    path, headers = f"/api/mobile-app/orders/{order_id}/pay", {"Authorization": ""}
    headers["Authorization"] = f"Bearer {service.token()}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(service.url, headers=headers, connector=connector) as phone:

        async def pay() -> tuple[int, str | None, Any]:
            async with phone.post(path, json={"paymentToken": card}) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.json()

        with slow_bodies(service, path, 40, **headers):
            waiting = {asyncio.create_task(pay()) for _ in range(200)}
            refused: set[Any] = set()
            while len(refused) < 190:  # half of the places are hers
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                refused |= done
            await asyncio.to_thread(wait_for_stripe, service, 1)
            assert_success(await asyncio.to_thread(service.pay, other, other_card, user="bob"))
            assert not any(task.done() for task in waiting)
        for status, retry_after, body in [task.result() for task in refused]:
            assert (status, body["code"], body["nextStep"]) == (429, "too_many_requests", "retry")
            assert retry_after == "2" and body["retryAfter"] == 2
        answers = await asyncio.gather(*waiting)
    assert len(answers) == 10
    assert {status for status, _, _ in answers} == {200}
    assert service.charges(order_id) == service.charges(other) == 1


async def test_a_burst_of_stripe_comes_in_though_all_of_it_is_from_one_address(
    start_service: StartService,
) -> None:
    """Nobody else is in its lane for long: what is not signed is refused at once."""
    service = start_service(max_requests=8)
    bodies_of = [
        json.dumps(make_event("charge.succeeded", {"id": f"ch_{n}", "object": "charge"})).encode()
        for n in range(8)
    ]
    async with aiohttp.ClientSession(service.url) as stripe:

        async def send(body: bytes) -> int:
            headers = {"Stripe-Signature": sign(service, body)}
            async with stripe.post(WEBHOOK_PATH, data=body, headers=headers) as answer:
                return answer.status

        with held_writes(service):
            sending = [asyncio.create_task(send(body)) for body in bodies_of]
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in sending)
        assert await asyncio.gather(*sending) == [200] * 8


def test_a_merchant_who_waits_for_stripe_keeps_no_user_of_his_address_out(
    start_service: StartService, threads: ThreadPoolExecutor
) -> None:
    """All of them come through a proxy that is not configured as one."""
    service = start_service(max_requests=4)
    orders, card = [service.order() for _ in range(2)], service.simulator.create_card(GOOD)
    other = service.order("bob")
    cancel = {"method": "POST", "path": "/v1/payment_intents/*/cancel"}
    service.simulator.add_fault(match=cancel, kind="latency", seconds=1.5)
    canceling = [
        threads.submit(service.merchant, "POST", f"/api/orders/{order_id}/cancel")
        for order_id in orders
    ]
    wait_for_stripe(service, 2)
    assert_success(service.pay(other, card, user="bob"))
    for answer in canceling:
        assert answer.result().status_code == 200


@contextlib.contextmanager
def issuer(key: rsa.RSAPrivateKey, hang: threading.Event) -> Iterator[str]:
    """The address of a real issuer's key set, which does not answer from `hang` on."""
    entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    body = json.dumps({"keys": [{**entry, "kid": "known"}]}).encode()
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if hang.is_set():
                is_over.wait(10)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    is_over.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_made_up_tokens_that_wait_for_the_issuer_keep_no_user_of_their_address_out(
    start_service: StartService, threads: ThreadPoolExecutor
) -> None:
    key, hang = rsa.generate_private_key(public_exponent=65537, key_size=2048), threading.Event()
    with issuer(key, hang) as url:
        service = start_service(max_requests=4, auth_jwt_secret="", auth_jwks_url=url)

        def look(key_id: str) -> int:
            claims = {"sub": "alice", "exp": int(service.clock.now().timestamp()) + 3600}
            token = jwt.encode(claims, key, "RS256", headers={"kid": key_id})
            headers = {"Authorization": f"Bearer {token}"}
            orders = f"{service.url}/api/mobile-app/orders"
            return requests.get(orders, headers=headers, timeout=20).status_code

        assert look("known") == 200
        hang.set()
        service.clock.added += jwks.ASK_AGAIN_AFTER_SECONDS + 1
        made_up = [threads.submit(look, "made-up") for _ in range(2)]
        time.sleep(0.5)
        assert not any(answer.done() for answer in made_up)
        assert look("known") == 200
    assert {answer.result() for answer in made_up} == {401}


# --- to Stripe, and in the background ------------------------------------------------------------


async def test_a_call_that_gets_no_connection_to_stripe_was_surely_not_sent(
    stripe_simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(transport, "POOL_SECONDS", 0.2)
    stripe_simulator.add_fault(match={"path": "/v1/account"}, kind="latency", seconds=0.8)
    client = AiohttpTransport()
    headers = {"Authorization": f"Bearer {stripe_simulator.secret_key}"}
    try:
        url = f"{stripe_simulator.url}/v1/account"
        first = asyncio.create_task(client.request_async("get", url, headers))
        await asyncio.sleep(0.1)
        with pytest.raises(NeverSent):
            await client.request_async("get", url, headers)
        assert (await first)[1] == 200
    finally:
        await client.close_async()
    assert len(stripe_simulator.requests()) == 1


async def test_a_full_house_of_background_work_drops_what_is_new() -> None:
    house, gate = background.Background(), asyncio.Event()

    async def work() -> None:
        await gate.wait()

    begun = [house.start(f"key-{n}", work) for n in range(background.MAX_TASKS + 5)]
    assert begun == [True] * background.MAX_TASKS + [False] * 5
    gate.set()
    await house.drain()
    assert house.start("key-0", work)
    await house.close(1)


def test_a_card_of_many_entries_is_deleted_at_once_and_detached_little_by_little(
    start_service: StartService,
) -> None:
    service = start_service()
    entries = [saved(service, service.simulator.create_card(GOOD)) for _ in range(MOST_AT_ONCE + 3)]
    before = service.last_request()
    assert_success(delete(service, entries[0]["id"]))
    assert service.stripe_calls(before).count(DETACH_CALL) == MOST_AT_ONCE
    assert listed(service) == []
    service.recover()
    assert service.stripe_calls(before).count(DETACH_CALL) == MOST_AT_ONCE + 3


def test_every_answer_keeps_the_envelope_when_turned_away(start_service: StartService) -> None:
    service = start_service(max_requests=1)
    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: service.call("GET", "/api/mobile-app/orders"), range(40)))
    for answer in answers:
        assert_envelope(answer)
        assert answer.status_code in (200, 503)
