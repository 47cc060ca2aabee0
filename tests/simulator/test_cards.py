"""Every test card of the table, with the exact fields of its decline."""

import pytest

DECLINED = "Your card was declined."
DECLINES = [
    ("4000000000000002", "card_declined", "generic_decline", None, "try_again_later", DECLINED),
    ("4000000000009995", "card_declined", "insufficient_funds", None, "try_again_later",
     "Your card has insufficient funds."),
    ("4000000000009987", "card_declined", "lost_card", None, "do_not_try_again", DECLINED),
    ("4000000000009979", "card_declined", "stolen_card", None, "do_not_try_again", DECLINED),
    ("4000000000000069", "expired_card", "expired_card", "exp_month", "confirm_card_data",
     "Your card has expired."),
    ("4000000000000127", "incorrect_cvc", "incorrect_cvc", "cvc", "confirm_card_data",
     "Your card's security code is incorrect."),
    ("4000000000000119", "processing_error", "processing_error", None, "try_again_later",
     "An error occurred while processing your card. Try again in a little bit."),
    ("4000000000006975", "card_declined", "card_velocity_exceeded", None, "try_again_later",
     "Your card was declined for making repeated attempts too frequently or exceeding its amount "
     "limit."),
    ("4100000000000019", "card_declined", "fraudulent", None, None, DECLINED),
]  # fmt: skip
ALIASES = {
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "lost_card",
    "pm_card_visa_chargeDeclinedStolenCard": "stolen_card",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
    "pm_card_chargeDeclinedProcessingError": "processing_error",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "card_velocity_exceeded",
    "pm_card_chargeDeclinedFraudulent": "fraudulent",
    "pm_card_chargeCustomerFail": "generic_decline",
}
GOOD = [
    ("4242424242424242", "visa", "credit"),
    ("4000056655665556", "visa", "debit"),
    ("5555555555554444", "mastercard", "credit"),
    ("2223003122003222", "mastercard", "credit"),
    ("5200828282828210", "mastercard", "debit"),
    ("5105105105105100", "mastercard", "prepaid"),
    ("378282246310005", "amex", "credit"),
    ("371449635398431", "amex", "credit"),
    ("6011111111111117", "discover", "credit"),
    ("6011000990139424", "discover", "credit"),
    ("6011981111111113", "discover", "debit"),
    ("3056930009020004", "diners", "credit"),
    ("36227206271667", "diners", "credit"),
    ("3566002020360505", "jcb", "credit"),
    ("6200000000000005", "unionpay", "credit"),
    ("6200000000000047", "unionpay", "debit"),
    ("6205500000000000004", "unionpay", "credit"),
]


@pytest.mark.parametrize(("number", "code", "decline_code", "param", "advice", "text"), DECLINES)
def test_a_declining_card_says_exactly_why(wire, number, code, decline_code, param, advice, text):
    status, error = wire.pay_error(payment_method=wire.card(number))
    assert (status, error["type"]) == (402, "card_error")
    found = (error["code"], error["decline_code"], error.get("param"), error.get("advice_code"))
    assert found == (code, decline_code, param, advice)
    assert error["message"] == text
    status, attach = wire.error(
        f"/v1/payment_methods/{wire.card(number)}/attach", {"customer": wire.customer()}
    )
    assert (status, attach["code"], attach["decline_code"]) == (402, code, decline_code)
    assert attach["param"] == (param or "")


@pytest.mark.parametrize(("alias", "decline_code"), ALIASES.items())
def test_a_declining_factory_declines_the_same_way(wire, alias, decline_code):
    status, error = wire.pay_error(payment_method=alias)
    assert (status, error["decline_code"]) == (402, decline_code)


@pytest.mark.parametrize(("number", "brand", "funding"), GOOD)
def test_a_good_card_pays_and_shows_its_brand(wire, number, brand, funding):
    card = wire.card(number, cvc="1234" if brand == "amex" else "123")
    shown = wire.get(f"/v1/payment_methods/{card}").json()["card"]
    assert (shown["brand"], shown["funding"], shown["last4"]) == (brand, funding, number[-4:])
    assert wire.pay(payment_method=card)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("alias", "last4"),
    [
        ("visa", "4242"), ("visa_debit", "5556"), ("mastercard", "4444"), ("amex", "0005"),
        ("mastercard_debit", "8210"), ("mastercard_prepaid", "5100"), ("discover", "9424"),
        ("diners", "0004"), ("jcb", "0505"), ("unionpay", "0005"),
        ("authenticationRequired", "3184"),
    ],
)  # fmt: skip
def test_a_factory_makes_its_card(wire, alias, last4):
    made = wire.ok(f"/v1/payment_methods/pm_card_{alias}/attach", {"customer": wire.customer()})
    assert made["card"]["last4"] == last4


def test_customer_fail_attaches_and_then_declines_every_charge(wire):
    customer, card = wire.saved_card("4000000000000341")
    status, error = wire.pay_error(customer=customer, payment_method=card)
    assert (status, error["decline_code"]) == (402, "generic_decline")


@pytest.mark.parametrize(
    ("number", "level"),
    [("4000000000004954", "highest"), ("4000000000009235", "elevated")],
)
def test_risk_cards_show_their_level(wire, number, level):
    paid = wire.pay(payment_method=wire.card(number), **{"expand[]": "latest_charge"})
    assert paid["latest_charge"]["outcome"]["risk_level"] == level


def test_check_cards_fail_their_checks(wire):
    card = wire.card("4000000000000101")
    wire.pay(payment_method=card)
    assert wire.get(f"/v1/payment_methods/{card}").json()["card"]["checks"]["cvc_check"] == "fail"


def test_bypass_pending_is_available_at_once(wire):
    paid = wire.pay(
        payment_method=wire.card("4000000000000077"),
        **{"expand[]": "latest_charge.balance_transaction"},
    )
    assert paid["latest_charge"]["balance_transaction"]["status"] == "available"


@pytest.mark.parametrize(
    ("number", "status", "refundable"),
    [
        ("4000000000000259", "needs_response", False),
        ("4000000000002685", "needs_response", False),
        ("4000000000001976", "warning_needs_response", True),
    ],
)
def test_dispute_cards_open_a_dispute_with_the_payment(wire, number, status, refundable):
    paid = wire.pay(payment_method=wire.card(number))
    found = wire.get("/v1/disputes", {"payment_intent": paid["id"]}).json()["data"]
    assert [(d["status"], d["is_charge_refundable"]) for d in found] == [(status, refundable)]
    types = wire.event_types()
    order = ["charge.succeeded", "charge.dispute.created", "payment_intent.succeeded"]
    assert [t for t in types if t in order] == order


@pytest.mark.parametrize(
    ("text", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")]
)
def test_a_disputes_evidence_decides_it(wire, text, status):
    wire.pay(payment_method=wire.card("4000000000000259"))
    dispute = wire.get("/v1/disputes").json()["data"][0]
    done = wire.ok(f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": text})
    assert done["status"] == status
    assert "charge.dispute.closed" in wire.event_types()


def test_a_disputed_charge_cannot_be_refunded_and_can_be_given_up(wire):
    paid = wire.pay(payment_method=wire.card("4000000000000259"))
    status, _ = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert status == 400
    dispute = wire.get("/v1/disputes").json()["data"][0]
    assert wire.ok(f"/v1/disputes/{dispute['id']}/close")["status"] == "lost"
