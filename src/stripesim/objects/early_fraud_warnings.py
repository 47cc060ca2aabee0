"""Early fraud warnings (`/v1/radar/early_fraud_warnings`): an issuer's word that a charge may be
fraudulent, brought by card …5423. No money moves.
"""

from typing import Any

from stripesim.objects.events import emit, emit_update
from stripesim.objects.listing import list_page
from stripesim.store.objects import PageQuery
from stripesim.world import Call

Json = dict[str, Any]
KIND = "radar.early_fraud_warning"
FRAUD_TYPE = "made_with_stolen_card"  # seen in test mode with API 2020-08-27


def warn(call: Call, charge: Json) -> None:
    warning = {
        "id": call.world.ids.timed("issfr", call.now),
        "object": KIND,
        "actionable": True,
        "charge": charge["id"],
        "created": call.now,
        "fraud_type": FRAUD_TYPE,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    call.add(warning)
    emit(call, "radar.early_fraud_warning.created", warning)


def close_for(call: Call, charge_id: str) -> None:
    """Documented: actionable until the charge is refunded in full (or disputed)."""
    query = PageQuery(kind=KIND, limit=1, filters={"charge": charge_id})
    for warning in call.world.objects.page(query)[0]:
        if warning["actionable"]:
            before = dict(warning)
            warning["actionable"] = False
            call.save(warning)
            emit_update(call, "radar.early_fraud_warning.updated", before, warning)


def retrieve(call: Call, params: Json, warning_id: str) -> Json:
    del params
    return call.load(KIND, warning_id, noun="early_fraud_warning", param="early_fraud_warning")


def list_warnings(call: Call, params: Json) -> Json:
    filters = {name: params[name] for name in ("charge", "payment_intent") if params.get(name)}
    return list_page(call, KIND, "/v1/radar/early_fraud_warnings", params, filters)
