"""What a closed attempt answers to whoever asked for it."""

from typing import assert_never

from paidonce.domain import errors
from paidonce.domain.intent import CardRefusal
from paidonce.domain.states import AttemptState, OrderStatus
from paidonce.payments.context import Again, Verdict, held_answer, paid_answer
from paidonce.payments.limits import IN_FLIGHT_SECONDS
from paidonce.store.rows import AttemptRow, OrderRow


def answer_of(order: OrderRow, attempt: AttemptRow) -> Verdict:
    """The answer in the attempt's row, unless the order is paid by now: whoever waited for this
    attempt may look at it late. Again: it is over, and it says nothing to a payer."""
    if order.status is OrderStatus.PAID:
        return paid_answer(order, attempt.payment_id)
    match attempt.state:
        case AttemptState.SUCCEEDED:  # and the order is not paid: the money is held
            return held_answer(order, attempt.payment_id)
        case AttemptState.DECLINED:
            return _declined(attempt)
        case AttemptState.AUTHENTICATION_FAILED:
            return errors.authentication_failed(can_retry=not attempt.is_single_use)
        case AttemptState.CONSUMED:
            return errors.payment_method_consumed()
        case AttemptState.REFUSED:
            return _refused(attempt)
        case AttemptState.ABANDONED | AttemptState.SUPERSEDED:
            return Again("the attempt was given up without a charge")
        case AttemptState.ACTION | AttemptState.OPEN:
            return Again("the attempt is not over")
        case _:
            assert_never(attempt.state)


def _declined(attempt: AttemptRow) -> Verdict:
    if attempt.is_reason_withheld:
        return errors.card_declined_without_reason()
    refusal = CardRefusal(
        attempt.error_code or "card_declined",
        attempt.error_message or "Your card was declined.",
        attempt.decline_code,
        attempt.advice_code,
    )
    return errors.card_declined(
        refusal.message,
        decline_code=refusal.decline_code or refusal.code,
        can_retry=refusal.can_retry and not attempt.is_single_use,
    )


def _refused(attempt: AttemptRow) -> Verdict:
    match attempt.error_code:
        case "payment_method_not_found":
            return errors.payment_method_not_found()
        case "too_many_attempts":
            return errors.too_many_attempts(IN_FLIGHT_SECONDS)
        case "order_not_payable":
            return errors.order_not_payable("Stripe refused it")
        case _:
            return errors.stripe_unavailable()
