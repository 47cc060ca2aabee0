"""Parameters that the SDK's types do not name: of older integrations (direct charges, cards of
customers, names since given up) and of clients.

The tree nodes are those of `params.json`; what stands there, from the SDK's types of today, comes
first.
"""

from typing import Any

Json = dict[str, Any]
EXPAND = {"array": "string"}
CARD: Json = dict.fromkeys(
    (
        "address_city", "address_country", "address_line1", "address_line2", "address_state",
        "address_zip", "exp_month", "exp_year", "metadata", "name",
    ),
    "any",
)  # fmt: skip
REFUND: Json = {
    "fields": {
        "amount": "integer",
        "expand": EXPAND,
        "metadata": "map",
        "reason": {"enum": ["duplicate", "fraudulent", "requested_by_customer"]},
        "refund_application_fee": "boolean",
        "reverse_transfer": "boolean",
    }
}
CHARGE_UPDATE: Json = {
    "customer": "string",
    "description": "string",
    "expand": EXPAND,
    "fraud_details": {"fields": {"user_report": {"enum": ["fraudulent", "safe"]}}},
    "metadata": "map",
    "receipt_email": "string",
    "shipping": "any",
    "transfer_group": "string",
}
CARD_CALLS: tuple[tuple[str, str, Json], ...] = (
    ("POST", "", {"card": "any", "expand": EXPAND, "metadata": "map", "source": "any"}),
    ("GET", "/{id}", {"expand": EXPAND}),
    ("POST", "/{id}", {**CARD, "expand": EXPAND, "metadata": "map"}),
    ("DELETE", "/{id}", {"expand": EXPAND}),
)
ENDPOINTS: dict[str, Json] = {
    "POST /v1/charges": {
        "fields": {
            **CHARGE_UPDATE,
            "amount": "integer",
            "application_fee": "integer",
            "application_fee_amount": "integer",
            "capture": "boolean",
            "card": "any",
            "currency": "string",
            "destination": "any",
            "on_behalf_of": "string",
            "payment_method": "string",
            "radar_options": "any",
            "source": "any",
            "statement_descriptor": "string",
            "statement_descriptor_suffix": "string",
            "transfer_data": "any",
        },
        "required": ["amount", "currency"],
    },
    "POST /v1/charges/{id}": {"fields": CHARGE_UPDATE},
    "POST /v1/charges/{id}/capture": {
        "fields": {
            "amount": "integer",
            "application_fee": "integer",
            "application_fee_amount": "integer",
            "expand": EXPAND,
            "receipt_email": "string",
            "statement_descriptor": "string",
            "statement_descriptor_suffix": "string",
            "transfer_data": "any",
            "transfer_group": "string",
        }
    },
    "POST /v1/charges/{id}/refund": REFUND,
    "POST /v1/charges/{id}/refunds": REFUND,
    **{
        f"{method} /v1/customers/{{id}}/{folder}{tail}": {"fields": fields}
        for folder in ("sources", "cards")  # two names of one thing
        for method, tail, fields in CARD_CALLS
    },
}
# Older addresses that take what newer ones take.
ALIASES = {
    "POST /v1/charges/{id}/refunds/{id}": "POST /v1/refunds/{id}",
    "GET /v1/charges/{id}/dispute": "GET /v1/disputes/{id}",
    "POST /v1/charges/{id}/dispute": "POST /v1/disputes/{id}",
    "POST /v1/charges/{id}/dispute/close": "POST /v1/disputes/{id}/close",
}
# Endpoints that clients call too: they leave the address to Stripe (`infer_from_client`).
OF_CLIENTS = (
    "POST /v1/confirmation_tokens",
    "POST /v1/payment_intents/{id}/confirm",
    "POST /v1/setup_intents/{id}/confirm",
)
MANDATE_DATA: Json = {
    "fields": {
        "customer_acceptance": {
            "fields": {
                "accepted_at": "integer",
                "offline": {"fields": {}},
                "online": {
                    "fields": {
                        "infer_from_client": "boolean",
                        "ip_address": "string",
                        "user_agent": "string",
                    }
                },
                "type": {"enum": ["offline", "online"]},
            },
            "required": ["type"],
        }
    },
    "required": ["customer_acceptance"],
}
# Further parameters of endpoints that the SDK's types name.
FURTHER: dict[str, Json] = {
    "POST /v1/customers": {"card": "any", "source": "any"},
    "POST /v1/customers/{id}": {"card": "any", "default_source": "string", "source": "any"},
    "POST /v1/setup_intents": {"usage": "string"},  # probed: any text is taken
    "POST /v1/setup_intents/{id}": {"usage": "string"},
    "POST /v1/payment_intents": {"save_payment_method": "boolean"},
    "POST /v1/payment_intents/{id}": {"save_payment_method": "boolean"},
    "POST /v1/payment_intents/{id}/confirm": {"save_payment_method": "boolean"},
}
