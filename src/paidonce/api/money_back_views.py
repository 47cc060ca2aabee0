"""Refunds and disputes, as the `data` of an answer."""

from typing import Any

from paidonce.api.views import amount, timestamp
from paidonce.domain.money_back import (
    DisputeView,
    FraudWarning,
    MoneyBack,
    RefundView,
    Surplus,
)


def money_back_view(back: MoneyBack) -> dict[str, Any]:
    """What the order's detail shows beside the order."""
    return {
        "refunds": [refund_view(refund) for refund in back.refunds],
        "surplus": [_surplus_view(surplus) for surplus in back.surplus],
        "disputes": [dispute_view(dispute) for dispute in back.disputes],
        "fraudWarnings": [_warning_view(warning) for warning in back.fraud_warnings],
    }


def refund_view(refund: RefundView) -> dict[str, Any]:
    return {
        "refundId": refund.id,
        "orderId": refund.order_id,
        "paymentId": refund.payment_id,
        **amount(refund.amount_minor, refund.currency),
        "status": refund.status,
        "cause": refund.cause,
        "reason": refund.reason,
        "failureReason": refund.failure_reason,
        "stripeRefundId": refund.stripe_refund_id,
        "createdAt": timestamp(refund.created_at),
        "finishedAt": timestamp(refund.finished_at) if refund.finished_at else None,
    }


def dispute_view(dispute: DisputeView) -> dict[str, Any]:
    due_at, closed_at = dispute.evidence_due_at, dispute.closed_at
    return {
        "disputeId": dispute.id,
        "orderId": dispute.order_id,
        "paymentId": dispute.payment_id,
        **amount(dispute.amount_minor, dispute.currency),
        "reason": dispute.reason,
        "status": dispute.status,
        "isChargeRefundable": dispute.is_charge_refundable,
        "evidenceDueBy": timestamp(due_at) if due_at else None,
        "openedAt": timestamp(dispute.created_at),
        "closedAt": timestamp(closed_at) if closed_at else None,
        "stripeChargeId": dispute.stripe_charge_id,
    }


def _surplus_view(surplus: Surplus) -> dict[str, Any]:
    return {
        "paymentId": surplus.payment_id,
        **amount(surplus.amount_minor, surplus.currency),
        "amountRefundedMinor": surplus.amount_refunded_minor,
        "stripePaymentIntentId": surplus.stripe_payment_intent_id,
        "seenAt": timestamp(surplus.finished_at) if surplus.finished_at else None,
    }


def _warning_view(warning: FraudWarning) -> dict[str, Any]:
    return {
        "warningId": warning.id,
        "paymentId": warning.payment_id,
        "fraudType": warning.fraud_type,
        "isActionable": warning.is_actionable,
        "createdAt": timestamp(warning.created_at),
        "stripeChargeId": warning.stripe_charge_id,
    }
