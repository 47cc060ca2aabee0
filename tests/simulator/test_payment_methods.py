"""The life of a PaymentMethod: fresh, attached, dead."""

import pytest

REUSE = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment, shared with a connected account without Customer attachment, or was detached from "
    "a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach "
    "it to a Customer first."
)


def assert_reuse_error(answer):
    status, error = answer
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert error["message"] == REUSE
    assert not {"code", "param", "decline_code", "payment_intent", "doc_url"} & set(error)


def test_a_method_used_without_customer_is_dead_everywhere(wire):
    card = wire.card()
    wire.pay(payment_method=card)
    assert_reuse_error(wire.pay_error(payment_method=card))
    assert_reuse_error(
        wire.error(
            "/v1/payment_intents", {"amount": 440, "currency": "usd", "payment_method": card}
        )
    )
    intent = wire.intent()
    path = f"/v1/payment_intents/{intent['id']}"
    assert_reuse_error(wire.error(path, {"payment_method": card}))
    assert_reuse_error(wire.error(f"{path}/confirm", {"payment_method": card}))
    assert_reuse_error(wire.error("/v1/setup_intents", {"payment_method": card}))
    status, error = wire.error(f"/v1/payment_methods/{card}/attach", {"customer": wire.customer()})
    assert status == 400 and "may not be used again" in error["message"]
    assert not {"code", "param", "decline_code"} & set(error)


def test_a_declined_first_use_kills_the_method_too(wire):
    card = wire.card("4000000000000002")
    status, _ = wire.pay_error(payment_method=card)
    assert status == 402
    assert_reuse_error(wire.pay_error(payment_method=card))


def test_a_refused_reuse_leaves_no_payment_intent(wire):
    card = wire.card()
    wire.pay(payment_method=card)
    before = len(wire.get("/v1/payment_intents").json()["data"])
    assert_reuse_error(wire.pay_error(payment_method=card))
    assert len(wire.get("/v1/payment_intents").json()["data"]) == before


def test_an_attached_method_pays_any_number_of_times_even_after_declines(wire):
    customer, card = wire.saved_card("4000000000000341")
    for _ in range(3):
        status, error = wire.pay_error(customer=customer, payment_method=card)
        assert (status, error["code"]) == (402, "card_declined")
    customer, card = wire.saved_card()
    for _ in range(5):
        assert wire.pay(customer=customer, payment_method=card)["status"] == "succeeded"


def test_a_customer_on_the_intent_alone_does_not_save_the_method(wire):
    customer, card = wire.customer(), wire.card()
    assert wire.pay(customer=customer, payment_method=card)["status"] == "succeeded"
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] is None
    assert_reuse_error(wire.pay_error(customer=customer, payment_method=card))


def test_setup_future_usage_attaches_on_success(wire):
    customer, card = wire.customer(), wire.card()
    wire.pay(customer=customer, payment_method=card, setup_future_usage="off_session")
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] == customer
    assert wire.pay(customer=customer, payment_method=card)["status"] == "succeeded"


def test_setup_future_usage_and_a_decline_do_not_attach(wire):
    customer, card = wire.customer(), wire.card("4000000000000002")
    wire.pay_error(customer=customer, payment_method=card, setup_future_usage="off_session")
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] is None
    assert_reuse_error(wire.pay_error(customer=customer, payment_method=card))


def test_setup_future_usage_without_customer_keeps_the_method_attachable(wire):
    card = wire.card()
    wire.pay(payment_method=card, setup_future_usage="on_session")
    customer = wire.customer()
    attached = wire.ok(f"/v1/payment_methods/{card}/attach", {"customer": customer})
    assert attached["customer"] == customer


def test_detach_is_for_good_and_the_method_stays_readable(wire):
    customer, card = wire.saved_card()
    assert wire.ok(f"/v1/payment_methods/{card}/detach")["customer"] is None
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] is None
    assert_reuse_error(wire.pay_error(customer=customer, payment_method=card))
    status, error = wire.error(f"/v1/payment_methods/{card}/attach", {"customer": customer})
    assert status == 400 and not {"code", "param"} & set(error)
    status, error = wire.error(f"/v1/payment_methods/{card}/detach")
    assert error["message"] == (
        "The payment method you provided is not attached to a customer so detachment is impossible."
    )
    missing = wire.get(f"/v1/customers/{customer}/payment_methods/{card}")
    assert missing.status_code == 404
    told = missing.json()["error"]
    assert (told["message"], told["param"]) == ("Invalid request", "customer")
    assert "code" not in told
    nobody = wire.get("/v1/customers/cus_nope/payment_methods").json()["error"]
    assert (nobody["code"], nobody["param"]) == ("resource_missing", "id")


def test_attaching_again_to_the_same_customer_is_a_no_op_without_event(wire):
    customer, card = wire.saved_card()
    wire.ok(f"/v1/payment_methods/{card}/attach", {"customer": customer})
    assert wire.event_types().count("payment_method.attached") == 1


def test_attaching_to_another_customer_is_refused(wire):
    _, card = wire.saved_card()
    status, error = wire.error(f"/v1/payment_methods/{card}/attach", {"customer": wire.customer()})
    assert status == 400 and not {"code", "param"} & set(error)
    assert error["message"] == (
        "The payment method you provided has already been attached to a customer."
    )


def test_attach_of_a_declining_card_is_402_without_intent_or_charge(wire):
    card = wire.card("4000000000000002")
    status, error = wire.error(f"/v1/payment_methods/{card}/attach", {"customer": wire.customer()})
    assert status == 402
    assert (error["code"], error["decline_code"], error["param"]) == (
        "card_declined",
        "generic_decline",
        "",
    )
    assert (error["advice_code"], error["network_decline_code"]) == ("try_again_later", "01")
    assert not {"payment_intent", "charge"} & set(error)


def test_attach_without_customer_and_create_with_customer_are_refused(wire):
    card = wire.card()
    status, error = wire.error(f"/v1/payment_methods/{card}/attach")
    assert (status, error["code"]) == (400, "parameter_missing")
    assert error["message"] == "Must provide customer or customer_account."
    status, error = wire.error("/v1/payment_methods", {"type": "card", "customer": wire.customer()})
    assert status == 400
    assert error["message"].startswith("You cannot attach a PaymentMethod to a Customer during")


def test_an_unknown_method_is_404_on_the_path_and_400_in_the_body(wire):
    status, error = wire.error("/v1/payment_methods/pm_x/attach", {"customer": wire.customer()})
    assert (status, error["code"], error["param"]) == (404, "resource_missing", "payment_method")
    assert error["message"] == "No such PaymentMethod: 'pm_x'"
    status, error = wire.pay_error(payment_method="pm_x")
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "payment_method")


def test_factories_make_a_new_method_every_time(wire):
    customer = wire.customer()
    made = [
        wire.ok("/v1/payment_methods/pm_card_visa/attach", {"customer": customer})["id"]
        for _ in range(2)
    ]
    assert len(set(made)) == 2 and all(m.startswith("pm_1") for m in made)
    for _ in range(2):
        assert wire.pay(payment_method="pm_card_visa")["status"] == "succeeded"
    by_token = wire.ok("/v1/payment_methods", {"type": "card", "card[token]": "tok_mastercard"})
    assert by_token["card"]["brand"] == "mastercard"


def test_the_same_card_entered_twice_is_two_methods_with_one_fingerprint(wire):
    first, second = wire.card(), wire.card()
    prints = {
        wire.get(f"/v1/payment_methods/{m}").json()["card"]["fingerprint"] for m in (first, second)
    }
    assert first != second and len(prints) == 1
    other = wire.get(f"/v1/payment_methods/{wire.card('5555555555554444')}").json()
    assert other["card"]["fingerprint"] not in prints


def test_the_cvc_check_passes_at_attach(wire):
    card = wire.card()
    assert wire.get(f"/v1/payment_methods/{card}").json()["card"]["checks"]["cvc_check"] == (
        "unchecked"
    )
    attached = wire.ok(f"/v1/payment_methods/{card}/attach", {"customer": wire.customer()})
    assert attached["card"]["checks"]["cvc_check"] == "pass"


@pytest.mark.parametrize(
    ("entered", "code", "param"),
    [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2001}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
    ],
)
def test_impossible_cards_are_402_at_entry(wire, entered, code, param):
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"} | entered
    form = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
    status, error = wire.error("/v1/payment_methods", form)
    assert (status, error["type"], error["code"], error["param"]) == (
        402,
        "card_error",
        code,
        param,
    )


def test_a_number_that_is_no_test_card_is_refused(wire):
    form = {"type": "card", "card[number]": "4539578763621486", "card[exp_month]": 1}
    status, error = wire.error("/v1/payment_methods", form | {"card[exp_year]": 2040})
    assert (status, error["decline_code"]) == (402, "test_mode_live_card")


def test_methods_are_listed_per_customer_and_can_be_updated(wire):
    customer, card = wire.saved_card()
    for path, form in (
        (f"/v1/customers/{customer}/payment_methods", {}),
        ("/v1/payment_methods", {"customer": customer, "type": "card"}),
    ):
        assert [m["id"] for m in wire.get(path, form).json()["data"]] == [card]
    changed = wire.ok(
        f"/v1/payment_methods/{card}",
        {"billing_details[name]": "Ada", "card[exp_year]": 2041, "metadata[a]": "1"},
    )
    assert changed["billing_details"]["name"] == "Ada"
    assert (changed["card"]["exp_year"], changed["metadata"]) == (2041, {"a": "1"})
    wire.ok(f"/v1/payment_methods/{card}/detach")
    assert wire.get(f"/v1/customers/{customer}/payment_methods").json()["data"] == []


def test_a_method_of_another_type_can_be_made_but_does_not_pay_here(wire):
    made = wire.ok("/v1/payment_methods", {"type": "ideal", "ideal[bank]": "abn_amro"})
    assert (made["type"], made["ideal"]["bank"]) == ("ideal", "abn_amro")
    assert "card" not in made
    status, error = wire.pay_error(payment_method=made["id"])
    assert (status, error["param"]) == (400, "payment_method")


def test_a_method_of_someone_else_cannot_pay(wire):
    owner, card = wire.saved_card()
    other = wire.customer()
    intent = wire.intent(customer=other)
    status, error = wire.error(
        f"/v1/payment_intents/{intent['id']}/confirm", {"payment_method": card}
    )
    assert (status, error["param"]) == (400, "payment_method")
    assert error["message"] == (
        f"The PaymentMethod {card} does not belong to the Customer you supplied {other}. Please use"
        " this PaymentMethod with the Customer that it belongs to instead."
    )
    assert error["payment_intent"]["payment_method"] is None and "code" not in error
    intent = wire.intent()
    status, error = wire.error(
        f"/v1/payment_intents/{intent['id']}/confirm", {"payment_method": card}
    )
    assert (status, error["code"], error["param"]) == (400, "parameter_missing", "source")
    assert error["message"] == (
        f"The `payment_method` parameter supplied {card} belongs to the Customer {owner}. Please "
        "include the Customer in the `customer` parameter on the PaymentIntent."
    )


def test_setup_intents_attach_and_without_customer_burn(wire):
    customer, card = wire.customer(), wire.card()
    done = wire.ok(
        "/v1/setup_intents", {"customer": customer, "payment_method": card, "confirm": "true"}
    )
    assert done["status"] == "succeeded"
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] == customer
    types = wire.event_types()
    assert types.index("payment_method.attached") < types.index("setup_intent.succeeded")
    status, error = wire.error(f"/v1/setup_intents/{done['id']}/confirm")
    assert (status, error["code"]) == (400, "setup_intent_unexpected_state")
    alone = wire.card()
    wire.ok("/v1/setup_intents", {"payment_method": alone, "confirm": "true"})
    assert_reuse_error(wire.pay_error(payment_method=alone))


def test_a_declined_setup_leaves_its_setup_intent_open(wire):
    status, error = wire.error(
        "/v1/setup_intents",
        {
            "customer": wire.customer(),
            "payment_method": wire.card("4000000000000069"),
            "confirm": "true",
        },
    )
    assert (status, error["code"], error["param"]) == (402, "expired_card", "exp_month")
    left = error["setup_intent"]
    assert (left["status"], left["payment_method"]) == ("requires_payment_method", None)
    assert wire.get(f"/v1/setup_intents/{left['id']}").json()["last_setup_error"]["code"] == (
        "expired_card"
    )


def test_a_method_that_is_no_card_is_refused_at_the_payment_with_its_details_kept(wire):
    link = wire.ok("/v1/payment_methods", {"type": "link"})["id"]
    types = {"payment_method_types[0]": "card", "payment_method_types[1]": "link"}
    assert wire.intent(payment_method=link, **types)["status"] == "requires_confirmation"
    status, error = wire.pay_error(payment_method=link, **types)
    assert (status, error["param"]) == (400, "payment_method")
    token = wire.ok("/v1/test_helpers/confirmation_tokens", {"payment_method_data[type]": "link"})
    assert token["payment_method_preview"]["link"] == {}


def test_an_intent_may_name_every_type_that_stripe_has(wire):
    assert wire.intent(**{"payment_method_types[]": "sepa_debit"})["payment_method_types"] == [
        "sepa_debit"
    ]
    form = {"amount": 440, "currency": "usd", "payment_method_types[]": "barter"}
    status, error = wire.error("/v1/payment_intents", form)
    assert (status, error["param"]) == (400, "payment_method_types")


def test_a_customer_is_made_with_a_factory_as_its_default_method(wire):
    form = {
        "payment_method": "pm_card_visa",
        "invoice_settings[default_payment_method]": "pm_card_visa",
    }
    customer = wire.ok("/v1/customers", form)
    default = customer["invoice_settings"]["default_payment_method"]
    assert wire.get(f"/v1/payment_methods/{default}").json()["customer"] == customer["id"]


def test_a_setup_intents_usage_is_always_off_session(wire):
    assert wire.ok("/v1/setup_intents", {"usage": "on_session"})["usage"] == "off_session"


def test_lists_filter_by_type_and_redisplay(wire):
    customer, plain = wire.saved_card()
    shown = wire.card(allow_redisplay="always")
    wire.ok(f"/v1/payment_methods/{shown}/attach", {"customer": customer})

    def listed(**params):
        answer = wire.get("/v1/payment_methods", params)
        assert answer.status_code == 200, answer.text
        return [method["id"] for method in answer.json()["data"]]

    assert listed(customer=customer, allow_redisplay="always") == [shown]
    assert listed(customer=customer, allow_redisplay="unspecified") == [plain]
    assert listed(customer=customer, allow_redisplay="always", type="card") == [shown]
    assert listed(customer=customer, type="us_bank_account") == []
    assert listed() == listed(type="card") == []
    assert wire.get("/v1/payment_methods", {"allow_redisplay": "x'"}).status_code == 400


def test_a_filter_by_what_is_not_there_names_it(wire):
    for path, name in (
        ("/v1/payment_intents", "customer"),
        ("/v1/payment_intents", "customer_account"),
        ("/v1/setup_intents", "customer_account"),
        ("/v1/customers", "test_clock"),
    ):
        answer = wire.get(path, {name: "x_no"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "resource_missing")
        assert error["param"] == name


def test_what_a_payment_teaches_of_a_saved_card_is_kept(wire):
    customer, card = wire.saved_card("4000002500003155")
    wire.ok(f"/v1/payment_methods/{card}", {"billing_details[address][line1]": "1 Road"})
    paying = {"customer": customer, "payment_method": card}
    asked = wire.pay(**paying, setup_future_usage="off_session")
    wire.simulator.authenticate(asked["id"], "success")
    checks = wire.get(f"/v1/payment_methods/{card}").json()["card"]["checks"]
    assert checks["address_line1_check"] == "pass"
    assert wire.pay(**paying, off_session="true")["status"] == "succeeded"
    customer, plain = wire.saved_card()
    wire.ok(f"/v1/payment_methods/{plain}", {"billing_details[address][line1]": "1 Road"})
    wire.pay(customer=customer, payment_method=plain)
    checks = wire.get(f"/v1/payment_methods/{plain}").json()["card"]["checks"]
    assert checks["address_line1_check"] == "pass"


def test_what_is_no_token_is_told_from_a_token_that_is_not_there(wire):
    for token, message in (
        ("pm_card_visa", "Invalid token id: pm_card_visa"),
        ("tok_nope", "No such token: 'tok_nope'"),
    ):
        status, error = wire.error("/v1/payment_methods", {"type": "card", "card[token]": token})
        assert (status, error["message"]) == (400, message)
