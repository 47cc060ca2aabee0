"""`paidonce payment-methods audit`: which stored cards can still be used, and what their users must
do.

First every user's customer: what Stripe has attached to it, against our books. Then the methods
that the host has stored and that were not among those, one by one; then those of our books that
were not.

Stripe shows a PaymentMethod that may not be used again like any other: no field tells (sheet of
Stripe's behaviour; `GET` of a detached one is recorded as 200). What is known of an unattached one
is whether the account's payments show a use of it; whether it can be attached only the attach says,
which `--fix` tries.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from paidonce.domain.account import AccountMethod
from paidonce.domain.intent import Failure, ListPage, Window
from paidonce.gateway.account import AccountReader
from paidonce.moving_in.shadow import Shadow, Watch
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.reconcile.asking import CURSOR, Asker, CannotCompare
from paidonce.store import audited, comparison, users
from paidonce.store.audited import AT_A_TIME, Audited
from paidonce.store.rows import MethodRow
from paidonce.when import times

USERS_AFTER = "users_after"
OTHER_MODE_TEXT = "a similar object exists in"
"""Seen in many people's error messages: `…; a similar object exists in live mode, but a test mode
key was used to make this request.`"""
PREFIXES = ("pm_", "card_", "src_")


class Kind(StrEnum):
    EXPIRED = "expired"
    DEAD = "dead"
    DETACHED = "detached"
    NOT_ATTACHED = "not_attached"
    OTHER_CUSTOMER = "other_customer"
    OTHER_MODE = "other_mode"
    UNKNOWN = "unknown"
    NOT_IN_TABLE = "not_in_table"


class Certainty(StrEnum):
    """How a verdict is known."""

    KNOWN = "known"  # Stripe says so
    INFERRED = "inferred"  # it follows from what Stripe shows, by its rules
    GUESS = "guess"  # nothing that Stripe shows decides it


NOTHING, AGAIN = "nothing", "enter the card again"
USER: dict[Kind, str] = {
    Kind.EXPIRED: AGAIN,
    Kind.DEAD: AGAIN,
    Kind.DETACHED: AGAIN,
    Kind.NOT_ATTACHED: "nothing yet: try --fix; where that fails, enter the card again",
    Kind.OTHER_CUSTOMER: AGAIN,
    Kind.OTHER_MODE: AGAIN,
    Kind.UNKNOWN: AGAIN,
    Kind.NOT_IN_TABLE: NOTHING,
}
MEANING: dict[Kind, str] = {
    Kind.EXPIRED: "It is attached to its user's customer, and the card's month is over.",
    Kind.DEAD: "It was used without being attached, so Stripe refuses it for good.",
    Kind.DETACHED: "It was attached, and is not any more: it was detached or its customer was"
    " deleted, for good. `--fix` takes it off the user's list.",
    Kind.NOT_ATTACHED: "It is attached to nobody, and no use of it was seen. `--fix` tries to"
    " attach it to the user's customer: only that tells whether it can be used.",
    Kind.OTHER_CUSTOMER: "It is attached to another customer than the user's; Stripe cannot move"
    " it. `paidonce customers duplicates` says whether that one should be the user's.",
    Kind.OTHER_MODE: "It is of the other mode (test or live) than the key.",
    Kind.UNKNOWN: "Stripe does not know it under this key: it is of another account, or no id"
    " of Stripe's.",
    Kind.NOT_IN_TABLE: "It is attached to the user's customer, and the app does not list it."
    " `--fix` lists it where the host has stored it, `--fix --adopt` in any case.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A stored method that is not simply usable. `customer` is the user's, where one is recorded;
    `card` says which one it is, as the app shows it."""

    kind: Kind
    method_id: str
    user_id: str
    certainty: Certainty
    detail: str
    customer: str = ""
    card: str = ""
    is_fixed: bool = False
    done: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether it pays: it is on its user's customer, listed or not, or has just been attached
        to it."""
        return self.kind is Kind.NOT_IN_TABLE or (self.kind is Kind.NOT_ATTACHED and self.is_fixed)

    @property
    def user_action(self) -> str:
        return NOTHING if self.is_fixed and self.kind is Kind.NOT_ATTACHED else USER[self.kind]


@dataclass
class Counts:
    users: int = 0
    methods: int = 0
    usable: int = 0
    unlisted: int = 0  # of the usable ones: the app does not list them
    found: Counter[Kind] = field(default_factory=Counter)
    fixed: int = 0


class Fixing:
    """What `--fix` does; see `audit_fix`. This one does nothing."""

    async def fix(
        self, finding: Finding, method: AccountMethod | None, *, is_stored: bool
    ) -> Finding:
        del method, is_stored
        return finding


class Audit:
    """One run. `show` gets every finding as soon as it is sure; `stop` ends it between two
    calls."""

    def __init__(
        self,
        ctx: Parts,
        file: Audited,
        *,
        uses_since: datetime,
        show: Callable[[Finding], None],
        stop: asyncio.Event,
        fixing: Fixing | None = None,
    ) -> None:
        self._ctx = ctx
        self._file = file
        self._stripe = Asker(ctx, stop)
        self._account = AccountReader(ctx.gateway)
        watch = Watch(uses_since, (), (), timedelta(0), timedelta(0))
        self._uses = Shadow(ctx, file, watch, show=lambda _: None, stop=stop)
        self._uses_since = uses_since
        self._has_uses = False
        self._show = show
        self._fixing = fixing or Fixing()
        self.counts = Counts()

    async def run(self) -> Counts:
        """Raises CannotCompare, DatabaseUnavailable, UnknownCommit."""
        after = self._file.get(USERS_AFTER) or ""
        while page := await self._list_users(after):
            for user_id, customer_id in page:
                self.counts.users += 1
                await self._take_user(user_id, customer_id)
                after = customer_id
                self._file.put(USERS_AFTER, after)
        for rows in self._file.list_unjudged():
            for method_id, user_id in rows:
                await self._take_stored(method_id, user_id)
        await self._take_ours()
        return self.counts

    async def _list_users(self, after: str) -> list[tuple[str, str]]:
        return await self._ctx.db.read(lambda tx: comparison.list_customers(tx, after, AT_A_TIME))

    async def _take_user(self, user_id: str, customer_id: str) -> None:
        """What is attached to his customer, and what our books say is."""
        attached: dict[str, AccountMethod] = {}
        async for page in self._stripe.pages(lambda after: self._methods_of(customer_id, after)):
            attached |= {each.method.id: each for each in page}
        ours = await self._ctx.db.read(lambda tx: audited.list_methods_of(tx, user_id))
        known = await self._ctx.db.read(lambda tx: audited.list_known(tx, list(attached)))
        for method_id, method in attached.items():
            if not self._file.is_judged(method_id, user_id):
                await self._take_attached(user_id, customer_id, method, method_id in known)
                self._file.note_judged(method_id, user_id)
        for row in ours:
            if row.stripe_payment_method_id not in attached:
                await self._take_our_row(row, customer_id)

    async def _methods_of(
        self, customer_id: str, after: str | None
    ) -> ListPage[AccountMethod] | Failure:
        """None of a customer that was deleted at Stripe, or is unknown under this key."""
        page = await self._account.list_methods(customer_id, after, REQUEST_SECONDS)
        if isinstance(page, Failure) and page.code == "resource_missing" and page.param != CURSOR:
            self._file.note_gone(customer_id)
            return ListPage([], None)
        return page

    async def _take_attached(
        self, user_id: str, customer_id: str, found: AccountMethod, is_known: bool
    ) -> None:
        """A method that Stripe has attached to its user's customer."""
        method = found.method
        self.counts.methods += 1
        finding = Finding(
            Kind.EXPIRED, method.id, user_id, Certainty.KNOWN, "", customer_id, _card(found)
        )
        if _is_expired(found, self._ctx.clock.now()):
            detail = f"good until {method.exp_month:02}/{method.exp_year}"
            await self._tell(replace(finding, detail=detail), found)
        elif is_known or not found.is_card:
            self.counts.usable += 1
        else:
            is_stored = self._file.is_stored(method.id, user_id)
            detail = "stored by the host" if is_stored else "nobody is known to have asked for it"
            await self._tell(replace(finding, kind=Kind.NOT_IN_TABLE, detail=detail), found)

    async def _take_stored(self, method_id: str, user_id: str) -> None:
        """A method of the host's that is not on its user's customer."""
        customer_id = (
            await self._ctx.db.read(lambda tx: users.get_recorded_customer(tx, user_id)) or ""
        )
        await self._judge(method_id, user_id, customer_id, was_ours=False)

    async def _take_ours(self) -> None:
        """Rows of ours that no customer of a user has shown."""
        after = ""
        while page := await self._list_ours(after):
            after = page[-1].id
            for row in page:
                await self._take_our_row(row, row.stripe_customer_id)

    async def _list_ours(self, after: str) -> list[MethodRow]:
        return await self._ctx.db.read(lambda tx: audited.list_attached(tx, after, AT_A_TIME))

    async def _take_our_row(self, row: MethodRow, customer_id: str) -> None:
        await self._judge(row.stripe_payment_method_id, row.user_id, customer_id, was_ours=True)

    async def _judge(
        self, method_id: str, user_id: str, customer_id: str, *, was_ours: bool
    ) -> None:
        """One method by itself, once."""
        if self._file.is_judged(method_id, user_id):
            return
        await self._judge_anew(method_id, user_id, customer_id, was_ours)
        self._file.note_judged(method_id, user_id)

    async def _judge_anew(
        self, method_id: str, user_id: str, customer_id: str, was_ours: bool
    ) -> None:
        self.counts.methods += 1
        finding = Finding(Kind.UNKNOWN, method_id, user_id, Certainty.KNOWN, "", customer_id)
        if not method_id.startswith(PREFIXES):
            await self._tell(replace(finding, detail="no id of a PaymentMethod"), None)
            return
        found = await self._stripe.ask(
            lambda: self._account.retrieve_method(method_id, REQUEST_SECONDS)
        )
        if isinstance(found, Failure):
            await self._tell(missing(finding, found), None)
            return
        finding = replace(finding, card=_card(found))
        if found.method.customer is None:
            await self._tell(await self._unattached(finding, found, was_ours), found)
        elif self._file.is_gone(found.method.customer):
            detail = f"its customer {found.method.customer} was deleted at Stripe"
            await self._tell(replace(finding, kind=Kind.DETACHED, detail=detail), found)
        elif found.method.customer == customer_id:  # attached since its customer was read
            self.counts.usable += 1
        else:
            whose = "the user has none recorded" if not customer_id else "not the user's"
            detail = f"it is on {found.method.customer}: {whose}"
            await self._tell(replace(finding, kind=Kind.OTHER_CUSTOMER, detail=detail), found)

    async def _unattached(self, finding: Finding, found: AccountMethod, was_ours: bool) -> Finding:
        if was_ours:
            detail = "it was attached by us, and is not any more"
            return replace(finding, kind=Kind.DETACHED, detail=detail)
        if not self._has_uses:
            await self._uses.read_payments(Window(self._uses_since))
            self._has_uses = True
        use = self._file.find_uses(finding.method_id)
        if use is not None and use.status != "kept":
            detail = f"used {times(use.count)}, last by {use.id}"
            return replace(finding, kind=Kind.DEAD, certainty=Certainty.INFERRED, detail=detail)
        if use is not None:
            detail = f"{use.id} was paid with it, with setup_future_usage: it can be attached"
            certainty = Certainty.INFERRED
        else:
            since = self._uses_since.date()
            detail = f"no use since {since}" + (
                ", but its bank was asked once: probably used or attached before"
                if found.is_checked
                else ": never used, or earlier, or detached"
            )
            certainty = Certainty.GUESS
        return replace(finding, kind=Kind.NOT_ATTACHED, certainty=certainty, detail=detail)

    async def _tell(self, finding: Finding, method: AccountMethod | None) -> None:
        is_stored = self._file.is_stored(finding.method_id, finding.user_id)
        finding = await self._fixing.fix(finding, method, is_stored=is_stored)
        self.counts.found[finding.kind] += 1
        self.counts.fixed += finding.is_fixed
        self.counts.usable += finding.is_usable
        is_listed = finding.kind is not Kind.NOT_IN_TABLE or finding.is_fixed
        self.counts.unlisted += not is_listed
        self._show(finding)


def missing(finding: Finding, failure: Failure) -> Finding:
    """A method that Stripe does not show under this key. Raises CannotCompare."""
    if failure.http_status not in (400, 404):
        raise CannotCompare(f"Stripe did not show {finding.method_id}: {failure.message}")
    is_other_mode = OTHER_MODE_TEXT in failure.message
    kind = Kind.OTHER_MODE if is_other_mode else Kind.UNKNOWN
    return replace(finding, kind=kind, detail=failure.message)


def _card(found: AccountMethod) -> str:
    method = found.method
    return f"{method.brand} {method.last4}" if method.last4 else ""


def _is_expired(found: AccountMethod, now: datetime) -> bool:
    """A card is good to the end of its month."""
    method = found.method
    if method.exp_year is None or method.exp_month is None:
        return False
    return (method.exp_year, method.exp_month) < (now.year, now.month)
