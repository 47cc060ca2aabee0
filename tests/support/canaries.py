"""Canaries: values that can be known again, one for each setting, header and field, and where they
were found. What is planted is made from the tables of the code: a new setting, header or field has
to be entered here, which a test demands."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, get_origin

from paidonce.settings import Settings
from support.remains import spellings


@dataclass
class Canaries:
    """`planted`: what each one stands for. `mark`: what these begin with, and no others: as long as
    the shortest piece that counts as a leak."""

    planted: list[str] = field(default_factory=list)
    mark: str = field(default_factory=lambda: f"Qz7{token_hex(4)}W")

    def __call__(self, place: str) -> str:
        """24 characters, letters and digits."""
        self.planted.append(place)
        return f"{self.mark}{len(self.planted) - 1:04d}kLmNoPqR"

    def find(self, held: bytes | str) -> set[str]:
        """The places' names of those that stand in it, and whether a cut or encoded one does."""
        raw = held if isinstance(held, bytes) else held.encode()
        known = re.compile(self.mark.encode() + rb"(\d{4})?")
        found = {
            self.planted[int(match[1])] if match[1] else "one that is cut"
            for match in known.finditer(raw)
        }
        others = (each for each in spellings(self.mark).items() if each[0] != "as it is")
        return found | {f"one {spelling}" for spelling, pattern in others if pattern in raw}


# --- settings ------------------------------------------------------------------------------------

SECRET_SETTINGS: dict[str, Callable[[str], str]] = {
    "stripe_secret_key": lambda canary: f"sk_test_{canary}",
    "stripe_webhook_secret": lambda canary: f"whsec_{canary}",
    "auth_jwt_secret": lambda canary: f"{canary} of 32 bytes",
    "merchant_api_key": lambda canary: canary,
    "event_secrets": lambda canary: f"whsec_{base64.b64encode(canary.encode()).decode()}",
}
"""By name, a value with the canary in it that the service can run with."""
ADDRESSES: dict[str, Callable[[str], str]] = {
    "database_url": lambda canary: f"postgresql://paidonce:{canary}@127.0.0.1:9/paidonce",
    "auth_jwks_url": lambda canary: f"http://paidonce:{canary}@127.0.0.1:9/keys?token={canary}",
    "stripe_api_base": lambda canary: f"http://paidonce:{canary}@127.0.0.1:9",
    "event_endpoints": lambda canary: f"http://127.0.0.1:9/{canary}?token={canary}",
}
"""Addresses that may hold a password; nobody answers there."""
NO_SECRET = {
    "stripe_publishable_key": "made to be published",
    "payment_return_url": "the app's, and sent to Stripe",
    "users_table": "a name",
    "users_id_column": "a name",
    "users_email_column": "a name",
    "auth_audience": "stands in every token",
    "auth_issuer": "stands in every token",
    "payment_method_types": "words of Stripe",
    "trusted_proxies": "networks",
    "worker_host": "an address of this machine",
}


def text_settings() -> set[str]:
    """The settings that can hold a text of somebody's."""
    return {
        name
        for name, each in Settings.model_fields.items()
        if each.annotation not in (int, float, bool) and get_origin(each.annotation) is None
    }


# --- requests ------------------------------------------------------------------------------------

READ_HEADERS = {"authorization", "idempotency-key", "x-device-id", "content-type"} | {
    "stripe-signature", "x-forwarded-for", "content-length",
}  # fmt: skip
"""Those that the service reads, as its source says."""
OTHER_HEADERS = ("User-Agent", "Cookie", "X-Request-Id", "Referer", "From", "X-Api-Key", "Origin")
KEPT = {
    "/api/mobile-app/orders": {
        "shippingAddress", "billingAddress", "paymentMethod", "notes", "items", "productId",
    },
    "/api/products": {"productId", "name"},
    "/api/orders": {"userId", "email", "orderNumber", "metadata", "key"},
    "/api/mobile-app/orders/{orderId}/pay": {
        "paymentMethodId", "paymentToken", "stripePaymentMethodId", "confirmationToken",
        "paymentMethod",
    },
}  # fmt: skip
"""Fields by path that the database is there to keep. A PaymentMethod's id stands in its attempt
before Stripe is asked about it."""


def is_kept(path: str, place: tuple[Any, ...]) -> bool:
    return any(name in KEPT.get(path, ()) for name in place)
