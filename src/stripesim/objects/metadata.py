"""Metadata: merged name by name; an empty value unsets one name, an empty string all of them.

Documented (docs.stripe.com/api/metadata): at most 50 keys, names of 40 characters without square
brackets, values of 500.
"""

from typing import Any

from stripesim.wire.errors import invalid_request

Json = dict[str, Any]
MOST_KEYS, LONGEST_NAME, LONGEST_VALUE = 50, 40, 500


def merged(current: Json, change: Any) -> Json:
    """The metadata after the change. Raises StripeError 400 beyond the limits."""
    if change == "" or change is None:
        return {} if change == "" else current
    out = {**current, **change}
    out = {name: value for name, value in out.items() if value != ""}
    if len(out) > MOST_KEYS:
        raise invalid_request(
            f"You can have at most {MOST_KEYS} metadata keys per object.",
            param="metadata",
        )
    for name, value in out.items():
        if len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            raise invalid_request(
                f"Metadata names can have up to {LONGEST_NAME} characters and "
                f"values up to {LONGEST_VALUE}.",
                param=f"metadata[{name[:LONGEST_NAME]}]",
            )
    return out


def unset(value: Any) -> Any:
    """An empty string is the wire's null."""
    return None if value == "" else value
