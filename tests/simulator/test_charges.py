"""Charges: what finds them in a list, and what an update changes."""

TODAY = "2026-08-26.dahlia"


def ids(wire, **form):
    return [charge["id"] for charge in wire.get("/v1/charges", form).json()["data"]]


def test_charges_are_found_by_each_filter(wire):
    customer, card = wire.saved_card()
    first = wire.pay(payment_method=card, customer=customer, transfer_group="a")["latest_charge"]
    second = wire.pay(payment_method=wire.card(), transfer_group="b")
    wire.simulator.advance_clock(60)
    third = wire.pay(payment_method=wire.card())["latest_charge"]
    assert ids(wire) == [third, second["latest_charge"], first]
    assert ids(wire, customer=customer) == [first]
    assert ids(wire, payment_intent=second["id"]) == [second["latest_charge"]]
    assert ids(wire, transfer_group="a") == [first]
    assert ids(wire, transfer_group="b", customer=customer) == []
    created = wire.get(f"/v1/charges/{third}").json()["created"]
    assert ids(wire, **{"created[gte]": created}) == [third]
    assert ids(wire, **{"created[lt]": created}) == [second["latest_charge"], first]


def test_an_update_moves_a_charge_to_another_group(wire):
    form = {"amount": 440, "currency": "usd", "source": "tok_visa", "transfer_group": "a"}
    paid = wire.ok("/v1/charges", form)["id"]
    changed = wire.ok(f"/v1/charges/{paid}", {"transfer_group": "b", "description": "d"})
    assert (changed["transfer_group"], changed["description"]) == ("b", "d")
    assert (ids(wire, transfer_group="a"), ids(wire, transfer_group="b")) == ([], [paid])


def test_the_group_of_an_intents_charge_is_the_intents(wire):
    paid = wire.pay(payment_method=wire.card())
    path = f"/v1/charges/{paid['latest_charge']}"
    status, error = wire.error(path, {"transfer_group": "b"})
    assert status == 400 and not {"code", "param"} & set(error)
    assert error["message"] == (
        f"This Charge was created by a PaymentIntent ({paid['id']}). You must update the "
        "`transfer_group` on the PaymentIntent instead of updating the Charge directly. See "
        "https://stripe.com/docs/api#update_payment_intent"
    )


def test_a_charge_says_how_its_holder_was_authenticated(wire):
    def indicator(paid):
        charge = wire.get(f"/v1/charges/{wire.retrieve(paid['id'])['latest_charge']}").json()
        return charge["payment_method_details"]["card"]["electronic_commerce_indicator"]

    assert indicator(wire.pay(payment_method="pm_card_visa")) == "07"
    assert indicator(wire.pay(payment_method="pm_card_amex")) is None
    asked = wire.pay(payment_method="pm_card_threeDSecure2Required")
    wire.simulator.authenticate(asked["id"], "success")
    assert indicator(asked) == "05"


def numbers(wire, method):
    """The network's two numbers of a payment with the card, paid or declined."""
    form = {"amount": 440, "currency": "usd", "confirm": "true", "payment_method": method}
    wire.post("/v1/payment_intents", form)
    charge = wire.get("/v1/charges", {"limit": 1}, version=TODAY).json()["data"][0]
    card = charge["payment_method_details"]["card"]
    return card["network_transaction_id"], card["transaction_link_id"]


def test_the_network_numbers_the_card_and_mastercard_links_the_payment(wire):
    visa, declined = "pm_card_visa", "pm_card_visa_chargeDeclined"
    assert numbers(wire, visa) == numbers(wire, visa)
    assert numbers(wire, visa)[0] != numbers(wire, declined)[0]
    assert numbers(wire, declined) == numbers(wire, declined)
    assert numbers(wire, visa)[1] is None
    number, link = numbers(wire, "pm_card_mastercard")
    assert len(number) == 15 and len(link) == 22
    assert numbers(wire, "pm_card_mastercard")[1] != link
