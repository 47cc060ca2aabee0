"""How many confirms a second the simulator holds, empty and with 100,000 objects, and localstripe.

    .venv/bin/python bench/bench_stripesim.py [--objects 100000] [--rounds 5] [--json FILE]

Two real `stripesim serve` on files, one emptied before each round, one filled beforehand, take
turns on one core; a figure is the median of its rounds. The client is this process, with several
connections. A confirm is POST /v1/payment_intents/:id/confirm of an intent that was made
beforehand, with an attached card; the CPU of one is the server's own, whatever else runs.
Then the same simulator takes 50,000 more requests, and its memory is looked at before and after.

localstripe (from the package index that pip is configured with, in a venv of its own, on loopback)
is measured in the same run with the same calls, which it takes; it has no idempotency keys, and
it slows down so fast that its full store holds what 60 s of filling put there. --no-localstripe
leaves it out.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from stripesim.testing import SimulatorProcess

CONNECTIONS = 8
OBJECTS_PER_PAYMENT = 6  # intent, charge, balance transaction, three events
LOCALSTRIPE = "1.15.10"
LOCALSTRIPE_FILLING_SECONDS = 60
LOCALSTRIPE_START = (
    "from aiohttp import web; from localstripe.server import app;"
    "web.run_app(app, host='127.0.0.1', port={port}, print=None, access_log=None)"
)
REQUESTS_FOR_MEMORY = 50_000
CARD = {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12"} | {
    "card[exp_year]": "2044",
    "card[cvc]": "123",
}
Json = dict[str, Any]


class Client:
    """Form posts over a few kept connections, to a server whose process is known."""

    def __init__(self, url: str, pid: int, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._process = psutil.Process(pid)
        self._headers = {"Authorization": "Bearer sk_test_bench"}
        self._session = session
        self.form: dict[str, str] = {}
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(pid, {0})

    async def send(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        address = self._url + path
        async with self._session.request(
            method, address, data=form, headers=self._headers
        ) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise SystemExit(f"{method} {path}: {answer.status} {body}")
            return str(body["id"])

    async def post(self, path: str, form: dict[str, str]) -> str:
        return await self.send("POST", path, form)

    async def prepare(self) -> None:
        """A customer with an attached card; `form` makes an intent that it can pay."""
        customer = await self.post("/v1/customers", {"email": "bench@example.com"})
        card = await self.post("/v1/payment_methods", CARD)
        await self.post(f"/v1/payment_methods/{card}/attach", {"customer": customer})
        self.form = {"amount": "440", "currency": "usd", "customer": customer}
        self.form["payment_method"] = card

    async def intents(self, count: int) -> list[str]:
        numbers = iter(range(count))
        made: list[str] = []

        async def make() -> None:
            for _ in numbers:
                made.append(await self.post("/v1/payment_intents", self.form))

        await asyncio.gather(*(make() for _ in range(CONNECTIONS)))
        return made

    async def confirm(self, intents: list[str], seconds: float) -> "Speed":
        """As many of them as can be in that time."""
        waiting = iter(intents)
        done = 0
        cpu = sum(self._process.cpu_times()[:2])
        started_at = time.perf_counter()

        async def work() -> None:
            nonlocal done
            for intent in waiting:
                await self.post(f"/v1/payment_intents/{intent}/confirm", {})
                done += 1
                if time.perf_counter() - started_at > seconds:
                    return

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        took = time.perf_counter() - started_at
        used = sum(self._process.cpu_times()[:2]) - cpu
        return Speed(done / took, used * 1000 / done)

    def memory(self) -> float:
        """MiB that are resident."""
        return float(self._process.memory_info().rss) / 2**20


@dataclass(frozen=True)
class Speed:
    """Confirms a second, and the server's CPU for one in milliseconds."""

    a_second: float
    cpu_ms: float


def median(speeds: list[Speed]) -> Speed:
    return Speed(
        statistics.median(s.a_second for s in speeds), statistics.median(s.cpu_ms for s in speeds)
    )


@contextlib.asynccontextmanager
async def connect(url: str, pid: int) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(url, pid, session)


async def measure(empty: SimulatorProcess, full: SimulatorProcess, flags: Any) -> Json:
    async with connect(full.url, full.pid) as filled, connect(empty.url, empty.pid) as bare:
        await filled.prepare()
        for _ in range(0, flags.objects, OBJECTS_PER_PAYMENT * 1000):
            await filled.confirm(await filled.intents(1000), 3600)
        speeds: dict[str, list[Speed]] = {"empty": [], "full": []}
        for _ in range(flags.rounds):
            empty.reset()
            await bare.prepare()
            count = int(flags.seconds * 1500)
            speeds["empty"].append(await bare.confirm(await bare.intents(count), flags.seconds))
            speeds["full"].append(await filled.confirm(await filled.intents(count), flags.seconds))
        before = filled.memory()
        await _send_many(filled, REQUESTS_FOR_MEMORY)
        after = filled.memory()
    bare_speed, full_speed = median(speeds["empty"]), median(speeds["full"])
    return {
        "objects": flags.objects,
        "empty_confirms_a_second": round(bare_speed.a_second),
        "full_confirms_a_second": round(full_speed.a_second),
        "empty_confirms_a_cpu_second": round(1000 / bare_speed.cpu_ms),
        "full_confirms_a_cpu_second": round(1000 / full_speed.cpu_ms),
        "empty_cpu_ms": round(bare_speed.cpu_ms, 3),
        "full_cpu_ms": round(full_speed.cpu_ms, 3),
        "ratio": round(full_speed.a_second / bare_speed.a_second, 2),
        "ratio_by_cpu": round(bare_speed.cpu_ms / full_speed.cpu_ms, 2),
        "requests_for_memory": REQUESTS_FOR_MEMORY,
        "memory_before_mib": round(before, 1),
        "memory_after_mib": round(after, 1),
    }


async def _send_many(client: Client, count: int) -> None:
    """Customers, intents made, read and paid: as many requests as that."""
    numbers = iter(range(count // 4))

    async def work() -> None:
        for _ in numbers:
            await client.post("/v1/customers", {"email": "bench@example.com"})
            intent = await client.post("/v1/payment_intents", client.form)
            await client.post(f"/v1/payment_intents/{intent}/confirm", {})
            await client.send("GET", f"/v1/payment_intents/{intent}")

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def measure_localstripe(folder: Path, seconds: float) -> Json:
    with localstripe(folder) as (url, pid):
        async with connect(url, pid) as client:
            await _wait(client)
            await client.prepare()
            first = await client.confirm(await client.intents(20), seconds)
            ends_at, filled = time.perf_counter() + LOCALSTRIPE_FILLING_SECONDS, 0
            while time.perf_counter() < ends_at:
                filled += len(await client.intents(20))
            last = await client.confirm(await client.intents(20), seconds)
            return {
                "version": LOCALSTRIPE,
                "empty_confirms_a_second": round(first.a_second, 1),
                "intents_in_the_full_store": filled,
                "full_confirms_a_second": round(last.a_second, 1),
                "ratio": round(last.a_second / first.a_second, 2),
            }


@contextlib.contextmanager
def localstripe(folder: Path) -> Iterator[tuple[str, int]]:
    """Its address and process id. It keeps its store in a file of a fixed name."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", f"localstripe=={LOCALSTRIPE}"]
    subprocess.run(command, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [str(python), "-c", LOCALSTRIPE_START.format(port=port)]
    server = subprocess.Popen(start, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.kill()
        server.wait()
        Path(tempfile.gettempdir(), "localstripe.pickle").unlink(missing_ok=True)


async def _wait(client: Client) -> None:
    for _ in range(100):
        try:
            await client.post("/v1/customers", {"email": "bench@example.com"})
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.1)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one round")
    parser.add_argument("--no-localstripe", action="store_true")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with (
            SimulatorProcess(data=folder / "empty.db") as empty,
            SimulatorProcess(data=folder / "full.db") as full,
        ):
            found = {"stripesim": asyncio.run(measure(empty, full, flags))}
        if not flags.no_localstripe:
            try:
                found["localstripe"] = asyncio.run(measure_localstripe(folder, flags.seconds))
            except subprocess.CalledProcessError:
                sys.stdout.write(f"localstripe: NOT MEASURED: pip cannot fetch {LOCALSTRIPE}\n")
    for whom, figures in found.items():
        for name, value in figures.items():
            sys.stdout.write(f"{whom:12} {name.replace('_', ' '):28} {value:>10}\n")
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
