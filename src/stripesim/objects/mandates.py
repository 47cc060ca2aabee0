"""Mandates: the holder's permission, made when a card is saved or charged with `mandate_data`.

The shape of a card's is the documented one (docs.stripe.com/india-recurring-payments).
"""

from typing import Any

from stripesim.world import Call

Json = dict[str, Any]


def accept(call: Call, mandate_data: Json) -> Json:
    """The `customer_acceptance` as it is kept: a client leaves the address to us."""
    given = mandate_data["customer_acceptance"]
    accepted: Json = {"accepted_at": int(given.get("accepted_at") or call.now)}
    if given["type"] == "online":
        online = given.get("online") or {}
        accepted["online"] = {
            "ip_address": online.get("ip_address") or call.client_ip,
            "user_agent": online.get("user_agent"),
        }
    else:
        accepted["offline"] = {}
    return {**accepted, "type": given["type"]}


def make(call: Call, method: Json, acceptance: Json) -> str:
    """A mandate for any number of payments, active at once."""
    mandate = {
        "id": call.world.ids.timed("mandate", call.now),
        "object": "mandate",
        "customer_acceptance": acceptance,
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
