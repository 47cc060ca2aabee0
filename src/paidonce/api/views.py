"""What use cases give, as the `data` of an answer: camelCase, major beside minor units."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from paidonce.api.envelope import Answer, success
from paidonce.domain.errors import NextStep
from paidonce.domain.model import (
    ActionRequired,
    CardSetup,
    Order,
    Paid,
    PaymentStatus,
    PaymentSummary,
    Product,
    SavedMethod,
)
from paidonce.domain.money import to_major
from paidonce.domain.sheet import PaymentSheet

_NEXT_STEPS = {
    "processing": NextStep.WAIT,
    "requires_action": NextStep.AUTHENTICATE,
    "failed": NextStep.RETRY,
}


def order_created(order: Order) -> Answer:
    return success("Order created successfully", {"orderId": order.id, **_order(order)})


def order_detail(order: Order) -> dict[str, Any]:
    """An order as its user sees it."""
    return {
        "id": order.id,
        **_order(order),
        "items": [
            {
                "productId": item.product_id,
                "name": item.name,
                "quantity": item.quantity,
                "unitAmount": to_major(item.unit_amount_minor, order.currency),
                "unitAmountMinor": item.unit_amount_minor,
            }
            for item in order.items
        ],
        "createdAt": timestamp(order.created_at),
        **_hold(order),
    }


def merchant_order_detail(order: Order) -> dict[str, Any]:
    """An order as the merchant sees it: with its user and its metadata."""
    return {
        "orderId": order.id,
        **order_detail(order),
        "userId": order.user_id,
        "metadata": order.metadata,
        "captureMethod": order.capture_method,
        **({"expiresAt": timestamp(order.expires_at)} if order.expires_at else {}),
    }


def _hold(order: Order) -> dict[str, Any]:
    """What is held for the order, or was taken of it."""
    if order.is_authorized:
        ends_at = order.capture_before
        return {
            "amountAuthorizedMinor": order.amount_minor,
            **({"captureBefore": timestamp(ends_at)} if ends_at else {}),
        }
    return _captured(order.amount_captured_minor, order.currency)


def _captured(amount_minor: int | None, currency: str) -> dict[str, Any]:
    """Only where money was held first: all of it was taken, or less."""
    if amount_minor is None:
        return {}
    return {
        "amountCaptured": to_major(amount_minor, currency),
        "amountCapturedMinor": amount_minor,
    }


def payment_outcome(outcome: Paid | ActionRequired) -> Answer:
    """The answer of pay and of confirm."""
    if isinstance(outcome, ActionRequired):
        return success(
            "Additional authentication required",
            {
                "paymentId": outcome.payment_id,
                "paymentIntentId": outcome.payment_intent_id,
                "clientSecret": outcome.client_secret,
                **_redirect(outcome.redirect_url),
            },
            status="requires_action",
            next_step=NextStep.AUTHENTICATE,
        )
    return success(
        "Payment processed successfully",
        {
            "paymentId": outcome.payment_id,
            "orderId": outcome.order_id,
            **amount(outcome.amount_minor, outcome.currency),
            "status": "authorized" if outcome.is_held else "succeeded",
            **_captured(outcome.amount_captured_minor, outcome.currency),
        },
    )


def _redirect(url: str | None) -> dict[str, str]:
    return {} if url is None else {"redirectUrl": url}


def payment_status(payment: PaymentStatus) -> Answer:
    """Where a payment stands; `clientSecret` and `lastError` only where there is one."""
    data: dict[str, Any] = {
        "paymentId": payment.payment_id,
        "orderId": payment.order_id,
        **amount(payment.amount_minor, payment.currency),
        "status": payment.status,
        **_captured(payment.amount_captured_minor, payment.currency),
    }
    if payment.client_secret is not None:
        data |= {"clientSecret": payment.client_secret, **_redirect(payment.redirect_url)}
    if payment.last_error is not None:
        data["lastError"] = payment.last_error
    next_step = _NEXT_STEPS.get(payment.status, NextStep.DONE)
    return success("Payment status retrieved successfully", data, next_step=next_step)


def payment_sheet(sheet: PaymentSheet) -> Answer:
    """What an SDK opens its sheet with; None where there is nothing to be given."""
    return success(
        "Payment sheet opened successfully",
        {
            "paymentIntentId": sheet.payment_intent_id,
            "paymentIntentClientSecret": sheet.payment_intent_client_secret,
            "customerId": sheet.customer_id,
            "customerSessionClientSecret": sheet.customer_session_client_secret,
            "ephemeralKeySecret": sheet.ephemeral_key_secret,
            "publishableKey": sheet.publishable_key,
        },
    )


def payment_summary(payment: PaymentSummary) -> dict[str, Any]:
    """One line of the list of payments."""
    return {
        "id": payment.id,
        "orderId": payment.order_id,
        **amount(payment.amount_minor, payment.currency),
        "paymentMethod": payment.payment_method,
        "status": payment.status,
        "paymentDate": timestamp(payment.payment_date),
        "stripePaymentIntentId": payment.stripe_payment_intent_id,
    }


def product(line: Product) -> dict[str, Any]:
    """One line of the price list."""
    return {
        "productId": line.product_id,
        "name": line.name,
        **amount(line.amount_minor, line.currency),
    }


def saved_method(method: SavedMethod) -> dict[str, Any]:
    """A saved card; every detail is a string, empty where Stripe has none."""
    return {
        "id": method.id,
        "type": "credit_card",
        "stripePaymentMethodId": method.stripe_payment_method_id,
        "isDefault": method.is_default,
        "isExpired": method.is_expired,
        "details": {
            "brand": method.brand or "",
            "last4": method.last4 or "",
            "expiryMonth": "" if method.exp_month is None else f"{method.exp_month:02d}",
            "expiryYear": "" if method.exp_year is None else str(method.exp_year),
            "cardholderName": method.cardholder_name or "",
        },
    }


def card_setup(setup: CardSetup) -> Answer:
    """What the app's SDK confirms. Its client secret is kept nowhere."""
    data = {
        "setupIntentId": setup.setup_intent_id,
        "clientSecret": setup.client_secret,
        "customerId": setup.customer_id,
        "publishableKey": setup.publishable_key,
    }
    return replace(success("Card setup started successfully", data), is_kept=False)


def timestamp(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _order(order: Order) -> dict[str, Any]:
    return {
        "orderNumber": order.order_number,
        "totalAmount": to_major(order.amount_minor, order.currency),
        "amountMinor": order.amount_minor,
        "currency": order.currency,
        "status": order.status,
        "paymentStatus": order.payment_status,
        "amountRefunded": to_major(order.amount_refunded_minor, order.currency),
        "amountRefundedMinor": order.amount_refunded_minor,
    }


def amount(amount_minor: int, currency: str) -> dict[str, Any]:
    """Money as every answer shows it."""
    return {
        "amount": to_major(amount_minor, currency),
        "amountMinor": amount_minor,
        "currency": currency,
    }
