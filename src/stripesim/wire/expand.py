"""`expand[]`: ids replaced by their objects, four levels deep, through lists with `data.`."""

from typing import Any

from stripesim import guesses
from stripesim.objects.balance_transactions import as_of
from stripesim.wire.errors import invalid_request
from stripesim.wire.included import ON_REQUEST
from stripesim.wire.params import expandable_fields
from stripesim.wire.versions import BASIL, PRIVATE, UNTIL
from stripesim.world import Call

Json = dict[str, Any]
DEEPEST = 4
# The kind of object behind an id; longest prefix first where one begins another.
KINDS = {
    "ch_": "charge",
    "cus_": "customer",
    "du_": "dispute",
    "mandate_": "mandate",
    "issfr_": "radar.early_fraud_warning",
    "pi_": "payment_intent",
    "pm_": "payment_method",
    "re_": "refund",
    "setatt_": "setup_attempt",
    "seti_": "setup_intent",
    "txn_": "balance_transaction",
}
# Fields that today's types no longer name -> the first version day that does not have them.
EXPANDABLE_UNTIL = {
    ("charge", "invoice"): BASIL,
    ("payment_intent", "invoice"): BASIL,
    **{("charge", name): UNTIL["charge"][name] for name in ("destination", "dispute", "order")},
}


def expand(call: Call, value: Json, paths: list[str]) -> None:
    """Expand in place. Raises StripeError 400 for a path that names nothing expandable."""
    for path in paths:
        steps = path.split(".")
        if call.is_publishable and path not in guesses.CLIENT_EXPANDS:
            raise _cannot(path)
        if len([s for s in steps if s != "data"]) > DEEPEST:
            raise invalid_request(guesses.TOO_DEEP_MESSAGE.format(path=path))
        _expand(call, value, steps, path)


def _expand(call: Call, value: Json, steps: list[str], path: str) -> None:
    name, rest = steps[0], steps[1:]
    if value.get("object") == "list" or (value.get("object") == "search_result" and rest):
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
    if isinstance(inner.get("object"), str):  # an event's data holds a whole object there
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
    include = ON_REQUEST.get((kind, name))
    if include is not None:
        if name not in value:
            value[name] = include(call, value)
        return value[name]
    if (kind, name) == ("customer", "default_source"):
        value[name] = _default_source(value)
    if name in expandable_fields(kind) or _was_expandable(call, kind, name):
        if isinstance(value.get(name), str):
            value[name] = _object(call, value[name])
        return value.get(name)
    is_part = any(f.startswith(name + ".") for f in expandable_fields(kind))
    if is_part and rest:
        return value.get(name)
    if _holds_objects(value.get(name)):  # recorded for a dispute's `balance_transactions`
        return value[name]
    raise _cannot(path)


def _holds_objects(inner: Any) -> bool:
    """Whole objects stand there anyhow, one or a list of them."""
    first = inner[0] if isinstance(inner, list) and inner else inner
    return isinstance(first, dict) and isinstance(first.get("object"), str)


def _was_expandable(call: Call, kind: str, name: str) -> bool:
    return call.version[:10] < EXPANDABLE_UNTIL.get((kind, name), "")


def _default_source(customer: Json) -> Any:
    """The card itself; cards are kept with their customer."""
    cards = {card["id"]: card for card in customer[PRIVATE]["sources"]}
    return cards.get(customer["default_source"], customer["default_source"])


def _object(call: Call, object_id: str) -> Any:
    for prefix, kind in KINDS.items():
        if object_id.startswith(prefix):
            found = call.world.objects.get(kind, object_id)
            if found is not None and kind == "balance_transaction":
                return as_of(call.now, found)
            return found or object_id
    return object_id


def _cannot(path: str) -> Exception:
    return invalid_request(f"This property cannot be expanded ({path}).")
