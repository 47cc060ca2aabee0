"""What lets Stripe's payment sheet see a customer: secrets that are shown once, and belong to the
customer who was asked for or to nobody."""

from collections.abc import Mapping
from typing import Any

from paidonce.domain.intent import Failure
from paidonce.gateway.client import Keyed, StripeGateway
from paidonce.gateway.contradictions import contradiction


async def create_customer_session(
    gateway: StripeGateway, request: Keyed, time_left: float
) -> str | Failure:
    """POST /v1/customer_sessions; its client secret."""
    path = "/v1/customer_sessions"
    told = await gateway.write("customer_session", path, request, time_left, _session)
    return _secret("customer_session", request, told)


async def create_ephemeral_key(
    gateway: StripeGateway, request: Keyed, time_left: float
) -> str | Failure:
    """POST /v1/ephemeral_keys for the version of `request`; its secret."""
    path = "/v1/ephemeral_keys"
    told = await gateway.write("ephemeral_key", path, request, time_left, _key)
    return _secret("ephemeral_key", request, told)


def _session(data: Mapping[str, Any]) -> tuple[set[str], str]:
    return {str(data["customer"])}, str(data["client_secret"])


def _key(data: Mapping[str, Any]) -> tuple[set[str], str]:
    """The mobile SDKs read the customer from `associated_objects`, which no type of the SDK here
    has; where it is missing there is nothing to compare."""
    associated = data.get("associated_objects") or []
    return {str(each["id"]) for each in associated}, str(data["secret"])


def _secret(kind: str, request: Keyed, told: tuple[set[str], str] | Failure) -> str | Failure:
    if isinstance(told, Failure):
        return told
    owners, secret = told
    return secret if owners <= {request.params["customer"]} else contradiction(kind, "customer")
