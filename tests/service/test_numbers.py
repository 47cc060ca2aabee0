"""The numbers the design promises: Stripe calls, database round trips, no connection held."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from support.envelope import assert_error, assert_success
from support.service import (
    DECLINED_AT_CHARGE,
    GOOD,
    Running,
    StartService,
    running_service,
)

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
CONFIRM_CALL = ("POST", "/v1/payment_intents/:id/confirm")
ATTACH_CALL = ("POST", "/v1/payment_methods/:id/attach")
STRIPE_SECONDS = 0.3


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def assert_nothing_charged_twice(service: Running) -> None:
    groups = service.simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []


def known_card(service: Running, number: str = GOOD) -> str:
    """A card that has been attached by an earlier payment."""
    card = str(service.simulator.create_card(number))
    service.pay(service.order(), card)
    return card


# --- calls of Stripe -----------------------------------------------------------------------------


def test_a_known_card_on_a_prepared_order_costs_one_stripe_call(service: Running) -> None:
    card = known_card(service)
    for _ in range(3):
        order_id = service.order()
        before = service.last_request()
        assert_success(service.pay(order_id, card))
        assert service.stripe_calls(before) == [CONFIRM_CALL]
        assert service.charges(order_id) == 1


def test_a_new_card_on_a_prepared_order_costs_two_stripe_calls(service: Running) -> None:
    for _ in range(2):
        order_id, card = service.order(), service.simulator.create_card(GOOD)
        before = service.last_request()
        assert_success(service.pay(order_id, card))
        assert service.stripe_calls(before) == [ATTACH_CALL, CONFIRM_CALL]
        assert service.charges(order_id) == 1


def test_a_declined_known_card_costs_one_stripe_call(service: Running) -> None:
    card = known_card(service, DECLINED_AT_CHARGE)
    order_id, before = service.order(), service.last_request()
    assert_error(service.pay(order_id, card), 402, "card_declined")
    assert service.stripe_calls(before) == [CONFIRM_CALL]


def test_preparing_a_further_order_costs_one_harmless_stripe_call(service: Running) -> None:
    service.order()
    before = service.last_request()
    service.order()
    assert service.stripe_calls(before) == [("POST", "/v1/payment_intents")]
    (created,) = service.simulator.requests(after=before)
    assert "confirm" not in created["params"]


def test_views_of_a_paid_order_cost_no_stripe_call(service: Running) -> None:
    card = known_card(service)
    order_id = service.order()
    assert_success(service.pay(order_id, card))
    before = service.last_request()
    service.order_view(order_id)
    service.payment(order_id)
    service.call("GET", "/api/mobile-app/orders")
    service.call("GET", "/api/mobile-app/payments")
    assert service.stripe_calls(before) == []


# --- round trips to PostgreSQL -------------------------------------------------------------------


@dataclass
class CountingProxy:
    """Stands before PostgreSQL and notes every message after which a client waits for an answer.

    Those are Query, Sync and Flush of the frontend protocol (PostgreSQL's manual, "Message
    Formats"): whatever the driver does, a round trip cannot happen without one of them.
    """

    target: tuple[str, int]
    waits: list[float] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target)
                self._sockets += [client, server]
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for work in (self._upstream, self._downstream):
                    thread = threading.Thread(target=work, args=(client, server), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _downstream(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def _upstream(self, client: socket.socket, server: socket.socket) -> None:
        waiting, is_started = b"", False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                waiting, is_started = self._read(waiting + data, is_started)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _read(self, data: bytes, is_started: bool) -> tuple[bytes, bool]:
        """Note the whole messages in `data`; what is left of it, and whether the start is over."""
        while True:
            head = 1 if is_started else 0
            if len(data) < head + 4:
                return data, is_started
            size = head + int.from_bytes(data[head : head + 4], "big")
            if len(data) < size:
                return data, is_started
            if is_started and data[:1] in (b"Q", b"S", b"H"):
                self.waits.append(time.monotonic())
            # Before the start message an SSLRequest or GSSENCRequest (code 1234.567x) may come.
            is_started = is_started or int.from_bytes(data[4:6], "big") != 1234
            data = data[size:]


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[CountingProxy]:
    parts = urlsplit(postgres_url)
    assert parts.hostname is not None and parts.port is not None
    running = CountingProxy((parts.hostname, parts.port))
    yield running
    running.close()


@pytest.fixture
def counted(
    proxy: CountingProxy, postgres_url: str, stripe_simulator: Any
) -> Iterator[tuple[Running, CountingProxy]]:
    """A service whose PostgreSQL stands behind the proxy."""
    parts = urlsplit(postgres_url)
    netloc = f"{parts.username}@127.0.0.1:{proxy.port}"
    url = urlunsplit(parts._replace(netloc=netloc))
    with running_service(url, stripe_simulator) as service:
        yield service, proxy
        assert_nothing_charged_twice(service)


def round_trips(
    service: Running, proxy: CountingProxy, order_id: str, card: str
) -> tuple[int, int, int]:
    """Those of one pay request: before the confirm, during it, after its answer.

    The confirm is slowed down, so that the three parts of the request cannot be mixed up.
    """
    service.simulator.add_fault(match=CONFIRM, kind="latency", seconds=STRIPE_SECONDS)
    proxy.waits.clear()
    service.pay(order_id, card)
    waits = list(proxy.waits)
    service.simulator.clear_faults()
    assert waits
    gaps = [later - earlier for earlier, later in pairwise(waits)]
    longest = max(range(len(gaps)), key=gaps.__getitem__)
    assert gaps[longest] > STRIPE_SECONDS * 0.9, gaps
    during = sum(1 for gap in gaps if gap > STRIPE_SECONDS * 0.9) - 1
    return longest + 1, during, len(waits) - longest - 1


def warmed_up_card(service: Running) -> str:
    """A known card, on connections that have met their statements."""
    card = known_card(service)
    for _ in range(3):
        assert_success(service.pay(service.order(), card))
    return card


def test_a_known_card_costs_at_most_two_round_trips_before_stripe_and_one_after(
    counted: tuple[Running, CountingProxy],
) -> None:
    service, proxy = counted
    card = warmed_up_card(service)
    for _ in range(3):
        order_id = service.order()
        before, during, after = round_trips(service, proxy, order_id, card)
        assert 1 <= before <= 2 and during == 0 and after == 1, (before, during, after)
        assert service.charges(order_id) == 1


def test_the_count_of_round_trips_bites(counted: tuple[Running, CountingProxy]) -> None:
    """The general road, taken by a new card and by a decline, takes more, and is counted."""
    service, proxy = counted
    warmed_up_card(service)
    before, _, _ = round_trips(service, proxy, service.order(), service.simulator.create_card(GOOD))
    assert before > 2
    declined = known_card(service, DECLINED_AT_CHARGE)
    _, _, after = round_trips(service, proxy, service.order(), declined)
    assert after > 1


# --- I10: nothing of the database is held while Stripe is asked ----------------------------------


def test_no_database_connection_is_held_during_a_stripe_call(
    start_service: StartService,
) -> None:
    """With one connection in all, and a confirm that takes a second, others are still answered."""
    service = start_service(database_pool_size=1)
    card = known_card(service)
    known, fresh = service.order(), service.order()
    service.simulator.add_fault(match=CONFIRM, kind="latency", seconds=1)
    before = service.last_request()
    with ThreadPoolExecutor(2) as threads:
        paying = [
            threads.submit(service.pay, known, card),
            threads.submit(service.pay, fresh, service.simulator.create_card(GOOD)),
        ]
        time.sleep(0.35)
        for order_id in (known, fresh):
            assert service.call("GET", "/api/mobile-app/orders").status_code == 200
            assert service.order_view(order_id)["status"] == "pending"
        other = service.order("bob")  # a write as well
        assert not any(future.done() for future in paying), "they waited for a payment's connection"
        for future in paying:
            assert_success(future.result())
    assert service.stripe_calls(before).count(CONFIRM_CALL) == 2
    assert [service.charges(order_id) for order_id in (known, fresh, other)] == [1, 1, 0]
