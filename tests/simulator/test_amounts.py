"""What is held, captured and raised; amounts by currency; what a statement may say; Connect."""

import pytest

INCREMENTAL = {"payment_method_options[card][request_incremental_authorization]": "if_available"}


def hold(wire, **params):
    return wire.pay(payment_method=wire.card(), capture_method="manual", **params)


def test_a_capture_can_name_the_rest_of_the_payment(wire):
    held = hold(wire)
    charge = wire.get(f"/v1/charges/{held['latest_charge']}").json()
    card = charge["payment_method_details"]["card"]
    assert card["capture_before"] == charge["created"] + 7 * 24 * 3600
    form = {"amount_to_capture": 100, "metadata[a]": "b", "statement_descriptor_suffix": "order 7"}
    taken = wire.ok(f"/v1/payment_intents/{held['id']}/capture", form)
    assert (taken["amount_received"], taken["amount_capturable"]) == (100, 0)
    assert (taken["metadata"], taken["statement_descriptor_suffix"]) == ({"a": "b"}, "order 7")


def test_the_rest_of_a_hold_cannot_be_kept(wire):
    path = f"/v1/payment_intents/{hold(wire)['id']}/capture"
    form = {"amount_to_capture": 100, "final_capture": "false"}
    status, error = wire.error(path, form)
    assert (status, error["param"]) == (400, "final_capture")
    assert wire.ok(path, {**form, "final_capture": "true"})["amount_received"] == 100


def test_what_cannot_be_captured(wire):
    path = f"/v1/payment_intents/{hold(wire)['id']}/capture"
    for amount, code, param, message in (
        (-1, None, "amount_to_capture", "Invalid non-negative integer"),
        (0, "parameter_invalid_integer", "amount", "This value must be greater than or equal to 1"),
        (441, "amount_too_large", None, "The payment could not be captured because the requested"),
    ):
        status, error = wire.error(path, {"amount_to_capture": amount})
        assert (status, error.get("code"), error.get("param")) == (400, code, param)
        assert error["message"].startswith(message)
        assert error["payment_intent"]["status"] == "requires_capture"


@pytest.mark.parametrize(
    ("capture_method", "amount", "version", "message"),
    [
        ("manual", 440, "2026-10-28.endive", "could not be captured because it has already been"),
        ("manual", 100, "2026-10-28.endive", "The remaining amount on this PaymentIntent could"),
        ("automatic", None, "2026-10-28.endive", "could not be captured because it has already"),
        ("manual", 100, "2022-11-15", "could not be captured because it has already been captured"),
    ],
)
def test_what_was_captured_is_not_captured_again(wire, capture_method, amount, version, message):
    paid = wire.pay(payment_method=wire.card(), capture_method=capture_method)
    path = f"/v1/payment_intents/{paid['id']}/capture"
    if amount:
        wire.ok(path, {"amount_to_capture": amount})
    status, error = wire.error(path, version=version)
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert message in error["message"]


def test_a_hold_can_be_raised_when_that_was_asked_for(wire):
    path = f"/v1/payment_intents/{hold(wire)['id']}/increment_authorization"
    status, error = wire.error(path, {"amount": 500})
    assert status == 400 and "code" not in error and "param" not in error
    assert error["message"].startswith("This PaymentIntent is not eligible for incremental")
    held = hold(wire, **INCREMENTAL)
    path = f"/v1/payment_intents/{held['id']}/increment_authorization"
    status, error = wire.error(path, {"amount": 440})
    assert (status, error["param"]) == (400, "amount")
    raised = wire.ok(path, {"amount": 500, "metadata[a]": "b", "expand[]": "latest_charge"})
    assert (raised["amount"], raised["amount_capturable"]) == (500, 500)
    assert raised["status"] == "requires_capture" and raised["metadata"] == {"a": "b"}
    charge = raised["latest_charge"]
    card = charge["payment_method_details"]["card"]
    assert (charge["amount"], card["amount_authorized"]) == (500, 500)
    assert card["overcapture"]["maximum_amount_capturable"] == 500
    assert wire.event_types()[-2:] == [
        "charge.updated",
        "payment_intent.amount_capturable_updated",
    ]
    assert wire.events()[-2]["data"]["previous_attributes"]["amount"] == 440
    taken = wire.ok(f"/v1/payment_intents/{held['id']}/capture")
    assert taken["amount_received"] == 500
    status, error = wire.error(path, {"amount": 600})
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")


def test_a_hold_is_raised_ten_times_at_most(wire):
    held = hold(wire, **INCREMENTAL)
    path = f"/v1/payment_intents/{held['id']}/increment_authorization"
    for step in range(1, 11):
        wire.ok(path, {"amount": 440 + step})
    status, error = wire.error(path, {"amount": 500})
    assert status == 400 and "10 times" in error["message"]


def test_a_brand_without_incremental_authorization_is_not_raised(wire):
    jcb = wire.card("3566002020360505")
    held = wire.pay(payment_method=jcb, capture_method="manual", **INCREMENTAL)
    status, _ = wire.error(
        f"/v1/payment_intents/{held['id']}/increment_authorization", {"amount": 500}
    )
    assert status == 400


def test_a_customers_balance_does_not_pay_a_card_payment(wire):
    made = wire.intent()
    status, error = wire.error(f"/v1/payment_intents/{made['id']}/apply_customer_balance")
    assert status == 400 and "code" not in error and "param" not in error


@pytest.mark.parametrize(
    ("currency", "amount", "code"),
    [
        ("isk", 550, "parameter_invalid_integer"),
        ("ugx", 100050, "parameter_invalid_integer"),
        ("bhd", 5125, "parameter_invalid_integer"),
        ("idr", 10**12, "amount_too_large"),
        ("cop", 10**10, "amount_too_large"),
        ("inr", 10**9, "amount_too_large"),
        ("krw", 10**8, "amount_too_large"),
        ("huf", 17499, "amount_too_small"),
    ],
)
def test_amounts_that_a_currency_does_not_take(wire, currency, amount, code):
    status, error = wire.error("/v1/payment_intents", {"amount": amount, "currency": currency})
    assert (status, error["code"], error["param"]) == (400, code, "amount")


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        ("isk", 500),
        ("ugx", 100000),
        ("bhd", 5120),
        ("idr", 10**12 - 1),
        ("cop", 10**10 - 1),
        ("inr", 10**9 - 1),
        ("krw", 10**8 - 1),
        ("huf", 17500),
        ("xcg", 100),
    ],
)
def test_amounts_that_a_currency_takes(wire, currency, amount):
    assert wire.intent(amount=amount, currency=currency)["amount"] == amount


@pytest.mark.parametrize("name", ["statement_descriptor_suffix", "statement_descriptor"])
@pytest.mark.parametrize("text", ["x" * 23, "1234", "a<b", 'a"b', "a*b", "a\\b", "a'b"])
def test_descriptors_that_no_statement_shows(wire, name, text):
    status, error = wire.error(
        "/v1/payment_intents", {"amount": 440, "currency": "usd", name: text}
    )
    assert (status, error["param"]) == (400, name)
    status, error = wire.error(f"/v1/payment_intents/{wire.intent()['id']}", {name: text})
    assert (status, error["param"]) == (400, name)


def test_a_too_long_descriptor_is_counted(wire):
    form = {"amount": 440, "currency": "usd", "statement_descriptor_suffix": "x" * 23}
    _, error = wire.error("/v1/payment_intents", form)
    assert error["message"] == (
        f"The statement descriptor must be at most 22 characters. {'x' * 23} is 23 characters long."
    )


def test_a_cards_statement_takes_a_suffix_only(wire):
    form = {"amount": 440, "currency": "usd", "statement_descriptor": "Book shop"}
    status, error = wire.error("/v1/payment_intents", form)
    assert (status, error["code"]) == (400, "payment_intent_invalid_parameter")
    older = wire.ok(
        "/v1/payment_intents",
        {**form, "payment_method": wire.card(), "confirm": "true"},
        version="2023-10-16",
    )
    charge = wire.get(f"/v1/charges/{older['latest_charge']}").json()
    assert charge["calculated_statement_descriptor"] == "Book shop"
    paid = wire.pay(payment_method=wire.card(), statement_descriptor_suffix="a long order number")
    charge = wire.get(f"/v1/charges/{paid['latest_charge']}").json()
    assert charge["calculated_statement_descriptor"] == "STRIPESIM* a long orde"


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"application_fee_amount": 10}, "application_fee_amount"),
        ({"transfer_data[destination]": "acct_1"}, "transfer_data[destination]"),
        ({"on_behalf_of": "acct_1"}, "on_behalf_of"),
    ],
)
def test_what_needs_another_account_is_refused(wire, form, param):
    status, error = wire.error("/v1/payment_intents", {"amount": 440, "currency": "usd", **form})
    assert (status, error["param"]) == (400, param)


def test_a_co_branded_card_is_paid_over_the_chosen_network(wire):
    form = {"type": "card", "card[number]": "4000002500001001", "card[exp_month]": 12}
    form |= {"card[exp_year]": 2040, "card[networks][preferred]": "cartes_bancaires"}
    method = wire.ok("/v1/payment_methods", form)
    assert method["card"]["networks"] == {
        "available": ["cartes_bancaires", "visa"],
        "preferred": "cartes_bancaires",
    }
    paid = wire.pay(payment_method=method["id"])
    charge = wire.get(f"/v1/charges/{paid['latest_charge']}").json()
    assert charge["payment_method_details"]["card"]["network"] == "cartes_bancaires"
    plain = wire.ok("/v1/payment_methods", {**form, "card[number]": "4242424242424242"})
    assert plain["card"]["networks"] == {"available": ["visa"], "preferred": None}


def test_a_direct_charge_names_no_other_account_either(wire):
    form = {"amount": 440, "currency": "usd", "source": "tok_visa"}
    for further, param in (
        ({"destination": "acct_1"}, "destination"),
        ({"destination[account]": "acct_1"}, "destination"),
        ({"application_fee": 10}, "application_fee"),
    ):
        status, error = wire.error("/v1/charges", form | further)
        assert (status, error["param"]) == (400, param)
    for left_out in ("amount", "currency"):
        some = {name: value for name, value in form.items() if name != left_out}
        status, error = wire.error("/v1/charges", some)
        assert (status, error["code"], error["param"]) == (400, "parameter_missing", left_out)
