"""Balance transactions: one per captured charge and per refund, set at once."""

from typing import Any

from stripesim.objects.listing import list_page
from stripesim.world import Call

Json = dict[str, Any]
DAY = 24 * 3600


def fee_of(amount: int) -> int:
    """2.9 % + 30, rounded half up, as recorded for cards in usd (1000 -> 59)."""
    return (amount * 29 + 500) // 1000 + 30


def record(
    call: Call,
    *,
    kind: str,
    source: Json,
    amount: int,
    available_at_once: bool = False,
) -> str:
    """Write one of type "charge", "refund" or "adjustment"; `amount` is negative for money out."""
    fee = fee_of(amount) if kind == "charge" else 0
    available_on = call.now if available_at_once else (call.now // DAY + 7) * DAY
    transaction = {
        "id": call.world.ids.of_payment("txn", source["id"]),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": call.now,
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": source["currency"],
                "description": "Stripe processing fees",
                "type": "stripe_fee",
            }
        ]
        if fee
        else [],
        "net": amount - fee,
        "reporting_category": kind,
        "source": source["id"],
        "status": "available" if available_at_once else "pending",
        "type": kind,
    }
    call.add(transaction)
    return str(transaction["id"])


def retrieve(call: Call, params: Json, transaction_id: str) -> Json:
    del params
    found = call.load("balance_transaction", transaction_id, noun="balance transaction", param="id")
    if found["status"] == "pending" and found["available_on"] <= call.now:
        found["status"] = "available"
    return found


def list_transactions(call: Call, params: Json) -> Json:
    filters = {"type": params["type"]} if params.get("type") else {}
    return list_page(call, "balance_transaction", "/v1/balance_transactions", params, filters)
