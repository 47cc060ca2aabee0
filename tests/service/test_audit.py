"""`paidonce payment-methods audit`: which stored cards can be used, and what `--fix` repairs."""

import csv
import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migration.test_backfill import everything, with_users
from paidonce.domain.intent import Failure, Reason
from paidonce.moving_in.audit import Certainty, Finding, Kind, missing
from stripesim.config import Config
from stripesim.testing import SimulatorThread
from support.legacy import Legacy, own_table
from support.moving_in import Account, Done, assert_broken_off, break_table, reading, run
from support.service import running_service

AUDIT = ("payment-methods", "audit", "--rate", "1000")
NOWHERE = "pm_1NeverMadeByAnybody0000"


def look(legacy: Legacy, simulator: Any, stored: str, *options: str, code: int | None = 1) -> Done:
    words = (*AUDIT, "--from", "-", *options)
    return run(*words, env=reading(legacy.url, simulator), stdin=stored, code=code)


def found(
    legacy: Legacy, simulator: Any, stored: str, *options: str, code: int = 1
) -> dict[str, dict[str, Any]]:
    """What is found, by the method."""
    done = look(legacy, simulator, stored, "--format", "json", *options, code=code)
    rows = {row["payment_method"]: row for row in done.json()["findings"]}
    assert len(rows) == len(done.json()["findings"])
    return rows


def lines(*pairs: tuple[str, str]) -> str:
    return "user_id,pm_id\n" + "".join(f"{user},{method}\n" for user, method in pairs)


def listed(legacy: Legacy) -> set[tuple[str, str]]:
    """Users and the cards that the app lists for them."""
    table = own_table(legacy.url, "payment_methods")
    rows = legacy.rows(
        f"SELECT user_id, stripe_payment_method_id FROM {table}"
        " WHERE state = 'attached' AND is_listed"
    )
    return {(str(user), str(method)) for user, method in rows}


class Move:
    """A host with users 1 to 3, of whom 1 and 2 have a customer."""

    def __init__(self, url: str, simulator: Any) -> None:
        self.legacy = with_users(url, 3)
        self.account = Account(simulator)
        self.one, self.two = (self.account.customer(userId=user) for user in "12")
        self.legacy.set_customer("1", self.one)
        self.legacy.set_customer("2", self.two)


def test_a_card_number_in_the_hosts_list_is_told_and_written_nowhere(
    empty_database_url: str, stripe_simulator: Any, tmp_path: Path
) -> None:
    move = Move(empty_database_url, stripe_simulator)
    stored, state = lines(("1", "4242 4242 4242 4242")), str(tmp_path / "state")
    done = look(move.legacy, stripe_simulator, stored, "--state", state)
    assert "[redacted]" in done.stdout and "4242" not in done.stdout + done.stderr
    assert b"4242" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_each_stored_card_gets_its_verdict_and_nothing_is_written(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    move = Move(empty_database_url, stripe_simulator)
    account = move.account
    good = account.attach(move.one)
    used, fresh, detached, of_nobody = (account.card() for _ in range(4))
    account.pay(payment_method=used)
    account.attach(move.one, detached)
    account.post(f"payment_methods/{detached}/detach")
    stored = lines(
        ("1", good), ("1", used), ("1", fresh), ("1", detached), ("1", NOWHERE),
        ("1", "visa-4242-1"), ("3", of_nobody),
    )  # fmt: skip
    before, seq = everything(move.legacy), stripe_simulator.last_requests(1)[0]["seq"]
    rows = found(move.legacy, stripe_simulator, stored)
    kinds = {method: (row["kind"], row["certainty"]) for method, row in rows.items()}
    assert kinds == {
        good: ("not_in_table", "known"),
        used: ("dead", "inferred"),
        fresh: ("not_attached", "guess"),
        detached: ("not_attached", "guess"),
        of_nobody: ("not_attached", "guess"),
        NOWHERE: ("unknown", "known"),
        "visa-4242-1": ("unknown", "known"),
    }
    assert "used once, last by ch_" in rows[used]["detail"]
    assert "its bank was asked once" in rows[detached]["detail"]
    assert "never used, or earlier, or detached" in rows[fresh]["detail"]
    assert rows[used]["user_action"] == "enter the card again"
    assert rows[good]["user_action"] == "nothing"
    assert everything(move.legacy) == before
    asked = stripe_simulator.requests(after=seq)
    assert asked and {item["method"] for item in asked} == {"GET"}


def test_a_card_of_another_customer_is_told_for_the_user_who_was_given_it(
    empty_sqlite_url: str, stripe_simulator: Any
) -> None:
    move = Move(empty_sqlite_url, stripe_simulator)
    elsewhere = move.account.attach(move.account.customer(userId="1"))
    rows = found(move.legacy, stripe_simulator, lines(("1", elsewhere)))
    assert rows[elsewhere]["kind"] == "other_customer"
    rows = found(move.legacy, stripe_simulator, lines(("3", elsewhere)))
    assert "the user has none recorded" in rows[elsewhere]["detail"]


def test_a_card_paid_with_and_kept_by_consent_can_still_be_attached(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    move = Move(empty_database_url, stripe_simulator)
    kept = move.account.card()
    move.account.pay(payment_method=kept, setup_future_usage="off_session")
    stored = lines(("1", kept))
    row = found(move.legacy, stripe_simulator, stored)[kept]
    assert (row["kind"], row["certainty"]) == ("not_attached", "inferred")
    row = found(move.legacy, stripe_simulator, stored, "--fix")[kept]
    assert (row["is_fixed"], row["done"]) == (True, "listed for the user")


def test_fix_attaches_what_was_never_used_and_learns_what_is_dead(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    move = Move(empty_database_url, stripe_simulator)
    account = move.account
    fresh, detached, homeless, twin = (account.card() for _ in range(4))
    declining = account.card("4000000000000002")
    account.attach(move.two, detached)
    account.post(f"payment_methods/{detached}/detach")
    stored = lines(
        ("1", fresh), ("2", detached), ("3", homeless), ("2", declining), ("1", twin)
    )  # fmt: skip
    rows = found(move.legacy, stripe_simulator, stored, "--fix")
    pair = sorted((fresh, twin))
    assert rows[pair[0]]["done"] == "listed for the user"
    assert rows[pair[1]]["done"] == f"the same card is listed as {pair[0]}"
    assert all(rows[each]["is_fixed"] for each in pair)
    assert rows[pair[0]]["user_action"] == "nothing"
    dead = rows[detached]
    assert (dead["kind"], dead["certainty"], dead["is_fixed"]) == ("dead", "known", False)
    assert "run `paidonce customers backfill` first" in rows[homeless]["done"]
    assert rows[declining]["done"] == "not attached: Your card was declined."
    assert listed(move.legacy) == {("1", pair[0])}
    assert stripe_simulator.audit()["totals"]["succeeded_charges"] == 0
    again = found(move.legacy, stripe_simulator, stored, "--fix")
    assert set(again) == {detached, homeless, declining}


def test_fix_lists_what_the_host_stored_and_the_rest_only_on_the_operators_word(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    move = Move(empty_database_url, stripe_simulator)
    stored = move.account.attach(move.one)
    unasked = move.account.attach(move.two, move.account.card("5555555555554444"))
    first = look(move.legacy, stripe_simulator, lines(("1", stored)), code=1)
    assert "2 of 2 methods can be used, 2 of these not listed; 2 users" in first.stdout
    assert "not fixed" not in first.stdout and first.stdout.startswith("kind ")
    rows = found(move.legacy, stripe_simulator, lines(("1", stored)), "--fix")
    assert (rows[stored]["is_fixed"], rows[unasked]["is_fixed"]) == (True, False)
    assert rows[unasked]["done"] == "nothing: --adopt lists it"
    assert listed(move.legacy) == {("1", stored)}
    rows = found(move.legacy, stripe_simulator, "", "--fix", "--adopt")
    assert rows[unasked]["is_fixed"] is True
    assert listed(move.legacy) == {("1", stored), ("2", unasked)}
    done = look(move.legacy, stripe_simulator, lines(("1", stored)), code=0)
    assert done.stdout.startswith("2 of 2 methods can be used; 2 users")


def test_an_expired_card_and_a_deleted_customer_are_told(
    empty_sqlite_url: str, tmp_path: Path
) -> None:
    data = str(tmp_path / "stripe.db")
    with SimulatorThread(Config(data=data)) as simulator:
        move = Move(empty_sqlite_url, simulator)
        expired, gone = move.account.attach(move.one), move.account.attach(move.two)
        with closing(sqlite3.connect(data, timeout=10)) as file, file:
            file.execute(
                "UPDATE objects SET body = json_set(body, '$.card.exp_year', 2020) WHERE id = ?",
                (expired,),
            )
            file.execute(
                "UPDATE objects SET body = json_set(body, '$.deleted', json('true')) WHERE id = ?",
                (move.two,),
            )
        rows = found(move.legacy, simulator, lines(("1", expired), ("2", gone)))
    assert (rows[expired]["kind"], rows[expired]["user_action"]) == (
        "expired", "enter the card again"
    )  # fmt: skip
    assert (rows[gone]["kind"], rows[gone]["detail"]) == (
        "detached", f"its customer {move.two} was deleted at Stripe"
    )  # fmt: skip


def test_a_card_of_ours_that_stripe_detached_is_taken_off_the_list(
    database_url: str, stripe_simulator: Any
) -> None:
    with running_service(database_url, stripe_simulator) as service:
        card = stripe_simulator.create_card()
        path = "/api/mobile-app/payments/methods"
        answer = service.call("POST", path, {"stripePaymentMethodId": card})
        assert answer.status_code == 200, answer.text
    account, legacy = Account(stripe_simulator), Legacy(database_url)
    assert look(legacy, stripe_simulator, "", code=0).stdout.startswith("1 of 1 methods")
    account.post(f"payment_methods/{card}/detach")
    row = found(legacy, stripe_simulator, "")[card]
    assert (row["kind"], row["is_fixed"]) == ("detached", False)
    row = found(legacy, stripe_simulator, "", "--fix")[card]
    assert (row["is_fixed"], row["done"]) == (True, "taken off the user's list")
    assert look(legacy, stripe_simulator, "", code=0).stdout.startswith("0 of 0 methods")


def test_a_state_file_lets_the_next_run_go_on_and_tells_nothing_twice(
    empty_sqlite_url: str, stripe_simulator: Any, tmp_path: Path
) -> None:
    move = Move(empty_sqlite_url, stripe_simulator)
    fresh = [move.account.card() for _ in range(3)]
    stored = lines(*(("1", method) for method in fresh))
    state = ("--state", str(tmp_path / "audit.state"), "--format", "csv")
    path = f"/v1/payment_methods/{sorted(fresh)[1]}"
    stripe_simulator.add_fault(kind="error_before", status=403, match={"path": path})
    done = look(move.legacy, stripe_simulator, stored, *state, code=2)
    first = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["payment_method"] for row in first] == sorted(fresh)[:1]
    stripe_simulator.clear_faults()
    seq = stripe_simulator.last_requests(1)[0]["seq"]
    rest = list(
        csv.DictReader(io.StringIO(look(move.legacy, stripe_simulator, stored, *state).stdout))
    )
    assert [row["payment_method"] for row in rest] == sorted(fresh)[1:]
    asked = [item["path"] for item in stripe_simulator.requests(after=seq)]
    assert not any(sorted(fresh)[0] in path or path.endswith("/payment_methods") for path in asked)


@pytest.mark.parametrize(
    ("stored", "words"),
    [("1,pm_1,x\n", "line 1"), ("user_id,pm_id\n1,\n", "line 2"), ("1\n", "line 1")],
)
def test_a_line_that_says_nothing_is_named(
    empty_sqlite_url: str, stripe_simulator: Any, stored: str, words: str
) -> None:
    legacy = with_users(empty_sqlite_url, 1)
    done = look(legacy, stripe_simulator, stored, code=2)
    assert f"--from: {words} is not `user_id,pm_id`." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_method_of_the_other_mode_is_known_by_stripes_words() -> None:
    words = (
        "No such PaymentMethod: 'pm_1'; a similar object exists in live mode, but a test mode key"
        " was used to make this request."
    )
    finding = Finding(Kind.UNKNOWN, "pm_1", "1", Certainty.KNOWN, "")
    failure = Failure(Reason.METHOD_MISSING, words, http_status=404)
    assert missing(finding, failure).kind is Kind.OTHER_MODE
    plain = Failure(Reason.METHOD_MISSING, "No such PaymentMethod: 'pm_1'", http_status=404)
    assert missing(finding, plain).kind is Kind.UNKNOWN


def test_a_state_file_that_breaks_ends_it_with_two_and_a_whole_document(
    empty_sqlite_url: str, stripe_simulator: Any, tmp_path: Path
) -> None:
    move, state = Move(empty_sqlite_url, stripe_simulator), tmp_path / "audit.state"
    stored, options = lines(("1", NOWHERE)), ("--state", str(state), "--format", "json")
    look(move.legacy, stripe_simulator, stored, *options)
    break_table(state, "stored")
    done = look(move.legacy, stripe_simulator, stored, *options, code=None)
    assert_broken_off(done, f"the file {state} cannot be used", "malformed")
