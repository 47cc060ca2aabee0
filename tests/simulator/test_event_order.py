"""What each action tells, in Stripe's order, and what stood there before.

The orders are recorded (payments, holds, declines, refunds, disputes) or documented
(docs.stripe.com/api/events/types); `previous_attributes` is there for updates only.
"""

import pytest

SEVEN_DAYS = 7 * 24 * 3600


def attach_and_detach(wire):
    _, card = wire.saved_card()
    wire.ok(f"/v1/payment_methods/{card}", {"metadata[a]": "b"})
    wire.ok(f"/v1/payment_methods/{card}/detach")


def change_a_customer(wire):
    path = f"/v1/customers/{wire.customer()}"
    wire.ok(path, {"email": "b@example.com"})
    wire.send("DELETE", path)


def save_while_paying(wire):
    customer = wire.customer()
    wire.pay(payment_method=wire.card(), customer=customer, setup_future_usage="off_session")


def pass_a_challenge(wire):
    asked = wire.pay(payment_method="pm_card_authenticationRequired")
    wire.simulator.authenticate(asked["id"], "success")


def fail_a_challenge(wire):
    asked = wire.pay(payment_method="pm_card_authenticationRequired")
    wire.simulator.authenticate(asked["id"], "fail")


def cancel_a_hold(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    wire.ok(f"/v1/payment_intents/{held['id']}/cancel")


def let_a_hold_expire(wire):
    wire.pay(payment_method=wire.card(), capture_method="manual")
    wire.simulator.advance_clock(SEVEN_DAYS + 1)


def refund_in_parts(wire):
    paid = wire.pay(payment_method=wire.card())
    for amount in (40, 400):
        wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": amount})


def refund_that_fails(wire):
    paid = wire.pay(payment_method="pm_card_refundFail")
    wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    wire.simulator.advance_clock(60)


def change_a_charge(wire):
    paid = wire.pay(payment_method=wire.card())
    wire.ok(f"/v1/charges/{paid['latest_charge']}", {"description": "d"})


def win_a_dispute(wire):
    paid = wire.pay(payment_method="pm_card_createDispute")
    dispute = wire.get("/v1/disputes", {"payment_intent": paid["id"]}).json()["data"][0]["id"]
    wire.ok(f"/v1/disputes/{dispute}", {"evidence[uncategorized_text]": "winning_evidence"})
    wire.simulator.advance_clock(60)


PAID = [("charge.succeeded", None), ("payment_intent.succeeded", None)]
CREATED = ("payment_intent.created", None)
HELD = [CREATED, ("charge.succeeded", None), ("payment_intent.amount_capturable_updated", None)]
RELEASED = ("charge.refunded", {"amount_refunded", "refunded"})
STORIES = {
    attach_and_detach: [
        ("customer.created", None),
        ("payment_method.attached", None),
        ("payment_method.updated", {"metadata"}),
        ("payment_method.detached", {"customer"}),
    ],
    change_a_customer: [
        ("customer.created", None),
        ("customer.updated", {"email"}),
        ("customer.deleted", None),
    ],
    save_while_paying: [
        ("customer.created", None),
        CREATED,
        ("payment_method.attached", None),
        *PAID,
    ],
    pass_a_challenge: [CREATED, ("payment_intent.requires_action", None), *PAID],
    fail_a_challenge: [
        CREATED,
        ("payment_intent.requires_action", None),
        ("payment_intent.payment_failed", None),
    ],
    cancel_a_hold: [*HELD, RELEASED, ("payment_intent.canceled", None)],
    let_a_hold_expire: [
        *HELD,
        ("charge.expired", None),
        RELEASED,
        ("payment_intent.canceled", None),
    ],
    refund_in_parts: [
        CREATED,
        *PAID,
        ("refund.created", None),
        ("charge.refunded", {"amount_refunded"}),
        ("refund.created", None),
        ("charge.refunded", {"amount_refunded", "refunded"}),
    ],
    refund_that_fails: [
        CREATED,
        *PAID,
        ("refund.created", None),
        ("charge.refunded", {"amount_refunded", "refunded"}),
        ("refund.updated", {"failure_balance_transaction", "failure_reason", "status"}),
        ("charge.refund.updated", {"failure_balance_transaction", "failure_reason", "status"}),
        ("refund.failed", None),
    ],
    change_a_charge: [CREATED, *PAID, ("charge.updated", {"description"})],
    win_a_dispute: [
        CREATED,
        ("charge.succeeded", None),
        ("charge.dispute.created", None),
        ("charge.dispute.funds_withdrawn", None),
        ("payment_intent.succeeded", None),
        ("charge.dispute.updated", {"evidence", "evidence_details", "status"}),
        ("charge.updated", set()),
        ("charge.dispute.funds_reinstated", None),
        ("charge.dispute.closed", None),
    ],
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_an_action_tells_this_in_this_order(wire, story):
    story(wire)
    told = []
    for event in wire.events():
        before = event["data"].get("previous_attributes")
        told.append((event["type"], None if before is None else set(before)))
    assert told == STORIES[story]
