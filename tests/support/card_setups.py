"""The app's way to save a card without paying: our route, then Stripe's SDK with what it gave."""

from typing import Any
from urllib.parse import urlencode

import requests

from support.envelope import assert_success
from support.service import Running

SETUP = "/api/mobile-app/payments/setup"
CREATE_CALL = ("POST", "/v1/setup_intents")
LOOK_CALL = ("GET", "/v1/setup_intents/:id")
CREATE = {"method": "POST", "path": "/v1/setup_intents"}
LOOK = {"method": "GET", "path": "/v1/setup_intents/*"}
CANCEL = {"method": "POST", "path": "/v1/setup_intents/*/cancel"}


def ask(service: Running, user: str = "alice", **body: Any) -> requests.Response:
    return service.call("POST", SETUP, body, user=user)


def begun(service: Running, user: str = "alice", **body: Any) -> dict[str, Any]:
    """What the app's SDK is given."""
    data: dict[str, Any] = assert_success(ask(service, user, **body))
    return data


def client_confirms(service: Running, setup: dict[str, Any], card: str) -> dict[str, Any]:
    """`Stripe.confirmSetupIntent` of the app: Stripe's answer, an error's `error` among them."""
    form = {"client_secret": setup["clientSecret"], "payment_method": card}
    answer = requests.post(
        f"{service.simulator.url}/v1/setup_intents/{setup['setupIntentId']}/confirm",
        data=urlencode(form),
        headers={
            "Authorization": f"Bearer {setup['publishableKey']}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        timeout=10,
    )
    found: dict[str, Any] = answer.json()
    return found


def card_set_up(service: Running, number: str, user: str = "alice", **body: Any) -> str:
    """A card that the app has just saved without paying; nobody of us has looked yet."""
    card: str = service.simulator.create_card(number)
    assert client_confirms(service, begun(service, user, **body), card)["status"] == "succeeded"
    return card


def setup_rows(service: Running) -> list[dict[str, Any]]:
    """Our books, oldest first."""
    return service.rows("SELECT * FROM setups ORDER BY created_at, id")


def statuses(service: Running) -> list[str]:
    """Of every SetupIntent at Stripe, oldest first."""
    listed = service.stripe("GET", "/v1/setup_intents?limit=100")["data"]
    return [intent["status"] for intent in reversed(listed)]
