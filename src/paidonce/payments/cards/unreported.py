"""What happened to a user's cards at Stripe without our hearing of it: an event was lost, or the
endpoint was never set up.

Nobody can be asked about all users every day. A user who looks at his list starts a look in the
background, once a day: his next list shows what it found.
"""

from datetime import datetime, timedelta
from functools import partial

from paidonce.domain.intent import Failure, Method, Reason
from paidonce.observability import get_logger
from paidonce.payments import customers
from paidonce.payments.context import REQUEST_SECONDS, Context
from paidonce.store import methods, users
from paidonce.store.engine import Transaction

LOOK_EVERY = timedelta(hours=24)
log = get_logger(__name__)


async def is_due(ctx: Context, tx: Transaction, user_id: str, listed_since: datetime) -> bool:
    """Whether the user's cards are known from Stripe for a day, and were not looked at since."""
    seen_at = await users.get_methods_seen_at(tx, user_id) or listed_since
    return ctx.clock.now() - seen_at >= LOOK_EVERY


def look_later(ctx: Context, user_id: str) -> None:
    ctx.background.start(f"methods:{user_id}", partial(look_at_methods, ctx, user_id))


async def look_at_methods(ctx: Context, user_id: str) -> None:
    """Compare the user's cards with his customer's: what is attached no more is released, what
    has changed is read anew. What somebody attached by hand is not listed: its user did not ask."""
    user = await ctx.db.read(lambda tx: users.get_user(tx, user_id))
    if user is None or user.stripe_customer_id is None:
        return
    customer_id, began_at = user.stripe_customer_id, ctx.clock.now()
    found = await ctx.gateway.list_methods_of(customer_id, REQUEST_SECONDS)
    if isinstance(found, Failure):
        if found.reason is Reason.CUSTOMER_GONE:
            await customers.forget_customer(ctx, user_id, customer_id)
        return
    at_stripe = {method.id: method for method in found}
    await ctx.db.transaction(
        "methods_seen", lambda tx: _compare(tx, user_id, customer_id, at_stripe, began_at)
    )


async def _compare(
    tx: Transaction,
    user_id: str,
    customer_id: str,
    at_stripe: dict[str, Method],
    began_at: datetime,
) -> None:
    """A row that is younger than the list may be missing in it."""
    await users.lock_user(tx, user_id)
    for row in await methods.list_attached(tx, user_id, customer_id, began_at):
        method = at_stripe.get(row.stripe_payment_method_id)
        if method is None:
            log.warning("method.gone_unreported", method_id=row.id)
            await methods.release_method(tx, row.stripe_payment_method_id, began_at)
        elif (method.exp_year, method.exp_month, method.fingerprint, method.cardholder_name) != (
            row.exp_year,
            row.exp_month,
            row.fingerprint,
            row.cardholder_name,
        ):
            await methods.refresh_method(tx, method, began_at)
    await users.note_methods_seen(tx, user_id, began_at)
