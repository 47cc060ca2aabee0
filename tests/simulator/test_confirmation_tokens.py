"""Confirmation tokens: from clients and from the test helper, for one intent each."""

import pytest

CARD = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": "4242424242424242",
    "payment_method_data[card][exp_month]": 12,
    "payment_method_data[card][exp_year]": 2040,
    "payment_method_data[card][cvc]": "123",
    "payment_method_data[billing_details][name]": "Ada",
}
MANDATE = {
    "mandate_data[customer_acceptance][type]": "online",
    "mandate_data[customer_acceptance][online][infer_from_client]": "true",
}
HELPER = "/v1/test_helpers/confirmation_tokens"


@pytest.fixture
def token(wire):
    """Makes a token as the mobile SDK does, with the publishable key."""

    def make(**form):
        return wire.ok(
            "/v1/confirmation_tokens", {**CARD, **form}, key=wire.simulator.publishable_key
        )

    return make


def helper(wire, **form):
    return wire.ok(HELPER, {"payment_method": "pm_card_visa", **form})["id"]


def test_a_client_makes_a_token_that_previews_the_card(wire, token):
    made = token(
        return_url="shop://back",
        setup_future_usage="off_session",
        payment_user_agent="stripe-ios/24",
        **{
            "client_context[mode]": "payment",
            "client_context[currency]": "usd",
            "client_attribution_metadata[a]": "b",
            "payment_method_data[payment_user_agent]": "stripe-ios/24",
            "shipping[name]": "Ada",
            "shipping[address][city]": "London",
            "payment_method_options[card][installments][plan][type]": "fixed_count",
        },
    )
    assert made["id"].startswith("ctoken_") and made["expires_at"] - made["created"] == 12 * 3600
    preview = made["payment_method_preview"]
    assert (preview["type"], preview["card"]["last4"], preview["customer"]) == (
        "card",
        "4242",
        None,
    )
    assert preview["billing_details"]["name"] == "Ada" and "id" not in preview
    assert (made["return_url"], made["use_stripe_sdk"]) == ("shop://back", True)
    assert made["shipping"]["address"] == {
        "city": "London", "country": None, "line1": None, "line2": None, "postal_code": None,
        "state": None,
    }  # fmt: skip
    assert made["payment_method_options"]["card"]["installments"]["plan"]["type"] == "fixed_count"
    assert wire.get(f"/v1/confirmation_tokens/{made['id']}").json() == made


@pytest.mark.parametrize("kind", ["payment_intent", "setup_intent"])
def test_a_token_confirms_one_intent_and_no_other(wire, token, kind):
    form = {"amount": 440, "currency": "usd"} if kind == "payment_intent" else {}
    made = token()["id"]
    form = {**form, "confirm": "true", "confirmation_token": made, "customer": wire.customer()}
    done = wire.ok(f"/v1/{kind}s", form)
    assert done["status"] == "succeeded"
    used = wire.get(f"/v1/confirmation_tokens/{made}").json()
    assert used[kind] == done["id"]
    status, error = wire.error(f"/v1/{kind}s", form)
    codes = {
        "payment_intent": "payment_intent_confirmation_token_invalid",
        "setup_intent": "setup_intent_invalid_parameter",
    }
    assert (status, error["code"], error["param"]) == (400, codes[kind], "confirmation_token")


def test_a_declined_token_is_spent_and_a_refused_one_is_not(wire):
    declined = helper(wire, payment_method="pm_card_chargeDeclined")
    assert wire.pay_error(confirmation_token=declined)[0] == 402
    assert wire.pay_error(confirmation_token=declined)[0] == 400
    token = helper(wire)
    done = wire.pay(payment_method=wire.card())
    path = f"/v1/payment_intents/{done['id']}/confirm"
    assert wire.error(path, {"confirmation_token": token})[0] == 400
    assert wire.pay(confirmation_token=token)["status"] == "succeeded"


def test_a_token_lives_twelve_hours(wire):
    token = helper(wire)
    wire.simulator.advance_clock(12 * 3600 + 1)
    status, error = wire.pay_error(confirmation_token=token)
    assert (status, error["code"]) == (400, "payment_intent_confirmation_token_invalid")


def test_what_the_request_says_comes_before_the_token(wire):
    token = helper(wire, payment_method="pm_card_authenticationRequired", return_url="shop://token")
    asked = wire.pay(confirmation_token=token, return_url="shop://request")
    assert asked["next_action"]["redirect_to_url"]["return_url"] == "shop://request"
    other = helper(wire, payment_method="pm_card_authenticationRequired", return_url="shop://token")
    asked = wire.pay(confirmation_token=other)
    assert asked["next_action"]["redirect_to_url"]["return_url"] == "shop://token"


def test_a_clients_token_asks_for_the_sdk(wire, token):
    made = token(**{"payment_method_data[card][number]": "4000002760003184"}, return_url="shop://x")
    asked = wire.pay(confirmation_token=made["id"])
    assert asked["next_action"]["type"] == "use_stripe_sdk"


def test_the_future_usage_of_token_and_intent_agree(wire):
    token = helper(wire, setup_future_usage="off_session")
    customer = wire.customer()
    status, error = wire.pay_error(
        confirmation_token=token, customer=customer, setup_future_usage="on_session"
    )
    assert (status, error["code"]) == (400, "payment_intent_confirmation_token_invalid")
    done = wire.pay(confirmation_token=token, customer=customer)
    assert done["setup_future_usage"] == "off_session"
    assert wire.get(f"/v1/payment_methods/{done['payment_method']}").json()["customer"] == customer


def test_a_tokens_mandate_is_made_with_the_intent(wire, token):
    made = token(**MANDATE, setup_future_usage="off_session")
    online = made["mandate_data"]["customer_acceptance"]["online"]
    assert online["ip_address"] == "127.0.0.1"
    paid = wire.pay(confirmation_token=made["id"], customer=wire.customer())
    charge = wire.get(f"/v1/charges/{paid['latest_charge']}").json()
    mandate = wire.get(f"/v1/mandates/{charge['payment_method_details']['card']['mandate']}").json()
    assert mandate["payment_method"] == paid["payment_method"]
    form = {"confirm": "true", "confirmation_token": token(**MANDATE)["id"]}
    done = wire.ok("/v1/setup_intents", {**form, "customer": wire.customer()})
    assert done["mandate"].startswith("mandate_1")


def test_a_saved_method_is_for_who_may_see_its_customer(wire):
    customer, card = wire.saved_card()
    form = {"payment_method": card}
    status, error = wire.error("/v1/confirmation_tokens", form, key=wire.simulator.publishable_key)
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "payment_method")
    key = wire.ok("/v1/ephemeral_keys", {"customer": customer}, version="2025-10-29.clover")
    made = wire.ok("/v1/confirmation_tokens", form, key=key["secret"])
    assert made["payment_method_preview"]["customer"] == customer
    _, foreign = wire.saved_card()
    form = {"payment_method": foreign}
    assert wire.error("/v1/confirmation_tokens", form, key=key["secret"])[0] == 403


def test_bad_tokens_are_refused(wire):
    status, error = wire.pay_error(confirmation_token="ctoken_no")
    assert (status, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "confirmation_token",
    )
    for form in ({"confirmation_token": helper(wire)}, {"mandate": "mandate_no"}):
        status, error = wire.error(
            "/v1/payment_intents", {"amount": 440, "currency": "usd", **form}
        )
        assert (status, error["param"]) == (400, next(iter(form)))
    status, error = wire.error(HELPER, {})
    assert (status, error["param"]) == (400, "payment_method_data")
    dead = wire.card()
    wire.pay(payment_method=dead)
    assert "may not be used again" in wire.error(HELPER, {"payment_method": dead})[1]["message"]
    missing = wire.get("/v1/confirmation_tokens/ctoken_no")
    assert missing.json()["error"]["code"] == "resource_missing" and missing.status_code == 404
    key = wire.simulator.publishable_key
    assert wire.get(f"/v1/confirmation_tokens/{helper(wire)}", key=key).status_code == 401
