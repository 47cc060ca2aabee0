"""Lists that an object carries: when `expand[]` asks for them, or always in older API versions.

Documented: `charges` left PaymentIntents and `refunds` left charges with 2022-11-15; a customer's
`sources`, `subscriptions` and `tax_ids` are there only when expanded since 2020-08-27.
"""

from collections.abc import Callable
from typing import Any

from stripesim.objects import search
from stripesim.objects.listing import list_page
from stripesim.wire.versions import LATEST_CHARGE, LEAN_CUSTOMERS, PRIVATE
from stripesim.world import Call

Json = dict[str, Any]


def _sources(call: Call, customer: Json) -> Json:
    customer = customer if PRIVATE in customer else _stored(call, customer)
    return _list(customer[PRIVATE]["sources"], f"/v1/customers/{customer['id']}/sources")


def _stored(call: Call, obj: Json) -> Json:
    return call.load(obj["object"], obj["id"], noun=obj["object"], param="id")


def _charges(call: Call, intent: Json) -> Json:
    url = f"/v1/charges?payment_intent={intent['id']}"
    return _counted_page(call, "charge", url, "payment_intent", intent["id"])


def _refunds(call: Call, charge: Json) -> Json:
    url = f"/v1/charges/{charge['id']}/refunds"
    return _counted_page(call, "refund", url, "charge", charge["id"])


def _counted_page(call: Call, kind: str, url: str, column: str, value: str) -> Json:
    page = list_page(call, kind, url, {"limit": 10}, {column: value})
    page["total_count"] = call.world.objects.count(kind, column, value)
    return page


def _subscriptions(call: Call, customer: Json) -> Json:
    del call
    return _list([], f"/v1/customers/{customer['id']}/subscriptions")


def _tax_ids(call: Call, customer: Json) -> Json:
    del call
    return _list([], f"/v1/customers/{customer['id']}/tax_ids")


def _list(found: list[Json], url: str) -> Json:
    return {
        "object": "list",
        "data": found,
        "has_more": False,
        "total_count": len(found),
        "url": url,
    }


def _tax(call: Call, customer: Json) -> Json:
    del call, customer
    return {
        "automatic_tax": "unrecognized_location",
        "ip_address": None,
        "location": None,
        "provider": "stripe",
    }


# Fields that are there only when they are asked for.
ON_REQUEST: dict[tuple[str, str], Callable[[Call, Json], Any]] = {
    ("customer", "sources"): _sources,
    ("customer", "subscriptions"): _subscriptions,
    ("customer", "tax_ids"): _tax_ids,
    ("customer", "tax"): _tax,
    ("customer", "invoice_credit_balance"): lambda _call, _customer: {},
    ("customer", "cash_balance"): lambda _call, _customer: None,
    ("charge", "refunds"): _refunds,
    ("search_result", "total_count"): search.total_count,
}
# Fields that versions before a day carry always.
ALWAYS_BEFORE: dict[str, tuple[str, dict[str, Callable[[Call, Json], Any]]]] = {
    "payment_intent": (LATEST_CHARGE, {"charges": _charges}),
    "charge": (LATEST_CHARGE, {"refunds": _refunds}),
    "customer": (
        LEAN_CUSTOMERS,
        {"sources": _sources, "subscriptions": _subscriptions, "tax_ids": _tax_ids},
    ),
}


def include_for_version(call: Call, value: Any) -> None:
    """Add, in place and at every depth, the lists that the call's older version carries."""
    if call.version[:10] >= LATEST_CHARGE:
        return
    if isinstance(value, list):
        for item in value:
            include_for_version(call, item)
    elif isinstance(value, dict) and value.get("object") != "event":
        _include(call, value)
        for name, inner in value.items():
            if name not in ("metadata", PRIVATE) and isinstance(inner, (dict, list)):
                include_for_version(call, inner)


def _include(call: Call, value: Json) -> None:
    kind = value.get("object")
    day, lists = ALWAYS_BEFORE.get(kind, ("", {})) if isinstance(kind, str) else ("", {})
    if call.version[:10] >= day or value.get("deleted"):
        return
    for name, make in lists.items():
        if name not in value:
            value[name] = make(call, value)
