"""Customer sessions: what a client secret lets Stripe's components do with one customer.

SDK: a session has no id and is only created; it lasts half an hour here, and its secret is for
`/v1/elements/sessions`, which is not simulated.
"""

from typing import Any

from stripesim import guesses
from stripesim.wire.errors import invalid_request
from stripesim.world import Call

Json = dict[str, Any]
REDISPLAY: Json = {"payment_method_allow_redisplay_filters": ["always"]}
# SDK: the features of a component and what they are without being named.
FEATURES: dict[str, Json | None] = {
    "active_entitlements": None,
    "buy_button": None,
    "customer_portal": None,
    "customer_sheet": {**REDISPLAY, "payment_method_remove": "disabled"},
    "mobile_payment_element": {
        **REDISPLAY,
        "payment_method_redisplay": "disabled",
        "payment_method_remove": "disabled",
        "payment_method_save": "disabled",
        "payment_method_save_allow_redisplay_override": None,
    },
    "payment_element": {
        **REDISPLAY,
        "payment_method_redisplay": "disabled",
        "payment_method_redisplay_limit": 3,
        "payment_method_remove": "disabled",
        "payment_method_save": "disabled",
        "payment_method_save_usage": None,
    },
    "pricing_table": None,
}
MOST_REDISPLAYED = 10  # SDK


def create(call: Call, params: Json) -> Json:
    if not params.get("customer"):
        raise invalid_request(
            "Must provide customer or customer_account.", code="parameter_missing"
        )
    customer = call.load_param("customer", params["customer"], noun="customer", param="customer")
    return {
        "object": "customer_session",
        "client_secret": f"cuss_secret_{call.world.ids.text(35)}",
        "components": _components(params["components"]),
        "created": call.now,
        "customer": customer["id"],
        "customer_account": None,
        "expires_at": call.now + guesses.CUSTOMER_SESSION_SECONDS,
        "livemode": False,
    }


def _components(given: Json) -> Json:
    if not any(component["enabled"] for component in given.values()):
        raise invalid_request(guesses.NO_COMPONENT_MESSAGE, param="components")
    return {name: _component(name, given.get(name) or {}) for name in FEATURES}


def _component(name: str, given: Json) -> Json:
    is_enabled = bool(given.get("enabled"))
    defaults = FEATURES[name]
    if defaults is None:
        return {"enabled": is_enabled}
    features = given.get("features") or {}
    if features and not is_enabled:
        raise invalid_request(
            guesses.FEATURES_OF_DISABLED_MESSAGE.format(component=name),
            param=f"components[{name}][features]",
        )
    limit = features.get("payment_method_redisplay_limit", 1)
    if not 1 <= limit <= MOST_REDISPLAYED:
        bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 10"
        raise invalid_request(
            f"This value must be {bound}.",
            code="parameter_invalid_integer",
            param=f"components[{name}][features][payment_method_redisplay_limit]",
        )
    given_features = {k: (v if v != "" else defaults[k]) for k, v in features.items()}
    return {"enabled": is_enabled, "features": defaults | given_features if is_enabled else None}
