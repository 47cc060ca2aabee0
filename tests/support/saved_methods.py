"""The saved-card routes as a test asks for them, and what Stripe and our books say of a card."""

from typing import Any

import requests

from support.envelope import assert_success
from support.service import Running

METHODS = "/api/mobile-app/payments/methods"
MASTERCARD = "5555555555554444"
ATTACH_CALL = ("POST", "/v1/payment_methods/:id/attach")
DETACH_CALL = ("POST", "/v1/payment_methods/:id/detach")
ATTACH = {"method": "POST", "path": "/v1/payment_methods/*/attach"}
DETACH = {"method": "POST", "path": "/v1/payment_methods/*/detach"}


def save(service: Running, method_id: Any, *, user: str = "alice", **fields: Any) -> Any:
    """The answer of POST; `fields` go beside the id."""
    body = {"stripePaymentMethodId": method_id, **fields}
    return service.call("POST", METHODS, body, user=user)


def saved(service: Running, method_id: str, **options: Any) -> dict[str, Any]:
    """The saved method."""
    data: dict[str, Any] = assert_success(save(service, method_id, **options))
    return data


def listed(service: Running, user: str = "alice") -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = assert_success(service.call("GET", METHODS, user=user))
    return data


def listed_ids(service: Running, user: str = "alice") -> list[str]:
    """Stripe's ids, as listed."""
    return [item["stripePaymentMethodId"] for item in listed(service, user)]


def defaults(service: Running, user: str = "alice") -> list[str]:
    return [item["stripePaymentMethodId"] for item in listed(service, user) if item["isDefault"]]


def delete(service: Running, method_id: str, user: str = "alice") -> requests.Response:
    return service.call("DELETE", f"{METHODS}/{method_id}", user=user)


def make_default(service: Running, method_id: str, user: str = "alice") -> requests.Response:
    return service.call("PUT", f"{METHODS}/{method_id}/default", user=user)


def state_of(service: Running, method_id: str) -> str:
    """The state of a method's row."""
    (row,) = service.rows(
        "SELECT state FROM payment_methods WHERE stripe_payment_method_id = $1", method_id
    )
    return str(row["state"])


def at_stripe(service: Running, path: str, **form: str) -> dict[str, Any]:
    """Ask the simulator as Stripe's dashboard would: a GET, or a POST of the form."""
    answer = requests.request(
        "POST" if form or path.endswith("/detach") else "GET",
        f"{service.simulator.url}{path}",
        data=form or None,
        headers={"Authorization": f"Bearer {service.simulator.secret_key}"},
        timeout=10,
    )
    found: dict[str, Any] = answer.json()
    return found


def is_attached(service: Running, method_id: str) -> bool:
    """Stripe's word on it."""
    return at_stripe(service, f"/v1/payment_methods/{method_id}")["customer"] is not None
