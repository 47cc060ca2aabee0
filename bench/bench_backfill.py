"""`paidonce customers backfill` on a host's users table: memory, speed, and killed in between.

    .venv/bin/python bench/bench_backfill.py [--users 10000 100000] [--sqlite]

The backfill is a real process with its rate set so high that the machine is the limit, the
simulator another, PostgreSQL the one that the tests use. One user in twenty has a customer of the
old server at Stripe already. Each size is run once, killed with SIGKILL when 40 % of the users have
a customer, and run again. Nothing is printed for a size unless every user then has one customer and
Stripe has none besides. Memory is the largest resident size seen, sampled every 50 ms.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from paidonce.store import migrations
from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.legacy import Legacy  # type: ignore[import-not-found]
from support.postgres import start_postgres  # type: ignore[import-not-found]
from support.processes import Process, script  # type: ignore[import-not-found]

OLD_CUSTOMERS = 20  # one user in so many
SAMPLE_SECONDS = 0.05
KILL_AT = 0.4


@dataclass
class Run:
    seconds: float
    made: int
    peak_mib: float


def make_users(url: str, count: int) -> Legacy:
    legacy = Legacy(url)
    legacy.run("CREATE TABLE users (id BIGINT PRIMARY KEY, email VARCHAR(320), nick TEXT)")
    if legacy.is_postgresql:
        numbers = f"generate_series(1, {count}) AS n"
    else:
        numbers = (
            f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"
            " SELECT n FROM s)"
        )
    legacy.run(f"INSERT INTO users SELECT n, 'user' || n || '@shop.example', 'nick' FROM {numbers}")
    migrations.upgrade(url)
    return legacy


async def make_old_customers(simulator: SimulatorProcess, count: int) -> None:
    headers = {"Authorization": f"Bearer {simulator.secret_key}"}
    waiting = iter(range(1, count + 1, OLD_CUSTOMERS))
    async with aiohttp.ClientSession(headers=headers) as session:

        async def make() -> None:
            for user in waiting:
                form = {"email": f"user{user}@shop.example", "metadata[userId]": str(user)}
                async with session.post(f"{simulator.url}/v1/customers", data=form) as answer:
                    assert answer.status == 200, await answer.text()

        await asyncio.gather(*(make() for _ in range(8)))


def recorded(legacy: Legacy) -> int:
    return int(legacy.rows("SELECT count(stripe_customer_id) FROM users")[0][0])


def watch(process: Process, legacy: Legacy, until: Callable[[int], bool] | None) -> Run:
    """Until it ends by itself, or is killed since `until` holds."""
    began, before, peak = time.perf_counter(), recorded(legacy), 0
    next_count_at = 0.0
    while process.is_running():
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        now = time.perf_counter()
        if until is not None and now >= next_count_at:
            next_count_at = now + 0.5
            if until(recorded(legacy)):
                process.kill9()
        time.sleep(SAMPLE_SECONDS)
    made = recorded(legacy) - before
    return Run(time.perf_counter() - began, made, peak / 2**20)


def check(legacy: Legacy, simulator: SimulatorProcess, count: int) -> None:
    rows = legacy.rows("SELECT count(DISTINCT stripe_customer_id), count(*) FROM users")
    assert tuple(rows[0]) == (count, count), rows
    at_stripe = simulator.audit()["totals"]["customers"]
    assert at_stripe == count, f"{at_stripe} customers at Stripe for {count} users"


def measure(url: str, count: int, folder: Path) -> None:
    with SimulatorProcess(data=folder / f"stripe-{count}.db") as simulator:
        legacy = make_users(url, count)
        asyncio.run(make_old_customers(simulator, count))
        environment = {
            "DATABASE_URL": url,
            "STRIPE_API_BASE": simulator.url,
            "STRIPE_SECRET_KEY": simulator.secret_key,
        }
        log = folder / f"log-{count}"
        log.mkdir()
        process = Process(
            [script("paidonce"), "customers", "backfill", "--rate", "1000"],
            log_folder=log,
            environment=environment,
        )
        killed = watch(process, legacy, lambda done: done >= count * KILL_AT)
        process.start()
        rest = watch(process, legacy, None)
        assert process.wait() == 0, process.stderr()
        check(legacy, simulator, count)
    for name, run in (("killed", killed), ("resumed", rest)):
        rate = run.made / run.seconds
        print(
            f"{count:8,} users  {name:8}{run.made:8,} customers"
            f"{rate:8.0f}/s{run.peak_mib:8.1f} MiB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--sqlite", action="store_true", help="SQLite in place of PostgreSQL")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if flags.sqlite:
            for count in flags.users:
                measure(f"sqlite:///{folder}/shop-{count}.db", count, folder)
            return
        server = start_postgres()
        try:
            for count in flags.users:
                measure(server.url(server.create_database()), count, folder)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
