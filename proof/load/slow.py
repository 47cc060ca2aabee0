"""2,000 slow sockets against one server, and people who pay at it meanwhile.

In turns, in the same run: calm, slow, calm, slow. The slow ones are a process of their own, come
from the payers' address, and come again whenever they are closed. Their arrival is a flood, not
slow: payments are measured once the server has taken them in. Payers open a connection for each
request, which is the harder case: they have to get in. Nobody may be turned away, the median
of a payment may not double, and no fewer than half as many may be made.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests

from proof.load.cluster import Cluster
from proof.load.shop import ANSWER_SECONDS, Shop, User, open_shop, quantile
from proof.load.verdict import settle_and_judge
from support.processes import Process  # type: ignore[import-not-found]

SLOW_SOCKETS = Path(__file__).with_name("slow_sockets.py")
PAYERS = 4
PAUSE_SECONDS = 0.1
ROUNDS = 3
QUICK_SECONDS = 0.1
TWICE = 2.0


async def run(cluster: Cluster, *, sockets: int, seconds: float) -> dict[str, Any]:
    server = cluster.servers[0]
    port = int(server.url.rpartition(":")[2])
    async with open_shop([server.url], cluster.simulator, keep_connections=False) as shop:
        users = [await shop.user(f"payer-{n}") for n in range(PAYERS)]
        await _pay(shop, users, 2.0)
        calm: list[float] = []
        slow: list[float] = []
        answers: Counter[Any] = Counter()
        come: list[int] = []
        arrived: list[float] = []
        for _ in range(ROUNDS):
            calm += await _pay(shop, users, seconds)
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, str(SLOW_SOCKETS), str(port), str(sockets)]
                process = Process(command, log_folder=Path(folder), environment={})
                try:
                    began = time.monotonic()
                    await asyncio.to_thread(process.wait_for_line, r"^\d+$")
                    await asyncio.to_thread(_until_it_answers, server.url)
                    arrived.append(round(time.monotonic() - began, 1))
                    shop.answers.clear()
                    slow += await _pay(shop, users, seconds)
                    answers += shop.answers
                    come.append(int(process.stdout().split()[-1]))
                finally:
                    process.clean_up()
            await asyncio.sleep(1)
        failures = dict(shop.failures)
        findings, counts = await settle_and_judge(cluster, shop)
    before, during = statistics.median(calm), statistics.median(slow or [ANSWER_SECONDS])
    violations = [f"{n} payers saw {what}" for what, n in failures.items()]
    words = {f"{kind}: {words}": n for (kind, words), n in sorted(answers.items())}
    violations += [f"{n} answers to {what}" for what, n in words.items() if "200" not in what]
    if during > TWICE * before:
        violations.append(f"a payment took {during / before:.1f} times as long")
    if TWICE * len(slow) < len(calm):
        violations.append(f"{len(slow)} payments in the time of {len(calm)}")
    return {
        "slow sockets": sockets,
        "seconds of their arrival": arrived,
        "open at the end of each round": come,
        "payments, calm and slow": [len(calm), len(slow)],
        "median of a payment, slow over calm": round(during / before, 2),
        "p99 of a payment, slow over calm": round(_p99(slow) / _p99(calm), 2),
        "answers while slow": words,
        "payers without an answer": sum(failures.values()),
        **counts,
        "violations": violations + [str(finding) for finding in findings],
    }


def _until_it_answers(url: str) -> None:
    """As quickly as when nobody else is there, but for the noise of the machine."""
    for _ in range(60):
        began = time.monotonic()
        with contextlib.suppress(requests.RequestException):
            requests.get(f"{url}/healthz", timeout=10)
            if time.monotonic() - began < QUICK_SECONDS:
                return
    raise RuntimeError("the server did not take the slow sockets in")


def _p99(taken: list[float]) -> float:
    return quantile(taken, 0.99)


async def _pay(shop: Shop, users: list[User], seconds: float) -> list[float]:
    """Order and pay, with pauses, so that the machine is not busy with that; seconds of each."""
    ends_at = time.monotonic() + seconds
    taken: list[float] = []

    async def go_on(user: User) -> None:
        while time.monotonic() < ends_at:
            order_id = await shop.order(user)
            if order_id is not None:
                began = time.monotonic()
                await shop.pay(order_id, user.card)
                taken.append(time.monotonic() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    await asyncio.gather(*(go_on(user) for user in users))
    return taken
