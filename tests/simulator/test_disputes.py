"""Disputes: how they open, what evidence and time do to them, and the money they move."""

import pytest

DAY = 24 * 3600
PAYMENT = "charge.succeeded", "payment_intent.succeeded"


def disputed(wire, card="pm_card_createDispute", **params):
    """The paid intent and its disputes, newest first."""
    paid = wire.pay(payment_method=card, **params)
    return paid, wire.get("/v1/disputes", {"payment_intent": paid["id"]}).json()["data"]


def dispute_of(wire, card="pm_card_createDispute", **params):
    return disputed(wire, card, **params)[1][0]


def submit(wire, dispute, text, **params):
    form = {"evidence[uncategorized_text]": text, **params}
    return wire.ok(f"/v1/disputes/{dispute['id']}", form)


def read(wire, dispute):
    return wire.get(f"/v1/disputes/{dispute['id']}").json()


def types_since(wire, count):
    return wire.event_types()[count:]


@pytest.mark.parametrize(
    ("card", "status", "reason", "case", "code", "refundable"),
    [
        ("createDispute", "needs_response", "fraudulent", "chargeback", "10.4", False),
        ("createDisputeProductNotReceived", "needs_response", "product_not_received",
         "chargeback", "13.1", False),
        ("createDisputeInquiry", "warning_needs_response", "fraudulent", "inquiry", "10", True),
        ("createCe3EligibleDispute", "needs_response", "fraudulent", "chargeback", "10.4", False),
        ("createComplianceDispute", "needs_response", "noncompliant", "compliance", None, False),
        ("createMastercardComplianceDispute", "needs_response", "noncompliant", "compliance",
         None, False),
        ("createEthocaAlert", "needs_response", "fraudulent", "chargeback", "4837", False),
    ],
)  # fmt: skip
def test_a_dispute_card_opens_its_dispute(wire, card, status, reason, case, code, refundable):
    paid, found = disputed(wire, f"pm_card_{card}")
    (dispute,) = found
    details = dispute["payment_method_details"]["card"]
    assert (dispute["status"], dispute["reason"]) == (status, reason)
    assert (details["case_type"], details["network_reason_code"]) == (case, code)
    assert dispute["is_charge_refundable"] is refundable
    assert (dispute["amount"], dispute["charge"]) == (440, paid["latest_charge"])
    assert wire.get(f"/v1/charges/{paid['latest_charge']}").json()["disputed"] is True
    bare = wire.ok("/v1/customers", {"email": "b@example.com"})
    _, again = disputed(wire, f"pm_card_{card}", customer=bare["id"])
    assert again[0]["evidence"]["customer_email_address"] == "b@example.com"


def test_a_chargeback_opens_between_the_charge_and_the_success(wire):
    dispute = dispute_of(wire)
    assert [t for t in wire.event_types() if not t.startswith("payment_method")] == [
        "payment_intent.created",
        "charge.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]
    due_by = dispute["evidence_details"]["due_by"]
    assert (due_by + 1) % DAY == 0 and due_by // DAY - dispute["created"] // DAY == 8


def test_an_inquiry_is_not_told_what_was_sold(wire):
    told = dispute_of(wire, description="a grinder")["evidence"]
    asked = dispute_of(wire, "pm_card_createDisputeInquiry", description="a grinder")["evidence"]
    assert told["product_description"] == "a grinder"
    assert asked["product_description"] is None


def test_an_inquiry_moves_no_money(wire):
    dispute = dispute_of(wire, "pm_card_createDisputeInquiry")
    assert dispute["balance_transactions"] == []
    assert "charge.dispute.funds_withdrawn" not in wire.event_types()


def test_a_hold_is_disputed_when_it_is_captured_and_for_what_was_captured(wire):
    held, found = disputed(wire, capture_method="manual")
    assert found == []
    seen = len(wire.event_types())
    wire.ok(f"/v1/payment_intents/{held['id']}/capture", {"amount_to_capture": 300})
    (dispute,) = wire.get("/v1/disputes", {"charge": held["latest_charge"]}).json()["data"]
    assert dispute["amount"] == 300
    assert types_since(wire, seen) == [
        "charge.captured",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "payment_intent.succeeded",
    ]


def test_the_money_leaves_at_once_unless_the_charges_own_is_booked_already(wire):
    (at_once,) = dispute_of(wire)["balance_transactions"]
    assert (at_once["status"], at_once["available_on"]) == ("available", at_once["created"])
    (waits,) = dispute_of(wire, capture_method="automatic")["balance_transactions"]
    held, _ = disputed(wire, capture_method="manual")
    wire.ok(f"/v1/payment_intents/{held['id']}/capture")
    dispute = wire.get("/v1/disputes", {"charge": held["latest_charge"]}).json()["data"][0]
    for withdrawal in (waits, dispute["balance_transactions"][0]):
        assert withdrawal["status"] == "pending"
        assert withdrawal["available_on"] % DAY == 0


def test_the_withdrawal_has_a_fee_and_the_reversal_none(wire):
    dispute = dispute_of(wire)
    (withdrawal,) = dispute["balance_transactions"]
    assert (withdrawal["amount"], withdrawal["fee"], withdrawal["net"]) == (-440, 1500, -1940)
    assert withdrawal["fee_details"][0]["description"] == "Dispute fee"
    assert (withdrawal["type"], withdrawal["reporting_category"]) == ("adjustment", "dispute")
    assert withdrawal["description"] == f"Chargeback withdrawal for {dispute['charge']}"
    submit(wire, dispute, "winning_evidence")
    wire.simulator.advance_clock(10)
    reversal = read(wire, dispute)["balance_transactions"][1]
    assert (reversal["amount"], reversal["fee"], reversal["net"]) == (440, 0, 440)
    assert reversal["reporting_category"] == "dispute_reversal"
    found = wire.get(f"/v1/balance_transactions/{reversal['id']}", {"expand[]": "source"}).json()
    assert found["source"]["id"] == dispute["id"]


@pytest.mark.parametrize(
    ("card", "text", "status", "events"),
    [
        ("createDispute", "winning_evidence", "won",
         ["charge.dispute.funds_reinstated", "charge.dispute.closed"]),
        ("createDispute", "losing_evidence", "lost", ["charge.dispute.closed"]),
        ("createDispute", "escalate_inquiry_evidence", "under_review", []),
        ("createDispute", "anything else", "under_review", []),
        ("createDisputeInquiry", "winning_evidence", "warning_closed", ["charge.dispute.closed"]),
        ("createDisputeInquiry", "losing_evidence", "warning_closed", ["charge.dispute.closed"]),
        ("createDisputeInquiry", "anything else", "warning_under_review", []),
        ("createDisputeInquiry", "escalate_inquiry_evidence", "needs_response",
         ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]),
    ],
)  # fmt: skip
def test_evidence_is_under_review_and_then_decides(wire, card, text, status, events):
    dispute = dispute_of(wire, f"pm_card_{card}")
    seen = len(wire.event_types())
    sent = submit(wire, dispute, text)
    assert sent["status"] in ("under_review", "warning_under_review")
    assert sent["evidence_details"]["submission_count"] == 1
    assert types_since(wire, seen) == ["charge.dispute.updated", "charge.updated"]
    wire.simulator.advance_clock(10)
    assert read(wire, dispute)["status"] == status
    assert types_since(wire, seen + 2) == events


def test_an_update_says_what_it_changed(wire):
    dispute = dispute_of(wire)
    submit(wire, dispute, "a receipt", **{"metadata[case]": "7"})
    told = wire.events(type="charge.dispute.updated")[0]["data"]
    assert told["previous_attributes"] == {
        "evidence": {"uncategorized_text": None},
        "evidence_details": {
            "has_evidence": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "metadata": {"case": None},
        "status": "needs_response",
    }


def test_staged_evidence_waits_until_it_is_submitted(wire):
    dispute = dispute_of(wire)
    staged = submit(wire, dispute, "winning_evidence", submit="false")
    assert (staged["status"], staged["evidence_details"]["has_evidence"]) == (
        "needs_response",
        True,
    )
    assert staged["evidence_details"]["submission_count"] == 0
    wire.simulator.advance_clock(10)
    assert read(wire, dispute)["status"] == "needs_response"
    assert wire.ok(f"/v1/disputes/{dispute['id']}", {"submit": "true"})["status"] == "under_review"
    wire.simulator.advance_clock(10)
    assert read(wire, dispute)["status"] == "won"


def test_metadata_alone_submits_nothing(wire):
    dispute = dispute_of(wire)
    noted = wire.ok(f"/v1/disputes/{dispute['id']}", {"metadata[a]": "b"})
    assert (noted["status"], noted["metadata"]) == ("needs_response", {"a": "b"})
    assert noted["evidence_details"]["submission_count"] == 0


def test_who_does_not_respond_in_time_loses(wire):
    dispute = dispute_of(wire)
    wire.simulator.advance_clock(7 * DAY)
    assert read(wire, dispute)["status"] == "needs_response"
    wire.simulator.advance_clock(2 * DAY)
    assert read(wire, dispute)["status"] == "lost"
    assert wire.event_types()[-2:] == ["charge.dispute.closed", "charge.updated"]


def test_submitted_evidence_outlives_the_deadline(wire):
    dispute = dispute_of(wire)
    submit(wire, dispute, "a receipt")
    wire.simulator.advance_clock(10 * DAY)
    assert read(wire, dispute)["status"] == "under_review"


def test_an_inquiry_that_no_bank_escalates_ends(wire):
    dispute = dispute_of(wire, "pm_card_createDisputeInquiry")
    wire.simulator.advance_clock(30 * DAY)
    assert read(wire, dispute)["status"] == "warning_needs_response"
    wire.simulator.advance_clock(91 * DAY)
    assert read(wire, dispute)["status"] == "warning_closed"


def test_closing_is_a_loss_at_once_and_nothing_follows(wire):
    dispute = dispute_of(wire)
    path = f"/v1/disputes/{dispute['id']}"
    assert wire.ok(f"{path}/close")["status"] == "lost"
    assert wire.event_types()[-2:] == ["charge.dispute.closed", "charge.updated"]
    for call, form in ((path, {"evidence[uncategorized_text]": "x"}), (f"{path}/close", None)):
        status, error = wire.error(call, form)
        assert (status, error["message"]) == (400, "This dispute is already closed")
        assert "code" not in error and "param" not in error


def test_money_in_dispute_is_not_refunded_and_won_money_is(wire):
    paid, (dispute,) = disputed(wire)
    status, error = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert (status, error["code"]) == (400, "charge_disputed")
    assert error["message"] == (
        f"Charge {paid['latest_charge']} has been charged back; cannot issue a refund."
    )
    submit(wire, dispute, "winning_evidence")
    wire.simulator.advance_clock(10)
    assert read(wire, dispute)["is_charge_refundable"] is True
    assert wire.ok("/v1/refunds", {"payment_intent": paid["id"]})["status"] == "succeeded"


def test_lost_money_stays_unrefundable(wire):
    paid, (dispute,) = disputed(wire)
    wire.ok(f"/v1/disputes/{dispute['id']}/close")
    _, error = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert error["code"] == "charge_disputed"


@pytest.mark.parametrize(("seconds", "status"), [(5, "failed"), (300, "succeeded")])
def test_a_refund_of_the_last_moments_fails_when_its_inquiry_escalates(wire, seconds, status):
    paid, (dispute,) = disputed(wire, "pm_card_createDisputeInquiry")
    refund = wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 40})
    assert refund["status"] == "succeeded"
    wire.simulator.advance_clock(seconds)
    submit(wire, dispute, "escalate_inquiry_evidence")
    wire.simulator.advance_clock(10)
    found = wire.get(f"/v1/refunds/{refund['id']}").json()
    assert found["status"] == status
    reason = "charge_for_pending_refund_disputed" if status == "failed" else None
    assert found.get("failure_reason") == reason
    escalated = read(wire, dispute)
    assert escalated["payment_method_details"]["card"]["case_type"] == "chargeback"
    assert escalated["balance_transactions"][0]["amount"] == -440


def test_several_disputes_share_the_payment_and_each_holds_it(wire):
    paid, found = disputed(wire, "pm_card_createMultipleDisputes", amount=441)
    assert sorted(d["amount"] for d in found) == [220, 221]
    submit(wire, found[0], "winning_evidence")
    wire.simulator.advance_clock(10)
    _, error = wire.error("/v1/refunds", {"payment_intent": paid["id"]})
    assert error["code"] == "charge_disputed"


def test_compelling_evidence_qualifies_step_by_step(wire):
    dispute = dispute_of(wire, "pm_card_createCe3EligibleDispute")
    assert dispute["enhanced_eligibility_types"] == ["visa_compelling_evidence_3"]
    eligibility = dispute["evidence_details"]["enhanced_eligibility"]
    assert eligibility["visa_compelling_evidence_3"]["status"] == "requires_action"
    at = "evidence[enhanced_evidence][visa_compelling_evidence_3]"
    form = {
        "submit": "false",
        f"{at}[disputed_transaction][customer_purchase_ip]": "203.0.113.7",
        f"{at}[disputed_transaction][product_description]": "a grinder",
        f"{at}[disputed_transaction][merchandise_or_services]": "merchandise",
        f"{at}[prior_undisputed_transactions][0][charge]": "ch_1",
    }
    told = wire.ok(f"/v1/disputes/{dispute['id']}", form)["evidence_details"]
    missing = told["enhanced_eligibility"]["visa_compelling_evidence_3"]["required_actions"]
    assert missing == ["missing_prior_undisputed_transactions"]
    form[f"{at}[prior_undisputed_transactions][1][charge]"] = "ch_2"
    told = wire.ok(f"/v1/disputes/{dispute['id']}", form)["evidence_details"]
    assert told["enhanced_eligibility"] == {
        "visa_compelling_evidence_3": {"required_actions": [], "status": "qualified"}
    }


def test_a_compliance_fee_is_acknowledged(wire):
    dispute = dispute_of(wire, "pm_card_createComplianceDispute")
    at = "evidence[enhanced_evidence][visa_compliance][fee_acknowledged]"
    told = wire.ok(f"/v1/disputes/{dispute['id']}", {at: "true", "submit": "false"})
    assert told["evidence_details"]["enhanced_eligibility"] == {
        "visa_compliance": {"status": "fee_acknowledged"}
    }


def test_the_charges_own_addresses_lead_to_its_dispute(wire):
    paid, (dispute,) = disputed(wire)
    path = f"/v1/charges/{paid['latest_charge']}/dispute"
    assert wire.get(path).json()["id"] == dispute["id"]
    assert wire.ok(path, {"metadata[a]": "b"})["metadata"] == {"a": "b"}
    assert wire.ok(f"{path}/close")["status"] == "lost"
    clean = wire.pay(payment_method="pm_card_visa")
    answer = wire.get(f"/v1/charges/{clean['latest_charge']}/dispute")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        404,
        f"No dispute for charge: {clean['latest_charge']}",
    )
    answer = wire.get("/v1/charges/ch_nope/dispute")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "charge")
    answer = wire.get("/v1/disputes/du_nope")
    assert answer.json()["error"]["message"] == "No such dispute: 'du_nope'"
    assert answer.json()["error"]["param"] == "dispute"


def test_the_list_is_filtered_and_counts_its_page(wire):
    first, _ = disputed(wire)
    wire.simulator.advance_clock(100)
    disputed(wire)
    page = wire.get("/v1/disputes", {"charge": first["latest_charge"]}).json()
    assert (page["count"], len(page["data"]), page["url"]) == (1, 1, "/v1/disputes")
    since = first["created"] + 50
    assert wire.get("/v1/disputes", {"created[gte]": since}).json()["count"] == 1
    assert wire.get("/v1/disputes", {"limit": 1}).json()["has_more"] is True


def test_older_versions_show_what_was_recorded(wire):
    dispute = dispute_of(wire)
    old = wire.get(f"/v1/disputes/{dispute['id']}", version="2026-08-26.dahlia").json()
    assert old["balance_transaction"] == old["balance_transactions"][0]["id"]
    assert "submission_method" not in old["evidence_details"]
    assert "balance_transaction" not in dispute
    assert dispute["evidence_details"]["submission_method"] == "not_submitted"


def test_an_early_fraud_warning_comes_without_a_dispute(wire):
    paid, found = disputed(wire, "pm_card_createIssuerFraudRecord")
    assert found == []
    order = [t for t in wire.event_types() if t in PAYMENT or t.startswith("radar")]
    assert order == [PAYMENT[0], "radar.early_fraud_warning.created", PAYMENT[1]]
    page = wire.get("/v1/radar/early_fraud_warnings", {"charge": paid["latest_charge"]}).json()
    (warning,) = page["data"]
    assert warning["actionable"] and warning["payment_intent"] == paid["id"]
    path = f"/v1/radar/early_fraud_warnings/{warning['id']}"
    assert wire.get(path, {"expand[]": "charge"}).json()["charge"]["id"] == warning["charge"]
    wire.ok("/v1/refunds", {"payment_intent": paid["id"]})
    assert wire.get(path).json()["actionable"] is False
    assert wire.event_types()[-1] == "radar.early_fraud_warning.updated"
    assert wire.get("/v1/radar/early_fraud_warnings/issfr_nope").status_code == 404
