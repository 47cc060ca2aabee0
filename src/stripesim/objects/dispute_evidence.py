"""A dispute's evidence: what can be said, what is there from the start, and what makes it eligible
for a network's own programme (Visa Compelling Evidence 3.0, the compliance cases).
"""

from typing import Any

from stripesim.world import Call

Json = dict[str, Any]
FIELDS = (
    "access_activity_log", "billing_address", "cancellation_policy",
    "cancellation_policy_disclosure", "cancellation_rebuttal", "customer_communication",
    "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
    "duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id",
    "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address",
    "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
    "uncategorized_file", "uncategorized_text",
)  # fmt: skip
NO_EVIDENCE: Json = {**dict.fromkeys(FIELDS), "enhanced_evidence": {}}
FEE_IS_OPEN = {"status": "requires_fee_acknowledgement"}
MISSING_FOR_CE3 = (
    "missing_customer_identifiers",
    "missing_disputed_transaction_description",
    "missing_merchandise_or_services",
    "missing_prior_undisputed_transactions",
)
# What `enhanced_eligibility` says when the dispute is opened.
ELIGIBLE: dict[str, Json] = {
    "mastercard_compliance": FEE_IS_OPEN,
    "visa_compliance": FEE_IS_OPEN,
    "visa_compelling_evidence_3": {
        "required_actions": list(MISSING_FOR_CE3),
        "status": "requires_action",
    },
}
PRIOR_TRANSACTIONS = 2  # documented (docs.stripe.com/disputes/api/visa-ce3): at least two
IDENTIFIERS = (
    "customer_account_id",
    "customer_device_fingerprint",
    "customer_device_id",
    "customer_email_address",
    "customer_purchase_ip",
    "shipping_address",
)


def fill_in(call: Call, dispute: Json, charge: Json) -> None:
    """Recorded: Stripe adds what it knows, the customer's description where the name is missing;
    to an inquiry no description of the product (stripe_world, 2026-08).
    """
    customer = call.world.objects.get("customer", charge["customer"] or "") or {}
    is_inquiry = dispute["payment_method_details"]["card"]["case_type"] == "inquiry"
    dispute["evidence"].update(
        customer_email_address=customer.get("email") or charge["receipt_email"],
        customer_name=customer.get("name") or customer.get("description"),
        product_description=None if is_inquiry else charge["description"],
    )


def apply_evidence(dispute: Json, given: Json) -> None:
    """Stage what was given; an empty value takes a field back."""
    if not given:
        return
    for name, value in given.items():
        if name == "enhanced_evidence":
            dispute["evidence"][name] = dict(value) if isinstance(value, dict) else {}
        else:
            dispute["evidence"][name] = value or None
    dispute["evidence_details"]["has_evidence"] = True
    _judge(dispute)


def _judge(dispute: Json) -> None:
    """What the networks' programmes still ask for, now."""
    enhanced = dispute["evidence"]["enhanced_evidence"]
    eligibility = dispute["evidence_details"]["enhanced_eligibility"]
    for name in eligibility:
        said = enhanced.get(name) or {}
        if name == "visa_compelling_evidence_3":
            missing = _missing_for_ce3(said)
            status = "requires_action" if missing else "qualified"
            eligibility[name] = {"required_actions": missing, "status": status}
        elif said.get("fee_acknowledged"):
            eligibility[name] = {"status": "fee_acknowledged"}


def _missing_for_ce3(said: Json) -> list[str]:
    disputed = said.get("disputed_transaction") or {}
    prior = said.get("prior_undisputed_transactions") or []
    is_there = {
        "missing_customer_identifiers": any(disputed.get(name) for name in IDENTIFIERS),
        "missing_disputed_transaction_description": disputed.get("product_description"),
        "missing_merchandise_or_services": disputed.get("merchandise_or_services"),
        "missing_prior_undisputed_transactions": len(prior) >= PRIOR_TRANSACTIONS,
    }
    return [name for name in MISSING_FOR_CE3 if not is_there[name]]
