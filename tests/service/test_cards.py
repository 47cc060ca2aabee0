"""Every test card of Stripe's table, entered on the phone and by its alias, through the service.

The table is that of docs.stripe.com/testing and docs.stripe.com/declines/codes, written down here
by hand: the simulator has its own.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stripesim.testing import ControlError, SimulatorThread
from support.envelope import assert_error, assert_requires_action, assert_success
from support.service import GOOD, Running, running_service

DECLINED = "Your card was declined."
RETRY, OTHER = "retry", "use_other_method"


@dataclass(frozen=True)
class Declining:
    number: str
    aliases: tuple[str, ...]
    decline_code: str
    message: str
    next_step: str


DECLINING = [
    Declining(
        "4000000000000002",
        ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclined"),
        "generic_decline",
        DECLINED,
        RETRY,
    ),
    Declining(
        "4000000000009995",
        ("pm_card_visa_chargeDeclinedInsufficientFunds",),
        "insufficient_funds",
        "Your card has insufficient funds.",
        RETRY,
    ),
    Declining(
        "4000000000009987", ("pm_card_visa_chargeDeclinedLostCard",), "lost_card", DECLINED, OTHER
    ),
    Declining(
        "4000000000009979",
        ("pm_card_visa_chargeDeclinedStolenCard",),
        "stolen_card",
        DECLINED,
        OTHER,
    ),
    Declining(
        "4000000000000069",
        ("pm_card_chargeDeclinedExpiredCard",),
        "expired_card",
        "Your card has expired.",
        OTHER,
    ),
    Declining(
        "4000000000000127",
        ("pm_card_chargeDeclinedIncorrectCvc",),
        "incorrect_cvc",
        "Your card's security code is incorrect.",
        OTHER,
    ),
    Declining(
        "4000000000000119",
        ("pm_card_chargeDeclinedProcessingError",),
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        RETRY,
    ),
    Declining(
        "4000000000006975",
        ("pm_card_visa_chargeDeclinedVelocityLimitExceeded",),
        "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too frequently or exceeding its"
        " amount limit.",
        RETRY,
    ),
    Declining(
        "4100000000000019", ("pm_card_chargeDeclinedFraudulent",), "fraudulent", DECLINED, OTHER
    ),
    Declining(
        "4000000000000341", ("pm_card_chargeCustomerFail",), "generic_decline", DECLINED, RETRY
    ),
]
PAYING = {
    "4242424242424242": "pm_card_visa",
    "4000056655665556": "pm_card_visa_debit",
    "5555555555554444": "pm_card_mastercard",
    "2223003122003222": None,
    "5200828282828210": None,
    "5105105105105100": None,
    "378282246310005": "pm_card_amex",
    "371449635398431": None,
    "6011111111111117": None,
    "6011000990139424": "pm_card_discover",
    "6011981111111113": None,
    "3056930009020004": "pm_card_diners",
    "36227206271667": None,
    "3566002020360505": "pm_card_jcb",
    "6200000000000005": "pm_card_unionpay",
    "6200000000000047": None,
    "6205500000000000004": None,
    # 3-D Secure is only done when it is asked for
    "4000000000003055": "pm_card_threeDSecureOptional",
    "4000000000003097": None,
    # checks, risk and money that is there at once change nothing for the payer
    "4000000000000101": "pm_card_cvcCheckFail",
    "4000000000009235": None,
    "4000000000000077": "pm_card_bypassPending",
    # what happens to the money later
    "4000000000000259": "pm_card_createDispute",
    "4000000000007726": None,
    "4000000000005126": None,
}
CHALLENGING = {
    "4000002760003184": "pm_card_authenticationRequired",
    "4000002500003155": "pm_card_authenticationRequiredOnSetup",
    "4000003800000446": "pm_card_authenticationRequiredSetupForOffSession",
    "4000000000003220": "pm_card_threeDSecure2Required",
    "4000000000003063": "pm_card_threeDSecureRequired",
}
DECLINED_AFTERWARDS = {
    "4000008260003178": ("insufficient_funds", "Your card has insufficient funds."),
    "4000008400001629": ("generic_decline", DECLINED),
}


# --- one service for all cards -------------------------------------------------------------------


NO_LIMITS = {
    "declines_per_user_and_hour": 100_000,
    "declines_per_address_and_hour": 100_000,
    "cards_per_user_and_hour": 100_000,
    "cards_per_address_and_hour": 100_000,
    "cards_without_delay": 100_000,
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@contextmanager
def serving(url: str, simulator: Any) -> Iterator[Running]:
    with running_service(url, simulator, **NO_LIMITS) as service:
        yield service


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(
    request: pytest.FixtureRequest, simulator: SimulatorThread, tmp_path_factory: Any
) -> Iterator[Running]:
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_sqlite_template")
        path = tmp_path_factory.mktemp("cards") / "paidonce.db"
        shutil.copyfile(template, path)
        with serving(f"sqlite:///{path}", simulator) as service:
            yield service
        return
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(request.getfixturevalue("_postgres_template"))
    with serving(server.url(name), simulator) as service:
        yield service
    server.drop_database(name)


@pytest.fixture
def service(shared: Running) -> Iterator[Running]:
    """After every test: nothing the simulator ever charged was charged twice."""
    yield shared
    groups = shared.simulator.audit(group_by="order_id")["groups"]
    assert [group for group in groups if group["succeeded_charges"] > 1] == []


def ids(cards: list[Declining]) -> list[str]:
    return [f"{card.number[-4:]}-{card.decline_code}" for card in cards]


def entered(service: Running, number: str, alias: str | None) -> list[str]:
    """The card as the phone enters it, and its alias where there is one."""
    return [service.simulator.create_card(number), *([alias] if alias else [])]


# --- declines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", DECLINING, ids=ids(DECLINING))
def test_a_declining_card_is_told_in_stripes_words_and_another_card_pays(
    service: Running, card: Declining
) -> None:
    user = f"user-{card.number[-4:]}"
    for method in (service.simulator.create_card(card.number), *card.aliases):
        order_id = service.order(user)
        for _ in range(2):
            answer = service.pay(order_id, method, user=user)
            body = assert_error(answer, 402, "card_declined", card.next_step)
            assert body["message"] == "Payment failed"
            assert body["errors"] == [card.message]
            assert body["declineCode"] == card.decline_code
        assert service.charges(order_id) == 0
        assert service.order_view(order_id, user)["paymentStatus"] == "failed"
        assert service.payment(order_id, user)["lastError"] == card.message
        good = service.simulator.create_card(GOOD)
        assert_success(service.pay(order_id, good, user=user))
        assert service.charges(order_id) == 1
        assert service.order_view(order_id, user)["paymentStatus"] == "paid"


def test_a_number_with_a_wrong_check_digit_never_becomes_a_method(service: Running) -> None:
    with pytest.raises(ControlError, match=r"402.*incorrect_number"):
        service.simulator.create_card("4242424242424241")


# --- cards that pay ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", PAYING)
def test_a_good_card_of_every_brand_pays(service: Running, number: str) -> None:
    for method in entered(service, number, PAYING[number]):
        order_id = service.order()
        assert_success(service.pay(order_id, method), "Payment processed successfully")
        assert service.charges(order_id) == 1


# --- 3-D Secure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", CHALLENGING)
def test_a_card_with_3ds_pays_after_the_authentication(service: Running, number: str) -> None:
    for method in entered(service, number, CHALLENGING[number]):
        order_id = service.order()
        action = assert_requires_action(service.pay(order_id, method))
        assert service.charges(order_id) == 0
        service.simulator.authenticate(action["paymentIntentId"], "success")
        data = assert_success(service.confirm(order_id))
        assert data["paymentId"] == action["paymentId"]
        assert service.charges(order_id) == 1


@pytest.mark.parametrize("number", CHALLENGING)
def test_a_failed_authentication_charges_nothing_and_another_card_pays(
    service: Running, number: str
) -> None:
    order_id = service.order()
    action = assert_requires_action(service.pay(order_id, service.simulator.create_card(number)))
    service.simulator.authenticate(action["paymentIntentId"], "fail")
    assert_error(service.confirm(order_id), 402, "authentication_failed", "retry")
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD)))
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("number", DECLINED_AFTERWARDS)
def test_a_card_declined_after_its_authentication_is_told_as_a_decline(
    service: Running, number: str
) -> None:
    decline_code, message = DECLINED_AFTERWARDS[number]
    user = f"user-{number[-4:]}"
    order_id = service.order(user)
    card = service.simulator.create_card(number)
    action = assert_requires_action(service.pay(order_id, card, user=user))
    service.simulator.authenticate(action["paymentIntentId"], "success")
    for _ in range(2):
        answer = service.confirm(order_id, user=user)
        body = assert_error(answer, 402, "card_declined", "retry")
        assert (body["declineCode"], body["errors"]) == (decline_code, [message])
    assert service.charges(order_id) == 0
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD), user=user))
    assert service.charges(order_id) == 1


def test_a_card_whose_3ds_lookup_fails_is_declined_at_once(service: Running) -> None:
    order_id = service.order("lookup")
    card = service.simulator.create_card("4000008400001280")
    assert_error(service.pay(order_id, card, user="lookup"), 402, "card_declined")
    assert_success(service.pay(order_id, service.simulator.create_card(GOOD), user="lookup"))
    assert service.charges(order_id) == 1


@pytest.mark.parametrize("number", ["4000002500003155", "4000003800000446", "4000002760003184"])
def test_a_card_kept_from_an_earlier_payment_asks_again_while_its_user_is_there(
    service: Running, number: str
) -> None:
    card = service.simulator.create_card(number)
    for _ in range(2):
        order_id = service.order()
        action = assert_requires_action(service.pay(order_id, card, save=True))
        service.simulator.authenticate(action["paymentIntentId"], "success")
        assert_success(service.confirm(order_id))
        assert service.charges(order_id) == 1
