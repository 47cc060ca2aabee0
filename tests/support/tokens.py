"""ConfirmationTokens as the mobile SDKs make them: with the publishable key."""

from typing import Any

import requests

from support.service import GOOD, Running


def make_token(service: Running, number: str = GOOD, **fields: Any) -> str:
    """Of a card as it is entered, or of `payment_method=`."""
    form = {"return_url": "shop://return", **fields}
    if "payment_method" not in form:
        card = {"number": number, "exp_month": "12", "exp_year": "2034", "cvc": "123"}
        form |= {f"payment_method_data[card][{name}]": value for name, value in card.items()}
        form["payment_method_data[type]"] = "card"
    answer = requests.post(
        f"{service.simulator.url}/v1/confirmation_tokens",
        data=form,
        headers={"Authorization": f"Bearer {service.settings.stripe_publishable_key}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])
