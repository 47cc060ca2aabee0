"""Calls that move no money: sent again at will, under their one key."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from paidonce.domain import errors
from paidonce.domain.clock import Deadline
from paidonce.domain.errors import ServiceError
from paidonce.domain.intent import Failure, Reason
from paidonce.observability import get_logger
from paidonce.payments.context import Parts

MAX_SENDS = 3
PAUSE_SECONDS = 0.2
Answer = TypeVar("Answer")
log = get_logger(__name__)


async def send_harmless(
    ctx: Parts,
    deadline: Deadline,
    call: Callable[[float], Awaitable[Answer | Failure]],
) -> Answer | Failure:
    """Send a call that moves no money up to three times under its one key."""
    for n in range(1, MAX_SENDS + 1):
        answer = await call(deadline.left)
        if not isinstance(answer, Failure) or answer.reason is not Reason.UNKNOWN:
            return answer
        if answer.is_saved_error or n == MAX_SENDS or deadline.left < PAUSE_SECONDS * 2**n:
            return answer
        await ctx.clock.sleep(PAUSE_SECONDS * 2**n)
    raise AssertionError("the loop returns")


def unavailable(failure: Failure) -> ServiceError:
    """What a payer is told when a harmless call did not succeed: no confirm was ever sent."""
    if failure.reason is Reason.INVALID:
        return errors.order_not_payable("Stripe refused it")
    if failure.reason in (Reason.KEY_CONFLICT, Reason.INTENT_MISSING):
        log.error("stripe.contradiction", reason=failure.reason.value, detail=failure.message)
    return errors.stripe_unavailable()
