"""Which fields an object has in which API version, and what never leaves the simulator.

Recorded: additive fields appear in every version on the day Stripe ships them. An account asks for
its own version for years, so which fields it sees depends on the day it asks: the version's own
date stands for that day, or the one that the simulator was started with (`--fields-as-of`).
Breaking differences (`invoice`, `default_currency`, the lists of `wire.included`) follow the
version itself.
"""

import functools
import re
from typing import Any

from stripesim import guesses
from stripesim.config import API_VERSION
from stripesim.wire.errors import StripeError

Json = dict[str, Any]
PRIVATE = "_sim"
VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$")
BASIL = "2025-03-31"  # removed `invoice` from PaymentIntents and charges
PAID_RENAMED = "2015-02-18"  # a charge's status `paid` became `succeeded`
CURRENCY_RENAMED = "2022-08-01"  # a customer's `default_currency` became `currency`
LATEST_CHARGE = "2022-11-15"  # removed `charges` from PaymentIntents and `refunds` from charges
LEAN_CUSTOMERS = "2020-08-27"  # removed a customer's lists, unless they are expanded
AUTOMATIC_METHODS = "2023-08-16"  # the dashboard's methods when no types are named
ENDIVE = "2026-09-30"  # no longer takes `payment_method_types` in requests
ASYNC_CAPTURE = "2024-04-10"  # `automatic_async` when no capture_method is named

# The day from which an additive field is shown: object -> path of the field -> day. Recorded, and
# bracketed by recordings of pay-rails/pay, antiwork/gumroad, openfoodnetwork, liberapay and
# spree_stripe, 2019 to 2026, at all their versions: absent until shortly before, present since.
# A day that equals a version's date was seen at that version and not at the one before.
_BILLING_TAX_ID = "2025-03-31"
_CARD_IN_CHARGE = {
    "mandate": "2022-04-19",
    "network_token": "2023-01-11",
    "amount_authorized": "2023-10-16",
    "extended_authorization": "2023-10-16",
    "incremental_authorization": "2023-10-16",
    "multicapture": "2023-10-16",
    "overcapture": "2023-10-16",
    "authorization_code": "2024-06-20",
    "capture_before": "2023-10-16",
    "network_transaction_id": "2024-12-18",
    "regulated_status": "2024-12-18",
    "transaction_link_id": "2026-05-27",
    "electronic_commerce_indicator": guesses.COMMERCE_INDICATOR_SINCE,
}
SINCE: dict[str, dict[str, str]] = {
    "customer": {
        "test_clock": "2022-03-23",
        "invoice_settings.rendering_options": "2022-07-12",
        "customer_account": "2025-12-08",
        "tax.provider": "2025-09-30",
    },
    "payment_method": {
        "card.networks": "2020-07-05",
        "card.display_brand": "2024-02-01",
        "allow_redisplay": "2024-04-10",
        "card.regulated_status": "2024-12-18",
        "billing_details.tax_id": _BILLING_TAX_ID,
        "customer_account": "2025-12-08",
        "shared_payment_granted_token": "2026-05-08",
    },
    "payment_intent": {
        "automatic_payment_methods": "2021-12-07",
        "processing": "2022-03-23",
        "amount_details": "2022-04-15",
        "latest_charge": "2022-11-15",
        "automatic_payment_methods.allow_redirects": "2023-08-16",
        "payment_method_configuration_details": "2023-10-16",
        "excluded_payment_method_types": "2025-09-30",
        "customer_account": "2025-12-08",
        "managed_payments": "2026-04-12",
        "shared_payment_granted_token": "2026-05-08",
        "allowed_payment_method_types": "2026-06-24",
        "payment_record": guesses.PAYMENT_RECORD_SINCE,
    },
    "setup_intent": {
        "latest_attempt": "2020-08-27",
        "flow_directions": "2022-08-01",
        "automatic_payment_methods": "2023-08-16",
        "payment_method_configuration_details": "2023-10-16",
        "excluded_payment_method_types": "2025-09-30",
        "customer_account": "2025-12-08",
        "managed_payments": "2026-04-12",
        "allowed_payment_method_types": "2026-06-24",
    },
    "charge": {
        "failure_balance_transaction": "2022-03-29",
        "outcome.network_advice_code": "2024-11-24",
        "outcome.network_decline_code": "2024-11-24",
        "outcome.advice_code": "2024-12-18",
        "radar_options": "2024-12-18",  # on some accounts a year before
        "amount_updates": guesses.AMOUNT_UPDATES_SINCE,
        "billing_details.tax_id": _BILLING_TAX_ID,
        **{f"payment_method_details.card.{name}": day for name, day in _CARD_IN_CHARGE.items()},
    },
    "refund": {
        "payment_intent": "2021-03-13",
        "destination_details": "2023-12-11",
        "destination_details.card.reference_status": "2023-12-24",
        "destination_details.card.reference_type": "2023-12-24",
        "customer": "2026-06-24",
        "customer_account": "2026-06-24",
        "payment_method": "2026-06-24",
    },
    "card": {
        "wallet": "2023-05-22",
        "networks": "2024-02-18",
        "regulated_status": "2024-12-18",
        "allow_redisplay": guesses.CARD_CONTACT_SINCE,
        "email": guesses.CARD_CONTACT_SINCE,
        "phone": guesses.CARD_CONTACT_SINCE,
    },
    "balance_transaction": {"balance_type": "2025-09-30"},
    "list": {"count": guesses.LIST_COUNT_SINCE},
    "dispute": {
        "enhanced_eligibility_types": "2024-12-16",
        "evidence.enhanced_evidence": "2024-12-16",
        "evidence_details.enhanced_eligibility": "2024-12-16",
        "evidence_details.submission_method": guesses.SUBMISSION_METHOD_SINCE,
        "payment_method_details.card.case_type": "2024-12-16",
    },
}
# The fields of an error, of `last_payment_error` and of `last_setup_error`. Recorded: a decline
# whose code says all (`expired_card`, `incorrect_cvc`, `processing_error`, …) had no decline_code
# until 2024-04 and has one since 2025-10.
ERROR_SINCE = {
    "request_log_url": guesses.LOG_URL_SINCE,
    "advice_code": "2024-12-18",
    "network_advice_code": guesses.NETWORK_CODES_SINCE,
    "network_decline_code": guesses.NETWORK_CODES_SINCE,
    "payment_method_type": guesses.ERROR_METHOD_TYPE_SINCE,
}
CODES_WITH_DECLINE_CODE = ("card_declined", "authentication_required")
# object -> field -> day from which it is no longer shown
UNTIL: dict[str, dict[str, str]] = {
    "payment_method": {"shared_payment_granted_token": guesses.SHARED_TOKEN_UNTIL},
    "payment_intent": {"shared_payment_granted_token": guesses.SHARED_TOKEN_UNTIL},
    "dispute": {"balance_transaction": guesses.SHARED_TOKEN_UNTIL},
    "charge": {
        "amount_updates": guesses.AMOUNT_UPDATES_UNTIL,
        **dict.fromkeys(("destination", "dispute", "order"), guesses.SHARED_TOKEN_UNTIL),
    },
}
# An event tells of its object as the account's default version shows it, whoever reads it.
VERBATIM = {("event", "data")}


def read_version(header: str | None) -> str:
    """The version to answer in; without a header the account's default. Raises StripeError 400."""
    if not header:
        return API_VERSION
    if not VERSION.match(header) or header[:10] > API_VERSION[:10] or header[:10] < "2011-01-01":
        raise StripeError(400, f"Invalid Stripe API version: {header}", is_logged=False)
    return header


def render(value: Any, version: str = API_VERSION, as_of: str | None = None) -> Any:
    """The value as that version shows it, without the simulator's own knowledge.

    as_of: the day whose additive fields are shown; without it the version's own.
    """
    return _render(value, as_of or version[:10], version[:10])


def render_error(fields: Json, version: str, as_of: str | None = None) -> Json:
    """The fields of an error as that version shows them, the objects in it too."""
    out: Json = render(fields, version, as_of)
    _drop_from_error(out, as_of or version[:10])
    return out


@functools.cache
def _hidden_fields(as_of: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """object -> paths of the fields that are not shown on that day."""
    hidden: dict[str, list[tuple[str, ...]]] = {}
    for kind, days in SINCE.items():
        hidden[kind] = [tuple(path.split(".")) for path, day in days.items() if as_of < day]
    for kind, days in UNTIL.items():
        hidden.setdefault(kind, []).extend((name,) for name, day in days.items() if as_of >= day)
    return {kind: tuple(paths) for kind, paths in hidden.items() if paths}


def _render(value: Any, as_of: str, day: str) -> Any:
    if isinstance(value, list):
        return [_render(item, as_of, day) for item in value]
    if not isinstance(value, dict):
        return value
    named = value.get("object")
    kind = named if isinstance(named, str) else ""  # an event's data holds a whole object there
    out = {
        name: inner
        if not isinstance(inner, (dict, list)) or (kind, name) in VERBATIM or name == "metadata"
        else _render(inner, as_of, day)
        for name, inner in value.items()
        if name != PRIVATE
    }
    if kind:
        for path in _hidden_fields(as_of).get(kind, ()):
            _drop(out, path)
        for name in ("last_payment_error", "last_setup_error"):
            if out.get(name):
                _drop_from_error(out[name], as_of)
        _apply_breaking_rules(out, kind, day, as_of)
    return out


def _drop(out: Json, path: tuple[str, ...]) -> None:
    for name in path[:-1]:
        inner = out.get(name)
        if not isinstance(inner, dict):
            return
        out = inner
    out.pop(path[-1], None)


def _drop_from_error(error: Json, as_of: str) -> None:
    for name, since in ERROR_SINCE.items():
        if as_of < since:
            error.pop(name, None)
    if as_of < guesses.NETWORK_CODES_SINCE and error.get("code") not in CODES_WITH_DECLINE_CODE:
        error.pop("decline_code", None)


def _apply_breaking_rules(out: Json, kind: str, day: str, as_of: str) -> None:
    """What a version took away follows the version itself, whenever it is asked for."""
    if day < BASIL and kind in ("payment_intent", "charge"):
        out["invoice"] = None
    if day < PAID_RENAMED and kind == "charge" and out["status"] == "succeeded":
        out["status"] = "paid"
    is_renamed = day < CURRENCY_RENAMED <= as_of  # both names, not before the new one was there
    if is_renamed and kind == "customer" and not out.get("deleted"):
        out["default_currency"] = out.get("currency")
