"""Against card testing: how many declines a user, or an address, may have in an hour.

Declined payments count, and declined tries to save a card, since both tell whether a card is good.
"""

from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.payments.context import Context
from paidonce.store import attempts
from paidonce.store.engine import Transaction

DECLINE_WINDOW = timedelta(hours=1)


async def check_limits(
    ctx: Context, tx: Transaction, user_id: str, client_address: str
) -> ServiceError | None:
    """`too_many_attempts`, or None when the user may go on."""
    now, settings = ctx.clock.now(), ctx.settings
    declines = await attempts.count_declines(tx, user_id, client_address, now - DECLINE_WINDOW)
    if (
        declines.of_user < settings.declines_per_user_and_hour
        and declines.of_address < settings.declines_per_address_and_hour
    ):
        return None
    free_at = (declines.first_at or now) + DECLINE_WINDOW
    return errors.too_many_attempts(max(1, int((free_at - now).total_seconds())))
