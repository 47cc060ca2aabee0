"""Stripe's answers and exceptions, told in our words. Pure functions, one table each.

Text that people write or read (errors, names) loses card numbers and secrets here: some of it is
stored and shown. People do type a card's number where its holder's name belongs.

An exception that is not in the table is UNKNOWN: it may have been executed.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import stripe

from paidonce.domain.intent import (
    CardRefusal,
    Charge,
    Failure,
    Intent,
    IntentStatus,
    Method,
    Reason,
    Refund,
    RefundStatus,
    SetupAttempt,
    SetupIntent,
    SetupIntentStatus,
)
from paidonce.gateway.transport import NeverSent
from paidonce.observability import redact

SPENT_TOKEN_CODE = "payment_intent_confirmation_token_invalid"  # noqa: S105 - Stripe's code
"""A ConfirmationToken that was used or is older than 12 h (gburgyan/aat-stripe, asserted)."""
DEAD_METHOD_TEXT = "may not be used again"
"""The only error text that decides about a payment: the reuse error has neither code nor param, and
both of its spellings contain these words (recorded; pinned by a test against the simulator)."""

UNATTACHED_METHOD_TEXT = "is not attached to a customer so detachment is impossible"
"""Detaching what is detached: recorded, 400 without code and param."""

TOO_MUCH_TEXT = "greater than unrefunded amount on charge"
"""A refund of more than is left: recorded, 400 with param `amount` and without code."""

NOT_REFUNDABLE_CODES = frozenset(
    {
        "charge_already_refunded",
        "charge_disputed",
        "charge_not_refundable",
        "refund_disputed_payment",
    }
)
"""No refund of the charge can be made any more (https://docs.stripe.com/error-codes). A balance
that does not cover it is none of them: 400 without `code`, `message_code`
`insufficient_balance_for_refund` (recorded in Automattic/woocommerce-payments#10025)."""

UNEXPECTED_STATE_CODES = ("payment_intent_unexpected_state", "setup_intent_unexpected_state")
SETUP_NOT_AUTHENTICATED = "setup_intent_authentication_failure"
"""The card holder failed the challenge, or left it (https://docs.stripe.com/error-codes)."""

FOREIGN_METHOD_TEXTS = (
    "has already been attached to a customer",  # attach, recorded without code and param
    "does not belong to the Customer",  # confirm with another customer's method
    "belongs to the Customer",
)
# The two foreign texts are only ever read on a 400 without a code or with param payment_method.


def translate_intent(data: Mapping[str, Any]) -> Intent:
    """A PaymentIntent's JSON. `latest_charge` may be an id or an expanded charge."""
    charge, customer = data.get("latest_charge"), data.get("customer")
    expanded = charge if isinstance(charge, Mapping) else {}
    method = data.get("payment_method")
    return Intent(
        id=data["id"],
        status=translate_status(data.get("status")),
        amount=data["amount"],
        currency=data["currency"],
        is_live=bool(data["livemode"]),
        client_secret=data.get("client_secret") or "",
        customer=_id(customer),
        payment_method=_id(method),
        method=translate_method(method) if isinstance(method, Mapping) else None,
        redirect_url=_redirect_url(data.get("next_action")),
        latest_charge=_id(charge),
        capture_before=_time(_card_of(expanded).get("capture_before")),
        amount_refunded=expanded.get("amount_refunded"),
        metadata=dict(data.get("metadata") or {}),
        last_error=translate_refusal(data.get("last_payment_error")),
        created_at=_time(data.get("created")),
        charged_at=_time(expanded.get("created")),
        is_customer_deleted=isinstance(customer, Mapping) and customer.get("deleted") is True,
        amount_received=data.get("amount_received"),
        charge=translate_charge(charge) if isinstance(charge, Mapping) else None,
    )


def _redirect_url(next_action: Any) -> str | None:
    """The page to open, where the next action is `redirect_to_url`: recorded for a confirm with
    `return_url` and without `use_stripe_sdk`."""
    if not isinstance(next_action, Mapping) or next_action.get("type") != "redirect_to_url":
        return None
    redirect = next_action.get("redirect_to_url")
    url = redirect.get("url") if isinstance(redirect, Mapping) else None
    return url if isinstance(url, str) else None


def _card_of(charge: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an expanded charge says of its card."""
    card: Mapping[str, Any] = (charge.get("payment_method_details") or {}).get("card") or {}
    return card


def translate_charge(data: Mapping[str, Any]) -> Charge:
    """A Charge's JSON. One that is only held (not captured) has not succeeded yet."""
    return Charge(
        id=data["id"],
        intent_id=_id(data.get("payment_intent")),
        amount=data["amount"],
        amount_refunded=data["amount_refunded"],
        currency=data["currency"],
        is_succeeded=data["status"] == "succeeded" and data["captured"] is True,
        created_at=datetime.fromtimestamp(data["created"], UTC),
        metadata=dict(data.get("metadata") or {}),
        amount_captured=data.get("amount_captured"),
    )


def translate_status(status: object) -> IntentStatus:
    try:
        return IntentStatus(str(status))
    except ValueError:
        return IntentStatus.UNRECOGNIZED


def translate_refund(data: Mapping[str, Any]) -> Refund:
    """A Refund's JSON."""
    try:
        status = RefundStatus(str(data.get("status")))
    except ValueError:
        status = RefundStatus.UNRECOGNIZED
    return Refund(
        id=data["id"],
        status=status,
        amount=data["amount"],
        currency=data["currency"],
        intent_id=_id(data.get("payment_intent")),
        metadata=dict(data.get("metadata") or {}),
        failure_reason=_text(data.get("failure_reason")),
        reason=_text(data.get("reason")),
        created_at=_time(data.get("created")),
    )


def translate_method(data: Mapping[str, Any]) -> Method:
    """A PaymentMethod's JSON; fields of a card are None for other types."""
    card = data.get("card") or {}
    billing = data.get("billing_details") or {}
    return Method(
        id=data["id"],
        customer=_id(data.get("customer")),
        brand=card.get("brand"),
        last4=card.get("last4"),
        exp_month=card.get("exp_month"),
        exp_year=card.get("exp_year"),
        fingerprint=card.get("fingerprint"),
        cardholder_name=_text(billing.get("name")),
        allow_redisplay=_text(data.get("allow_redisplay")),
    )


def translate_setup_intent(data: Mapping[str, Any]) -> SetupIntent:
    """A SetupIntent's JSON. `payment_method` may be an id or an expanded PaymentMethod."""
    try:
        status = SetupIntentStatus(str(data.get("status")))
    except ValueError:
        status = SetupIntentStatus.UNRECOGNIZED
    method = data.get("payment_method")
    return SetupIntent(
        id=data["id"],
        status=status,
        is_live=bool(data["livemode"]),
        client_secret=data.get("client_secret") or "",
        customer=_id(data.get("customer")),
        metadata=dict(data.get("metadata") or {}),
        latest_attempt=_id(data.get("latest_attempt")),
        method=translate_method(method) if isinstance(method, Mapping) else None,
    )


def translate_setup_attempt(data: Mapping[str, Any]) -> SetupAttempt:
    """A SetupAttempt's JSON (https://docs.stripe.com/api/setup_attempts/object)."""
    error = data.get("setup_error") or {}
    details = (data.get("payment_method_details") or {}).get("card") or {}
    return SetupAttempt(
        id=data["id"],
        setup_intent=_id(data.get("setup_intent")),
        is_over=data["status"] in ("succeeded", "failed", "abandoned"),
        is_declined=data["status"] == "failed" and error.get("code") != SETUP_NOT_AUTHENTICATED,
        is_succeeded=data["status"] == "succeeded",
        card=details.get("fingerprint") or _id(data.get("payment_method")) or data["id"],
        created_at=datetime.fromtimestamp(data["created"], UTC),
    )


def translate_refusal(error: Mapping[str, Any] | None) -> CardRefusal | None:
    """The `error` of a 402, or an intent's `last_payment_error`."""
    if not error:
        return None
    return CardRefusal(
        code=_text(error.get("code")) or "card_declined",
        message=_text(error.get("message")) or "Your card was declined.",
        decline_code=_text(error.get("decline_code")),
        advice_code=_text(error.get("advice_code")),
        charge=_id(error.get("charge")),
        payment_method=_id(error.get("payment_method")),
    )


def translate_error(error: Exception) -> Failure:
    """Any exception of a Stripe call. What is not recognised is UNKNOWN."""
    body = _error_body(error)
    headers = getattr(error, "headers", None) or {}
    status = getattr(error, "http_status", None)
    intent = body.get("payment_intent")
    intent_status = intent.get("status") if isinstance(intent, Mapping) else None
    intent_id = intent.get("id") if isinstance(intent, Mapping) else None
    reason = _reason(error, body)
    refusal = translate_refusal(body) if reason is Reason.DECLINED else None
    request_id = headers.get("Request-Id")
    return Failure(
        reason=reason,
        message=_text(body.get("message")) or type(error).__name__,
        http_status=status,
        refusal=replace(refusal, stripe_request_id=request_id) if refusal else None,
        intent_status=translate_status(intent_status) if intent_status else None,
        code=_text(body.get("code")),
        param=_text(body.get("param")),
        stripe_request_id=request_id,
        is_replayed=headers.get("Idempotent-Replayed") == "true",
        intent_id=_text(intent_id),
    )


def _reason(error: Exception, body: Mapping[str, Any]) -> Reason:
    """The one table from exception to outcome."""
    match error:
        case NeverSent():
            return Reason.NOT_EXECUTED
        case stripe.RateLimitError():  # limiters run before the idempotency layer
            return Reason.NOT_EXECUTED
        case stripe.AuthenticationError() | stripe.PermissionError():
            return Reason.NOT_EXECUTED
        case stripe.CardError():
            return Reason.DECLINED if body.get("type") == "card_error" else Reason.INVALID
        case stripe.IdempotencyError():
            return Reason.KEY_CONFLICT
        case stripe.InvalidRequestError():
            return _reason_of_invalid_request(error.http_status, body)
        case _:  # 409, 5xx, lost answers, garbage, and whatever the SDK adds
            return Reason.UNKNOWN


def _reason_of_invalid_request(status: int | None, body: Mapping[str, Any]) -> Reason:
    code, param, message = body.get("code"), body.get("param"), str(body.get("message") or "")
    if code == SPENT_TOKEN_CODE or (code is None and DEAD_METHOD_TEXT in message):
        return Reason.METHOD_DEAD
    if code is None and UNATTACHED_METHOD_TEXT in message:
        return Reason.METHOD_UNATTACHED
    if str(code) in NOT_REFUNDABLE_CODES or (code is None and TOO_MUCH_TEXT in message):
        return Reason.NOT_REFUNDABLE
    if code in UNEXPECTED_STATE_CODES:
        return Reason.UNEXPECTED_STATE
    if code == "resource_missing":
        return {
            "customer": Reason.CUSTOMER_GONE,
            "payment_method": Reason.METHOD_MISSING,
            "confirmation_token": Reason.METHOD_MISSING,
            "intent": Reason.INTENT_MISSING,
        }.get(str(param), Reason.INVALID)
    if any(text in message for text in FOREIGN_METHOD_TEXTS):
        return Reason.METHOD_FOREIGN
    return Reason.INVALID if status in (400, 404) and body else Reason.UNKNOWN


def _error_body(error: Exception) -> Mapping[str, Any]:
    body = getattr(error, "json_body", None)
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        inner: Mapping[str, Any] = body["error"]
        return inner
    return {}


def _time(value: object) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return redact(value) if isinstance(value, str) else None


def _id(value: object) -> str | None:
    """An id, whether Stripe gave the id or the expanded object."""
    if isinstance(value, Mapping):
        return str(value["id"])
    return str(value) if value else None
