"""Against card testing: how much a user, an address and a device may try in an hour.

Declines count, of payments and of cards that are saved, since both tell whether a card is good;
different cards that did not pay an order; and what is on its way and may become either, so that
requests at the same time get no further than those one after the other. Repeats, joins and
payments that succeed do not count, nor does a card that has paid before while it is on its way.

After the first few different cards of a user or a device each further one makes the next attempt
wait longer, and declines are told without their reason: whoever tests cards learns little, and
slowly. The same card tried again is nobody's test.
"""

import hashlib
import hmac
from collections import OrderedDict
from datetime import datetime, timedelta

from paidonce.domain import errors
from paidonce.domain.errors import ServiceError
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_card_testing
from paidonce.payments.context import Context
from paidonce.settings import Settings
from paidonce.store import trials
from paidonce.store.engine import Transaction
from paidonce.store.trials import Tried

DECLINE_WINDOW = timedelta(hours=1)
FIRST_DELAY_SECONDS = 15
IN_FLIGHT_SECONDS = 2
"""When what is on its way makes up the limit: it is over soon."""
TRUSTED_AFTER = timedelta(hours=24)
"""A user who has paid so long ago is not shut out by what others at his address do."""
MOST_ALARMS = 10_000
log = get_logger(__name__)


class Alarms:
    """Which limits were exceeded in this window: each is alarmed once."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, datetime] = OrderedDict()

    def is_new(self, who: str, now: datetime) -> bool:
        until = self._until.get(who)
        if until is not None and until > now:
            return False
        self._until[who] = now + DECLINE_WINDOW
        self._until.move_to_end(who)
        if len(self._until) > MOST_ALARMS:
            self._until.popitem(last=False)
        return True


_alarms = Alarms()


def device_hash(ctx: Context, device_id: str) -> str:
    """What is kept of a device's name: nobody can tell the name by it, or follow it elsewhere."""
    if not device_id:
        return ""
    key = ctx.installation.namespace.encode()
    return hmac.digest(key, device_id.encode(), hashlib.sha256).hex()[:32]


async def check_limits(
    ctx: Context,
    tx: Transaction,
    user_id: str,
    client_address: str,
    device: str = "",
    *,
    but_for: str = "",
) -> ServiceError | None:
    """`too_many_attempts`, or None when the user may go on. `device` is a device's hash, `but_for`
    the attempt or the save that asks, where it is in the books already."""
    who = {"user": user_id, "address": client_address, "device": device}
    for scope, why, seconds in await _waits(ctx, tx, who, but_for):
        return _refusal(ctx, scope, who[scope], why, seconds)
    return None


async def _waits(
    ctx: Context, tx: Transaction, who: dict[str, str], but_for: str = ""
) -> list[tuple[str, str, int]]:
    """Every scope in which somebody has to wait, why, and for how many seconds."""
    now = ctx.clock.now()
    tried = await trials.count_tried(
        tx, who["user"], who["address"], who["device"], now - DECLINE_WINDOW, but_for
    )
    found = []
    for scope in trials.SCOPES:
        wait = _wait(ctx.settings, scope, tried[scope], now)
        if wait is None:
            continue
        is_others = scope == "address"
        if is_others and await trials.has_paid_before(tx, who["user"], now - TRUSTED_AFTER):
            continue
        found.append((scope, *wait))
    return found


def plain_declines(settings: Settings, scope: str) -> int:
    """With fewer declines than this nothing stands in anybody's way."""
    most = min(_limits(settings, scope))
    return most if scope == "address" else min(most, settings.cards_without_delay)


def is_reason_withheld(settings: Settings, tried: dict[str, Tried]) -> bool:
    """Whether the latest decline is told without its reason."""
    free = settings.cards_without_delay
    return any(tried[scope].cards > free for scope in ("user", "device"))


async def withholds_reason(
    ctx: Context, tx: Transaction, user_id: str, client_address: str, device: str
) -> bool:
    """The same, asked of the books as they are now."""
    since = ctx.clock.now() - DECLINE_WINDOW
    tried = await trials.count_tried(tx, user_id, client_address, device, since)
    return is_reason_withheld(ctx.settings, tried)


async def has_had_enough(
    ctx: Context, tx: Transaction, user_id: str, client_address: str, device: str
) -> bool:
    """Whether no card may be tried any more in this hour; a delay is no such thing."""
    who = {"user": user_id, "address": client_address, "device": device}
    return any(why in ("declines", "cards") for _, why, _ in await _waits(ctx, tx, who))


def _wait(settings: Settings, scope: str, tried: Tried, now: datetime) -> tuple[str, int] | None:
    """Why somebody has to wait, and for how many seconds; None when he may go on."""
    most, most_cards = _limits(settings, scope)
    settled = (tried.first_at or now) + DECLINE_WINDOW - now
    if tried.declines >= most:
        return "declines", _seconds(settled)
    if tried.cards >= most_cards:
        return "cards", _seconds(settled) if tried.open == 0 else IN_FLIGHT_SECONDS
    delay = 0 if scope == "address" else delay_seconds(settings, tried.cards)
    if delay and tried.last_at is not None:
        left = tried.last_at + timedelta(seconds=delay) - now
        if left > timedelta():
            return "delay", _seconds(left)
    if tried.declines + tried.open >= most:
        return "in_flight", IN_FLIGHT_SECONDS
    return None


def _limits(settings: Settings, scope: str) -> tuple[int, int]:
    match scope:
        case "user":
            return settings.declines_per_user_and_hour, settings.cards_per_user_and_hour
        case "device":
            return settings.declines_per_device_and_hour, settings.cards_per_device_and_hour
        case _:
            return settings.declines_per_address_and_hour, settings.cards_per_address_and_hour


def delay_seconds(settings: Settings, cards: int) -> int:
    """15 s after the last card that is free of it, and twice as long after each further one."""
    further = cards - settings.cards_without_delay
    return 0 if further < 0 else FIRST_DELAY_SECONDS * 2 ** min(further, 8)


def _seconds(left: timedelta) -> int:
    return max(1, -int(-left.total_seconds() // 1))


def _refusal(ctx: Context, scope: str, who: str, why: str, seconds: int) -> ServiceError:
    record_card_testing(scope, why)
    known_as = f"{ctx.installation.namespace}:{scope}:{who}"
    if why in ("declines", "cards") and _alarms.is_new(known_as, ctx.clock.now()):
        log.critical("card_testing.limit_exceeded", scope=scope, who=who, limit=why)
    return errors.too_many_attempts(seconds)
