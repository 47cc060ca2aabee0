"""The one account."""

from typing import Any

from stripesim.ids import ACCOUNT_ID
from stripesim.world import Call

Json = dict[str, Any]
CREATED = 1_700_000_000
DEFAULT_CURRENCY = "usd"


def retrieve(call: Call, params: Json) -> Json:
    del call, params
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_profile": {
            "mcc": "5734",
            "name": "stripesim",
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "created": CREATED,
        "default_currency": DEFAULT_CURRENCY,
        "details_submitted": True,
        "email": "account@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
            "card_payments": {
                "decline_on": {"avs_failure": False, "cvc_failure": False},
                "statement_descriptor_prefix": "STRIPESIM",
            },
            "dashboard": {"display_name": "stripesim", "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": "STRIPESIM"},
        },
        "type": "standard",
    }
