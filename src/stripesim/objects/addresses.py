"""Addresses and what is shipped to them: Stripe shows every part, null where nothing was given.

The parts are those of the SDK's types. Recorded: a change is merged part by part into what stood
there, and an empty string takes all of it away.
"""

from typing import Any

from stripesim.objects.metadata import unset

Json = dict[str, Any]
NO_ADDRESS: Json = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
NO_RECIPIENT: Json = dict.fromkeys(("address", "name", "phone"))
NO_PARCEL: Json = dict.fromkeys(("address", "carrier", "name", "phone", "tracking_number"))


def address(given: Json | str | None, before: Json | None = None) -> Json | None:
    if not isinstance(given, dict):
        return None
    return {**NO_ADDRESS, **(before or {}), **{name: unset(text) for name, text in given.items()}}


def recipient(given: Json | str | None, before: Json | None = None) -> Json | None:
    """The `shipping` of a customer and of a confirmation token."""
    return _shipping(NO_RECIPIENT, given, before)


def parcel(given: Json | str | None, before: Json | None = None) -> Json | None:
    """The `shipping` of a payment, with its carrier and tracking number."""
    return _shipping(NO_PARCEL, given, before)


def _shipping(nothing: Json, given: Json | str | None, before: Json | None) -> Json | None:
    if not isinstance(given, dict):
        return None
    old = {**nothing, **(before or {})}
    where = address(given.get("address") or {}, old["address"])
    return {**old, **{name: unset(text) for name, text in given.items()}, "address": where}
