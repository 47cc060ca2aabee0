"""PaymentIntents: states, confirmation, capture, cancellation, amounts, and every refusal."""

import pytest


def test_create_without_method_waits_for_one_and_with_method_for_confirmation(wire):
    bare = wire.intent()
    assert bare["status"] == "requires_payment_method"
    assert bare["capture_method"] == "automatic_async"
    assert bare["confirmation_method"] == "automatic"
    assert bare["automatic_payment_methods"] == {"enabled": True, "allow_redirects": "always"}
    assert bare["client_secret"].startswith(f"{bare['id']}_secret_")
    card = wire.card()
    named = wire.intent(payment_method=card, **{"payment_method_types[0]": "card"})
    assert (named["status"], named["payment_method"]) == ("requires_confirmation", card)
    assert named["automatic_payment_methods"] is None


def test_a_confirmed_intent_succeeds_once_with_one_charge(wire):
    customer, card = wire.saved_card()
    made = wire.intent(customer=customer, **{"metadata[order_id]": "o1"})
    path = f"/v1/payment_intents/{made['id']}/confirm"
    paid = wire.ok(path, {"payment_method": card})
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 440)
    charge = wire.get(f"/v1/charges/{paid['latest_charge']}").json()
    assert charge["paid"] and charge["captured"] and charge["status"] == "succeeded"
    assert charge["metadata"] == {"order_id": "o1"}
    assert charge["outcome"]["seller_message"] == "Payment complete."
    transaction = wire.get(f"/v1/balance_transactions/{charge['balance_transaction']}").json()
    assert (transaction["amount"], transaction["source"]) == (440, charge["id"])
    status, error = wire.error(path)
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["message"] == (
        "You cannot confirm this PaymentIntent because it has already succeeded after being "
        "previously confirmed."
    )
    assert error["payment_intent"]["id"] == made["id"]
    assert len(wire.get("/v1/charges", {"payment_intent": made["id"]}).json()["data"]) == 1


def test_ids_of_one_payment_share_their_first_part(wire):
    paid = wire.pay(payment_method=wire.card())
    stem = paid["id"].removeprefix("pi_")[:16]
    assert paid["latest_charge"].startswith(f"ch_{stem}") and stem.startswith("3")


def test_a_declined_create_leaves_its_intent_open_and_the_intent_can_be_paid(wire):
    status, error = wire.pay_error(payment_method=wire.card("4000000000000002"))
    assert status == 402
    assert set(error) == {
        "advice_code", "charge", "code", "decline_code", "doc_url", "message",
        "network_decline_code", "payment_intent", "payment_method", "request_log_url", "type",
    }  # fmt: skip
    left = wire.retrieve(error["payment_intent"]["id"])
    assert (left["status"], left["payment_method"]) == ("requires_payment_method", None)
    assert left["latest_charge"] == error["charge"] and left["next_action"] is None
    assert left["last_payment_error"]["decline_code"] == "generic_decline"
    assert left["last_payment_error"]["payment_method"]["id"] == error["payment_method"]["id"]
    failed = wire.get(f"/v1/charges/{error['charge']}").json()
    assert (failed["status"], failed["paid"], failed["captured"]) == ("failed", False, False)
    assert failed["outcome"]["type"] == "issuer_declined"
    paid = wire.ok(f"/v1/payment_intents/{left['id']}/confirm", {"payment_method": wire.card()})
    assert paid["status"] == "succeeded" and paid["last_payment_error"] is None


def test_an_update_clears_the_last_error(wire):
    _, error = wire.pay_error(payment_method=wire.card("4000000000000002"))
    path = f"/v1/payment_intents/{error['payment_intent']['id']}"
    assert wire.ok(path, {"description": "again"})["last_payment_error"] is None


def test_confirm_without_method_says_what_is_missing(wire):
    bare = wire.intent()
    status, error = wire.error(f"/v1/payment_intents/{bare['id']}/confirm")
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["message"].endswith("directly with a payment method or ConfirmationToken.")
    customer = wire.customer()
    owned = wire.intent(customer=customer)
    _, error = wire.error(f"/v1/payment_intents/{owned['id']}/confirm")
    assert f"To confirm the PaymentIntent with {customer}, specify a" in error["message"]


def test_the_customers_default_method_pays_when_none_is_named(wire):
    customer, card = wire.saved_card()
    name = "invoice_settings[default_payment_method]"
    wire.ok(f"/v1/customers/{customer}", {name: card})
    paid = wire.pay(customer=customer)
    assert (paid["status"], paid["payment_method"]) == ("succeeded", card)


def test_payment_method_data_makes_the_method_on_the_way(wire):
    form = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_visa"}
    paid = wire.pay(**form)
    assert paid["status"] == "succeeded" and paid["payment_method"].startswith("pm_1")


def test_a_confirmation_token_confirms_one_intent(wire):
    token = wire.ok(
        "/v1/test_helpers/confirmation_tokens",
        {"payment_method": "pm_card_visa", "return_url": "https://shop.example/back"},
    )
    assert wire.pay(confirmation_token=token["id"])["status"] == "succeeded"
    status, error = wire.pay_error(confirmation_token=token["id"])
    assert (status, error["code"]) == (400, "payment_intent_confirmation_token_invalid")


def test_an_unknown_intent_is_404_with_param_intent(wire):
    answer = wire.get("/v1/payment_intents/pi_nope")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        404,
        "resource_missing",
        "intent",
    )
    assert error["message"] == "No such payment_intent: 'pi_nope'"


@pytest.mark.parametrize("capture_method", ["automatic", "automatic_async"])
def test_both_automatic_captures_take_the_money_at_once(wire, capture_method):
    paid = wire.pay(payment_method=wire.card(), capture_method=capture_method)
    assert (paid["status"], paid["capture_method"]) == ("succeeded", capture_method)


def test_manual_capture_holds_and_then_takes_the_money(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    assert (held["status"], held["amount_capturable"]) == ("requires_capture", 440)
    _, again = wire.error(f"/v1/payment_intents/{held['id']}/confirm")
    assert again["message"] == (
        "You cannot confirm this PaymentIntent because it has a status of requires_capture. Only a "
        "PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, "
        "requires_action."
    )
    assert held["amount_received"] == 0
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 0
    taken = wire.ok(f"/v1/payment_intents/{held['id']}/capture")
    assert (taken["status"], taken["amount_received"]) == ("succeeded", 440)
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1
    status, error = wire.error(f"/v1/payment_intents/{held['id']}/capture")
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["message"] == (
        "This PaymentIntent could not be captured because it has already been captured."
    )
    _, early = wire.error(f"/v1/payment_intents/{wire.intent()['id']}/capture")
    assert early["message"] == (
        "This PaymentIntent could not be captured because it has a status of "
        "requires_payment_method. Only a PaymentIntent with one of the following statuses may be "
        "captured: requires_capture."
    )


def test_a_partial_capture_takes_only_that_and_too_much_is_refused(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    path = f"/v1/payment_intents/{held['id']}/capture"
    assert wire.error(path, {"amount_to_capture": 441})[0] == 400
    assert wire.ok(path, {"amount_to_capture": 100})["amount_received"] == 100


def test_canceling_a_hold_releases_it(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    form = {"cancellation_reason": "abandoned", "expand[]": "latest_charge"}
    gone = wire.ok(f"/v1/payment_intents/{held['id']}/cancel", form)
    assert (gone["status"], gone["cancellation_reason"]) == ("canceled", "abandoned")
    assert gone["latest_charge"]["amount_refunded"] == 440 and gone["canceled_at"]
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 0


def test_a_hold_that_nobody_captures_is_canceled_after_seven_days(wire):
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    wire.simulator.advance_clock(7 * 24 * 3600 + 1)
    gone = wire.retrieve(held["id"])
    assert (gone["status"], gone["cancellation_reason"]) == ("canceled", "automatic")


def test_cancel_is_refused_after_success_and_confirm_after_cancel(wire):
    paid = wire.pay(payment_method=wire.card())
    status, error = wire.error(f"/v1/payment_intents/{paid['id']}/cancel")
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["message"] == (
        "You cannot cancel this PaymentIntent because it has a status of succeeded. Only a "
        "PaymentIntent with one of the following statuses may be canceled: requires_payment_method,"
        " requires_capture, requires_reauthorization, requires_confirmation, requires_action,"
        " expired, processing."
    )
    older = wire.error(f"/v1/payment_intents/{paid['id']}/cancel", version="2024-06-20")[1]
    assert older["message"].endswith(
        ": requires_payment_method, requires_capture, requires_confirmation, requires_action, "
        "processing."
    )
    gone = wire.intent(payment_method=wire.card())
    wire.ok(f"/v1/payment_intents/{gone['id']}/cancel")
    status, error = wire.error(f"/v1/payment_intents/{gone['id']}/confirm")
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1


def test_update_follows_the_state(wire):
    made = wire.intent()
    path = f"/v1/payment_intents/{made['id']}"
    changed = wire.ok(path, {"amount": 500, "payment_method": wire.card(), "metadata[a]": "1"})
    assert (changed["amount"], changed["status"]) == (500, "requires_confirmation")
    assert wire.ok(path, {"payment_method": ""})["status"] == "requires_payment_method"
    wire.ok(f"{path}/confirm", {"payment_method": wire.card()})
    status, error = wire.error(path, {"amount": 600})
    assert (status, error["code"], error["param"]) == (
        400,
        "payment_intent_unexpected_state",
        "amount",
    )
    assert error["message"].startswith(
        "This PaymentIntent's amount could not be updated because it has a status of succeeded."
    )
    assert wire.ok(path, {"metadata[b]": "2"})["metadata"] == {"a": "1", "b": "2"}


def test_the_customer_cannot_be_changed_once_set(wire):
    made = wire.intent()
    path = f"/v1/payment_intents/{made['id']}"
    wire.ok(path, {"customer": wire.customer()})
    status, error = wire.error(path, {"customer": wire.customer()})
    assert status == 400
    assert error["message"].startswith("You cannot modify `customer` on a PaymentIntent once it")


def test_setup_future_usage_can_be_set_and_unset_by_each_confirm(wire):
    customer, card = wire.customer(), wire.card()
    made = wire.intent(customer=customer, setup_future_usage="off_session")
    path = f"/v1/payment_intents/{made['id']}/confirm"
    paid = wire.ok(path, {"payment_method": card, "setup_future_usage": ""})
    assert (paid["status"], paid["setup_future_usage"]) == ("succeeded", None)
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] is None


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (0, "usd", "parameter_invalid_integer"),
        (49, "usd", "amount_too_small"),
        (49, "jpy", "amount_too_small"),
        (29, "gbp", "amount_too_small"),
        (100_000_000, "usd", "amount_too_large"),
        (1005, "kwd", "parameter_invalid_integer"),
        ("4.4", "usd", "parameter_invalid_integer"),
    ],
)
def test_amounts_follow_the_currency(wire, amount, currency, code):
    status, error = wire.error("/v1/payment_intents", {"amount": amount, "currency": currency})
    assert (status, error["code"], error["param"]) == (400, code, "amount")


@pytest.mark.parametrize(("amount", "currency"), [(50, "jpy"), (1010, "kwd"), (30, "gbp")])
def test_the_smallest_amounts_are_accepted(wire, amount, currency):
    made = wire.ok("/v1/payment_intents", {"amount": amount, "currency": currency.upper()})
    assert (made["amount"], made["currency"]) == (amount, currency)


def test_amount_messages_are_stripes(wire):
    _, error = wire.error("/v1/payment_intents", {"amount": 49, "currency": "usd"})
    assert error["message"] == "Amount must be at least $0.50 usd"
    _, error = wire.error("/v1/payment_intents", {"amount": 0, "currency": "usd"})
    assert "currency set (https://docs.stripe.com/currencies" in error["message"]
    assert "amounts).  If you want" in error["message"]
    _, error = wire.error("/v1/payment_intents", {"amount": 440, "currency": "usdz"})
    assert error["param"] == "currency" and "code" not in error
    assert error["message"].startswith(
        "Invalid currency: usdz. Stripe currently supports these currencies: usd, aed, afn,"
    )


def test_return_url_and_off_session_need_confirm(wire):
    for name, value in (("return_url", "https://x.example"), ("off_session", "true")):
        status, error = wire.error(
            "/v1/payment_intents", {"amount": 440, "currency": "usd", name: value}
        )
        assert (status, error["param"]) == (400, name)


def test_too_many_confirms_cancel_the_intent(wire):
    customer, card = wire.saved_card("4000000000000341")
    made = wire.intent(customer=customer)
    path = f"/v1/payment_intents/{made['id']}/confirm"
    for _ in range(100):
        status, _ = wire.error(path, {"payment_method": card})
        assert status == 402
    status, error = wire.error(path, {"payment_method": card})
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert wire.retrieve(made["id"])["status"] == "canceled"


def test_intents_are_listed_by_customer(wire):
    customer = wire.customer()
    mine = wire.intent(customer=customer)
    wire.intent()
    found = wire.get("/v1/payment_intents", {"customer": customer}).json()["data"]
    assert [i["id"] for i in found] == [mine["id"]]


def test_a_publishable_key_needs_the_client_secret_and_sees_less(wire):
    made = wire.intent(payment_method=wire.card(), **{"metadata[a]": "1"})
    path, key = f"/v1/payment_intents/{made['id']}", wire.simulator.publishable_key
    assert wire.get(path, key=key).status_code == 400
    wrong = {"client_secret": made["id"] + "_secret_wrong"}
    assert wire.get(path, wrong, key=key).status_code == 400
    seen = wire.get(path, {"client_secret": made["client_secret"]}, key=key).json()
    assert seen["status"] == "requires_confirmation" and "metadata" not in seen
    paid = wire.ok(f"{path}/confirm", {"client_secret": made["client_secret"]}, key=key)
    assert paid["status"] == "succeeded"


def test_a_publishable_key_cannot_confirm_a_manual_intent(wire):
    made = wire.intent(payment_method=wire.card(), confirmation_method="manual")
    status, error = wire.error(
        f"/v1/payment_intents/{made['id']}/confirm",
        {"client_secret": made["client_secret"]},
        key=wire.simulator.publishable_key,
    )
    assert status == 400 and "cannot be confirmed using your publishable key" in error["message"]
    assert wire.retrieve(made["id"])["status"] == "requires_confirmation"


def test_events_of_a_payment_come_in_stripes_order(wire):
    wire.pay(payment_method=wire.card())
    held = wire.pay(payment_method=wire.card(), capture_method="manual")
    wire.ok(f"/v1/payment_intents/{held['id']}/capture")
    wire.pay_error(payment_method=wire.card("4000000000000002"))
    gone = wire.intent()
    wire.ok(f"/v1/payment_intents/{gone['id']}/cancel")
    assert wire.event_types() == [
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded",
        "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated",
        "charge.captured", "payment_intent.succeeded",
        "payment_intent.created", "charge.failed", "payment_intent.payment_failed",
        "payment_intent.created", "payment_intent.canceled",
    ]  # fmt: skip


def test_an_event_names_the_request_and_its_key(wire):
    answer = wire.post(
        "/v1/payment_intents", {"amount": 440, "currency": "usd"}, idempotency_key="mine"
    )
    event = wire.events()[0]
    assert event["request"] == {
        "id": answer.headers["Request-Id"],
        "idempotency_key": "mine",
    }
    assert event["api_version"] == "2026-10-28.endive"
    assert event["data"]["object"]["id"] == answer.json()["id"]
    assert wire.get(f"/v1/events/{event['id']}").json() == event
