"""Ten times as many clients as one server can serve.

First the capacity is measured, in the same run: shoppers who order and pay, one after the other,
several at a time. Then clients arrive at ten times that rate, whether or not the earlier ones have
been answered: new shoppers, and others who pay one order again and again, some with a card that is
declined. Every answer has to be one of 200, 402, 409, 429 and 503 and to come in time, memory has
to stay flat, reads and health have to go on, and the auditor judges every order once it is calm.
"""

import asyncio
import random
import statistics
import time
from typing import Any

import psutil

from proof.load.cluster import Cluster, Server
from proof.load.shop import Shop, User, open_shop, quantile
from proof.load.verdict import settle_and_judge

ALLOWED = {"200", "402", "409", "429", "503"}
IN_TIME_SECONDS = 28.0
"""The deadline of a request, and what it may take to write down and send."""
FLAT = 1.2
"""Memory of the second half over that of the first; a queue without a bound grows much faster."""
CAPACITY_CLIENTS = 16
USERS = 120
"""More than a server has places, so that some are turned away since it is full."""
AT_ONCE = 8
DECLINERS = 3
POOL = 60
"""Orders that are paid again and again: those of the last users, the decliners among them."""
SHARE_OF_SHOPPERS = 0.7
DECLINED_AT_CHARGE = "4000000000000341"


async def run(
    cluster: Cluster, *, seconds: float, times: float = 10, capacity_seconds: float = 6.0
) -> dict[str, Any]:
    """Measure, then overload for `seconds`."""
    server = cluster.servers[0]
    async with open_shop([server.url], cluster.simulator) as shop:
        users = [await shop.user(f"user-{n}") for n in range(USERS)]
        users += [await shop.user(f"decliner-{n}", DECLINED_AT_CHARGE) for n in range(DECLINERS)]
        await _warm_up(shop, users)
        capacity = await _measure_capacity(shop, users[:CAPACITY_CLIENTS], capacity_seconds)
        calm_pay = list(shop.seconds["pay 200"])
        pool = list(await asyncio.gather(*(shop.order(user) for user in users[-POOL:])))
        shop.answers.clear()
        shop.seconds.clear()
        memory: list[float] = [_rss(server)]
        watching = asyncio.create_task(_watch(server, memory))
        reading = asyncio.create_task(_read(shop, users[0]))
        offered, lag = await _arrive(shop, users, [o for o in pool if o], capacity * times, seconds)
        for task in (watching, reading):
            task.cancel()
        await asyncio.gather(watching, reading, return_exceptions=True)
        answers, times_taken = dict(shop.answers), dict(shop.seconds)
        failures = dict(shop.failures)
        findings, counts = await settle_and_judge(cluster, shop)
    paid_in_load = len(times_taken.get("pay 200", []))
    half = len(memory) // 2
    growth = statistics.fmean(memory[half:]) / statistics.fmean(memory[:half])
    slowest = max(max(taken) for taken in times_taken.values())
    result = {
        "capacity (payments a second)": round(capacity, 1),
        "offered (clients a second)": round(offered / seconds, 1),
        "offered over capacity": round(offered / seconds / capacity, 1),
        "the generator was late by at most (s)": round(lag, 2),
        "requests": sum(answers.values()),
        "answers": {f"{kind}: {words}": n for (kind, words), n in sorted(answers.items())},
        "successes a second over capacity": round(paid_in_load / seconds / capacity, 2),
        "without an answer": sum(failures.values()),
        "slowest answer (s)": round(slowest, 2),
        "p50 of a payment over that without load": _ratio(times_taken, calm_pay, 0.5),
        "p99 of a payment over p50 without load": _ratio(times_taken, calm_pay, 0.99),
        "slowest read (s)": _slowest(times_taken, "read"),
        "slowest health (s)": _slowest(times_taken, "health"),
        "RSS before, after (MiB)": f"{memory[0]:.0f}, {memory[-1]:.0f}",
        "RSS second half over first": round(growth, 3),
        **counts,
    }
    violations = [f"{n} requests ended in {what}" for what, n in failures.items()]
    violations += [
        f"{n} answers to {kind}: {words}"
        for (kind, words), n in answers.items()
        if words[:3] not in ALLOWED
    ]
    if slowest > IN_TIME_SECONDS:
        violations.append(f"an answer took {slowest:.1f} s")
    if growth > FLAT:
        violations.append(f"memory grew by a factor of {growth:.2f}")
    result["violations"] = violations + [str(finding) for finding in findings]
    return result


async def _warm_up(shop: Shop, users: list[User]) -> None:
    """Every user's customer and card are known afterwards, and a decline is behind some."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def once(user: User) -> None:
        async with gate:
            await _shop_once(shop, user)

    await asyncio.gather(*(once(user) for user in users))


async def _measure_capacity(shop: Shop, users: list[User], seconds: float) -> float:
    """Payments a second, each with its order, by clients who wait for their answers."""
    ends_at = time.monotonic() + seconds

    async def go_on(user: User) -> int:
        paid = 0
        while time.monotonic() < ends_at:
            order_id = await shop.order(user)
            paid += order_id is not None and (await shop.pay(order_id, user.card)).is_success
        return paid

    started = time.monotonic()
    paid = sum(await asyncio.gather(*(go_on(user) for user in users)))
    return paid / (time.monotonic() - started)


async def _arrive(
    shop: Shop, users: list[User], pool: list[str], rate: float, seconds: float
) -> tuple[int, float]:
    """Open loop: so many clients, and by how much the generator itself was late."""
    dice = random.Random(1)
    running: set[asyncio.Task[None]] = set()
    started, lag = time.monotonic(), 0.0
    count = int(rate * seconds)
    for n in range(count):
        late = time.monotonic() - (started + n / rate)
        lag = max(lag, late)
        if late < 0:
            await asyncio.sleep(-late)
        elif n % 20 == 0:
            await asyncio.sleep(0)
        client = (
            _shop_once(shop, dice.choice(users))
            if dice.random() < SHARE_OF_SHOPPERS
            else _pay_again(shop, dice.choice(pool))
        )
        task = asyncio.create_task(client)
        running.add(task)
        task.add_done_callback(running.discard)
        if time.monotonic() - started > 2 * seconds:
            count = n + 1
            break
    if running:
        await asyncio.gather(*running)
    return count, lag


async def _shop_once(shop: Shop, user: User) -> None:
    order_id = await shop.order(user)
    if order_id is not None:
        await shop.pay(order_id, user.card)


async def _pay_again(shop: Shop, order_id: str) -> None:
    await shop.pay(order_id, shop.orders[order_id].card)


async def _watch(server: Server, memory: list[float]) -> None:
    while True:
        await asyncio.sleep(0.25)
        memory.append(_rss(server))


async def _read(shop: Shop, user: User) -> None:
    while True:
        await shop.ask("read", "GET", "/api/mobile-app/orders", user)
        await shop.ask("health", "GET", "/healthz", user)
        await asyncio.sleep(0.1)


def _rss(server: Server) -> float:
    """MiB of the server's process."""
    return float(psutil.Process(server.process.pid).memory_info().rss) / (1 << 20)


def _ratio(taken: dict[str, list[float]], calm: list[float], share: float) -> float:
    return round(quantile(taken.get("pay 200", []), share) / (quantile(calm, 0.5) or 1), 1)


def _slowest(taken: dict[str, list[float]], kind: str) -> float:
    return round(max((max(v) for k, v in taken.items() if k.startswith(kind)), default=0.0), 2)
