"""`paidonce shadow` and `paidonce customers duplicates` on a large account: time and memory.

    .venv/bin/python bench/bench_moving_in.py [--size 10000 100000]

The account has `size` customers, and as many orders that were paid by one intent and one charge
each. One customer in a hundred is the second one of a user, one order in a hundred was charged
twice. Stripe's side is written straight into the simulator's file. The commands are real processes
with their rate set so high that the machine is the limit, on SQLite, the simulator another. Nothing
is printed for a size unless exactly what was planted was found. Memory is the command's largest
resident size, sampled every 50 ms.
"""

import argparse
import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import requests

from paidonce.store import migrations
from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.processes import Process, script  # type: ignore[import-not-found]

ONE_IN = 100
AMOUNT = 44_000
SAMPLE_SECONDS = 0.05


def make_models(url: str, secret_key: str) -> None:
    """A customer, a payment and a method, as they are really made."""
    for path, form in (
        ("/v1/customers", {"email": "user@shop.example"}),
        (
            "/v1/payment_intents",
            {
                "amount": AMOUNT,
                "currency": "usd",
                "confirm": "true",
                "payment_method": "pm_card_visa",
            },
        ),
    ):
        answer = requests.post(f"{url}{path}", data=form, auth=(secret_key, ""), timeout=20)
        assert answer.status_code == 200, answer.text


def fill(data: Path, size: int) -> None:
    """Copies of what was really made, the last an hour ago."""
    with closing(sqlite3.connect(data, timeout=60)) as connection, connection:
        models = {
            kind: json.loads(body)
            for kind, body in connection.execute(
                "SELECT kind, body FROM objects"
                " WHERE kind IN ('customer', 'payment_intent', 'charge')"
            )
        }
        connection.execute("DELETE FROM objects")
        connection.executemany(
            "INSERT INTO objects (id, kind, created, customer, payment_intent, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            objects(models, size),
        )


def objects(models: dict[str, dict[str, Any]], size: int) -> Iterator[tuple[Any, ...]]:
    began = int(time.time()) - 3600 - size
    for n in range(size):
        user = n - 1 if n % ONE_IN == 1 else n
        made = {
            "id": f"cus_bench{n}",
            "created": began + n,
            "email": f"user{user}@shop.example",
            "metadata": {"userId": f"user{user}"},
        }
        yield made["id"], "customer", began + n, None, None, json.dumps(models["customer"] | made)
    for n in range(size):
        order = n - 1 if n % ONE_IN == 1 else n
        customer, intent_id, charge_id = f"cus_bench{n}", f"pi_bench{n}", f"ch_bench{n}"
        shared = {"created": began + n, "customer": customer, "metadata": {"order_id": f"o{order}"}}
        intent = models["payment_intent"] | shared | {"id": intent_id, "latest_charge": charge_id}
        charge = models["charge"] | shared | {"id": charge_id, "payment_intent": intent_id}
        yield intent_id, "payment_intent", began + n, customer, None, json.dumps(intent)
        yield charge_id, "charge", began + n, customer, intent_id, json.dumps(charge)


def run(words: list[str], environment: dict[str, str], folder: Path) -> tuple[dict[str, Any], str]:
    """What a command found, and its figures as a line."""
    folder.mkdir()
    process = Process(
        [script("paidonce"), *words, "--format", "json", "--rate", "1000"],
        log_folder=folder,
        environment=environment,
    )
    began, peak = time.perf_counter(), 0
    while process.is_running():
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - began
    assert process.wait() == 1, process.stderr()
    return json.loads(process.stdout()), f"{seconds:8.1f} s{peak / 2**20:8.1f} MiB"


def measure(size: int, folder: Path) -> None:
    data, planted = folder / f"stripe-{size}.db", size // ONE_IN
    with SimulatorProcess(data=data) as simulator:
        make_models(simulator.url, simulator.secret_key)
        fill(data, size)
        url = f"sqlite:///{folder}/shop-{size}.db"
        migrations.upgrade(url)
        stripe = {"STRIPE_API_BASE": simulator.url}
        reading = {**stripe, "STRIPE_SECRET_KEY": "rk_test_bench"}
        seen, figures = run(["shadow", "--since", "30d"], reading, folder / f"shadow-{size}")
        assert seen["counts"]["found"] == {
            "double_charge": planted, "duplicate_customer": planted
        }, seen["counts"]  # fmt: skip
        assert seen["counts"]["money"] == {"double_charge": {"usd": planted * AMOUNT}}
        print(f"{size:8,} shadow    {figures}", flush=True)
        books = {**stripe, "DATABASE_URL": url, "STRIPE_SECRET_KEY": simulator.secret_key}
        seen, figures = run(["customers", "duplicates"], books, folder / f"duplicates-{size}")
        assert seen["counts"]["same_user"] == seen["counts"]["groups"] == planted, seen["counts"]
        print(f"{size:8,} duplicates{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[10_000, 100_000])
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for size in flags.size:
            measure(size, Path(name))


if __name__ == "__main__":
    main()
