"""Rolling restarts under load: SIGTERM drains, and no payment is dropped.

"No payment is dropped" means three things. A request that a server took in got its whole answer: no
client saw a connection break after its request was sent. Every order of the run ends paid exactly
once, with its client told so. And every server and worker ended by itself, with exit code 0, within
the time of the drain.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from proof.load.cluster import Cluster
from proof.load.shop import Shop, User, open_shop, quantile
from proof.load.verdict import settle_and_judge

SHOPPERS = 12
WORKER_EVERY = 5
SLOW_CONFIRM_SECONDS = 0.15
LOST_ANSWERS = 0.02
DRAIN_SECONDS = 45
"""No process may take longer to end."""
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
DECLINED_AT_CHARGE = "4000000000000341"


@dataclass
class Restarts:
    codes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def run(cluster: Cluster, *, restarts: int) -> dict[str, Any]:
    """Restart the servers in turn (and the worker now and then) while shoppers pay."""
    urls = [server.url for server in cluster.servers]
    async with open_shop(urls, cluster.simulator) as shop:
        disturb(cluster)
        stop = asyncio.Event()
        shoppers = [
            asyncio.create_task(shop_until_stopped(shop, f"shopper-{n}", stop))
            for n in range(SHOPPERS)
        ]
        done = Restarts()
        started = time.monotonic()
        try:
            await _restart_in_turn(cluster, restarts, done)
        finally:
            stop.set()
        unpaid = sum(await asyncio.gather(*shoppers))
        load_seconds = time.monotonic() - started
        findings, counts = await settle_and_judge(cluster, shop)
        told = describe(shop, done, unpaid, counts, load_seconds)
        return {**told, "violations": told["violations"] + [str(f) for f in findings]}


def describe(
    shop: Shop, done: Restarts, unpaid: int, counts: dict[str, Any], load_seconds: float
) -> dict[str, Any]:
    """What was seen, and which of it must not be."""
    return {
        "restarts": len(done.codes),
        "exit codes": sorted(set(done.codes)),
        "slowest drain (s)": round(max(done.seconds), 2),
        "seconds of load": round(load_seconds, 1),
        "requests": sum(shop.answers.values()),
        "answers": {f"{kind}: {words}": n for (kind, words), n in sorted(shop.answers.items())},
        "connections cut after sending": sum(shop.failures.values()),
        "connections refused (sent on)": shop.balancer.refused,
        "orders whose client was never told success": unpaid,
        **counts,
        "p99 / p50 of a payment": _ratio(shop),
        "violations": _violations(shop, done, unpaid, counts),
    }


def _violations(shop: Shop, done: Restarts, unpaid: int, counts: dict[str, Any]) -> list[str]:
    found = [f"{n} clients saw {what}" for what, n in shop.failures.items()]
    if set(done.codes) != {0}:
        found.append(f"exit codes {sorted(set(done.codes))}")
    if unpaid:
        found.append(f"{unpaid} clients were never told that they paid")
    if not counts["orders"] == counts["paid orders"] == counts["charges"]:
        found.append(f"orders, paid orders and charges differ: {counts}")
    return found


def _ratio(shop: Shop) -> float:
    paid = shop.seconds.get("pay 200", [])
    return round(quantile(paid, 0.99) / (quantile(paid, 0.5) or 1), 1)


def disturb(cluster: Cluster) -> None:
    """Confirms take a moment, so that there are always some in flight, and now and then Stripe's
    answer is lost, so that the workers' sweep has something to find out."""
    lost = {**CONFIRM, "probability": LOST_ANSWERS}
    cluster.simulator.add_fault(match=lost, kind="drop_response")
    cluster.simulator.add_fault(match=CONFIRM, kind="latency", seconds=SLOW_CONFIRM_SECONDS)


async def shop_until_stopped(shop: Shop, name: str, stop: asyncio.Event) -> int:
    """Order and pay until stopped; every fourth order is first tried with a card that the bank
    declines. Returns how many orders this client could not get paid."""
    unpaid = 0
    user: User = await shop.user(name)
    for n in range(10_000):
        if stop.is_set():
            break
        order_id = await shop.order(user)
        if order_id is None:
            await asyncio.sleep(0.2)
            continue
        if n % 4 == 3 and n < 36:  # the limit is ten declines an hour
            await shop.pay_until_told(order_id, await shop.card(user, DECLINED_AT_CHARGE))
        answer = await shop.pay_until_told(order_id, user.card)
        unpaid += not answer.is_success
    return unpaid


async def _restart_in_turn(cluster: Cluster, restarts: int, done: Restarts) -> None:
    await asyncio.sleep(1)
    for n in range(restarts):
        server = cluster.servers[n % len(cluster.servers)]
        await stop_process(server.process, done)
        await asyncio.to_thread(server.process.start)
        await asyncio.to_thread(server.wait_until_ready)
        if cluster.workers and n % WORKER_EVERY == WORKER_EVERY - 1:
            worker = cluster.workers[0]
            await stop_process(worker, done)
            await asyncio.to_thread(worker.start)
        await asyncio.sleep(0.3)


async def stop_process(process: Any, done: Restarts) -> None:
    started = time.monotonic()
    done.codes.append(await asyncio.to_thread(process.terminate, DRAIN_SECONDS))
    done.seconds.append(time.monotonic() - started)
