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
# As docs.stripe.com/testing lists them: what `pm_card_` and `tok_` take, and the last four digits.
NAMES = """
us 4242  ar 0021  br 0002  ca 0000  cl 0001  co 0003  cr 0005  ec 0000  mx 8001  pa 0000  py 0066
pe 0068  uy 0003  ae 0001  ae_mastercard 0022  at 0008  be 0004  bg 0000  by 0005  hr 0009  cy 0008
cz 0002  dk 0001  ee 0009  fi 0001  fr 0003  de 0016  gi 0005  gr 0030  hu 0005  ie 0005  it 0008
lv 0005  li 0004  lt 0000  lu 0006  mt 0007  nl 0002  no 0007  pl 0005  pt 0007  ro 0001  si 0006
sk 0001  es 0007  se 0008  ch 0009  gb 0000  gb_debit 0005  gb_mastercard 4449  au 0006  cn 0002
hk 0004  in 0008  jp 0003  my 0002  nz 0008  sg 0003  tw 0008  th_credit 0003  th_debit 0008
visa 4242  visa_debit 5556  mastercard 4444  mastercard_debit 8210  mastercard_prepaid 5100
amex 0005  discover 9424  diners 0004  jcb 0505  unionpay 0005
visa_cartesBancaires 1001  mastercard_cartesBancaires 1001  visa_debit_eftposAuCoBranded 0001
mastercard_debit_eftposAuCoBranded 0080  debit_visaFsaProductCode 0072
debit_visaHsaProductCode 0072  mastercard_debit_mastercardFsaProductCode 8897
riskLevelHighest 4954  riskLevelElevated 9235  highFraudDisputeScore 0407  highEfwScore 0159
radarDynamicRiskThreshold 1017  adaptive3dsChallenge 0003  cvcCheckFail 0101  avsZipFail 0036
cvcCheckFailElevatedRisk 7872  avsZipFailElevatedRisk 6072  avsLine1Fail 0028  avsFail 0010
avsUnchecked 0044  createDispute 0259  visa_createDispute 0259
createDisputeProductNotReceived 2685  createDisputeInquiry 1976  createIssuerFraudRecord 5423
createMultipleDisputes 0079  createCe3EligibleDispute 0038  createComplianceDispute 0779
createMastercardComplianceDispute 0002  createAutoRepresentmentEligibleDispute 0043
createRapidDisputeResolutionDispute 4816  createCe3BlockDispute 5649  createEthocaAlert 0018
pendingRefund 7726  refundFail 5126  bypassPending 0077  bypassPendingInternational 0278
authenticationRequiredOnSetup 3155  authenticationRequired 3184
authenticationRequiredSetupForOffSession 0446
authenticationRequiredChargeDeclinedInsufficientFunds 3178
threeDSecure2Required 3220  threeDSecureRequiredChargeDeclined 1629
threeDSecureRequiredProcessingError 1280  threeDSecureOptional 3055
threeDSecureOptionalProcessingError 3097  amex_threeDSecureNotSupported 0005
visa_chargeDeclined 0002  visa_chargeDeclinedInsufficientFunds 9995
visa_chargeDeclinedLostCard 9987
visa_debit_chargeDeclinedInsufficientFunds 9995  visa_chargeDeclinedStolenCard 9979
chargeDeclinedExpiredCard 0069  visa_chargeDeclinedExpiredCard 0069
chargeDeclinedIncorrectCvc 0127  visa_chargeDeclinedIncorrectCvc 0127
chargeDeclinedProcessingError 0119  visa_chargeDeclinedProcessingError 0119
visa_chargeDeclinedVelocityLimitExceeded 6975  visa_chargeDeclinedFraudulent 0019  radarBlock 0019
chargeCustomerFail 0341  visa_chargeCustomerFail 0341  visa_chargeCustomerFailLostCard 0358
visa_chargeCustomerFailStolenCard 0366
"""
# Numbers that have no such name, their brand and country.
NUMBERS = """
2223003122003222 mastercard US  371449635398431 amex US  6011111111111117 discover US
6011981111111113 discover US  36227206271667 diners US  6555900000604105 discover KR
6200000000000047 unionpay CN  6205500000000000004 unionpay CN  5062210000000009 unknown MX
4000006820000007 visa SA  3530111333300000 jcb JP  4000008400000027 visa US
4000000032200000 visa US  4000582600000094 visa GB  4000582600000045 visa GB
4000582600000102 visa GB  4000582600000110 visa GB  4000000000001208 visa US
4000000000003725 visa US  4000000000000093 visa US  4000008400000076 visa US
4000000000003063 visa US  4000050360000001 visa AU  5555050360000080 mastercard AU
4000002500001001 visa FR  5555552500001001 mastercard FR  4000003720000278 visa IE
"""
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


def test_every_documented_name_makes_its_card_as_method_and_as_token(wire):
    words = NAMES.split()
    names = dict(zip(words[::2], words[1::2], strict=True))
    wrong = {}
    for name, last4 in names.items():
        method = wire.get(f"/v1/payment_methods/pm_card_{name}").json()
        made = wire.ok("/v1/payment_methods", {"type": "card", "card[token]": f"tok_{name}"})
        shown = (method.get("card", {}).get("last4"), made["card"]["last4"])
        if shown != (last4, last4) or method["card"] != made["card"]:
            wrong[name] = shown
    assert len(names) > 130 and wrong == {}


def test_a_card_named_by_its_country_was_issued_there(wire):
    found = {
        name: wire.get(f"/v1/payment_methods/pm_card_{name}").json()["card"]["country"]
        for name in NAMES.split()[::2]
        if len(name) == 2
    }
    assert len(found) > 50
    assert {name: country for name, country in found.items() if country != name.upper()} == {}


def test_numbers_without_a_name_are_taken_too(wire):
    words = NUMBERS.split()
    for number, brand, country in zip(words[::3], words[1::3], words[2::3], strict=True):
        card = wire.card(number, cvc="1234" if brand == "amex" else "123")
        shown = wire.get(f"/v1/payment_methods/{card}").json()["card"]
        assert (shown["brand"], shown["country"]) == (brand, country), number
        assert shown["last4"] == number[-4:]


def test_a_co_branded_card_names_both_networks(wire):
    card = wire.get("/v1/payment_methods/pm_card_visa_cartesBancaires").json()["card"]
    assert (card["brand"], card["networks"]["available"]) == ("visa", ["cartes_bancaires", "visa"])
    assert wire.pay(payment_method="pm_card_mastercard_debit_eftposAuCoBranded")["status"] == (
        "succeeded"
    )


@pytest.mark.parametrize(
    ("entered", "code", "param"),
    [
        ({"card[number]": "4242424242424241"}, "incorrect_number", "number"),
        ({"card[exp_month]": "13"}, "invalid_expiry_month", "exp_month"),
        ({"card[exp_year]": "95"}, "invalid_expiry_year", "exp_year"),
        ({"card[cvc]": "99"}, "invalid_cvc", "cvc"),
        ({"card[number]": "4111111111111111"}, "card_declined", None),
    ],
)
@pytest.mark.parametrize("where", ["payment_methods", "tokens", "payment_method_data"])
def test_invalid_details_are_refused_at_the_entry(wire, entered, code, param, where):
    card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034", "cvc": "123"}
    form = {f"card[{name}]": value for name, value in card.items()} | entered
    if where == "payment_methods":
        status, error = wire.error("/v1/payment_methods", {"type": "card", **form})
    elif where == "tokens":
        status, error = wire.error("/v1/tokens", form)
    else:
        data = {f"payment_method_data[{k.replace('[', '][', 1)}": v for k, v in form.items()}
        status, error = wire.pay_error(**{"payment_method_data[type]": "card"}, **data)
    assert (status, error["type"], error["code"]) == (402, "card_error", code)
    assert error.get("param") == param


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


@pytest.mark.parametrize(
    ("number", "cvc_check", "line1_check", "postal_check"),
    [
        ("4242424242424242", "pass", "pass", "pass"),
        ("4000000000000101", "fail", "pass", "pass"),
        ("4000000000000036", "pass", "pass", "fail"),
        ("4000058400306072", "pass", "pass", "fail"),
        ("4000000000000028", "pass", "fail", "pass"),
        ("4000000000000010", "pass", "fail", "fail"),
        ("4000000000000044", "pass", "unavailable", "unavailable"),
    ],
)
def test_check_cards_fail_their_checks_of_what_was_given(
    wire, number, cvc_check, line1_check, postal_check
):
    address = {"line1": "1 Main Street", "postal_code": "94111"}
    card = wire.card(
        number, **{f"billing_details[address][{name}]": v for name, v in address.items()}
    )
    wire.pay(payment_method=card)
    assert wire.get(f"/v1/payment_methods/{card}").json()["card"]["checks"] == {
        "cvc_check": cvc_check,
        "address_line1_check": line1_check,
        "address_postal_code_check": postal_check,
    }
    bare = wire.card(number, cvc=None)
    wire.pay(payment_method=bare)
    checks = wire.get(f"/v1/payment_methods/{bare}").json()["card"]["checks"]
    assert set(checks.values()) == {None}


def test_bypass_pending_is_available_at_once(wire):
    paid = wire.pay(
        payment_method=wire.card("4000000000000077"),
        **{"expand[]": "latest_charge.balance_transaction"},
    )
    assert paid["latest_charge"]["balance_transaction"]["status"] == "available"


def three_d_secure_of(wire, number, **options):
    form = {f"payment_method_options[card][{name}]": value for name, value in options.items()}
    paid = wire.pay(payment_method=wire.card(number), **form, **{"expand[]": "latest_charge"})
    assert paid["status"] == "succeeded"
    return paid["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]


def test_a_frictionless_card_is_authenticated_and_nobody_is_asked(wire):
    shown = three_d_secure_of(wire, "4000000032200000")
    assert (shown["authentication_flow"], shown["result"]) == ("frictionless", "authenticated")


def test_an_ordinary_card_acknowledges_a_requested_attempt(wire):
    assert three_d_secure_of(wire, "4242424242424242") is None
    shown = three_d_secure_of(wire, "4242424242424242", request_three_d_secure="any")
    assert (shown["authentication_flow"], shown["result"]) == (None, "attempt_acknowledged")


def test_amex_goes_on_without_authentication(wire):
    assert three_d_secure_of(wire, "378282246310005", request_three_d_secure="any") is None
