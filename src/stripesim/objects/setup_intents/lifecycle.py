"""SetupIntents: create, retrieve, update, confirm, cancel, list.

Recorded: description, metadata and customer can be changed in every state, the method only while
nothing is decided; no event tells of an update; a cancellation keeps the method.
"""

from typing import Any

from stripesim import guesses
from stripesim.objects import clients, method_options, payment_methods, setup_attempts
from stripesim.objects.events import emit
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.objects.payment_intents.lifecycle import configuration, method_types
from stripesim.objects.setup_intents import confirm as confirming
from stripesim.objects.setup_intents import refusals
from stripesim.rules import states
from stripesim.wire.errors import invalid_request, missing_in_body
from stripesim.world import Call

Json = dict[str, Any]
KIND = "setup_intent"
CARD_OPTIONS = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
ONLY_WITH_CONFIRM = ("return_url", "mandate_data", "confirmation_token")  # SDK
CONFIRM_PARAMS = (
    "payment_method", "payment_method_data", "confirmation_token", "return_url", "mandate_data",
    "use_stripe_sdk",
)  # fmt: skip


def create(call: Call, params: Json) -> Json:
    is_confirming = bool(params.get("confirm"))
    _check_create(call, params, is_confirming=is_confirming)
    intent = _shape(call, params)
    if not is_confirming or params.get("payment_method"):
        _name_method(call, intent, params, in_body=False)
    call.add(intent)
    emit(call, "setup_intent.created", intent)
    if is_confirming:
        given = {name: params[name] for name in CONFIRM_PARAMS if name in params}
        if given.get("payment_method"):
            given["payment_method"] = intent["payment_method"]  # `pm_card_visa` is a method by now
        confirming.confirm(call, intent, given)
    return intent


def _check_create(call: Call, params: Json, *, is_confirming: bool) -> None:
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
    for name in ONLY_WITH_CONFIRM:
        if params.get(name) and not is_confirming:
            raise invalid_request(
                guesses.ONLY_WITH_CONFIRM_MESSAGE.format(name=name, intent="SetupIntent"),
                param=name,
            )
    if params.get("attach_to_self") and params.get("customer"):
        raise invalid_request(guesses.TO_SELF_AND_CUSTOMER_MESSAGE, param="attach_to_self")
    if params.get("single_use"):
        raise invalid_request(guesses.SINGLE_USE_CARD_MESSAGE, param="single_use")


def _shape(call: Call, params: Json) -> Json:
    types, automatic = method_types(call, params)
    intent_id = call.world.ids.timed("seti", call.now)
    to_self = {name: params[name] for name in ["attach_to_self"] if name in params}
    return {
        "id": intent_id,
        "object": KIND,
        "allowed_payment_method_types": params.get("allowed_payment_method_types") or None,
        "application": None,
        **to_self,
        "automatic_payment_methods": automatic,
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{call.world.ids.text(31)}",
        "created": call.now,
        "customer": params.get("customer") or None,
        "customer_account": None,
        "description": unset(params.get("description")),
        "excluded_payment_method_types": params.get("excluded_payment_method_types") or None,
        "flow_directions": params.get("flow_directions") or None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "mandate": None,
        "metadata": merged({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": configuration(automatic),
        "payment_method_options": method_options.begin(params, types, CARD_OPTIONS),
        "payment_method_types": types,
        "single_use_mandate": None,
        "status": states.begin(KIND, "created"),
        "usage": _usage(call, params),
        "_sim": {"challenge": None, "return_url": None, "acceptance": None},
    }


def _usage(call: Call, params: Json) -> str:
    """Probed at 2026-08-26.dahlia: `off_session` whatever the parameter says, even nonsense."""
    is_read = call.version[:10] < guesses.USAGE_IGNORED_SINCE
    return "on_session" if is_read and params.get("usage") == "on_session" else "off_session"


def _name_method(call: Call, intent: Json, params: Json, *, in_body: bool) -> None:
    """Name a method without using it yet. Raises StripeError 400 when it could not be saved."""
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
    elif params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
    else:
        return
    confirming.check_owner(call, intent, method, in_body=in_body)
    setup_attempts.abandon(call, intent)
    states.move(intent, "method_named")
    intent.update(payment_method=method["id"], next_action=None)
    intent["_sim"]["challenge"] = None


def retrieve(call: Call, params: Json, intent_id: str) -> Json:
    return clients.shown(call, clients.load(call, KIND, intent_id, params))


def confirm(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    clients.check_confirm(call, intent, params)
    return clients.shown(call, confirming.confirm(call, intent, params))


def verify_microdeposits(call: Call, params: Json, intent_id: str) -> Json:
    """Recorded: refused, since no card has any."""
    raise refusals.no_microdeposits(clients.load(call, KIND, intent_id, params))


def update(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    if "metadata" in params:
        intent["metadata"] = merged(intent["metadata"], params["metadata"])
    if "description" in params:
        intent["description"] = unset(params["description"])
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
        intent["customer"] = params["customer"]
    for name in ("attach_to_self", "flow_directions"):
        if name in params:
            intent[name] = params[name] or None
    method_options.merge(intent, params)
    if params.get("payment_method_types"):
        intent["payment_method_types"], _ = method_types(call, params)
        intent.update(automatic_payment_methods=None, payment_method_configuration_details=None)
    if params.get("payment_method") or params.get("payment_method_data"):
        if not states.allows(intent, "update"):
            raise refusals.cannot(intent, "update")
        _name_method(call, intent, params, in_body=True)
    call.save(intent)
    return intent


def cancel(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    if not states.allows(intent, "cancel"):
        raise refusals.cannot_cancel(intent)
    setup_attempts.abandon(call, intent)
    states.move(intent, "canceled")
    intent.update(cancellation_reason=params.get("cancellation_reason") or None, next_action=None)
    intent["_sim"]["challenge"] = None
    call.save(intent)
    emit(call, "setup_intent.canceled", intent)
    return intent


def list_intents(call: Call, params: Json) -> Json:
    """By `payment_method`, `customer`, `attach_to_self` and `created`."""
    filters: dict[str, str] = {}
    for name, kind, noun in (
        ("payment_method", "payment_method", "PaymentMethod"),
        ("customer", "customer", "customer"),
    ):
        if params.get(name):
            if call.world.objects.get(kind, params[name]) is None:
                raise missing_in_body(noun, params[name], name)
            filters["ref" if name == "payment_method" else name] = params[name]
    condition = ""
    if params.get("attach_to_self"):
        filters["type"] = "attach_to_self"
    elif "attach_to_self" in params:
        condition = "type IS NULL"
    return list_page(call, KIND, "/v1/setup_intents", params, filters, condition=condition)
