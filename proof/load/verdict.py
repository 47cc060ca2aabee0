"""After the load: calm, a last question for every order, and the auditor."""

import asyncio
import time
from collections import Counter
from typing import Any

from proof.auditor import Finding, judge, read_books, read_stripe
from proof.load.cluster import Cluster
from proof.load.shop import Shop

CALM_SECONDS = 120.0
AT_ONCE = 16


async def settle_and_judge(cluster: Cluster, shop: Shop) -> tuple[list[Finding], dict[str, Any]]:
    """Wait until recovery has brought everything to its end (bounded), look at every order once
    more, and judge. Also: what Stripe's ledger and our books count."""
    cluster.simulator.clear_faults()
    ends_at = time.monotonic() + CALM_SECONDS
    while time.monotonic() < ends_at and _is_anything_open(cluster):
        await asyncio.sleep(1)
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(order_id: str) -> None:
        async with gate:
            await shop.look(order_id)

    await asyncio.gather(*(look(order_id) for order_id in shop.orders))
    return await asyncio.to_thread(_judge, cluster, shop)


def _judge(cluster: Cluster, shop: Shop) -> tuple[list[Finding], dict[str, Any]]:
    stripe, books = read_stripe(cluster.get_stripe), read_books(cluster.database_url)
    findings = judge(stripe, books, shop.expected(), shop.asked, is_settled=True)
    charged = Counter(group["succeeded_charges"] for group in stripe.ledger.values())
    counts = {
        "orders": len(shop.orders),
        "paid orders": sum(row["status"] == "paid" for row in books.tables["orders"]),
        "charges": sum(group["succeeded_charges"] for group in stripe.ledger.values()),
        "orders charged twice": sum(n for times, n in charged.items() if times > 1),
        "findings of the auditor": len(findings),
    }
    return findings, counts


def _is_anything_open(cluster: Cluster) -> bool:
    attempts = read_books(cluster.database_url).tables["payment_attempts"]
    return any(row["state"] in ("open", "action") for row in attempts)
