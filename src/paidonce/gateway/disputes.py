"""Looking at disputes and early fraud warnings. Nothing but GETs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from paidonce.domain.intent import Dispute, EarlyFraudWarning, Failure, ListPage, Window
from paidonce.gateway.client import EVER, StripeGateway
from paidonce.gateway.lists import list_page, list_query


async def retrieve_dispute(
    gateway: StripeGateway, dispute_id: str, time_left: float
) -> Dispute | Failure:
    """GET /v1/disputes/:id."""
    path = f"/v1/disputes/{quote(dispute_id, safe='')}"
    return await gateway.read(path, {}, time_left, _dispute)


async def list_disputes_page(
    gateway: StripeGateway,
    after: str | None,
    time_left: float,
    window: Window = EVER,
    intent_id: str | None = None,
) -> ListPage[Dispute] | Failure:
    """GET /v1/disputes, newest first, from behind the dispute `after`; of one intent, or of all."""
    query = list_query(window, after)
    if intent_id is not None:
        query["payment_intent"] = intent_id
    return await gateway.read(
        "/v1/disputes", query, time_left, lambda data: list_page(data, _dispute)
    )


async def retrieve_fraud_warning(
    gateway: StripeGateway, warning_id: str, time_left: float
) -> EarlyFraudWarning | Failure:
    """GET /v1/radar/early_fraud_warnings/:id."""
    path = f"/v1/radar/early_fraud_warnings/{quote(warning_id, safe='')}"
    return await gateway.read(path, {}, time_left, _fraud_warning)


def _dispute(data: Mapping[str, Any]) -> Dispute:
    """A Dispute's JSON. `due_by` is 0 or null where the bank lets nobody answer
    (https://docs.stripe.com/api/disputes/object)."""
    due_by = (data.get("evidence_details") or {}).get("due_by")
    return Dispute(
        id=data["id"],
        charge=str(_id(data["charge"])),
        intent_id=_id(data.get("payment_intent")),
        amount=data["amount"],
        currency=data["currency"],
        reason=str(data["reason"]),
        status=str(data["status"]),
        is_charge_refundable=data["is_charge_refundable"] is True,
        evidence_due_at=datetime.fromtimestamp(due_by, UTC) if due_by else None,
        created_at=datetime.fromtimestamp(data["created"], UTC),
        is_live=bool(data["livemode"]),
    )


def _fraud_warning(data: Mapping[str, Any]) -> EarlyFraudWarning:
    """A radar.early_fraud_warning's JSON."""
    return EarlyFraudWarning(
        id=data["id"],
        charge=str(_id(data["charge"])),
        intent_id=_id(data.get("payment_intent")),
        fraud_type=str(data["fraud_type"]),
        is_actionable=data["actionable"] is True,
        created_at=datetime.fromtimestamp(data["created"], UTC),
    )


def _id(value: object) -> str | None:
    """An id, whether Stripe gave the id or the expanded object."""
    if isinstance(value, Mapping):
        return str(value["id"])
    return str(value) if value else None
