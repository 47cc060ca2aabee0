"""Metadata: merged name by name; an empty value unsets one name, an empty string all of them."""

from typing import Any

from stripesim import guesses
from stripesim.wire.errors import invalid_request

Json = dict[str, Any]


def merged(current: Json, change: Any) -> Json:
    """The metadata after the change. Raises StripeError 400 beyond the limits."""
    if change == "" or change is None:
        return {} if change == "" else current
    out = {**current, **change}
    out = {name: value for name, value in out.items() if value != ""}
    if len(out) > guesses.METADATA_MOST_KEYS:
        raise invalid_request(
            f"You can have at most {guesses.METADATA_MOST_KEYS} metadata keys per object.",
            param="metadata",
        )
    for name, value in out.items():
        if len(name) > guesses.METADATA_LONGEST_NAME or len(value) > guesses.METADATA_LONGEST_VALUE:
            raise invalid_request(
                f"Metadata names can have up to {guesses.METADATA_LONGEST_NAME} characters and "
                f"values up to {guesses.METADATA_LONGEST_VALUE}.",
                param=f"metadata[{name[: guesses.METADATA_LONGEST_NAME]}]",
            )
    return out


def unset(value: Any) -> Any:
    """An empty string is the wire's null."""
    return None if value == "" else value
