"""What `payment_method_options[card]` says before the intent does."""

import pytest

OPTIONS = "payment_method_options[card]"


@pytest.mark.parametrize(
    ("of_card", "of_intent", "is_saved"),
    [("off_session", "", True), ("none", "off_session", False), ("", "on_session", True)],
)
def test_a_cards_own_future_usage_comes_first(wire, of_card, of_intent, is_saved):
    customer, card = wire.customer(), wire.card()
    usage = {f"{OPTIONS}[setup_future_usage]": of_card, "setup_future_usage": of_intent}
    wire.pay(customer=customer, payment_method=card, **usage)
    owner = wire.get(f"/v1/payment_methods/{card}").json()["customer"]
    assert owner == (customer if is_saved else None)


def test_a_cards_own_capture_method_holds_the_money_and_can_be_unset(wire):
    manual = {f"{OPTIONS}[capture_method]": "manual"}
    held = wire.pay(payment_method=wire.card(), **manual)
    assert (held["status"], held["capture_method"]) == ("requires_capture", "automatic_async")
    charge = wire.get(f"/v1/charges/{held['latest_charge']}").json()
    assert "capture_before" in charge["payment_method_details"]["card"]
    assert wire.ok(f"/v1/payment_intents/{held['id']}/capture")["status"] == "succeeded"
    made = wire.intent(**manual)
    unset = {f"{OPTIONS}[capture_method]": "", "payment_method": wire.card()}
    paid = wire.ok(f"/v1/payment_intents/{made['id']}/confirm", unset)
    assert paid["status"] == "succeeded"
    assert "capture_method" not in paid["payment_method_options"]["card"]
