"""3-D Secure: when a card asks, what comes after, in both confirmation methods."""

import pytest
import requests

RETURN_URL = "https://shop.example/back?order=1"
ALWAYS = "4000002760003184"
FAILED = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def test_with_return_url_the_next_action_is_a_redirect(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS), return_url=RETURN_URL)
    assert (asked["status"], asked["latest_charge"]) == ("requires_action", None)
    assert asked["next_action"]["type"] == "redirect_to_url"
    action = asked["next_action"]["redirect_to_url"]
    assert action["return_url"] == RETURN_URL
    assert action["url"].startswith(wire.simulator.url + "/")


@pytest.mark.parametrize("form", [{}, {"use_stripe_sdk": "true", "return_url": RETURN_URL}])
def test_otherwise_the_sdk_handles_it_with_the_same_page(wire, form):
    asked = wire.pay(payment_method=wire.card(ALWAYS), **form)
    assert asked["next_action"]["type"] == "use_stripe_sdk"
    page = asked["next_action"]["use_stripe_sdk"]["stripe_js"]
    assert "Complete authentication" in requests.get(page, timeout=5).text


def test_the_challenge_is_on_the_address_the_client_used(wire):
    host = wire.simulator.url.replace("http://127.0.0.1", "localhost")
    form = {"amount": 440, "currency": "usd", "confirm": "true"}
    asked = wire.ok("/v1/payment_intents", form | {"payment_method": wire.card(ALWAYS)}, Host=host)
    page = asked["next_action"]["use_stripe_sdk"]["stripe_js"]
    assert page.startswith(f"http://{host}/")


def test_passed_authentication_charges_an_automatic_intent(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS))
    done = wire.simulator.authenticate(asked["id"], "success")
    assert done["status"] == "succeeded"
    charge = wire.get(f"/v1/charges/{done['latest_charge']}").json()
    secure = charge["payment_method_details"]["card"]["three_d_secure"]
    assert (secure["result"], secure["authentication_flow"]) == ("authenticated", "challenge")
    assert wire.event_types() == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


def test_failed_authentication_opens_the_intent_again_without_a_charge(wire):
    customer, card = wire.saved_card(ALWAYS)
    asked = wire.pay(customer=customer, payment_method=card)
    left = wire.simulator.authenticate(asked["id"], "fail")
    assert (left["status"], left["payment_method"]) == ("requires_payment_method", None)
    assert left["latest_charge"] is None and left["next_action"] is None
    error = left["last_payment_error"]
    assert (error["type"], error["code"]) == (
        "invalid_request_error",
        "payment_intent_authentication_failure",
    )
    assert error["message"] == FAILED and error["payment_method"]["id"] == card
    assert wire.event_types()[-1] == "payment_intent.payment_failed"
    again = wire.ok(f"/v1/payment_intents/{asked['id']}/confirm", {"payment_method": card})
    assert again["status"] == "requires_action"


def test_a_manual_intent_returns_to_the_server_which_confirms_again(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS), confirmation_method="manual")
    waiting = wire.simulator.authenticate(asked["id"], "success")
    assert (waiting["status"], waiting["latest_charge"]) == ("requires_confirmation", None)
    paid = wire.ok(f"/v1/payment_intents/{asked['id']}/confirm")
    assert paid["status"] == "succeeded"
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1


def test_the_servers_confirm_may_meet_another_challenge(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS), confirmation_method="manual")
    confirm = f"/v1/payment_intents/{asked['id']}/confirm"
    for _ in range(2):
        waiting = wire.simulator.authenticate(asked["id"], "again")
        assert (waiting["status"], waiting["latest_charge"]) == ("requires_confirmation", None)
        assert wire.ok(confirm)["status"] == "requires_action"
    wire.simulator.authenticate(asked["id"], "success")
    assert wire.ok(confirm)["status"] == "succeeded"
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 1


@pytest.mark.parametrize("confirmation_method", ["automatic", "manual"])
@pytest.mark.parametrize(
    ("number", "decline_code"),
    [("4000008400001629", "generic_decline"), ("4000008260003178", "insufficient_funds")],
)
def test_some_cards_decline_after_the_authentication(
    wire, number, decline_code, confirmation_method
):
    asked = wire.pay(payment_method=wire.card(number), confirmation_method=confirmation_method)
    assert asked["status"] == "requires_action"
    left = wire.simulator.authenticate(asked["id"], "success")
    if confirmation_method == "manual":
        status, error = wire.error(f"/v1/payment_intents/{asked['id']}/confirm")
        assert (status, error["decline_code"]) == (402, decline_code)
        left = wire.retrieve(asked["id"])
    assert (left["status"], left["payment_method"]) == ("requires_payment_method", None)
    assert left["last_payment_error"]["decline_code"] == decline_code
    assert left["last_payment_error"]["type"] == "card_error"
    failed = wire.get(f"/v1/charges/{left['latest_charge']}").json()
    assert failed["status"] == "failed"


@pytest.mark.parametrize(
    ("number", "on_session", "off_session", "off_session_once_set_up"),
    [
        (ALWAYS, "action", "refused", "refused"),
        ("4000002500003155", "action", "refused", "paid"),
        ("4000003800000446", "action", "paid", "paid"),
        ("4000000000003220", "action", "refused", "refused"),
        ("4000000000003063", "action", "refused", "refused"),
        ("4000000000003055", "paid", "paid", "paid"),
        ("4000000000003097", "paid", "paid", "paid"),
        ("4242424242424242", "paid", "paid", "paid"),
    ],
)
def test_when_a_card_asks(wire, number, on_session, off_session, off_session_once_set_up):
    customer, card = wire.saved_card(number)

    def outcome(**params):
        form = {"amount": 440, "currency": "usd", "confirm": "true", "customer": customer}
        answer = wire.post("/v1/payment_intents", form | {"payment_method": card} | params)
        if answer.status_code == 402:
            error = answer.json()["error"]
            assert error["code"] == error["decline_code"] == "authentication_required"
            assert error["message"] == (
                "Your card was declined. This transaction requires authentication."
            )
            assert error["payment_intent"]["status"] == "requires_payment_method"
            assert error["payment_intent"]["latest_charge"] is None and "charge" not in error
            return "refused"
        return {"requires_action": "action", "succeeded": "paid"}[answer.json()["status"]]

    assert outcome() == on_session
    assert outcome(off_session="true") == off_session
    form = {"customer": customer, "payment_method": card, "confirm": "true"}
    setup = wire.ok("/v1/setup_intents", form)
    assert (setup["status"] == "requires_action") == (on_session == "action")
    if setup["status"] == "requires_action":
        assert wire.simulator.authenticate(setup["id"])["status"] == "succeeded"
    assert outcome(off_session="true") == off_session_once_set_up


def test_optional_authentication_happens_when_requested(wire):
    name = "payment_method_options[card][request_three_d_secure]"
    asked = wire.pay(payment_method=wire.card("4000000000003055"), **{name: "any"})
    assert asked["status"] == "requires_action"
    status, error = wire.pay_error(payment_method=wire.card("4000000000003097"), **{name: "any"})
    assert (status, error["code"]) == (402, "processing_error")
    assert wire.pay(payment_method=wire.card(), **{name: "any"})["status"] == "succeeded"


def test_a_card_whose_lookup_fails_is_declined_without_a_challenge(wire):
    status, error = wire.pay_error(payment_method=wire.card("4000008400001280"))
    assert (status, error["code"]) == (402, "card_declined")


def test_error_on_requires_action_leaves_the_intent_open(wire):
    status, error = wire.pay_error(
        payment_method=wire.card(ALWAYS), error_on_requires_action="true"
    )
    assert (status, error["code"], error["decline_code"]) == (
        402,
        "authentication_required",
        "authentication_not_handled",
    )
    assert wire.retrieve(error["payment_intent"]["id"])["status"] == "requires_payment_method"


def test_three_d_secure_cards_attach_without_a_challenge(wire):
    attached = wire.ok(
        "/v1/payment_methods/pm_card_authenticationRequired/attach",
        {"customer": wire.customer()},
    )
    assert attached["card"]["last4"] == "3184"


def test_a_parked_method_belongs_to_its_intent_alone(wire):
    card = wire.card(ALWAYS)
    asked = wire.pay(payment_method=card)
    status, error = wire.pay_error(payment_method=card)
    assert status == 400 and "may not be used again" in error["message"]
    again = wire.ok(f"/v1/payment_intents/{asked['id']}/confirm", {"payment_method": card})
    assert again["next_action"] == asked["next_action"]
    assert wire.simulator.authenticate(asked["id"])["status"] == "succeeded"


def test_another_method_replaces_the_pending_one_and_ends_its_challenge(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS), return_url=RETURN_URL)
    old_page = asked["next_action"]["redirect_to_url"]["url"]
    path = f"/v1/payment_intents/{asked['id']}/confirm"
    other = wire.ok(path, {"payment_method": wire.card("4000000000003220")})
    assert "is over" in requests.get(old_page, timeout=5).text
    assert (
        "Complete auth"
        in requests.get(other["next_action"]["redirect_to_url"]["url"], timeout=5).text
    )
    paid = wire.ok(path, {"payment_method": wire.card()})
    assert paid["status"] == "succeeded"


def test_a_canceled_intents_challenge_can_no_longer_charge(wire):
    asked = wire.pay(payment_method=wire.card(ALWAYS), return_url=RETURN_URL)
    page = asked["next_action"]["redirect_to_url"]["url"]
    wire.ok(f"/v1/payment_intents/{asked['id']}/cancel")
    assert "is over" in requests.get(page, timeout=5).text
    button = page.replace("/hosted?", "/hosted/complete?")
    assert requests.post(button, timeout=5).status_code == 409
    assert wire.retrieve(asked["id"])["status"] == "canceled"
    assert wire.simulator.audit()["totals"]["succeeded_charges"] == 0


def test_setup_future_usage_attaches_after_the_authentication(wire):
    customer, card = wire.customer(), wire.card(ALWAYS)
    asked = wire.pay(customer=customer, payment_method=card, setup_future_usage="off_session")
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] is None
    wire.simulator.authenticate(asked["id"])
    assert wire.get(f"/v1/payment_methods/{card}").json()["customer"] == customer
