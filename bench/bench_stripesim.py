"""How many confirms a second the simulator holds, empty and with 100,000 objects.

    .venv/bin/python bench/bench_stripesim.py [--objects 100000] [--seconds 5] [--memory]

The server is a real `stripesim serve` on a file (in memory with --memory), pinned to one core where
the system allows it; the client is this process, with several connections. A confirm here is
POST /v1/payment_intents/:id/confirm of an intent that was made beforehand, with an attached card.
"""

import argparse
import asyncio
import itertools
import os
import tempfile
import time
from pathlib import Path

import aiohttp

from stripesim.testing import SimulatorProcess

CONNECTIONS = 8
OBJECTS_PER_PAYMENT = 6  # intent, charge, balance transaction, three events


class Client:
    """Form posts over a few kept connections."""

    def __init__(self, url: str, key: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session = session

    async def post(self, path: str, form: dict[str, str]) -> str:
        address = self._url + path
        async with self._session.post(address, data=form, headers=self._headers) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise SystemExit(f"POST {path}: {answer.status} {body}")
            return str(body["id"])

    async def intents(self, count: int, form: dict[str, str]) -> list[str]:
        numbers = iter(range(count))
        made: list[str] = []

        async def make() -> None:
            for _ in numbers:
                made.append(await self.post("/v1/payment_intents", form))

        await asyncio.gather(*(make() for _ in range(CONNECTIONS)))
        return made

    async def confirms_a_second(self, intents: list[str], seconds: float) -> float:
        waiting = iter(intents)
        done = itertools.count()
        ends_at = time.perf_counter() + seconds

        async def confirm() -> None:
            for intent in waiting:
                await self.post(f"/v1/payment_intents/{intent}/confirm", {})
                next(done)
                if time.perf_counter() > ends_at:
                    return

        started_at = time.perf_counter()
        await asyncio.gather(*(confirm() for _ in range(CONNECTIONS)))
        return next(done) / (time.perf_counter() - started_at)


async def measure(simulator: SimulatorProcess, objects: int, seconds: float) -> None:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(simulator.url, simulator.secret_key, session)
        customer = await client.post("/v1/customers", {"email": "bench@example.com"})
        card = simulator.create_card()
        await client.post(f"/v1/payment_methods/{card}/attach", {"customer": customer})
        form = {"amount": "440", "currency": "usd", "customer": customer, "payment_method": card}
        prepared = int(seconds * 2000)
        empty = await client.confirms_a_second(await client.intents(prepared, form), seconds)
        print(f"empty store:         {empty:7.0f} confirms/s", flush=True)
        await client.intents(objects // OBJECTS_PER_PAYMENT, form | {"confirm": "true"})
        full = await client.confirms_a_second(await client.intents(prepared, form), seconds)
        print(f"{objects:7,} objects:     {full:7.0f} confirms/s", flush=True)
        print(f"ratio full / empty:  {full / empty:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--memory", action="store_true", help="no file")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = None if flags.memory else Path(folder) / "bench.db"
        with SimulatorProcess(data=data) as simulator:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(simulator.pid, {0})
            asyncio.run(measure(simulator, flags.objects, flags.seconds))


if __name__ == "__main__":
    main()
