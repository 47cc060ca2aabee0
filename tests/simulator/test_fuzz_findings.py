"""What `make fuzz` has found, one test each."""

import json
import socket
from urllib.parse import urlsplit

import pytest
import requests

NESTED = "[" * 3000


def test_brackets_without_a_name_are_an_unknown_parameter(wire):
    for text in ("=&[]=", "[]=1&[a]=2&=3"):
        answer = wire.post("/v1/customers", text)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "parameter_unknown"


def test_what_an_event_holds_cannot_be_expanded(wire):
    wire.pay(payment_method="pm_card_visa")
    event = wire.events()[-1]["id"]
    answer = wire.get(f"/v1/events/{event}", {"expand[]": "data.customer"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "This property cannot be expanded (data.customer)."


def test_json_that_is_nested_too_deeply_for_the_control_plane_is_refused(wire):
    answer = requests.post(f"{wire.simulator.url}/_sim/clock", data=NESTED, timeout=5)
    assert answer.status_code == 400


def test_bytes_that_are_no_http_are_answered_in_the_envelope(wire):
    address = urlsplit(wire.simulator.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b"\x00\x01\r\n\r\n")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"application/json" in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("example.com/back", "Invalid URL: An explicit scheme (such as https) must be provided."),
        ("http://[", "Not a valid URL"),
        ("http://a:b/", "Not a valid URL"),
        ("https://é.example", "Not a valid URL"),
        ("app://a\r\nSet-Cookie: y", "Not a valid URL"),
        ("app:", "Not a valid URL"),
    ],
)
def test_the_browser_is_sent_to_no_address_that_is_none(wire, address, message):
    status, error = wire.pay_error(
        payment_method="pm_card_authenticationRequired", return_url=address
    )
    assert (status, error["code"], error["param"]) == (400, "url_invalid", "return_url")
    assert error["message"] == message
    made = {"url": address, "enabled_events[]": "*"}
    assert wire.error("/v1/webhook_endpoints", made)[1]["code"] == "url_invalid"


def test_an_app_s_own_scheme_may_be_the_return_url(wire):
    intent = wire.pay(payment_method="pm_card_authenticationRequired", return_url="my.app://back")
    assert intent["next_action"]["redirect_to_url"]["return_url"] == "my.app://back"


def test_what_was_paid_without_a_customer_gets_none_afterwards(wire):
    paid = wire.pay(payment_method="pm_card_visa")
    status, error = wire.error(f"/v1/payment_intents/{paid['id']}", {"customer": wire.customer()})
    assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
    assert error["param"] == "customer"


def test_the_customer_of_a_charge_is_fixed_once_it_has_one(wire):
    customer, card = wire.saved_card()
    paid = wire.pay(customer=customer, payment_method=card)
    path = f"/v1/charges/{paid['latest_charge']}"
    assert wire.ok(path, {"customer": customer})["customer"] == customer
    status, error = wire.error(path, {"customer": wire.customer()})
    assert (status, error["param"]) == (400, "customer")


def test_a_destination_without_an_account_is_refused(wire):
    form = {"amount": 440, "currency": "usd", "source": "tok_visa", "destination[amount]": 1}
    status, error = wire.error("/v1/charges", form)
    assert (status, error["param"]) == (400, "destination[account]")


def test_the_networks_of_a_card_are_no_matter_of_another_method(wire):
    made = wire.ok("/v1/payment_methods", {"type": "link", "card[networks][preferred]": "visa"})
    assert made["type"] == "link" and "card" not in made
