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


def test_a_failed_charge_without_an_intent_is_not_refunded(wire):
    declined = {"amount": 440, "currency": "usd", "source": "tok_chargeDeclined"}
    charge = wire.error("/v1/charges", declined)[1]["charge"]
    status, error = wire.error("/v1/refunds", {"charge": charge})
    assert (status, charge in error["message"]) == (400, True)


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
    assert wire.event_types()[-2:] == ["refund.updated", "charge.refund.updated"]
    assert wire.events()[-2]["data"]["previous_attributes"] == {"status": "pending"}


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
    assert wire.event_types()[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]
    back = wire.get(f"/v1/balance_transactions/{failed['failure_balance_transaction']}").json()
    assert (back["type"], back["amount"], back["net"]) == ("refund_failure", 440, 440)


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


def test_a_cards_refund_can_be_neither_canceled_nor_expired(wire):
    paid = wire.pay(payment_method="pm_card_pendingRefund")
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    status, error = wire.error(f"/v1/refunds/{refund['id']}/cancel")
    assert (status, error["message"]) == (400, "Canceling this refund is unsupported.")
    assert "code" not in error and "param" not in error
    status, error = wire.error(f"/v1/test_helpers/refunds/{refund['id']}/expire")
    assert (status, error["type"]) == (400, "invalid_request_error") and "code" not in error
    status, error = wire.error("/v1/refunds/re_nope/cancel")
    assert (status, error["message"]) == (404, "No such refund: 're_nope'")


def test_only_what_was_captured_can_be_refunded(wire):
    held = wire.pay(payment_method="pm_card_visa", capture_method="manual", amount=6500)
    wire.ok(f"/v1/payment_intents/{held['id']}/capture", {"amount_to_capture": 5000})
    charge = wire.get(f"/v1/charges/{held['latest_charge']}").json()
    assert (charge["amount_captured"], charge["amount_refunded"]) == (5000, 0)
    _, error = wire.error("/v1/refunds", {"charge": charge["id"], "amount": 5001})
    assert error["message"] == (
        "Refund amount ($50.01) is greater than unrefunded amount on charge ($50.00)"
    )
    assert wire.ok("/v1/refunds", {"charge": charge["id"]})["amount"] == 5000
    assert wire.get(f"/v1/charges/{charge['id']}").json()["refunded"] is True


def test_reasons_are_those_of_the_caller(wire):
    paid = wire.pay(payment_method="pm_card_visa")
    for reason in ("expired_uncaptured_charge", "bored"):
        _, error = wire.error("/v1/refunds", {"payment_intent": paid["id"], "reason": reason})
        assert error["message"] == (
            "Invalid reason: must be one of duplicate, fraudulent, or requested_by_customer"
        )
        assert error["param"] == "reason" and "code" not in error
    form = {"payment_intent": paid["id"], "reason": "duplicate"}
    assert wire.ok("/v1/refunds", form)["reason"] == "duplicate"


def test_nothing_of_connect_is_given_back(wire):
    paid = wire.pay(payment_method="pm_card_visa")
    for name in ("reverse_transfer", "refund_application_fee"):
        status, _ = wire.error("/v1/refunds", {"payment_intent": paid["id"], name: "true"})
        assert status == 400
    assert wire.get("/v1/refunds").json()["data"] == []
    form = {"payment_intent": paid["id"], "reverse_transfer": "false"}
    assert wire.ok("/v1/refunds", form)["status"] == "succeeded"


def test_an_unknown_charge_is_404_with_param_id(wire):
    status, error = wire.error("/v1/refunds", {"charge": "ch_unknown"})
    assert (status, error["code"], error["param"]) == (404, "resource_missing", "id")
    assert error["message"] == "No such charge: 'ch_unknown'"


def test_lists_are_filtered_paged_and_counted(wire):
    first, second = wire.pay(payment_method="pm_card_visa"), wire.pay(payment_method="pm_card_visa")
    made = [wire.ok("/v1/refunds", {"payment_intent": first["id"], "amount": 10})["id"]
            for _ in range(3)]  # fmt: skip
    wire.ok("/v1/refunds", {"payment_intent": second["id"]})
    page = wire.get("/v1/refunds", {"payment_intent": first["id"], "limit": 2}).json()
    assert ([r["id"] for r in page["data"]], page["has_more"]) == (made[:0:-1], True)
    assert page["count"] == 2 and page["url"] == "/v1/refunds"
    rest = wire.get("/v1/refunds", {"charge": first["latest_charge"], "starting_after": made[1]})
    assert [r["id"] for r in rest.json()["data"]] == made[:1]
    assert wire.get("/v1/refunds", {"created[gt]": first["created"] + 1000}).json()["count"] == 0
    scoped = wire.get(f"/v1/charges/{first['latest_charge']}/refunds").json()
    assert len(scoped["data"]) == 3 and "count" not in scoped
    charge = wire.get(f"/v1/charges/{first['latest_charge']}", {"expand[]": "refunds"}).json()
    assert charge["refunds"]["total_count"] == 3


def test_a_charges_own_address_of_a_refund(wire):
    paid, other = wire.pay(payment_method="pm_card_visa"), wire.pay(payment_method="pm_card_visa")
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 10})
    path = f"/v1/charges/{paid['latest_charge']}/refunds/{refund['id']}"
    assert wire.get(path).json()["id"] == refund["id"]
    assert wire.ok(path, {"metadata[a]": "b"})["metadata"] == {"a": "b"}
    answer = wire.get(f"/v1/charges/{other['latest_charge']}/refunds/{refund['id']}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "refund")
    assert answer.json()["error"]["message"] == f"No such refund: '{refund['id']}'"


def test_events_say_what_a_refund_changed(wire):
    paid = wire.pay(payment_method="pm_card_visa")
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 40})
    told = wire.events(type="charge.refunded")[0]["data"]
    assert told["previous_attributes"] == {"amount_refunded": 0}
    wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    told = wire.events(type="charge.refunded")[1]["data"]
    assert told["previous_attributes"] == {"amount_refunded": 40, "refunded": False}
    wire.ok(f"/v1/refunds/{refund['id']}", {"metadata[a]": "b"})
    assert wire.event_types()[-2:] == ["refund.updated", "charge.refund.updated"]
    assert wire.events()[-1]["data"]["previous_attributes"] == {"metadata": {"a": None}}


def test_a_hold_that_is_given_back_is_over_whatever_the_card_does_to_refunds(wire):
    """A direct charge's hold may be refunded; no money moves, so none comes back later."""
    for token, status in (("tok_refundFail", "succeeded"), ("tok_pendingRefund", "succeeded")):
        form = {"amount": 440, "currency": "usd", "source": token, "capture": "false"}
        held = wire.ok("/v1/charges", {**form, "metadata[order_id]": token})
        refund = wire.ok("/v1/refunds", {"charge": held["id"]})
        assert (refund["status"], refund["balance_transaction"]) == (status, None)
        wire.simulator.advance_clock(60)
        released = wire.get(f"/v1/charges/{held['id']}").json()
        assert (released["refunded"], released["amount_refunded"]) == (True, 440)
        group = wire.simulator.audit("order_id")["groups"][-1]
        assert (group["key"], group["amount_refunded"]) == (token, 0)
    assert wire.get("/v1/balance_transactions").json()["data"] == []
