"""`paidonce customers backfill`: a Stripe customer for every user.

First through Stripe's list of customers, adopting those whose metadata names a user of ours; then
through the users who still have none, on the same road as a payment. Both remember their place in
the database, so a killed run is gone on with by the next. Memory holds a page at a time.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from paidonce.domain.clock import Deadline
from paidonce.domain.errors import Unavailable
from paidonce.domain.intent import Customer, CustomersPage, Failure
from paidonce.observability import get_logger
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.payments.customers import ensure_customer
from paidonce.payments.requests import hosts_user_id
from paidonce.store import adoption, users
from paidonce.store.adoption import Found
from paidonce.store.engine import Transaction

PAGE = 200
MOST_AT_ONCE = 8
MOST_FAULTS = 8
LONGEST_PAUSE_SECONDS = 10.0
MOST_SWEEPS = 3
MOST_NAMED = 20
CURSOR = "starting_after"
log = get_logger(__name__)


@dataclass
class Counts:
    """What a run has done. `duplicates` names users who have more than one customer at Stripe."""

    users: int = 0
    had_customer: int = 0
    adopted: int = 0
    created: int = 0
    failed: int = 0
    duplicate_customers: int = 0
    customers_seen: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.users - self.had_customer - self.adopted - self.created


class StripeStaysAway(Exception):
    """Stripe did not answer several times in a row; what was done is done."""


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
        self._would_adopt: set[int] = set()
        self.counts = Counts()

    async def run(self) -> Counts:
        """Raises StripeStaysAway, and DatabaseUnavailable as the database is."""
        found = await self._ctx.db.read(adoption.count_users)
        self.counts.users, self.counts.had_customer = found.users, found.with_customer
        self._report(self.counts)
        await self._adopt()
        if not self._is_dry_run:
            await self._create()
        return self.counts

    # --- adopting ------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        place = None if self._is_dry_run else await self._ctx.db.read(adoption.get_place)
        while not self._stop.is_set():
            page = await self._ctx.gateway.list_customers_page(place, REQUEST_SECONDS)
            if isinstance(page, Failure):
                if page.param == CURSOR:  # the customer we stopped at has been deleted
                    place = None
                    continue
                await self._pause_after_fault(page.message)
                continue
            self._faults = 0
            await self._take_page(page)
            place = page.last_id
            self._report(self.counts)
            if place is None:
                return

    async def _take_page(self, page: CustomersPage) -> None:
        self.counts.customers_seen += len(page.customers)
        named = [
            (user_id, customer)
            for customer in page.customers
            if (user_id := hosts_user_id(self._ctx, customer.metadata)) is not None
        ]

        async def look(tx: Transaction) -> list[Found]:
            return [await adoption.look_at_customer(tx, each, its.id) for each, its in named]

        async def adopt(tx: Transaction) -> list[Found]:
            results = [await adoption.adopt_customer(tx, each, its.id) for each, its in named]
            is_finished = page.last_id is None
            await adoption.save_place(
                tx, page.last_id, self._ctx.clock.now(), is_finished=is_finished
            )
            return results

        db = self._ctx.db
        results = await (db.read(look) if self._is_dry_run else db.transaction("adopt", adopt))
        for (user_id, customer), result in zip(named, results, strict=True):
            self._count(user_id, customer, result)

    def _count(self, user_id: str, customer: Customer, result: Found) -> None:
        if result is Found.FREE and self._is_dry_run:
            known = hash(user_id) in self._would_adopt
            self._would_adopt.add(hash(user_id))
            result = Found.DUPLICATE if known else Found.FREE
        if result is Found.FREE:
            self.counts.adopted += 1
        elif result is Found.DUPLICATE:
            self.counts.duplicate_customers += 1
            if len(self.counts.duplicates) < MOST_NAMED:
                self.counts.duplicates.append((user_id, customer.id))

    # --- creating ------------------------------------------------------------------------------

    async def _create(self) -> None:
        """Several sweeps, since a user whose turn met a fault comes again."""
        for _ in range(MOST_SWEEPS):
            self.counts.failed = 0
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
                return has_faults
            waiting = iter(user_ids)
            results = await asyncio.gather(
                *(self._work_through(waiting) for _ in range(self._at_once))
            )
            has_faults = has_faults or any(results)
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
        await self._ctx.db.transaction("user", lambda tx: users.ensure_user(tx, user_id, None, now))
        deadline = Deadline.after(self._ctx.clock, REQUEST_SECONDS)
        answer = await ensure_customer(self._ctx, user_id, deadline, may_be_hosts=False)
        if isinstance(answer, str):
            self._faults = 0
            self.counts.created += 1
            return False
        self.counts.failed += 1
        if not isinstance(answer, Unavailable):
            log.warning("customer.refused", code=answer.code)
            return False
        await self._pause_after_fault(answer.message)
        return True

    async def _pause_after_fault(self, message: str) -> None:
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            raise StripeStaysAway(message)
        pause = min(0.5 * 2**self._faults, LONGEST_PAUSE_SECONDS)
        await self._ctx.clock.sleep(pause)
