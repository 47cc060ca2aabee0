"""P1, P2: the user's one Stripe Customer, recorded where `tx.users` says."""

from datetime import datetime, timedelta

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Reason
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_contradiction
from paidonce.payments.context import KEY_LIFE_HOURS, Parts
from paidonce.payments.harmless import send_harmless, unavailable
from paidonce.payments.requests import customer_metadata, customer_request, hosts_user_id
from paidonce.store import methods, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import UserRow

MAX_ROUNDS = 4
log = get_logger(__name__)
KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)
LATE_EXECUTION = timedelta(hours=1)
LAST_SEND = KEY_LIFE + LATE_EXECUTION
"""After its first send a key is sent for the last time so much later: then the next one is taken,
so that whatever was made under a key was made within a day of its first send."""

NEXT_KEY = Failure(Reason.NOT_EXECUTED, "the key is forgotten, and nothing was made under it")


async def ensure_customer(
    ctx: Parts, user_id: str, deadline: Deadline, *, may_be_hosts: bool = True
) -> str | ServiceError:
    """The user's one Stripe customer: recorded, or created under the user's own key.

    With a host's users table Stripe is asked first for a customer that the host's server made
    (not where all of them have been looked at: `may_be_hosts`).
    """
    for _ in range(MAX_ROUNDS):
        user = await ctx.db.read(lambda tx: users.get_user(tx, user_id))
        if user is not None and user.stripe_customer_id is None:
            user = await ctx.db.transaction(
                "customer_request", lambda tx: _note_request(ctx, tx, user_id)
            )
        if user is None:
            return errors.not_authenticated()  # the host has deleted the user
        if user.stripe_customer_id is not None:
            return user.stripe_customer_id
        answer = await _find_or_create_customer(ctx, user, deadline, may_be_hosts)
        if isinstance(answer, str):
            await _save_customer(ctx, user, answer)
        elif answer.is_saved_error or answer is NEXT_KEY or answer.param == "email":
            await _next_customer_key(ctx, user, is_email_refused=answer.param == "email")
        else:
            return unavailable(answer)
    return errors.stripe_unavailable()


async def forget_customer(ctx: Parts, user_id: str, gone_customer_id: str) -> None:
    """A customer deleted at Stripe: compare-and-set, next key number, its methods forgotten."""

    async def work(tx: Transaction) -> None:
        if await users.forget_customer(tx, user_id, gone_customer_id):
            await methods.release_methods_of_customer(tx, gone_customer_id)

    await ctx.db.transaction("forget_customer", work)


async def _note_request(ctx: Parts, tx: Transaction, user_id: str) -> UserRow | None:
    """The user as he stood before: without a time, nothing was ever sent under his present key."""
    await users.lock_user(tx, user_id)
    user = await users.get_user(tx, user_id)
    if user and user.stripe_customer_id is None and user.customer_requested_at is None:
        await users.note_customer_request(tx, user_id, ctx.clock.now())
    return user


async def _find_or_create_customer(
    ctx: Parts, user: UserRow, deadline: Deadline, may_be_hosts: bool
) -> str | Failure:
    requested_at = user.customer_requested_at
    if may_be_hosts and ctx.db.users.is_host:
        found = await _find_hosts_customer(ctx, user, deadline)
        if found is not None:
            return found
    if requested_at is not None and (age := ctx.clock.now() - requested_at) > KEY_LIFE:
        found = await _find_customer(ctx, user, requested_at, deadline)
        if found is not None:
            return found
        if age > LAST_SEND:
            return NEXT_KEY
    request = customer_request(ctx, user)
    answer = await send_harmless(
        ctx, deadline, lambda left: ctx.gateway.create_customer(request, left)
    )
    if isinstance(answer, Failure) and answer.is_saved_error:
        first = requested_at or ctx.clock.now()
        return await _find_customer(ctx, user, first, deadline) or answer
    return answer


async def _find_hosts_customer(
    ctx: Parts, user: UserRow, deadline: Deadline
) -> str | Failure | None:
    """The customer that the host's own server made before us. The e-mail only narrows Stripe's
    list; what decides is the user's id in the metadata."""
    if not user.email:
        return None
    customers = await ctx.gateway.list_customers_with_email(user.email, deadline.left)
    if isinstance(customers, Failure):
        return customers
    for customer in customers:
        if hosts_user_id(ctx, customer.metadata) == user.id:
            owner = await _owner_of(ctx, customer.id)
            if owner in (None, user.id):
                return customer.id
    return None


async def _owner_of(ctx: Parts, customer_id: str) -> str | None:
    return await ctx.db.read(lambda tx: users.get_user_of_customer(tx, customer_id))


async def _find_customer(
    ctx: Parts, user: UserRow, first: datetime, deadline: Deadline
) -> str | Failure | None:
    """A customer whose create was executed although we never saw a good answer."""
    return await ctx.gateway.find_customer(
        customer_metadata(ctx, user),
        first - timedelta(minutes=5),
        first + LAST_SEND + LATE_EXECUTION,
        deadline.left,
    )


async def _next_customer_key(ctx: Parts, user: UserRow, *, is_email_refused: bool) -> None:
    await ctx.db.transaction(
        "customer_key",
        lambda tx: users.next_customer_key(
            tx, user.id, user.customer_key_no, is_email_refused=is_email_refused
        ),
    )


async def _save_customer(ctx: Parts, user: UserRow, customer_id: str) -> None:
    """Not one that another user has: then Stripe's answer was about somebody else."""
    is_saved = await ctx.db.transaction(
        "customer", lambda tx: users.save_customer(tx, user.id, user.customer_key_no, customer_id)
    )
    if not is_saved and await _owner_of(ctx, customer_id) not in (None, user.id):
        log.critical("stripe.contradicted", object="customer", fields=["id"])
        record_contradiction("customer")
