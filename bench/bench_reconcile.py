"""`paidonce reconcile` over many paid orders: time, memory, and whether it finds the few faults.

    .venv/bin/python bench/bench_reconcile.py [--orders 10000 100000] [--sqlite]

Every order is paid by one intent with one charge; ten orders share a user and a customer. Stripe's
side is written straight into the simulator's file, ours straight into the database, so that only
the comparison is measured. The command is a real process with its rate set so high that the machine
is the limit, the simulator another, PostgreSQL the one that the tests use. Nothing is printed for a
size unless exactly the planted faults were found. Memory and CPU are the command's own, sampled
every 50 ms.
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

from support.legacy import Legacy, own_table  # type: ignore[import-not-found]
from support.postgres import start_postgres  # type: ignore[import-not-found]
from support.processes import Process, script  # type: ignore[import-not-found]

NAMESPACE = "0123456789abcdef" * 2
ORDERS_A_USER = 10
AMOUNT = 44_000
SAMPLE_SECONDS = 0.05
FAULTS = {
    "charged_not_paid": 7,
    "wrong_amount": 11,
    "paid_not_charged": 13,
    "refund_not_recorded": 17,
}
"""What is planted, and in which order."""


def make_books(url: str, count: int) -> Legacy:
    migrations.upgrade(url)
    books = Legacy(url)
    numbers = _numbers(books, count)
    user = f"'user' || (n % {count // ORDERS_A_USER})"
    at = "'2026-01-01T00:00:00.000000+00:00'"
    for statement in (
        f"INSERT INTO {_t(url, 'installation')} (id, namespace, mode, created_at)"
        f" VALUES (1, '{NAMESPACE}', 'test', {at})",
        f"INSERT INTO {_t(url, 'users')} (id, stripe_customer_id, customer_key_no, created_at)"
        f" SELECT 'user' || n, 'cus_bench' || n, 0, {at}"
        f" FROM {_numbers(books, count // ORDERS_A_USER)}",
        f"INSERT INTO {_t(url, 'orders')} (id, user_id, order_number, amount_minor, currency,"
        " status, amount_refunded_minor, items, details, metadata, created_at)"
        f" SELECT 'order' || n, {user}, 'ORD-' || n, {AMOUNT}, 'usd', 'paid', 0, '[]', '{{}}',"
        f" '{{}}', {at} FROM {numbers}",
        f"INSERT INTO {_t(url, 'payments')} (id, order_id, user_id, generation, state,"
        " amount_minor, currency, confirmation_method, method_policy, stripe_version,"
        " stripe_customer_id, intent_params, intent_key_no, stripe_payment_intent_id, created_at)"
        f" SELECT 'pay_' || n, 'order' || n, {user}, 1, 'succeeded', {AMOUNT}, 'usd', 'automatic',"
        f" 'attach', '1', 'cus_bench' || (n % {count // ORDERS_A_USER}), '{{}}', 0,"
        f" 'pi_bench' || n, {at} FROM {numbers}",
        f"UPDATE {_t(url, 'payments')} SET state = 'live'"
        f" WHERE order_id = 'order{FAULTS['charged_not_paid']}'",
        f"UPDATE {_t(url, 'orders')} SET status = 'pending'"
        f" WHERE id = 'order{FAULTS['charged_not_paid']}'",
        f"UPDATE {_t(url, 'orders')} SET amount_minor = 1"
        f" WHERE id = 'order{FAULTS['wrong_amount']}'",
        f"UPDATE {_t(url, 'payments')} SET stripe_payment_intent_id = 'pi_unknown'"
        f" WHERE order_id = 'order{FAULTS['paid_not_charged']}'",
        f"UPDATE {_t(url, 'orders')} SET amount_refunded_minor = 5"
        f" WHERE id = 'order{FAULTS['refund_not_recorded']}'",
    ):
        books.run(statement)
    return books


def _t(url: str, name: str) -> str:
    return str(own_table(url, name))


def _numbers(books: Legacy, count: int) -> str:
    if books.is_postgresql:
        return f"generate_series(0, {count - 1}) AS n"
    return (
        f"(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count - 1})"
        " SELECT n FROM s)"
    )


def make_stripe(data: Path, url: str, secret_key: str, count: int) -> None:
    """Copies of one charge that was really made, a second apart, the last an hour ago."""

    def call(path: str, **form: Any) -> dict[str, Any]:
        answer = requests.post(f"{url}{path}", data=form, auth=(secret_key, ""), timeout=20)
        body: dict[str, Any] = answer.json()
        return body

    customer = call("/v1/customers")
    form = {"amount": AMOUNT, "currency": "usd", "customer": customer["id"], "confirm": "true"}
    call("/v1/payment_intents", payment_method="pm_card_visa", **form)
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
            _objects(models, count),
        )


def _objects(models: dict[str, dict[str, Any]], count: int) -> Iterator[tuple[Any, ...]]:
    users, began = count // ORDERS_A_USER, int(time.time()) - 3600 - count
    for n in range(users):
        metadata = {"user_id": f"user{n}", "namespace": NAMESPACE}
        made = {"id": f"cus_bench{n}", "created": began, "metadata": metadata}
        yield made["id"], "customer", began, None, None, json.dumps(models["customer"] | made)
    for n in range(count):
        if n == FAULTS["paid_not_charged"]:
            continue
        customer, at = f"cus_bench{n % users}", began + n
        intent_id, charge_id = f"pi_bench{n}", f"ch_bench{n}"
        metadata = {
            "order_id": f"order{n}",
            "payment_id": f"pay_{n}",
            "user_id": f"user{n % users}",
            "namespace": NAMESPACE,
        }
        shared = {"created": at, "customer": customer, "metadata": metadata}
        intent = models["payment_intent"] | shared | {"id": intent_id, "latest_charge": charge_id}
        charge = models["charge"] | shared | {"id": charge_id, "payment_intent": intent_id}
        yield intent_id, "payment_intent", at, customer, None, json.dumps(intent)
        yield charge_id, "charge", at, customer, intent_id, json.dumps(charge)


def measure(url: str, count: int, folder: Path) -> None:
    data = folder / f"stripe-{count}.db"
    with SimulatorProcess(data=data) as simulator:
        make_stripe(data, simulator.url, simulator.secret_key, count)
        make_books(url, count)
        log = folder / f"log-{count}"
        log.mkdir()
        began, peak, used = time.perf_counter(), 0, 0.0
        process = Process(
            [script("paidonce"), "reconcile", "--rate", "1000", "--format", "json"],
            log_folder=log,
            environment={
                "DATABASE_URL": url,
                "STRIPE_API_BASE": simulator.url,
                "STRIPE_SECRET_KEY": simulator.secret_key,
            },
        )
        while process.is_running():
            with contextlib.suppress(psutil.NoSuchProcess):
                watched = psutil.Process(process.pid)
                peak = max(peak, watched.memory_info().rss)
                used = sum(watched.cpu_times()[:2])
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
        assert process.wait() == 1, process.stderr()
        document = json.loads(process.stdout())
        assert document["counts"]["found"] == dict.fromkeys(FAULTS, 1), document["findings"]
        counts = document["counts"]
        assert counts["intents"] == counts["charges"] == count - 1, counts
        assert counts["payments"] == count, counts
    print(
        f"{count:8,} orders{seconds:8.1f} s, {used:.1f} s of them the command's own CPU"
        f"{peak / 2**20:8.1f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--sqlite", action="store_true", help="SQLite in place of PostgreSQL")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if flags.sqlite:
            for count in flags.orders:
                measure(f"sqlite:///{folder}/shop-{count}.db", count, folder)
            return
        server = start_postgres()
        try:
            for count in flags.orders:
                measure(server.url(server.create_database()), count, folder)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
