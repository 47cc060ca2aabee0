"""`paidonce events backfill`: what an outage kept from us is read from Stripe's own list.

Oldest first, a page at a time, into the inbox, each event once and judged as if it had been
delivered; the worker does the rest. A run that was stopped is gone on with by the next one, or
begun again: what is known already is only counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paidonce.domain.intent import EventsPage, Failure
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.payments.hints import WANTED_TYPES
from paidonce.store import inbox
from paidonce.store.engine import Transaction
from paidonce.webhooks.intake import find_stranger, is_event, read_event
from paidonce.when import parse_time

LISTED_FOR = timedelta(days=30)
"""Stripe lists events of the last 30 days (https://docs.stripe.com/api/events/list)."""
PAGE = 100
MOST_FAULTS = 8
LONGEST_PAUSE_SECONDS = 10.0


class BadSince(ValueError):
    """A time from which nothing can be read, in one sentence."""


class StripeStaysAway(Exception):
    """Stripe did not show its list; what was read is stored. The text says why."""


@dataclass
class Counts:
    """`read` = new + known + ignored (of the other mode or another account, or no event at all).
    `until` is when the last event that was read was made: a stopped run goes on from there."""

    read: int = 0
    new: int = 0
    known: int = 0
    ignored: int = 0
    until: datetime | None = None


def read_since(text: str, now: datetime) -> datetime:
    """A time as a person writes it. Raises BadSince for what is none, for the future, and for what
    Stripe does not list any more."""
    try:
        since = parse_time(text, now)
    except ValueError as error:
        raise BadSince(f"--since: {error}.") from None
    if since > now:
        raise BadSince("--since lies in the future.")
    first = now - LISTED_FOR
    if since < first:
        raise BadSince(
            f"Stripe lists the events of {LISTED_FOR.days} days, nothing before"
            f" {first:%Y-%m-%dT%H:%MZ}: what happened earlier is found by `paidonce reconcile`;"
            f" for the rest say --since {LISTED_FOR.days}d."
        )
    return since


class EventsBackfill:
    """One run. `report` is called after every page; `stop` ends it between two pages."""

    def __init__(
        self,
        ctx: Parts,
        *,
        since: datetime,
        report: Callable[[Counts], None],
        stop: asyncio.Event,
    ) -> None:
        self._ctx = ctx
        self._since = since
        self._report = report
        self._stop = stop
        self.counts = Counts()

    async def run(self) -> Counts:
        """Raises StripeStaysAway, DatabaseUnavailable and UnknownCommit."""
        place = await self._find_start()
        while place is not None and not self._stop.is_set():
            page = await self._read_page(ending_before=place)
            await self._take(page.events)
            place = str(page.events[0]["id"]) if page.events and page.has_more else None
        return self.counts

    async def _find_start(self) -> str | None:
        """The event before all that are wanted. Where Stripe has none so old, the oldest it has,
        which then is taken here."""
        seconds = int(self._since.timestamp())
        older = await self._read_page(limit=1, created={"lt": seconds})
        if older.events:
            return str(older.events[0]["id"])
        page = await self._read_page()
        while page.has_more and not self._stop.is_set():
            page = await self._read_page(starting_after=page.events[-1]["id"])
        if not page.events or self._stop.is_set():
            return None
        await self._take(page.events[-1:])
        return str(page.events[-1]["id"])

    async def _read_page(self, **place: Any) -> EventsPage:
        query = {"types": list(WANTED_TYPES), "limit": PAGE, **place}
        for fault in range(MOST_FAULTS):
            if fault:
                await self._ctx.clock.sleep(min(0.5 * 2**fault, LONGEST_PAUSE_SECONDS))
            page = await self._ctx.gateway.list_events_page(query, REQUEST_SECONDS)
            if isinstance(page, EventsPage):
                return page
            if _is_refused(page):
                raise StripeStaysAway(f"Stripe refused: {page.message}")
        raise StripeStaysAway("Stripe did not take part several times in a row")

    async def _take(self, payloads: list[dict[str, Any]]) -> None:
        """Oldest first, a page in one transaction."""
        now = self._ctx.clock.now()
        home = self._ctx.installation
        ours = [each for each in payloads if is_event(each) and find_stranger(home, each) is None]
        events = [read_event(home, each) for each in reversed(ours)]

        async def insert(tx: Transaction) -> int:
            return sum([await inbox.insert_event_once(tx, event, now) for event in events])

        new = await self._ctx.db.transaction("events_backfill", insert) if events else 0
        self.counts.read += len(payloads)
        self.counts.new += new
        self.counts.known += len(events) - new
        self.counts.ignored += len(payloads) - len(events)
        if events:
            self.counts.until = events[-1].event_created_at
        self._report(self.counts)


def _is_refused(failure: Failure) -> bool:
    """Asking again would be refused again: the key may not, or the place in the list is gone."""
    status = failure.http_status
    return status is not None and 400 <= status < 500 and status not in (409, 429)
