"""What a client may do with the publishable key and an intent's client secret."""

import pytest

KINDS = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}
PRICE = {"amount": 440, "currency": "usd"}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def client(wire, kind):
    """The intent, and calls of it with the publishable key."""
    form = PRICE if kind == "payment_intent" else {}
    form = {**form, "customer": wire.customer(), "metadata[order_id]": "1"}
    intent = wire.ok(f"/v1/{kind}s", form)
    key = wire.simulator.publishable_key
    path = f"/v1/{kind}s/{intent['id']}"

    def call(method="GET", tail="", secret=intent["client_secret"], **params):
        form = {**params, "client_secret": secret} if secret else params
        return wire.send(method, path + tail, form, key=key)

    return intent, call


def error_of(answer, status=400):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_a_client_reads_its_intent_without_what_is_not_its_business(client):
    intent, call = client
    seen = call().json()
    assert (seen["id"], seen["status"]) == (intent["id"], "requires_payment_method")
    for name in ("customer", "metadata", "payment_method_options", "latest_charge", "mandate"):
        assert name not in seen


def test_without_its_secret_a_client_sees_nothing(client, kind):
    _, call = client
    missing = error_of(call(secret=None))
    assert (missing["code"], missing["param"]) == ("parameter_missing", "client_secret")
    wrong = error_of(call(secret="pi_1_secret_2"))
    assert wrong["message"] == (
        "The client_secret provided does not match the client_secret associated with the "
        f"{KINDS[kind]}."
    )
    assert wrong["param"] == "client_secret" and "code" not in wrong
    assert error_of(call("POST", "/confirm", secret="x"))["param"] == "client_secret"


def test_an_unknown_intent_is_missing_for_a_client_too(wire, kind):
    form = {"client_secret": "x"}
    answer = wire.get(f"/v1/{kind}s/nope", form, key=wire.simulator.publishable_key)
    error = error_of(answer, 404)
    assert (error["code"], error["param"]) == ("resource_missing", "intent")


def test_a_client_confirms_as_the_mobile_sdk_does(client):
    _, call = client
    form = {
        "payment_method_data[type]": "card",
        "payment_method_data[card][number]": "4242424242424242",
        "payment_method_data[card][exp_month]": 12,
        "payment_method_data[card][exp_year]": 2040,
        "payment_method_data[card][cvc]": "123",
        "payment_method_data[payment_user_agent]": "stripe-ios/24.0.0",
        "payment_method_data[guid]": "g",
        "payment_user_agent": "stripe-ios/24.0.0",
        "use_stripe_sdk": "true",
        "return_url": "shop://back",
        "expand[]": "payment_method",
    }
    done = call("POST", "/confirm", **form)
    assert done.status_code == 200, done.text
    assert done.json()["status"] == "succeeded"
    assert done.json()["payment_method"]["card"]["last4"] == "4242"
    assert "customer" not in done.json()


@pytest.mark.parametrize("name", ["off_session", "error_on_requires_action"])
def test_what_only_the_server_may_say_is_refused(client, kind, name):
    _, call = client
    answer = call("POST", "/confirm", payment_method="pm_card_visa", **{name: "true"})
    assert error_of(answer)["param"] == name
    assert call().json()["status"] == "requires_payment_method"


def test_a_refusal_shows_a_client_no_more_of_its_intent(client, kind):
    _, call = client
    seen = call().json()
    declined = error_of(call("POST", "/confirm", payment_method="pm_card_chargeDeclined"), 402)
    assert set(declined[kind]) == set(seen)
    refused = error_of(call("POST", "/confirm"))
    assert set(refused[kind]) == set(seen)


def test_a_client_sees_no_more_by_expanding(client):
    _, call = client
    for path in ("customer", "latest_charge", "payment_method.customer"):
        error = error_of(call(**{"expand[]": path}))
        assert error["message"] == f"This property cannot be expanded ({path})."


def test_other_calls_need_the_secret_key(client):
    _, call = client
    for tail in ("", "/cancel"):
        assert error_of(call("POST", tail), 401)["code"] == "secret_key_required"


@pytest.mark.parametrize(
    ("before", "wanted", "status"),
    [
        (None, "on_session", 200),
        ("on_session", "off_session", 200),
        ("on_session", "on_session", 200),
        ("off_session", "on_session", 400),
        ("off_session", "", 400),
    ],
)
def test_a_client_may_only_widen_the_future_usage(wire, before, wanted, status):
    usage = {"setup_future_usage": before} if before else {}
    intent = wire.intent(customer=wire.customer(), **usage)
    form = {
        "client_secret": intent["client_secret"],
        "payment_method": wire.card(),
        "setup_future_usage": wanted,
    }
    path = f"/v1/payment_intents/{intent['id']}/confirm"
    answer = wire.post(path, form, key=wire.simulator.publishable_key)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["setup_future_usage"] == wanted


def test_the_secret_key_may_name_the_client_secret_but_not_a_wrong_one(wire):
    intent = wire.intent()
    path = f"/v1/payment_intents/{intent['id']}"
    assert wire.get(path, {"client_secret": intent["client_secret"]}).status_code == 200
    assert wire.get(path, {"client_secret": "pi_1_secret_2"}).status_code == 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_gives_up_its_challenge(wire, kind):
    form = {**(PRICE if kind == "payment_intent" else {}), "confirm": "true"}
    asked = wire.ok(f"/v1/{kind}s", {**form, "payment_method": "pm_card_authenticationRequired"})
    secret = {"client_secret": asked["client_secret"]}
    key = wire.simulator.publishable_key
    path = f"/v1/{kind}s/{asked['id']}"
    source = asked["next_action"]["use_stripe_sdk"]["source"]
    other = wire.post(f"{path}/source_cancel", {**secret, "source": "payatt_no"}, key=key)
    assert error_of(other)["code"] == f"{kind}_unexpected_state"
    left = wire.ok(f"{path}/source_cancel", {**secret, "source": source}, key=key)
    assert left["status"] == "requires_payment_method" and "customer" not in left
    error = left["last_payment_error" if kind == "payment_intent" else "last_setup_error"]
    assert error["code"] == f"{kind}_authentication_failure"
    again = wire.post(f"{path}/source_cancel", {**secret, "source": source}, key=key)
    assert again.status_code == 400
    assert wire.ok(f"{path}/refresh", secret, key=key) == left
    assert wire.post(f"{path}/source_cancel", {"source": source}, key=key).status_code == 400
