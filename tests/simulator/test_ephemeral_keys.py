"""Ephemeral keys: an hour with one customer, as the mobile SDKs' sheets use it."""

import base64

import pytest
import stripe

VERSION = "2025-10-29.clover"


def made(wire, customer):
    return wire.ok("/v1/ephemeral_keys", {"customer": customer}, version=VERSION)


@pytest.fixture
def sheet(wire):
    """The customer, its card, and calls with its key."""
    customer, card = wire.saved_card()
    key = made(wire, customer)["secret"]

    def call(method, path, form=None):
        return wire.send(method, path, form, key=key)

    return customer, card, call


def test_a_key_has_the_shape_that_the_sdks_read(wire):
    customer = wire.customer()
    key = made(wire, customer)
    assert key["object"] == "ephemeral_key" and key["id"].startswith("ephkey_1")
    assert key["associated_objects"] == [{"id": customer, "type": "customer"}]
    assert (key["expires"] - key["created"], key["livemode"]) == (3600, False)
    inner = key["secret"].removeprefix("ek_test_").partition("_00")[0]
    account = base64.b64decode(inner + "=" * (-len(inner) % 4)).decode().partition(",")[0]
    assert account == wire.get("/v1/account").json()["id"]


def test_the_official_sdk_makes_and_deletes_one(client, wire):
    key = client.v1.ephemeral_keys.create(
        {"customer": wire.customer()}, {"stripe_version": VERSION}
    )
    assert isinstance(key, stripe.EphemeralKey) and key.secret.startswith("ek_test_")
    client.v1.ephemeral_keys.delete(key.id)
    assert wire.get("/v1/payment_methods", key=key.secret).status_code == 401


def test_a_key_needs_a_version_and_a_customer(wire):
    status, error = wire.error("/v1/ephemeral_keys", {"customer": wire.customer()})
    assert status == 400 and "Stripe-Version" in error["message"]
    assert wire.error("/v1/ephemeral_keys", {}, version=VERSION)[0] == 400
    form = {"customer": "cus_no"}
    status, error = wire.error("/v1/ephemeral_keys", form, version=VERSION)
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "customer")
    key = wire.simulator.publishable_key
    assert wire.error("/v1/ephemeral_keys", form, version=VERSION, key=key)[0] == 401
    assert wire.send("DELETE", "/v1/ephemeral_keys/ephkey_no").status_code == 404


def test_the_sheet_lists_updates_attaches_and_detaches(wire, sheet):
    customer, card, call = sheet
    read = call("GET", f"/v1/customers/{customer}")
    assert (read.status_code, read.json()["id"]) == (200, customer)
    assert read.headers["Stripe-Version"] == VERSION
    form = {"customer": customer, "type": "card", "limit": 100}
    listed = call("GET", "/v1/payment_methods", form).json()["data"]
    assert [method["id"] for method in listed] == [card]
    new = wire.card("5555555555554444")
    attach = {"customer": customer, "payment_user_agent": "stripe-ios/24"}
    assert call("POST", f"/v1/payment_methods/{new}/attach", attach).json()["customer"] == customer
    update = call("POST", f"/v1/payment_methods/{new}", {"card[exp_year]": 2041})
    assert update.json()["card"]["exp_year"] == 2041
    assert call("POST", f"/v1/payment_methods/{card}/detach").json()["customer"] is None
    default = {"invoice_settings[default_payment_method]": new}
    changed = call("POST", f"/v1/customers/{customer}", default).json()
    assert changed["invoice_settings"]["default_payment_method"] == new
    other = call("GET", f"/v1/customers/{customer}/payment_methods").json()["data"]
    assert [method["id"] for method in other] == [new]


def test_anything_else_is_403_in_stripes_words(wire, sheet):
    customer, card, call = sheet
    stranger, foreign = wire.saved_card()
    fresh = wire.card()
    refused = [
        ("GET", f"/v1/customers/{stranger}", {}),
        ("POST", f"/v1/customers/{stranger}", {"name": "x"}),
        ("GET", f"/v1/customers/{stranger}/payment_methods", {}),
        ("GET", "/v1/payment_methods", {}),
        ("GET", "/v1/payment_methods", {"customer": stranger}),
        ("GET", f"/v1/payment_methods/{foreign}", {}),
        ("POST", f"/v1/payment_methods/{foreign}", {"card[exp_year]": 2041}),
        ("POST", f"/v1/payment_methods/{foreign}/detach", {}),
        ("POST", f"/v1/payment_methods/{fresh}/attach", {"customer": stranger}),
        ("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": customer}),
        ("POST", "/v1/payment_intents", {"amount": 440, "currency": "usd"}),
        ("GET", "/v1/payment_intents", {"customer": customer}),
        ("POST", "/v1/setup_intents", {"customer": customer}),
        ("GET", "/v1/customers", {}),
        ("DELETE", f"/v1/customers/{customer}", {}),
        ("POST", "/v1/refunds", {"payment_intent": "pi_1"}),
        ("POST", "/v1/ephemeral_keys", {"customer": customer}),
        ("GET", "/v1/customers/search", {"query": "name:'x'"}),
    ]
    for method, path, form in refused:
        answer = call(method, path, form)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (403, "invalid_request_error"), path
        assert error["message"].startswith("The provided key 'ek_test_*")
        assert error["message"].endswith(
            "' does not have the required permissions for this endpoint on account 'acct_1Paid1"
            "SimOneAcct'. Having more permissions would allow this request to continue."
        )
    assert wire.get(f"/v1/payment_methods/{foreign}").json()["customer"] == stranger
    assert call("GET", f"/v1/payment_methods/{card}").status_code == 200


def test_a_missing_method_is_404_for_a_key_too(sheet):
    _, _, call = sheet
    answer = call("GET", "/v1/payment_methods/pm_1no")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")


def test_a_key_ends_after_an_hour_of_the_simulators_clock(wire, sheet):
    customer, _, call = sheet
    wire.simulator.advance_clock(3590)
    assert call("GET", f"/v1/customers/{customer}").status_code == 200
    wire.simulator.advance_clock(20)
    answer = call("GET", f"/v1/customers/{customer}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_expired")
    assert answer.json()["error"]["message"].startswith("Expired API Key provided: ek_test_*")


def test_a_key_that_was_never_made_is_invalid(wire):
    answer = wire.get("/v1/payment_methods", key="ek_test_" + "a" * 40)
    error = answer.json()["error"]
    assert answer.status_code == 401 and "code" not in error
    assert error["message"] == "Invalid API Key provided: ek_test_" + "*" * 36 + "aaaa"


def test_the_secret_is_shown_once_and_kept_by_nobody(wire):
    key = made(wire, wire.customer())
    shown = wire.simulator.object(key["id"])
    assert "secret" not in shown and key["secret"] not in str(shown)
    deleted = wire.send("DELETE", f"/v1/ephemeral_keys/{key['id']}").json()
    assert "secret" not in deleted and deleted["expires"] < key["expires"]
