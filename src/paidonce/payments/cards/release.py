"""How a card ends: deleted by its user, or released since nobody asked to keep it and it lay idle.

Both are two steps, so that they survive a crash and an outage of Stripe: first our books say that
no payment may begin with it, then Stripe is told to detach it, and only after Stripe's word it is
over. The first step waits for payments: one that began with the card keeps it.
"""

import asyncio
from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Failure, Reason
from paidonce.observability import get_logger
from paidonce.payments.cards.saved import get_listed
from paidonce.payments.context import LEASE_SECONDS, Context
from paidonce.payments.requests import detach_request
from paidonce.store import methods
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.rows import MethodRow

DELETE_SECONDS = 5.0
MOST_AT_ONCE = 8
"""How long the user who deletes a card waits for Stripe; after that the worker goes on."""
DETACHED = (
    Reason.METHOD_UNATTACHED,
    Reason.METHOD_DEAD,
    Reason.METHOD_MISSING,
    Reason.CUSTOMER_GONE,
)
"""Answers to a detach after which there is nothing left to detach."""
log = get_logger(__name__)


async def delete_method(ctx: Context, user_id: str, method_id: str) -> str:
    """The card is gone for the user at once, with every entry of it; gives its id.

    Raises payment_method_not_found, and payment_in_progress while a payment with it is not over.
    """
    now = ctx.clock.now()
    due_at = now + timedelta(seconds=LEASE_SECONDS)

    async def work(tx: Transaction) -> tuple[MethodRow, list[MethodRow]]:
        method = await get_listed(tx, user_id, method_id)
        entries = await methods.begin_deleting(tx, user_id, method, now, due_at)
        if entries is None:
            raise errors.method_in_use()
        return method, entries

    method, entries = await ctx.db.transaction("delete_method", work)
    deadline = Deadline.after(ctx.clock, DELETE_SECONDS)
    await asyncio.gather(*(_detach_now(ctx, entry, deadline) for entry in entries[:MOST_AT_ONCE]))
    return method.id


async def take_to_detach(ctx: Context, limit: int) -> list[MethodRow]:
    """Methods whose end is due, for this worker alone; those that lay idle too long among them."""
    now = ctx.clock.now()
    idle_since = now - timedelta(days=ctx.settings.release_unsaved_methods_after_days)
    later = now + timedelta(seconds=LEASE_SECONDS)

    async def work(tx: Transaction) -> list[MethodRow]:
        await methods.begin_releasing_idle(tx, idle_since, now, limit)
        return await methods.take_to_detach(tx, now, later, limit)

    return await ctx.db.transaction("take_to_detach", work)


async def detach(ctx: Context, method: MethodRow, deadline: Deadline) -> bool:
    """The second step, as often as it takes; False: not this time."""
    method_id = method.stripe_payment_method_id
    request = detach_request(ctx, method)
    answer = await ctx.gateway.detach_method(method_id, request, deadline.left)
    if isinstance(answer, Failure) and answer.reason not in DETACHED:
        log.warning("method.not_detached", method_id=method.id, reason=answer.reason.value)
        return False
    await ctx.db.transaction(
        "release_method", lambda tx: methods.release_method(tx, method_id, ctx.clock.now())
    )
    log.info("method.detached", method_id=method.id)
    return True


async def _detach_now(ctx: Context, method: MethodRow, deadline: Deadline) -> None:
    """For the user the card is gone already: what fails here is left to the worker."""
    try:
        await detach(ctx, method, deadline)
    except (DatabaseUnavailable, UnknownCommit):
        log.warning("method.not_recorded", method_id=method.id)
