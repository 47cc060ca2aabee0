"""SetupAttempts: one per confirmation of a SetupIntent; only ever listed.

The shape is the documented one (docs.stripe.com/api/setup_attempts/object) with the fields of the
SDK's types.
"""

from typing import Any

from stripesim.objects import charges
from stripesim.objects.listing import list_page
from stripesim.world import Call

Json = dict[str, Any]


def begin(call: Call, intent: Json, method: Json) -> str:
    attempt = {
        "id": call.world.ids.timed("setatt", call.now),
        "object": "setup_attempt",
        "application": None,
        "created": call.now,
        "customer": intent["customer"],
        "customer_account": None,
        "flow_directions": intent["flow_directions"],
        "livemode": False,
        "on_behalf_of": None,
        "payment_method": method["id"],
        "payment_method_details": _details(method, None),
        "setup_error": None,
        "setup_intent": intent["id"],
        "status": "requires_action",
        "usage": intent["usage"],
    }
    if "attach_to_self" in intent:
        attempt["attach_to_self"] = intent["attach_to_self"]
    call.add(attempt)
    return str(attempt["id"])


def _details(method: Json, secure: Json | None) -> Json:
    if "card" not in method:
        return {method["type"]: {}, "type": method["type"]}
    card = method["card"]
    shown = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding")
    return {
        "card": {
            **{name: card[name] for name in shown},
            "last4": card["last4"],
            "network": card["brand"],
            "three_d_secure": secure,
            "wallet": None,
        },
        "type": "card",
    }


def end(
    call: Call,
    intent: Json,
    method: Json,
    status: str,
    *,
    is_authenticated: bool = False,
    error: Json | None = None,
) -> None:
    """The intent's latest attempt is "succeeded" or "failed"."""
    secure = charges.authentication(call) if is_authenticated else None
    if secure:
        del secure["exemption_indicator"]  # SDK: a charge's field only
    _update(
        call,
        intent,
        status=status,
        payment_method_details=_details(method, secure),
        setup_error=error,
    )


def abandon(call: Call, intent: Json) -> None:
    """Another attempt, or a cancellation, ends one that waits for its holder."""
    if intent["status"] == "requires_action":
        _update(call, intent, status="abandoned")


def _update(call: Call, intent: Json, **fields: Any) -> None:
    attempt = call.world.objects.get("setup_attempt", intent["latest_attempt"])
    if attempt is None:
        raise LookupError(intent["latest_attempt"])
    call.save(attempt | fields)


def list_attempts(call: Call, params: Json) -> Json:
    """Those of one SetupIntent."""
    filters = {"ref": params["setup_intent"]}
    return list_page(call, "setup_attempt", "/v1/setup_attempts", params, filters)
