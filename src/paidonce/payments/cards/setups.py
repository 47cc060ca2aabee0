"""A card is saved without a payment: a SetupIntent that the app confirms with Stripe's SDK.

The row comes first, then Stripe is asked under the row's one key. A repeated request within
REUSE answers the same SetupIntent while nothing came of it, so a phone that retries, or asks a
thousand times, makes one. The client secret is in no row: it is read from Stripe. What becomes of
a SetupIntent is told in `setup_work`.
"""

from datetime import timedelta

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Reason, SetupIntent, SetupIntentStatus
from paidonce.domain.model import CardSetup, SetUpCard
from paidonce.domain.states import SetupState
from paidonce.gateway.setups import create_setup_intent
from paidonce.observability import get_logger
from paidonce.payments import customers, evidence, harmless
from paidonce.payments.cards.saved import check_policy
from paidonce.payments.cards.setup_work import CHECK_PAUSES, look_at_setup
from paidonce.payments.context import REQUEST_SECONDS, Again, Context, new_id
from paidonce.payments.limits import check_limits, device_hash
from paidonce.payments.requests import setup_params, setup_request
from paidonce.store import setups, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import SetupRow

REUSE = timedelta(minutes=10)
"""So long a repeated request gets the same SetupIntent."""
LIFE = timedelta(minutes=60)
"""Then it is canceled. Stripe: "Don't maintain long-lived, unconfirmed SetupIntents" (the SDK's
docstring of SetupIntent)."""
MOST_PER_HOUR = 20
"""SetupIntents of a user. Each needs a card that was entered, or minutes of waiting."""
MAX_ROUNDS = 4
OPEN = (
    SetupIntentStatus.REQUIRES_PAYMENT_METHOD,
    SetupIntentStatus.REQUIRES_CONFIRMATION,
    SetupIntentStatus.REQUIRES_ACTION,
)
HOUR = timedelta(hours=1)
log = get_logger(__name__)


async def set_up_card(ctx: Context, command: SetUpCard) -> CardSetup:
    """Raises too_many_attempts before Stripe is asked, and stripe_unavailable."""
    check_policy(ctx)
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    verdict: CardSetup | ServiceError | Again = Again("it has not begun")
    for _ in range(MAX_ROUNDS):
        if not isinstance(verdict, Again):
            break
        verdict = await _round(ctx, command, deadline)
    if isinstance(verdict, Again):
        verdict = errors.card_not_saved()
    if isinstance(verdict, ServiceError):
        raise verdict
    return verdict


async def _round(
    ctx: Context, command: SetUpCard, deadline: Deadline
) -> CardSetup | ServiceError | Again:
    begun = await ctx.db.transaction("setup_begin", lambda tx: _begin(ctx, tx, command))
    if begun is None:
        customer_id = await customers.ensure_customer(ctx, command.user.user_id, deadline)
        if not isinstance(customer_id, ServiceError):
            return Again("the customer is there")
        is_stranger = customer_id.code == errors.not_authenticated().code
        return customer_id if is_stranger else errors.card_not_saved()
    if isinstance(begun, ServiceError):
        return begun
    if begun.stripe_setup_intent_id is None:
        return await _create(ctx, begun, deadline)
    return await _go_on(ctx, command, begun, deadline)


async def _begin(
    ctx: Context, tx: Transaction, command: SetUpCard
) -> SetupRow | ServiceError | None:
    """The setup to go on with, or a new one. None: the user has no customer yet."""
    user_id, now = command.user.user_id, ctx.clock.now()
    if not await users.ensure_user(tx, user_id, command.user.email, now):
        return errors.not_authenticated()
    await users.lock_user(tx, user_id)
    device = device_hash(ctx, command.device_id)
    refusal = await check_limits(ctx, tx, user_id, command.client_address, device)
    if refusal is not None:
        return refusal
    user = await users.get_user(tx, user_id)
    customer_id = user.stripe_customer_id if user else None
    if customer_id is None:
        return None
    setup = await setups.get_open_setup(tx, user_id, customer_id, now - REUSE, now)
    if setup is not None:
        await setups.wish_default(tx, setup.id, is_default=command.is_default)
        return setup
    count, first_at = await setups.count_since(tx, user_id, now - HOUR)
    if count >= MOST_PER_HOUR:
        free_at = (first_at or now) + HOUR
        return errors.too_many_attempts(max(1, int((free_at - now).total_seconds())))
    setup = _new_setup(ctx, command, customer_id)
    await setups.insert_setup(tx, setup)
    return setup


def _new_setup(ctx: Context, command: SetUpCard, customer_id: str) -> SetupRow:
    now, setup_id = ctx.clock.now(), new_id()
    return SetupRow(
        id=setup_id,
        user_id=command.user.user_id,
        stripe_customer_id=customer_id,
        state=SetupState.OPEN,
        is_default=command.is_default,
        client_address=command.client_address,
        device_hash=device_hash(ctx, command.device_id),
        stripe_version=ctx.gateway.stripe_version,
        params=setup_params(ctx, command.user.user_id, customer_id, setup_id),
        key_no=0,
        stripe_setup_intent_id=None,
        settled_attempt_id=None,
        checks=0,
        next_check_at=now + LIFE,  # until it is recorded there is nothing to look at
        looked_at=None,
        ends_at=now + LIFE,
        created_at=now,
        finished_at=None,
    )


async def _create(
    ctx: Context, setup: SetupRow, deadline: Deadline
) -> CardSetup | ServiceError | Again:
    request = setup_request(ctx, setup)
    told = await harmless.send_harmless(
        ctx, deadline, lambda left: create_setup_intent(ctx.gateway, request, left)
    )
    answer = evidence.checked_setup(ctx, setup, told)
    if isinstance(answer, SetupIntent):
        made, first_look_at = answer, ctx.clock.now() + CHECK_PAUSES[0]
        await ctx.db.transaction(
            "setup_intent", lambda tx: setups.save_intent(tx, setup.id, made.id, first_look_at)
        )
        return _answer(ctx, setup, made)
    if answer.is_saved_error:
        await ctx.db.transaction(
            "setup_key", lambda tx: setups.next_key(tx, setup.id, setup.key_no)
        )
        return Again("Stripe saved a 5xx under that key")
    if answer.reason is Reason.CUSTOMER_GONE:
        await customers.forget_customer(ctx, setup.user_id, setup.stripe_customer_id)
        return Again("the customer is gone")
    log.warning("setup.not_made", setup_id=setup.id, reason=answer.reason.value)
    return errors.card_not_saved()


async def _go_on(
    ctx: Context, command: SetUpCard, setup: SetupRow, deadline: Deadline
) -> CardSetup | ServiceError | Again:
    """A repeated request: the same SetupIntent, unless something came of it meanwhile."""
    seen = await look_at_setup(ctx, setup, deadline.left)
    if isinstance(seen, Failure):
        return errors.card_not_saved()
    if seen.status not in OPEN:
        return Again("it is over")
    device = device_hash(ctx, command.device_id)
    refusal = await ctx.db.read(
        lambda tx: check_limits(ctx, tx, setup.user_id, command.client_address, device)
    )
    return refusal or _answer(ctx, setup, seen)


def _answer(ctx: Context, setup: SetupRow, intent: SetupIntent) -> CardSetup:
    return CardSetup(
        intent.id,
        intent.client_secret,
        setup.stripe_customer_id,
        ctx.settings.stripe_publishable_key,
    )
