"""A payer asks for another card while an earlier attempt may still charge: is that a card at all?

Looked at before the earlier attempt is given up for it, so that a wrong id ends no challenge. It
decides nothing else: the claim and the attach look again (decision 0034).
"""

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Method, Reason
from paidonce.payments.context import Context, Job, Visitor
from paidonce.payments.evidence import TEST_FACTORY
from paidonce.payments.pay.claim import unusable
from paidonce.store import methods, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import MethodRow, is_token

NO_CARD = frozenset({Reason.METHOD_MISSING, Reason.INVALID})


async def refusal_of(ctx: Context, job: Job, visitor: Visitor) -> ServiceError | None:
    """What is surely wrong with the card that the visitor asks for. None: nothing, or not known; so
    for tokens, which Stripe shows to nobody else, and where it gives no answer."""
    method_id, user_id = visitor.method_id, job.order.user_id
    if method_id is None or visitor.wants(job.attempt) or is_token(method_id):
        return None

    async def look(tx: Transaction) -> tuple[MethodRow | None, str | None]:
        user = await users.get_user(tx, user_id)
        return await methods.get_method(tx, method_id), user.stripe_customer_id if user else None

    known, customer_id = await ctx.db.read(look)
    if known is not None:
        return unusable(known, user_id)
    if method_id.startswith(TEST_FACTORY):
        return None
    told = await ctx.gateway.retrieve_method(method_id, visitor.deadline.left)
    is_missing = isinstance(told, Failure) and told.reason in NO_CARD
    is_foreign = isinstance(told, Method) and told.customer not in (None, customer_id)
    return errors.payment_method_not_found() if is_missing or is_foreign else None
