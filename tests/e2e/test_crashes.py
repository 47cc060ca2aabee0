"""Real processes, killed without warning at the worst moments, and started again."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from e2e.serving import DRAINED, Serving, assert_one_sentence, charges, start_serving, wait_until
from stripesim.testing import SimulatorProcess
from support.envelope import assert_error, assert_success
from support.environment import WEBHOOK_SECRET, environment
from support.legacy import own_table
from support.processes import StartProcess, free_port, http_status, script

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """The simulator as a process of its own, with its store in a file."""
    with SimulatorProcess(data=tmp_path / "stripe.db") as running:
        yield running


@pytest.fixture
def payer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def run_sql(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """One statement on the service's database, from outside."""
    if database_url.startswith("sqlite"):
        path = database_url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            return connection.execute(sql).fetchall()

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(run())


def end_leases(database_url: str) -> None:
    """What 30 s would do: nobody holds the attempts of a dead process any more."""
    run_sql(
        database_url,
        f"UPDATE {own_table(database_url, 'payment_attempts')}"
        " SET lease_until = created_at, next_check_at = created_at"
        " WHERE state IN ('open', 'action')",
    )


def slow(simulator: SimulatorProcess, match: dict[str, Any], seconds: float) -> None:
    simulator.add_fault(match={**match, "times": 1}, kind="latency", seconds=seconds)


def wait_until_struck(simulator: SimulatorProcess) -> None:
    """The slow call is at Stripe now."""

    def has_struck() -> bool:
        faults = simulator._control("GET", "/_sim/faults")["faults"]
        return bool(faults[0]["struck"])

    wait_until(has_struck, "slow call")


def begin_paying(
    serving: Serving, payer: ThreadPoolExecutor, order_id: str, card: str
) -> "Future[Any]":
    return payer.submit(serving.pay_or_lose, order_id, card)


# --- the service dies ----------------------------------------------------------------------------


def test_a_service_killed_while_the_confirm_is_at_stripe_charges_once(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    serving = start_serving(start_process, environment(database_url, simulator.url))
    order_id, card = serving.order(), simulator.create_card()
    slow(simulator, CONFIRM, 2)
    answer = begin_paying(serving, payer, order_id, card)
    wait_until_struck(simulator)
    serving.process.kill9()
    assert answer.result() is None
    serving.process.start()
    serving.wait_until_ready()
    end_leases(database_url)
    wait_until(lambda: serving.pay(order_id, card).status_code != 409, "known outcome")
    data = [assert_success(serving.pay(order_id, card)) for _ in range(2)]
    assert data[0] == data[1]
    assert charges(simulator, order_id) == 1


def test_a_service_killed_while_the_confirm_is_at_stripe_hears_of_it_by_webhook(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    """No client asks again, and the dead process's lease is still alive."""
    serving = start_serving(start_process, environment(database_url, simulator.url))
    simulator.set_webhook_target(f"{serving.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    order_id, card = serving.order(), simulator.create_card()
    slow(simulator, CONFIRM, 1)
    answer = begin_paying(serving, payer, order_id, card)
    wait_until_struck(simulator)
    serving.process.kill9()
    assert answer.result() is None
    serving.process.start()
    serving.wait_until_ready()
    wait_until(lambda: serving.is_paid(order_id), "paid order")
    assert_success(serving.pay(order_id, card))
    assert charges(simulator, order_id) == 1


def test_a_service_killed_before_it_sent_a_confirm_never_charges_by_itself(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    serving = start_serving(start_process, environment(database_url, simulator.url))
    order_id, card = serving.order(), simulator.create_card()
    slow(simulator, ATTACH, 1)
    answer = begin_paying(serving, payer, order_id, card)
    wait_until_struck(simulator)
    serving.process.kill9()
    assert answer.result() is None
    serving.process.start()
    serving.wait_until_ready()
    end_leases(database_url)
    attempts = own_table(database_url, "payment_attempts")
    live = f"SELECT state FROM {attempts} WHERE state IN ('open', 'action')"
    wait_until(lambda: run_sql(database_url, live) == [], "closed attempt")
    assert run_sql(database_url, f"SELECT state, sends FROM {attempts}") == [("refused", 0)]
    assert charges(simulator, order_id) == 0
    assert_success(serving.pay(order_id, card))
    assert charges(simulator, order_id) == 1


def test_sigterm_lets_a_payment_in_flight_finish(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    serving = start_serving(start_process, environment(database_url, simulator.url))
    order_id, card = serving.order(), simulator.create_card()
    slow(simulator, CONFIRM, 1)
    answer = begin_paying(serving, payer, order_id, card)
    wait_until_struck(simulator)
    assert serving.process.terminate() in DRAINED
    assert_success(answer.result())
    assert http_status(f"{serving.url}/healthz") is None
    assert "Traceback" not in serving.process.stderr()
    assert charges(simulator, order_id) == 1


# --- Stripe dies ---------------------------------------------------------------------------------


def test_what_the_simulator_answered_is_there_after_kill_9(
    sqlite_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    serving = start_serving(start_process, environment(sqlite_url, simulator.url))
    order_id, card = serving.order(), simulator.create_card()
    data = assert_success(serving.pay(order_id, card))
    next_order = serving.order()
    simulator.kill()
    assert assert_success(serving.pay(order_id, card)) == data
    assert_error(serving.pay(next_order, card), 503, "stripe_unavailable", "retry")
    simulator.start()
    assert charges(simulator, order_id) == 1
    assert charges(simulator, next_order) == 0
    assert_success(serving.pay(next_order, card))
    assert charges(simulator, next_order) == 1


def test_a_simulator_killed_during_the_confirm_leaves_an_unknown_that_ends_in_one_charge(
    sqlite_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    serving = start_serving(start_process, environment(sqlite_url, simulator.url))
    order_id, card = serving.order(), simulator.create_card()
    slow(simulator, CONFIRM, 5)
    answer = begin_paying(serving, payer, order_id, card)
    wait_until_struck(simulator)
    simulator.kill()
    assert_error(answer.result(), 409, "payment_processing", "wait")
    assert_error(serving.pay(order_id, card), 409, "payment_processing", "wait")
    simulator.start()
    assert charges(simulator, order_id) == 0

    def is_paid() -> bool:
        repeat = serving.pay(order_id, card)
        if repeat.status_code != 200:  # until the circuit has closed
            assert repeat.json()["nextStep"] == "wait", repeat.text
        return repeat.status_code == 200

    wait_until(is_paid, "paid order")
    assert charges(simulator, order_id) == 1


# --- starting ------------------------------------------------------------------------------------


def test_several_services_come_up_at_once_on_one_fresh_file(
    empty_sqlite_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    settings = environment(empty_sqlite_url, simulator.url)
    ports = [free_port() for _ in range(4)]
    processes = [
        start_process(script("paidonce"), "serve", "--port", str(port), environment=settings)
        for port in ports
    ]
    for process, port in zip(processes, ports, strict=True):
        process.wait_for_http(f"http://127.0.0.1:{port}/readyz")
    assert run_sql(empty_sqlite_url, "SELECT count(*) FROM paidonce_installation") == [(1,)]
    first, *others = [
        Serving(process, f"http://127.0.0.1:{port}")
        for process, port in zip(processes, ports, strict=True)
    ]
    tea = {"productId": "tea", "name": "Tea", "amountMinor": 22_000, "currency": "usd"}
    first.merchant("PUT", "/api/products", {"products": [tea]})
    order_id, card = first.order(), simulator.create_card()
    for serving in (first, *others):
        assert_success(serving.pay(order_id, card))
    assert charges(simulator, order_id) == 1


HOST_TABLES = """
CREATE TABLE public.orders (id integer PRIMARY KEY, note text);
CREATE TABLE public.payments (id integer PRIMARY KEY, note text);
CREATE TABLE public.users (id integer PRIMARY KEY, note text);
INSERT INTO public.orders VALUES (1, 'of the host');
INSERT INTO public.payments VALUES (1, 'of the host');
INSERT INTO public.users VALUES (1, 'of the host');
"""


def test_an_unmigrated_postgresql_is_refused_and_a_hosts_tables_stay_as_they_are(
    empty_postgres_url: str, simulator: SimulatorProcess, start_process: StartProcess
) -> None:
    async def prepare_host() -> None:
        connection = await asyncpg.connect(empty_postgres_url)
        await connection.execute(HOST_TABLES)
        await connection.close()

    asyncio.run(prepare_host())
    settings = environment(empty_postgres_url, simulator.url, USERS_TABLE="paidonce.users")
    refused = start_process(
        script("paidonce"), "serve", "--port", str(free_port()), environment=settings
    )
    assert refused.wait() == 2
    assert_one_sentence(refused.stderr(), "DATABASE_URL", "`paidonce db upgrade`")
    upgrade = start_process(script("paidonce"), "db", "upgrade", environment=settings)
    assert upgrade.wait() == 0, upgrade.stderr()
    again = start_process(script("paidonce"), "db", "upgrade", environment=settings)
    assert again.wait() == 0, again.stderr()

    serving = start_serving(start_process, settings)
    order_id, card = serving.order(), simulator.create_card()
    assert_success(serving.pay(order_id, card))
    assert charges(simulator, order_id) == 1

    tables = run_sql(
        empty_postgres_url,
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    public = sorted(name for schema, name in tables if schema == "public")
    ours = {name for schema, name in tables if schema == "paidonce"}
    assert {schema for schema, _ in tables} == {"public", "paidonce"}
    assert public == ["orders", "payments", "users"]
    assert {"orders", "payments", "users", "payment_attempts"} <= ours
    for name in public:
        rows = run_sql(empty_postgres_url, f"SELECT id, note FROM public.{name}")
        assert rows == [(1, "of the host")]
    assert run_sql(empty_postgres_url, "SELECT count(*) FROM paidonce.orders") == [(1,)]


def test_an_intent_whose_maker_was_killed_is_taken_up_by_the_worker(
    database_url: str,
    simulator: SimulatorProcess,
    start_process: StartProcess,
    payer: ThreadPoolExecutor,
) -> None:
    """The create is executed and its process is dead: adopted without anyone's help, then paid."""
    slow(simulator, {"method": "POST", "path": "/v1/payment_intents"}, 1)
    serving = start_serving(start_process, environment(database_url, simulator.url))
    order_id = serving.order()
    wait_until_struck(simulator)
    serving.process.kill9()

    def intents() -> int:
        return int(simulator.audit()["totals"]["payment_intents"])

    wait_until(lambda: intents() == 1, "intent")  # else the sweep might come before the create
    serving.process.start()
    serving.wait_until_ready()
    table = own_table(database_url, "payments")
    run_sql(database_url, f"UPDATE {table} SET next_sweep_at = created_at")  # what a minute does

    def recorded() -> list[tuple[Any, ...]]:
        return run_sql(
            database_url,
            f"SELECT stripe_payment_intent_id FROM {table}"
            " WHERE stripe_payment_intent_id IS NOT NULL",
        )

    wait_until(lambda: bool(recorded()), "recorded intent")
    assert_success(serving.pay(order_id, simulator.create_card()))
    assert intents() == 1
    assert charges(simulator, order_id) == 1
