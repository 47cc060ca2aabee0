"""What becomes of a SetupIntent: the app confirms it, and its card is saved; or it is canceled.

Nobody reports reliably. A webhook, the user's own list, his next request and the worker look at
Stripe, and conclude the same from what they see. With every look the SetupAttempts whose end is
new are read: those that were declined count towards the limits like declined payments, those that
succeeded as a card that was tried; and who has reached a limit has his SetupIntents canceled, so
that one client secret tries no cards without end.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

from paidonce.domain.clock import Deadline
from paidonce.domain.intent import Failure, Reason, SetupAttempt, SetupIntent, SetupIntentStatus
from paidonce.domain.states import SetupState
from paidonce.gateway.setups import (
    cancel_setup_intent,
    find_setup_intents,
    list_setup_attempts,
    retrieve_setup_intent,
)
from paidonce.observability import get_logger
from paidonce.payments import evidence
from paidonce.payments.context import (
    CLOCKS_APART,
    LEASE_SECONDS,
    REQUEST_SECONDS,
    VIEW_SECONDS,
    Context,
    new_id,
)
from paidonce.payments.limits import check_limits
from paidonce.payments.requests import setup_cancel_request, setup_metadata
from paidonce.store import methods, setups, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import SetupRow

LONGEST_PAUSE_SECONDS = 300
CHECK_PAUSES = tuple(timedelta(seconds=min(5 * 2**n, LONGEST_PAUSE_SECONDS)) for n in range(7))
"""Between two looks of the worker; from 5 s on again when the app has tried."""
LOOK_PAUSE = timedelta(seconds=1)
"""Between two looks for a user who asks for his list again and again."""
MOST_LOOKS = 3
"""SetupIntents looked at for a list, the newest: an app has one at a time."""
log = get_logger(__name__)


async def look_at_setup(ctx: Context, setup: SetupRow, time_left: float) -> SetupIntent | Failure:
    """Ask Stripe, and write down what is new. The row's SetupIntent is recorded."""
    deadline = Deadline.after(ctx.clock, time_left)
    intent_id = setup.stripe_setup_intent_id or ""
    told = await retrieve_setup_intent(ctx.gateway, intent_id, deadline.left)
    seen = evidence.checked_setup(ctx, setup, told)
    if isinstance(seen, Failure):
        return seen
    attempts: list[SetupAttempt] = []
    if seen.latest_attempt not in (None, setup.settled_attempt_id):
        all_of_it = await list_setup_attempts(ctx.gateway, intent_id, deadline.left)
        listed = evidence.checked_attempts(setup, all_of_it)
        if isinstance(listed, Failure):
            return listed
        attempts = listed
    is_over = seen.status in (SetupIntentStatus.SUCCEEDED, SetupIntentStatus.CANCELED)
    if is_over or any(attempt.is_over for attempt in attempts):
        await ctx.db.transaction("setup", lambda tx: _record(ctx, tx, setup.id, seen, attempts))
    return seen


async def _record(
    ctx: Context,
    tx: Transaction,
    setup_id: str,
    seen: SetupIntent,
    attempts: list[SetupAttempt],
) -> None:
    setup = await setups.get_setup(tx, setup_id)
    await users.lock_user(tx, setup.user_id)
    setup = await setups.get_setup(tx, setup_id)
    if setup.state is not SetupState.OPEN:
        return
    now = ctx.clock.now()
    await _count_tries(ctx, tx, setup, attempts)
    if seen.status is SetupIntentStatus.SUCCEEDED:
        await _save(ctx, tx, setup, seen)
        await setups.set_state(tx, setup.id, setup.state, SetupState.SUCCEEDED, now)
    elif seen.status is SetupIntentStatus.CANCELED:
        await setups.set_state(tx, setup.id, setup.state, SetupState.CLOSED, now)


async def _count_tries(
    ctx: Context, tx: Transaction, setup: SetupRow, attempts: list[SetupAttempt]
) -> None:
    """Whatever has told whether its card is good counts: once, whoever sees it, at the time at
    which it was."""
    now = ctx.clock.now()
    who = setup.user_id, setup.client_address, setup.device_hash
    for attempt in attempts:
        if attempt.is_declined or attempt.is_succeeded:
            await methods.note_client_save(
                tx,
                attempt.id,
                *who,
                attempt.card,
                "declined" if attempt.is_declined else "saved",
                attempt.created_at,
            )
    if attempts and attempts[0].is_over:
        await setups.note_settled(tx, setup.id, attempts[0].id, now + CHECK_PAUSES[0])
    if await check_limits(ctx, tx, *who) is not None:
        await setups.end_all(tx, setup.user_id, now)


async def _save(ctx: Context, tx: Transaction, setup: SetupRow, seen: SetupIntent) -> None:
    """Its card is one of the user's list, unless it was detached again meanwhile, or is none."""
    user, method, now = await users.get_user(tx, setup.user_id), seen.method, ctx.clock.now()
    is_his = user is not None and user.stripe_customer_id == setup.stripe_customer_id
    if method is None or method.customer != setup.stripe_customer_id or not is_his:
        log.warning("setup.without_card", setup_id=setup.id)
        return
    if method.last4 is None:
        log.warning("setup.no_card", setup_id=setup.id)
        return
    await methods.save_method(
        tx, f"spm_{new_id()}", setup.user_id, setup.stripe_customer_id, method, now
    )
    kept = await methods.keep_method(tx, setup.user_id, method.id, now)
    if kept is not None and setup.is_default and not kept.is_default:
        await methods.set_default(tx, setup.user_id, kept.id)


# --- who looks -----------------------------------------------------------------------------------


async def look_for_user(ctx: Context, user_id: str) -> None:
    """Before a user's list is read: whether something came of what he has begun."""
    now = ctx.clock.now()
    before = now - LOOK_PAUSE
    due = await ctx.db.read(lambda tx: setups.list_to_look(tx, user_id, before, MOST_LOOKS))
    if not due:
        return

    async def take(tx: Transaction) -> list[SetupRow]:
        return [setup for setup in due if await setups.note_look(tx, setup.id, before, now)]

    mine = await ctx.db.transaction("setup_look", take)
    await asyncio.gather(*(look_at_setup(ctx, setup, VIEW_SECONDS) for setup in mine))


async def look_at_setup_intent(ctx: Context, setup_intent_id: str) -> tuple[str, str | None]:
    """What an event about it makes us do: the event's new state, and a note for people."""
    setup = await ctx.db.read(lambda tx: setups.get_setup_of_intent(tx, setup_intent_id))
    if setup is None:
        return "ignored", "no setup of ours has this SetupIntent"
    if setup.state is not SetupState.OPEN:
        return "done", "known already"
    seen = await look_at_setup(ctx, setup, REQUEST_SECONDS)
    if isinstance(seen, Failure):
        return "pending", f"Stripe did not show the SetupIntent: {seen.reason.value}"
    return "done", None


async def take_setups(ctx: Context, limit: int) -> list[SetupRow]:
    """Those that are due, for this worker alone."""
    now = ctx.clock.now()
    next_checks = [now + pause for pause in CHECK_PAUSES]
    later = now + timedelta(seconds=LEASE_SECONDS)
    return await ctx.db.transaction(
        "take_setups", lambda tx: setups.take_due(tx, now, later, next_checks, limit)
    )


async def work_on_setup(ctx: Context, setup: SetupRow) -> None:
    """Look at it; when its time is over, cancel it, and whatever else was made under its name."""
    seen: SetupIntent | Failure | None = None
    if setup.stripe_setup_intent_id is not None:
        seen = await look_at_setup(ctx, setup, REQUEST_SECONDS)
    is_over = isinstance(seen, SetupIntent) and seen.status in (
        SetupIntentStatus.SUCCEEDED,
        SetupIntentStatus.CANCELED,
    )
    present = await ctx.db.read(lambda tx: setups.get_setup(tx, setup.id))
    if not is_over and present.ends_at <= ctx.clock.now() and await _cancel(ctx, present):
        await ctx.db.transaction("setup_closed", lambda tx: _close(ctx, tx, setup.id))


async def _cancel(ctx: Context, setup: SetupRow) -> bool:
    """Whether nothing can come of it any more."""
    deadline = Deadline.after(ctx.clock, REQUEST_SECONDS)
    if setup.stripe_setup_intent_id is not None and setup.key_no == 0:
        intent_ids = [setup.stripe_setup_intent_id]
    else:  # an answer was lost: see what there is
        found = await find_setup_intents(
            ctx.gateway,
            setup.stripe_customer_id,
            setup_metadata(ctx, setup.user_id, setup.id),
            setup.created_at - CLOCKS_APART,
            deadline.left,
        )
        if isinstance(found, Failure):
            return found.reason is Reason.CUSTOMER_GONE
        found.sort(key=lambda each: each.id == setup.stripe_setup_intent_id)  # ours ends the row
        intent_ids = [each.id for each in found if each.status is not SetupIntentStatus.CANCELED]
    for intent_id in intent_ids:
        request = setup_cancel_request(ctx, setup)
        told = await cancel_setup_intent(ctx.gateway, intent_id, request, deadline.left)
        asked = replace(setup, stripe_setup_intent_id=intent_id)
        if not _is_canceled(evidence.checked_setup(ctx, asked, told)):
            return False  # it may have succeeded just now: the next look tells
    return True


def _is_canceled(answer: SetupIntent | Failure) -> bool:
    if isinstance(answer, Failure):
        return answer.http_status == 404
    return answer.status is SetupIntentStatus.CANCELED


async def _close(ctx: Context, tx: Transaction, setup_id: str) -> None:
    setup = await setups.get_setup(tx, setup_id)
    await users.lock_user(tx, setup.user_id)
    setup = await setups.get_setup(tx, setup_id)
    if setup.state is SetupState.OPEN:
        await setups.set_state(tx, setup.id, setup.state, SetupState.CLOSED, ctx.clock.now())
