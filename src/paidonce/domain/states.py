"""The states as tables that can be read aloud, and the only test of a move: `check_move`,
which every writer of a state calls.

An order is `pending` until it is `paid`; `canceling` is the time between our decision to cancel
and Stripe's word that nothing can be charged any more.

A payment is one generation of an order: one PaymentIntent. At most one is live or has succeeded.

An attempt is one try to confirm that intent with one PaymentMethod, under one idempotency key.

A refund is money on its way back, written down before Stripe is asked. One that succeeded can still
fail days later, when the bank does not take it.

A setup is a SetupIntent that the app confirms: `open` until Stripe says that it succeeded, or that
it is canceled.

A capture takes money that is held, and is written down before Stripe is asked as well.

A method is a card that Stripe attached to the user's Customer. What was detached is never attached
again, so `deleted` is an end, and `released` is one unless Stripe says otherwise.
"""

from enum import StrEnum
from typing import TypeVar

State = TypeVar("State", bound=StrEnum)


class OrderStatus(StrEnum):
    PENDING = "pending"
    CANCELING = "canceling"
    CANCELED = "canceled"
    PAID = "paid"


class PaymentState(StrEnum):
    LIVE = "live"  # may still be confirmed
    AUTHORIZED = "authorized"  # Stripe holds the money (requires_capture)
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"  # retired: Stripe said canceled, or no intent was ever recorded
    SURPLUS = "surplus"  # succeeded although retired: an alarm, refunded by policy


class AttemptState(StrEnum):
    OPEN = "open"  # being worked on, or sent with an unknown outcome
    ACTION = "action"  # the card holder has to authenticate
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    AUTHENTICATION_FAILED = "authentication_failed"  # failed, or the challenge was abandoned
    CONSUMED = "consumed"  # the PaymentMethod was dead, and the order is not paid by it
    REFUSED = "refused"  # surely never executed at Stripe
    ABANDONED = "abandoned"  # made final by canceling the intent, or proven not charged
    SUPERSEDED = "superseded"  # another attempt or another card took its place


class RefundState(StrEnum):
    REQUESTED = "requested"  # written down; Stripe may have it already
    PENDING = "pending"  # Stripe's words from here on
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the money is with us again: an alarm, for a person
    CANCELED = "canceled"
    REFUSED = "refused"  # Stripe did not make it: an alarm, for a person


class SetupState(StrEnum):
    OPEN = "open"  # the app may have its client secret
    SUCCEEDED = "succeeded"
    CLOSED = "closed"  # canceled at Stripe, or never made there


class CaptureState(StrEnum):
    REQUESTED = "requested"  # written down; Stripe may have made it already
    SUCCEEDED = "succeeded"
    REFUSED = "refused"  # Stripe did not make it, or took another amount


class MethodState(StrEnum):
    ATTACHED = "attached"  # can pay -> releasing, deleting, released
    RELEASING = "releasing"  # lay idle; no payment may begin with it, Stripe is told -> released
    RELEASED = "released"  # detached, or its customer is gone -> attached, if Stripe attaches it
    DELETING = "deleting"  # its user wants it gone; as releasing -> deleted
    DELETED = "deleted"


ORDER_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELING}),
    OrderStatus.CANCELING: frozenset({OrderStatus.CANCELED, OrderStatus.PAID}),
    OrderStatus.CANCELED: frozenset(),
    OrderStatus.PAID: frozenset(),
}

PAYMENT_MOVES: dict[PaymentState, frozenset[PaymentState]] = {
    PaymentState.LIVE: frozenset(
        {PaymentState.AUTHORIZED, PaymentState.SUCCEEDED, PaymentState.CANCELED}
    ),
    PaymentState.AUTHORIZED: frozenset({PaymentState.SUCCEEDED, PaymentState.CANCELED}),
    PaymentState.SUCCEEDED: frozenset(),
    PaymentState.CANCELED: frozenset({PaymentState.SURPLUS}),
    PaymentState.SURPLUS: frozenset(),
}

_CLOSED = frozenset(
    {
        AttemptState.SUCCEEDED,
        AttemptState.DECLINED,
        AttemptState.AUTHENTICATION_FAILED,
        AttemptState.CONSUMED,
        AttemptState.REFUSED,
        AttemptState.ABANDONED,
        AttemptState.SUPERSEDED,
    }
)

ATTEMPT_MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.OPEN: _CLOSED | {AttemptState.ACTION},
    AttemptState.ACTION: _CLOSED,
    **{state: frozenset() for state in _CLOSED},
}

LIVE_ATTEMPTS = frozenset({AttemptState.OPEN, AttemptState.ACTION})


_REFUND_ENDS = frozenset({RefundState.FAILED, RefundState.CANCELED})
_REFUND_TAKEN = _REFUND_ENDS | {RefundState.SUCCEEDED}

REFUND_MOVES: dict[RefundState, frozenset[RefundState]] = {
    RefundState.REQUESTED: _REFUND_TAKEN
    | {RefundState.PENDING, RefundState.REQUIRES_ACTION, RefundState.REFUSED},
    RefundState.PENDING: _REFUND_TAKEN | {RefundState.REQUIRES_ACTION},
    RefundState.REQUIRES_ACTION: _REFUND_TAKEN | {RefundState.PENDING},
    RefundState.SUCCEEDED: _REFUND_ENDS,
    RefundState.FAILED: frozenset(),
    RefundState.CANCELED: frozenset(),
    RefundState.REFUSED: frozenset(),
}

SETUP_MOVES: dict[SetupState, frozenset[SetupState]] = {
    SetupState.OPEN: frozenset({SetupState.SUCCEEDED, SetupState.CLOSED}),
    SetupState.SUCCEEDED: frozenset(),
    SetupState.CLOSED: frozenset(),
}


CAPTURE_MOVES: dict[CaptureState, frozenset[CaptureState]] = {
    CaptureState.REQUESTED: frozenset({CaptureState.SUCCEEDED, CaptureState.REFUSED}),
    CaptureState.SUCCEEDED: frozenset(),
    CaptureState.REFUSED: frozenset(),
}


class IllegalMove(Exception):
    """A move that its table does not have: a bug, stopped before it is written."""


def check_move(moves: dict[State, frozenset[State]], old: State, new: State) -> None:
    """Raise IllegalMove unless the table has the move; staying where one is is not a move."""
    if new not in moves[old]:
        raise IllegalMove(f"{old} -> {new}")
