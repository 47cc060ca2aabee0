"""A phone with Stripe's payment sheet: it talks to Stripe with the publishable key and the client
secret that the service gave it, as the mobile SDKs do."""

from dataclasses import dataclass
from typing import Any

import requests

from support.envelope import assert_success
from support.service import GOOD, Running


def sheet_path(order_id: str) -> str:
    return f"/api/mobile-app/orders/{order_id}/payment-sheet"


def ask_sheet(
    service: Running, order_id: str, version: str | None = None, **call: Any
) -> requests.Response:
    body = {} if version is None else {"stripeVersion": version}
    return service.call("POST", sheet_path(order_id), body, **call)


@dataclass
class Sheet:
    """An opened sheet, and what its phone can do with it at any time."""

    service: Running
    order_id: str
    data: dict[str, Any]

    @property
    def intent_id(self) -> str:
        return str(self.data["paymentIntentId"])

    def confirm(
        self, number: str = GOOD, *, method: str | None = None, is_saving: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """The button: a card as it is entered, or one that the sheet showed. The box below it is
        said either way, as stripe-ios says it (`STPConfirmPaymentMethodOptions`)."""
        if method is None:
            redisplay = {"allow_redisplay": "always"} if is_saving else {}
            method = self.service.simulator.create_card(number, **redisplay)
        usage = "off_session" if is_saving else ""
        form = {
            "client_secret": self.data["paymentIntentClientSecret"],
            "payment_method": method,
            "payment_method_options[card][setup_future_usage]": usage,
            "use_stripe_sdk": "true",
        }
        answer = requests.post(
            f"{self.service.simulator.url}/v1/payment_intents/{self.intent_id}/confirm",
            data=form,
            headers={"Authorization": f"Bearer {self.data['publishableKey']}"},
            timeout=10,
        )
        return answer.status_code, answer.json()


def open_sheet(service: Running, order_id: str, version: str | None = None) -> Sheet:
    return Sheet(service, order_id, assert_success(ask_sheet(service, order_id, version)))
