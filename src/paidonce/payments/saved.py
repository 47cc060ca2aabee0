"""The user's saved methods: here, from our id to Stripe's."""

from dataclasses import replace

from paidonce.domain import errors
from paidonce.domain.model import PayCommand
from paidonce.payments.context import Context
from paidonce.store import methods, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import MethodRow

SAVED_PREFIX = "spm_"


async def stripe_method_id(ctx: Context, command: PayCommand) -> PayCommand:
    """The command with Stripe's id. Raises payment_method_not_found for what is not the user's."""
    method_id = command.payment_method_id
    if not method_id.startswith(SAVED_PREFIX):
        if not method_id.startswith("pm_"):
            raise errors.payment_method_not_found()
        return command

    async def look(tx: Transaction) -> MethodRow | None:
        if not await users.is_known(tx, command.user_id):
            raise errors.not_authenticated()
        return await methods.get_method(tx, method_id)

    row = await ctx.db.read(look)
    if row is None or row.user_id != command.user_id or row.state != "attached":
        raise errors.payment_method_not_found()
    return replace(command, payment_method_id=row.stripe_payment_method_id)
