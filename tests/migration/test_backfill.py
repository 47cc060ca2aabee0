"""`paidonce customers backfill` as an operator runs it: every user has one customer at the end."""

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import requests

from e2e.serving import assert_one_sentence
from migration.test_host_service import make_customer
from paidonce.backfill import Backfill, StripeStaysAway
from paidonce.main.schema import preflight
from paidonce.settings import SettingsError
from paidonce.store import migrations
from support.envelope import assert_success
from support.environment import environment
from support.launcher import shared_launcher
from support.legacy import REPORT_SQL, Legacy, make_legacy, own_table
from support.processes import StartProcess, script
from support.service import make_settings, running_service

FAST = "1000"


def with_users(url: str, count: int) -> Legacy:
    """A migrated host's database with users 1 to `count`."""
    legacy = make_legacy(url)
    legacy.run("DELETE FROM users")
    rows = ", ".join(f"({n}, 'user{n}@shop.example', 'nick')" for n in range(1, count + 1))
    legacy.run(f"INSERT INTO users (id, email, nick) VALUES {rows}")
    migrations.upgrade(legacy.url)
    return legacy


def run(legacy: Legacy, simulator: Any, *options: str, code: int = 0) -> dict[str, Any]:
    """With no more settings than the command needs."""
    everything = environment(legacy.url, simulator.url)
    names = ("DATABASE_URL", "STRIPE_API_BASE", "STRIPE_SECRET_KEY")
    line = [script("paidonce"), "customers", "backfill", "--json", "--rate", FAST, *options]
    settings = {name: everything[name] for name in names}
    done = shared_launcher().run(*line, environment=settings, timeout=100)
    assert done.returncode == code, done.stderr
    counts: dict[str, Any] = json.loads(done.stdout)
    return counts


def customers_at_stripe(simulator: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 100}
    while True:
        answer = requests.get(
            f"{simulator.url}/v1/customers",
            params=params,
            auth=(simulator.secret_key, ""),
            timeout=10,
        ).json()
        found += answer["data"]
        if not answer["has_more"]:
            return found
        params["starting_after"] = found[-1]["id"]


def assert_one_each(legacy: Legacy, simulator: Any) -> None:
    """Every user has a customer, no two the same, and Stripe has none that is nobody's."""
    recorded = [row[0] for row in legacy.rows("SELECT stripe_customer_id FROM users")]
    assert all(recorded)
    assert Counter(recorded) == Counter(item["id"] for item in customers_at_stripe(simulator))


def test_every_user_has_a_customer_and_a_second_run_has_nothing_to_do(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 250)
    counts = run(legacy, stripe_simulator)
    assert (counts["users"], counts["created"], counts["failed"]) == (250, 250, 0)
    assert_one_each(legacy, stripe_simulator)
    by_user = {item["metadata"]["user_id"]: item for item in customers_at_stripe(stripe_simulator)}
    assert by_user["7"]["email"] == "user7@shop.example"
    assert by_user["7"]["id"] == legacy.customer_of("7")
    again = run(legacy, stripe_simulator)
    assert (again["had_customer"], again["created"], again["adopted"]) == (250, 0, 0)
    assert_one_each(legacy, stripe_simulator)


def test_customers_are_adopted_by_metadata_and_never_by_email(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 6)
    adopted = {
        "1": make_customer(stripe_simulator, "else@shop.example", user_id="1"),
        "2": make_customer(stripe_simulator, "user2@shop.example", userId="2"),
    }
    others = [
        make_customer(stripe_simulator, "user3@shop.example"),
        make_customer(stripe_simulator, "user4@shop.example", user_id="4", namespace=uuid4().hex),
        make_customer(stripe_simulator, "user5@shop.example", user_id="user5@shop.example"),
        make_customer(stripe_simulator, "user6@shop.example", user_id="999"),
    ]
    counts = run(legacy, stripe_simulator)
    assert (counts["adopted"], counts["created"]) == (2, 4)
    assert {user: legacy.customer_of(user) for user in adopted} == adopted
    assert not {legacy.customer_of(str(n)) for n in range(1, 7)} & set(others)


def test_a_user_with_two_customers_gets_one_and_is_named(
    empty_postgres_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_postgres_url, 2)
    pair = {make_customer(stripe_simulator, "a@shop.example", userId="1") for _ in range(2)}
    counts = run(legacy, stripe_simulator)
    assert (counts["adopted"], counts["created"], counts["duplicate_customers"]) == (1, 1, 1)
    [named] = counts["duplicates"]
    assert named["user_id"] == "1"
    assert {named["stripe_customer_id"], legacy.customer_of("1")} == pair


def test_a_dry_run_writes_nothing_and_says_what_a_run_would_do(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 5)
    for _ in range(2):
        make_customer(stripe_simulator, "a@shop.example", userId="1")
    make_customer(stripe_simulator, "a@shop.example", user_id="2")
    before = everything(legacy)
    seq = max(item["seq"] for item in stripe_simulator.requests())
    counts = run(legacy, stripe_simulator, "--dry-run")
    assert everything(legacy) == before
    asked = stripe_simulator.requests(after=seq)
    assert asked and {item["method"] for item in asked} == {"GET"}
    done = run(legacy, stripe_simulator)
    same = ("users", "had_customer", "adopted", "created", "duplicate_customers")
    assert [counts[name] for name in same] == [done[name] for name in same] == [5, 0, 2, 3, 1]


def everything(legacy: Legacy) -> dict[str, Any]:
    tables = sorted(name for name in legacy.tables() if not name.startswith("sqlite_"))
    return {name: sorted(map(str, legacy.rows(f"SELECT * FROM {name}"))) for name in tables}


def test_killed_again_and_again_it_makes_no_duplicate(
    empty_database_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    """Adoption has three pages, so that it is killed in either part."""
    legacy = with_users(empty_database_url, 400)
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda n: make_customer(stripe_simulator, "old@shop.example", userId=str(n)),
                range(1, 221),
            )
        )
    process = start_process(
        script("paidonce"), "customers", "backfill", "--rate", "150",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    for goal in (60, 200, 260, 340):
        process.wait_until(lambda goal=goal: recorded(legacy) >= goal, f"{goal} customers")
        process.kill9()
        process.start()
    assert process.wait() == 0, process.stderr()
    assert_one_each(legacy, stripe_simulator)


def test_stopped_it_says_so_and_keeps_what_is_done(
    empty_postgres_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    legacy = with_users(empty_postgres_url, 60)
    process = start_process(
        script("paidonce"), "customers", "backfill", "--rate", "20",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    process.wait_until(lambda: recorded(legacy) >= 5, "5 customers")
    assert process.terminate() == 1
    assert "stopped; run it again to go on." in process.stderr()
    assert f"created{recorded(legacy):>36}" in process.stdout()
    assert recorded(legacy) < 60
    run(legacy, stripe_simulator)
    assert_one_each(legacy, stripe_simulator)


def recorded(legacy: Legacy) -> int:
    return int(legacy.rows("SELECT count(stripe_customer_id) FROM users")[0][0])


def test_an_adoption_that_was_interrupted_goes_on_at_its_place(
    empty_postgres_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    legacy = with_users(empty_postgres_url, 1)
    for _ in range(350):
        make_customer(stripe_simulator, "nobody@shop.example")
    seq = max(item["seq"] for item in stripe_simulator.requests())
    process = start_process(
        script("paidonce"), "customers", "backfill", "--rate", "2",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    ours = own_table(legacy.url, "customer_adoption")
    place = f"SELECT last_customer_id FROM {ours} WHERE finished_at IS NULL"
    process.wait_until(lambda: bool(legacy.rows(place)), "first page")
    process.kill9()
    first_pages = len(pages(stripe_simulator, seq))
    [(kept,)] = legacy.rows(place)
    run(legacy, stripe_simulator)
    later = pages(stripe_simulator, seq)[first_pages:]
    assert later[0] == kept and later[-1] is None  # to the end, then what came on top
    assert len(later) == 4


def test_a_customer_made_after_the_kill_is_adopted_too(
    empty_postgres_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    """The list is newest first, so it stands above the place that was kept."""
    legacy = with_users(empty_postgres_url, 3)
    for _ in range(150):
        make_customer(stripe_simulator, "nobody@shop.example")
    process = start_process(
        script("paidonce"), "customers", "backfill", "--rate", "1",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    place = f"SELECT last_customer_id FROM {own_table(legacy.url, 'customer_adoption')}"
    process.wait_until(lambda: bool(legacy.rows(place)), "first page")
    process.kill9()
    late = make_customer(stripe_simulator, "else@shop.example", userId="3")
    counts = run(legacy, stripe_simulator)
    assert (counts["adopted"], counts["created"]) == (1, 2)
    assert legacy.customer_of("3") == late


def test_a_customer_made_while_the_list_is_read_is_adopted_too(
    empty_sqlite_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    legacy = with_users(empty_sqlite_url, 3)
    for _ in range(150):
        make_customer(stripe_simulator, "nobody@shop.example")
    process = start_process(
        script("paidonce"), "customers", "backfill", "--rate", "1",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    place = f"SELECT last_customer_id FROM {own_table(legacy.url, 'customer_adoption')}"
    process.wait_until(lambda: bool(legacy.rows(place)), "first page")
    late = make_customer(stripe_simulator, "else@shop.example", userId="3")
    assert process.wait() == 0, process.stderr()
    assert legacy.customer_of("3") == late


def pages(simulator: Any, seq: int) -> list[str | None]:
    """Where each page of Stripe's list of customers began."""
    return [
        item["params"].get("starting_after")
        for item in simulator.requests(after=seq)
        if (item["method"], item["path"]) == ("GET", "/v1/customers")
        and "email" not in item["params"]
    ]


def test_the_rate_is_never_exceeded(sqlite_url: str, stripe_simulator: Any, tmp_path: Any) -> None:
    legacy = with_users(f"sqlite:///{tmp_path}/rate.db", 40)
    before = len(stripe_simulator.requests())
    run(legacy, stripe_simulator, "--rate", "20")
    times = sorted(item["at"] for item in stripe_simulator.requests()[before:])
    assert len(times) >= 42
    widest = max(sum(1 for t in times if start <= t < start + 1) for start in times)
    assert times[-1] - times[0] > (len(times) - 2) / 20
    assert widest <= 25  # twenty were sent in it; some come late, and so together with the next


def test_beside_live_payments_every_user_still_has_one_customer(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 40)
    old = {str(n) for n in range(1, 41, 3)}
    for user in old:
        make_customer(stripe_simulator, f"user{user}@shop.example", userId=user)
    with running_service(legacy.url, stripe_simulator) as service, ThreadPoolExecutor(6) as threads:
        backfill = threads.submit(run, legacy, stripe_simulator)

        def pay(user: str) -> None:
            order_id = service.order(user, is_prepared=False)
            assert_success(service.pay(order_id, "pm_card_visa", user=user))

        list(threads.map(pay, [str(n) for n in range(40, 0, -1)]))
        assert backfill.result()["failed"] == 0
    assert_one_each(legacy, stripe_simulator)


def test_lost_answers_and_errors_make_no_duplicate(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 60)
    match = {"method": "POST", "path": "/v1/customers"}
    for kind, probability in (("drop_response", 0.2), ("error_after", 0.1), ("rate_limit", 0.05)):
        stripe_simulator.add_fault(
            kind=kind, match={**match, "probability": probability, "times": 9}
        )
    counts = run(legacy, stripe_simulator)
    assert (counts["failed"], counts["created"]) == (0, 60)
    stripe_simulator.clear_faults()
    assert_one_each(legacy, stripe_simulator)


def test_an_email_that_stripe_refuses_is_left_out(
    empty_sqlite_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_sqlite_url, 3)
    legacy.run("UPDATE users SET email = 'not an address' WHERE id = 2")
    assert run(legacy, stripe_simulator)["created"] == 3
    emails = {c["metadata"]["user_id"]: c["email"] for c in customers_at_stripe(stripe_simulator)}
    assert emails == {"1": "user1@shop.example", "2": None, "3": "user3@shop.example"}


def test_a_row_that_the_database_refuses_does_not_stop_the_others(
    empty_database_url: str, stripe_simulator: Any
) -> None:
    legacy = with_users(empty_database_url, 5)
    if legacy.is_postgresql:
        legacy.run(
            "UPDATE users SET nick = 'never' WHERE id IN (2, 3)",
            "ALTER TABLE users ADD CHECK (nick <> 'never') NOT VALID",
        )
    else:
        legacy.run(
            "CREATE TRIGGER no BEFORE UPDATE ON users WHEN old.id IN (2, 3)"
            " BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
    make_customer(stripe_simulator, "a@shop.example", userId="2")
    counts = run(legacy, stripe_simulator, code=1)
    assert (counts["adopted"], counts["created"]) == (0, 3)
    assert {item["user_id"] for item in counts["failures"]} == {"2", "3"}


def test_an_id_that_is_null_is_nobody(empty_postgres_url: str, stripe_simulator: Any) -> None:
    legacy = Legacy(empty_postgres_url)
    legacy.run(
        "CREATE TABLE users (id BIGINT UNIQUE, email TEXT, nick TEXT)",
        "INSERT INTO users VALUES (1, 'a@shop.example', ''), (NULL, 'b@shop.example', '')",
    )
    migrations.upgrade(legacy.url)
    counts = run(legacy, stripe_simulator)
    assert (counts["users"], counts["created"]) == (1, 1)


def test_a_moment_of_refusals_is_waited_out(empty_sqlite_url: str, stripe_simulator: Any) -> None:
    """Eight workers meet it at once; that is one fault and not eight."""
    legacy = with_users(empty_sqlite_url, 30)
    stripe_simulator.add_fault(
        kind="rate_limit", match={"method": "POST", "path": "/v1/customers", "times": 8}
    )
    assert run(legacy, stripe_simulator)["created"] == 30
    assert_one_each(legacy, stripe_simulator)


def test_a_key_that_stripe_refuses_ends_it_at_once(
    empty_sqlite_url: str, stripe_simulator: Any, start_process: StartProcess
) -> None:
    legacy = with_users(empty_sqlite_url, 3)
    stripe_simulator.add_fault(kind="error_before", match={"path": "/v1/account"}, status=401)
    process = start_process(
        script("paidonce"), "customers", "backfill",
        environment=environment(legacy.url, stripe_simulator.url),
    )  # fmt: skip
    assert process.wait() == 2
    assert "STRIPE_SECRET_KEY: Stripe does not answer" in process.stderr()
    assert recorded(legacy) == 0


def test_it_gives_up_when_stripe_stays_away(start_service: Any) -> None:
    service = start_service()
    service.order("alice", is_prepared=False)
    service.run(service.context.background.drain())
    service.simulator.add_fault(kind="rate_limit", match={"path": "/v1/customers"})
    backfill = Backfill(service.context, per_second=10, report=lambda _: None, stop=asyncio.Event())
    with pytest.raises(StripeStaysAway):
        service.run(backfill.run())


def test_users_of_our_own_are_served_too(database_url: str, stripe_simulator: Any) -> None:
    ours = Legacy(database_url)
    table = own_table(ours.url, "users")
    ours.run(f"INSERT INTO {table} (id, created_at) VALUES ('a', '2026-01-01')")
    assert run(ours, stripe_simulator)["created"] == 1
    assert len(customers_at_stripe(stripe_simulator)) == 1


# --- customers that are not ours to use ----------------------------------------------------------


@pytest.fixture
def foreign(empty_database_url: str, stripe_simulator: Any) -> Legacy:
    """The host's table has a deleted customer, and one that this account and mode never had."""
    legacy = make_legacy(empty_database_url)
    legacy.run(*REPORT_SQL)
    deleted = make_customer(stripe_simulator, "gone@shop.example")
    requests.delete(
        f"{stripe_simulator.url}/v1/customers/{deleted}",
        auth=(stripe_simulator.secret_key, ""),
        timeout=10,
    )
    legacy.set_customer("1", deleted)
    legacy.set_customer("2", "cus_of_the_live_mode")
    return legacy


@pytest.mark.parametrize("words", [("db", "upgrade"), ("serve", "--port", "0")])
def test_customers_of_the_other_mode_are_refused(
    foreign: Legacy, stripe_simulator: Any, start_process: StartProcess, words: tuple[str, ...]
) -> None:
    if words[0] == "serve" and foreign.is_postgresql:
        migrations.upgrade(foreign.url)
    before = foreign.snapshot()
    process = start_process(
        script("paidonce"), *words, environment=environment(foreign.url, stripe_simulator.url)
    )
    assert process.wait() == 2
    assert_one_sentence(process.stderr(), "cus_of_the_live_mode")
    assert foreign.snapshot() == before
    foreign.set_customer("2", None)
    upgrade = start_process(
        script("paidonce"), "db", "upgrade",
        environment=environment(foreign.url, stripe_simulator.url),
    )  # fmt: skip
    assert upgrade.wait() == 0, upgrade.stderr()
    assert "users (id)" in upgrade.stdout()


def test_a_key_that_may_not_read_the_account_does_not_leave_the_customers_unasked(
    foreign: Legacy, stripe_simulator: Any
) -> None:
    migrations.upgrade(foreign.url)
    settings = make_settings(foreign.url, stripe_simulator, stripe_secret_key="rk_test_any")
    with pytest.raises(SettingsError, match="cus_of_the_live_mode"):
        asyncio.run(preflight(settings))
    foreign.set_customer("2", None)
    asyncio.run(preflight(settings))
