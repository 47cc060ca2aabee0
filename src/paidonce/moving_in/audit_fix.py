"""What `payment-methods audit --fix` does: attach what was never used, list what is attached, take
off the list what was detached. It never charges. What a crash leaves behind the next run finds: a
method that was attached and not yet recorded is one that is not in our table."""

import asyncio
from dataclasses import replace

from paidonce.domain.account import AccountMethod
from paidonce.domain.intent import Failure, Method, Reason
from paidonce.moving_in.audit import Certainty, Finding, Fixing, Kind
from paidonce.payments.cards.saved import SAVED_PREFIX
from paidonce.payments.context import REQUEST_SECONDS, Parts, new_id
from paidonce.payments.requests import save_request
from paidonce.reconcile.asking import Asker
from paidonce.store import methods, users
from paidonce.store.engine import Transaction

LEFT = "nothing"


class Fixer(Fixing):
    """`is_adopting`: the operator's word that what is attached to a user's customer may be listed
    though nobody is known to have asked for it."""

    def __init__(self, ctx: Parts, stop: asyncio.Event, *, is_adopting: bool) -> None:
        self._ctx = ctx
        self._stripe = Asker(ctx, stop)
        self._is_adopting = is_adopting

    async def fix(
        self, finding: Finding, method: AccountMethod | None, *, is_stored: bool
    ) -> Finding:
        """The finding with what was done about it. Raises CannotCompare."""
        match finding.kind:
            case Kind.NOT_ATTACHED:
                return await self._attach(finding)
            case Kind.NOT_IN_TABLE if method is not None:
                if not (is_stored or self._is_adopting):
                    return replace(finding, done=f"{LEFT}: --adopt lists it")
                return await self._take(finding, method.method)
            case Kind.DETACHED:
                now = self._ctx.clock.now()
                await self._ctx.db.transaction(
                    "release_method", lambda tx: methods.release_method(tx, finding.method_id, now)
                )
                return replace(finding, is_fixed=True, done="taken off the user's list")
            case _:
                return finding

    async def _attach(self, finding: Finding) -> Finding:
        if not finding.customer:
            why = "the user has no customer: run `paidonce customers backfill` first"
            return replace(finding, done=f"{LEFT}: {why}")
        request = save_request(self._ctx, finding.customer)
        answer = await self._stripe.ask(
            lambda: self._ctx.gateway.attach_method(finding.method_id, request, REQUEST_SECONDS)
        )
        if isinstance(answer, Method):
            return await self._take(finding, answer)
        return self._refused(finding, answer)

    def _refused(self, finding: Finding, failure: Failure) -> Finding:
        known = replace(finding, certainty=Certainty.KNOWN)
        match failure.reason:
            case Reason.METHOD_DEAD:
                return replace(known, kind=Kind.DEAD, done="Stripe refuses it for good")
            case Reason.METHOD_FOREIGN:
                return replace(known, kind=Kind.OTHER_CUSTOMER, done="it is another customer's")
            case Reason.DECLINED:
                return replace(known, done=f"not attached: {failure.message}")
            case _:
                return replace(finding, done=f"not attached: {failure.message}")

    async def _take(self, finding: Finding, method: Method) -> Finding:
        """Listed for its user; the same card is listed once."""
        now = self._ctx.clock.now()

        async def work(tx: Transaction) -> str | None:
            if not await users.ensure_user(tx, finding.user_id, None, now):
                return None
            await users.lock_user(tx, finding.user_id)
            user = await users.get_user(tx, finding.user_id)
            if user is None or user.stripe_customer_id != finding.customer:
                return None
            await methods.save_method(
                tx, f"{SAVED_PREFIX}{new_id()}", user.id, finding.customer, method, now
            )
            kept = await methods.keep_method(tx, user.id, method.id, now)
            return None if kept is None else kept.stripe_payment_method_id

        kept_id = await self._ctx.db.transaction("audit_method", work)
        if kept_id is None:
            return replace(finding, done="attached, and not listed: the user's customer changed")
        is_twin = kept_id != method.id
        done = f"the same card is listed as {kept_id}" if is_twin else "listed for the user"
        return replace(finding, is_fixed=True, done=done)
