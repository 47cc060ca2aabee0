"""What a hold can become: captured, in part or as a whole, or raised; and a call that cards do not
take.

Documented (docs.stripe.com/payments/incremental-authorization): a hold can be raised when that was
requested (`request_incremental_authorization`), at most ten times, to the new total.
"""

import copy
from typing import Any

from stripesim import guesses
from stripesim.objects import clients
from stripesim.objects.events import emit, emit_update
from stripesim.objects.metadata import merged, unset
from stripesim.objects.payment_intents import connect, refusals, settle
from stripesim.rules import descriptors, states
from stripesim.rules.currencies import check_amount
from stripesim.wire.errors import refused
from stripesim.world import Call

Json = dict[str, Any]
KIND = "payment_intent"
MOST_INCREMENTS = 10


def capture(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    if not states.allows(intent, "capture"):
        raise refusals.not_capturable(call, intent)
    connect.refuse(params)
    descriptors.check(params, intent["payment_method_types"], call.version)
    capturable = int(intent["amount_capturable"])
    amount = int(params.get("amount_to_capture", capturable))
    if not 0 < amount <= capturable:
        raise refusals.capture_amount(amount, intent)
    if params.get("final_capture") is False:
        raise refused(guesses.NO_MULTICAPTURE_MESSAGE, param="final_capture")
    _note(call, intent, params)
    settle.capture(call, intent, amount)
    return intent


def _note(call: Call, intent: Json, params: Json) -> None:
    for name in ("description", "statement_descriptor", "statement_descriptor_suffix"):
        if name in params:
            intent[name] = unset(params[name])
    if "metadata" in params:
        intent["metadata"] = merged(intent["metadata"], params["metadata"])
        call.world.ledger.label(intent["id"], intent["metadata"])


def increment_authorization(call: Call, params: Json, intent_id: str) -> Json:
    """Recorded: the refusal where it was not requested. The new amount is the whole."""
    intent = clients.load(call, KIND, intent_id, params)
    if not states.allows(intent, "increment"):
        raise refusals.not_incrementable(intent)
    held = call.load("charge", intent["latest_charge"], noun="charge", param="charge")
    status = held["payment_method_details"]["card"]["incremental_authorization"]["status"]
    if status != "available":
        raise refused(refusals.NOT_INCREMENTAL)
    connect.refuse(params)
    check_amount(params["amount"], intent["currency"], call.version)
    if params["amount"] <= intent["amount"]:
        raise refused(guesses.INCREMENT_TOO_SMALL_MESSAGE, param="amount")
    if intent["_sim"].get("increments", 0) >= MOST_INCREMENTS:
        raise refused(guesses.TOO_MANY_INCREMENTS_MESSAGE)
    before = copy.deepcopy(held)
    _note(call, intent, params)
    _raise_to(held, intent, params["amount"])
    call.save(held)
    call.save(intent)
    emit_update(call, "charge.updated", before, held)
    emit(call, "payment_intent.amount_capturable_updated", intent)
    return intent


def _raise_to(held: Json, intent: Json, amount: int) -> None:
    intent.update(amount=amount, amount_capturable=amount)
    intent["_sim"]["increments"] = intent["_sim"].get("increments", 0) + 1
    held["amount"] = amount
    card = held["payment_method_details"]["card"]
    card["amount_authorized"] = amount
    card["overcapture"]["maximum_amount_capturable"] = amount


def apply_customer_balance(call: Call, params: Json, intent_id: str) -> Json:
    """Asserted: refused without code and param for a card payment, whatever its state."""
    intent = clients.load(call, KIND, intent_id, params)
    raise refused(guesses.NO_CUSTOMER_BALANCE_MESSAGE.format(id=intent["id"]))
