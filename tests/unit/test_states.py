"""The state tables: complete, and without a way back from an end."""

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from paidonce.domain.errors import ServiceError
from paidonce.domain.model import Paid
from paidonce.domain.states import (
    ATTEMPT_MOVES,
    CAPTURE_MOVES,
    LIVE_ATTEMPTS,
    ORDER_MOVES,
    PAYMENT_MOVES,
    REFUND_MOVES,
    AttemptState,
    CaptureState,
    IllegalMove,
    OrderStatus,
    PaymentState,
    RefundState,
    check_move,
)
from paidonce.payments.context import Again
from paidonce.payments.pay.answers import answer_of
from paidonce.store.rows import AttemptRow, OrderRow

TABLES: list[tuple[type[StrEnum], dict[Any, frozenset[Any]]]] = [
    (OrderStatus, ORDER_MOVES),
    (PaymentState, PAYMENT_MOVES),
    (AttemptState, ATTEMPT_MOVES),
    (RefundState, REFUND_MOVES),
    (CaptureState, CAPTURE_MOVES),
]
ORDER_PAIRS = {
    ("pending", "paid"),
    ("pending", "canceling"),
    ("canceling", "canceled"),
    ("canceling", "paid"),
}
PAYMENT_PAIRS = {
    ("live", "authorized"),
    ("live", "succeeded"),
    ("live", "canceled"),
    ("authorized", "succeeded"),
    ("authorized", "canceled"),
    ("canceled", "surplus"),
}
CLOSED = {
    "succeeded",
    "declined",
    "authentication_failed",
    "consumed",
    "refused",
    "abandoned",
    "superseded",
}
ATTEMPT_PAIRS = (
    {("open", "action")} | set(product(["open"], CLOSED)) | set(product(["action"], CLOSED))
)
REFUND_ENDS = {"succeeded", "failed", "canceled"}
REFUND_PAIRS = (
    set(product(["requested", "pending", "requires_action"], REFUND_ENDS))
    | {("succeeded", "failed"), ("succeeded", "canceled"), ("requested", "refused")}
    | {("requested", "pending"), ("requested", "requires_action")}
    | {("pending", "requires_action"), ("requires_action", "pending")}
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ORDER = OrderRow(
    id="o", user_id="u", order_number="n", amount_minor=440, currency="usd",
    status=OrderStatus.PENDING, amount_refunded_minor=0, items="[]", details="{}",
    metadata="{}", created_at=NOW, paid_at=None,
)  # fmt: skip


@pytest.mark.parametrize(("enum", "moves"), TABLES)
def test_every_state_stands_in_its_table(enum: type[StrEnum], moves: dict[Any, Any]) -> None:
    assert set(moves) == set(enum)
    for targets in moves.values():
        assert targets <= set(enum)


@pytest.mark.parametrize(
    ("enum", "moves", "allowed"),
    [
        (OrderStatus, ORDER_MOVES, ORDER_PAIRS),
        (PaymentState, PAYMENT_MOVES, PAYMENT_PAIRS),
        (AttemptState, ATTEMPT_MOVES, ATTEMPT_PAIRS),
        (RefundState, REFUND_MOVES, REFUND_PAIRS),
        (CaptureState, CAPTURE_MOVES, {("requested", "succeeded"), ("requested", "refused")}),
    ],
)
def test_exactly_these_moves_are_allowed(
    enum: type[StrEnum], moves: dict[Any, Any], allowed: set[tuple[str, str]]
) -> None:
    """Walks every pair, staying where one is included: that is no move."""
    found = {
        (old.value, new.value) for old, new in product(enum, enum) if is_allowed(moves, old, new)
    }
    assert found == allowed


def is_allowed(moves: dict[Any, Any], old: StrEnum, new: StrEnum) -> bool:
    try:
        check_move(moves, old, new)
    except IllegalMove:
        return False
    return True


def test_money_that_was_taken_is_never_forgotten() -> None:
    """Nothing leads away from a success."""
    assert ORDER_MOVES[OrderStatus.PAID] == frozenset()
    assert PAYMENT_MOVES[PaymentState.SUCCEEDED] == frozenset()
    assert ATTEMPT_MOVES[AttemptState.SUCCEEDED] == frozenset()
    assert PAYMENT_MOVES[PaymentState.SURPLUS] == frozenset()


def test_an_attempt_is_either_live_or_closed() -> None:
    for state in AttemptState:
        assert (state in LIVE_ATTEMPTS) == bool(ATTEMPT_MOVES[state]), state
    assert len(LIVE_ATTEMPTS) == 2


# --- what an attempt answers ---------------------------------------------------------------------


def attempt_in(state: AttemptState, **changes: Any) -> AttemptRow:
    values: dict[str, Any] = dict.fromkeys(AttemptRow.__slots__)
    values.update(id="a", payment_id="pay_1", order_id="o", user_id="u", n=1, state=state)
    return AttemptRow(**{**values, **changes})


@pytest.mark.parametrize("state", AttemptState)
def test_every_attempt_state_has_an_answer(state: AttemptState) -> None:
    answer = answer_of(ORDER, attempt_in(state))
    expected = {
        AttemptState.SUCCEEDED: "Paid",
        AttemptState.DECLINED: "card_declined",
        AttemptState.AUTHENTICATION_FAILED: "authentication_failed",
        AttemptState.CONSUMED: "payment_method_consumed",
        AttemptState.REFUSED: "stripe_unavailable",
        AttemptState.ABANDONED: "Again",
        AttemptState.SUPERSEDED: "Again",
        AttemptState.OPEN: "Again",
        AttemptState.ACTION: "Again",
    }[state]
    assert isinstance(answer, Paid | ServiceError | Again)
    got = answer.code if isinstance(answer, ServiceError) else type(answer).__name__
    assert got == expected


@pytest.mark.parametrize(
    ("error_code", "code", "status"),
    [
        ("payment_method_not_found", "payment_method_not_found", 404),
        ("order_not_payable", "order_not_payable", 409),
        ("stripe_unavailable", "stripe_unavailable", 503),
        ("something_else", "stripe_unavailable", 503),
    ],
)
def test_a_refused_attempt_answers_why(error_code: str, code: str, status: int) -> None:
    answer = answer_of(ORDER, attempt_in(AttemptState.REFUSED, error_code=error_code))
    assert isinstance(answer, ServiceError)
    assert (answer.code, answer.http_status) == (code, status)


@pytest.mark.parametrize(
    ("advice", "next_step"),
    [
        ("try_again_later", "retry"),
        ("do_not_try_again", "use_other_method"),
        ("confirm_card_data", "use_other_method"),
        (None, "use_other_method"),
    ],
)
def test_a_decline_is_told_again_with_stripes_words(advice: str | None, next_step: str) -> None:
    attempt = attempt_in(
        AttemptState.DECLINED,
        error_code="expired_card",
        error_message="Your card has expired.",
        decline_code="expired_card",
        advice_code=advice,
    )
    answer = answer_of(ORDER, attempt)
    assert isinstance(answer, ServiceError)
    assert (answer.code, answer.details) == ("card_declined", ["Your card has expired."])
    assert (answer.decline_code, answer.next_step) == ("expired_card", next_step)


def test_a_success_answers_with_the_orders_amount() -> None:
    paid = replace(ORDER, status=OrderStatus.PAID)
    assert answer_of(paid, attempt_in(AttemptState.SUCCEEDED)) == Paid("pay_1", "o", 440, "usd")


def test_a_success_of_an_order_that_is_not_paid_is_money_that_is_held() -> None:
    held = Paid("pay_1", "o", 440, "usd", is_held=True)
    assert answer_of(ORDER, attempt_in(AttemptState.SUCCEEDED)) == held
