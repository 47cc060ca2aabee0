"""Many at once against real processes: three servers and two workers share one database, and one
simulator. The auditor judges after every race: one charge, one customer, every answer true."""

import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from proof.load.cluster import Cluster, running_on
from proof.load.shop import Answer, Record, Shop, User, open_shop
from proof.load.verdict import settle_and_judge
from support.environment import MERCHANT_API_KEY
from support.legacy import own_table

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
pytestmark = pytest.mark.timeout(300)  # calm may take its time on a busy machine
WAITING = {"payment_in_progress", "payment_processing"}
MERCHANT = User("merchant", {"Authorization": f"Bearer {MERCHANT_API_KEY}"})


@dataclass
class World:
    """A running cluster, and what was asked of it so far."""

    cluster: Cluster
    record: Record = field(default_factory=Record)

    @contextlib.asynccontextmanager
    async def shop(self) -> Any:
        """Clients whose requests go to the three servers in turn; audited at the end."""
        urls = [server.url for server in self.cluster.servers]
        async with open_shop(urls, self.cluster.simulator, self.record) as shop:
            yield shop
            findings, _ = await settle_and_judge(self.cluster, shop)
            assert findings == []
            assert shop.failures == {}

    def slow(self, match: dict[str, Any], seconds: float = 0.3) -> None:
        self.cluster.simulator.add_fault(match=match, kind="latency", seconds=seconds)

    def last_request(self) -> int:
        return max((item["seq"] for item in self.cluster.simulator.requests()), default=0)

    def confirms_since(self, seq: int) -> int:
        found = self.cluster.simulator.requests(after=seq)
        return sum(item["path"].endswith("/confirm") for item in found)

    async def end_leases(self) -> None:
        """What 30 s would do: every worker believes that it is its turn."""
        url = self.cluster.database_url
        sql = (
            f"UPDATE {own_table(url, 'payment_attempts')}"
            " SET lease_until = created_at, next_check_at = created_at"
            " WHERE state IN ('open', 'action') AND sends > 0"  # others are closed, which is right
        )
        if url.startswith("sqlite"):
            await asyncio.to_thread(_run_on_file, url.removeprefix("sqlite:///"), sql)
            return
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


def _run_on_file(path: str, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        connection.execute(sql)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The processes are started once for all races on a database."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if request.param == "sqlite":
            shutil.copyfile(request.getfixturevalue("_sqlite_template"), folder / "paidonce.db")
            url = f"sqlite:///{folder / 'paidonce.db'}"
        else:
            server = request.getfixturevalue("postgres_server")
            database = server.create_database(request.getfixturevalue("_postgres_template"))
            stack.callback(server.drop_database, database)
            url = server.url(database)
        # As many attempts of one user on their way as no person makes.
        limits = {"DECLINES_PER_USER_AND_HOUR": "1000", "CARDS_PER_USER_AND_HOUR": "1000"}
        cluster = running_on(url, folder, servers=3, workers=2, **limits)
        yield World(stack.enter_context(cluster))


def assert_paid_or_told_to_wait(answers: list[Answer]) -> list[dict[str, Any]]:
    """Every answer is a success or says wait; the data of the successes."""
    for answer in answers:
        assert answer.is_success or answer.body.get("code") in WAITING, answer
    return [answer.body["data"] for answer in answers if answer.is_success]


async def orders_of(shop: Shop, user: User, count: int) -> list[str]:
    found = await asyncio.gather(*(shop.order(user) for _ in range(count)))
    assert None not in found
    return [order_id for order_id in found if order_id]


def test_64_identical_requests_to_three_servers_charge_once(world: World) -> None:
    async def race() -> None:
        async with world.shop() as shop:
            user = await shop.user("sixty-four")
            [order_id] = await orders_of(shop, user, 1)
            world.slow(CONFIRM)
            before = world.last_request()
            answers = await asyncio.gather(*(shop.pay(order_id, user.card) for _ in range(64)))
            paid = assert_paid_or_told_to_wait(answers)
            assert paid and all(data == paid[0] for data in paid)
            assert world.confirms_since(before) == 1
            assert (await shop.pay(order_id, user.card)).body["data"] == paid[0]

    asyncio.run(race())


def test_fifty_first_payments_of_a_new_user_make_one_customer(world: World) -> None:
    async def race() -> None:
        async with world.shop() as shop:
            user = await shop.user("fifty")
            orders = await orders_of(shop, user, 50)
            answers = await asyncio.gather(*(shop.pay(order, user.card) for order in orders))
            assert_paid_or_told_to_wait(answers)
            for order_id in orders:
                assert (await shop.pay_until_told(order_id, user.card)).is_success
        stripe = world.cluster.get_stripe("/v1/customers?limit=100")
        owners = [customer["metadata"].get("user_id") for customer in stripe["data"]]
        assert owners.count("fifty") == 1

    asyncio.run(race())


def test_two_users_with_one_method_charge_one_of_them(world: World) -> None:
    async def race() -> None:
        async with world.shop() as shop:
            users = [await shop.user("first"), await shop.user("second")]
            card = world.cluster.simulator.create_card()
            orders = [(await orders_of(shop, user, 1))[0] for user in users]
            world.slow(ATTACH)
            answers = await asyncio.gather(*(shop.pay(order, card) for order in orders))
            assert sorted(answer.words for answer in answers) == [
                "200 success",
                "404 payment_method_not_found",
            ]
            winner = next(n for n, answer in enumerate(answers) if answer.is_success)
            users[winner].methods.add(card)  # the auditor accepts it from him alone
            assert not (await shop.pay(orders[1 - winner], card)).is_success

    asyncio.run(race())


def test_request_webhook_and_recovery_on_one_order_agree(world: World) -> None:
    """The confirm takes a while, its event comes three times, every worker is told that the lease
    is over, and the app asks meanwhile."""

    async def race() -> None:
        async with world.shop() as shop:
            user = await shop.user("everybody")
            orders = await orders_of(shop, user, 4)
            world.cluster.simulator.webhooks(duplicate=3, shuffle=True)
            world.slow(CONFIRM, 1.2)
            paying = [asyncio.create_task(shop.pay(order, user.card)) for order in orders]
            while not all(task.done() for task in paying):
                await world.end_leases()
                for order_id in orders:
                    path = f"/api/mobile-app/orders/{order_id}/pay/confirm"
                    asking = shop.ask("confirm", "POST", path, user, {}, order_id)
                    await asyncio.gather(asking, shop.look(order_id))
            assert_paid_or_told_to_wait([task.result() for task in paying])
            for order_id in orders:
                assert (await shop.pay_until_told(order_id, user.card)).is_success
            world.cluster.simulator.webhooks(duplicate=0, shuffle=False)

    asyncio.run(race())


def test_workers_that_find_the_same_lost_answers_record_each_once(world: World) -> None:
    """Five workers: one in every server, two of their own."""

    async def race() -> None:
        async with world.shop() as shop:
            user = await shop.user("lost")
            orders = await orders_of(shop, user, 6)
            world.cluster.simulator.webhooks(mode="drop")
            world.cluster.simulator.add_fault(match=CONFIRM, kind="drop_response")
            world.slow({"method": "GET", "path": "/v1/payment_intents/*"}, 0.2)
            answers = await asyncio.gather(*(shop.pay(order, user.card) for order in orders))
            assert_paid_or_told_to_wait(answers)
            ends_at = time.monotonic() + 20
            while not all([(await shop.look(order)).body["data"]["status"] == "succeeded"
                           for order in orders]):  # fmt: skip
                assert time.monotonic() < ends_at
                await world.end_leases()
                await asyncio.sleep(0.1)
            world.cluster.simulator.webhooks(mode="deliver")

    asyncio.run(race())


def test_cancel_against_pay_ends_in_one_of_them(world: World) -> None:
    async def race() -> None:
        async with world.shop() as shop:
            user = await shop.user("undecided")
            orders = await orders_of(shop, user, 8)
            world.slow(CONFIRM, 0.1)

            async def cancel(order_id: str, after: float) -> Answer:
                await asyncio.sleep(after)
                path = f"/api/orders/{order_id}/cancel"
                return await shop.ask("cancel", "POST", path, MERCHANT, {}, order_id)

            for n, order_id in enumerate(orders):
                paid, canceled = await asyncio.gather(
                    shop.pay(order_id, user.card), cancel(order_id, 0.02 * n)
                )
                assert not (paid.is_success and canceled.is_success)
                assert paid.is_success or canceled.is_success or paid.status == 409, (
                    paid, canceled,
                )  # fmt: skip

    asyncio.run(race())
