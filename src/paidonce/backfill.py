"""`paidonce customers backfill`: a Stripe customer for every user.

First through Stripe's list of customers, adopting those whose metadata names a user of ours; then
through the users who still have none, on the same road as a payment. What is done is in the
database, the place in Stripe's list too, so a killed run is gone on with by the next. Memory holds
a page at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TypeVar

from paidonce.domain.clock import Deadline
from paidonce.domain.errors import Unavailable, not_authenticated
from paidonce.domain.intent import Customer, Failure, ListPage
from paidonce.observability import get_logger
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.payments.customers import ensure_customer
from paidonce.payments.requests import hosts_user_id
from paidonce.store import adoption, users
from paidonce.store.adoption import Found, Place
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit

PAGE = 200
MOST_AT_ONCE = 8
MOST_FAULTS = 8
LONGEST_PAUSE_SECONDS = 10.0
MOST_SWEEPS = 3
MOST_CATCH_UPS = 20
MOST_NAMED = 20
CURSOR = "starting_after"
Result = TypeVar("Result")
log = get_logger(__name__)


@dataclass
class Counts:
    """What a run has done. `duplicates` names users with a further customer at Stripe, `failures`
    users who could not get one, with a code; both at most MOST_NAMED."""

    users: int = 0
    had_customer: int = 0
    adopted: int = 0
    created: int = 0
    failed: int = 0
    duplicate_customers: int = 0
    customers_seen: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.users - self.had_customer - self.adopted - self.created

    def note_failure(self, user_id: str, code: str) -> None:
        self.failed += 1
        if len(self.failures) < MOST_NAMED:
            self.failures.append((user_id, code))

    def note_duplicate(self, user_id: str, customer_id: str) -> None:
        self.duplicate_customers += 1
        if len(self.duplicates) < MOST_NAMED:
            self.duplicates.append((user_id, customer_id))


class StripeStaysAway(Exception):
    """Stripe did not take part several times in a row; what was done is done."""


class Backfill:
    """One run. `report` is called after every step; `stop` ends it between two users."""

    def __init__(
        self,
        ctx: Parts,
        *,
        per_second: float,
        report: Callable[[Counts], None],
        stop: asyncio.Event,
        is_dry_run: bool = False,
    ) -> None:
        self._ctx = ctx
        self._at_once = max(1, min(MOST_AT_ONCE, int(per_second)))
        self._report = report
        self._stop = stop
        self._is_dry_run = is_dry_run
        self._faults = 0
        self._fault = asyncio.Lock()
        self._would_adopt: set[int] = set()
        self.counts = Counts()

    async def run(self) -> Counts:
        """Raises StripeStaysAway, DatabaseUnavailable and UnknownCommit."""
        found = await self._ctx.db.read(adoption.count_users)
        self.counts.users, self.counts.had_customer = found.users, found.with_customer
        self._report(self.counts)
        await self._adopt()
        if not self._is_dry_run:
            await self._create()
        return self.counts

    # --- adopting ------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        """The list is newest first: once at its end, whatever came on top meanwhile is read too."""
        place = Place() if self._is_dry_run else await self._ctx.db.read(adoption.get_place)
        place = await self._read_on(place)
        for _ in range(MOST_CATCH_UPS):
            newest_id = await self._catch_up(place.newest_id)
            if self._stop.is_set():
                return
            if newest_id == place.newest_id:
                break
            place = replace(place, newest_id=newest_id)
        await self._save(place, is_finished=True)

    async def _read_on(self, place: Place) -> Place:
        """From the place to the end of the list."""
        while not self._stop.is_set():
            page = await self._read_page(place.last_id)
            if page is None:
                continue
            await self._take(page.items)
            if page.items:
                newest_id = place.newest_id or page.items[0].id
                place = Place(newest_id, page.items[-1].id)
            await self._save(place, is_finished=False)
            if page.last_id is None:
                break
        return place

    async def _catch_up(self, until_id: str | None) -> str | None:
        """From the top down to a customer that was seen; gives the one on top."""
        after_id, newest_id = None, until_id
        while not self._stop.is_set():
            page = await self._read_page(after_id)
            if page is None:
                continue
            fresh = list(takewhile(lambda customer: customer.id != until_id, page.items))
            await self._take(fresh)
            if after_id is None and fresh:
                newest_id = fresh[0].id
            if len(fresh) < len(page.items) or page.last_id is None:
                break
            after_id = page.last_id
        return newest_id

    async def _read_page(self, after_id: str | None) -> ListPage[Customer] | None:
        """None: not this time. From the top where the place in the list is gone."""
        page = await self._ctx.gateway.list_customers_page(after_id, REQUEST_SECONDS)
        if isinstance(page, Failure) and page.param == CURSOR:
            page = await self._ctx.gateway.list_customers_page(None, REQUEST_SECONDS)
        if isinstance(page, Failure):
            await self._pause_after_fault()
            return None
        self._faults = 0
        return page

    async def _take(self, customers: list[Customer]) -> None:
        """Adopt those that belong to a user who has none."""
        self.counts.customers_seen += len(customers)
        named = [
            (user_id, customer.id)
            for customer in customers
            if (user_id := hosts_user_id(self._ctx, customer.metadata)) is not None
        ]

        async def look(tx: Transaction) -> list[Found]:
            return [await adoption.look_at_customer(tx, *each) for each in named]

        results = await self._ctx.db.read(look) if named else []
        for (user_id, customer_id), found in zip(named, results, strict=True):
            if found is Found.FREE:
                await self._adopt_one(user_id, customer_id)
            elif found is Found.DUPLICATE:
                self.counts.note_duplicate(user_id, customer_id)
        self._report(self.counts)

    async def _adopt_one(self, user_id: str, customer_id: str) -> None:
        found: Found | None = Found.FREE
        if self._is_dry_run:
            found = Found.DUPLICATE if hash(user_id) in self._would_adopt else Found.FREE
            self._would_adopt.add(hash(user_id))
        else:
            found = await self._write(
                user_id, lambda tx: adoption.adopt_customer(tx, user_id, customer_id)
            )
        if found is Found.FREE:
            self.counts.adopted += 1
        elif found is Found.DUPLICATE:
            self.counts.note_duplicate(user_id, customer_id)

    async def _save(self, place: Place, *, is_finished: bool) -> None:
        if self._is_dry_run:
            return
        now = self._ctx.clock.now()
        await self._ctx.db.transaction(
            "adoption_place",
            lambda tx: adoption.save_place(tx, place, now, is_finished=is_finished),
        )

    # --- creating ------------------------------------------------------------------------------

    async def _create(self) -> None:
        """Several sweeps, since a user whose turn met a fault comes again."""
        for _ in range(MOST_SWEEPS):
            self.counts.failed = 0
            self.counts.failures.clear()
            is_worth_another = await self._sweep()
            if self._stop.is_set() or not is_worth_another:
                return

    async def _sweep(self) -> bool:
        """Once through the users without a customer; whether a fault has left some behind."""
        after: str | None = None
        has_faults = False
        while not self._stop.is_set():
            user_ids = await self._list_without_customer(after)
            if not user_ids:
                break
            waiting = iter(user_ids)
            try:
                async with asyncio.TaskGroup() as group:
                    works = [
                        group.create_task(self._work_through(waiting)) for _ in range(self._at_once)
                    ]
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
            has_faults = has_faults or any(work.result() for work in works)
            after = user_ids[-1]
        return has_faults

    async def _list_without_customer(self, after: str | None) -> list[str]:
        return await self._ctx.db.read(lambda tx: adoption.list_without_customer(tx, after, PAGE))

    async def _work_through(self, waiting: Iterator[str]) -> bool:
        has_faults = False
        for user_id in waiting:
            if self._stop.is_set():
                break
            has_faults = await self._create_for(user_id) or has_faults
            self._report(self.counts)
        return has_faults

    async def _create_for(self, user_id: str) -> bool:
        """True when Stripe did not take part."""
        now = self._ctx.clock.now()
        is_known = await self._write(user_id, lambda tx: users.ensure_user(tx, user_id, None, now))
        if not is_known:  # the host has deleted him meanwhile, or the row cannot be written
            return False
        deadline = Deadline.after(self._ctx.clock, REQUEST_SECONDS)
        try:
            answer = await ensure_customer(self._ctx, user_id, deadline, may_be_hosts=False)
        except (DatabaseUnavailable, UnknownCommit):
            raise
        except Exception as error:  # noqa: BLE001 - one bad row must not stop the others
            self._note_bad_row(user_id, error)
            return False
        if isinstance(answer, str):
            self._faults = 0
            self.counts.created += 1
            return False
        if answer.code == not_authenticated().code:
            return False
        self.counts.note_failure(user_id, answer.code)
        if isinstance(answer, Unavailable):
            await self._pause_after_fault()
            return True
        return False

    async def _write(
        self, user_id: str, work: Callable[[Transaction], Awaitable[Result]]
    ) -> Result | None:
        """None: the database refuses this user's row (a check or a trigger of the host's)."""
        try:
            return await self._ctx.db.transaction("backfill_user", work)
        except (DatabaseUnavailable, UnknownCommit):
            raise
        except Exception as error:  # noqa: BLE001 - one bad row must not stop the others
            self._note_bad_row(user_id, error)
            return None

    def _note_bad_row(self, user_id: str, error: Exception) -> None:
        """Its words may hold the row's contents: only the kind of error is told."""
        self.counts.note_failure(user_id, type(error).__name__)

    async def _pause_after_fault(self) -> None:
        """One pause for all who met the fault; a row of pauses without a success ends the run."""
        seen = self._faults
        async with self._fault:
            if self._faults != seen:
                return
            self._faults += 1
            if self._faults >= MOST_FAULTS:
                raise StripeStaysAway
            await self._ctx.clock.sleep(min(0.5 * 2**self._faults, LONGEST_PAUSE_SECONDS))
