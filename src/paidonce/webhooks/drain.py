"""The work on stored events: inbox -> payments, a batch at a time.

Any number of drainers may run. An event whose worker died comes again when its lease is over.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from paidonce.observability import get_logger, record_events_set_aside, timeline
from paidonce.payments.context import Context
from paidonce.payments.hints import subject_of, work_hint
from paidonce.store import inbox
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.inbox import InboxEvent

BATCH = 16
"""What is looked at together: memory and Stripe's rate limit (100 reads a second) bear it."""
LEASE = timedelta(seconds=60)
"""Outlives the work on a batch, which ends with the 25 s of a visitor."""
TURN_SECONDS = 5.0
"""Then the other rounds of a worker have their turn, however full the inbox is."""
MAX_TRIES = 15
LONGEST_PAUSE_SECONDS = 3600
"""Pauses of 2, 4, 8 … s up to an hour: the last try is four hours after the first."""
AWAY = "away"
"""The result of a try that did not succeed while Stripe is away: the event stays pending."""
Result = tuple[InboxEvent, str, str | None]
log = get_logger(__name__)


async def drain_once(ctx: Context) -> int:
    """Work on the events whose time has come, for TURN_SECONDS at most; how many there were.

    While the circuit to Stripe is open nothing is taken, and a try that ends with an open circuit
    is given back: an outage costs no event its tries.
    """
    ends_at = ctx.clock.monotonic() + TURN_SECONDS
    count = 0
    while not ctx.gateway.is_circuit_open:
        taken = await _drain_batch(ctx)
        count += taken
        if taken < BATCH or ctx.clock.monotonic() >= ends_at:
            break
    return count


async def _drain_batch(ctx: Context) -> int:
    now = ctx.clock.now()
    due = await ctx.db.transaction(
        "take_events", lambda tx: inbox.take_due_events(tx, now, now + LEASE, BATCH)
    )
    # Taken more often than that, an event has never let its worker come to an end.
    results: list[Result] = [
        (each, "pending", "no try was finished") for each in due if each.tries > MAX_TRIES
    ]
    groups = _by_subject(each for each in due if each.tries <= MAX_TRIES)
    for worked in await asyncio.gather(*(_work_on(ctx, events) for events in groups)):
        results += worked
    if results:
        await _finish(ctx, results)
    return len(due)


def _by_subject(due: Iterable[InboxEvent]) -> list[list[InboxEvent]]:
    """Events that one look answers: all of them were sent before it."""
    groups: dict[tuple[str, str], list[InboxEvent]] = defaultdict(list)
    for event in due:
        groups[subject_of(event)].append(event)
    return list(groups.values())


async def _work_on(ctx: Context, events: list[InboxEvent]) -> list[Result]:
    """Empty when the database did not take part: they come again when the lease is over."""
    order_id = next((event.order_id for event in events if event.order_id), None)
    event = replace(events[0], order_id=order_id)
    try:
        with timeline() as steps:
            worked = await work_hint(ctx, event)
    except (DatabaseUnavailable, UnknownCommit):
        return []
    except Exception as error:
        log.exception("event.failed", event_id=event.id, type=event.type)
        worked = "pending", type(error).__name__
    else:
        log.info(
            "event.looked_at",
            event_id=event.id,
            type=event.type,
            state=worked[0],
            steps=steps.lines(),
        )
    state, note = worked
    is_away = state == "pending" and ctx.gateway.is_circuit_open
    return [(each, AWAY if is_away else state, note) for each in events]


async def _finish(ctx: Context, results: list[Result]) -> None:
    now = ctx.clock.now()
    finished: dict[tuple[str, str | None], list[InboxEvent]] = defaultdict(list)
    again: list[tuple[InboxEvent, str]] = []
    for event, state, note in results:
        if state == AWAY or (state == "pending" and event.tries < MAX_TRIES):
            again.append((event, note or ""))
        else:
            finished["set_aside" if state == "pending" else state, note].append(event)
    away = [event.id for event, state, _ in results if state == AWAY]

    async def work(tx: Transaction) -> None:
        for (state, note), events in finished.items():
            await inbox.finish_events(tx, [event.id for event in events], state, note, now)
        for event, why in again:
            pause = min(2**event.tries, LONGEST_PAUSE_SECONDS)
            await inbox.put_off_event(tx, event.id, why, now + timedelta(seconds=pause))
        if away:
            await inbox.give_tries_back(tx, away)

    try:
        await ctx.db.transaction("events_worked", work)
    except (DatabaseUnavailable, UnknownCommit):
        log.warning("events.not_finished", count=len(results))
        return
    for (state, note), events in finished.items():
        if state == "set_aside":
            record_events_set_aside(len(events))
            ids = [event.id for event in events]
            log.error("events.set_aside", event_ids=ids, type=events[0].type, note=note)
