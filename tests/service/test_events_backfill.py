"""After an outage events are read from Stripe's own list, every one once, and then worked on."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paidonce.payments.hints import WANTED_TYPES
from paidonce.store.installation import Installation
from paidonce.webhooks import backfill
from paidonce.webhooks.backfill import (
    LONGEST_PAUSE_SECONDS,
    MOST_FAULTS,
    BadSince,
    Counts,
    EventsBackfill,
    StripeStaysAway,
    read_since,
)
from support.envelope import assert_requires_action
from support.events import at_stripe, deliver, drain, list_events, make_event
from support.service import NEEDS_3DS, MovableClock, Running, StartService, running_service

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
LIST = {"method": "GET", "path": "/v1/events"}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "PAGE", 3)


@pytest.fixture
def on_sqlite(sqlite_url: str, stripe_simulator: Any) -> Iterator[Running]:
    with running_service(sqlite_url, stripe_simulator) as service:
        yield service


def pay_unseen(service: Running) -> str:
    """An order that is paid at Stripe and of which nobody has told us."""
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(NEEDS_3DS)))
    service.simulator.authenticate(action["paymentIntentId"], "success")
    return order_id


def run(
    service: Running, since: timedelta, *, stop_after: int | None = None, **changes: Any
) -> Counts:
    stop = asyncio.Event()
    reports = 0

    def report(_: Counts) -> None:
        nonlocal reports
        reports += 1
        if reports == stop_after:
            stop.set()

    context = replace(service.context, **changes)
    began = service.clock.now() - since
    counts: Counts = service.run(
        EventsBackfill(context, since=began, report=report, stop=stop).run()
    )
    return counts


def wanted(service: Running) -> list[str]:
    return [event["id"] for event in list_events(service) if event["type"] in WANTED_TYPES]


def stored(service: Running) -> list[str]:
    return [row["id"] for row in service.rows("SELECT id FROM stripe_events")]


def test_what_an_outage_kept_from_us_is_read_once_and_worked_on(
    start_service: StartService, small_pages: None
) -> None:
    service = start_service()
    orders = [pay_unseen(service) for _ in range(4)]
    delivered = [event for event in list_events(service) if event["type"] in WANTED_TYPES][1]
    deliver(service, delivered)
    counts = run(service, timedelta(hours=1))
    assert (counts.read, counts.new, counts.known, counts.ignored) == (8, 7, 1, 0)
    assert sorted(stored(service)) == sorted(wanted(service))
    assert drain(service) == 8
    for order_id in orders:
        assert service.order_view(order_id)["status"] == "paid"
        assert service.charges(order_id) == 1
    again = run(service, timedelta(hours=1))
    assert (again.read, again.new, again.known) == (8, 0, 8)
    assert drain(service) == 0


def test_only_what_came_since_then_is_read_however_the_pages_fall(
    on_sqlite: Running, small_pages: None
) -> None:
    service = on_sqlite
    for _ in range(2):
        pay_unseen(service)
    before = wanted(service)
    service.simulator.advance_clock(7200)
    service.clock.added += 7200
    for orders in range(1, 5):  # 2, 4, 6 and 8 events on pages of 3
        pay_unseen(service)
        counts = run(service, timedelta(hours=1))
        assert (counts.read, counts.new) == (2 * orders, 2)
        assert sorted(stored(service)) == sorted(set(wanted(service)) - set(before))


@pytest.mark.parametrize("orders", [0, 1, 2, 3])
def test_without_any_older_event_the_very_first_is_read_as_well(
    on_sqlite: Running, small_pages: None, orders: int
) -> None:
    service = on_sqlite
    for _ in range(orders):
        pay_unseen(service)
    assert run(service, timedelta(days=1)).new == 2 * orders
    assert sorted(stored(service)) == sorted(wanted(service))


def test_events_come_oldest_first_and_a_stopped_run_is_gone_on_with(
    on_sqlite: Running, small_pages: None
) -> None:
    service = on_sqlite
    for _ in range(6):
        pay_unseen(service)
        service.simulator.advance_clock(60)
        service.clock.added += 60
    counts = run(service, timedelta(hours=1), stop_after=2)
    assert counts.until is not None
    assert set(stored(service)) == set(wanted(service)[: counts.new]) and counts.new == 4
    rest = run(service, service.clock.now() - counts.until)
    assert sorted(stored(service)) == sorted(wanted(service))
    assert rest.new == 8 and rest.known <= 2


def test_a_run_that_dies_between_two_pages_has_stored_what_it_read(
    on_sqlite: Running, small_pages: None
) -> None:
    service = on_sqlite
    for _ in range(4):
        pay_unseen(service)

    def die(counts: Counts) -> None:
        if counts.read > 3:
            raise RuntimeError("killed")

    began = service.clock.now() - timedelta(hours=1)
    dying = EventsBackfill(service.context, since=began, report=die, stop=asyncio.Event())
    with pytest.raises(RuntimeError):
        service.run(dying.run())
    assert 3 < len(stored(service)) < 8
    run(service, timedelta(hours=1))
    assert sorted(stored(service)) == sorted(wanted(service))


class Impatient(MovableClock):
    async def sleep(self, seconds: float) -> None:
        assert seconds <= LONGEST_PAUSE_SECONDS


def test_a_stripe_that_stays_away_ends_the_run(on_sqlite: Running) -> None:
    service = on_sqlite
    service.simulator.add_fault(match=LIST, kind="error_before", status=500)
    before = service.last_request()
    with pytest.raises(StripeStaysAway, match="several times"):
        run(service, timedelta(hours=1), clock=Impatient())
    assert len(service.stripe_calls(before)) == MOST_FAULTS


@pytest.mark.parametrize("kind", ["drop_request", "error_before", "rate_limit", "truncate"])
def test_a_page_that_stripe_did_not_give_is_asked_for_again(
    on_sqlite: Running, small_pages: None, kind: str
) -> None:
    service = on_sqlite
    for _ in range(2):
        pay_unseen(service)
    service.simulator.add_fault(match={**LIST, "nth": 2, "times": 2}, kind=kind, status=500)
    assert run(service, timedelta(hours=1)).new == 4
    assert sorted(stored(service)) == sorted(wanted(service))


def test_events_of_the_other_mode_are_counted_and_not_stored(on_sqlite: Running) -> None:
    service = on_sqlite
    pay_unseen(service)
    home = service.context.installation
    live = Installation(home.namespace, "live", home.stripe_account_id)
    counts = run(service, timedelta(hours=1), installation=live)
    assert (counts.read, counts.new, counts.known, counts.ignored) == (2, 0, 0, 2)
    assert stored(service) == []


def test_a_key_that_may_not_read_events_is_not_asked_again(on_sqlite: Running) -> None:
    service = on_sqlite
    service.simulator.add_fault(match=LIST, kind="error_before", status=403)
    before = service.last_request()
    with pytest.raises(StripeStaysAway):
        run(service, timedelta(hours=1))
    assert len(service.stripe_calls(before)) == 1


def test_every_type_that_is_worked_on_is_asked_for_and_none_besides(on_sqlite: Running) -> None:
    """An event of a type that no endpoint is subscribed to would never come."""
    service = on_sqlite
    assert len(set(WANTED_TYPES)) == len(WANTED_TYPES) <= 20
    pay_unseen(service)
    subject = at_stripe(service, "GET", f"/v1/payment_intents/{intents(service)[0]}")
    kinds = [*WANTED_TYPES, "payment_intent.created", "charge.updated", "charge.failed"]
    for kind in kinds:
        deliver(service, make_event(kind, subject))
    drain(service)
    states = {
        row["type"]: (row["state"], row["note"])
        for row in service.rows("SELECT type, state, note FROM stripe_events")
    }
    unused = {kind for kind, found in states.items() if found[1] == "nothing to do for this type"}
    assert unused == set(kinds) - set(WANTED_TYPES)


def intents(service: Running) -> list[str]:
    rows = service.rows("SELECT stripe_payment_intent_id AS id FROM payments")
    return [row["id"] for row in rows]


# --- since when ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T00:00Z", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T02:00:30+02:00", datetime(2026, 11, 20, 0, 0, 30, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("12h", NOW - timedelta(hours=12)),
        ("3d", NOW - timedelta(days=3)),
        ("30d", NOW - timedelta(days=30)),
        (" 1d ", NOW - timedelta(days=1)),
    ],
)
def test_since_is_a_time_or_how_long_ago(text: str, expected: datetime) -> None:
    assert read_since(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no time"),
        ("yesterday", "is no time"),
        ("3w", "is no time"),
        ("-1d", "is no time"),
        ("99999999d", "is no time"),
        ("2026-13-01", "is no time"),
        ("2026-11-25", "future"),
        ("31d", "30 days, nothing before 2026-10-25T12:30Z"),
        ("2026-10-25T12:29Z", "30 days"),
        ("9999d", "30 days"),
    ],
)
def test_what_stripe_cannot_give_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(BadSince, match=words):
        read_since(text, NOW)
