"""Customer sessions: components, their features, and half an hour."""

import pytest
import stripe


def form_of(wire, **components):
    form = {"customer": wire.customer()}
    return form | {f"components{name}": value for name, value in components.items()}


def create(wire, **components):
    return wire.ok("/v1/customer_sessions", form_of(wire, **components))


def test_a_session_enables_components_with_the_defaults_of_their_features(wire):
    made = create(
        wire, **{"[payment_element][enabled]": "true", "[pricing_table][enabled]": "false"}
    )
    assert made["object"] == "customer_session" and "id" not in made
    assert made["client_secret"].startswith("cuss_secret_")
    assert made["expires_at"] - made["created"] == 1800
    components = made["components"]
    assert components["payment_element"] == {
        "enabled": True,
        "features": {
            "payment_method_allow_redisplay_filters": ["always"],
            "payment_method_redisplay": "disabled",
            "payment_method_redisplay_limit": 3,
            "payment_method_remove": "disabled",
            "payment_method_save": "disabled",
            "payment_method_save_usage": None,
        },
    }
    assert components["customer_sheet"] == {"enabled": False, "features": None}
    assert components["pricing_table"] == components["buy_button"] == {"enabled": False}


def test_features_are_as_they_were_asked_for(client, wire):
    made = client.v1.customer_sessions.create(
        {
            "customer": wire.customer(),
            "components": {
                "mobile_payment_element": {
                    "enabled": True,
                    "features": {
                        "payment_method_save": "enabled",
                        "payment_method_allow_redisplay_filters": ["always", "limited"],
                    },
                }
            },
            "expand": ["customer"],
        }
    )
    features = made.components.mobile_payment_element.features
    assert features.payment_method_save == "enabled"
    assert features.payment_method_allow_redisplay_filters == ["always", "limited"]
    assert features.payment_method_remove == "disabled"
    assert isinstance(made.customer, stripe.Customer)


@pytest.mark.parametrize(
    ("components", "param"),
    [
        ({}, "components"),
        ({"[buy_button][enabled]": "false"}, "components"),
        ({"[unicorn][enabled]": "true"}, "components[unicorn]"),
        ({"[buy_button][features][a]": "b"}, "components[buy_button][features]"),
        ({"[payment_element][features][payment_method_save]": "enabled"},
         "components[payment_element][enabled]"),
        ({"[customer_sheet][enabled]": "true",
          "[payment_element][enabled]": "false",
          "[payment_element][features][payment_method_save]": "enabled"},
         "components[payment_element][features]"),
        ({"[customer_sheet][enabled]": "true",
          "[customer_sheet][features][payment_method_remove]": "maybe"},
         "components[customer_sheet][features][payment_method_remove]"),
        ({"[payment_element][enabled]": "true",
          "[payment_element][features][payment_method_redisplay_limit]": 11},
         "components[payment_element][features][payment_method_redisplay_limit]"),
        ({"[payment_element][enabled]": "true",
          "[payment_element][features][payment_method_redisplay_limit]": 0},
         "components[payment_element][features][payment_method_redisplay_limit]"),
    ],
)  # fmt: skip
def test_what_is_no_session_is_refused(wire, components, param):
    status, error = wire.error("/v1/customer_sessions", form_of(wire, **components))
    assert (status, error["param"]) == (400, param)


def test_a_session_needs_its_customer_and_a_secret_key(wire):
    form = form_of(wire, **{"[buy_button][enabled]": "true"})
    status, error = wire.error("/v1/customer_sessions", {**form, "customer": "cus_no"})
    assert (status, error["code"], error["param"]) == (400, "resource_missing", "customer")
    customer = form.pop("customer")
    status, error = wire.error("/v1/customer_sessions", form)
    assert (status, error["code"]) == (400, "parameter_missing")
    form["customer"] = customer
    key = wire.simulator.publishable_key
    assert wire.error("/v1/customer_sessions", form, key=key)[0] == 401
