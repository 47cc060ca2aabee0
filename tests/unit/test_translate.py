"""Stripe's answers in our words: every exception class and every status of the SDK is walked."""

import inspect
from typing import Any, Literal, get_args, get_origin

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from paidonce.domain.intent import Failure, IntentStatus, Reason, RefundStatus
from paidonce.domain.states import RefundState
from paidonce.gateway.translate import (
    DEAD_METHOD_TEXT,
    translate_error,
    translate_intent,
    translate_method,
    translate_refund,
    translate_refusal,
    translate_status,
)
from paidonce.gateway.transport import NeverSent

CONSUMED = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer"
    " attachment, shared with a connected account without Customer attachment, or was detached"
    " from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must"
    " attach it to a Customer first."
)
CONSUMED_SHORT = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached"
    " from a Customer, and may not be used again."
)
INTENT = {
    "id": "pi_1",
    "status": "succeeded",
    "amount": 440,
    "currency": "usd",
    "livemode": False,
    "client_secret": "pi_1_secret_x",
}


def every_subclass(kind: type) -> set[type]:
    below = {inner for child in kind.__subclasses__() for inner in every_subclass(child)}
    return {kind} | below


SDK_ERRORS = sorted(
    (kind for kind in every_subclass(stripe.StripeError) if kind.__module__.startswith("stripe")),
    key=lambda kind: (kind.__module__, kind.__name__),
)


def error_of(kind: type, status: int | None, error: Any, **headers: str) -> Exception:
    """An exception as the SDK makes it, whatever its constructor wants."""
    known = {
        "http_status": status,
        "json_body": {"error": error},
        "headers": headers,
        "http_body": "{}",
    }
    given_values: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in known:
            given_values[name] = known[name]
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            given_values[name] = "text"
    made = kind(**given_values)
    assert isinstance(made, Exception)
    return made


def translated(kind: type, status: int | None, error: dict[str, Any], **headers: str) -> Failure:
    return translate_error(error_of(kind, status, error, **headers))


# --- every exception -----------------------------------------------------------------------------

EXPECTED: dict[type, Reason] = {
    stripe.RateLimitError: Reason.NOT_EXECUTED,
    stripe.AuthenticationError: Reason.NOT_EXECUTED,
    stripe.PermissionError: Reason.NOT_EXECUTED,
    stripe.CardError: Reason.INVALID,  # without `type: card_error` it is no decline
    stripe.IdempotencyError: Reason.KEY_CONFLICT,
    stripe.InvalidRequestError: Reason.INVALID,
}


def test_the_walk_finds_the_sdks_errors() -> None:
    names = {kind.__name__ for kind in SDK_ERRORS}
    assert len(names) > 8
    assert {"APIError", "APIConnectionError", "CardError", "StripeError"} <= names
    public = {
        value
        for value in vars(stripe).values()
        if inspect.isclass(value) and issubclass(value, stripe.StripeError)
    }
    assert public <= set(SDK_ERRORS)


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_sdk_has_an_outcome(kind: type) -> None:
    failure = translated(kind, 400, {"message": "No.", "type": "something_new"})
    expected = {reason for known, reason in EXPECTED.items() if issubclass(kind, known)}
    assert failure.reason in (expected or {Reason.UNKNOWN})
    is_of_a_call = kind is not stripe.SignatureVerificationError
    assert failure.message == ("No." if is_of_a_call else kind.__name__)


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("body", [None, "text", 7, [], {}, {"error": None}, {"error": "text"}])
def test_an_exception_without_a_usable_body_still_has_an_outcome(kind: type, body: Any) -> None:
    error = error_of(kind, None, {})
    error.json_body = body  # type: ignore[attr-defined]
    failure = translate_error(error)
    assert isinstance(failure.reason, Reason) and failure.message
    declined_or_dead = {Reason.DECLINED, Reason.METHOD_DEAD, Reason.METHOD_MISSING}
    assert failure.reason not in declined_or_dead


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), ValueError(), KeyError("id"), TimeoutError(), OSError(), Exception()],
)
def test_any_other_exception_is_unknown(error: Exception) -> None:
    assert translate_error(error).reason is Reason.UNKNOWN


def test_a_lost_connection_is_unknown_unless_it_never_was_one() -> None:
    assert translate_error(stripe.APIConnectionError("lost")).reason is Reason.UNKNOWN
    assert translate_error(NeverSent("refused")).reason is Reason.NOT_EXECUTED


@pytest.mark.parametrize("status", [409, 500, 502, 503, 504])
def test_a_409_and_every_5xx_are_unknown(status: int) -> None:
    failure = translated(stripe.APIError, status, {"message": "Sorry.", "type": "api_error"})
    assert (failure.reason, failure.http_status) == (Reason.UNKNOWN, status)
    assert not failure.is_saved_error


def test_a_replayed_5xx_is_over() -> None:
    replayed = {"Idempotent-Replayed": "true"}
    assert translated(stripe.APIError, 500, {"message": "x"}, **replayed).is_saved_error
    assert not translated(stripe.CardError, 402, {"message": "x"}, **replayed).is_saved_error


# --- what a refusal says -------------------------------------------------------------------------


def invalid(status: int = 400, **error: Any) -> Failure:
    body = {"type": "invalid_request_error", "message": "No.", **error}
    return translated(stripe.InvalidRequestError, status, body)


@pytest.mark.parametrize("message", [CONSUMED, CONSUMED_SHORT])
def test_both_spellings_of_the_reuse_error_mean_a_dead_method(message: str) -> None:
    assert DEAD_METHOD_TEXT in message
    assert invalid(message=message).reason is Reason.METHOD_DEAD


def test_the_reuse_text_under_a_code_decides_nothing() -> None:
    assert invalid(message=CONSUMED, code="something").reason is Reason.INVALID


def test_a_processor_that_is_not_available_is_no_dead_method() -> None:
    """`payment_method_not_available` is about the processor (docs.stripe.com/error-codes)."""
    assert invalid(code="payment_method_not_available").reason is Reason.INVALID


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        ({"code": "payment_intent_unexpected_state"}, 400, Reason.UNEXPECTED_STATE),
        ({"code": "resource_missing", "param": "customer"}, 400, Reason.CUSTOMER_GONE),
        ({"code": "resource_missing", "param": "payment_method"}, 404, Reason.METHOD_MISSING),
        ({"code": "resource_missing", "param": "intent"}, 404, Reason.INTENT_MISSING),
        ({"code": "resource_missing", "param": "price"}, 400, Reason.INVALID),
        ({"code": "amount_too_small", "param": "amount"}, 400, Reason.INVALID),
        ({"code": "charge_already_refunded"}, 400, Reason.NOT_REFUNDABLE),
        ({"code": "charge_disputed"}, 400, Reason.NOT_REFUNDABLE),
        ({"code": "charge_not_refundable"}, 400, Reason.NOT_REFUNDABLE),
        ({"code": "refund_disputed_payment"}, 400, Reason.NOT_REFUNDABLE),
        (
            {
                "param": "amount",
                "message": "Refund amount ($40.00) is greater than unrefunded amount on charge"
                " ($30.00)",
            },
            400,
            Reason.NOT_REFUNDABLE,
        ),
        (
            {
                "message": "Insufficient funds in your Stripe balance to refund this amount.",
                "message_code": "insufficient_balance_for_refund",
            },
            400,
            Reason.INVALID,
        ),
        (
            {"message": "The payment method you provided has already been attached to a customer."},
            400,
            Reason.METHOD_FOREIGN,
        ),
        (
            {
                "message": "The payment method you provided is not attached to a customer so"
                " detachment is impossible."
            },
            400,
            Reason.METHOD_UNATTACHED,
        ),
        (
            {
                "param": "payment_method",
                "message": "The PaymentMethod pm_1 does not belong to the Customer you supplied"
                " cus_1. Please use this PaymentMethod with the Customer that it belongs to"
                " instead.",
            },
            400,
            Reason.METHOD_FOREIGN,
        ),
    ],
)
def test_refusals_told_apart(error: dict[str, Any], status: int, reason: Reason) -> None:
    assert invalid(status, **error).reason is reason


def test_a_decline_keeps_stripes_words() -> None:
    failure = translated(
        stripe.CardError,
        402,
        {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": "insufficient_funds",
            "advice_code": "try_again_later",
            "message": "Your card has insufficient funds.",
            "payment_intent": {**INTENT, "status": "requires_payment_method"},
        },
        **{"Request-Id": "req_1"},
    )
    assert failure.reason is Reason.DECLINED
    assert failure.intent_status is IntentStatus.REQUIRES_PAYMENT_METHOD
    assert failure.stripe_request_id == "req_1"
    assert failure.refusal is not None and failure.refusal.can_retry
    assert failure.refusal.decline_code == "insufficient_funds"
    assert failure.refusal.message == "Your card has insufficient funds."


def test_a_402_that_is_no_card_error_is_no_decline() -> None:
    failure = translated(stripe.CardError, 402, {"type": "invalid_request_error", "message": "x"})
    assert failure.reason is Reason.INVALID and failure.refusal is None


@given(
    st.sampled_from(SDK_ERRORS),
    st.none() | st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(["type", "code", "param", "message", "decline_code", "payment_intent"]),
        st.none() | st.text(max_size=20) | st.just({"status": "canceled"}) | st.integers(),
    ),
)
def test_no_error_body_crashes_the_translation(
    kind: type, status: int | None, error: dict[str, Any]
) -> None:
    assert isinstance(translated(kind, status, error).reason, Reason)


# --- every status --------------------------------------------------------------------------------


def sdk_statuses() -> set[str]:
    """From the SDK's own annotation of PaymentIntent.status."""
    annotation = stripe.PaymentIntent.__annotations__["status"]
    literals = [part for part in get_args(annotation) if get_origin(part) is Literal]
    return {str(status) for literal in literals or [annotation] for status in get_args(literal)}


def test_every_status_of_the_sdk_has_a_translation() -> None:
    statuses = sdk_statuses()
    assert {"succeeded", "requires_action", "canceled", "processing"} <= statuses
    ours = {status.value for status in IntentStatus} - {"unrecognized"}
    assert ours <= statuses
    for status in statuses:
        expected = IntentStatus(status) if status in ours else IntentStatus.UNRECOGNIZED
        assert translate_status(status) is expected


@given(st.none() | st.text() | st.integers())
def test_an_unheard_of_status_is_unrecognized(status: Any) -> None:
    assert isinstance(translate_status(status), IntentStatus)
    if status not in set(IntentStatus):
        assert translate_status(status) is IntentStatus.UNRECOGNIZED


# --- objects -------------------------------------------------------------------------------------


CHARGE = {
    "id": "ch_1",
    "payment_intent": "pi_1",
    "amount": 440,
    "amount_captured": 400,
    "amount_refunded": 40,
    "currency": "usd",
    "status": "succeeded",
    "captured": True,
    "created": 1_700_000_000,
}


def test_an_intent_is_read_with_ids_or_expanded_objects() -> None:
    plain = translate_intent(
        {**INTENT, "latest_charge": "ch_1", "customer": "cus_1", "payment_method": "pm_1"}
    )
    expanded = translate_intent(
        {
            **INTENT,
            "latest_charge": CHARGE,
            "customer": {"id": "cus_1"},
            "payment_method": {"id": "pm_1"},
        }
    )
    for intent in (plain, expanded):
        assert (intent.latest_charge, intent.customer, intent.payment_method) == (
            "ch_1",
            "cus_1",
            "pm_1",
        )
    assert (plain.amount_refunded, expanded.amount_refunded) == (None, 40)
    assert plain.charge is None and expanded.charge is not None
    assert (expanded.charge.intent_id, expanded.charge.amount_captured) == ("pi_1", 400)
    assert "pi_1_secret_x" not in repr(plain)


def test_a_failed_authentication_is_told_from_a_decline_after_it() -> None:
    failed = translate_refusal({"code": "payment_intent_authentication_failure", "message": "x"})
    declined = translate_refusal({"code": "card_declined", "decline_code": "generic_decline"})
    assert failed is not None and failed.is_authentication_failure
    assert declined is not None and not declined.is_authentication_failure
    assert translate_refusal(None) is None and translate_refusal({}) is None


def test_a_method_without_a_card_is_read_as_well() -> None:
    method = translate_method({"id": "pm_1", "type": "link"})
    assert (method.id, method.brand, method.last4, method.customer) == ("pm_1", None, None, None)


@pytest.mark.parametrize(
    "status", ["pending", "requires_action", "succeeded", "failed", "canceled", "new", None]
)
def test_a_refund_is_told_in_our_words(status: str | None) -> None:
    data = {"id": "re_1", "status": status, "amount": 440, "currency": "usd", "metadata": None}
    refund = translate_refund({**data, "failure_reason": "declined"})
    assert (refund.id, refund.amount, refund.currency) == ("re_1", 440, "usd")
    assert refund.metadata == {}
    assert refund.failure_reason == "declined"
    known = status in {"pending", "requires_action", "succeeded", "failed", "canceled"}
    assert refund.status == (status if known else RefundStatus.UNRECOGNIZED)
    if known:
        assert RefundState(str(status)).value == refund.status
