"""Checks and types a request's parameters against the tables generated from the SDK's types."""

import functools
import json
import re
from importlib.resources import files
from typing import Any

from stripesim import guesses
from stripesim.wire import older_params
from stripesim.wire.errors import invalid_request
from stripesim.wire.forms import APPEND
from stripesim.wire.urls import check_url

Json = dict[str, Any]
Node = Any
INTEGER = re.compile(r"^[+-]?\d{1,18}$")
NEVER_EMPTY = ("integer", "boolean", "number")  # an empty value cannot unset these
ADDRESSES = ("return_url",)  # the browser is sent there
NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?$")
# Sent by Stripe's browser and mobile libraries beside the documented parameters.
CLIENT_LIBRARY_PARAMS = frozenset(
    [
        "key",
        "client_secret",
        "payment_user_agent",
        "guid",
        "muid",
        "sid",
        "referrer",
        "time_on_page",
        "pasted_fields",
        "client_attribution_metadata",
        "expected_payment_method_type",
        "client_context",
        "set_as_default_payment_method",
        "_stripe_account",
    ]
)


@functools.cache
def document() -> Json:
    """`endpoints`: the table of each; `expandable`: the fields that `expand[]` may name."""
    text = files("stripesim.wire").joinpath("params.json").read_text(encoding="utf-8")
    found: Json = json.loads(text)
    _add_undocumented(found["endpoints"])
    return found


def _add_undocumented(endpoints: Json) -> None:
    """What the API takes (recorded) and the SDK's types do not name."""
    card = endpoints["POST /v1/payment_methods"]["fields"]["card"]
    for table in endpoints.values():
        if "payment_method_data" in table["fields"]:
            table["fields"]["payment_method_data"]["fields"]["card"] = card
        if "allowed_payment_method_types" in table["fields"]:
            table["fields"]["payment_method_types"] = {"array": "string"}
    for endpoint in older_params.OF_CLIENTS:
        endpoints[endpoint]["fields"]["mandate_data"] = older_params.MANDATE_DATA
    for endpoint, fields in older_params.FURTHER.items():
        endpoints[endpoint]["fields"].update(fields)
    for endpoint, names in older_params.REQUIRED.items():
        endpoints[endpoint]["required"] = names
    for endpoint, table in older_params.ENDPOINTS.items():
        endpoints.setdefault(endpoint, table)
    for endpoint, newer in older_params.ALIASES.items():
        endpoints[endpoint] = endpoints[newer]


def expandable_fields(kind: str) -> list[str]:
    fields: list[str] = document()["expandable"].get(kind, [])
    return fields


def is_method_type(name: str) -> bool:
    """Whether Stripe has payment methods of that type: its details have a parameter of its name."""
    fields = document()["endpoints"]["POST /v1/payment_methods"]["fields"]
    return isinstance(fields.get(name), dict) and name not in ("billing_details", "radar_options")


def check(endpoint: str, raw: Json, *, from_client_library: bool) -> Json:
    """Typed parameters of "METHOD /path".

    Integers, booleans and lists become Python's; an empty string stays "" (unset). Raises
    StripeError 400 for unknown, missing and badly typed parameters.
    """
    table = document()["endpoints"].get(endpoint)
    if table is None:
        return raw
    extra: Json = {}
    if from_client_library:
        extra = {k: v for k, v in raw.items() if k in CLIENT_LIBRARY_PARAMS}
        raw = _without_library_params(raw)
        if isinstance(raw.get("payment_method_data"), dict):
            inner = _without_library_params(raw["payment_method_data"])
            raw = {**raw, "payment_method_data": inner}
    return {**extra, **_fields(table, raw, "")}


def _without_library_params(raw: Json) -> Json:
    return {name: value for name, value in raw.items() if name not in CLIENT_LIBRARY_PARAMS}


def _fields(table: Json, raw: Json, prefix: str) -> Json:
    known = table["fields"]
    unknown = [_name(prefix, key) for key in raw if key not in known]
    if unknown:
        noun = "parameter" if len(unknown) == 1 else "parameters"
        raise invalid_request(
            f"Received unknown {noun}: {', '.join(unknown)}",
            code="parameter_unknown",
            param=unknown[0],
        )
    for key in table.get("required", []):
        if key not in raw:
            name = _name(prefix, key)
            raise invalid_request(
                f"Missing required param: {name}.", code="parameter_missing", param=name
            )
    required = table.get("required", [])
    return {
        key: _value(known[key], value, _name(prefix, key), is_required=key in required)
        for key, value in raw.items()
    }


def _name(prefix: str, key: str) -> str:
    return f"{prefix}[{key}]" if prefix else key


def _value(node: Node, value: Any, name: str, *, is_required: bool = False) -> Any:
    if value == "" and not (isinstance(node, dict) and "array" in node):
        if is_required or node in NEVER_EMPTY:
            raise _empty(name)
        return ""
    if isinstance(node, dict):
        return _structured(node, value, name)
    if node == "map":
        return _map(value, name)
    if node == "any":
        return value
    if not isinstance(value, str):
        raise invalid_request(f"Invalid {node}: {_ruby(value)}", param=name)
    return _scalar(node, value, name)


def _scalar(node: str, value: str, name: str) -> Any:
    if node == "integer":
        if not INTEGER.match(value):
            raise invalid_request(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
            )
        return int(value)
    if node == "boolean":
        if value.lower() not in ("true", "false"):  # recorded: `True`, as older SDKs wrote it
            raise invalid_request(f"Invalid boolean: {value}", param=name)
        return value.lower() == "true"
    if node == "number" and not NUMBER.match(value):
        raise invalid_request(f"Invalid decimal: {value}", param=name)
    if name in ADDRESSES:
        check_url(value, name)
    return value


def _structured(node: Json, value: Any, name: str) -> Any:
    if "enum" in node:
        if value not in node["enum"]:
            raise invalid_request(
                f"Invalid {name}: must be one of {_listed(node['enum'])}", param=name
            )
        return value
    if "array" in node:
        return [_value(node["array"], v, f"{name}[{i}]") for i, v in enumerate(_list(value, name))]
    if not isinstance(value, dict):
        if node.get("loose"):
            return value
        raise invalid_request("Invalid object", param=name)
    return _fields(node, value, name)


def _map(value: Any, name: str) -> Json:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise invalid_request("Invalid object", param=name)
    return value


def _list(value: Any, name: str) -> list[Any]:
    """Stripe's arrays: `a[]=x`, or `a[0]=x&a[1]=y` with every number in its place."""
    if value == "":
        return []
    if not isinstance(value, dict):
        raise invalid_request("Invalid array", param=name)
    if set(value) == {APPEND}:
        items: list[Any] = value[APPEND]
        return items
    if sorted(value) != sorted(str(i) for i in range(len(value))):
        raise invalid_request(guesses.BAD_ARRAY_KEYS, param=name)
    return [value[str(i)] for i in range(len(value))]


def _empty(name: str) -> Exception:
    return invalid_request(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset "
        f"a parameter; however '{name}' cannot be unset. You should remove '{name}' from your "
        "request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )


def _listed(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    last = ", or " if len(values) > 2 else " or "
    return ", ".join(values[:-1]) + last + values[-1]


def _ruby(value: Any) -> str:
    return json.dumps(value).replace('": ', '"=>')
