"""Customers: retrieving, deleting, listing; emails are not unique."""


def test_a_customer_keeps_what_was_set_and_can_be_updated(client):
    made = client.v1.customers.create({"email": "a@b.co", "name": "Ada", "metadata": {"user": "1"}})
    changed = client.v1.customers.update(made.id, {"name": "", "phone": "1"})
    assert (changed.email, changed.name, changed.phone) == ("a@b.co", None, "1")
    assert client.v1.customers.retrieve(made.id).metadata["user"] == "1"


def test_customers_are_listed_by_email_which_is_not_unique(client):
    first = client.v1.customers.create({"email": "same@b.co"})
    second = client.v1.customers.create({"email": "same@b.co"})
    client.v1.customers.create({"email": "other@b.co"})
    found = client.v1.customers.list({"email": "same@b.co"}).data
    assert [c.id for c in found] == [second.id, first.id]


def test_a_deleted_customer_reads_as_three_keys_and_is_gone_otherwise(wire):
    customer = wire.customer()
    gone = {"id": customer, "object": "customer", "deleted": True}
    assert wire.send("DELETE", f"/v1/customers/{customer}").json() == gone
    read = wire.get(f"/v1/customers/{customer}")
    assert (read.status_code, read.json()) == (200, gone)
    assert wire.get("/v1/customers").json()["data"] == []
    again = wire.send("DELETE", f"/v1/customers/{customer}")
    assert again.status_code == 404
    assert (again.json()["error"]["code"], again.json()["error"]["param"]) == (
        "resource_missing",
        "id",
    )
    assert again.json()["error"]["message"] == f"No such customer: '{customer}'"


def test_a_deleted_customer_cannot_be_used(wire):
    customer = wire.customer()
    wire.send("DELETE", f"/v1/customers/{customer}")
    form = {"amount": 440, "currency": "usd", "customer": customer}
    status, error = wire.error("/v1/payment_intents", form)
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "customer")
    status, error = wire.error(f"/v1/payment_methods/{wire.card()}/attach", {"customer": customer})
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "customer")


def test_a_deleted_customers_method_still_names_the_customer(wire):
    customer, card = wire.saved_card()
    wire.send("DELETE", f"/v1/customers/{customer}")
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] == customer


def test_the_default_payment_method_must_be_the_customers_own(wire):
    customer, card = wire.saved_card()
    name = "invoice_settings[default_payment_method]"
    changed = wire.ok(f"/v1/customers/{customer}", {name: card})
    assert changed["invoice_settings"]["default_payment_method"] == card
    status, error = wire.error(f"/v1/customers/{customer}", {name: wire.card()})
    assert (status, error["param"]) == (400, name)


def test_a_token_becomes_the_customers_source_once(wire):
    token = wire.ok(
        "/v1/tokens",
        {
            "card[number]": "4242424242424242",
            "card[exp_month]": 9,
            "card[exp_year]": 2040,
            "card[cvc]": "314",
        },
    )
    assert token["card"]["cvc_check"] == "unchecked"
    made = wire.ok("/v1/customers", {"source": token["id"], "expand[]": "sources"})
    assert made["default_source"] == token["card"]["id"]
    sources = wire.get(f"/v1/customers/{made['id']}/sources", {"object": "card"}).json()
    assert sources["data"][0]["cvc_check"] == "pass"
    status, _ = wire.error("/v1/customers", {"source": token["id"]})
    assert status == 400


def test_an_update_tells_what_was_there_before(wire):
    customer, card = wire.saved_card()
    wire.ok(f"/v1/customers/{customer}", {"name": "Ada", "metadata[a]": "b"})
    wire.ok(f"/v1/payment_methods/{card}", {"billing_details[address][city]": "Paris"})
    source = wire.ok(f"/v1/customers/{customer}/sources", {"source": "tok_visa"})
    wire.ok(f"/v1/customers/{customer}/sources/{source['id']}", {"exp_year": 2041})
    updates = [e for e in wire.events() if e["type"].endswith(".updated")]
    assert [(e["type"], e["data"]["previous_attributes"]) for e in updates] == [
        ("customer.updated", {"name": None, "metadata": {"a": None}}),
        ("payment_method.updated", {"billing_details": {"address": {"city": None}}}),
        ("customer.source.updated", {"exp_year": source["exp_year"]}),
    ]


def test_addresses_are_shown_with_all_their_parts(wire):
    name = {"shipping[name]": "Ada"}
    shipping = {**name, "shipping[address][line1]": "1 Road"}
    empty = dict.fromkeys(("city", "country", "line2", "postal_code", "state"))
    whole = {**empty, "line1": "1 Road"}
    customer = wire.ok("/v1/customers", {"address[line1]": "1 Road", **shipping})
    assert customer["address"] == whole
    assert customer["shipping"] == {"address": whole, "name": "Ada", "phone": None}
    parcel = {**customer["shipping"], "carrier": None, "tracking_number": None}
    path = f"/v1/payment_intents/{wire.intent()['id']}/confirm"
    paid = wire.ok(path, {"payment_method": "pm_card_visa", **shipping})
    assert paid["shipping"] == parcel
    direct = wire.ok("/v1/charges", {"amount": 440, "currency": "usd", "source": "tok_visa"})
    assert wire.ok(f"/v1/charges/{direct['id']}", shipping)["shipping"] == parcel
    path = f"/v1/customers/{customer['id']}"
    moved = wire.ok(path, {**name, "address[city]": "Bath", "shipping[address][line1]": ""})
    assert moved["address"] == {**whole, "city": "Bath"}
    assert moved["shipping"] == {**customer["shipping"], "address": {**whole, "line1": None}}
    assert wire.ok(path, {"address": ""})["address"] is None


def test_metadata_has_limits_and_the_refusal_says_which(wire):
    too_many = {f"metadata[k{number}]": "v" for number in range(51)}
    for form, message in (
        ({"metadata[a]": "x" * 501}, "Metadata values can have up to 500 characters, but you passed"
         " in a value that is 501 characters. Invalid value: " + "x" * 501),
        ({f"metadata[{'k' * 41}]": "v"}, "Metadata keys can have up to 40 characters, but you"
         " passed in a key that is 41 characters. Invalid key: " + "k" * 41),
        (too_many, "Metadata can have up to 50 keys, but you've set 51. Email us at"
         " support+metadata@stripe.com for more information."),
    ):  # fmt: skip
        status, error = wire.error("/v1/customers", form)
        assert (status, error["message"]) == (400, message)
        assert set(error) == {"message", "request_log_url", "type"}
