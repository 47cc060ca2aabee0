"""PaymentIntents: create, retrieve, update, confirm, cancel, list."""

from typing import Any

from stripesim import guesses
from stripesim.ids import ACCOUNT_PART
from stripesim.objects import addresses, clients, method_options, payment_methods
from stripesim.objects.events import emit
from stripesim.objects.listing import list_page
from stripesim.objects.metadata import merged, unset
from stripesim.objects.payment_intents import confirm as confirming
from stripesim.objects.payment_intents import connect, refusals, settle
from stripesim.rules import descriptors, states
from stripesim.rules.currencies import check_amount, check_currency
from stripesim.wire.errors import invalid_request, missing_in_body, refused
from stripesim.wire.params import is_method_type
from stripesim.wire.versions import ASYNC_CAPTURE, AUTOMATIC_METHODS, ENDIVE
from stripesim.world import Call

Json = dict[str, Any]
KIND = "payment_intent"
CARD_OPTIONS: Json = {
    "installments": None,
    "mandate_options": None,
    "network": None,
    "request_three_d_secure": "automatic",
}
PLAIN = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
ONLY_WITH_CONFIRM = (  # SDK
    "return_url", "off_session", "error_on_requires_action", "confirmation_token", "mandate",
    "mandate_data",
)  # fmt: skip
CONFIRM_PARAMS = (
    "payment_method", "payment_method_data", "confirmation_token", "return_url", "off_session",
    "error_on_requires_action", "use_stripe_sdk", "mandate", "mandate_data",
)  # fmt: skip


def create(call: Call, params: Json) -> Json:
    currency = check_currency(params["currency"])
    check_amount(params["amount"], currency, call.version)
    if params.get("customer"):
        call.load_param("customer", params["customer"], noun="customer", param="customer")
    is_confirming = bool(params.get("confirm"))
    for name in ONLY_WITH_CONFIRM:
        is_asked = params.get(name) not in (None, "", False, "false")
        if is_asked and not is_confirming:
            raise invalid_request(
                guesses.ONLY_WITH_CONFIRM_MESSAGE.format(name=name, intent="PaymentIntent"),
                param=name,
            )
    connect.refuse(params)
    intent = _shape(call, params, currency)
    descriptors.check(params, intent["payment_method_types"], call.version)
    if not is_confirming:
        _choose_method(call, intent, params)
    elif params.get("payment_method"):
        states.move(intent, "method_named")
    call.add(intent)
    call.world.ledger.append(
        "payment_intent", call.now, payment_intent=intent["id"], customer=intent["customer"]
    )
    call.world.ledger.label(intent["id"], intent["metadata"])
    emit(call, "payment_intent.created", intent)
    if is_confirming:
        confirming.confirm(call, intent, {k: params[k] for k in CONFIRM_PARAMS if k in params})
    return intent


def _choose_method(call: Call, intent: Json, params: Json) -> None:
    """Name a method without using it yet. Raises StripeError 400 when it could not pay."""
    if params.get("payment_method_data"):
        method = payment_methods.make(call, params["payment_method_data"])
        call.add(method)
    elif params.get("payment_method"):
        method = payment_methods.resolve(call, params["payment_method"])
    else:
        return
    confirming.check_owner(call, intent, method, in_body=False)
    states.move(intent, "method_named")
    intent.update(payment_method=method["id"], next_action=None)
    intent["_sim"].update(challenge=None)


def _shape(call: Call, params: Json, currency: str) -> Json:
    types, automatic = method_types(call, params)
    intent_id = call.world.ids.payment("pi", call.now)
    return {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": params.get("allowed_payment_method_types") or None,
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method") or _default_capture(call),
        "client_secret": f"{intent_id}_secret_{call.world.ids.text(25)}",
        "confirmation_method": params.get("confirmation_method") or "automatic",
        "created": call.now,
        "currency": currency,
        "customer": params.get("customer") or None,
        "customer_account": None,
        "description": unset(params.get("description")),
        "excluded_payment_method_types": params.get("excluded_payment_method_types") or None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": merged({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": configuration(automatic),
        "payment_method_options": method_options.begin(params, types, CARD_OPTIONS),
        "payment_method_types": types,
        "payment_record": None,
        "processing": None,
        "receipt_email": unset(params.get("receipt_email")),
        "review": None,
        "setup_future_usage": unset(params.get("setup_future_usage")),
        "shared_payment_granted_token": None,
        "shipping": addresses.parcel(params.get("shipping")),
        "source": None,
        "statement_descriptor": unset(params.get("statement_descriptor")),
        "statement_descriptor_suffix": unset(params.get("statement_descriptor_suffix")),
        "status": states.begin("payment_intent", "created"),
        "transfer_data": None,
        "transfer_group": unset(params.get("transfer_group")),
        "_sim": {
            "acceptance": None,
            "authenticated_with": None,
            "challenge": None,
            "confirms": 0,
            "return_url": None,
        },
    }


def _default_capture(call: Call) -> str:
    return "automatic" if call.version[:10] < ASYNC_CAPTURE else "automatic_async"


def method_types(call: Call, params: Json) -> tuple[list[str], Json | None]:
    """The intent's types, and its automatic_payment_methods.

    Recorded: without types the dashboard's methods, redirects allowed. Two names for the list:
    `payment_method_types` (all recordings) and `allowed_payment_method_types` (since
    2026-07-29.dahlia). Documented: from 2026-09-30.endive on the first is refused; here only when
    that is asked for, so that older integrations run at the default version too.
    """
    if (
        "payment_method_types" in params
        and call.world.config.strict_method_types
        and call.version[:10] >= ENDIVE
    ):
        raise invalid_request(
            guesses.NO_METHOD_TYPES_MESSAGE,
            code="payment_method_types_no_longer_supported",
            param="payment_method_types",
        )
    named = params.get("payment_method_types") or params.get("allowed_payment_method_types")
    automatic = params.get("automatic_payment_methods")
    is_automatic = bool(automatic and automatic["enabled"])
    if named and is_automatic:
        raise invalid_request(guesses.TYPES_AND_AUTOMATIC_MESSAGE)
    for kind in named or []:
        if not is_method_type(kind):
            raise invalid_request(
                guesses.BAD_METHOD_TYPE_MESSAGE.format(type=kind), param="payment_method_types"
            )
    if named:
        return named, None
    if (automatic and not is_automatic) or call.version[:10] < AUTOMATIC_METHODS:
        return ["card"], None
    redirects = (automatic or {}).get("allow_redirects") or "always"
    return ["card"], {"allow_redirects": redirects, "enabled": True}


def configuration(automatic: Json | None) -> Json | None:
    """Recorded, for both kinds of intent: which of the dashboard's settings named the methods."""
    if not automatic:
        return None
    return {"id": f"pmc_1Paid2{ACCOUNT_PART}Cards001", "parent": None}


def retrieve(call: Call, params: Json, intent_id: str) -> Json:
    return clients.shown(call, clients.load(call, KIND, intent_id, params))


def confirm(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    clients.check_confirm(call, intent, params)
    return clients.shown(call, confirming.confirm(call, intent, params))


def verify_microdeposits(call: Call, params: Json, intent_id: str) -> Json:
    """Refused, since no card has any."""
    raise refusals.no_microdeposits(clients.load(call, KIND, intent_id, params))


def update(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    connect.refuse(params)
    _update_fixed(call, intent, params)
    descriptors.check(params, intent["payment_method_types"], call.version)
    for name in PLAIN:
        if name in params:
            intent[name] = unset(params[name])
    if "shipping" in params:
        intent["shipping"] = addresses.parcel(params["shipping"], intent["shipping"])
    if "metadata" in params:
        intent["metadata"] = merged(intent["metadata"], params["metadata"])
        call.world.ledger.label(intent["id"], intent["metadata"])
    method_options.merge(intent, params)
    if "payment_method" in params or params.get("payment_method_data"):
        _update_method(call, intent, params)
    if params and states.allows(intent, "update"):
        intent["last_payment_error"] = None
    call.save(intent)
    return intent


def _update_fixed(call: Call, intent: Json, params: Json) -> None:
    """Amount, currency, types and customer: only while nothing was paid."""
    for name in ("amount", "currency", "payment_method_types", "capture_method"):
        if name in params and not states.allows(intent, "update"):
            raise refusals.not_updatable(intent, name)
    if "currency" in params:
        intent["currency"] = check_currency(params["currency"])
    if "amount" in params or "currency" in params:
        amount = int(params["amount"] if "amount" in params else intent["amount"])
        check_amount(amount, intent["currency"], call.version)
        intent["amount"] = amount
        intent["_sim"]["authenticated_with"] = None  # another amount was not authenticated
    if params.get("payment_method_types"):
        intent["payment_method_types"], _ = method_types(call, params)
        intent.update(automatic_payment_methods=None, payment_method_configuration_details=None)
    if params.get("capture_method"):
        intent["capture_method"] = params["capture_method"]
    if params.get("customer") and params["customer"] != intent["customer"]:
        if intent["customer"]:
            raise refused(refusals.CUSTOMER_IS_FIXED)
        if not states.allows(intent, "update"):  # its charge belongs to nobody for good
            raise refusals.not_updatable(intent, "customer")
        call.load_param("customer", params["customer"], noun="customer", param="customer")
        intent["customer"] = params["customer"]


def _update_method(call: Call, intent: Json, params: Json) -> None:
    if not states.allows(intent, "update"):
        raise refusals.not_updatable(intent, "payment_method")
    if params.get("payment_method") == "":
        states.move(intent, "method_removed")
        intent.update(payment_method=None, next_action=None)
        intent["_sim"]["challenge"] = None
        return
    _choose_method(call, intent, params)


def cancel(call: Call, params: Json, intent_id: str) -> Json:
    intent = clients.load(call, KIND, intent_id, params)
    if not states.allows(intent, "cancel"):
        raise refusals.not_cancelable(call, intent)
    settle.cancel(call, intent, params.get("cancellation_reason") or None)
    return intent


def list_intents(call: Call, params: Json) -> Json:
    filters = {"customer": params["customer"]} if params.get("customer") else {}
    if filters and call.world.objects.get("customer", params["customer"]) is None:
        raise missing_in_body("customer", params["customer"], "customer")
    return list_page(call, "payment_intent", "/v1/payment_intents", params, filters)
