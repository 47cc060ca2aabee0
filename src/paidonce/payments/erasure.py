"""Everything that is kept about a user, for him to read; and its end.

An erasure is three steps, so that it survives a crash and an outage of Stripe: our books let go of
the customer and write down which ones Stripe is to delete; Stripe deletes them, and with them their
cards; then what is personal goes from our books. It is refused while anything of the user's is not
over, at its end too, since nothing keeps him out meanwhile; a second run goes on where the first
one ended.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from paidonce.domain.intent import Failure
from paidonce.payments.context import REQUEST_SECONDS, Parts, new_id
from paidonce.payments.requests import hosts_user_id
from paidonce.store import adoption, erasure, users
from paidonce.store.engine import Row, Transaction
from paidonce.store.erasure import EXPORTED, Erasure

JSON_COLUMNS = ("items", "details", "metadata", "data", "stripe_customer_ids")
WORDS = {"orders": "orders", "payment_attempts": "payments", "setups": "cards being saved"}
GONE = 404
BEING_MADE = timedelta(minutes=1)
"""For longer no request waits for the customer that it asks Stripe for."""


class CannotErase(Exception):
    """Nothing, or not all, was erased; the words say why."""


@dataclass(frozen=True, slots=True)
class Erased:
    """`customer_ids` are those that Stripe has deleted for us, or would; `gone_ids` were deleted
    there before."""

    customer_ids: list[str]
    gone_ids: list[str]
    counts: dict[str, int]
    is_done: bool


async def export_user(ctx: Parts, user_id: str) -> dict[str, Any] | None:
    """What our books hold about a user, as JSON has it; None when they do not know him."""

    async def read(tx: Transaction) -> dict[str, Any] | None:
        ours = await erasure.get_email(tx, user_id)
        customer_id = await users.get_recorded_customer(tx, user_id)
        if ours is None and customer_id is None:
            return None
        email = ours["email"] if ours is not None else None
        about = {"id": user_id, "email": email, "stripe_customer_id": customer_id}
        tables = {
            name: [_plain(row) for row in await erasure.list_rows(tx, name, user_id)]
            for name in EXPORTED
        }
        return {"user": about, **tables}

    return await ctx.db.read(read)


async def erase_user(ctx: Parts, user_id: str, *, is_sure: bool) -> Erased:
    """Without `is_sure` only a look. Raises CannotErase, DatabaseUnavailable, UnknownCommit."""
    known = await export_user(ctx, user_id)
    if known is None:
        raise CannotErase(f"our books do not know the user {user_id}")
    counts = {name: len(known[name]) for name in EXPORTED}
    found = await _find_customers(ctx, user_id, known["user"]["email"])
    if not is_sure:
        wanted = await ctx.db.read(lambda tx: _look(ctx, tx, user_id, found))
        return Erased(sorted(wanted), [], counts, is_done=False)
    row = await ctx.db.transaction("erase_begin", lambda tx: _begin(ctx, tx, user_id, found))
    gone: list[str] = []
    for customer_id in row.customer_ids:
        answer = await ctx.gateway.delete_customer(customer_id, REQUEST_SECONDS)
        if not isinstance(answer, Failure):
            continue
        gone.append(customer_id)
        if answer.http_status != GONE:
            raise CannotErase(
                f"Stripe did not delete {customer_id} ({answer.message}); run it again to go on"
            )
    await ctx.db.transaction("erase_finish", lambda tx: _finish(ctx, tx, user_id, row))
    deleted = [each for each in row.customer_ids if each not in gone]
    return Erased(deleted, gone, counts, is_done=True)


async def _find_customers(ctx: Parts, user_id: str, email: str | None) -> list[str]:
    """Further customers at Stripe that name the user, among those with his e-mail."""
    if not email:
        return []
    found = await ctx.gateway.list_customers_with_email(email, REQUEST_SECONDS)
    if isinstance(found, Failure):
        raise CannotErase(f"Stripe did not show its customers ({found.message}); run it again")
    return [each.id for each in found if hosts_user_id(ctx, each.metadata) == user_id]


async def _check_open(ctx: Parts, tx: Transaction, user_id: str) -> None:
    still_open = await erasure.count_open(tx, user_id)
    if still_open:
        named = " and ".join(f"{count} {WORDS[name]}" for name, count in still_open.items())
        raise CannotErase(
            f"{named} of the user are not over: cancel the orders"
            " (POST /api/orders/{id}/cancel), or wait for what is being paid"
        )
    user = await users.get_user(tx, user_id)
    if user is None or user.stripe_customer_id is not None or user.customer_requested_at is None:
        return
    if ctx.clock.now() - user.customer_requested_at < BEING_MADE:
        raise CannotErase("a customer of the user is being made; run it again in a minute")


async def _look(ctx: Parts, tx: Transaction, user_id: str, found: list[str]) -> set[str]:
    """The customers to delete: never one that another user has recorded."""
    await _check_open(ctx, tx, user_id)
    wanted = {*found, *await erasure.list_customers(tx, user_id)}
    owners = await adoption.list_owners(tx, wanted)
    return {each for each in wanted if owners.get(each, user_id) == user_id}


async def _begin(ctx: Parts, tx: Transaction, user_id: str, found: list[str]) -> Erasure:
    """The customer is let go of in the same commit that says it is to be deleted."""
    await users.lock_user(tx, user_id)
    wanted = await _look(ctx, tx, user_id, found)
    unfinished = await erasure.get_unfinished(tx, user_id)
    if unfinished is not None:
        wanted |= set(unfinished.customer_ids)
        await erasure.finish(tx, unfinished.id, ctx.clock.now())
    row = Erasure(new_id(), sorted(wanted))
    await erasure.insert_erasure(tx, row, user_id, ctx.clock.now())
    recorded = await users.get_recorded_customer(tx, user_id)
    if recorded is not None:
        await users.forget_customer(tx, user_id, recorded)
    return row


async def _finish(ctx: Parts, tx: Transaction, user_id: str, row: Erasure) -> None:
    await users.lock_user(tx, user_id)
    await _check_open(ctx, tx, user_id)
    if await users.get_recorded_customer(tx, user_id) is not None:
        raise CannotErase("the user has got another customer meanwhile; run it again to go on")
    await erasure.erase(tx, user_id, f" user={user_id}", " merchant")
    await erasure.finish(tx, row.id, ctx.clock.now())


def _plain(row: Row) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in row.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if name in JSON_COLUMNS and isinstance(value, str):
        return json.loads(value)
    return value
