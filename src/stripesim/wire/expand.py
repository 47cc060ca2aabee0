"""`expand[]`: ids replaced by their objects, four levels deep, through lists with `data.`."""

from collections.abc import Callable
from typing import Any

from stripesim import guesses
from stripesim.objects.listing import list_page
from stripesim.wire.errors import invalid_request
from stripesim.wire.params import expandable_fields
from stripesim.world import Call

Json = dict[str, Any]
DEEPEST = 4
# The kind of object behind an id; longest prefix first where one begins another.
KINDS = {
    "ch_": "charge",
    "cus_": "customer",
    "du_": "dispute",
    "pi_": "payment_intent",
    "pm_": "payment_method",
    "re_": "refund",
    "seti_": "setup_intent",
    "txn_": "balance_transaction",
}


def _sources(call: Call, customer: Json) -> Json:
    del call
    found = customer["_sim"]["sources"]
    url = f"/v1/customers/{customer['id']}/sources"
    return _list(found, url)


def _refunds(call: Call, charge: Json) -> Json:
    url = f"/v1/charges/{charge['id']}/refunds"
    page = list_page(call, "refund", url, {"limit": 10}, {"charge": charge["id"]})
    page["total_count"] = call.world.objects.count("refund", "charge", charge["id"])
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
INCLUDED: dict[tuple[str, str], Callable[[Call, Json], Any]] = {
    ("customer", "sources"): _sources,
    ("customer", "subscriptions"): _subscriptions,
    ("customer", "tax_ids"): _tax_ids,
    ("customer", "tax"): _tax,
    ("customer", "invoice_credit_balance"): lambda _call, _customer: {},
    ("customer", "cash_balance"): lambda _call, _customer: None,
    ("charge", "refunds"): _refunds,
}


def expand(call: Call, value: Json, paths: list[str]) -> None:
    """Expand in place. Raises StripeError 400 for a path that names nothing expandable."""
    for path in paths:
        steps = path.split(".")
        if len([s for s in steps if s != "data"]) > DEEPEST:
            raise invalid_request(guesses.TOO_DEEP_MESSAGE.format(path=path))
        _expand(call, value, steps, path)


def _expand(call: Call, value: Json, steps: list[str], path: str) -> None:
    name, rest = steps[0], steps[1:]
    if value.get("object") == "list":
        if name != "data" or not rest:
            raise _cannot(path)
        for item in value["data"]:
            _expand(call, item, rest, path)
        return
    if value.get("deleted"):
        return
    inner = _fetch(call, value, name, rest, path)
    if isinstance(inner, dict) and rest:
        _expand_inside(call, value, inner, steps, path)


def _expand_inside(call: Call, value: Json, inner: Json, steps: list[str], path: str) -> None:
    """`invoice_settings.default_payment_method` names a field of a part of the object."""
    name, rest = steps[0], steps[1:]
    if "object" in inner:
        _expand(call, inner, rest, path)
        return
    dotted = f"{name}.{rest[0]}"
    if dotted not in expandable_fields(value["object"]):
        raise _cannot(path)
    if isinstance(inner.get(rest[0]), str):
        inner[rest[0]] = _object(call, inner[rest[0]])
    if len(rest) > 1 and isinstance(inner.get(rest[0]), dict):
        _expand(call, inner[rest[0]], rest[1:], path)


def _fetch(call: Call, value: Json, name: str, rest: list[str], path: str) -> Any:
    kind = value.get("object", "")
    include = INCLUDED.get((kind, name))
    if include is not None:
        if name not in value:
            value[name] = include(call, value)
        return value[name]
    if name in expandable_fields(kind):
        if isinstance(value.get(name), str):
            value[name] = _object(call, value[name])
        return value.get(name)
    is_part = any(f.startswith(name + ".") for f in expandable_fields(kind))
    if is_part and rest:
        return value.get(name)
    if isinstance(value.get(name), dict) and "object" in value[name]:
        return value[name]
    raise _cannot(path)


def _object(call: Call, object_id: str) -> Any:
    for prefix, kind in KINDS.items():
        if object_id.startswith(prefix):
            return call.world.objects.get(kind, object_id) or object_id
    return object_id


def _cannot(path: str) -> Exception:
    return invalid_request(f"This property cannot be expanded ({path}).")
