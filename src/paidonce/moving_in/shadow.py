"""`paidonce shadow`: what the server that is there does to its Stripe account, before any move.

It reads the account's lists of a window into a file, finds what is wrong by SQL over that file, and
with `watch` goes on by Stripe's events: each is a hint only, what it is about is read anew. Nothing
but GETs: the transport under the gateway sends nothing else.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from paidonce.domain.account import AccountCharge, AccountCustomer, AccountIntent
from paidonce.domain.intent import Failure, Window
from paidonce.gateway.account import AccountReader
from paidonce.payments.context import REQUEST_SECONDS
from paidonce.payments.requests import NAMESPACE
from paidonce.reconcile.asking import Asker, CannotCompare, KeyRefused, Source
from paidonce.store.watched import Row, Watched
from paidonce.webhooks.backfill import LISTED_FOR
from paidonce.when import times

KEEP = timedelta(days=90)
"""What is over and older is forgotten while it watches."""
OVERLAP = timedelta(minutes=5)
"""Events may come into the list late: that far back it is read again."""
AGAIN = timedelta(hours=1)
"""That far back a run that goes on reads the lists again."""
HINTS_AT_ONCE = 100
LOOK_AGAIN = timedelta(minutes=10)
"""Without anything new it is looked that often at what has grown old."""
READ_UNTIL = "read_until"
TYPES = (
    "charge.succeeded", "charge.failed", "charge.captured", "charge.refunded",
    "payment_intent.created", "payment_intent.requires_action", "payment_intent.processing",
    "payment_intent.amount_capturable_updated", "payment_intent.succeeded",
    "payment_intent.payment_failed", "payment_intent.canceled",
    "customer.created", "customer.updated", "customer.deleted",
)  # fmt: skip


class Kind(StrEnum):
    DOUBLE_CHARGE = "double_charge"
    LIKELY_DOUBLE_CHARGE = "likely_double_charge"
    CHARGE_WITHOUT_ORDER = "charge_without_order"
    ORPHAN_INTENT = "orphan_intent"
    REUSE_REFUSED = "reuse_refused"
    DEAD_METHOD = "dead_method"
    DUPLICATE_CUSTOMER = "duplicate_customer"
    SAME_EMAIL = "same_email"


MEANING: dict[Kind, str] = {
    Kind.DOUBLE_CHARGE: "An order that was charged more than once: each charge beside the one that"
    " is the order's. Refund it, unless the order was meant to be paid in parts.",
    Kind.LIKELY_DOUBLE_CHARGE: "The same payer, amount and currency a short time after another"
    " charge, and not both name an order. Look at both: nothing proves that they are one order.",
    Kind.CHARGE_WITHOUT_ORDER: "A charge whose metadata names no order: nobody can tell whether it"
    " was charged twice. If the order stands under another name, say it with --order-key.",
    Kind.ORPHAN_INTENT: "An intent that was left lying and can still charge. Cancel it at Stripe"
    " when its order is paid or given up.",
    Kind.REUSE_REFUSED: "An intent that Stripe refused because its method may not be used again."
    " Most of these refusals leave no trace; dead_method says which methods they hit.",
    Kind.DEAD_METHOD: "A PaymentMethod that was used without a Customer: Stripe refuses it from"
    " then on. Its user has to enter the card again.",
    Kind.DUPLICATE_CUSTOMER: "A further customer of a user. `paidonce customers duplicates` says"
    " which one to keep.",
    Kind.SAME_EMAIL: "Customers with one e-mail. They may be one person, and may be not.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """`amount_minor`: of a charge what was not given back, of an intent what it can charge."""

    kind: Kind
    stripe_id: str
    detail: str
    order: str = ""
    amount_minor: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """What to look at, and how. `order_keys` and `user_keys` are names of metadata, the first that
    is there counts."""

    since: datetime
    order_keys: tuple[str, ...]
    user_keys: tuple[str, ...]
    within: timedelta
    idle: timedelta


@dataclass
class Counts:
    """`money`: what is at stake by kind and currency, in minor units."""

    intents: int = 0
    charges: int = 0
    customers: int = 0
    events: int = 0
    found: Counter[Kind] = field(default_factory=Counter)
    money: defaultdict[Kind, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


class Shadow:
    """One run. `show` gets every finding once, `complain` what stood in the way of a round."""

    def __init__(
        self,
        source: Source,
        watched: Watched,
        watch: Watch,
        *,
        show: Callable[[Finding], None],
        stop: asyncio.Event,
    ) -> None:
        self._clock = source.clock
        self._account = AccountReader(source.gateway)
        self._stripe = Asker(source, stop)
        self._watched = watched
        self._watch = watch
        self._show = show
        self._stop = stop
        self.counts = Counts()

    async def run_once(self) -> None:
        """The lists of the window, and what is wrong in them. A run that goes on reads the lists
        since the last one, and by events what has happened to anything older. Raises
        CannotCompare."""
        began, known = self._clock.now(), self._read_until()
        since = known - AGAIN if known else self._watch.since
        customers = Window(since)
        if known and began - known < LISTED_FOR - OVERLAP:
            await self._note_events(known - OVERLAP)
        else:
            since, customers = min(since, self._watch.since), Window()
        await self.read_payments(Window(since))
        await self._read_customers(customers)
        await self._read_hinted()
        self._watched.put(READ_UNTIL, began.isoformat())
        self._tell()

    async def watch(self, every_seconds: float, complain: Callable[[str], None]) -> None:
        """`run_once`, then by events until `stop`. Raises KeyRefused."""
        has_lists, told_at = False, self._clock.now()
        while not self._stop.is_set():
            try:
                if not has_lists:
                    await self.run_once()
                    has_lists = True
                elif await self._read_events() or self._clock.now() - told_at > LOOK_AGAIN:
                    self._tell()
                    told_at = self._clock.now()
            except KeyRefused:
                raise
            except CannotCompare as error:
                if not self._stop.is_set():
                    complain(f"{error}; it goes on in {every_seconds:.0f} s.")
            await self._pause(every_seconds)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    # --- reading -------------------------------------------------------------------------------

    async def read_payments(self, window: Window) -> None:
        """Intents and charges. Raises CannotCompare."""
        async for intents in self._stripe.pages(
            lambda after: self._account.list_intents(after, REQUEST_SECONDS, window)
        ):
            self.counts.intents += len(intents)
            self._watched.note_intents([self._intent(each) for each in intents])
        async for charges in self._stripe.pages(
            lambda after: self._account.list_charges(after, REQUEST_SECONDS, window)
        ):
            self.counts.charges += len(charges)
            self._watched.note_charges([self._charge(each) for each in charges])

    async def _read_customers(self, window: Window) -> None:
        """At first from ever: a duplicate is as old as it is."""
        async for customers in self._stripe.pages(
            lambda after: self._account.list_customers(after, REQUEST_SECONDS, window)
        ):
            self.counts.customers += len(customers)
            self._watched.note_customers([self._customer(each) for each in customers])

    async def _read_events(self) -> bool:
        """Whether there was anything new."""
        began = self._clock.now()
        await self._note_events((self._read_until() or began) - OVERLAP)
        is_new = await self._read_hinted()
        self._watched.put(READ_UNTIL, began.isoformat())
        self._watched.prune(_seconds(began - KEEP))
        return is_new

    def _read_until(self) -> datetime | None:
        known = self._watched.get(READ_UNTIL)
        return datetime.fromisoformat(known) if known else None

    async def _note_events(self, since: datetime) -> None:
        async for events in self._stripe.pages(
            lambda after: self._account.list_events(TYPES, since, after, REQUEST_SECONDS)
        ):
            self.counts.events += len(events)
            self._watched.note_events(
                [(each.id, each.object_id, _seconds(each.created_at)) for each in events]
            )

    async def _read_hinted(self) -> bool:
        """What events were about and no list has shown since; whether there was any."""
        is_new = False
        while hints := self._watched.list_hints(HINTS_AT_ONCE):
            is_new = True
            for object_id in hints:
                await self._read_again(object_id)
                self._watched.forget_hint(object_id)
        return is_new

    async def _read_again(self, object_id: str) -> None:
        """As it stands now; what Stripe does not know any more is left as it was."""
        account, left = self._account, REQUEST_SECONDS
        kind = object_id.partition("_")[0]
        if kind == "pi":
            intent = await self._stripe.ask(lambda: account.retrieve_intent(object_id, left))
            if not isinstance(intent, Failure):
                self.counts.intents += 1
                self._watched.note_intents([self._intent(intent)])
        elif kind == "cus":
            customer = await self._stripe.ask(lambda: account.retrieve_customer(object_id, left))
            if isinstance(customer, Failure) or customer.created_at is None:
                self._watched.forget_customer(object_id)
            else:
                self.counts.customers += 1
                self._watched.note_customers([self._customer(customer)])
        else:
            charge = await self._stripe.ask(lambda: account.retrieve_charge(object_id, left))
            if not isinstance(charge, Failure):
                self.counts.charges += 1
                self._watched.note_charges([self._charge(charge)])

    def _intent(self, intent: AccountIntent) -> tuple[object, ...]:
        return (
            intent.id,
            _first(intent.metadata, self._watch.order_keys),
            str(intent.status),
            intent.amount,
            intent.currency,
            _seconds(intent.created_at),
            intent.customer,
            intent.method_id,
            intent.is_tried,
            intent.has_consent,
            intent.is_reuse_refused,
            _is_ours(intent.metadata),
        )

    def _charge(self, charge: AccountCharge) -> tuple[object, ...]:
        return (
            charge.id,
            charge.intent_id,
            _first(charge.metadata, self._watch.order_keys),
            charge.amount,
            charge.amount_refunded,
            charge.currency,
            _seconds(charge.created_at),
            charge.is_succeeded,
            charge.customer,
            charge.method_id,
            charge.fingerprint,
        )

    def _customer(self, customer: AccountCustomer) -> tuple[object, ...]:
        return (
            customer.id,
            _first(customer.metadata, self._watch.user_keys),
            (customer.email or "").strip().lower() or None,
            _seconds(customer.created_at) if customer.created_at else 0,
        )

    # --- telling -------------------------------------------------------------------------------

    def _tell(self) -> None:
        for finding in self._find():
            if self._watched.tell_once(finding.kind, finding.stripe_id):
                self.counts.found[finding.kind] += 1
                if finding.amount_minor:
                    self.counts.money[finding.kind][finding.currency] += finding.amount_minor
                self._show(finding)

    def _find(self) -> Iterator[Finding]:
        watched, watch = self._watched, self._watch
        for row in watched.list_double_charges():
            detail = f"the order has {row.count} charges; {row.other} is the order's"
            yield _finding(Kind.DOUBLE_CHARGE, row, f"{detail}{_given_back(row)}")
        for row in watched.list_likely_double_charges(int(watch.within.total_seconds())):
            detail = f"the same payer and amount as {row.other}"
            yield _finding(Kind.LIKELY_DOUBLE_CHARGE, row, f"{detail}{_given_back(row)}")
        for row in watched.list_without_order():
            yield _finding(Kind.CHARGE_WITHOUT_ORDER, row, "its metadata names no order")
        for row in watched.list_orphans(_seconds(self._clock.now() - watch.idle)):
            beside = f", although {row.other} has paid its order" if row.other else ""
            yield _finding(Kind.ORPHAN_INTENT, row, f"it is {row.status}{beside}")
        for row in watched.list_refused_reuse():
            yield _finding(Kind.REUSE_REFUSED, row, f"it is {row.status}")
        for row in watched.list_dead_methods():
            detail = f"used without a customer, {times(row.count)}"
            yield _finding(Kind.DEAD_METHOD, row, detail)
        for row in watched.list_duplicate_customers():
            detail = f"one of {row.count} of the user {row.order_key}; {row.other} is the first"
            yield Finding(Kind.DUPLICATE_CUSTOMER, row.id, detail)
        for row in watched.list_same_email():
            detail = f"one of {row.count} with the e-mail of {row.other}"
            yield Finding(Kind.SAME_EMAIL, row.id, detail)


def _finding(kind: Kind, row: Row, detail: str) -> Finding:
    return Finding(kind, row.id, detail, row.order_key or "", row.amount, row.currency)


def _given_back(row: Row) -> str:
    return ", and it was given back" if row.amount == 0 else ""


def _first(metadata: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((metadata[name] for name in names if metadata.get(name)), None)


def _is_ours(metadata: Mapping[str, str]) -> bool:
    """Made by paidonce: `paidonce reconcile` looks at its open intents, which may be fine."""
    return "payment_id" in metadata and bool(NAMESPACE.fullmatch(metadata.get("namespace", "")))


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
