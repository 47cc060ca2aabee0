"""Ephemeral keys: an hour's access to one customer, for the mobile SDKs' sheets.

The shape is that of answers pasted since 2019, which the mobile SDKs read: `associated_objects`
names the customer. A key is made for the version that the request names. What it may call is what
stripe-ios and stripe-android call with it: its customer and that customer's payment methods.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from stripesim import guesses
from stripesim.ids import ACCOUNT_ID
from stripesim.wire.errors import StripeError, invalid_request
from stripesim.wire.keys import masked, not_permitted
from stripesim.world import Call

Json = dict[str, Any]
KIND = "ephemeral_key"
LIFETIME_SECONDS = 3600  # recorded: expires - created
SECRET = "secret"  # noqa: S105  the field's name


def create(call: Call, params: Json) -> Json:
    """The only time that the secret is shown. Raises StripeError 400."""
    if not call.names_version:
        raise invalid_request(guesses.EPHEMERAL_KEY_VERSION_MESSAGE)
    if not params.get("customer"):
        raise invalid_request(guesses.EPHEMERAL_KEY_CUSTOMER_MESSAGE)
    customer = call.load_param("customer", params["customer"], noun="customer", param="customer")
    inner = base64.b64encode(f"{ACCOUNT_ID},{call.world.ids.text(24)}".encode()).decode()
    secret = f"ek_test_{inner.rstrip('=')}_00{call.world.ids.text(8)}"
    key = {
        "id": call.world.ids.timed("ephkey", call.now),
        "object": KIND,
        "associated_objects": [{"id": customer["id"], "type": "customer"}],
        "created": call.now,
        "expires": call.now + LIFETIME_SECONDS,
        "livemode": False,
        "_sim": {"digest": _digest(secret), "version": call.version, "customer": customer["id"]},
    }
    call.add(key)
    return {**key, SECRET: secret}


def delete(call: Call, params: Json, key_id: str) -> Json:
    """The key ends now."""
    del params
    key = call.load(KIND, key_id, noun="ephemeral key", param="key")
    key["expires"] = min(key["expires"], call.now)
    call.save(key)
    return key


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticate(call: Call, secret: str) -> None:
    """The call acts for the key's customer. Raises StripeError 401."""
    key = call.world.objects.by_reference(KIND, _digest(secret))
    if key is None:
        raise StripeError(401, f"Invalid API Key provided: {masked(secret)}")
    if key["expires"] <= call.now:
        message = guesses.EXPIRED_KEY_MESSAGE.format(key=masked(secret))
        raise StripeError(401, message, code="api_key_expired")
    call.customer = key["_sim"]["customer"]
    call.version = key["_sim"]["version"]


def authorize(call: Call, route: str, ids: list[str], params: Json, secret: str) -> None:
    """Raises StripeError 403 for anything but its customer and that customer's methods."""
    check = PERMITTED.get(route)
    if check is None or not check(call, ids, params):
        raise not_permitted(secret, "more permissions")


def _names_customer(call: Call, ids: list[str], params: Json) -> bool:
    del params
    return ids[0] == call.customer


def _asks_for_customer(call: Call, ids: list[str], params: Json) -> bool:
    del ids
    return params.get("customer") == call.customer


def _names_own_method(call: Call, ids: list[str], params: Json) -> bool:
    del params
    method = call.world.objects.get("payment_method", ids[0])
    return method is None or method["customer"] == call.customer


def _attaches_to_customer(call: Call, ids: list[str], params: Json) -> bool:
    """Of `pm_card_…` it is recorded that a key may not attach it (stripe/stripe-android#1155)."""
    is_made = ids[0].startswith("pm_1")
    return is_made and _asks_for_customer(call, ids, params)


def _confirms_with_own_method(call: Call, ids: list[str], params: Json) -> bool:
    named = params.get("payment_method")
    return not named or _names_own_method(call, [str(named), *ids], params)


PERMITTED: dict[str, Callable[[Call, list[str], Json], bool]] = {
    "GET /v1/customers/{id}": _names_customer,
    "POST /v1/customers/{id}": _names_customer,
    "GET /v1/customers/{id}/payment_methods": _names_customer,
    "GET /v1/customers/{id}/payment_methods/{id}": _names_customer,
    "GET /v1/customers/{id}/sources": _names_customer,
    "POST /v1/customers/{id}/sources": _names_customer,
    "DELETE /v1/customers/{id}/sources/{id}": _names_customer,
    "GET /v1/payment_methods": _asks_for_customer,
    "GET /v1/payment_methods/{id}": _names_own_method,
    "POST /v1/payment_methods/{id}": _names_own_method,
    "POST /v1/payment_methods/{id}/attach": _attaches_to_customer,
    "POST /v1/payment_methods/{id}/detach": _names_own_method,
    "POST /v1/confirmation_tokens": _confirms_with_own_method,
}
