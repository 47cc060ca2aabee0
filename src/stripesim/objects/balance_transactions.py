"""Balance transactions: what every movement of money did to the account's balance.

Recorded for a charge, a refund, a dispute's withdrawal and its reversal (2026-08-26.dahlia): type,
reporting category, fee and description. Money is pending until `available_on`.
"""

from dataclasses import dataclass
from typing import Any

from stripesim.objects.listing import list_page
from stripesim.wire.errors import missing_in_body
from stripesim.world import Call

Json = dict[str, Any]
DAY = 24 * 3600
DISPUTE_FEE = 1500


@dataclass(frozen=True)
class Movement:
    """A kind of movement: its type, reporting category and the words of its description."""

    type: str
    category: str
    fee_description: str | None = None


CHARGE = Movement("charge", "charge", "Stripe processing fees")
REFUND = Movement("refund", "refund")
REFUND_FAILURE = Movement("refund_failure", "refund_failure")
WITHDRAWAL = Movement("adjustment", "dispute", "Dispute fee")
REVERSAL = Movement("adjustment", "dispute_reversal")


def fee_of(amount: int) -> int:
    """2.9 % + 30, rounded half up, as recorded for cards in usd (1000 -> 59)."""
    return (amount * 29 + 500) // 1000 + 30


def record(
    call: Call,
    movement: Movement,
    *,
    source: Json,
    amount: int,
    description: str | None = None,
    fee: int = 0,
    available_on: int | None = None,
) -> Json:
    """Write one; `amount` is in minor units and negative for money out.

    Recorded: money is available from midnight (UTC) a week later on, unless `available_on` says
    otherwise.
    """
    if available_on is None:
        available_on = (call.now // DAY + 7) * DAY
    is_available = available_on <= call.now
    currency = source["currency"]
    transaction = {
        "id": call.world.ids.of_payment("txn", source["id"]),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": call.now,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [_fee_detail(fee, currency, movement.fee_description)] if fee else [],
        "net": amount - fee,
        "reporting_category": movement.category,
        "source": source["id"],
        "status": "available" if is_available else "pending",
        "type": movement.type,
    }
    call.add(transaction)
    call.world.balances.move(currency, 0 if is_available else available_on, amount - fee)
    return transaction


def _fee_detail(fee: int, currency: str, description: str | None) -> Json:
    return {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": description,
        "type": "stripe_fee",
    }


def as_of(now: int, transaction: Json) -> Json:
    """The transaction as it stands now: what was pending may have become available."""
    if transaction["status"] == "pending" and transaction["available_on"] <= now:
        transaction["status"] = "available"
    return transaction


def retrieve(call: Call, params: Json, transaction_id: str) -> Json:
    del params
    found = call.load("balance_transaction", transaction_id, noun="balance transaction", param="id")
    return as_of(call.now, found)


def list_transactions(call: Call, params: Json) -> Json:
    """Recorded: an unknown type or currency is an empty page, an unknown payout is refused, and a
    dispute as `source` finds nothing.
    """
    if params.get("payout"):
        raise missing_in_body("payout", params["payout"], "payout")
    filters = {"type": params["type"]} if params.get("type") else {}
    if params.get("currency"):
        filters["ref"] = params["currency"].lower()
    if params.get("source"):
        return _page_of_source(call, params, filters)
    page = list_page(call, "balance_transaction", "/v1/balance_transactions", params, filters)
    page["data"] = [as_of(call.now, transaction) for transaction in page["data"]]
    return page


def _page_of_source(call: Call, params: Json, filters: Json) -> Json:
    """A charge or a refund names its transactions itself, the failure of a refund comes last."""
    source = params["source"]
    kind = {"ch": "charge", "re": "refund"}.get(source.partition("_")[0], "")
    found = call.world.objects.get(kind, source) or {}
    names = (found.get("failure_balance_transaction"), found.get("balance_transaction"))
    data = [retrieve(call, {}, name) for name in names if name]
    wanted = {"type": filters.get("type"), "currency": filters.get("ref")}
    data = [t for t in data if all(v is None or t[k] == v for k, v in wanted.items())]
    return {"object": "list", "data": data, "has_more": False, "url": "/v1/balance_transactions"}
