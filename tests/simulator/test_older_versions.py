"""What older integrations call: direct charges, cards of customers, lists inside of objects."""

import pytest
import stripe

OLD, OLDER = "2020-08-27", "2019-12-03"
PRICE = {"amount": 2000, "currency": "usd"}
ENTERED = {
    "card[number]": "4242424242424242",
    "card[exp_month]": 12,
    "card[exp_year]": 2040,
    "card[cvc]": "123",
}


def charge(wire, **params):
    return wire.ok("/v1/charges", {**PRICE, "source": "tok_visa", **params})


def customer_with_card(wire, token="tok_visa"):
    customer = wire.ok("/v1/customers", {"source": token})
    return customer["id"], customer["default_source"]


def test_a_direct_charge_takes_the_money_and_shows_its_card(wire):
    made = charge(wire, description="a book", **{"metadata[order_id]": "o1"})
    assert (made["status"], made["captured"], made["payment_intent"]) == ("succeeded", True, None)
    assert made["source"]["object"] == "card"
    assert (made["source"]["cvc_check"], made["source"]["customer"]) == ("pass", None)
    assert made["payment_method"] == made["source"]["id"]
    transaction = wire.get(f"/v1/balance_transactions/{made['balance_transaction']}").json()
    assert (transaction["source"], transaction["amount"]) == (made["id"], 2000)
    assert wire.event_types() == ["charge.succeeded"]
    group = wire.simulator.audit("order_id")["groups"][0]
    assert (group["succeeded_charges"], group["amount_captured"]) == (1, 2000)
    assert group["payment_intents"] == []


def test_a_token_is_charged_once(wire):
    token = wire.ok("/v1/tokens", ENTERED)["id"]
    charge(wire, source=token)
    status, error = wire.error("/v1/charges", {**PRICE, "source": token})
    assert (status, error["code"]) == (400, "token_already_used")


def test_a_declined_direct_charge_leaves_a_failed_charge(wire):
    status, error = wire.error("/v1/charges", {**PRICE, "source": "tok_chargeDeclined"})
    assert (status, error["code"], error["decline_code"]) == (
        402,
        "card_declined",
        "generic_decline",
    )
    failed = wire.get(f"/v1/charges/{error['charge']}").json()
    assert (failed["status"], failed["paid"], failed["captured"]) == ("failed", False, False)
    assert failed["payment_method_details"]["card"]["amount_authorized"] is None
    assert wire.error(f"/v1/charges/{failed['id']}/capture")[0] == 400
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 0


def test_a_card_that_needs_authentication_is_declined_without_an_intent(wire):
    status, error = wire.error("/v1/charges", {**PRICE, "source": "tok_threeDSecure2Required"})
    assert (status, error["code"]) == (402, "authentication_required")


def test_the_refusals_of_a_direct_charge_are_stripes(wire):
    status, error = wire.error("/v1/charges", PRICE)
    assert (status, error["code"]) == (400, "parameter_missing")
    assert error["message"] == "Must provide source or customer."
    status, error = wire.error("/v1/charges", {**PRICE, "customer": wire.customer()})
    assert (status, error["code"], error["param"]) == (402, "missing", "card")
    assert "doesn't have any saved payment details" in error["message"]
    customer, _ = wire.saved_card()
    _, error = wire.error("/v1/charges", {**PRICE, "customer": customer})
    assert "Use a Payment Intent instead of creating a Charge" in error["message"]
    customer, _ = customer_with_card(wire)
    form = {**PRICE, "customer": customer, "source": "tok_visa"}
    _, error = wire.error("/v1/charges", form)
    assert error["message"] == (
        f"Customer {customer} does not have a linked source with ID tok_visa."
    )


def test_a_held_charge_is_captured_in_part_and_only_once(wire):
    held = charge(wire, capture="false")
    assert (held["captured"], held["balance_transaction"]) == (False, None)
    taken = wire.ok(f"/v1/charges/{held['id']}/capture", {"amount": 1500})
    assert (taken["captured"], taken["amount_captured"], taken["amount_refunded"]) == (
        True,
        1500,
        500,
    )
    _, error = wire.error(f"/v1/charges/{held['id']}/capture")
    assert error["code"] == "charge_already_captured"
    assert error["message"] == f"Charge {held['id']} has already been captured."


@pytest.mark.parametrize("amount", [0, 2001])
def test_a_held_charge_is_not_captured_beyond_its_amount(wire, amount):
    held = charge(wire, capture="false")["id"]
    status, error = wire.error(f"/v1/charges/{held}/capture", {"amount": amount})
    assert (status, error["param"]) == (400, "amount")
    assert wire.get(f"/v1/charges/{held}").json()["captured"] is False


def test_a_held_charge_is_released_by_a_refund_or_by_time(wire):
    voided, forgotten = charge(wire, capture="false"), charge(wire, capture="false")
    assert wire.ok("/v1/refunds", {"charge": voided["id"]})["balance_transaction"] is None
    wire.simulator.advance_clock(8 * 24 * 3600)
    for held in (voided, forgotten):
        assert wire.get(f"/v1/charges/{held['id']}").json()["refunded"] is True
        assert wire.error(f"/v1/charges/{held['id']}/capture")[0] == 400
    assert wire.event_types()[-1] == "charge.expired"


def test_an_intents_charge_is_captured_through_its_intent(wire):
    held = wire.pay(payment_method="pm_card_visa", capture_method="manual")
    status, error = wire.error(f"/v1/charges/{held['latest_charge']}/capture")
    assert status == 400
    assert "You must capture the PaymentIntent instead." in error["message"]


def test_charges_are_refunded_at_the_older_addresses_too(wire):
    made = charge(wire)["id"]
    assert wire.ok(f"/v1/charges/{made}/refunds", {"amount": 500})["object"] == "refund"
    after = wire.ok(f"/v1/charges/{made}/refund", version=OLD)
    assert (after["object"], after["refunded"], after["refunds"]["total_count"]) == (
        "charge",
        True,
        2,
    )


def test_a_charge_is_updated_with_an_event(wire):
    made = charge(wire)["id"]
    updated = wire.ok(f"/v1/charges/{made}", {"description": "two", "metadata[a]": "b"})
    assert (updated["description"], updated["metadata"]) == ("two", {"a": "b"})
    assert wire.event_types()[-1] == "charge.updated"


def test_a_customers_card_pays_charges_and_intents_until_it_is_deleted(wire):
    customer, card = customer_with_card(wire)
    assert wire.ok("/v1/charges", {**PRICE, "customer": customer})["payment_method"] == card
    assert wire.pay(customer=customer, payment_method=card)["status"] == "succeeded"
    listed = wire.get("/v1/payment_methods", {"customer": customer, "type": "card"}).json()
    assert [method["id"] for method in listed["data"]] == [card]
    gone = wire.send("DELETE", f"/v1/customers/{customer}/sources/{card}").json()
    assert gone == {"id": card, "object": "card", "deleted": True}
    assert wire.get(f"/v1/customers/{customer}").json()["default_source"] is None
    assert wire.pay_error(customer=customer, payment_method=card)[0] == 400
    assert wire.get(f"/v1/customers/{customer}/sources/{card}").status_code == 404


def test_a_customers_cards_are_added_updated_and_replaced(wire):
    customer, first = customer_with_card(wire)
    sources = f"/v1/customers/{customer}/sources"
    second = wire.ok(sources, {"source": "tok_mastercard"})["id"]
    updated = wire.ok(f"{sources}/{second}", {"exp_year": 2041, "name": "Ada"})
    assert (updated["exp_year"], updated["name"]) == (2041, "Ada")
    twin = wire.get(f"/v1/payment_methods/{second}").json()
    assert (twin["card"]["exp_year"], twin["billing_details"]["name"]) == (2041, "Ada")
    chosen = wire.ok(f"/v1/customers/{customer}", {"default_source": second})
    assert chosen["default_source"] == second
    replaced = wire.ok(f"/v1/customers/{customer}", {"source": "tok_amex"})["default_source"]
    assert replaced not in (first, second)
    left = [card["id"] for card in wire.get(sources).json()["data"]]
    assert left == [first, replaced]


def test_the_oldest_address_of_a_customers_cards_works_too(wire):
    customer = wire.customer()
    card = wire.ok(f"/v1/customers/{customer}/cards", {"card": "tok_visa"})["id"]
    assert wire.get(f"/v1/customers/{customer}").json()["default_source"] == card
    assert wire.get(f"/v1/customers/{customer}/cards/{card}").json()["last4"] == "4242"
    assert wire.send("DELETE", f"/v1/customers/{customer}/cards/{card}").json()["deleted"] is True


def test_a_detached_card_leaves_its_customer(wire):
    customer, card = customer_with_card(wire)
    wire.ok(f"/v1/payment_methods/{card}/detach")
    assert wire.get(f"/v1/customers/{customer}/sources").json()["data"] == []
    assert wire.get(f"/v1/customers/{customer}").json()["default_source"] is None


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/customers/{}/sources"])
def test_a_card_that_declines_is_not_saved(wire, path):
    customer = wire.customer()
    status, error = wire.error(path.format(customer), {"source": "tok_chargeDeclined"})
    assert (status, error["code"], error["param"]) == (402, "card_declined", "")
    assert wire.get(f"/v1/customers/{customer}/sources").json()["data"] == []


def test_an_old_intent_carries_its_charges_and_a_new_one_does_not(wire):
    form = {**PRICE, "confirm": "true", "payment_method": "pm_card_visa"}
    expand = {"expand[]": "charges.data.balance_transaction"}
    old = wire.ok("/v1/payment_intents", {**form, **expand}, version=OLD)
    new = wire.retrieve(old["id"])
    assert [c["id"] for c in old["charges"]["data"]] == [new["latest_charge"]]
    assert old["charges"]["data"][0]["balance_transaction"]["object"] == "balance_transaction"
    assert old["charges"]["data"][0]["refunds"]["total_count"] == 0
    assert "charges" not in new
    assert "refunds" not in wire.get(f"/v1/charges/{new['latest_charge']}").json()


def test_an_old_decline_carries_the_failed_charge(wire):
    form = {**PRICE, "confirm": "true", "payment_method": "pm_card_visa_chargeDeclined"}
    _, error = wire.error("/v1/payment_intents", form, version=OLD)
    charges = error["payment_intent"]["charges"]["data"]
    assert [c["id"] for c in charges] == [error["charge"]]
    assert "_sim" not in str(error)


def test_a_customer_carries_its_lists_before_2020_08_27_only(wire):
    older = wire.ok("/v1/customers", {"source": "tok_visa"}, version=OLDER)
    assert older["sources"]["data"][0]["id"] == older["default_source"]
    assert older["subscriptions"]["data"] == older["tax_ids"]["data"] == []
    assert "sources" not in wire.ok("/v1/customers", version=OLD)
    expanded = wire.get(f"/v1/customers/{older['id']}", {"expand[]": "default_source"}).json()
    assert expanded["default_source"]["last4"] == "4242"


def test_fields_of_older_versions_can_be_expanded_there_only(wire):
    paid = wire.pay(payment_method="pm_card_createDisputeInquiry")
    charge_path = f"/v1/charges/{paid['latest_charge']}"
    paths = {"expand[0]": "invoice.subscription", "expand[1]": "dispute"}
    old = wire.get(charge_path, paths, version=OLD).json()
    assert (old["invoice"], old["dispute"]["object"]) == (None, "dispute")
    dahlia = wire.get(charge_path, {"expand[]": "dispute"}, version="2026-03-25.dahlia")
    assert dahlia.json()["dispute"]["object"] == "dispute"
    assert wire.get(charge_path, {"expand[]": "invoice"}).status_code == 400
    assert wire.get(charge_path, {"expand[]": "dispute"}).status_code == 400


def test_the_sdk_makes_captures_and_refunds_a_direct_charge(client):
    held = client.v1.charges.create({**PRICE, "source": "tok_visa", "capture": False})
    taken = client.v1.charges.capture(held.id)
    assert taken.captured
    refund = client.v1.refunds.create({"charge": held.id, "amount": 500})
    assert (refund.status, refund.charge) == ("succeeded", held.id)
    with pytest.raises(stripe.CardError) as caught:
        client.v1.charges.create({**PRICE, "source": "tok_chargeDeclinedExpiredCard"})
    assert caught.value.code == "expired_card"
    assert caught.value.param == "exp_month"
