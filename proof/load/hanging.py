"""Stripe hangs for 30 s at every call, and the server has one connection to its database.

Payments wait, and end as unknown or as not begun; whoever only reads is served meanwhile. Once
Stripe answers again, every order is paid, once.
"""

import asyncio
import time
from typing import Any

from proof.load.cluster import Cluster
from proof.load.shop import Shop, User, open_shop
from proof.load.verdict import settle_and_judge

HANG_SECONDS = 30.0
PAYERS = 12
READ_SECONDS = 5.0
"""A look at a payment asks Stripe for 2 s (`VIEW_SECONDS`); everything else asks nobody."""
QUICK_SECONDS = 3.0
"""A busy machine's slowest; a read that waited for a payment would take ten."""
IN_TIME_SECONDS = 28.0
TOLD = {"409 payment_processing", "409 payment_in_progress", "503 stripe_unavailable"}
READS = {
    "orders": "/api/mobile-app/orders",
    "order": "/api/mobile-app/orders/{}",
    "payments": "/api/mobile-app/payments",
    "methods": "/api/mobile-app/payments/methods",
    "payment": "/api/mobile-app/orders/{}/payment",
    "healthz": "/healthz",
    "readyz": "/readyz",
    "metrics": "/metrics",
}


async def run(
    cluster: Cluster, *, payers: int = PAYERS, hang_seconds: float = HANG_SECONDS
) -> dict[str, Any]:
    """Pay while Stripe hangs, read meanwhile, then let Stripe answer."""
    async with open_shop([cluster.servers[0].url], cluster.simulator) as shop:
        users = [await shop.user(f"user-{n}") for n in range(payers)]
        orders = await _prepare(shop, users)
        cluster.simulator.add_fault(kind="latency", seconds=hang_seconds)
        paying = [
            asyncio.create_task(shop.pay(order_id, shop.orders[order_id].card))
            for order_id in orders
        ]
        await asyncio.sleep(0.3)
        reads = await _read_while(shop, users[0], orders[0], paying)
        told = [task.result() for task in paying]
        cluster.simulator.clear_faults()
        await asyncio.gather(
            *(shop.pay_until_told(order_id, shop.orders[order_id].card) for order_id in orders)
        )
        findings, counts = await settle_and_judge(cluster, shop)
    slowest = max(answer.seconds for answer in told)
    result: dict[str, Any] = {
        "payments while Stripe hangs": len(told),
        "answers to them": _count([answer.words for answer in told]),
        "slowest of them (s)": round(slowest, 2),
        "reads meanwhile": sum(len(taken) for taken in reads.values()),
        "slowest read (s)": {kind: round(max(taken), 3) for kind, taken in reads.items()},
        **counts,
    }
    violations = [
        f"{kind} took {max(taken):.1f} s"
        for kind, taken in reads.items()
        if max(taken) > (READ_SECONDS if kind == "payment" else QUICK_SECONDS)
    ]
    violations += [f"a payment was told {a.words}" for a in told if a.words not in TOLD]
    violations += [f"{n} clients saw {what}" for what, n in shop.failures.items()]
    if slowest > IN_TIME_SECONDS:
        violations.append(f"an answer took {slowest:.1f} s")
    if counts["paid orders"] != counts["orders"]:
        violations.append(f"orders and paid orders differ: {counts}")
    result["violations"] = violations + [str(finding) for finding in findings]
    return result


async def _prepare(shop: Shop, users: list[User]) -> list[str]:
    """An order for everybody; half of the cards are known, so that both roads hang."""
    for user in users[::2]:
        first = await shop.order(user)
        if first is not None:
            await shop.pay(first, user.card)
    return [order_id for user in users if (order_id := await shop.order(user)) is not None]


async def _read_while(
    shop: Shop, user: User, order_id: str, paying: "list[asyncio.Task[Any]]"
) -> dict[str, list[float]]:
    """Every kind of read, one after the other, as long as payments wait: how long each took."""
    taken: dict[str, list[float]] = {kind: [] for kind in READS}
    while not all(task.done() for task in paying):
        for kind, path in READS.items():
            started = time.monotonic()
            answer = await shop.ask(kind, "GET", path.format(order_id), user)
            if answer.status is not None:
                taken[kind].append(time.monotonic() - started)
        await asyncio.sleep(0.05)
    return {kind: values for kind, values in taken.items() if values}


def _count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}
