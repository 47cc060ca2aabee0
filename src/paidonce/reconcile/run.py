"""`paidonce reconcile`: Stripe's lists against our books, then our books against what was listed.

Both are read a page at a time; what has to be remembered (ids that were seen) lies in a file on
disk, so memory does not grow with the number of intents. A disagreement is looked at a second time
before it is told: Stripe is asked anew, then our books, so that a payment made during the run is
none. Nothing is written without a `Fixer`, and a run that was stopped is simply run again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from paidonce.domain.intent import (
    Charge,
    Failure,
    Intent,
    IntentStatus,
    ListPage,
    Reason,
    Window,
)
from paidonce.domain.states import PaymentState
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.payments.requests import hosts_user_id
from paidonce.reconcile.asking import Asker, CannotCompare
from paidonce.reconcile.compare import (
    IN_FLIGHT,
    compare_charge,
    compare_intent,
    is_ours,
    is_returned,
    known_of,
    payment_time,
)
from paidonce.reconcile.findings import Finding, Kind, Remedy
from paidonce.reconcile.fix import LEFT, Fixer, leave
from paidonce.store import adoption, comparison, orders, payments
from paidonce.store.adoption import Found
from paidonce.store.comparison import Books, Named, Times
from paidonce.store.engine import Transaction
from paidonce.store.rows import PaymentRow
from paidonce.store.scratch import Scratch

PAGE = 200
Item = TypeVar("Item")


@dataclass
class Counts:
    """What was looked at and what was found. `foreign` intents are not this installation's,
    `dismissed` ones a person has dismissed."""

    intents: int = 0
    foreign: int = 0
    dismissed: int = 0
    charges: int = 0
    customers: int = 0
    payments: int = 0
    users: int = 0
    found: Counter[Kind] = field(default_factory=Counter)
    fixed: int = 0

    @property
    def findings(self) -> int:
        return self.found.total()


class Reconcile:
    """One run. `show` gets a finding as soon as it is sure; `stop` ends it between two calls."""

    def __init__(
        self,
        ctx: Parts,
        scratch: Scratch,
        *,
        window: Window,
        show: Callable[[Finding], None],
        stop: asyncio.Event,
        fixer: Fixer | None = None,
    ) -> None:
        self._ctx = ctx
        self._scratch = scratch
        self._stripe = Asker(ctx, stop)
        settled = ctx.clock.now() - IN_FLIGHT
        self._until = min(window.until or settled, settled)
        self._window = Window(window.since, self._until)
        self._show = show
        self._fixer = fixer
        self.counts = Counts()

    async def run(self) -> Counts:
        """Raises CannotCompare, DatabaseUnavailable, UnknownCommit."""
        gateway, window = self._ctx.gateway, self._window
        async for intents in self._stripe.pages(
            lambda after: gateway.list_expanded_intents_page(window, after, REQUEST_SECONDS)
        ):
            self.counts.intents += len(intents)
            await self.compare_page(intents)
        await self._read_charges()
        await self._read_customers()
        await self._read_payments()
        await self._read_orders()
        if window.since is None:
            await self._read_users()
        await self._take_put_off()
        return self.counts

    async def run_order(self, order_id: str) -> Counts:
        """The same for one order of ours: its intents, and those of its customers that name it."""

        async def read(tx: Transaction) -> tuple[bool, list[str], list[str]]:
            return (
                await orders.get_order(tx, order_id) is not None,
                await comparison.list_customers_of_order(tx, order_id),
                await comparison.list_intents_of_order(tx, order_id),
            )

        is_known, customer_ids, intent_ids = await self._ctx.db.read(read)
        if not is_known:
            raise CannotCompare(
                f"the order {order_id} is not in our books; run without --order to find its charge"
            )
        for customer_id in customer_ids:
            async for intents in self._intents_of_order(customer_id, order_id):
                self.counts.intents += len(intents)
                await self.compare_page(intents)
        for intent_id in self._scratch.unseen(intent_ids):
            await self._take_unlisted(intent_id)
        await self._take_put_off()
        return self.counts

    # --- Stripe -> books -----------------------------------------------------------------------

    async def compare_page(self, intents: list[Intent]) -> None:
        """Intents as Stripe listed them, perhaps a while ago."""
        self._scratch.note_seen([intent.id for intent in intents])
        books, now = await self._books(intents), self._ctx.clock.now()
        for intent in intents:
            known = known_of(intent, books)
            if known.recorded is None and not self._is_ours(intent):
                self.counts.foreign += 1
            self.counts.dismissed += known.is_dismissed
            findings = self._compare(intent, books, now)
            if findings:
                await self._look_again(intent.id, {finding.kind for finding in findings})
            if intent.is_customer_deleted and known.customers_user and intent.customer:
                await self._look_at_customer(known.customers_user, intent.customer)

    async def _look_again(self, intent_id: str, kinds: set[Kind]) -> None:
        """Stripe first, then the books: what both looks found is so."""
        intent = await self._stripe.retrieve_intent(intent_id)
        books = await self._books([intent])
        for finding in self._compare(intent, books, self._ctx.clock.now()):
            if finding.kind not in kinds or await self._is_refund_fresh(finding, intent):
                continue
            if finding.remedy is Remedy.ADOPT:
                self._scratch.put_off(finding.order_id, intent.id)
            else:
                await self._tell(finding, intent)

    async def _is_refund_fresh(self, finding: Finding, intent: Intent) -> bool:
        """Its event may still be on its way."""
        if finding.kind is not Kind.REFUND_NOT_RECORDED:
            return False
        last = await self._stripe.ask(
            lambda: self._ctx.gateway.find_last_refund(intent.id, REQUEST_SECONDS)
        )
        if isinstance(last, Failure):
            raise CannotCompare(f"Stripe did not show the refunds of {intent.id}: {last.message}")
        return last is not None and self._ctx.clock.now() - last[1] < IN_FLIGHT

    async def _read_charges(self) -> None:
        """Those of intents that are older than the window, and those without an intent."""
        gateway, window = self._ctx.gateway, self._window
        async for page in self._stripe.pages(
            lambda after: gateway.list_charges_page(window, after, REQUEST_SECONDS)
        ):
            self.counts.charges += len(page)
            charges = [charge for charge in page if charge.is_succeeded]
            intent_ids = {charge.intent_id for charge in charges if charge.intent_id}
            for intent_id in self._scratch.unseen(intent_ids):
                await self._take_unlisted(intent_id)
            direct = [charge for charge in charges if charge.intent_id is None]
            if direct:
                await self._take_direct_charges(direct)

    async def _take_direct_charges(self, charges: list[Charge]) -> None:
        order_ids = {charge.metadata.get("order_id", "") for charge in charges}
        books = await self._get_books(Named(set(), set(), order_ids, set()))
        for charge in charges:
            order = books.orders.get(charge.metadata.get("order_id", ""))
            for finding in compare_charge(charge, order, namespace=self._namespace):
                await self._tell(finding, None)

    async def _read_customers(self) -> None:
        gateway, window = self._ctx.gateway, self._window
        async for page in self._stripe.pages(
            lambda after: gateway.list_customers_page(after, REQUEST_SECONDS, window)
        ):
            unseen = self._scratch.unseen([customer.id for customer in page])
            self._scratch.note_seen(unseen)
            self.counts.customers += len(unseen)
            for customer in page:
                user_id = hosts_user_id(self._ctx, customer.metadata)
                if customer.id in unseen and user_id is not None:
                    await self._take_customer(user_id, customer.id)

    async def _take_customer(self, user_id: str, customer_id: str) -> None:
        found = await self._ctx.db.read(
            lambda tx: adoption.look_at_customer(tx, user_id, customer_id)
        )
        is_duplicate = found is Found.DUPLICATE
        if found is Found.FREE:  # nobody has it recorded, but Stripe may have two of them
            is_duplicate = self._scratch.note_owner(user_id, customer_id) != customer_id
        if is_duplicate:
            detail = "Stripe has more than one customer for this user"
            await self._tell(
                Finding(Kind.DUPLICATE_CUSTOMER, detail, stripe_id=customer_id, user_id=user_id),
                None,
            )

    # --- books -> Stripe -----------------------------------------------------------------------

    async def _read_payments(self) -> None:
        """Recorded intents that no list has shown are asked for one by one."""
        after = ""
        while page := await self._list(comparison.list_recorded_payments, after):
            after = page[-1].id
            self.counts.payments += len(page)
            by_intent = {payment.stripe_payment_intent_id or "": payment for payment in page}
            for intent_id in self._scratch.unseen(list(by_intent)):
                await self._take_unlisted(intent_id, by_intent[intent_id])

    async def _take_unlisted(self, intent_id: str, payment: PaymentRow | None = None) -> None:
        intent = await self._stripe.ask(
            lambda: self._ctx.gateway.retrieve_intent(intent_id, REQUEST_SECONDS)
        )
        if not isinstance(intent, Failure):
            await self.compare_page([intent])
        elif intent.reason is Reason.INTENT_MISSING:
            await self._take_missing(intent_id, payment)
        else:
            raise CannotCompare(f"Stripe did not show {intent_id}: {intent.message}")

    async def _take_missing(self, intent_id: str, payment: PaymentRow | None) -> None:
        self._scratch.note_seen([intent_id])
        payment = payment or await self._ctx.db.read(
            lambda tx: payments.get_payment_of_intent(tx, intent_id)
        )
        if payment is None:
            return
        is_paid = payment.state in (PaymentState.SUCCEEDED, PaymentState.SURPLUS)
        kind = Kind.PAID_NOT_CHARGED if is_paid else Kind.MISSING_INTENT
        finding = Finding(
            kind,
            f"the payment is {payment.state} here, and Stripe does not know its intent",
            stripe_id=intent_id,
            order_id=payment.order_id,
            payment_id=payment.id,
            user_id=payment.user_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
        )
        await self._tell(finding, None)

    async def _read_orders(self) -> None:
        after = ""
        while page := await self._list(comparison.list_paid_without_payment, after):
            after = page[-1].id
            for order in page:
                finding = Finding(
                    Kind.PAID_NOT_CHARGED,
                    "the order is paid here, and none of its payments has succeeded",
                    order_id=order.id,
                    user_id=order.user_id,
                    amount_minor=order.amount_minor,
                    currency=order.currency,
                )
                await self._tell(finding, None)

    async def _read_users(self) -> None:
        """Recorded customers that Stripe's list does not have."""
        after = ""
        while page := await self._list_customers(after):
            after = page[-1][1]
            self.counts.users += len(page)
            owners = {customer_id: user_id for user_id, customer_id in page}
            for customer_id in self._scratch.unseen(list(owners)):
                await self._look_at_customer(owners[customer_id], customer_id)

    async def _list_customers(self, after: str) -> list[tuple[str, str]]:
        return await self._ctx.db.read(lambda tx: comparison.list_customers(tx, after, PAGE))

    async def _look_at_customer(self, user_id: str, customer_id: str) -> None:
        mark = f"looked at {customer_id}"
        if not self._scratch.unseen([mark]):
            return
        self._scratch.note_seen([mark])
        customer = await self._stripe.ask(
            lambda: self._ctx.gateway.retrieve_customer(customer_id, REQUEST_SECONDS)
        )
        if isinstance(customer, Failure):
            if customer.http_status not in (400, 404):
                raise CannotCompare(f"Stripe did not show {customer_id}: {customer.message}")
            detail = "Stripe does not know this customer under this key"
        elif customer.is_deleted:
            detail = "recorded here, and deleted at Stripe"
        else:
            return
        found = await self._ctx.db.read(
            lambda tx: adoption.look_at_customer(tx, user_id, customer_id)
        )
        if found is Found.KNOWN:
            await self._tell(
                Finding(Kind.DELETED_CUSTOMER, detail, stripe_id=customer_id, user_id=user_id),
                None,
            )

    # --- forgotten intents, when all of an order's are known -------------------------------------

    async def _take_put_off(self) -> None:
        for order_id, intent_ids in self._scratch.list_put_off():
            await self._take_forgotten(order_id, await self._group(order_id, intent_ids))

    async def _group(self, order_id: str, intent_ids: list[str]) -> list[Intent]:
        """The order's forgotten intents as they stand now, the oldest first."""
        group: dict[str, Intent] = {}
        for intent_id in intent_ids:
            group[intent_id] = await self._stripe.retrieve_intent(intent_id)
        for customer_id in {intent.customer for intent in group.values() if intent.customer}:
            async for intents in self._intents_of_order(customer_id, order_id):
                group |= {intent.id: intent for intent in intents if self._is_ours(intent)}
        books, now = await self._books(list(group.values())), self._ctx.clock.now()
        forgotten = [
            intent
            for intent in group.values()
            if any(f.remedy is Remedy.ADOPT for f in self._compare(intent, books, now))
        ]
        return sorted(forgotten, key=lambda intent: (payment_time(intent), intent.id))

    async def _take_forgotten(self, order_id: str, group: list[Intent]) -> None:
        """The order's one charge, or its only intent, is adopted; then the others are compared."""
        charged = [intent for intent in group if intent.status is IntentStatus.SUCCEEDED]
        charged = [intent for intent in charged if not is_returned(intent)] or charged
        is_clear = len(charged) == 1 or len(group) == 1
        first = next(iter(charged or group), None)
        for intent in [first, *(each for each in group if each is not first)] if first else []:
            books = await self._books([intent])
            for finding in self._compare(intent, books, self._ctx.clock.now()):
                if finding.remedy is not Remedy.ADOPT or (intent is first and is_clear):
                    await self._tell(finding, intent)
                elif intent is not first and intent in charged:
                    detail = "charged at Stripe beside another charge of the order"
                    await self._leave(
                        replace(finding, kind=Kind.SECOND_CHARGE, detail=detail), None
                    )
                else:
                    await self._leave(finding, f"the order has {len(group)} of them")

    def _intents_of_order(self, customer_id: str, order_id: str) -> AsyncIterator[list[Intent]]:
        """A customer's intents that name the order, page by page."""

        async def read(after: str | None) -> ListPage[Intent] | Failure:
            page = await self._ctx.gateway.list_expanded_intents_page(
                Window(), after, REQUEST_SECONDS, customer_id
            )
            if isinstance(page, Failure):
                return ListPage([], None) if page.reason is Reason.CUSTOMER_GONE else page
            named = [each for each in page.items if each.metadata.get("order_id") == order_id]
            return ListPage(named, page.last_id)

        return self._stripe.pages(read)

    # --- shared --------------------------------------------------------------------------------

    @property
    def _namespace(self) -> str:
        return self._ctx.installation.namespace

    def _is_ours(self, intent: Intent) -> bool:
        return is_ours(intent.metadata, self._namespace)

    def _compare(self, intent: Intent, books: Books, now: datetime) -> list[Finding]:
        known = known_of(intent, books)
        return compare_intent(intent, known, namespace=self._namespace, now=now)

    async def _books(self, intents: list[Intent]) -> Books:
        named = Named(
            intent_ids={intent.id for intent in intents},
            payment_ids={
                intent.metadata["payment_id"]
                for intent in intents
                if self._is_ours(intent) and "payment_id" in intent.metadata
            },
            order_ids={
                intent.metadata["order_id"] for intent in intents if "order_id" in intent.metadata
            },
            customer_ids={intent.customer for intent in intents if intent.customer},
        )
        return await self._get_books(named)

    async def _get_books(self, named: Named) -> Books:
        return await self._ctx.db.read(lambda tx: comparison.get_books(tx, named))

    async def _list(
        self,
        rows: Callable[[Transaction, Times, str, int], Awaitable[list[Item]]],
        after: str,
    ) -> list[Item]:
        times = (self._window.since, self._until)
        return await self._ctx.db.read(lambda tx: rows(tx, times, after, PAGE))

    async def _tell(self, finding: Finding, intent: Intent | None) -> None:
        if self._fixer is not None:
            fixed = await self._fixer.fix(finding, intent) if intent else leave(finding)
            finding = fixed
        self._note(finding)

    async def _leave(self, finding: Finding, why: str | None) -> None:
        finding = replace(finding, remedy=Remedy.NONE)
        if self._fixer is not None:
            finding = finding.with_result(f"{LEFT}, {why}" if why else LEFT, is_fixed=False)
        self._note(finding)

    def _note(self, finding: Finding) -> None:
        self.counts.found[finding.kind] += 1
        self.counts.fixed += finding.is_fixed
        self._show(finding)
