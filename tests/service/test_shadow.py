"""`paidonce shadow`: each kind of finding, its bounds, and how it goes on."""

import asyncio
import csv
import io
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paidonce.domain.intent import Failure, Reason
from paidonce.gateway import Keyed, StripeGateway
from paidonce.gateway.transport import ReadOnlyTransport
from stripesim.config import Config
from stripesim.testing import SimulatorThread
from support.moving_in import Account, Done, assert_broken_off, break_table, run
from support.processes import StartProcess, script
from support.service import make_settings

KEY = "rk_test_shadow"


def look(simulator: Any, *options: str, key: str = KEY, code: int | None = 1) -> Done:
    env = {"STRIPE_SECRET_KEY": key, "STRIPE_API_BASE": simulator.url}
    return run("shadow", "--rate", "1000", *options, env=env, code=code)


def found(simulator: Any, *options: str, code: int = 1) -> dict[str, list[dict[str, Any]]]:
    """What is found, by kind."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in look(simulator, "--format", "json", *options, code=code).json()["findings"]:
        rows.setdefault(row["kind"], []).append(row)
    return rows


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "stripe.db")


@pytest.fixture
def simulator(data: str) -> Iterator[SimulatorThread]:
    with SimulatorThread(Config(data=data)) as running:
        yield running


def make_older(data: str, seconds: int, *ids: str) -> None:
    with closing(sqlite3.connect(data, timeout=10)) as file, file:
        for each in ids:
            file.execute(
                "UPDATE objects SET created = created - ?,"
                " body = json_set(body, '$.created', created - ?)"
                " WHERE id = ? OR payment_intent = ?",
                (seconds, seconds, each, each),
            )


def paid(account: Account, **form: Any) -> dict[str, Any]:
    return account.pay(payment_method="pm_card_visa", **form)


# --- money ---------------------------------------------------------------------------------------


def test_each_charge_beside_the_one_of_which_most_is_left_is_told(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    first, second, third = (paid(account, metadata__orderId="A-1") for _ in range(3))
    account.post("refunds", payment_intent=first["id"], amount=4_000)
    account.post("refunds", payment_intent=third["id"])
    paid(account, metadata__orderId="A-2")
    rows = found(stripe_simulator)["double_charge"]
    assert {row["stripe_id"]: row["amount_minor"] for row in rows} == {
        first["latest_charge"]: 40_000,
        third["latest_charge"]: 0,
    }
    assert {row["order"] for row in rows} == {"A-1"}
    assert all(f"{second['latest_charge']} is the order's" in row["detail"] for row in rows)
    assert [row["detail"].endswith("it was given back") for row in rows] == [False, True]


def test_without_an_order_the_payer_the_amount_and_the_time_make_a_guess(
    simulator: SimulatorThread, data: str
) -> None:
    account = Account(simulator)
    customer = account.customer()
    long_before = paid(account, customer=customer)
    make_older(data, 3600, long_before["id"])
    first, second = (paid(account, customer=customer) for _ in range(2))
    paid(account, customer=customer, amount=500)
    paid(account, customer=customer, currency="eur")
    card = "5555555555554444"
    other = account.pay(payment_method=account.card(card), metadata__order="B-1")
    again = account.pay(payment_method=account.card(card), metadata__order="B-2")
    rows = found(simulator)
    [row] = rows["likely_double_charge"]
    pair = {first["latest_charge"], second["latest_charge"]}  # made within one second
    assert row["stripe_id"] in pair and row["amount_minor"] == 44_000
    assert any(each in row["detail"] for each in pair - {row["stripe_id"]})
    assert "double_charge" not in rows
    without = {row["stripe_id"] for row in rows["charge_without_order"]}
    assert len(without) == 5
    assert not {other["latest_charge"], again["latest_charge"]} & without
    wide = found(simulator, "--within", "120")["likely_double_charge"]
    assert len(wide) == 2


def test_the_same_card_without_a_customer_is_the_same_payer(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    for _ in range(2):
        account.pay(payment_method=account.card())
    account.pay(payment_method=account.card("5555555555554444"))
    assert len(found(stripe_simulator)["likely_double_charge"]) == 1


def test_an_order_under_another_name_is_found_when_it_is_said(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    for _ in range(2):
        paid(account, metadata__basket="7")
    assert "double_charge" not in found(stripe_simulator)
    rows = found(stripe_simulator, "--order-key", "cart, basket")
    assert len(rows["double_charge"]) == 1
    assert "charge_without_order" not in rows


# --- what was left lying -------------------------------------------------------------------------


def test_intents_left_lying_are_told_and_whose_order_is_paid_already(
    simulator: SimulatorThread, data: str
) -> None:
    account = Account(simulator)
    declined = {"payment_method": "pm_card_chargeCustomerFail", "is_refused": True}
    account.pay(**declined, metadata__order_id="C-1")
    account.pay(payment_method="pm_card_threeDSecure2Required", metadata__order_id="C-2",
                return_url="https://shop.example")  # fmt: skip
    account.post("payment_intents", amount=700, currency="usd", metadata__order_id="C-3")
    ours = {"metadata__namespace": "a" * 32, "metadata__payment_id": "pay_1"}
    account.post("payment_intents", amount=700, currency="usd", metadata__order_id="C-4", **ours)
    done = paid(account, metadata__order_id="C-1")
    canceled = account.post("payment_intents", amount=700, currency="usd")
    account.post(f"payment_intents/{canceled['id']}/cancel")
    lying = [item["id"] for item in simulator.objects("payment_intent")]
    assert "orphan_intent" not in found(simulator)
    make_older(data, 7200, *lying)
    rows = {row["order"]: row for row in found(simulator)["orphan_intent"]}
    assert {order: row["detail"].split(",")[0] for order, row in rows.items()} == {
        "C-1": "it is requires_payment_method",
        "C-2": "it is requires_action",
        "C-3": "it is requires_payment_method",
    }
    assert f"although {done['latest_charge']} has paid its order" in rows["C-1"]["detail"]
    assert "although" not in rows["C-2"]["detail"]


# --- methods and customers -----------------------------------------------------------------------


def test_methods_are_dead_when_they_were_used_without_a_customer(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    customer = account.customer()
    used, declined, attached, kept, fresh = (account.card() for _ in range(5))
    account.pay(payment_method=used)
    bad = account.card("4000000000009995")
    account.pay(payment_method=bad, is_refused=True)
    account.pay(payment_method=account.attach(customer, attached), customer=customer)
    account.pay(payment_method=kept, setup_future_usage="off_session")
    account.pay(payment_method=used, is_refused=True)
    rows = found(stripe_simulator)["dead_method"]
    assert {row["stripe_id"] for row in rows} == {used, bad}
    assert not {declined, attached, kept, fresh} & {row["stripe_id"] for row in rows}
    for method in (used, bad):
        account.post(f"payment_methods/{method}/attach", customer=customer, is_refused=True)
    account.attach(customer, kept)


def test_customers_of_one_user_and_of_one_address_are_told_apart(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    first = account.customer("a@shop.example", userId="1")
    second = account.customer("A@shop.example", userId="1")
    other = account.customer("b@shop.example", userId="2")
    nobody = account.customer("b@shop.example")
    rows = found(stripe_simulator)
    [row] = rows["duplicate_customer"]
    assert row["stripe_id"] in (first, second)
    [maybe] = rows["same_email"]
    assert maybe["stripe_id"] in (other, nobody)


# --- how it runs ---------------------------------------------------------------------------------


def test_a_key_that_could_write_is_refused_unless_it_is_wanted(stripe_simulator: Any) -> None:
    done = look(stripe_simulator, key="sk_test_any", code=2)
    [sentence] = done.stderr.splitlines()
    assert "no restricted key (rk_…)" in sentence
    assert stripe_simulator.requests() == []
    look(stripe_simulator, "--allow-secret-key", key="sk_test_any", code=0)
    assert {item["method"] for item in stripe_simulator.requests()} == {"GET"}


def test_a_transport_that_only_reads_sends_nothing_else(stripe_simulator: Any) -> None:
    async def write() -> Any:
        settings = make_settings("sqlite:///never.db", stripe_simulator)
        gateway = StripeGateway(settings, transport=ReadOnlyTransport())
        try:
            keyed = Keyed("key", gateway.stripe_version, {"metadata": {"user_id": "1"}})
            return await gateway.create_customer(keyed, 5)
        finally:
            await gateway.close()

    answer = asyncio.run(write())
    assert isinstance(answer, Failure) and answer.reason is Reason.NOT_EXECUTED
    assert stripe_simulator.requests() == []


def test_csv_and_a_table_with_a_bound(stripe_simulator: Any) -> None:
    account = Account(stripe_simulator)
    for _ in range(60):
        account.customer(userId="1")
    text = look(stripe_simulator, "--format", "csv").stdout
    assert len(list(csv.DictReader(io.StringIO(text)))) == 59
    lines = look(stripe_simulator).stdout.splitlines()
    assert sum(line.startswith("duplicate_customer ") for line in lines) == 50
    assert "… and 9 more duplicate_customer: --format csv shows all." in lines
    assert any(line.startswith("59 x duplicate_customer: ") for line in lines)


def test_stopped_or_without_an_answer_it_says_so(stripe_simulator: Any) -> None:
    env = {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": "http://127.0.0.1:9"}
    done = run("shadow", env=env, code=2)
    assert "Stripe does not answer: the connection failed." in done.stderr


def test_it_watches_goes_on_after_a_kill_and_tells_everything_once(
    stripe_simulator: Any, start_process: StartProcess, tmp_path: Path
) -> None:
    account, state = Account(stripe_simulator), tmp_path / "shadow.state"
    before = [paid(account, metadata__order_id="D-1") for _ in range(2)]
    process = start_process(
        script("paidonce"), "shadow", "--watch", "--every", "1", "--state", str(state),
        "--format", "csv", "--rate", "1000",
        environment={"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": stripe_simulator.url},
    )  # fmt: skip

    def lines() -> list[str]:
        return [line for line in process.stdout().splitlines() if line.startswith("double_charge")]

    process.wait_until(lambda: len(lines()) == 1, "the charge of before")
    while_it_runs = [paid(account, metadata__order_id="D-2") for _ in range(2)]
    process.wait_until(lambda: len(lines()) == 2, "the charge of meanwhile")
    process.kill9()
    while_it_is_dead = [paid(account, metadata__order_id="D-3") for _ in range(2)]
    process.start()
    process.wait_until(lambda: len(lines()) == 3, "the charge of the time between")
    assert process.terminate() == 1
    told = Counter(line.split(",")[1] for line in lines())
    assert set(told.values()) == {1}
    for pair in (before, while_it_runs, while_it_is_dead):
        assert len({intent["latest_charge"] for intent in pair} & told.keys()) == 1
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    written = [item for item in stripe_simulator.requests() if item["method"] != "GET"]
    assert len(written) == 6  # the payments above


def test_a_run_that_goes_on_reads_what_has_happened_to_older_payments(
    simulator: SimulatorThread, data: str, tmp_path: Path
) -> None:
    account, state = Account(simulator), ("--state", str(tmp_path / "shadow.state"))
    order = {"metadata__order_id": "E-1"}
    held = paid(account, capture_method="manual", **order)
    make_older(data, 7200, held["id"])
    assert "double_charge" not in found(simulator, *state)
    account.post(f"payment_intents/{held['id']}/capture")
    other = paid(account, **order)
    [row] = found(simulator, *state)["double_charge"]
    assert row["stripe_id"] == other["latest_charge"] and held["latest_charge"] in row["detail"]
    found(simulator, *state, code=0)


def test_after_a_longer_time_than_stripe_lists_events_the_whole_window_is_read(
    simulator: SimulatorThread, data: str, tmp_path: Path
) -> None:
    account, file = Account(simulator), tmp_path / "shadow.state"
    options = ("--since", "60d", "--state", str(file))
    held = paid(account, capture_method="manual", metadata__order_id="E-2")
    make_older(data, 45 * 86_400, held["id"])
    found(simulator, *options)
    before = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    with closing(sqlite3.connect(file)) as state, state:
        state.execute("UPDATE meta SET value = ? WHERE name = 'read_until'", (before,))
    account.post(f"payment_intents/{held['id']}/capture")
    other = paid(account, metadata__order_id="E-2")
    [row] = found(simulator, *options)["double_charge"]
    assert row["stripe_id"] == other["latest_charge"]
    assert not [item for item in simulator.requests() if item["path"] == "/v1/events"]


def test_a_state_file_of_something_else_is_left_alone(
    stripe_simulator: Any, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("not a database, and longer than nothing\n" * 50)
    done = look(stripe_simulator, "--state", str(note), code=2)
    assert "is no file of this command" in done.stderr
    assert note.read_text().startswith("not a database")


def test_a_state_file_that_breaks_ends_it_with_two_and_a_whole_document(
    stripe_simulator: Any, tmp_path: Path
) -> None:
    state = tmp_path / "shadow.state"
    paid(Account(stripe_simulator))
    options = ("--state", str(state), "--format", "json")
    look(stripe_simulator, *options)
    break_table(state, "charges")
    done = look(stripe_simulator, *options, code=None)
    assert_broken_off(done, f"the file {state} cannot be used", "malformed")
