"""Parameters that the SDK's types do not name: of older integrations (direct charges, cards of
customers, names since given up) and of clients.

The tree nodes are those of `params.json`; what stands there, from the SDK's types of today, comes
first.
"""

from typing import Any

Json = dict[str, Any]
EXPAND = {"array": "string"}
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
ENDPOINTS: dict[str, Json] = {
    **{
        f"POST /v1/{kind}/{{id}}/refresh": {"fields": {"client_secret": "string", "expand": EXPAND}}
        for kind in ("payment_intents", "setup_intents")
    },
    **{
        f"POST /v1/{kind}/{{id}}/source_cancel": {
            "fields": {"client_secret": "string", "expand": EXPAND, "source": "string"},
            "required": ["source"],
        }
        for kind in ("payment_intents", "setup_intents")
    },
    "POST /v1/charges/{id}/refund": REFUND,
    "POST /v1/charges/{id}/refunds": REFUND,
    **{
        f"POST /v1/customers/{{id}}/{folder}": {
            "fields": {"card": "any", "expand": EXPAND, "metadata": "map", "source": "any"}
        }
        for folder in ("sources", "cards")  # two names of one thing
    },
}
# Older addresses that take what newer ones take.
ALIASES = {
    "POST /v1/charges/{id}/refunds/{id}": "POST /v1/refunds/{id}",
    "GET /v1/charges/{id}/dispute": "GET /v1/disputes/{id}",
    "POST /v1/charges/{id}/dispute": "POST /v1/disputes/{id}",
    "POST /v1/charges/{id}/dispute/close": "POST /v1/disputes/{id}/close",
    **{
        f"{call}/cards/{{id}}": f"{call}/sources/{{id}}"
        for call in (f"{method} /v1/customers/{{id}}" for method in ("GET", "POST", "DELETE"))
    },
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
    "POST /v1/charges": {
        "card": "any",
        "destination": {"fields": {"account": "string", "amount": "integer"}, "loose": True},
        "payment_method": "string",
        "source": "any",
    },
    "POST /v1/customers": {"card": "any", "source": "any"},
    "POST /v1/customers/{id}": {"card": "any", "default_source": "string", "source": "any"},
    "POST /v1/setup_intents": {"usage": "string"},  # probed: any text is taken
    "POST /v1/setup_intents/{id}": {"usage": "string"},
    "POST /v1/payment_intents": {"save_payment_method": "boolean"},
    "POST /v1/payment_intents/{id}": {"save_payment_method": "boolean"},
    "POST /v1/payment_intents/{id}/confirm": {"save_payment_method": "boolean"},
}
# The SDK's types leave open what the API requires.
REQUIRED = {"POST /v1/charges": ["amount", "currency"]}
