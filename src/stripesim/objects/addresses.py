"""Addresses and what is shipped to them: Stripe shows every part, null where nothing was given.

The parts are those of the SDK's types.
"""

from typing import Any

Json = dict[str, Any]
NO_ADDRESS: Json = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
NO_PARCEL: Json = dict.fromkeys(("address", "carrier", "name", "phone", "tracking_number"))


def address(given: Json | str | None) -> Json | None:
    return {**NO_ADDRESS, **given} if isinstance(given, dict) else None


def recipient(given: Json | str | None) -> Json | None:
    """The `shipping` of a customer and of a confirmation token."""
    if not isinstance(given, dict):
        return None
    return {"phone": None, **given, "address": {**NO_ADDRESS, **(given.get("address") or {})}}


def parcel(given: Json | str | None) -> Json | None:
    """The `shipping` of a payment, with its carrier and tracking number."""
    found = recipient(given)
    return {**NO_PARCEL, **found} if found else None
