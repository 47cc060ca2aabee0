"""What the page at `/_sim` reads: requests with their answers, objects, events, challenges."""

import json
import sqlite3

import pytest
import requests

from stripesim.control.redact import redacted_headers
from stripesim.delivery import MOST_ATTEMPTS, RETRY_SECONDS, THEN_EVERY_SECONDS
from stripesim.testing import ControlError, SimulatorProcess

SECRETS = ("_secret_", "whsec_", "sk_test_", "pk_test_")


def test_a_request_is_shown_with_headers_and_answer_and_without_secrets(wire):
    asked = wire.pay(payment_method=wire.card("4000002760003184"))
    found = wire.simulator.request(wire.simulator.requests()[-1]["seq"])
    assert found["path"] == "/v1/payment_intents" and found["answer"]["id"] == asked["id"]
    assert found["request_headers"]["authorization"] == "Bearer sk_test_[redacted]"
    assert found["request_headers"]["host"]
    assert found["answer_headers"]["Request-Id"] == found["request_id"]
    assert found["answer"]["client_secret"] == "[redacted]"
    assert asked["client_secret"].split("_secret_")[1] not in json.dumps(found)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Bearer sk_test_abc", "Bearer sk_test_[redacted]"),
        ("bearer pk_live_abc", "bearer pk_live_[redacted]"),
        ("Basic c2tfdGVzdF9hYmM6", "Basic [redacted]"),
        ("sk_test_abc", "sk_test_[redacted]"),
        ("Token abc", "[redacted]"),
        ("", "[redacted]"),
    ],
)
def test_of_a_key_only_its_kind_is_shown(sent, shown):
    headers = redacted_headers({"Authorization": sent, "cookie": "a=b", "x-key": "sk_test_abc"})
    assert headers == {"Authorization": shown, "x-key": "sk_test_[redacted]"}


def test_no_secret_is_in_any_view(wire):
    wire.ok(
        "/v1/webhook_endpoints",
        {"url": "http://127.0.0.1:1/", "enabled_events[]": "customer.created"},
    )
    wire.simulator.webhooks(mode="pause")
    wire.pay(payment_method=wire.card("4000002760003184"), return_url="shop://back")
    wire.ok("/v1/customers", {"name": "4242424242424242", "metadata[a]": "sk_test_abc"})
    found = [wire.simulator.request(line["seq"]) for line in wire.simulator.requests()]
    kinds = requests.get(f"{wire.simulator.url}/_sim/objects", timeout=5).json()["kinds"]
    found += [wire.simulator.objects(kind) for kind in kinds]
    found += [wire.simulator.events(), wire.simulator.challenges(), wire.simulator.state()]
    text = json.dumps(found).replace("_secret_[redacted]", "").replace("_test_[redacted]", "")
    assert "4242424242424242" not in text
    for secret in SECRETS:
        assert secret not in text


def test_only_the_last_answers_are_kept(wire, monkeypatch):
    monkeypatch.setattr("stripesim.control.recent.MOST_EXCHANGES", 2)
    for _ in range(3):
        wire.customer()
    first, *_, last = wire.simulator.requests()
    assert wire.simulator.request(first["seq"])["answer"] is None
    assert wire.simulator.request(last["seq"])["answer"]["object"] == "customer"
    monkeypatch.setattr("stripesim.control.recent.MOST_BYTES", 10)
    wire.customer()
    assert wire.simulator.request(last["seq"])["answer"] is None


def test_the_request_log_is_read_from_either_end(wire):
    for _ in range(5):
        wire.customer()
    everything = [line["seq"] for line in wire.simulator.requests()]
    assert [line["seq"] for line in wire.simulator.last_requests(2)] == everything[-2:]
    some = wire.simulator.requests(after=everything[0], limit=2)
    assert [line["seq"] for line in some] == everything[1:3]
    assert wire.simulator.state()["last_seq"] == everything[-1]


def test_objects_are_listed_by_kind_and_found_by_id(wire):
    made = [wire.customer() for _ in range(3)]
    paid = wire.pay(payment_method=wire.card())
    answer = requests.get(f"{wire.simulator.url}/_sim/objects", timeout=5).json()
    assert answer["objects"] == [] and "customer" in answer["kinds"] and "charge" in answer["kinds"]
    newest = wire.simulator.objects("customer", limit=2)
    assert [obj["id"] for obj in newest] == made[:0:-1]
    rest = wire.simulator.objects("customer", after=newest[-1]["id"])
    assert [obj["id"] for obj in rest] == made[:1]
    assert wire.simulator.object(paid["latest_charge"])["payment_intent"] == paid["id"]
    for wrong in ("cus_none", "../requests", "a b"):
        with pytest.raises(ControlError, match="404"):
            wire.simulator.object(wrong)
    with pytest.raises(ControlError, match="no such object"):
        wire.simulator.objects("customer", after="cus_none")


def test_events_tell_of_their_deliveries_and_are_sent_again(wire):
    wire.customer()
    event = wire.simulator.events()[0]
    assert event["type"] == "customer.created" and event["about"]["object"] == "customer"
    assert event["deliveries"] == [] and event["request"].startswith("req_")
    with wire.simulator.receive_webhooks() as inbox:
        queued = wire.simulator.resend_event(event["id"])["deliveries"]
        assert [d["url"] for d in queued] == [inbox.url]
        assert inbox.wait_for("customer.created").id == event["id"]
        wire.simulator.flush_webhooks()
        (delivery,) = wire.simulator.events()[0]["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 1)
    assert delivery["answered"] == "200"
    with pytest.raises(ControlError, match="404"):
        wire.simulator.resend_event("evt_none")


def test_a_delivery_says_why_it_failed(wire, inbox):
    wire.simulator.webhooks(mode="pause")
    inbox.answer_with(503)
    wire.customer()
    wire.simulator.flush_webhooks()
    (delivery,) = wire.simulator.events()[0]["deliveries"]
    assert (delivery["state"], delivery["answered"]) == ("pending", "503")
    wire.simulator.set_webhook_target("http://127.0.0.1:1/", "whsec_x")
    wire.simulator.flush_webhooks()
    (delivery,) = wire.simulator.events()[0]["deliveries"]
    assert delivery["answered"] == "no answer (connection refused)"


def test_a_delivery_fails_when_its_target_is_taken_away(wire):
    wire.simulator.webhooks(mode="pause", url="http://127.0.0.1:1/", secret="whsec_x")
    wire.customer()
    wire.simulator.set_webhook_target(None)
    assert wire.simulator.flush_webhooks() == {"delivered": 0, "failed": 1, "pending": 0}
    (delivery,) = wire.simulator.events()[0]["deliveries"]
    assert delivery["state"] == "failed"
    assert delivery["answered"] == "the endpoint is gone or disabled"


def test_after_three_days_of_tries_a_delivery_has_failed(wire):
    wire.simulator.webhooks(mode="pause", url="http://127.0.0.1:1/", secret="whsec_x")
    wire.customer()
    pending = [wire.simulator.flush_webhooks()["pending"] for _ in range(MOST_ATTEMPTS)]
    assert pending == [1] * (MOST_ATTEMPTS - 1) + [0]
    assert sum(RETRY_SECONDS) + THEN_EVERY_SECONDS * (MOST_ATTEMPTS - 4) < 3 * 86400


def test_pending_challenges_are_listed_until_they_are_decided(wire):
    asked = wire.pay(payment_method=wire.card("4000002760003184"))
    wire.pay(payment_method=wire.card())
    saved = wire.ok(
        "/v1/setup_intents", {"confirm": "true", "payment_method": wire.card("4000002760003184")}
    )
    payment, setup = wire.simulator.challenges()
    assert (payment["id"], payment["amount"], payment["object"]) == (
        asked["id"], 440, "payment_intent",
    )  # fmt: skip
    assert (setup["id"], setup["amount"], setup["object"]) == (saved["id"], None, "setup_intent")
    for challenge in (payment, setup):
        wire.simulator.authenticate(challenge["id"])
    assert wire.simulator.challenges() == []


def test_a_reset_changes_the_epoch_and_forgets_the_answers(wire_to, start_stripe_simulator):
    """With a seed the request ids begin again, and an old answer would stand under a new one."""
    simulator = start_stripe_simulator(seed=1)
    wire_to(simulator).customer()
    before, (first,) = simulator.state(), simulator.requests()
    simulator.reset()
    after = simulator.state()
    assert after["epoch"] != before["epoch"] and after["last_seq"] == 0
    assert len(simulator.faults()) == after["faults"] == 0
    simulator.add_fault(kind="drop_request")
    with pytest.raises(requests.ConnectionError):
        wire_to(simulator).customer()
    again = simulator.request(1)
    assert again["request_id"] == first["request_id"] and again["answer"] is None


def test_one_fault_is_removed_and_the_others_stay(wire):
    first = wire.simulator.add_fault(kind="rate_limit", match={"times": 1})
    second = wire.simulator.add_fault(kind="error_before")
    wire.simulator.remove_fault(first)
    assert [rule["id"] for rule in wire.simulator.faults()] == [second]
    assert wire.post("/v1/customers").status_code == 500
    for wrong in (first, "x"):
        with pytest.raises(ControlError, match="404"):
            wire.simulator.remove_fault(wrong)


def test_a_store_of_an_older_version_is_taken(wire_to, tmp_path):
    data = tmp_path / "sim.db"
    with SimulatorProcess(data=data) as simulator:
        customer = wire_to(simulator).customer()
    with sqlite3.connect(data) as old:
        old.execute("ALTER TABLE deliveries DROP COLUMN answered")
    with SimulatorProcess(data=data) as simulator:
        assert simulator.object(customer)["id"] == customer
        assert simulator.events()[0]["deliveries"] == []
