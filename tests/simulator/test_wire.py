"""Forms, parameters, keys, headers, expansion and lists, as Stripe words and shapes them."""

import base64

import pytest
import requests


def test_no_key_is_401_in_stripes_words_without_request_id(wire):
    answer = requests.get(wire.simulator.url + "/v1/customers", timeout=5)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith("You did not provide an API key. You need to provide")
    assert "Request-Id" not in answer.headers and "code" not in error


@pytest.mark.parametrize("key", ["nonsense", "sk_live_51abcdefghijklmnop"])
def test_other_keys_are_401_and_masked(wire, key):
    status, error = wire.error("/v1/customers", {}, key=key)
    assert status == 401
    assert error["message"].startswith("Invalid API Key provided: ")
    assert key not in error["message"]


def test_any_test_key_by_bearer_or_basic_is_the_same_account(wire):
    customer = wire.customer()
    assert wire.get(f"/v1/customers/{customer}", key="sk_test_x").status_code == 200
    basic = base64.b64encode(b"sk_test_other:").decode()
    answer = requests.get(
        f"{wire.simulator.url}/v1/customers/{customer}",
        headers={"Authorization": f"Basic {basic}"},
        timeout=5,
    )
    assert answer.json()["id"] == customer


def test_publishable_key_is_refused_where_a_secret_is_needed(wire):
    key = wire.simulator.publishable_key
    status, error = wire.error("/v1/customers", {}, key=key)
    assert (status, error["code"]) == (401, "secret_key_required")


def test_unknown_url_names_method_and_path(wire):
    answer = wire.get("/v1/unicorns")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == (
        "Unrecognized request URL (GET: /v1/unicorns). Please see https://stripe.com/docs or we can"
        " help at https://support.stripe.com/."
    )


@pytest.mark.parametrize(
    ("form", "code", "param", "message"),
    [
        ({"wat": "1"}, "parameter_unknown", "wat", "Received unknown parameter: wat"),
        (
            {"invoice_settings[nope]": "1"},
            "parameter_unknown",
            "invoice_settings[nope]",
            "Received unknown parameter: invoice_settings[nope]",
        ),
        (
            {"balance": "4.4"},
            "parameter_invalid_integer",
            "balance",
            "Invalid integer: 4.4",
        ),
    ],
)
def test_bad_parameters_are_refused_in_stripes_words(wire, form, code, param, message):
    status, error = wire.error("/v1/customers", form)
    assert status == 400
    assert (error["code"], error["param"], error["message"]) == (code, param, message)
    assert error["doc_url"] == f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    assert error["request_log_url"].startswith("https://dashboard.stripe.com/acct_")


def test_missing_parameter_is_named_with_a_period(wire):
    status, error = wire.error("/v1/payment_intents", {"currency": "usd"})
    assert (status, error["code"], error["param"]) == (400, "parameter_missing", "amount")
    assert error["message"] == "Missing required param: amount."


def test_an_error_without_code_has_neither_code_nor_doc_url_nor_nulls(wire):
    dead = wire.card()
    wire.pay(payment_method=dead)
    _, error = wire.pay_error(payment_method=dead)
    assert "code" not in error and "doc_url" not in error and "param" not in error
    assert None not in error.values()


def test_arrays_may_be_numbered_or_appended_but_not_holey(wire):
    form = {"amount": 440, "currency": "usd"}
    for name in ("payment_method_types[0]", "payment_method_types[]"):
        made = wire.ok("/v1/payment_intents", {**form, name: "card"})
        assert made["payment_method_types"] == ["card"]
    status, error = wire.error("/v1/payment_intents", {**form, "payment_method_types[1]": "card"})
    assert status == 400
    assert error["message"].startswith(
        "If passing an array with explicit keys (e.g. foo[0]=a&foo[1]=b)"
    )


def test_metadata_merges_and_an_empty_value_unsets(wire):
    customer = wire.ok("/v1/customers", {"metadata[a]": "1", "metadata[b]": "2"})
    path = f"/v1/customers/{customer['id']}"
    assert wire.ok(path, {"metadata[a]": "", "metadata[c]": "3"})["metadata"] == {
        "b": "2",
        "c": "3",
    }
    assert wire.ok(path, {"metadata": ""})["metadata"] == {}


def test_metadata_may_be_named_like_our_own_fields(wire):
    made = wire.ok("/v1/customers", {"metadata[object]": "charge", "metadata[_sim]": "x"})
    assert made["metadata"] == {"object": "charge", "_sim": "x"}
    assert "_sim" not in made


def test_expand_replaces_ids_through_levels_and_lists(wire):
    customer, card = wire.saved_card()
    paid = wire.pay(customer=customer, payment_method=card)
    found = wire.get(
        f"/v1/payment_intents/{paid['id']}",
        {
            "expand[]": [
                "customer.invoice_settings.default_payment_method",
                "latest_charge.balance_transaction",
                "latest_charge.refunds",
            ]
        },
    ).json()
    assert found["customer"]["id"] == customer
    assert found["latest_charge"]["balance_transaction"]["net"] == 440 - 43
    assert found["latest_charge"]["refunds"]["data"] == []
    page = wire.get("/v1/payment_intents", {"expand[]": "data.payment_method"}).json()
    assert page["data"][0]["payment_method"]["card"]["last4"] == "4242"


def test_expanding_what_cannot_be_expanded_is_400_and_writes_nothing(wire):
    status, error = wire.error("/v1/customers", {"expand[]": "email"})
    assert (status, error["message"]) == (400, "This property cannot be expanded (email).")
    assert "code" not in error
    assert wire.get("/v1/customers").json()["data"] == []
    status, error = wire.error("/v1/customers", {"expand[]": "a.b.c.d.e"})
    assert status == 400 and "more than 4 levels" in error["message"]


def test_lists_page_newest_first_in_both_directions(wire):
    made = [wire.customer() for _ in range(5)]
    first = wire.get("/v1/customers", {"limit": 2}).json()
    assert [c["id"] for c in first["data"]] == made[:2:-1]
    assert first["has_more"] is True and first["url"] == "/v1/customers"
    second = wire.get("/v1/customers", {"limit": 3, "starting_after": made[3]}).json()
    assert [c["id"] for c in second["data"]] == [made[2], made[1], made[0]]
    assert second["has_more"] is False
    back = wire.get("/v1/customers", {"limit": 2, "ending_before": made[1]}).json()
    assert [c["id"] for c in back["data"]] == [made[3], made[2]] and back["has_more"] is True


def test_bad_cursors_and_limits_are_refused(wire):
    customer = wire.customer()
    both = wire.get("/v1/customers", {"starting_after": customer, "ending_before": customer})
    assert both.status_code == 400
    assert both.json()["error"]["message"] == (
        "Received both starting_after and ending_before parameters. Please pass in only one."
    )
    unknown = wire.get("/v1/customers", {"starting_after": "cus_nope"}).json()["error"]
    assert (unknown["code"], unknown["param"]) == ("resource_missing", "starting_after")
    answer = wire.get("/v1/customers", {"limit": "x"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "limit"


def test_a_list_clamps_its_limit(wire):
    for _ in range(101):
        wire.customer()
    for limit, count in ((0, 1), (101, 100)):
        page = wire.get("/v1/customers", {"limit": limit}).json()
        assert (len(page["data"]), page["has_more"]) == (count, True)


def test_created_filters_by_time(wire):
    before = wire.customer()
    wire.simulator.advance_clock(100)
    after = wire.ok("/v1/customers", {})
    at = after["created"]
    newer = wire.get("/v1/customers", {"created[gte]": at}).json()["data"]
    older = wire.get("/v1/customers", {"created[lt]": at}).json()["data"]
    assert [c["id"] for c in newer] == [after["id"]]
    assert [c["id"] for c in older] == [before]


def test_headers_of_a_first_answer_and_of_a_read(wire):
    answer = wire.post("/v1/customers", {}, idempotency_key="k1", version="2026-06-24.dahlia")
    assert answer.headers["Idempotency-Key"] == "k1"
    assert answer.headers["Original-Request"] == answer.headers["Request-Id"]
    assert answer.headers["Stripe-Version"] == "2026-06-24.dahlia"
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert "Idempotent-Replayed" not in answer.headers
    read = wire.get("/v1/customers")
    assert read.headers["Stripe-Version"] == "2026-10-28.endive"
    assert "Stripe-Should-Retry" not in read.headers
    invalid = wire.post("/v1/customers", {"wat": "1"}, idempotency_key="k2")
    assert invalid.headers["Idempotency-Key"] == "k2"
    assert "Stripe-Should-Retry" not in invalid.headers


def test_an_unknown_version_is_400_without_code_and_log(wire):
    for version in ("2099-01-01", "endive", "2026-13"):
        status, error = wire.error("/v1/customers", {}, version=version)
        message = f"Invalid Stripe API version: {version}"
        assert (status, error) == (400, {"message": message, "type": "invalid_request_error"})


def test_objects_follow_the_asked_version(wire):
    made = wire.intent()
    path = f"/v1/payment_intents/{made['id']}"
    clover = wire.get(path, version="2025-10-29.clover").json()
    dahlia = wire.get(path, version="2026-06-24.dahlia").json()
    assert "managed_payments" not in clover and "customer_account" not in clover
    assert "managed_payments" in dahlia and "payment_record" not in dahlia
    assert "payment_record" in wire.get(path).json()
    old = wire.get(path, version="2020-08-27").json()
    assert old["charges"]["object"] == "list" and old["invoice"] is None


def test_a_json_body_is_refused(wire):
    answer = requests.post(
        wire.simulator.url + "/v1/customers",
        json={"email": "a@b.c"},
        headers={"Authorization": f"Bearer {wire.simulator.secret_key}"},
        timeout=5,
    )
    assert answer.status_code == 400
    assert "application/x-www-form-urlencoded" in answer.json()["error"]["message"]


def test_browsers_may_call_with_the_publishable_key(wire):
    url = wire.simulator.url + "/v1/payment_methods"
    preflight = requests.options(
        url,
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
        timeout=5,
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    made = wire.post(
        "/v1/tokens",
        {"card[number]": "4242424242424242", "card[exp_month]": 1, "card[exp_year]": 2040},
        key=wire.simulator.publishable_key,
        Origin="https://shop.example",
    )
    assert made.status_code == 200 and made.headers["Access-Control-Allow-Origin"] == "*"
    refused = wire.get("/v1/customers", key="pk_live_x", Origin="https://shop.example")
    assert refused.status_code == 401 and refused.headers["Access-Control-Allow-Origin"] == "*"


def test_no_page_reads_what_a_secret_key_is_answered(wire):
    wire.customer()
    for path in ("/v1/customers", "/v1/nothing"):
        answer = wire.get(path, key="sk_test_madeUp", Origin="https://evil.example")
        assert answer.status_code in (200, 404)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_account_and_empty_invoice_payments_can_be_read(wire):
    assert wire.get("/v1/account").json()["id"].startswith("acct_")
    page = wire.get("/v1/invoice_payments", {"payment[type]": "payment_intent"}).json()
    assert page["data"] == [] and page["has_more"] is False
