"""An upgrade side by side: the program of an older revision takes payments while the new one brings
the schema up and takes its place, process by process.

"Nothing is noticed" means what it means for restarts, and two things more: no answer was a 5xx
that it is not before the upgrade, and an old server that is killed on the new schema starts again
(where its program knows how to ask who can read it).
"""

import asyncio
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from proof.load.cluster import ONE_ADDRESS, Cluster, Server, prepare_prices
from proof.load.restarts import (
    SHOPPERS,
    Restarts,
    describe,
    disturb,
    shop_until_stopped,
    stop_process,
)
from proof.load.shop import Shop, open_shop
from proof.load.verdict import settle_and_judge
from stripesim.testing import SimulatorProcess
from support.environment import environment  # type: ignore[import-not-found]
from support.processes import Process, free_port  # type: ignore[import-not-found]

ROOT = Path(__file__).parents[2]
READERS = "src/paidonce/store/migrations/revisions.py"
"""A program that has this file can ask a newer schema whether it may work with it."""
SERVERS = 3
CALM_SECONDS = 3.0


class Program:
    """The source of one revision; it runs with the packages of this one."""

    def __init__(self, source: Path, *, knows_readers: bool) -> None:
        self.source = source
        self.knows_readers = knows_readers

    def process(self, settings: dict[str, str], home: Path, *arguments: str) -> Any:
        home.mkdir()
        return Process(
            [sys.executable, "-m", "paidonce", *arguments],
            log_folder=home,
            environment={**settings, "PYTHONPATH": str(self.source)},
        )

    def run(self, settings: dict[str, str], *arguments: str) -> str:
        """A command to its end; its stdout."""
        ended = subprocess.run(
            [sys.executable, "-m", "paidonce", *arguments],
            env={"PATH": os.environ["PATH"], **settings, "PYTHONPATH": str(self.source)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        return ended.stdout.strip()


def program_of(revision: str, folder: Path) -> Program:
    """Of a revision of this repository."""
    packed = subprocess.run(
        ["git", "archive", revision, "src"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return Program(folder / "src", knows_readers=(folder / READERS).exists())


def newest_before_the_last_migration() -> str:
    """The revision whose schema is one step older than ours."""
    folder = "src/paidonce/store/migrations/versions"
    log = ["git", "log", "-1", "--diff-filter=A", "--format=%H^", "--", folder]
    return subprocess.run(log, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def running_old(url: str, old: Program, folder: Path) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """The old program on a database that it has made, ready to be paid at."""
    with ExitStack() as stack:
        simulator = stack.enter_context(SimulatorProcess())
        settings = environment(url, simulator.url, **ONE_ADDRESS)
        if url.startswith("postgresql"):
            old.run(settings, "db", "upgrade")
        cluster = Cluster(url, simulator, [], [])
        for n in range(SERVERS):
            port = free_port()
            process = old.process(settings, folder / f"old-{n}", "serve", "--port", str(port))
            cluster.servers.append(Server(process, f"http://127.0.0.1:{port}"))
        cluster.workers.append(old.process(settings, folder / "old-worker", "worker"))
        stack.callback(lambda: [each.clean_up() for each in _processes(cluster)])
        for server in cluster.servers:
            server.wait_until_ready()
        prepare_prices(cluster)
        yield cluster, settings


async def run(
    cluster: Cluster, settings: dict[str, str], old: Program, new: Program, folder: Path
) -> dict[str, Any]:
    urls = [server.url for server in cluster.servers]
    async with open_shop(urls, cluster.simulator) as shop:
        disturb(cluster)
        stop = asyncio.Event()
        names = [f"shopper-{n}" for n in range(SHOPPERS)]
        shoppers = [asyncio.create_task(shop_until_stopped(shop, name, stop)) for name in names]
        done, started = Restarts(), time.monotonic()
        try:
            steps = await _upgrade(cluster, settings, old, new, folder, done, shop)
        finally:
            stop.set()
        unpaid = sum(await asyncio.gather(*shoppers))
        seconds = time.monotonic() - started
        findings, counts = await settle_and_judge(cluster, shop)
        told = describe(shop, done, unpaid, counts, seconds)
        return {**steps, **told, "violations": told["violations"] + [str(f) for f in findings]}


async def _upgrade(
    cluster: Cluster,
    settings: dict[str, str],
    old: Program,
    new: Program,
    folder: Path,
    done: Restarts,
    shop: Shop,
) -> dict[str, Any]:
    await asyncio.sleep(CALM_SECONDS)
    from_version = await asyncio.to_thread(old.run, settings, "db", "current")
    before = _slowest_payment(shop)
    started = time.monotonic()
    await asyncio.to_thread(new.run, settings, "db", "upgrade")
    seconds = time.monotonic() - started
    during = _slowest_payment(shop)
    await asyncio.sleep(CALM_SECONDS)
    cut = await _kill_an_old_one(cluster.servers[-1], shop) if old.knows_readers else None
    for n, server in enumerate(cluster.servers):
        await stop_process(server.process, done)
        port = server.url.rpartition(":")[2]
        server.process = new.process(settings, folder / f"new-{n}", "serve", "--port", port)
        await asyncio.to_thread(server.wait_until_ready)
        await asyncio.sleep(CALM_SECONDS)
    await stop_process(cluster.workers[0], done)
    cluster.workers[0] = new.process(settings, folder / "new-worker", "worker")
    await asyncio.sleep(CALM_SECONDS)
    return {
        "schema before": from_version,
        "schema after": await asyncio.to_thread(new.run, settings, "db", "current"),
        "seconds of db upgrade": round(seconds, 2),
        "slowest payment before (s)": before,
        "slowest payment while it ran (s)": during,
        "an old server killed on the new schema": "not tried" if cut is None else "started",
        "connections cut by killing it": cut or 0,
    }


async def _kill_an_old_one(server: Server, shop: Shop) -> int:
    """It starts again on the new schema; how many clients the kill cut off, which is no fault of
    the upgrade's: they ask again, and are paid once."""
    before = shop.failures.copy()
    await asyncio.to_thread(server.process.restart)
    await asyncio.to_thread(server.wait_until_ready)
    cut = shop.failures - before
    shop.failures -= cut
    return cut.total()


def _slowest_payment(shop: Shop) -> float:
    """Since the last time."""
    seconds = shop.seconds.get("pay 200", [])
    slowest = max(seconds, default=0.0)
    seconds.clear()
    return round(slowest, 2)


def _processes(cluster: Cluster) -> list[Any]:
    return [*(server.process for server in cluster.servers), *cluster.workers]
