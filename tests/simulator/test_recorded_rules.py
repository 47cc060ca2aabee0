"""Rules that recorded traffic of public test suites taught, each at the wire."""

import pytest

MANUAL = {"payment_method_types[]": "card", "confirmation_method": "manual"}


def test_off_session_false_is_taken_without_confirm(wire):
    made = wire.intent(payment_method="pm_card_visa", off_session="false")
    assert made["status"] == "requires_confirmation"
    form = {"amount": 2000, "currency": "usd", "off_session": "true"}
    assert wire.error("/v1/payment_intents", form)[1]["param"] == "off_session"


def test_an_over_refund_is_measured_at_the_charge_and_then_at_what_is_left(wire):
    charge = wire.pay(payment_method="pm_card_visa", amount=1000)["latest_charge"]
    _, error = wire.error("/v1/refunds", {"charge": charge, "amount": 1100})
    assert error["message"] == "Refund amount ($11.00) is greater than charge amount ($10.00)"
    wire.ok("/v1/refunds", {"charge": charge, "amount": 500})
    _, error = wire.error("/v1/refunds", {"charge": charge, "amount": 600})
    assert error["message"] == (
        "Refund amount ($6.00) is greater than unrefunded amount on charge ($5.00)"
    )


def test_a_refund_for_fraud_is_a_report_of_fraud(wire):
    charge = wire.pay(payment_method="pm_card_visa")["latest_charge"]
    wire.ok("/v1/refunds", {"charge": charge, "amount": 1})
    assert wire.get(f"/v1/charges/{charge}").json()["fraud_details"] == {}
    wire.ok("/v1/refunds", {"charge": charge, "reason": "fraudulent"})
    shown = wire.get(f"/v1/charges/{charge}").json()
    assert shown["fraud_details"] == {"user_report": "fraudulent"}


def test_an_address_that_was_given_is_unchecked_until_the_card_is_used(wire):
    form = {"billing_details[address][postal_code]": "12345"}
    method = wire.get(f"/v1/payment_methods/{wire.card(**form)}").json()
    assert method["card"]["checks"] == {
        "address_line1_check": None,
        "address_postal_code_check": "unchecked",
        "cvc_check": "unchecked",
    }
    path = f"/v1/payment_methods/{method['id']}/attach"
    checks = wire.ok(path, {"customer": wire.customer()})["card"]["checks"]
    assert (checks["address_postal_code_check"], checks["address_line1_check"]) == ("pass", None)


def test_a_path_that_ends_with_a_slash_is_no_list(wire):
    status, error = wire.error("/v1/customers/", {"email": "a@example.com"})
    assert status == 404 and "code" not in error
    assert error["message"] == (
        "Unrecognized request URL (POST: /v1/customers/). If you are trying to list objects, "
        "remove the trailing slash. If you are trying to retrieve an object, make sure you passed "
        "a valid (non-empty) identifier in your code. Please see https://stripe.com/docs or we can "
        "help at https://support.stripe.com/."
    )
    assert "trailing slash" not in wire.error("/v1/nothing", {})[1]["message"]


def test_a_plus_in_an_id_is_read_as_a_blank(wire):
    error = wire.get("/v1/payment_intents/does+not+exist").json()["error"]
    assert error["message"] == "No such payment_intent: 'does not exist'"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2023-08-16", "This value must be greater than or equal to 1."),
        ("2023-10-16", "The amount must be greater than or equal to the minimum charge amount"),
    ],
)
def test_a_zero_amount_is_refused_in_the_words_of_the_version(wire, version, message):
    form = {"amount": 0, "currency": "usd"}
    _, error = wire.error("/v1/payment_intents", form, version=version)
    assert (error["code"], error["param"]) == ("parameter_invalid_integer", "amount")
    assert error["message"].startswith(message)


def test_booleans_are_taken_as_older_sdks_wrote_them(wire):
    paid = wire.intent(payment_method="pm_card_visa", confirm="True")
    assert paid["status"] == "succeeded"
    _, error = wire.error("/v1/payment_intents", {"amount": 1, "currency": "usd", "confirm": "1"})
    assert error["message"] == "Invalid boolean: 1"


def test_a_tokens_card_keeps_the_currency_it_was_given(wire):
    entered = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040}
    form = {f"card[{name}]": value for name, value in entered.items()}
    with_it = wire.ok("/v1/tokens", {**form, "card[currency]": "USD"})["card"]
    assert with_it["currency"] == "usd"
    assert "currency" not in wire.ok("/v1/tokens", form)["card"]


def test_objects_that_stand_there_anyhow_may_be_expanded(wire):
    wire.pay(payment_method="pm_card_createDispute")
    dispute = wire.get("/v1/disputes").json()["data"][0]["id"]
    shown = wire.get(f"/v1/disputes/{dispute}", {"expand[]": "balance_transactions"}).json()
    assert shown["balance_transactions"][0]["object"] == "balance_transaction"
    refused = wire.get(f"/v1/disputes/{dispute}", {"expand[]": "evidence"})
    assert refused.status_code == 400


@pytest.mark.parametrize("number", ["4000003560000008", "4000003560000123", "4000003560000263"])
def test_an_indian_card_authenticates_when_it_is_asked_to(wire, number):
    asked = {"payment_method_options[card][request_three_d_secure]": "any"}
    form = {**MANUAL, "confirm": "true"}
    assert wire.intent(payment_method=wire.card(number), **form)["status"] == "succeeded"
    challenged = wire.intent(payment_method=wire.card(number), **form, **asked)
    assert challenged["status"] == "requires_action"
    assert wire.get(f"/v1/payment_methods/{wire.card(number)}").json()["card"]["country"] == "IN"


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("ideal", {"bank": "abn_amro"}, {"bank": "abn_amro", "bic": "ABNANL2A"}),
        (
            "fpx",
            {"bank": "affin_bank"},
            {"bank": "affin_bank", "account_holder_type": "individual"},
        ),
        (
            "sepa_debit",
            {"iban": "DE89370400440532013000"},
            {"bank_code": "37040044", "branch_code": "", "country": "DE", "last4": "3000"},
        ),
        (
            "acss_debit",
            {"account_number": "000123456789", "institution_number": "000", "transit_number": "1"},
            {"bank_name": "STRIPE TEST BANK", "institution_number": "000", "last4": "6789"},
        ),
        ("boleto", {"tax_id": "000.000.000-00"}, {"tax_id": "000.000.000-00"}),
    ],
)
def test_a_method_that_is_no_card_shows_what_its_bank_tells(wire, kind, given, shown):
    form = {f"{kind}[{name}]": value for name, value in given.items()}
    details = wire.ok("/v1/payment_methods", {"type": kind, **form})[kind]
    assert {name: details[name] for name in shown} == shown
    assert "iban" not in details and "account_number" not in details
    assert ("fingerprint" in details) == (kind in ("sepa_debit", "acss_debit", "boleto"))


def test_a_hold_tells_since_2023_10_16_when_it_ends(wire):
    held = wire.pay(payment_method="pm_card_visa", capture_method="manual")["latest_charge"]
    for version, is_told in (("2023-08-16", False), ("2023-10-16", True)):
        charge = wire.get(f"/v1/charges/{held}", version=version).json()
        assert ("capture_before" in charge["payment_method_details"]["card"]) is is_told


def test_reading_a_factory_of_tokens_makes_one_to_spend(wire):
    made = wire.get("/v1/tokens/tok_jp").json()
    assert made["id"] != "tok_jp" and made["client_ip"] is None
    assert (made["card"]["country"], made["card"]["last4"], made["used"]) == ("JP", "0003", False)
    customer = wire.ok("/v1/customers", {"source": made["id"]})
    assert customer["default_source"] == made["card"]["id"]
    assert wire.get(f"/v1/tokens/{made['id']}").json()["used"] is True


def test_a_charge_was_paid_before_it_succeeded(wire):
    charge = wire.ok("/v1/charges", {"amount": 2000, "currency": "usd", "source": "tok_visa"})
    path = f"/v1/charges/{charge['id']}"
    assert wire.get(path, version="2014-12-08").json()["status"] == "paid"
    assert wire.get(path, version="2018-05-21").json()["status"] == "succeeded"


def test_an_issuer_that_declines_to_save_a_card_has_checked_its_cvc(wire):
    card = {"type": "card", "card[token]": "tok_visa_chargeDeclined"}
    method = wire.ok("/v1/payment_methods", card)
    assert method["card"]["checks"]["cvc_check"] == "unchecked"
    form = {"payment_method": method["id"], "payment_method_types[]": "card", "confirm": "true"}
    status, error = wire.error("/v1/setup_intents", form)
    assert (status, error["payment_method"]["card"]["checks"]["cvc_check"]) == (402, "pass")
    kept = error["setup_intent"]["last_setup_error"]["payment_method"]
    assert kept["card"]["checks"]["cvc_check"] == "pass"


@pytest.mark.parametrize(
    ("path", "form"),
    [("setup_intents", {}), ("payment_intents", {"amount": 2000, "currency": "usd"})],
)
def test_an_intent_names_the_settings_that_chose_its_methods(wire, path, form):
    name = "payment_method_configuration_details"
    chosen = wire.ok(f"/v1/{path}", form)
    assert chosen[name]["id"].startswith("pmc_") and chosen[name]["parent"] is None
    listed = {"payment_method_types[]": "card"}
    assert wire.ok(f"/v1/{path}", {**form, **listed})[name] is None
    assert wire.ok(f"/v1/{path}/{chosen['id']}", listed)[name] is None
