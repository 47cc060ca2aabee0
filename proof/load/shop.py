"""The clients: the app as it shops, and a balancer in front of the servers as real ones are.

The balancer asks every server for its readiness, sends to those that are ready, one after the
other, and goes on to the next when a connection is refused: then nothing was sent. It repeats
nothing else; a connection that breaks after a request was sent is counted as cut, and it is the app
that asks again.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from proof.auditor import Asked, Order
from proof.load.cluster import PRICE_MINOR, headers_of
from stripesim.testing import ControlClient

HEALTH_SECONDS = 0.1
ANSWER_SECONDS = 30.0
"""The app gives up then."""
TURNED_AWAY = "429 too_many_requests"


@dataclass
class Answer:
    """What a client got. `status` None: no answer, and `failure` says what it saw instead."""

    status: int | None
    body: dict[str, Any]
    seconds: float
    failure: str = ""

    @property
    def is_success(self) -> bool:
        return self.status == 200 and self.body.get("status") == "success"

    @property
    def words(self) -> str:
        if self.status is None:
            return self.failure
        return f"{self.status} {self.body.get('code', self.body.get('status', ''))}".strip()


class Balancer:
    """Round robin over the servers that are ready."""

    def __init__(self, urls: list[str], session: aiohttp.ClientSession) -> None:
        self._session = session
        self._ready = dict.fromkeys(urls, True)
        self._next = itertools.cycle(urls)
        self.refused = 0

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, dict[str, Any]]:
        """Raises aiohttp.ClientError or TimeoutError when there is no whole answer."""
        for _ in range(2 * len(self._ready)):
            url = self._pick()
            try:
                async with self._session.request(
                    method, url + path, json=body, headers=headers
                ) as answer:
                    is_json = answer.content_type == "application/json"
                    return answer.status, await answer.json() if is_json else {}
            except aiohttp.ClientConnectorError:
                self._ready[url] = False
                self.refused += 1
        raise aiohttp.ClientConnectionError("no server takes connections")

    async def watch(self) -> None:
        """Ask for readiness until canceled."""
        while True:
            await asyncio.gather(*(self._look(url) for url in self._ready))
            await asyncio.sleep(HEALTH_SECONDS)

    async def _look(self, url: str) -> None:
        try:
            async with self._session.get(f"{url}/readyz") as answer:
                self._ready[url] = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            self._ready[url] = False

    def _pick(self) -> str:
        for _ in self._ready:
            url = next(self._next)
            if self._ready[url]:
                return url
        return next(self._next)


@dataclass
class User:
    """Somebody with the app, and the PaymentMethods that are his."""

    name: str
    headers: dict[str, str]
    card: str = ""
    methods: set[str] = field(default_factory=set)


@dataclass
class Record:
    """What the auditor has to know of everything that was ever asked of one database."""

    asked: list[Asked] = field(default_factory=list)
    orders: dict[str, User] = field(default_factory=dict)
    places: Iterator[int] = field(default_factory=lambda: itertools.count(1))


class Shop:
    """Every request that clients make, and everything they were told."""

    def __init__(self, balancer: Balancer, simulator: ControlClient, record: Record) -> None:
        self.balancer = balancer
        self._simulator = simulator
        self._places = record.places
        self.asked = record.asked
        self.orders = record.orders
        self.answers: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.failures: Counter[str] = Counter()

    async def user(self, name: str, number: str = "4242424242424242") -> User:
        user = User(name, headers_of(name))
        user.card = await self.card(user, number)
        return user

    async def card(self, user: User, number: str = "4242424242424242") -> str:
        """A new PaymentMethod, entered by this user."""
        method_id = await asyncio.to_thread(self._simulator.create_card, number)
        user.methods.add(method_id)
        return method_id

    async def order(self, user: User) -> str | None:
        """The id of a new order, None when it was not made."""
        body = {"items": [{"productId": "tea", "quantity": 1}]}
        answer = await self.ask("order", "POST", "/api/mobile-app/orders", user, body)
        if not answer.is_success:
            return None
        order_id = str(answer.body["data"]["orderId"])
        self.orders[order_id] = user
        return order_id

    async def pay(self, order_id: str, card: str) -> Answer:
        body = {"paymentMethod": "credit_card", "paymentToken": card}
        path = f"/api/mobile-app/orders/{order_id}/pay"
        return await self.ask("pay", "POST", path, self.orders[order_id], body, order_id, card)

    async def look(self, order_id: str) -> Answer:
        path = f"/api/mobile-app/orders/{order_id}/payment"
        return await self.ask("look", "GET", path, self.orders[order_id], None, order_id)

    async def ask(
        self,
        kind: str,
        method: str,
        path: str,
        user: User,
        body: Any = None,
        order_id: str | None = None,
        card: str | None = None,
    ) -> Answer:
        begun, started = next(self._places), time.monotonic()
        failure, status = "", None
        found: dict[str, Any] = {}
        try:
            status, found = await self.balancer.send(method, path, user.headers, body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            failure = type(error).__name__
            self.failures[failure] += 1
        answer = Answer(status, found, time.monotonic() - started, failure)
        ended = next(self._places) if status is not None else None
        if order_id is not None:
            self.asked.append(Asked(order_id, kind, card, begun, ended, status, found))
        self.answers[kind, answer.words] += 1
        self.seconds.setdefault(f"{kind} {status}", []).append(answer.seconds)
        return answer

    async def pay_until_told(self, order_id: str, card: str, seconds: float = 60.0) -> Answer:
        """As a patient client: what may be sent again is sent again."""
        ends_at = time.monotonic() + seconds
        while True:
            answer = await self.pay(order_id, card)
            is_open = answer.status in (None, 409, 503) or answer.words == TURNED_AWAY
            if not is_open or time.monotonic() > ends_at:
                return answer
            await asyncio.sleep(0.3)

    def expected(self) -> list[Order]:
        """What the auditor is told about every order."""
        return [
            Order(order_id, user.name, PRICE_MINOR, "usd", frozenset(user.methods))
            for order_id, user in self.orders.items()
        ]


@contextlib.asynccontextmanager
async def open_shop(
    urls: list[str],
    simulator: ControlClient,
    record: Record | None = None,
    *,
    keep_connections: bool = True,
) -> AsyncIterator[Shop]:
    """Clients of these servers, behind a balancer that watches their readiness."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    connector = aiohttp.TCPConnector(limit=0, force_close=not keep_connections)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        balancer = Balancer(urls, session)
        watching = asyncio.create_task(balancer.watch())
        try:
            yield Shop(balancer, simulator, record or Record())
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def quantile(values: list[float], share: float) -> float:
    """Of the sorted values; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
