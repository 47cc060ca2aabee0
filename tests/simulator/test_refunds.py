"""Refunds: partial, too much, twice, later success and later failure."""


def test_partial_refunds_add_up_and_the_rest_is_known(wire):
    paid = wire.pay(payment_method=wire.card())
    first = wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 100})
    assert (first["status"], first["amount"], first["charge"]) == (
        "succeeded",
        100,
        paid["latest_charge"],
    )
    status, error = wire.error("/v1/refunds", {"charge": paid["latest_charge"], "amount": 400})
    assert (status, error["param"]) == (400, "amount") and "code" not in error
    assert error["message"] == (
        "Refund amount ($4.00) is greater than unrefunded amount on charge ($3.40)"
    )
    assert wire.ok("/v1/refunds", {"payment_intent": paid["id"]})["amount"] == 340
    charge = wire.get(f"/v1/charges/{paid['latest_charge']}").json()
    assert (charge["refunded"], charge["amount_refunded"]) == (True, 440)
    status, error = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert (status, error["code"]) == (400, "charge_already_refunded")
    assert error["message"] == f"Charge {charge['id']} has already been refunded."
    found = wire.get("/v1/refunds", {"payment_intent": paid["id"]}).json()["data"]
    assert sum(r["amount"] for r in found) == 440


def test_refused_refunds_in_stripes_words(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    _, error = wire.error("/v1/refunds", {"payment_intent": held["id"]})
    assert error["message"].startswith(
        f"This uncaptured Charge was created by a PaymentIntent ({held['id']}). You must cancel"
    )
    bare = wire.intent()
    _, error = wire.error("/v1/refunds", {"payment_intent": bare["id"]})
    assert error["message"] == (
        f"This PaymentIntent ({bare['id']}) does not have a successful charge to refund."
    )
    _, error = wire.error("/v1/refunds")
    assert error["message"] == (
        "One of the following params should be provided for this request: payment_intent or charge."
    )
    paid = wire.pay(payment_method=wire.card())
    _, error = wire.error("/v1/refunds", {"payment_intent": paid["id"], "amount": 0})
    assert error["code"] == "parameter_invalid_integer"


def test_a_pending_refund_succeeds_later(wire):
    paid = wire.pay(payment_method=wire.card("4000000000007726"))
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    assert refund["status"] == "pending"
    wire.simulator.advance_clock(60)
    assert wire.get(f"/v1/refunds/{refund['id']}").json()["status"] == "succeeded"
    assert wire.event_types()[-1] == "refund.updated"


def test_a_refund_can_fail_after_it_succeeded_and_the_money_is_back(wire):
    paid = wire.pay(payment_method=wire.card("4000000000005126"), **{"metadata[order_id]": "o"})
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    assert refund["status"] == "succeeded"
    assert wire.simulator.audit("order_id")["groups"][0]["amount_refunded"] == 440
    wire.simulator.advance_clock(60)
    failed = wire.get(f"/v1/refunds/{refund['id']}").json()
    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert wire.get(f"/v1/charges/{paid['latest_charge']}").json()["amount_refunded"] == 0
    assert wire.simulator.audit("order_id")["groups"][0]["amount_refunded"] == 0
    assert wire.event_types()[-2:] == ["refund.updated", "refund.failed"]


def test_a_refunds_events_are_its_own_and_the_charges(wire):
    paid = wire.pay(payment_method=wire.card())
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"], "metadata[refund_id]": "r1"})
    assert wire.event_types()[-2:] == ["refund.created", "charge.refunded"]
    transaction = wire.get(f"/v1/balance_transactions/{refund['balance_transaction']}").json()
    assert (transaction["amount"], transaction["type"]) == (-440, "refund")
    assert wire.ok(f"/v1/refunds/{refund['id']}", {"metadata[a]": "b"})["metadata"] == {
        "refund_id": "r1",
        "a": "b",
    }


def test_a_refund_that_the_balance_does_not_cover_is_refused_and_that_is_saved(wire):
    wire.simulator.add_fault(kind="insufficient_balance", match={"times": 3})
    paid = wire.pay(payment_method=wire.card())
    form = {"payment_intent": paid["id"], "amount": 40}
    status, error = wire.error("/v1/refunds", form, idempotency_key="r1")
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["message_code"] == "insufficient_balance_for_refund" and "code" not in error
    wire.simulator.clear_faults()
    again = wire.post("/v1/refunds", form, idempotency_key="r1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (400, "true")
    assert wire.ok("/v1/refunds", form, idempotency_key="r2")["status"] == "succeeded"


def test_a_disputed_charge_is_not_refunded(wire):
    paid = wire.pay(payment_method="pm_card_createDispute")
    status, error = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert (status, error["code"]) == (400, "charge_disputed")
    dispute = wire.get("/v1/disputes").json()["data"][0]
    assert dispute["payment_method_details"]["card"]["network"] == "visa"
    asked = wire.pay(payment_method="pm_card_createDisputeInquiry")
    assert wire.ok("/v1/refunds", {"payment_intent": asked["id"]})["status"] == "succeeded"
