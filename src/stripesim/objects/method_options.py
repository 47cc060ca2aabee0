"""`payment_method_options` of PaymentIntents and SetupIntents, and what the card's say.

SDK: a card's own `capture_method` (which can only be manual) and `setup_future_usage` come before
the intent's, and "none" saves nothing; an empty value unsets one.
"""

from typing import Any

Json = dict[str, Any]


def begin(params: Json, types: list[str], of_card: Json) -> Json:
    """Those of a new intent; `of_card` are a card's without being named."""
    options = {kind: dict(of_card) if kind == "card" else {} for kind in types}
    given = params.get("payment_method_options") or {}
    for kind in types:
        _set(options[kind], given.get(kind) or {})
    return options


def merge(intent: Json, params: Json) -> None:
    for kind, given in (params.get("payment_method_options") or {}).items():
        _set(intent["payment_method_options"].setdefault(kind, {}), given or {})


def _set(options: Json, given: Json) -> None:
    for name, value in given.items():
        if value == "":
            options.pop(name, None)
        else:
            options[name] = value


def of_card(intent: Json) -> Json:
    """Empty for a direct charge, which has none."""
    return (intent.get("payment_method_options") or {}).get("card") or {}


def requests_authentication(intent: Json) -> bool:
    """Whether the merchant asks for 3-D Secure although the card would not."""
    return of_card(intent).get("request_three_d_secure") in ("any", "challenge")


def is_captured_later(intent: Json) -> bool:
    return "manual" in (intent["capture_method"], of_card(intent).get("capture_method"))


def usage(intent: Json) -> str | None:
    """What the card is saved for, or None."""
    found = of_card(intent).get("setup_future_usage") or intent["setup_future_usage"]
    return None if found == "none" else found
