"""What a client with the publishable key may do with an intent whose client secret it knows.

Documented (docs.stripe.com/api/payment_intents/retrieve): a client passes the client secret, and
sees and sets only a part. The words for a wrong secret are those of a SetupIntent, as a Dart
binding's test against Stripe expects them; a PaymentIntent's are taken to be the same.
"""

import hmac
from typing import Any

from stripesim import guesses
from stripesim.wire.errors import invalid_request
from stripesim.world import Call

Json = dict[str, Any]
NAMES = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}
NOUNS = {"payment_intent": "payment_intent", "setup_intent": "setupintent"}
SHOWN = {
    "payment_intent": (
        "id", "object", "amount", "amount_details", "automatic_payment_methods", "canceled_at",
        "cancellation_reason", "capture_method", "client_secret", "confirmation_method", "created",
        "currency", "description", "last_payment_error", "livemode", "next_action",
        "payment_method", "payment_method_configuration_details", "payment_method_types",
        "processing", "receipt_email", "setup_future_usage", "shipping", "source", "status",
    ),
    "setup_intent": (
        "id", "object", "automatic_payment_methods", "cancellation_reason", "client_secret",
        "created", "description", "last_setup_error", "livemode", "next_action", "payment_method",
        "payment_method_configuration_details", "payment_method_types", "status", "usage",
    ),
}  # fmt: skip
# What only the merchant's server may say when it confirms.
SERVER_ONLY = ("off_session", "error_on_requires_action", "amount_details", "capture_method")


def load(call: Call, kind: str, intent_id: str, params: Json) -> Json:
    """The intent of the path. A client needs its secret. Raises StripeError 400 or 404."""
    given = params.get("client_secret")
    if call.is_publishable and not given:
        raise invalid_request(
            "Missing required param: client_secret.",
            code="parameter_missing",
            param="client_secret",
        )
    intent = call.load(kind, intent_id, noun=NOUNS[kind], param="intent")
    if given and not hmac.compare_digest(str(given).encode(), intent["client_secret"].encode()):
        raise invalid_request(
            "The client_secret provided does not match the client_secret associated with the "
            f"{NAMES[kind]}.",
            param="client_secret",
        )
    return intent


def shown(call: Call, intent: Json) -> Json:
    """With a publishable key Stripe shows only what a client needs."""
    if not call.is_publishable:
        return intent
    return {name: intent[name] for name in SHOWN[intent["object"]]}


def shown_in_error(call: Call, fields: Json) -> Json:
    """An error's fields; the intent in it is shown like any other."""
    return {name: shown(call, found) if name in SHOWN else found for name, found in fields.items()}


def check_confirm(call: Call, intent: Json, params: Json) -> None:
    """Raises StripeError 400 for what a client may not say.

    SDK: with a publishable key `setup_future_usage` can only go from on_session to off_session,
    once it is set.
    """
    if not call.is_publishable:
        return
    for name in SERVER_ONLY:
        if name in params:
            raise invalid_request(
                guesses.SERVER_ONLY_MESSAGE.format(name=name), code="parameter_unknown", param=name
            )
    usage, wanted = intent.get("setup_future_usage"), params.get("setup_future_usage")
    if usage and wanted not in (None, usage, "off_session"):
        raise invalid_request(guesses.CLIENT_USAGE_MESSAGE, param="setup_future_usage")
