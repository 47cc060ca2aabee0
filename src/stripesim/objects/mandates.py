"""Mandates: the holder's permission, made when a card is set up with `mandate_data`.

The shape of a card's is the documented one (docs.stripe.com/india-recurring-payments).
"""

from typing import Any

from stripesim.world import Call

Json = dict[str, Any]


def make(call: Call, method: Json, acceptance: Json) -> str:
    """A mandate for any number of payments, active at once."""
    online = acceptance.get("online") or {}
    accepted: Json = {"accepted_at": int(acceptance.get("accepted_at") or call.now)}
    if acceptance["type"] == "online":
        accepted["online"] = {
            "ip_address": online.get("ip_address") or call.client_ip,
            "user_agent": online.get("user_agent"),
        }
    else:
        accepted["offline"] = {}
    mandate = {
        "id": call.world.ids.timed("mandate", call.now),
        "object": "mandate",
        "customer_acceptance": {**accepted, "type": acceptance["type"]},
        "livemode": False,
        "multi_use": {},
        "payment_method": method["id"],
        "payment_method_details": {method["type"]: {}, "type": method["type"]},
        "status": "active",
        "type": "multi_use",
        "_sim": {"created": call.now},
    }
    call.add(mandate)
    return str(mandate["id"])


def retrieve(call: Call, params: Json, mandate_id: str) -> Json:
    del params
    return call.load("mandate", mandate_id, noun="mandate", param="mandate")
