"""`paidonce events …` as an operator runs it."""

import json
import subprocess
from typing import Any

import pytest
from typer.testing import CliRunner

from e2e.serving import assert_one_sentence
from paidonce.cli import app, events_view
from paidonce.webhooks.backfill import Counts
from paidonce.webhooks.inbox import Inbox
from service.test_inbox import authenticated_order, drain, inbox, set_aside
from support.environment import environment
from support.launcher import shared_launcher
from support.processes import script
from support.service import Running, running_service

STRIPE = ("DATABASE_URL", "STRIPE_API_BASE", "STRIPE_SECRET_KEY")


@pytest.fixture
def service(sqlite_url: str, stripe_simulator: Any) -> Any:
    with running_service(sqlite_url, stripe_simulator) as service:
        yield service


def events(
    service: Running, *words: str, code: int = 0, names: tuple[str, ...] = ("DATABASE_URL",)
) -> subprocess.CompletedProcess[str]:
    """The command with no more settings than it needs."""
    everything = environment(service.settings.database_url, service.simulator.url)
    done = shared_launcher().run(
        script("paidonce"), "events", *words, environment={name: everything[name] for name in names}
    )
    assert done.returncode == code, done.stderr
    return done


def test_an_event_that_was_set_aside_is_listed_shown_and_sent_again(service: Running) -> None:
    order_id, event_id, _ = set_aside(service)
    service.simulator.clear_faults()
    found: dict[str, Any] = json.loads(
        events(service, "list", "--state", "set_aside", "--limit", "5", "--json").stdout
    )
    assert (found["pending"], found["set_aside"]) == (0, 1)
    assert [event["id"] for event in found["events"]] == [event_id]
    shown: dict[str, Any] = json.loads(events(service, "show", event_id, "--json").stdout)
    assert shown["order_id"] == order_id and shown["state"] == "set_aside"
    assert shown["note"] == "the outcome is not known yet" and shown["tries"] == 15
    assert_one_sentence(events(service, "show", "evt_nobody", code=1).stderr, "evt_nobody")
    assert events(service, "resend", "--all-set-aside").stdout == "1 back to work.\n"
    assert [(row["state"], row["tries"]) for row in inbox(service)] == [("pending", 0)]
    drain(service)
    assert service.order_view(order_id)["status"] == "paid"


def test_a_backfill_reads_what_is_missing_or_says_why_it_cannot(service: Running) -> None:
    order_id, _ = authenticated_order(service)
    done = events(service, "backfill", "--since", "1h", "--json", names=STRIPE)
    assert json.loads(done.stdout).items() >= {"read": 2, "new": 2, "known": 0}.items()
    drain(service)
    assert service.order_view(order_id)["status"] == "paid"
    late = events(service, "backfill", "--since", "31d", code=2, names=STRIPE)
    assert_one_sentence(late.stderr, "30 days", "paidonce reconcile", "--since 30d")
    assert late.stdout == ""
    service.simulator.add_fault(
        match={"method": "GET", "path": "/v1/events"}, kind="error_before", status=403
    )
    refused = events(service, "backfill", "--since", "1h", code=1, names=STRIPE)
    assert "run it again" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("words", [[], ["evt_1", "--all-set-aside"]])
def test_resend_wants_one_event_or_all_that_were_set_aside(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["events", "resend", *words])
    assert result.exit_code == 2 and "--all-set-aside" in result.output


def test_people_read_a_table(service: Running) -> None:
    order_id, event_id, _ = set_aside(service)
    box = Inbox(service.context.db, service.clock)
    listed, state = service.run(box.list_latest(None, 10)), service.run(box.look())
    head, row, last = events_view.list_as_text(listed, state).splitlines()
    assert head.split() == list(events_view.COLUMNS)
    assert row.split()[:4] == [event_id, "payment_intent.succeeded", "set_aside", "15"]
    assert last == "0 pending; 1 set aside"
    assert f"order_id                  {order_id}" in events_view.event_as_text(listed[0])
    assert [
        line.split()[-1] for line in events_view.counts_as_text(Counts(6, 3, 2, 1)).splitlines()
    ] == ["6", "3", "2", "1"]
