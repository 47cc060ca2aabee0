"""Charges: what finds them in a list, and what an update changes."""


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
    paid = wire.pay(payment_method=wire.card(), transfer_group="a")["latest_charge"]
    changed = wire.ok(f"/v1/charges/{paid}", {"transfer_group": "b", "description": "d"})
    assert (changed["transfer_group"], changed["description"]) == ("b", "d")
    assert (ids(wire, transfer_group="a"), ids(wire, transfer_group="b")) == ([], [paid])
