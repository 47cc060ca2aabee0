"""The control plane: health, reset, audit, request log, clock, who may use it."""

import json
import re

import pytest
import requests

from stripesim.testing import SimulatorProcess


def test_health_and_reset(wire):
    wire.customer()
    wire.simulator.add_fault(kind="rate_limit")
    wire.simulator.advance_clock(3600)
    assert wire.simulator.health() == {"status": "ready"}
    wire.simulator.reset()
    assert wire.get("/v1/customers").json()["data"] == []
    assert len(wire.simulator.requests()) == 1
    clock = requests.get(f"{wire.simulator.url}/_sim/clock", timeout=5).json()
    assert clock["advanced_seconds"] == 0


def test_the_audit_groups_by_metadata_and_counts_money(wire):
    customer, card = wire.saved_card()
    name = "metadata[order_id]"
    paid = wire.pay(customer=customer, payment_method=card, **{name: "o1"})
    twice = wire.pay(customer=customer, payment_method=card, **{name: "o1"})
    unpaid = wire.intent(**{name: "o2"})
    wire.pay_error(payment_method=wire.card("4000000000000002"), **{name: "o3"})
    wire.ok("/v1/refunds", {"payment_intent": paid["id"], "amount": 40})
    audit = wire.simulator.audit("order_id")
    groups = {group["key"]: group for group in audit["groups"]}
    assert groups["o1"] == {
        "key": "o1",
        "succeeded_charges": 2,
        "amount_captured": 880,
        "amount_refunded": 40,
        "payment_intents": [paid["id"], twice["id"]],
        "customers": [customer],
    }
    assert groups["o2"]["payment_intents"] == [unpaid["id"]]
    assert groups["o2"]["succeeded_charges"] == groups["o3"]["succeeded_charges"] == 0
    assert audit["totals"] == {"succeeded_charges": 2, "customers": 1, "payment_intents": 4}


def test_the_audit_does_not_depend_on_what_objects_say_now(wire):
    customer, card = wire.saved_card()
    wire.pay(customer=customer, payment_method=card, **{"metadata[order_id]": "o1"})
    before = wire.simulator.audit("order_id")
    wire.send("DELETE", f"/v1/customers/{customer}")
    assert wire.simulator.audit("order_id") == before


def test_metadata_set_later_counts_in_the_audit(wire):
    made = wire.intent()
    wire.ok(f"/v1/payment_intents/{made['id']}", {"metadata[order_id]": "late"})
    assert wire.simulator.audit("order_id")["groups"][0]["payment_intents"] == [made["id"]]


def test_the_request_log_tells_everything_but_secrets(wire):
    wire.card("4000000000000002")
    wire.post("/v1/customers", {"name": "4242 4242 4242 4242"}, idempotency_key="k")
    wire.error("/v1/payment_intents", {"amount": 1, "currency": "usd"})
    card, customer, intent = wire.simulator.requests()
    assert card["params"]["card"]["number"] == card["params"]["card"]["cvc"] == "[redacted]"
    assert customer["params"]["name"] == "[redacted]"
    assert customer["idempotency_key"] == "k" and customer["request_id"].startswith("req_")
    assert (customer["method"], customer["path"], customer["status"]) == (
        "POST",
        "/v1/customers",
        200,
    )
    assert (intent["status"], intent["error_code"]) == (400, "amount_too_small")
    assert intent["params"] == {"amount": "1", "currency": "usd"}
    after = wire.simulator.requests(after=customer["seq"])
    assert [entry["seq"] for entry in after] == [intent["seq"]]


def test_no_card_number_is_stored_anywhere(wire_to, tmp_path):
    data = tmp_path / "sim.db"
    with SimulatorProcess(data=data) as simulator:
        wire = wire_to(simulator)
        number = "4000056655665556"
        wire.pay(payment_method=wire.card(number, cvc="739"))
        form = {"card[number]": number, "card[exp_month]": 1, "card[exp_year]": 2040}
        wire.ok("/v1/tokens", form)
        wire.post("/v1/payment_methods", form | {"type": "card", "card[wrong]": "1"})
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"5556" in stored
    assert number.encode() not in stored
    assert not re.search(rb'"cvc":\s*"739"', stored)


def test_authenticate_refuses_what_is_not_pending(wire):
    url = f"{wire.simulator.url}/_sim/payment_intents"
    body = {"outcome": "success"}
    assert requests.post(f"{url}/pi_x/authenticate", json=body, timeout=5).status_code == 404
    made = wire.intent()
    address = f"{url}/{made['id']}/authenticate"
    assert requests.post(address, json=body, timeout=5).status_code == 409
    assert requests.post(address, json={"outcome": "x"}, timeout=5).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_sim/nope", 404),
        ("PUT", "/_sim/clock", 405),
        ("POST", "/_sim/clock", 400),
        ("GET", "/_sim/requests?after=x", 400),
    ],
)
def test_calls_that_do_not_exist_or_make_no_sense_are_refused(wire, method, path, status):
    answer = requests.request(method, wire.simulator.url + path, timeout=5)
    assert answer.status_code == status and answer.json()["error"]["message"]


def test_with_a_token_the_control_plane_needs_it(wire_to):
    with SimulatorProcess(token="open-sesame") as simulator:
        assert simulator.health()["status"] == "ready"
        url = f"{simulator.url}/_sim/health"
        assert requests.get(url, timeout=5).status_code == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert requests.get(url, headers=wrong, timeout=5).status_code == 401
        assert wire_to(simulator).customer()


def test_flags_make_the_simulator_stricter(wire_to):
    flags = ("--strict-requires-action", "--dashboard-methods", "--strict-method-types")
    with SimulatorProcess(*flags) as simulator:
        wire = wire_to(simulator)
        status, error = wire.pay_error(payment_method=wire.card())
        assert status == 400 and "you must provide a `return_url`" in error["message"]
        assert "code" not in error and error["payment_intent"]["object"] == "payment_intent"
        assert wire.get("/v1/payment_intents").json()["data"] == []
        back = {"return_url": "https://x.example"}
        assert wire.pay(payment_method=wire.card(), **back)["status"] == "succeeded"
        never = {"automatic_payment_methods[enabled]": "true"}
        never["automatic_payment_methods[allow_redirects]"] = "never"
        assert wire.pay(payment_method=wire.card(), **never)["status"] == "succeeded"
        asked = wire.pay(payment_method=wire.card("4000002760003184"), **back)
        path = f"/v1/payment_intents/{asked['id']}/confirm"
        status, error = wire.error(path, {"payment_method": wire.card()})
        assert (status, error["code"]) == (400, "payment_intent_unexpected_state")
        assert wire.retrieve(asked["id"])["status"] == "requires_action"
        form = {"amount": 440, "currency": "usd", "payment_method_types[]": "card"}
        status, error = wire.error("/v1/payment_intents", form)
        assert error["code"] == "payment_method_types_no_longer_supported"
        assert wire.ok("/v1/payment_intents", form, version="2026-06-24.dahlia")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("clock", {}),
        ("clock", {"advance_seconds": -1}),
        ("clock", {"advance_seconds": True}),
        ("clock", {"advance_seconds": 1e300}),
        ("clock", {"advance_seconds": float("nan")}),
        ("webhooks", {"mode": "sometimes"}),
        ("webhooks", {"mode": "pause", "duplicate": -1}),
        ("webhooks", {"mode": "pause", "duplicate": 1e9}),
        ("webhooks", {"mode": "pause", "delay_seconds": -1}),
        ("webhooks", {"mode": "pause", "seed": "x"}),
        ("webhooks", {"mode": "pause", "shuffle": "false"}),
        ("webhooks", {"mode": "pause", "url": "nowhere"}),
        ("faults", {"fault": {"kind": "nothing"}}),
        ("faults", {"fault": {"kind": "latency", "seconds": -1}}),
        ("faults", {"fault": {"kind": "latency", "seconds": "soon"}}),
        ("faults", {"fault": {"kind": "error_before", "status": 200}}),
        ("faults", {"fault": {"kind": "latency"}, "match": {"nth": 0}}),
        ("faults", {"fault": {"kind": "latency"}, "match": {"probability": "NaN"}}),
        ("faults", {"fault": {"kind": "latency"}, "match": {"probability": 2}}),
    ],
)
def test_a_call_with_a_bad_value_changes_nothing(wire, path, body):
    url = f"{wire.simulator.url}/_sim"
    before = [requests.get(f"{url}/{name}", timeout=5).json() for name in ("webhooks", "faults")]
    answer = requests.post(f"{url}/{path}", data=json.dumps(body), timeout=5)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]
    after = [requests.get(f"{url}/{name}", timeout=5).json() for name in ("webhooks", "faults")]
    assert before == after
    assert requests.get(f"{url}/clock", timeout=5).json()["advanced_seconds"] == 0


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30])
def test_the_request_log_begins_at_a_number(wire, after):
    answer = requests.get(f"{wire.simulator.url}/_sim/requests?after={after}", timeout=5)
    assert answer.status_code == 400
