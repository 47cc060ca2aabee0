"""The account's balance: the sum of its balance transactions, by currency and availability.

The shape is the recorded one of 2026-08-26.dahlia.
"""

from typing import Any

from stripesim.objects.account import DEFAULT_CURRENCY
from stripesim.world import Call

Json = dict[str, Any]


def retrieve(call: Call, params: Json) -> Json:
    del params
    sums = call.world.balances.sums(call.now)
    sums.setdefault(DEFAULT_CURRENCY, (0, 0))
    nothing = [{"amount": 0, "currency": currency} for currency in sums]
    return {
        "object": "balance",
        "available": [_entry(currency, sums[currency][0]) for currency in sums],
        "livemode": False,
        "pending": [_entry(currency, sums[currency][1]) for currency in sums],
        "refund_and_dispute_prefunding": {"available": nothing, "pending": nothing},
    }


def _entry(currency: str, amount: int) -> Json:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
