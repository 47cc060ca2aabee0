"""Stripe's answers about SetupIntents and about what opens a payment sheet are checked too: a lie
in any field saves no card, hands out no secret and counts for nobody; the truth is found later."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from paidonce.observability import render_metrics
from support.card_setups import CANCEL, CREATE, LOOK, ask, begun, client_confirms, statuses
from support.envelope import assert_error, assert_success
from support.events import deliver, list_events
from support.saved_methods import listed_ids
from support.service import DECLINED_AT_ATTACH, GOOD, Running, StartService
from support.sheet import ask_sheet

LIES: dict[str, Any] = {
    "id": "seti_1Other",
    "livemode": True,
    "client_secret": "seti_1Other_secret_x",
    "customer": "cus_SomebodyElse",
    "status": "saved_in_full",
    "metadata.setup_id": "7d8b1e0c-52e3-4f6e-9c3f-1a2b3c4d5e6f",
    "metadata.user_id": "mallory",
    "metadata.namespace": "0" * 32,
    "metadata": {},
}
ATTEMPTS = {"method": "GET", "path": "/v1/setup_attempts"}
LATER = 700
SAID_IN_DOCS = {"lies": 4 * (len(LIES) + 1) + len(LIES) + (len(LIES) + 1) + 3}
"""What docs/security.md says: by the four who look, when one is made, when one is closed; and the
SetupAttempts, the customer session, the ephemeral key."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is checked is decided before any database."""
    return sqlite_url


@pytest.fixture
def service(start_service: StartService) -> Running:
    return start_service()


def alarms_of(deed: Callable[[], Any]) -> list[str]:
    """The fields that were alarmed; each alarm was counted, too."""
    before = counted()
    with capture_logs() as logs:
        deed()
    alarms = [line for line in logs if line["event"].endswith(".contradicted")]
    assert {line["log_level"] for line in alarms} <= {"critical"}
    assert counted() - before == len(alarms)
    return sorted({str(name) for line in alarms for name in line["fields"]})


def counted() -> float:
    lines = render_metrics().decode().splitlines()
    mine = [line for line in lines if line.startswith("paidonce_contradictions_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in mine)


def told_of(name: str) -> list[str]:
    """The fields in which an answer is wrong that lies in this one."""
    if name == "metadata":
        return ["metadata.namespace", "metadata.setup_id", "metadata.user_id"]
    return ["client_secret", "id"] if name == "id" else [name]


def by_list(service: Running, user: str, setup: dict[str, Any]) -> None:
    assert listed_ids(service, user) == []


def by_webhook(service: Running, user: str, setup: dict[str, Any]) -> None:
    [event] = [
        event
        for event in list_events(service)
        if event["type"] == "setup_intent.succeeded"
        and event["data"]["object"]["id"] == setup["setupIntentId"]
    ]
    deliver(service, event)
    service.work()


def by_worker(service: Running, user: str, setup: dict[str, Any]) -> None:
    service.clock.added += LATER
    service.work()


def by_next_request(service: Running, user: str, setup: dict[str, Any]) -> None:
    assert_error(ask(service, user), 503, "stripe_unavailable", "retry")


@pytest.mark.parametrize("look", [by_list, by_webhook, by_worker, by_next_request])
def test_a_lie_saves_no_card_and_the_truth_is_found(
    service: Running, look: Callable[[Running, str, dict[str, Any]], None]
) -> None:
    lies = {**LIES, "payment_method.customer": "cus_SomebodyElse"}
    for n, (name, value) in enumerate(lies.items()):
        user, card = f"user-{n}", service.simulator.create_card(GOOD)
        setup = begun(service, user)
        client_confirms(service, setup, card)
        service.simulator.add_fault(kind="lie", match=LOOK, fields={name: value})
        assert alarms_of(partial(look, service, user, setup)) == told_of(name), name
        assert service.rows("SELECT id FROM payment_methods WHERE user_id = $1", user) == [], name
        service.simulator.clear_faults()
        service.clock.added += LATER
        assert listed_ids(service, user) == [card], name


def test_a_setup_intent_that_is_made_otherwise_than_asked_is_not_handed_out(
    service: Running,
) -> None:
    for n, (name, value) in enumerate(LIES.items()):
        user = f"user-{n}"
        service.simulator.add_fault(kind="lie", match=CREATE, fields={name: value})

        def refused(user: str = user) -> None:
            assert_error(ask(service, user), 503, "stripe_unavailable", "retry")

        wrong = ["client_secret"] if name == "id" else told_of(name)
        assert alarms_of(refused) == wrong, name
        service.simulator.clear_faults()
        begun(service, user)
        assert len(statuses(service)) == n + 1, name


def test_it_is_closed_only_when_stripe_says_so_of_it(service: Running) -> None:
    for n, (name, value) in enumerate([*LIES.items(), ("status", "requires_payment_method")]):
        begun(service, f"user-{n}")
        service.simulator.add_fault(kind="lie", match=CANCEL, fields={name: value})
        service.clock.added += 3700
        service.work()
        states = "SELECT state FROM setups WHERE user_id = $1"
        assert service.rows(states, f"user-{n}") == [{"state": "open"}], name
        service.simulator.clear_faults()
        service.clock.added += LATER
        service.work()
        assert service.rows(states, f"user-{n}") == [{"state": "closed"}], name


def test_declines_of_another_setup_intent_count_for_nobody(service: Running) -> None:
    setup = begun(service)
    client_confirms(service, setup, service.simulator.create_card(DECLINED_AT_ATTACH))
    fields = {"data.*.setup_intent": "seti_1Other"}
    service.simulator.add_fault(kind="lie", match=ATTEMPTS, fields=fields)
    assert alarms_of(lambda: listed_ids(service)) == ["setup_intent"]
    assert service.rows("SELECT id FROM declined_saves") == []
    service.simulator.clear_faults()
    service.clock.added += LATER
    service.work()
    assert len(service.rows("SELECT id FROM declined_saves")) == 1


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/customer_sessions", {"customer": "cus_SomebodyElse"}),
        ("/v1/ephemeral_keys", {"associated_objects.*.id": "cus_SomebodyElse"}),
    ],
)
def test_a_secret_that_shows_another_customer_is_not_handed_out(
    service: Running, path: str, fields: dict[str, Any]
) -> None:
    order_id, version = service.order(), "2025-10-29.clover"
    match = {"method": "POST", "path": path}
    service.simulator.add_fault(kind="lie", match=match, fields=fields)

    def refused() -> None:
        assert_error(ask_sheet(service, order_id, version), 503, "stripe_unavailable", "retry")

    assert alarms_of(refused) == ["customer"]
    service.simulator.clear_faults()
    assert_success(ask_sheet(service, order_id, version))
