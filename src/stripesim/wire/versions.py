"""Which fields an object has in which API version, and what never leaves the simulator.

Recorded: additive fields appear in every version on the day Stripe ships them, so for versions of
the last years the version's own date stands for the day of the recording; breaking differences
(`invoice`, `default_currency`, the lists of `wire.included`) follow the version itself.
"""

import re
from typing import Any

from stripesim import guesses
from stripesim.config import API_VERSION
from stripesim.wire.errors import invalid_request

Json = dict[str, Any]
PRIVATE = "_sim"
VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$")
EXCLUDED_TYPES_SINCE = "2025-09-30"
BASIL = "2025-03-31"  # removed `invoice` from PaymentIntents and charges
LATEST_CHARGE = "2022-11-15"  # removed `charges` from PaymentIntents and `refunds` from charges
LEAN_CUSTOMERS = "2020-08-27"  # removed a customer's lists, unless they are expanded
AUTOMATIC_METHODS = "2023-08-16"  # the dashboard's methods when no types are named
ENDIVE = "2026-09-30"  # no longer takes `payment_method_types` in requests
ASYNC_CAPTURE = "2024-04-10"  # `automatic_async` when no capture_method is named

# (object, field) -> first version date that has it
SINCE = {
    ("customer", "customer_account"): guesses.CUSTOMER_ACCOUNT_SINCE,
    ("payment_method", "customer_account"): guesses.CUSTOMER_ACCOUNT_SINCE,
    ("payment_method", "shared_payment_granted_token"): guesses.MANAGED_PAYMENTS_SINCE,
    ("payment_intent", "customer_account"): guesses.CUSTOMER_ACCOUNT_SINCE,
    ("payment_intent", "excluded_payment_method_types"): EXCLUDED_TYPES_SINCE,
    ("payment_intent", "allowed_payment_method_types"): guesses.MANAGED_PAYMENTS_SINCE,
    ("payment_intent", "managed_payments"): guesses.MANAGED_PAYMENTS_SINCE,
    ("payment_intent", "shared_payment_granted_token"): guesses.MANAGED_PAYMENTS_SINCE,
    ("payment_intent", "payment_record"): guesses.PAYMENT_RECORD_SINCE,
    ("setup_intent", "customer_account"): guesses.CUSTOMER_ACCOUNT_SINCE,
    ("setup_intent", "excluded_payment_method_types"): EXCLUDED_TYPES_SINCE,
    ("setup_intent", "allowed_payment_method_types"): guesses.MANAGED_PAYMENTS_SINCE,
    ("setup_intent", "managed_payments"): guesses.MANAGED_PAYMENTS_SINCE,
    ("refund", "customer"): guesses.REFUND_OWNER_SINCE,
    ("refund", "customer_account"): guesses.REFUND_OWNER_SINCE,
    ("refund", "payment_method"): guesses.REFUND_OWNER_SINCE,
    ("list", "count"): guesses.LIST_COUNT_SINCE,
}
# (object, field) -> first version date that no longer has it
UNTIL = {
    ("payment_method", "shared_payment_granted_token"): guesses.SHARED_TOKEN_UNTIL,
    ("payment_intent", "shared_payment_granted_token"): guesses.SHARED_TOKEN_UNTIL,
    ("charge", "destination"): guesses.SHARED_TOKEN_UNTIL,
    ("dispute", "balance_transaction"): guesses.SHARED_TOKEN_UNTIL,
    ("charge", "dispute"): guesses.SHARED_TOKEN_UNTIL,
    ("charge", "order"): guesses.SHARED_TOKEN_UNTIL,
}
# An event tells of its object as the account's default version shows it, whoever reads it.
VERBATIM = {("event", "data")}
RULED_KINDS = {kind for kind, _ in (*SINCE, *UNTIL)}


def read_version(header: str | None) -> str:
    """The version to answer in; without a header the account's default. Raises StripeError 400."""
    if not header:
        return API_VERSION
    if not VERSION.match(header) or header[:10] > API_VERSION[:10] or header[:10] < "2011-01-01":
        raise invalid_request(guesses.UNKNOWN_VERSION_MESSAGE.format(version=header))
    return header


def render(value: Any, version: str = API_VERSION) -> Any:
    """The value as that version shows it, without the simulator's own knowledge."""
    day = version[:10]
    if day < guesses.ADDITIVE_FIELDS_FOLLOW_VERSION_SINCE:
        return _render(value, "2026-08-26", day)
    return _render(value, day, day)


def _render(value: Any, fields_as_of: str, day: str) -> Any:
    if isinstance(value, list):
        return [_render(item, fields_as_of, day) for item in value]
    if not isinstance(value, dict):
        return value
    named = value.get("object")
    kind = named if isinstance(named, str) else ""  # an event's data holds a whole object there
    out = {
        name: inner
        if not isinstance(inner, (dict, list)) or (kind, name) in VERBATIM or name == "metadata"
        else _render(inner, fields_as_of, day)
        for name, inner in value.items()
        if name != PRIVATE
    }
    if kind in RULED_KINDS:
        _apply_field_rules(out, kind, fields_as_of)
    if day < BASIL:
        _apply_breaking_rules(out, kind)
    return out


def _apply_field_rules(out: Json, kind: str, as_of: str) -> None:
    for name in list(out):
        since = SINCE.get((kind, name))
        until = UNTIL.get((kind, name))
        if (since and as_of < since) or (until and as_of >= until):
            del out[name]
    if kind == "payment_intent" and as_of < guesses.ERROR_METHOD_TYPE_SINCE:
        (out.get("last_payment_error") or {}).pop("payment_method_type", None)
    if kind == "dispute" and as_of < guesses.SUBMISSION_METHOD_SINCE:
        out["evidence_details"].pop("submission_method", None)


def _apply_breaking_rules(out: Json, kind: str) -> None:
    if kind in ("payment_intent", "charge"):
        out["invoice"] = None
    if kind == "customer" and not out.get("deleted"):
        out["default_currency"] = out.get("currency")
