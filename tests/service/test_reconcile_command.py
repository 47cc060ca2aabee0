"""`paidonce reconcile` as an operator runs it: a process, its exit code, and what it prints."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paidonce.cli import app
from paidonce.observability import configure_logging
from paidonce.reconcile import ADVICE, Kind
from paidonce.store.scratch import Scratch
from stripesim.config import Config
from stripesim.testing import SimulatorThread
from support.environment import environment
from support.launcher import shared_launcher
from support.planting import Shop, charged_not_paid, orphan_of_a_race, second_charge
from support.processes import script
from support.service import running_service

READING = ("DATABASE_URL", "STRIPE_API_BASE", "STRIPE_SECRET_KEY")
FAST = ("--rate", "1000")
AGE_ALL = (
    "UPDATE objects SET created = created - 7200,"
    " body = json_set(body, '$.created', created - 7200)"
)


@dataclass
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def settings(url: str, stripe_url: str, *, is_fixing: bool) -> dict[str, str]:
    """No more than the command needs."""
    everything = environment(url, stripe_url)
    return everything if is_fixing else {name: everything[name] for name in READING}


def run_process(url: str, stripe_url: str, *options: str, is_fixing: bool = False) -> Done:
    command = [script("paidonce"), "reconcile", *FAST, *options, *_fix(is_fixing)]
    done = shared_launcher().run(
        *command, environment=settings(url, stripe_url, is_fixing=is_fixing)
    )
    return Done(done.returncode, done.stdout, done.stderr)


def run(url: str, stripe_url: str, *options: str, is_fixing: bool = False) -> Done:
    """The same command inside this process: nothing has to be imported again."""
    names = environment(url, stripe_url)
    env = {**dict.fromkeys(names), **settings(url, stripe_url, is_fixing=is_fixing)}
    try:
        command = ["reconcile", *FAST, *options, *_fix(is_fixing)]
        result = CliRunner().invoke(app, command, env=env)
    finally:
        configure_logging(level="WARNING")  # as the tests have it
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def _fix(is_fixing: bool) -> list[str]:
    return ["--fix"] if is_fixing else []


@pytest.fixture
def data(tmp_path: Path) -> str:
    """The file of a simulator's data."""
    return str(tmp_path / "stripe.db")


@pytest.fixture
def simulator(data: str) -> Iterator[SimulatorThread]:
    with SimulatorThread(Config(data=data)) as running:
        yield running


def let_time_pass(data: str) -> None:
    """A process has the machine's own clock, so what lies at Stripe is made two hours older."""
    with closing(sqlite3.connect(data, timeout=10)) as connection, connection:
        connection.execute(AGE_ALL)


def test_a_process_says_by_its_exit_code_what_came_of_it(
    sqlite_url: str, simulator: SimulatorThread, data: str
) -> None:
    with running_service(sqlite_url, simulator) as service:
        planted = charged_not_paid(Shop(service))
    done = run_process(sqlite_url, simulator.url)
    assert (done.code, done.stderr) == (0, "")  # it is in flight
    assert done.stdout.splitlines()[-1] == "Nothing found."
    assert "Left out: what is younger than 5 minutes" in done.stdout
    let_time_pass(data)
    done = run_process(sqlite_url, simulator.url, "--format", "json", is_fixing=True)
    assert (done.code, done.stderr) == (1, "")
    [row] = json.loads(done.stdout)["findings"]
    assert (row["stripe_id"], row["is_fixed"]) == (planted.stripe_id, True)
    done = run_process(sqlite_url, "http://127.0.0.1:9")
    assert done.code == 2
    [sentence] = done.stderr.splitlines()
    assert "Stripe does not answer: the connection failed." in sentence


def test_an_order_that_is_not_in_the_books_is_not_said_to_be_well(
    sqlite_url: str, simulator: SimulatorThread
) -> None:
    done = run(sqlite_url, simulator.url, "--order", "nope")
    assert done.code == 2 and "is not in our books" in done.stderr
    assert "Nothing" not in done.stdout and "broke off" in done.stdout


def test_findings_are_printed_in_three_ways_and_fixed_once(
    database_url: str, simulator: SimulatorThread, data: str
) -> None:
    with running_service(database_url, simulator) as service:
        shop = Shop(service)
        plants = (charged_not_paid, orphan_of_a_race, second_charge)
        planted = {each.stripe_id: each for each in (plant(shop) for plant in plants)}
    let_time_pass(data)

    as_json = run(database_url, simulator.url, "--format", "json")
    assert (as_json.code, as_json.stderr) == (1, "")
    document = json.loads(as_json.stdout)
    assert document["is_complete"] is True
    assert sum(document["counts"]["found"].values()) == len(document["findings"]) == 3
    for row in document["findings"]:
        each = planted[row["stripe_id"]]
        assert (row["kind"], row["order_id"]) == (each.kind, each.order_id)
        assert (row["amount_minor"], row["currency"]) == (44_000, "usd")
        assert (row["advice"], row["is_fixed"], row["done"]) == (ADVICE[each.kind], False, "")

    as_csv = run(database_url, simulator.url, "--format", "csv")
    assert as_csv.code == 1
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert [{k: str(v) for k, v in row.items()} for row in document["findings"]] == rows

    fixed = run(database_url, simulator.url, is_fixing=True)
    assert (fixed.code, fixed.stderr) == (1, "")
    lines = fixed.stdout.splitlines()
    for each in planted.values():
        [at] = [n for n, line in enumerate(lines) if each.stripe_id in line]
        assert lines[at].split()[:3] == [each.kind, each.order_id, each.stripe_id]
        how = "not fixed" if each.kind is Kind.SECOND_CHARGE else "fixed"
        assert lines[at + 1].strip().startswith(f"{how}: ")
    assert lines[-1] == "3 found, 2 fixed."
    again = run(database_url, simulator.url, "--format", "json", is_fixing=True)
    assert [row["kind"] for row in json.loads(again.stdout)["findings"]] == [Kind.SECOND_CHARGE]
    assert json.loads(again.stdout)["counts"]["fixed"] == 0


def test_nothing_found_is_zero_and_says_so(sqlite_url: str, simulator: SimulatorThread) -> None:
    done = run(sqlite_url, simulator.url)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Nothing found."
    for output, read in (("json", _findings_of_json), ("csv", _findings_of_csv)):
        done = run(sqlite_url, simulator.url, "--format", output)
        assert (done.code, read(done.stdout)) == (0, [])


def _findings_of_json(text: str) -> list[Any]:
    found: list[Any] = json.loads(text)["findings"]
    return found


def _findings_of_csv(text: str) -> list[Any]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("kind", ["rate_limit", "bad_gateway_html"])
def test_a_stripe_that_stops_answering_ends_with_two_and_a_whole_document(
    sqlite_url: str,
    simulator: SimulatorThread,
    data: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paidonce.reconcile.asking.FIRST_PAUSE_SECONDS", 0.01)
    with running_service(sqlite_url, simulator) as service:
        charged_not_paid(Shop(service))
    let_time_pass(data)
    simulator.add_fault(kind=kind, match={"path": "/v1/customers"})
    done = run(sqlite_url, simulator.url, "--format", "json")
    assert done.code == 2
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("paidonce: Stripe did not answer")
    document = json.loads(done.stdout)
    assert document["is_complete"] is False
    assert [row["kind"] for row in document["findings"]] == [Kind.CHARGED_NOT_PAID]


def test_a_full_disk_ends_it_with_two_and_a_whole_document(
    sqlite_url: str, simulator: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Scratch:
        """Where not one more id can be noted: four pages, of 4096 bytes, and no more."""
        scratch = Scratch()
        scratch._db.execute("PRAGMA max_page_count = 4")
        scratch.note_seen([letter * 990 for letter in "abcd"] + ["e" * 85])
        return scratch

    with running_service(sqlite_url, simulator) as service:
        charged_not_paid(Shop(service))
    monkeypatch.setattr("paidonce.main.commands.Scratch", full)
    done = run(sqlite_url, simulator.url, "--format", "json")
    assert done.code == 2
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("paidonce: the temporary file") and "is full" in sentence
    assert json.loads(done.stdout)["is_complete"] is False


def test_a_key_that_may_not_read_is_told_at_once(
    sqlite_url: str, simulator: SimulatorThread
) -> None:
    """A restricted key without the right to see charges, for one."""
    simulator.add_fault(kind="error_before", status=403, match={"path": "/v1/charges"})
    done = run(sqlite_url, simulator.url)
    assert done.code == 2
    assert "Stripe refuses the key" in done.stderr


def test_a_short_silence_of_stripe_is_waited_for(
    sqlite_url: str,
    simulator: SimulatorThread,
    data: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paidonce.reconcile.asking.FIRST_PAUSE_SECONDS", 0.01)
    with running_service(sqlite_url, simulator) as service:
        charged_not_paid(Shop(service))
    let_time_pass(data)
    for path in ("/v1/payment_intents", "/v1/payment_intents/*", "/v1/charges", "/v1/customers"):
        simulator.add_fault(kind="rate_limit", match={"path": path, "times": 5})
    assert run(sqlite_url, simulator.url).code == 1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--since", "yesterday"], "yesterday"),
        (["--since", "2999-01-01"], "lies in the future"),
        (["--format", "xml"], "xml"),
        (["--order", "11111111-2222-4333-8444-555555555555"], "not in our books"),
    ],
)
def test_what_cannot_be_done_ends_with_two(
    sqlite_url: str, simulator: SimulatorThread, options: list[str], word: str
) -> None:
    done = run(sqlite_url, simulator.url, *options)
    assert done.code == 2
    assert word in done.stderr


def test_fixing_needs_the_settings_of_the_service(
    sqlite_url: str, simulator: SimulatorThread
) -> None:
    done = run(sqlite_url, simulator.url, "--fix")
    assert done.code == 2
    assert "STRIPE_PUBLISHABLE_KEY is required" in done.stderr
