"""Which fields an answer has at which API version, as recordings of 2019 to 2026 show."""

import pytest

from stripesim.wire.versions import SINCE

FIRST, PARIS, BASIL, TODAY = "2022-11-15", "2023-10-16", "2025-03-31.basil", "2026-10-28.endive"


def has(value, path):
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def read(wire, path, version):
    return wire.get(path, version=version).json()


# object, field, a version that does not have it, a version that has it
FIELDS = [
    ("customer", "customer_account", BASIL, "2026-03-25.dahlia"),
    ("payment_method", "card.display_brand", PARIS, "2024-04-10"),
    ("payment_method", "allow_redisplay", PARIS, "2024-04-10"),
    ("payment_method", "card.regulated_status", "2024-06-20", "2024-12-18.acacia"),
    ("payment_method", "billing_details.tax_id", "2025-02-24.acacia", BASIL),
    ("payment_method", "shared_payment_granted_token", "2026-03-25.dahlia", "2026-06-24.dahlia"),
    ("payment_intent", "payment_method_configuration_details", "2023-08-16", PARIS),
    ("payment_intent", "excluded_payment_method_types", BASIL, "2025-10-29.clover"),
    ("payment_intent", "managed_payments", "2026-03-25.dahlia", "2026-05-27.dahlia"),
    ("payment_intent", "allowed_payment_method_types", "2026-05-27.dahlia", "2026-06-24.dahlia"),
    ("charge", "payment_method_details.card.mandate", "2020-08-27", "2022-08-01"),
    ("charge", "payment_method_details.card.network_token", FIRST, "2023-08-16"),
    ("charge", "payment_method_details.card.amount_authorized", "2023-08-16", PARIS),
    ("charge", "payment_method_details.card.authorization_code", "2024-04-10", "2024-06-20"),
    ("charge", "payment_method_details.card.transaction_link_id", "2026-03-25.dahlia", TODAY),
    ("charge", "outcome.network_decline_code", "2024-06-20", "2024-12-18.acacia"),
    ("charge", "outcome.advice_code", "2024-06-20", "2024-12-18.acacia"),
    ("charge", "radar_options", "2024-06-20", "2024-12-18.acacia"),
    ("charge", "amount_updates", "2023-08-16", PARIS),
    ("charge", "amount_updates", TODAY, PARIS),
    ("charge", "refunds", PARIS, "2022-08-01"),
    ("refund", "destination_details", PARIS, "2024-04-10"),
    ("refund", "payment_method", "2026-03-25.dahlia", "2026-06-24.dahlia"),
    ("balance_transaction", "balance_type", BASIL, "2025-10-29.clover"),
]


@pytest.mark.parametrize(("kind", "field", "without", "with_it"), FIELDS)
def test_a_field_is_shown_from_the_version_of_its_recordings_on(
    wire, kind, field, without, with_it
):
    path = path_of(wire, kind)
    assert not has(read(wire, path, without), field)
    assert has(read(wire, path, with_it), field)


def path_of(wire, kind):
    """The address of one object of that kind."""
    if kind == "customer":
        return f"/v1/customers/{wire.customer()}"
    if kind == "payment_method":
        return f"/v1/payment_methods/{wire.card()}"
    if kind == "payment_intent":
        return f"/v1/payment_intents/{wire.intent()['id']}"
    charge = wire.get(f"/v1/charges/{wire.pay(payment_method='pm_card_visa')['latest_charge']}")
    if kind == "charge":
        return f"/v1/charges/{charge.json()['id']}"
    if kind == "balance_transaction":
        return f"/v1/balance_transactions/{charge.json()['balance_transaction']}"
    assert kind == "refund"
    return f"/v1/refunds/{wire.ok('/v1/refunds', {'charge': charge.json()['id']})['id']}"


def test_a_rule_of_the_table_names_a_field_that_the_object_has(wire):
    """A path with a slip of the pen would hide nothing, and nobody would see it."""
    for kind in ("customer", "payment_method", "payment_intent", "charge", "refund"):
        shown = read(wire, path_of(wire, kind), "2026-08-26.dahlia")
        absent = [p for p in SINCE[kind] if not has(shown, p) and p not in NOT_EVERYWHERE]
        assert absent == [], kind


# Only there when asked for, only without named types, or not at that version.
NOT_EVERYWHERE = (
    "tax.provider",
    "automatic_payment_methods.allow_redirects",
    "amount_updates",
    "payment_method_details.card.capture_before",
)


def declined(wire, alias, version):
    form = {"amount": 2000, "currency": "usd", "payment_method_types[]": "card"}
    form |= {"payment_method": f"pm_card_{alias}", "confirm": "true"}
    return wire.error("/v1/payment_intents", form, version=version)[1]


def test_a_decline_tells_more_at_newer_versions(wire):
    old = declined(wire, "visa_chargeDeclined", PARIS)
    middle = declined(wire, "visa_chargeDeclined", "2024-12-18.acacia")
    new = declined(wire, "visa_chargeDeclined", "2025-10-29.clover")
    codes = ("advice_code", "network_decline_code")
    assert [n for n in codes if n in old] == []
    assert [n for n in codes if n in middle] == ["advice_code"]
    assert [n for n in codes if n in new] == ["advice_code", "network_decline_code"]
    for error in (old, middle, new):
        assert error["decline_code"] == "generic_decline"
        inner = error["payment_intent"]["last_payment_error"]
        assert [n for n in codes if n in inner] == [n for n in codes if n in error]


@pytest.mark.parametrize("alias", ["ExpiredCard", "IncorrectCvc", "ProcessingError"])
def test_a_code_that_says_all_had_no_decline_code_beside_it(wire, alias):
    old = declined(wire, f"chargeDeclined{alias}", "2024-04-10")
    new = declined(wire, f"chargeDeclined{alias}", "2025-10-29.clover")
    assert "decline_code" not in old and "decline_code" not in old["payment_intent"]
    assert new["decline_code"] == new["code"] == old["code"]


def test_an_old_version_shows_the_fields_of_its_day_or_of_the_day_that_is_asked_for(
    wire_to, start_stripe_simulator
):
    today = wire_to(start_stripe_simulator(fields_as_of="2026-08-26"))
    its_own = wire_to(start_stripe_simulator())
    for wire, is_there in ((its_own, False), (today, True)):
        form = {"amount": 440, "currency": "usd", "confirm": "true", "payment_method": "pm_card_us"}
        paid = wire.ok("/v1/payment_intents", form, version="2020-08-27")
        assert has(paid, "charges") and has(paid, "latest_charge") == is_there
        charge = read(
            wire, f"/v1/charges/{wire.retrieve(paid['id'])['latest_charge']}", "2019-05-16"
        )
        assert charge["amount_captured"] == 440  # recorded at 2014-12-08 and 2019-11-05 in 2021/22
        customer = read(wire, f"/v1/customers/{wire.customer()}", "2020-08-27")
        new = ("customer_account", "invoice_settings.rendering_options", "default_currency")
        assert [has(customer, field) for field in new] == [is_there] * 3
        declined = {**form, "payment_method": "pm_card_chargeDeclined"}
        _, error = wire.error("/v1/payment_intents", declined, version="2020-08-27")
        assert ("request_log_url" in error) == is_there
        for shown in (error, error["payment_intent"]["last_payment_error"]):
            assert ("network_decline_code" in shown) == is_there
        assert "_sim" not in str(error)
