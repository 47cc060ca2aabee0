"""`paidonce customers duplicates`: users with several customers, and what to do about each."""

import csv
import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migration.test_backfill import everything, with_users
from paidonce.cli.records_view import MOST_LINES
from paidonce.moving_in.duplicates import Looked, choose
from paidonce.store.customer_groups import MOST_MEMBERS, CustomerGroups, KnownCustomer
from stripesim.config import Config
from stripesim.testing import SimulatorThread
from support.legacy import Legacy
from support.moving_in import Account, Done, assert_broken_off, reading, run

DUPLICATES = ("customers", "duplicates", "--rate", "1000")


def look(legacy: Legacy, simulator: Any, *options: str, code: int = 1) -> Done:
    return run(*DUPLICATES, *options, env=reading(legacy.url, simulator), code=code)


def found(legacy: Legacy, simulator: Any, *options: str) -> dict[str, dict[str, Any]]:
    """What is found, by the customer."""
    body = look(legacy, simulator, "--format", "json", *options).json()
    assert body["is_complete"] is True
    rows = {row["stripe_customer_id"]: row for row in body["duplicates"]}
    assert len(rows) == len(body["duplicates"])
    return rows


def test_a_customer_with_the_cards_is_kept_and_the_other_ones_cards_cannot_be_moved(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 3)
    account = Account(stripe_simulator)
    with_cards = account.customer("user1@shop.example", userId="1")
    cards = [account.attach(with_cards) for _ in range(2)]
    other = account.customer("old@shop.example", user_id="1")
    card = account.attach(other)
    intent = account.post("payment_intents", amount=500, currency="usd", customer=other)
    newest = account.customer("user1@shop.example", userId="1")
    account.customer("user2@shop.example", userId="2")
    before, seq = everything(legacy), stripe_simulator.last_requests(1)[0]["seq"]
    rows = found(legacy, stripe_simulator)
    assert set(rows) == {with_cards, other, newest}
    kept = rows[with_cards]
    assert (kept["is_kept"], kept["why"]) == (True, "the cards are attached to it")
    assert sorted(kept["payment_methods"]) == sorted(cards)
    assert "--record records it" in kept["plan"]
    left = rows[other]
    assert (left["payment_methods"], left["open_intents"]) == ([card], [intent["id"]])
    assert intent["id"] in left["plan"] and "cannot move its cards" in left["plan"]
    assert "delete it" in rows[newest]["plan"]
    assert {row["kind"] for row in rows.values()} == {"same_user"}
    assert everything(legacy) == before
    asked = stripe_simulator.requests(after=seq)
    assert asked and {item["method"] for item in asked} == {"GET"}


def test_the_recorded_one_is_kept_even_without_the_cards_and_the_plan_names_the_other(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    """The recorded one says nothing in its metadata: the books know whose it is."""
    legacy = with_users(empty_database_url, 1)
    account = Account(stripe_simulator)
    recorded = account.customer("user1@shop.example")
    with_cards = account.customer("user1@shop.example", userId="1")
    account.attach(with_cards)
    legacy.set_customer("1", recorded)
    rows = found(legacy, stripe_simulator)
    assert (rows[recorded]["is_kept"], rows[recorded]["is_recorded"]) == (True, True)
    assert rows[recorded]["why"] == "it is recorded for the user"
    assert with_cards in rows[recorded]["plan"]
    assert (rows[with_cards]["is_kept"], rows[with_cards]["why"]) == (False, "")


def test_the_newest_payment_decides_and_else_the_age(empty_sqlite_url: str, tmp_path: Path) -> None:
    legacy = with_users(empty_sqlite_url, 2)
    data = str(tmp_path / "stripe.db")
    with SimulatorThread(Config(data=data)) as simulator:
        account = Account(simulator)
        earlier, later = (account.customer(userId="1") for _ in range(2))
        for customer in (earlier, later):
            account.pay(customer=customer, payment_method="pm_card_visa")
        oldest, newest = (account.customer(userId="2") for _ in range(2))
        with closing(sqlite3.connect(data, timeout=10)) as file, file:
            for customer in (earlier, oldest):
                file.execute(
                    "UPDATE objects SET created = created - 7200,"
                    " body = json_set(body, '$.created', created - 7200)"
                    " WHERE id = ? OR customer = ?",
                    (customer, customer),
                )
        rows = found(legacy, simulator)
    assert (rows[later]["is_kept"], rows[later]["why"]) == (True, "it paid last")
    assert rows[later]["last_paid_at"] > rows[earlier]["last_paid_at"]
    assert (rows[oldest]["is_kept"], rows[oldest]["why"]) == (True, "it is the oldest")
    assert rows[newest]["last_paid_at"] == ""


def test_an_email_alone_is_only_a_maybe_and_never_recorded(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 3)
    account = Account(stripe_simulator)
    one = account.customer("Family@shop.example", userId="1")
    two = account.customer("family@shop.example", userId="2")
    nobody = account.customer("family@shop.example")
    account.attach(one)
    rows = found(legacy, stripe_simulator, "--record")
    assert {row["kind"] for row in rows.values()} == {"same_email"}
    assert {row["done"] for row in rows.values()} == {""}
    assert set(rows) == {one, two, nobody}
    assert "nothing is done by e-mail" in rows[one]["plan"]
    assert rows[two]["plan"] == "another user's: keep it"
    assert [legacy.customer_of(user) for user in "123"] == [None, None, None]


def test_another_installations_customer_is_no_duplicate(
    empty_sqlite_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_sqlite_url, 1)
    account = Account(stripe_simulator)
    account.customer(user_id="1", namespace="f" * 32)
    account.customer(userId="1")
    done = look(legacy, stripe_simulator, code=0)
    assert done.stdout == "2 customers at Stripe, and nothing found.\n"


def test_recording_takes_the_kept_one_where_none_is_recorded_and_the_backfill_follows(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    """Without it the backfill would adopt the newest, which has no card."""
    legacy = with_users(empty_database_url, 2)
    account = Account(stripe_simulator)
    with_card, newest = account.customer(userId="1"), None
    account.attach(with_card)
    newest = account.customer(userId="1")
    recorded = account.customer(userId="2")
    account.attach(account.customer(userId="2"))
    legacy.set_customer("2", recorded)
    strangers = [account.customer(userId="999") for _ in range(2)]
    rows = found(legacy, stripe_simulator, "--record")
    assert rows[with_card]["done"] == "recorded for the user"
    assert rows[newest]["done"] == ""
    assert legacy.customer_of("1") == with_card
    assert legacy.customer_of("2") == recorded
    [stranger] = [rows[each] for each in strangers if rows[each]["is_kept"]]
    assert stranger["done"] == "nothing: no user of yours has this id"
    again = found(legacy, stripe_simulator, "--record")
    assert again[with_card]["why"] == "it is recorded for the user"
    assert {row["done"] for row in again.values()} == {"", stranger["done"]}


def test_a_table_names_the_group_once_and_csv_has_a_line_for_a_customer(
    empty_sqlite_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_sqlite_url, 1)
    account = Account(stripe_simulator)
    pair = [account.customer(userId="1") for _ in range(2)]
    account.attach(pair[0])
    lines = look(legacy, stripe_simulator).stdout.splitlines()
    assert lines[0] == "same_user 1"
    assert f"  keep {pair[0]}" in [line[: 7 + len(pair[0])] for line in lines]
    assert lines[-1].startswith("2 customers at Stripe; in 1 groups there are 1 beside")
    text = look(legacy, stripe_simulator, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["stripe_customer_id"] for row in rows} == set(pair)


def test_a_huge_group_is_looked_at_in_part_and_says_so(
    empty_sqlite_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_sqlite_url, 1)
    account = Account(stripe_simulator)
    for _ in range(MOST_MEMBERS + 3):
        account.customer("guest@shop.example")
    body = look(legacy, stripe_simulator, "--format", "json").json()
    assert len(body["duplicates"]) == MOST_MEMBERS
    assert body["counts"]["left_out"] == 3
    assert MOST_LINES > MOST_MEMBERS
    assert "3 more of these groups were not looked at." in look(legacy, stripe_simulator).stdout


def test_it_says_when_stripe_did_not_answer(empty_sqlite_url: str, stripe_simulator: Any) -> None:
    legacy = with_users(empty_sqlite_url, 1)
    env = reading(legacy.url, stripe_simulator) | {"STRIPE_API_BASE": "http://127.0.0.1:9"}
    done = run(*DUPLICATES, env=env, code=2)
    assert "Stripe does not answer" in done.stderr


def test_a_full_disk_ends_it_with_two_and_a_whole_document(
    empty_sqlite_url: str, stripe_simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> CustomerGroups:
        """Where not one more customer can be noted: four pages, of 4096 bytes, and no more."""
        groups = CustomerGroups()
        groups._db.execute("PRAGMA max_page_count = 4")
        groups.note([KnownCustomer(c * 985, None, None, datetime.now(UTC), False) for c in "abcd"])
        return groups

    legacy = with_users(empty_sqlite_url, 1)
    account = Account(stripe_simulator)
    for _ in range(10):
        account.customer(userId="1")
    monkeypatch.setattr("paidonce.main.moving_in.CustomerGroups", full)
    env = reading(legacy.url, stripe_simulator)
    done = run(*DUPLICATES, "--format", "json", env=env)
    assert_broken_off(done, "the temporary file", "is full")


@pytest.mark.parametrize("count", [1, 2])
def test_whatever_is_equal_one_is_kept(count: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    same = [
        Looked(KnownCustomer(f"cus_{n}", "1", None, at, False), [], [], None) for n in range(count)
    ]
    kept, why = choose(same)
    assert (kept in same, why) == (True, "it is the oldest")
