"""Whether Stripe takes the secret key: nobody can pay without one, so a refused key is an alarm.

Stripe answers 401 to a key that is wrong, expired or rolled, and 403 to one that may not do what
was asked (https://docs.stripe.com/api/errors, https://docs.stripe.com/keys/restricted-api-keys).
"""

from collections.abc import Callable

from paidonce.domain.intent import Failure
from paidonce.observability import get_logger
from paidonce.observability.metrics import record_key_refused
from paidonce.observability.seldom import Seldom

NOT_TAKEN = 401
NOT_ALLOWED = 403
NOT_NEEDED = ("retrieve_account",)
"""Calls that a restricted key need not be allowed: the service does without."""
log = get_logger(__name__)


class KeyAlarm:
    """One gateway's key. A 401 ends with the next call that succeeds, a 403 with the next of the
    same name: what else the key may do says nothing about it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._is_taken = True
        self._not_allowed: set[str] = set()
        self._monotonic = monotonic
        self._alarm = Seldom()

    @property
    def complaint(self) -> str | None:
        """What Stripe has against the key, or None."""
        if not self._is_taken:
            return "the secret key is refused"
        if self._not_allowed:
            return f"the secret key may not: {', '.join(sorted(self._not_allowed))}"
        return None

    def note_success(self, call: str) -> None:
        self._is_taken = True
        self._not_allowed.discard(call)

    def note_failure(self, call: str, failure: Failure) -> None:
        if failure.http_status == NOT_TAKEN:
            self._is_taken = False
        elif failure.http_status == NOT_ALLOWED and call not in NOT_NEEDED:
            self._not_allowed.add(call)
        else:
            return
        record_key_refused(failure.http_status)
        if self._alarm.may_say(self._monotonic()):
            log.critical(
                "stripe.key_refused",
                call=call,
                http_status=failure.http_status,
                message=failure.message,
                stripe_code=failure.code,
                stripe_request_id=failure.stripe_request_id,
            )
