"""SetupIntents: saving a card with and without 3-D Secure, its attempts, mandates and refusals."""

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from stripesim.config import Config
from stripesim.rules import states
from stripesim.testing import SimulatorThread

RETURN_URL = "shop://saved?tab=cards"
ALWAYS = "4000002760003184"
CONFIRM = {"confirm": "true"}


@pytest.fixture
def setup(wire):
    """Makes a SetupIntent of the given parameters."""
    return lambda **form: wire.ok("/v1/setup_intents", form)


def read(wire, intent):
    return wire.get(f"/v1/setup_intents/{intent['id']}").json()


def attempts(wire, intent, **params):
    answer = wire.get("/v1/setup_attempts", {"setup_intent": intent["id"], **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def refusal(wire, path, form=None, **options):
    status, error = wire.error(f"/v1/setup_intents{path}", form or {}, **options)
    assert (status, error["type"]) == (400, "invalid_request_error")
    return error


def test_a_card_is_attached_before_the_success_is_told(wire, setup):
    customer = wire.customer()
    done = setup(customer=customer, payment_method="pm_card_visa", **CONFIRM)
    assert (done["status"], done["mandate"], done["last_setup_error"]) == ("succeeded", None, None)
    method = wire.get(f"/v1/payment_methods/{done['payment_method']}").json()
    assert (method["customer"], method["card"]["checks"]["cvc_check"]) == (customer, "pass")
    assert wire.event_types()[1:] == [
        "setup_intent.created",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    (attempt,) = attempts(wire, done)
    assert attempt["id"] == done["latest_attempt"] and attempt["status"] == "succeeded"
    assert attempt["payment_method_details"]["card"]["three_d_secure"] is None


def test_a_card_without_a_customer_is_spent_by_its_setup(wire, setup):
    card = wire.card()
    assert setup(payment_method=card, **CONFIRM)["status"] == "succeeded"
    error = refusal(wire, "", {"payment_method": card, **CONFIRM})
    assert "may not be used again" in error["message"] and "code" not in error


def test_with_return_url_the_challenge_is_a_redirect_and_comes_back_with_the_result(wire, setup):
    customer = wire.customer()
    asked = setup(
        customer=customer, payment_method=wire.card(ALWAYS), **CONFIRM, return_url=RETURN_URL
    )
    assert (asked["status"], asked["next_action"]["type"]) == ("requires_action", "redirect_to_url")
    url = asked["next_action"]["redirect_to_url"]["url"]
    page = requests.get(url, timeout=5).text
    assert "Confirm your card" in page and "ending in 3184" in page and "Amount" not in page
    button = urljoin(url, url.replace("/hosted?", "/hosted/complete?"))
    answer = requests.post(button, timeout=5, allow_redirects=False)
    assert answer.status_code == 303
    location = urlsplit(answer.headers["Location"])
    assert location._replace(query="").geturl() == "shop://saved"
    assert parse_qs(location.query) == {
        "tab": ["cards"],
        "setup_intent": [asked["id"]],
        "setup_intent_client_secret": [asked["client_secret"]],
        "redirect_status": ["succeeded"],
    }
    done = read(wire, asked)
    assert (done["status"], done["next_action"]) == ("succeeded", None)
    assert wire.get(f"/v1/payment_methods/{done['payment_method']}").json()["customer"] == customer
    assert requests.post(button, timeout=5).status_code == 409
    assert wire.event_types()[1:] == [
        "setup_intent.created",
        "setup_intent.requires_action",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]
    (attempt,) = attempts(wire, asked)
    secure = attempt["payment_method_details"]["card"]["three_d_secure"]
    assert (attempt["status"], secure["result"]) == ("succeeded", "authenticated")


@pytest.mark.parametrize("form", [{}, {"use_stripe_sdk": "true", "return_url": RETURN_URL}])
def test_otherwise_the_sdk_shows_the_same_page(wire, setup, form):
    asked = setup(payment_method=wire.card(ALWAYS), **CONFIRM, **form)
    action = asked["next_action"]
    assert action["type"] == "use_stripe_sdk"
    assert action["use_stripe_sdk"]["source"] == asked["latest_attempt"]
    assert "Complete auth" in requests.get(action["use_stripe_sdk"]["stripe_js"], timeout=5).text


def test_a_failed_challenge_opens_the_intent_again(wire, setup):
    asked = setup(customer=wire.customer(), payment_method=wire.card(ALWAYS), **CONFIRM)
    assert [c["id"] for c in wire.simulator.challenges()] == [asked["id"]]
    left = wire.simulator.authenticate(asked["id"], "fail")
    assert (left["status"], left["payment_method"]) == ("requires_payment_method", None)
    error = left["last_setup_error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "setup_intent_authentication_failure"
    assert error["message"] == (
        "The latest attempt to set up the payment method has failed because authentication failed."
    )
    assert error["payment_method"]["card"]["last4"] == "3184"
    assert wire.event_types()[-1] == "setup_intent.setup_failed"
    (attempt,) = attempts(wire, asked)
    assert (attempt["status"], attempt["setup_error"]["code"]) == ("failed", error["code"])
    again = wire.ok(f"/v1/setup_intents/{asked['id']}/confirm", {"payment_method": wire.card()})
    assert (again["status"], again["last_setup_error"]) == ("succeeded", None)
    assert [a["status"] for a in attempts(wire, asked)] == ["succeeded", "failed"]


def test_the_same_method_goes_on_with_its_challenge_and_another_abandons_it(wire, setup):
    asked = setup(payment_method=wire.card(ALWAYS), **CONFIRM)
    path = f"/v1/setup_intents/{asked['id']}/confirm"
    assert wire.ok(path)["next_action"] == asked["next_action"]
    other = wire.ok(path, {"payment_method": wire.card("4000000000003220")})
    assert [a["status"] for a in attempts(wire, asked)] == ["requires_action", "abandoned"]
    wire.ok(f"/v1/setup_intents/{asked['id']}/cancel")
    assert [a["status"] for a in attempts(wire, asked)] == ["abandoned", "abandoned"]
    page = other["next_action"]["use_stripe_sdk"]["stripe_js"]
    assert "is over" in requests.get(page, timeout=5).text


@pytest.mark.parametrize(
    ("number", "ends"),
    [
        ("4242424242424242", "succeeded"),
        ("4000002500003155", "requires_action"),
        ("4000003800000446", "requires_action"),
        ("4000008260003178", "requires_action"),
        ("4000000000003220", "requires_action"),
        ("4000000000003055", "succeeded"),
        ("4000000000000341", "succeeded"),
        ("4000000000000002", "card_declined"),
        ("4000008400001280", "card_declined"),
    ],
)
def test_what_a_card_does_when_it_is_set_up(wire, number, ends):
    form = {"customer": wire.customer(), "payment_method": wire.card(number), **CONFIRM}
    body = wire.post("/v1/setup_intents", form).json()
    assert body.get("status") == ends or body["error"]["code"] == ends


def test_a_card_set_up_with_its_holder_is_free_off_session_afterwards(wire, setup):
    customer = wire.customer()
    asked = setup(customer=customer, payment_method=wire.card("4000002500003155"), **CONFIRM)
    card = wire.simulator.authenticate(asked["id"])["payment_method"]
    paid = wire.pay(customer=customer, payment_method=card, off_session="true")
    assert paid["status"] == "succeeded"
    assert wire.pay(customer=customer, payment_method=card)["status"] == "requires_action"


def test_three_d_secure_can_be_asked_for(wire, setup):
    name = "payment_method_options[card][request_three_d_secure]"
    asked = setup(payment_method=wire.card("4000000000003055"), **CONFIRM, **{name: "any"})
    assert asked["status"] == "requires_action"
    form = {"payment_method": wire.card("4000000000003097"), **CONFIRM, name: "any"}
    status, error = wire.error("/v1/setup_intents", form)
    assert (status, error["code"]) == (402, "processing_error")


def test_a_decline_leaves_the_intent_open_with_its_attempt(wire):
    status, error = wire.error(
        "/v1/setup_intents", {"payment_method": "pm_card_chargeDeclinedExpiredCard", **CONFIRM}
    )
    assert (status, error["code"], error["decline_code"], error["param"]) == (
        402,
        "expired_card",
        "expired_card",
        "exp_month",
    )
    failed = error["setup_intent"]
    assert (failed["status"], failed["payment_method"]) == ("requires_payment_method", None)
    assert failed["last_setup_error"]["payment_method"]["id"] == error["payment_method"]["id"]
    assert "payment_method_type" not in failed["last_setup_error"]
    assert failed["latest_attempt"].startswith("setatt_") and read(wire, failed) == failed
    assert wire.event_types() == ["setup_intent.created", "setup_intent.setup_failed"]
    (attempt,) = attempts(wire, failed)
    assert attempt["setup_error"]["code"] == "expired_card"


def test_card_data_and_confirmation_tokens_set_up_too(wire, setup):
    data = {
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4242424242424242",
        "payment_method_data[card][exp_month]": 12,
        "payment_method_data[card][exp_year]": 2040,
        "payment_method_data[card][cvc]": "123",
    }
    assert setup(customer=wire.customer(), **CONFIRM, **data)["status"] == "succeeded"
    assert setup(**data)["status"] == "requires_confirmation"
    token = wire.ok("/v1/test_helpers/confirmation_tokens", {"payment_method": "pm_card_visa"})
    done = setup(customer=wire.customer(), **CONFIRM, confirmation_token=token["id"])
    assert done["status"] == "succeeded"
    used = wire.get(f"/v1/confirmation_tokens/{token['id']}").json()
    assert (used["setup_intent"], used["payment_intent"]) == (done["id"], None)


def test_the_customers_default_is_never_taken(wire, setup):
    customer, card = wire.saved_card()
    wire.ok(f"/v1/customers/{customer}", {"invoice_settings[default_payment_method]": card})
    intent = setup(customer=customer)
    error = refusal(wire, f"/{intent['id']}/confirm")
    assert error["code"] == "setup_intent_unexpected_state"
    assert error["message"] == (
        "You cannot confirm this SetupIntent because it's missing a payment method. You can either "
        "update the SetupIntent with a payment method and then confirm it again, or confirm it "
        "again directly with a payment method or ConfirmationToken."
    )
    assert error["setup_intent"]["latest_attempt"] is None


def test_foreign_methods_are_refused_with_the_intent_but_not_at_creation(wire, setup):
    (owner, card), other = wire.saved_card(), wire.customer()
    foreign = (
        f"The PaymentMethod {card} does not belong to the Customer you supplied {other}. Please use"
        " this PaymentMethod with the Customer that it belongs to instead."
    )
    nobodys = (
        f"The payment method supplied ({card}) belongs to the Customer {owner}. Please include the "
        "Customer in the `customer` parameter on the SetupIntent."
    )
    for form, message in (({"customer": other}, foreign), ({}, nobodys)):
        error = refusal(wire, "", {**form, "payment_method": card})
        assert (error["message"], error["param"]) == (message, "payment_method")
        assert "code" not in error and "setup_intent" not in error
        intent = setup(**form)
        for path in ("", "/confirm"):
            error = refusal(wire, f"/{intent['id']}{path}", {"payment_method": card})
            assert (error["message"], error["setup_intent"]["id"]) == (message, intent["id"])


STATES = {
    "requires_payment_method": {},
    "requires_confirmation": {"payment_method": "pm_card_visa"},
    "requires_action": {"payment_method": "pm_card_authenticationRequired", **CONFIRM},
    "succeeded": {"payment_method": "pm_card_visa", **CONFIRM},
    "canceled": {"payment_method": "pm_card_visa"},
}
CALLS = {
    "update": ("", {"payment_method": "pm_card_visa"}),
    "confirm": ("/confirm", {"payment_method": "pm_card_visa"}),
    "cancel": ("/cancel", {}),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", CALLS)
def test_a_setup_intent_takes_exactly_the_calls_of_the_table(wire, setup, state, name):
    intent = setup(**STATES[state])
    if state == "canceled":
        intent = wire.ok(f"/v1/setup_intents/{intent['id']}/cancel")
    assert intent["status"] == state
    path, form = CALLS[name]
    answer = wire.post(f"/v1/setup_intents/{intent['id']}{path}", form)
    assert (answer.status_code == 200) == states.allows(intent, name), answer.text
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["code"] == "setup_intent_unexpected_state"
        assert error["setup_intent"] == read(wire, intent) == intent
    assert set(STATES) == set(states.MOVES["setup_intent"].values())


@pytest.mark.parametrize(
    ("is_canceled", "path", "message"),
    [
        (
            False,
            "/confirm",
            "You cannot confirm this SetupIntent because it has already succeeded.",
        ),
        (False, "", "You cannot update this SetupIntent because it has already succeeded."),
        (
            False,
            "/cancel",
            "You cannot cancel this SetupIntent because it has a status of succeeded. Only a "
            "SetupIntent with one of the following statuses may be canceled: "
            "`requires_payment_method`, `requires_confirmation`, or `requires_action`.",
        ),
        (True, "/confirm", "You cannot confirm this SetupIntent because it has been canceled."),
        (True, "/cancel", "You cannot cancel this SetupIntent because it is already canceled."),
    ],
)
def test_the_refusals_by_state_are_stripes_words(wire, setup, is_canceled, path, message):
    intent = setup(payment_method="pm_card_visa", **({} if is_canceled else CONFIRM))
    if is_canceled:
        wire.ok(f"/v1/setup_intents/{intent['id']}/cancel")
    form = {} if path == "/cancel" else {"payment_method": "pm_card_visa"}
    assert refusal(wire, f"/{intent['id']}{path}", form)["message"] == message


def test_what_is_decided_can_still_be_described(wire, setup):
    done = setup(payment_method="pm_card_visa", **CONFIRM, **{"metadata[a]": "1"})
    form = {"description": "later", "metadata[b]": "2", "customer": wire.customer()}
    after = wire.ok(f"/v1/setup_intents/{done['id']}", form)
    assert (after["description"], after["metadata"]) == ("later", {"a": "1", "b": "2"})
    assert after["customer"] == form["customer"]
    assert wire.event_types()[-1] == "customer.created"


def test_a_cancellation_keeps_method_and_reason(wire, setup):
    intent = setup(payment_method="pm_card_visa")
    canceled = wire.ok(
        f"/v1/setup_intents/{intent['id']}/cancel", {"cancellation_reason": "duplicate"}
    )
    assert (canceled["payment_method"], canceled["cancellation_reason"]) == (
        intent["payment_method"],
        "duplicate",
    )
    assert wire.event_types()[-1] == "setup_intent.canceled"


def test_usage_is_read_by_older_versions_only(wire):
    for usage in ("on_session", "bogus"):
        assert wire.ok("/v1/setup_intents", {"usage": usage})["usage"] == "off_session"
    old = wire.ok("/v1/setup_intents", {"usage": "on_session"}, version="2020-08-27")
    assert old["usage"] == "on_session"


def test_a_mandate_is_made_when_its_data_is_given(wire, setup):
    accepted = {
        "mandate_data[customer_acceptance][type]": "online",
        "mandate_data[customer_acceptance][online][ip_address]": "203.0.113.7",
        "mandate_data[customer_acceptance][online][user_agent]": "app/1",
    }
    customer = wire.customer()
    asked = setup(customer=customer, payment_method=wire.card(ALWAYS), **CONFIRM, **accepted)
    assert asked["mandate"] is None
    done = wire.simulator.authenticate(asked["id"])
    mandate = wire.get(f"/v1/mandates/{done['mandate']}").json()
    assert mandate == {
        "id": done["mandate"],
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": mandate["customer_acceptance"]["accepted_at"],
            "online": {"ip_address": "203.0.113.7", "user_agent": "app/1"},
            "type": "online",
        },
        "livemode": False,
        "multi_use": {},
        "payment_method": done["payment_method"],
        "payment_method_details": {"card": {}, "type": "card"},
        "status": "active",
        "type": "multi_use",
    }
    expanded = wire.get(
        f"/v1/setup_intents/{done['id']}",
        {"expand[]": ["mandate.payment_method", "latest_attempt.setup_intent", "customer"]},
    ).json()
    assert expanded["mandate"]["payment_method"]["card"]["last4"] == "3184"
    assert expanded["latest_attempt"]["setup_intent"]["id"] == done["id"]
    assert expanded["customer"]["id"] == customer
    missing = wire.get("/v1/mandates/mandate_no")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize(
    "form",
    [
        {"return_url": RETURN_URL},
        {"mandate_data[customer_acceptance][type]": "offline"},
        {"single_use[amount]": 100, "single_use[currency]": "usd"},
        {"attach_to_self": "true", "customer": "CUSTOMER"},
        {"customer": "cus_no"},
        {"payment_method": "pm_no"},
        {"payment_method_types[]": "unicorn"},
        {"payment_method_types[]": "us_bank_account", "payment_method": "pm_card_visa"},
    ],
)
def test_what_no_setup_intent_is_made_of(wire, form):
    form = {k: wire.customer() if v == "CUSTOMER" else v for k, v in form.items()}
    error = refusal(wire, "", form)
    assert error["param"] == next(iter(form)).partition("[")[0].replace(
        "payment_method_types", error["param"]
    )
    assert wire.get("/v1/setup_intents").json()["data"] == []


def test_redirect_methods_in_the_dashboard_need_a_return_url(wire_to):
    with SimulatorThread(Config(dashboard_methods=True)) as simulator:
        wire = wire_to(simulator)
        form = {"payment_method": "pm_card_visa", **CONFIRM}
        error = refusal(wire, "", form)
        assert "you must provide a `return_url`" in error["message"] and "code" not in error
        never = {
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
        }
        for further in ({"return_url": RETURN_URL}, never, {"payment_method_types[]": "card"}):
            assert wire.ok("/v1/setup_intents", form | further)["status"] == "succeeded"


def test_another_method_is_refused_while_one_is_authenticated_if_that_is_asked_for(wire_to):
    with SimulatorThread(Config(strict_requires_action=True)) as simulator:
        wire = wire_to(simulator)
        form = {"payment_method": "pm_card_authenticationRequired", **CONFIRM}
        asked = wire.ok("/v1/setup_intents", form)
        path = f"/{asked['id']}/confirm"
        error = refusal(wire, path, {"payment_method": "pm_card_visa"})
        assert error["code"] == "setup_intent_unexpected_state"
        assert wire.ok(f"/v1/setup_intents{path}")["next_action"] == asked["next_action"]


def test_lists_filter_by_method_customer_and_account(wire, setup):
    customer, card = wire.saved_card()
    mine = setup(customer=customer, payment_method=card)
    customers, own = setup(customer=customer), setup(attach_to_self="true")
    plain = setup()

    def listed(**params):
        answer = wire.get("/v1/setup_intents", params)
        assert answer.status_code == 200, answer.text
        return [intent["id"] for intent in answer.json()["data"]]

    assert listed(payment_method=card) == [mine["id"]]
    assert listed(customer=customer) == [customers["id"], mine["id"]]
    assert listed(customer=customer, payment_method=card) == [mine["id"]]
    assert listed(attach_to_self="true") == [own["id"]] and own["attach_to_self"] is True
    assert listed(attach_to_self="false") == [plain["id"], customers["id"], mine["id"]]
    assert listed(limit=2, starting_after=own["id"]) == [customers["id"], mine["id"]]
    assert wire.get("/v1/setup_intents", {"customer": "cus_no"}).status_code == 400
    wire.ok(f"/v1/setup_intents/{mine['id']}", {"payment_method": "pm_card_visa"})
    assert listed(payment_method=card) == []


def test_attempts_page_and_need_their_intent(wire, setup):
    intent = setup()
    path = f"/v1/setup_intents/{intent['id']}/confirm"
    for _ in range(3):
        wire.error(path, {"payment_method": "pm_card_chargeDeclined"})
    first = attempts(wire, intent, limit=2)
    rest = attempts(wire, intent, starting_after=first[-1]["id"])
    assert len({a["id"] for a in [*first, *rest]}) == 3
    missing = wire.get("/v1/setup_attempts")
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "setup_intent")


def test_microdeposits_are_refused_since_cards_have_none(wire, setup):
    intent = setup()
    error = refusal(wire, f"/{intent['id']}/verify_microdeposits", {"amounts[]": [32, 45]})
    assert error["code"] == "intent_invalid_state"
    assert error["message"] == (
        "This SetupIntent cannot be actioned on because it has a status of requires_payment_method."
        " Only a SetupIntent with one of the following statuses may be actioned on: "
        '["requires_action"].'
    )


def test_no_such_setupintent(wire):
    answer = wire.get("/v1/setup_intents/seti_no")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        404,
        "resource_missing",
        "intent",
    )
    assert error["message"] == "No such setupintent: 'seti_no'"
    authenticate = wire.simulator.url + "/_sim/setup_intents/seti_no/authenticate"
    assert requests.post(authenticate, json={"outcome": "fail"}, timeout=5).status_code == 404
