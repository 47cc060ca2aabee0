"""I2 and I8: whatever was charged is recorded without its client and without webhooks, within 60
seconds of the service's clock; with a webhook at once."""

import urllib.request
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from support.service import GOOD, NEEDS_3DS, Running, StartService

WITHOUT_WEBHOOKS_SECONDS = 60
ROUND_SECONDS = 5
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
ANY_LOOK = {"method": "GET", "path": "/v1/payment_intents/*"}


def seconds_until_paid(service: Running, order_id: str) -> int:
    """The worker's rounds, with the clock moved between them, until our books say paid."""
    for seconds in range(0, 10 * WITHOUT_WEBHOOKS_SECONDS, ROUND_SECONDS):
        service.work()
        if service.order_view(order_id)["status"] == "paid":
            return seconds
        service.clock.added += ROUND_SECONDS
    return 10 * WITHOUT_WEBHOOKS_SECONDS


def all_answers_lost(service: Running) -> str:
    """The confirm is executed, and nothing that Stripe says comes back while its payer waits."""
    order_id = service.order()
    for match in (CONFIRM, ANY_LOOK):
        service.simulator.add_fault(match=match, kind="drop_response")
    answer = service.pay(order_id, service.simulator.create_card(GOOD))
    assert answer.json()["code"] == "payment_processing"
    service.simulator.clear_faults()
    return order_id


def challenge_passed_late(service: Running) -> str:
    """The card holder answers the challenge after ten minutes, and the app never comes back."""
    order_id = service.order()
    answer = service.pay(order_id, service.simulator.create_card(NEEDS_3DS))
    assert answer.json()["status"] == "requires_action"
    for _ in range(20):
        service.recover(30)
    service.simulator.authenticate(service.intent_of(order_id), "success")
    return order_id


def confirmed_by_the_app(service: Running) -> str:
    """The app confirms by itself with the client secret it was given, with another card."""
    order_id = service.order()
    answer = service.pay(order_id, service.simulator.create_card(NEEDS_3DS))
    secret = answer.json()["data"]["clientSecret"]
    service.simulator.authenticate(service.intent_of(order_id), "fail")
    service.recover()
    form = {"client_secret": secret, "payment_method": service.simulator.create_card(GOOD)}
    request = urllib.request.Request(
        f"{service.simulator.url}/v1/payment_intents/{service.intent_of(order_id)}/confirm",
        data=urlencode(form).encode(),
        headers={"Authorization": f"Bearer {service.simulator.publishable_key}"},
    )
    with urllib.request.urlopen(request, timeout=20) as confirmed:
        assert confirmed.status == 200
    return order_id


@pytest.mark.parametrize("charge", [all_answers_lost, challenge_passed_late, confirmed_by_the_app])
def test_a_charge_that_nobody_reported_is_recorded_within_a_minute(
    start_service: StartService, charge: Callable[[Running], str]
) -> None:
    service = start_service()
    order_id = charge(service)
    assert service.charges(order_id) == 1
    assert service.order_view(order_id)["status"] == "pending"
    assert seconds_until_paid(service, order_id) <= WITHOUT_WEBHOOKS_SECONDS
