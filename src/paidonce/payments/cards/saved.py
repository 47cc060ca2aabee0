"""The user's saved cards: list, save, the default, and from our id to Stripe's.

A card is listed only because its user asked for it. The same card entered twice is one saved card:
the older entry stays listed, the newer one goes on paying for whoever holds its id, and is released
like any card that nobody asked to keep. How a saved card ends is told in `release`.
"""

from dataclasses import replace

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import PaymentFailed, ServiceError
from paidonce.domain.intent import CardRefusal, Failure, Method, Reason
from paidonce.domain.model import Page, PayCommand, SavedMethod, SaveMethod
from paidonce.domain.states import MethodState
from paidonce.observability import get_logger
from paidonce.payments import customers, evidence, harmless
from paidonce.payments.cards import unreported
from paidonce.payments.cards.setup_work import look_for_user
from paidonce.payments.context import REQUEST_SECONDS, Again, Context, new_id
from paidonce.payments.cursors import METHOD_IDS, decode_cursor, next_cursor
from paidonce.payments.limits import DECLINE_WINDOW, check_limits, device_hash, withholds_reason
from paidonce.payments.pay.claim import unusable
from paidonce.payments.requests import save_request
from paidonce.store import listings, methods, setups, users
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import MethodRow, is_token, row_as

SAVED_PREFIX = "spm_"
STRIPE_PREFIX = "pm_"
MAX_ROUNDS = 3
log = get_logger(__name__)


async def stripe_method_id(ctx: Context, command: PayCommand) -> PayCommand:
    """The command with Stripe's id, whatever has become of the card: what that means is decided
    only after the order was looked at, which may be paid by it. Raises payment_method_not_found
    for what never was the user's.
    """
    method_id = command.payment_method_id
    if not method_id.startswith(SAVED_PREFIX):
        if not method_id.startswith(STRIPE_PREFIX) and not is_token(method_id):
            raise errors.payment_method_not_found()
        return command

    async def look(tx: Transaction) -> MethodRow | None:
        if not await users.is_known(tx, command.user_id):
            raise errors.not_authenticated()
        return await methods.get_method(tx, method_id)

    row = await ctx.db.read(look)
    if row is None or row.user_id != command.user_id:
        raise errors.payment_method_not_found()
    return replace(command, payment_method_id=row.stripe_payment_method_id)


# --- the list and the default --------------------------------------------------------------------


async def list_methods(
    ctx: Context, user_id: str, limit: int, cursor: str | None
) -> Page[SavedMethod]:
    """Newest first, expired ones last. With single use nothing is saved, so nothing is listed."""
    before = decode_cursor(cursor, METHOD_IDS)
    if ctx.settings.payment_method_policy == "single_use":
        return Page([])
    await look_for_user(ctx, user_id)
    now = ctx.clock.now()

    async def work(tx: Transaction) -> tuple[list[Row], bool]:
        rows = await listings.list_methods(tx, user_id, limit + 1, before, now)
        since = min((row["created_at"] for row in rows), default=now)
        return rows, await unreported.is_due(ctx, tx, user_id, since)

    rows, is_to_look = await ctx.db.read(work)
    if is_to_look:
        unreported.look_later(ctx, user_id)
    return Page(
        [_view(ctx, row_as(MethodRow, row)) for row in rows[:limit]], next_cursor(rows, limit)
    )


async def set_default_method(ctx: Context, user_id: str, method_id: str) -> SavedMethod:
    """The card that the app offers first; nothing is ever charged because of it."""
    check_policy(ctx)

    async def work(tx: Transaction) -> MethodRow:
        method = await get_listed(tx, user_id, method_id)
        await methods.set_default(tx, user_id, method.id)
        await setups.forget_wishes(tx, user_id)
        return method

    row = await ctx.db.transaction("default_method", work)
    return _view(ctx, replace(row, is_default=True))


async def get_listed(tx: Transaction, user_id: str, method_id: str) -> MethodRow:
    """The user's saved card by our id or Stripe's, his list locked.

    Raises payment_method_not_found.
    """
    await users.lock_user(tx, user_id)
    method = await methods.get_method(tx, method_id)
    is_saved = method is not None and method.is_listed and method.state is MethodState.ATTACHED
    if method is None or method.user_id != user_id or not is_saved:
        raise errors.payment_method_not_found()
    return method


# --- saving --------------------------------------------------------------------------------------


async def save_method(ctx: Context, command: SaveMethod) -> SavedMethod:
    """Attach the card to the user's customer and list it; the same call again answers the same.

    A crash after the attach leaves a card at Stripe that the next call of its user finds attached.
    """
    check_policy(ctx)
    if not command.stripe_payment_method_id.startswith(STRIPE_PREFIX):
        raise errors.payment_method_not_found()
    await look_for_user(ctx, command.user.user_id)
    save_id = new_id()
    known = await ctx.db.transaction("save_begin", lambda tx: _begin(ctx, tx, command, save_id))
    verdict = known or await _attach_and_save(ctx, command, save_id)
    if isinstance(verdict, ServiceError):
        raise verdict
    return _view(ctx, verdict)


async def _attach_and_save(
    ctx: Context, command: SaveMethod, save_id: str
) -> MethodRow | ServiceError:
    """The save counts from its beginning, and looks at the limits once more now that others can see
    it: so they hold for saves that are sent at the same time, too."""
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    refusal = await ctx.db.read(lambda tx: _check_limits(ctx, tx, command, save_id))
    verdict: MethodRow | ServiceError | Again = refusal or Again("it is to be attached")
    for _ in range(MAX_ROUNDS):
        if not isinstance(verdict, Again):
            break
        verdict = await _attach(ctx, command, deadline)
    if isinstance(verdict, Again):
        verdict = errors.card_not_saved()
    ended = verdict
    return await ctx.db.transaction("save_end", lambda tx: _end(ctx, tx, command, save_id, ended))


async def _check_limits(
    ctx: Context, tx: Transaction, command: SaveMethod, save_id: str
) -> ServiceError | None:
    device = device_hash(ctx, command.device_id)
    user_id, address = command.user.user_id, command.client_address
    return await check_limits(ctx, tx, user_id, address, device, but_for=save_id)


async def _end(
    ctx: Context,
    tx: Transaction,
    command: SaveMethod,
    save_id: str,
    verdict: MethodRow | ServiceError,
) -> MethodRow | ServiceError:
    """What the save counts as from now on."""
    if isinstance(verdict, MethodRow):
        await methods.end_save(tx, save_id, "saved", verdict.fingerprint)
    elif not isinstance(verdict, PaymentFailed) or verdict.code != "card_declined":
        await methods.forget_save(tx, save_id)
    else:
        await methods.end_save(tx, save_id, "declined")
        device = device_hash(ctx, command.device_id)
        user_id, address = command.user.user_id, command.client_address
        if await withholds_reason(ctx, tx, user_id, address, device):
            return errors.card_declined_without_reason(verdict.message)
    return verdict


def check_policy(ctx: Context) -> None:
    """Where every card is used once there is nothing to save."""
    if ctx.settings.payment_method_policy == "single_use":
        raise errors.not_found()


async def _begin(
    ctx: Context, tx: Transaction, command: SaveMethod, save_id: str
) -> MethodRow | ServiceError | None:
    """Saved without Stripe when the card is the user's already; None: it is to be attached."""
    user = command.user
    if not await users.ensure_user(tx, user.user_id, user.email, ctx.clock.now()):
        return errors.not_authenticated()
    await users.lock_user(tx, user.user_id)
    method = await methods.get_method(tx, command.stripe_payment_method_id)
    if method is not None:
        refusal = unusable(method, user.user_id)
        if refusal is not None:
            return refusal
        if method.state is MethodState.ATTACHED:
            return await _keep(ctx, tx, command, method.stripe_payment_method_id)
    refusal = await _check_limits(ctx, tx, command, save_id)
    if refusal is None:
        now, device = ctx.clock.now(), device_hash(ctx, command.device_id)
        await methods.note_save(
            tx,
            save_id,
            user.user_id,
            command.client_address,
            device,
            command.stripe_payment_method_id,
            now,
            now - DECLINE_WINDOW,
        )
    return refusal


async def _keep(
    ctx: Context, tx: Transaction, command: SaveMethod, stripe_payment_method_id: str
) -> MethodRow | ServiceError:
    """List it; the user's row is locked by the caller."""
    user_id = command.user.user_id
    method = await methods.get_method(tx, stripe_payment_method_id)
    if method is not None and method.last4 is None:
        return errors.invalid_request("stripePaymentMethodId is not a card.")
    kept = await methods.keep_method(tx, user_id, stripe_payment_method_id, ctx.clock.now())
    if kept is None:  # deleted or released since
        return errors.payment_method_not_found()
    if not command.is_default or kept.is_default:
        return kept
    await methods.set_default(tx, user_id, kept.id)
    return replace(kept, is_default=True)


async def _attach(
    ctx: Context, command: SaveMethod, deadline: Deadline
) -> MethodRow | ServiceError | Again:
    user_id = command.user.user_id
    customer_id = await customers.ensure_customer(ctx, user_id, deadline)
    if isinstance(customer_id, ServiceError):
        is_stranger = customer_id.code == errors.not_authenticated().code
        return customer_id if is_stranger else errors.card_not_saved()
    request = save_request(ctx, customer_id)
    method_id = command.stripe_payment_method_id
    told = await harmless.send_harmless(
        ctx, deadline, lambda left: ctx.gateway.attach_method(method_id, request, left)
    )
    answer = evidence.checked_method(told, method_id, customer_id)
    if isinstance(answer, Method):
        method = answer
        return await ctx.db.transaction(
            "save_method", lambda tx: _save(ctx, tx, command, customer_id, method)
        )
    return await _refused(ctx, command, customer_id, answer)


async def _save(
    ctx: Context, tx: Transaction, command: SaveMethod, customer_id: str, method: Method
) -> MethodRow | ServiceError | Again:
    user_id = command.user.user_id
    await users.lock_user(tx, user_id)
    user = await users.get_user(tx, user_id)
    if user is None or user.stripe_customer_id != customer_id:
        return Again("the customer was replaced meanwhile")
    await methods.save_method(
        tx, f"{SAVED_PREFIX}{new_id()}", user_id, customer_id, method, ctx.clock.now()
    )
    return await _keep(ctx, tx, command, method.id)


async def _refused(
    ctx: Context, command: SaveMethod, customer_id: str, failure: Failure
) -> ServiceError | Again:
    user_id, method_id = command.user.user_id, command.stripe_payment_method_id
    match failure.reason:
        case Reason.DECLINED:
            refusal = failure.refusal or CardRefusal("card_declined", failure.message)
            return errors.card_declined(
                refusal.message,
                message="The card was not saved",
                decline_code=refusal.decline_code or refusal.code,
                can_retry=refusal.can_retry,
            )
        case Reason.METHOD_DEAD:
            await ctx.db.transaction(
                "release_method", lambda tx: methods.release_method(tx, method_id, ctx.clock.now())
            )
            return errors.payment_method_consumed()
        case Reason.METHOD_FOREIGN | Reason.METHOD_MISSING | Reason.INVALID:
            return errors.payment_method_not_found()
        case Reason.CUSTOMER_GONE:
            await customers.forget_customer(ctx, user_id, customer_id)
            return Again("the customer is gone")
        case _ if failure.is_saved_error:
            return Again("Stripe saved a 5xx under that key")
        case _:
            return errors.card_not_saved()


def _view(ctx: Context, row: MethodRow) -> SavedMethod:
    return SavedMethod(
        id=row.id,
        stripe_payment_method_id=row.stripe_payment_method_id,
        is_default=row.is_default,
        brand=row.brand,
        last4=row.last4,
        exp_month=row.exp_month,
        exp_year=row.exp_year,
        cardholder_name=row.cardholder_name,
        is_expired=methods.is_expired(row, ctx.clock.now()),
    )
