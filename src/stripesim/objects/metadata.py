"""Metadata: merged name by name; an empty value unsets one name, an empty string all of them.

Documented (docs.stripe.com/api/metadata): at most 50 keys, names of 40 characters without square
brackets, values of 500. The three refusals were pasted from real answers (FlowFuse/flowfuse#1948
has the one of the keys), without code and param.
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
            f"Metadata can have up to {MOST_KEYS} keys, but you've set {len(out)}. Email us at "
            "support+metadata@stripe.com for more information."
        )
    for name, value in out.items():
        _check_length("key", LONGEST_NAME, name)
        _check_length("value", LONGEST_VALUE, value)
    return out


def _check_length(what: str, longest: int, text: str) -> None:
    if len(text) > longest:
        raise invalid_request(
            f"Metadata {what}s can have up to {longest} characters, but you passed in a {what} that"
            f" is {len(text)} characters. Invalid {what}: {text}"
        )


def unset(value: Any) -> Any:
    """An empty string is the wire's null."""
    return None if value == "" else value
