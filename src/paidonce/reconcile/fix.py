"""What `--fix` does, and no more: it never refunds, never charges, and writes no success of its
own. Each fix is in the order's history."""

from typing import assert_never

from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Failure, Intent, IntentStatus
from paidonce.domain.states import PaymentState
from paidonce.payments import history
from paidonce.payments.context import REQUEST_SECONDS, Context
from paidonce.payments.hints import look_at_intent
from paidonce.payments.money_back.disputes import read_disputes
from paidonce.payments.money_back.refund_work import read_refunds
from paidonce.payments.pay.adopt import Refused, adopt_intent
from paidonce.payments.requests import cancel_request
from paidonce.reconcile.findings import Finding, Kind, Remedy
from paidonce.store import payments
from paidonce.store.rows import PaymentRow

LEFT = "nothing: left for a person"


class Fixer:
    """Takes a finding that a second look has just confirmed; gives it back with what was done."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def fix(self, finding: Finding, intent: Intent) -> Finding:
        match finding.remedy:
            case Remedy.NONE:
                return leave(finding)
            case Remedy.SETTLE:
                return await self._settle(finding, intent)
            case Remedy.CANCEL:
                return await self._cancel(finding, intent)
            case Remedy.ADOPT:
                return await self._adopt(finding, intent)
            case _:
                assert_never(finding.remedy)

    async def _settle(self, finding: Finding, intent: Intent) -> Finding:
        note = await self._walk_the_webhooks_road(intent.id)
        payment = await self._payment_of(intent.id)
        if payment is None or payment.state not in (PaymentState.SUCCEEDED, PaymentState.SURPLUS):
            why = note or "Stripe's answer contradicts the payment"
            return finding.with_result(f"not recorded: {why}", is_fixed=False)
        await self._note("payment.reconciled", payment, intent.id)
        is_paid = payment.state is PaymentState.SUCCEEDED
        done = "recorded: the order is paid" if is_paid else "recorded as surplus"
        return await self._with_what_came_after(finding.with_result(done, is_fixed=True), payment)

    async def _cancel(self, finding: Finding, intent: Intent) -> Finding:
        """Its payment has another intent, or is retired: both stay so for ever."""
        ctx = self._ctx
        payment = await ctx.db.read(lambda tx: payments.get_payment(tx, finding.payment_id))
        request = cancel_request(ctx, payment)
        answer = await ctx.gateway.cancel_intent(intent.id, request, REQUEST_SECONDS)
        if isinstance(answer, Failure):
            why = f"not canceled: Stripe says {answer.reason}; run again to look again"
            return finding.with_result(why, is_fixed=False)
        if answer.status is not IntentStatus.CANCELED:
            return finding.with_result(f"not canceled: it is {answer.status}", is_fixed=False)
        await self._note("intent.orphan_canceled", payment, intent.id)
        return finding.with_result("canceled at Stripe", is_fixed=True)

    async def _adopt(self, finding: Finding, intent: Intent) -> Finding:
        ctx = self._ctx
        order_id = finding.order_id
        standing = await ctx.db.read(lambda tx: payments.get_standing_payment(tx, order_id))
        if standing is not None and standing.stripe_payment_intent_id is not None:
            # Canceled at Stripe, it retires its payment and is in the way no longer.
            await self._walk_the_webhooks_road(standing.stripe_payment_intent_id)
        answer = await adopt_intent(ctx, intent)
        if isinstance(answer, Refused):
            return finding.with_result(f"{LEFT}, {answer.why}", is_fixed=False)
        note = await self._walk_the_webhooks_road(intent.id)
        payment = await self._payment_of(intent.id)
        if intent.status is not IntentStatus.SUCCEEDED:
            return finding.with_result("adopted: it is the order's intent again", is_fixed=True)
        if payment is None or payment.state is not PaymentState.SUCCEEDED:
            done = f"adopted, and not recorded as paid yet: {note or 'run again'}"
            return finding.with_result(done, is_fixed=False)
        fixed = finding.with_result("adopted and recorded: the order is paid", is_fixed=True)
        return await self._with_what_came_after(fixed, payment)

    async def _with_what_came_after(self, fixed: Finding, payment: PaymentRow) -> Finding:
        """Refunds and disputes of a payment that was not known: their events came to nothing, and
        nobody sends them again."""
        ctx, deadline = self._ctx, Deadline.after(self._ctx.clock, REQUEST_SECONDS)
        unread = []
        if not await read_refunds(ctx, payment, deadline):
            unread.append("its refunds: resend charge.refunded")
        if not await read_disputes(ctx, payment, deadline):
            unread.append("its disputes: resend charge.dispute.created")
        if not unread:
            return fixed
        why = f"{fixed.done}; Stripe did not show {', or '.join(unread)} from Stripe's dashboard"
        return fixed.with_result(why, is_fixed=False)

    async def _walk_the_webhooks_road(self, intent_id: str) -> str | None:
        """Stripe is asked again, and what it says is recorded; a note where nothing was."""
        _state, note = await look_at_intent(self._ctx, intent_id)
        return note

    async def _payment_of(self, intent_id: str) -> PaymentRow | None:
        return await self._ctx.db.read(lambda tx: payments.get_payment_of_intent(tx, intent_id))

    async def _note(self, kind: str, payment: PaymentRow, intent_id: str) -> None:
        ctx = self._ctx
        await ctx.db.transaction(
            "reconciled",
            lambda tx: history.note(ctx, tx, kind, payment.order_id, payment.id, intent=intent_id),
        )


def leave(finding: Finding) -> Finding:
    """What `--fix` says where it does nothing."""
    is_harmless = finding.kind is Kind.DELETED_CUSTOMER
    done = "nothing: it heals at the next payment" if is_harmless else LEFT
    return finding.with_result(done, is_fixed=False)
