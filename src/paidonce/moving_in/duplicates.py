"""`paidonce customers duplicates`: users with several customers at Stripe, and a plan for each.

Stripe's list is read once into a file on disk, so memory does not grow with it; then every group is
looked at closer: what hangs on each of its customers. Nothing is merged. Stripe cannot move a
PaymentMethod: attached to one customer, it is refused by another's attach (recorded: 400, "has
already been attached to a customer"), and detached it "can no longer be used for a payment or
re-attached to a Customer" (https://docs.stripe.com/api/payment_methods/detach).
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from paidonce.domain.account import AccountCustomer
from paidonce.domain.intent import Failure, IntentStatus, Reason
from paidonce.gateway.account import AccountReader
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.payments.requests import hosts_user_id
from paidonce.reconcile.asking import Asker, CannotCompare
from paidonce.store import adoption
from paidonce.store.adoption import Found
from paidonce.store.customer_groups import CustomerGroups, Group, KnownCustomer

ENDED = (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)
MOST_NAMED = 5


class Kind(StrEnum):
    """How sure it is that a group is one person."""

    SAME_USER = "same_user"  # our books or Stripe's metadata say so
    SAME_EMAIL = "same_email"  # may be: any number of people may share an address


@dataclass(frozen=True, slots=True)
class Looked:
    """A customer and what hangs on it. `methods`: the newest 100 that are attached."""

    known: KnownCustomer
    methods: list[str]
    open_intents: list[str]
    last_paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A customer of a group. `why` says, of the one to keep, what it has before the others."""

    kind: Kind
    group: str
    looked: Looked
    is_kept: bool
    why: str
    plan: str
    done: str = ""


@dataclass
class Counts:
    customers: int = 0
    groups: int = 0
    same_user: int = 0
    same_email: int = 0
    left_out: int = 0
    recorded: int = 0


Rank = Callable[[Looked], tuple[object, ...]]
REASONS: tuple[tuple[str, Rank], ...] = (
    ("it is recorded for the user", lambda each: (each.known.is_recorded,)),
    ("the cards are attached to it", lambda each: (len(each.methods),)),
    ("it paid last", lambda each: (each.last_paid_at is not None, each.last_paid_at or 0)),
    ("it is the oldest", lambda each: (-each.known.created_at.timestamp(), each.known.id)),
)
"""In this order; the first that tells the customers apart decides."""


def choose(customers: list[Looked]) -> tuple[Looked, str]:
    """The one to keep, and why."""
    left, reason = customers, REASONS[-1][0]
    for why, rank in REASONS:
        best = max(rank(each) for each in left)
        before, left = left, [each for each in left if rank(each) == best]
        reason = why
        if len(left) == 1 and len(before) > 1:
            break
    return left[0], reason


@dataclass
class Duplicates:
    """One run. `show` gets each group's customers as soon as they were looked at; `stop` ends it
    between two calls. With `is_recording` the one to keep is recorded for a user who has none."""

    ctx: Parts
    groups: CustomerGroups
    show: Callable[[Duplicate], None]
    stop: asyncio.Event
    is_recording: bool = False
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._stripe = Asker(self.ctx, self.stop)
        self._account = AccountReader(self.ctx.gateway)

    async def run(self) -> Counts:
        """Raises CannotCompare, DatabaseUnavailable, UnknownCommit."""
        async for page in self._stripe.pages(
            lambda after: self._account.list_customers(after, REQUEST_SECONDS)
        ):
            self.counts.customers += len(page)
            self.groups.note(await self._known(page))
        for kind, groups in (
            (Kind.SAME_USER, self.groups.list_same_user()),
            (Kind.SAME_EMAIL, self.groups.list_same_email()),
        ):
            await self._take(kind, groups)
        return self.counts

    async def _known(self, page: list[AccountCustomer]) -> list[KnownCustomer]:
        """Our books come before what the metadata says."""
        ids = [each.id for each in page]
        owners = await self.ctx.db.read(lambda tx: adoption.list_owners(tx, ids))
        return [
            KnownCustomer(
                each.id,
                owners.get(each.id) or hosts_user_id(self.ctx, each.metadata),
                each.email,
                each.created_at,
                each.id in owners,
            )
            for each in page
            if each.created_at is not None
        ]

    async def _take(self, kind: Kind, groups: Iterator[Group]) -> None:
        for group in groups:
            looked = [found for each in group.members if (found := await self._look(each))]
            if len(looked) < 2:  # the others were deleted meanwhile
                continue
            self.counts.groups += 1
            self.counts.left_out += group.left_out
            kept, why = choose(looked)
            done = await self._record(kind, group.name, looked, kept)
            for each in looked:
                is_kept = each is kept
                plan = _plan_kept(kind, kept, looked, done) if is_kept else _plan(kind, each, kept)
                self._tell(
                    Duplicate(
                        kind, group.name, each, is_kept, why if is_kept else "", plan,
                        done if is_kept else "",
                    )
                )  # fmt: skip

    def _tell(self, duplicate: Duplicate) -> None:
        if not duplicate.is_kept:
            self.counts.same_user += duplicate.kind is Kind.SAME_USER
            self.counts.same_email += duplicate.kind is Kind.SAME_EMAIL
        self.show(duplicate)

    async def _look(self, known: KnownCustomer) -> Looked | None:
        """None: it was deleted since the list was read."""
        methods = await self._stripe.ask(
            lambda: self._account.list_method_ids(known.id, REQUEST_SECONDS)
        )
        if isinstance(methods, Failure):
            if methods.http_status == 404 or methods.reason is Reason.CUSTOMER_GONE:
                return None
            raise CannotCompare(f"Stripe did not show the methods of {known.id}: {methods.message}")
        open_intents: list[str] = []
        async for page in self._stripe.pages(
            lambda after: self._account.list_intents(after, REQUEST_SECONDS, customer_id=known.id)
        ):
            open_intents += [each.id for each in page if each.status not in ENDED]
        return Looked(known, methods, open_intents, await self._last_paid(known.id))

    async def _last_paid(self, customer_id: str) -> datetime | None:
        """Of the charges, newest first, the first one that succeeded."""
        async for page in self._stripe.pages(
            lambda after: self._account.list_charges(
                after, REQUEST_SECONDS, customer_id=customer_id
            )
        ):
            for charge in page:
                if charge.is_succeeded:
                    return charge.created_at
        return None

    async def _record(self, kind: Kind, name: str, looked: list[Looked], kept: Looked) -> str:
        """What `--record` did: the user's own customer, and only where he has none."""
        is_recorded = any(each.known.is_recorded for each in looked)
        if not self.is_recording or kind is not Kind.SAME_USER or is_recorded:
            return ""
        found = await self.ctx.db.transaction(
            "adopt_customer", lambda tx: adoption.adopt_customer(tx, name, kept.known.id)
        )
        if found is Found.STRANGER:
            return "nothing: no user of yours has this id"
        if found is not Found.FREE:
            return "nothing: the user has got another one meanwhile"
        self.counts.recorded += 1
        return "recorded for the user"


def _plan_kept(kind: Kind, kept: Looked, looked: list[Looked], done: str) -> str:
    if kind is Kind.SAME_EMAIL:
        return "if these are one person, keep this one; nothing is done by e-mail"
    others = [each.known.id for each in looked if each is not kept and each.methods]
    if kept.known.is_recorded and others and not kept.methods:
        return (
            f"the cards are on {', '.join(others[:MOST_NAMED])}: to keep them, write it into the"
            " users table in this one's place before the user's next payment"
        )
    if kept.known.is_recorded or done:
        return "keep it: the user pays with it"
    return "keep it: --record records it, else the backfill takes the newest"


def _plan(kind: Kind, each: Looked, kept: Looked) -> str:
    """What an operator can do about a customer that is not the one to keep."""
    if kind is Kind.SAME_EMAIL and each.known.user_id not in (None, kept.known.user_id):
        return "another user's: keep it"
    steps = []
    if each.open_intents:
        named = ", ".join(each.open_intents[:MOST_NAMED])
        steps.append(f"cancel what can still charge in Stripe's dashboard: {named}")
    if each.methods:
        steps.append(
            "leave it: Stripe cannot move its cards; on the one that is kept the user enters them"
            " again"
        )
    else:
        steps.append("delete it in Stripe's dashboard, unless subscriptions or invoices hang on it")
    return "; ".join(steps)
