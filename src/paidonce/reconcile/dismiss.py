"""A forgotten intent that adoption refuses: a person says that it stands in its order's way no
longer. Nothing changes at Stripe; what was decided is written down, and cannot be taken back."""

from dataclasses import dataclass

from paidonce.domain.intent import Failure, Intent, IntentStatus
from paidonce.payments import history
from paidonce.payments.context import REQUEST_SECONDS, Parts
from paidonce.store import forgotten, orders
from paidonce.store.engine import Transaction
from paidonce.store.forgotten import ForgottenIntent
from paidonce.store.rows import OrderRow

OVER = (IntentStatus.SUCCEEDED, IntentStatus.CANCELED)


class CannotDismiss(Exception):
    """The words say why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """What was looked at, and whether it was done: not before the person is sure."""

    found: ForgottenIntent
    intent: Intent
    order: OrderRow | None
    is_done: bool


async def dismiss_forgotten(ctx: Parts, intent_id: str, *, is_sure: bool) -> Dismissal:
    """Raises CannotDismiss for what refuses no order, and for what can still charge."""

    async def read(tx: Transaction) -> tuple[ForgottenIntent | None, OrderRow | None]:
        found = await forgotten.get_standing(tx, intent_id)
        return found, await orders.get_order(tx, found.order_id) if found else None

    found, order = await ctx.db.read(read)
    if found is None:
        raise CannotDismiss(f"{intent_id} is not listed as forgotten: it refuses no order")
    intent = await ctx.gateway.retrieve_intent(intent_id, REQUEST_SECONDS)
    if isinstance(intent, Failure):
        raise CannotDismiss(f"Stripe did not show {intent_id}: {intent.message}")
    if intent.status not in OVER:
        raise CannotDismiss(
            f"{intent_id} is {intent.status} and can still charge. Cancel it in Stripe's"
            " dashboard: the worker sees that within minutes, and nothing is to be dismissed"
        )
    if is_sure:
        await ctx.db.transaction("dismiss", lambda tx: _write_down(ctx, tx, found, intent))
    return Dismissal(found, intent, order, is_done=is_sure)


async def _write_down(ctx: Parts, tx: Transaction, found: ForgottenIntent, intent: Intent) -> None:
    order = await orders.lock_order(tx, found.order_id)
    is_new = await forgotten.dismiss(tx, intent.id, ctx.clock.now())
    if is_new and order is not None:
        await history.note(
            ctx,
            tx,
            "intent.dismissed",
            order.id,
            intent=intent.id,
            status=intent.status.value,
            amount_minor=intent.amount,
            amount_refunded_minor=intent.amount_refunded or 0,
        )
