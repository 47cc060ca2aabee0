"""The balance and its transactions: pending and available on the clock, and every filter."""

import pytest

from stripesim.config import Config
from stripesim.testing import SimulatorThread

WEEK = 7 * 24 * 3600


def balance(wire):
    found = wire.get("/v1/balance").json()
    return {
        name: {entry["currency"]: entry["amount"] for entry in found[name]}
        for name in ("available", "pending")
    }


def listed(wire, **params):
    return wire.get("/v1/balance_transactions", params).json()["data"]


def test_an_empty_balance_has_the_accounts_currency(wire):
    assert wire.get("/v1/balance").json() == {
        "object": "balance",
        "available": [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}],
        "livemode": False,
        "pending": [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}],
        "refund_and_dispute_prefunding": {
            "available": [{"amount": 0, "currency": "usd"}],
            "pending": [{"amount": 0, "currency": "usd"}],
        },
    }


def test_the_balance_is_the_sum_of_its_transactions(wire):
    wire.pay(payment_method="pm_card_visa", amount=1000)
    wire.pay(payment_method="pm_card_visa", amount=1000, currency="eur")
    wire.pay(payment_method="pm_card_bypassPending", amount=2000)
    disputed = wire.pay(payment_method="pm_card_createDispute", amount=700)
    back = wire.pay(payment_method="pm_card_refundFail", amount=500)
    wire.ok("/v1/refunds", {"payment_intent": back["id"], "amount": 200})
    wire.simulator.advance_clock(10)
    dispute = wire.get("/v1/disputes", {"payment_intent": disputed["id"]}).json()["data"][0]
    wire.ok(f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": "winning_evidence"})
    wire.simulator.advance_clock(10)
    for _ in range(2):
        sums: dict = {"available": {"usd": 0, "eur": 0}, "pending": {"usd": 0, "eur": 0}}
        for transaction in listed(wire, limit=100):
            sums[transaction["status"]][transaction["currency"]] += transaction["net"]
        assert balance(wire) == sums
        wire.simulator.advance_clock(WEEK + 24 * 3600)
    assert balance(wire)["pending"] == {"usd": 0, "eur": 0}


def test_a_charges_money_is_pending_for_a_week(wire):
    paid = wire.pay(payment_method="pm_card_visa", amount=1000)
    (transaction,) = listed(wire)
    assert (transaction["fee"], transaction["net"], transaction["status"]) == (59, 941, "pending")
    assert transaction["available_on"] % (24 * 3600) == 0
    assert balance(wire) == {"available": {"usd": 0}, "pending": {"usd": 941}}
    wire.simulator.advance_clock(WEEK)
    assert listed(wire)[0]["status"] == "available"
    form = {"expand[]": "latest_charge.balance_transaction"}
    shown = wire.get(f"/v1/payment_intents/{paid['id']}", form).json()["latest_charge"]
    assert shown["balance_transaction"]["status"] == "available"
    assert balance(wire) == {"available": {"usd": 941}, "pending": {"usd": 0}}


def test_descriptions_are_those_of_the_movement(wire):
    paid = wire.pay(payment_method="pm_card_visa", description="a grinder")
    wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 40})
    bare = wire.pay(payment_method="pm_card_visa")
    wire.ok("/v1/refunds", {"payment_intent": bare["id"], "amount": 40})
    assert [t["description"] for t in listed(wire)[::-1]] == [
        "a grinder",
        "REFUND FOR CHARGE (a grinder)",
        None,
        "REFUND FOR CHARGE",
    ]


def test_every_filter(wire):
    paid = wire.pay(payment_method="pm_card_visa", amount=1000)
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    euros = wire.pay(payment_method="pm_card_createDispute", amount=900, currency="eur")
    assert [t["type"] for t in listed(wire)] == ["adjustment", "charge", "refund", "charge"]
    assert [t["type"] for t in listed(wire, type="refund")] == ["refund"]
    assert listed(wire, type="bogus_type") == []
    assert [t["amount"] for t in listed(wire, currency="eur")] == [-900, 900]
    assert [t["amount"] for t in listed(wire, currency="eur", type="charge")] == [900]
    assert listed(wire, currency="jpy") == []
    assert [t["source"] for t in listed(wire, source=paid["latest_charge"])] == [
        paid["latest_charge"]
    ]
    assert [t["source"] for t in listed(wire, source=refund["id"])] == [refund["id"]]
    assert listed(wire, source=refund["id"], type="charge") == []
    dispute = wire.get("/v1/disputes", {"payment_intent": euros["id"]}).json()["data"][0]
    assert listed(wire, source=dispute["id"]) == []  # recorded
    assert listed(wire, **{"created[lt]": paid["created"] - 10}) == []
    answer = wire.get("/v1/balance_transactions", {"payout": "po_nope"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "resource_missing",
        "payout",
    )
    assert error["message"] == "No such payout: 'po_nope'"


def test_an_unknown_transaction_is_404_with_param_id(wire):
    answer = wire.get("/v1/balance_transactions/txn_nope")
    assert answer.json()["error"]["message"] == "No such balance transaction: 'txn_nope'"
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id")


@pytest.fixture
def later(wire_to):
    with SimulatorThread(Config(async_balance=True)) as simulator:
        yield wire_to(simulator)


def test_with_async_balance_the_transaction_lands_a_moment_later(later):
    paid = later.pay(payment_method="pm_card_visa", **{"expand[]": "latest_charge"})
    assert paid["latest_charge"]["balance_transaction"] is None
    assert listed(later) == [] and "charge.updated" not in later.event_types()
    later.simulator.advance_clock(5)
    charge = later.get(f"/v1/charges/{paid['latest_charge']['id']}").json()
    assert charge["balance_transaction"] == listed(later)[0]["id"]
    told = later.events(type="charge.updated")
    assert [e["data"]["previous_attributes"] for e in told] == [{"balance_transaction": None}]


@pytest.mark.parametrize("capture_method", ["automatic", "manual"])
def test_with_async_balance_other_captures_are_booked_at_once(later, capture_method):
    paid = later.pay(payment_method="pm_card_visa", capture_method=capture_method)
    if capture_method == "manual":
        later.ok(f"/v1/payment_intents/{paid['id']}/capture")
    assert later.get(f"/v1/charges/{paid['latest_charge']}").json()["balance_transaction"]


def test_with_async_balance_a_refund_gets_its_reference_later(later):
    paid = later.pay(payment_method="pm_card_visa", capture_method="automatic")
    refund = later.ok("/v1/refunds", {"payment_intent": paid["id"]})
    assert refund["destination_details"]["card"]["reference_status"] == "pending"
    later.simulator.advance_clock(5)
    shown = later.get(f"/v1/refunds/{refund['id']}").json()["destination_details"]["card"]
    assert shown["reference_status"] == "available" and shown["reference"].isdigit()
    assert later.event_types()[-2:] == ["refund.updated", "charge.refund.updated"]
    assert later.events()[-1]["data"]["previous_attributes"] == {
        "destination_details": {"card": {"reference_status": "pending", "reference": None}}
    }
