"""Webhooks: signed, retried, in order or not, and the list of events to catch up from."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import stripe


class Receiver:
    """A webhook endpoint on a free port that remembers what came; `statuses` are answered first."""

    def __init__(self):
        self.received, self.statuses = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((body, self.headers["Stripe-Signature"]))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def events(self, secret):
        return [stripe.Webhook.construct_event(b, s, secret) for b, s in self.received]

    def wait(self, count, seconds=5.0):
        ends_at = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert len(self.received) >= count, f"{len(self.received)} of {count} came"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


SECRET = "whsec_test"


def test_every_event_is_delivered_signed_and_in_order(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.pay(payment_method=wire.card())
    receiver.wait(3)
    events = receiver.events(SECRET)
    assert [e.type for e in events] == wire.event_types()
    assert events[2].data.object.status == "succeeded"
    time.sleep(0.05)
    assert wire.events()[0]["pending_webhooks"] == 0
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.events("whsec_other")


def test_an_endpoint_of_the_api_gets_the_events_it_asked_for(wire, receiver):
    made = wire.ok(
        "/v1/webhook_endpoints",
        {"url": receiver.url, "enabled_events[]": "payment_intent.succeeded"},
    )
    wire.pay(payment_method=wire.card())
    receiver.wait(1)
    assert [e.type for e in receiver.events(made["secret"])] == ["payment_intent.succeeded"]
    path = f"/v1/webhook_endpoints/{made['id']}"
    for where in (path, "/v1/webhook_endpoints"):
        form = {"url": receiver.url, "enabled_events[]": "payment_intent.succeded"}
        status, error = wire.error(where, form)
        assert (status, error["param"]) == (400, "enabled_events[0]")
        start = "Invalid enabled_events[0]: must be one of account.application.authorized, account."
        assert error["message"].startswith(start)
    assert "secret" not in wire.get(path).json()
    assert wire.ok(path, {"disabled": "true"})["status"] == "disabled"
    wire.pay(payment_method=wire.card())
    assert wire.simulator.flush_webhooks() == {"delivered": 0, "failed": 0, "pending": 0}
    assert wire.send("DELETE", path).json()["deleted"] is True
    assert wire.get("/v1/webhook_endpoints").json()["data"] == []
    assert wire.get(path).status_code == 404


def test_a_refused_delivery_is_tried_again_on_the_simulators_clock(wire, receiver):
    receiver.statuses = [500, 302, 503, 404]
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.intent()
    receiver.wait(1)
    for count, seconds in ((2, 1), (3, 5), (4, 30), (5, 3600)):
        time.sleep(0.05)
        assert len(receiver.received) == count - 1
        assert wire.get("/v1/events", {"delivery_success": "false"}).json()["data"]
        wire.simulator.advance_clock(seconds)
        receiver.wait(count)
    time.sleep(0.05)
    assert wire.get("/v1/events", {"delivery_success": "false"}).json()["data"] == []
    assert len({event.id for event in receiver.events(SECRET)}) == 1


def test_paused_events_wait_and_are_flushed(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(mode="pause")
    wire.pay(payment_method=wire.card())
    time.sleep(0.1)
    assert receiver.received == []
    assert wire.simulator.flush_webhooks() == {"delivered": 3, "failed": 0, "pending": 0}
    assert len(receiver.received) == 3


def test_resuming_delivers_what_was_paused(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(mode="pause")
    wire.intent()
    assert receiver.received == []
    wire.simulator.webhooks(mode="deliver")
    receiver.wait(1)
    assert len(receiver.received) == 1


def test_dropped_events_never_come_but_can_be_listed(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(mode="drop")
    wire.intent()
    wire.simulator.webhooks(mode="deliver")
    assert wire.simulator.flush_webhooks()["delivered"] == 0
    assert wire.event_types() == ["payment_intent.created"]


def test_duplicates_and_shuffling(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(mode="pause", duplicate=1, shuffle=True, seed=3)
    for _ in range(4):
        wire.pay(payment_method=wire.card())
    wire.simulator.flush_webhooks()
    came = [event.id for event in receiver.events(SECRET)]
    sent = [event["id"] for event in wire.events()]
    assert sorted(came) == sorted(sent * 2)
    assert came != [event for event in sent for _ in range(2)]


def test_delayed_events_come_later(wire, receiver):
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(delay_seconds=60)
    wire.intent()
    time.sleep(0.1)
    assert receiver.received == []
    wire.simulator.advance_clock(61)
    receiver.wait(1)


def test_an_endpoint_that_is_gone_fails_and_keeps_the_event_pending(wire, receiver):
    receiver.close()
    wire.simulator.set_webhook_target(receiver.url, SECRET)
    wire.simulator.webhooks(mode="pause")
    wire.intent()
    assert wire.simulator.flush_webhooks() == {"delivered": 0, "failed": 1, "pending": 1}
    assert wire.events()[0]["pending_webhooks"] == 1


def test_a_refused_request_emits_no_events(wire):
    dead = wire.card()
    wire.pay(payment_method=dead)
    before = wire.event_types()
    wire.pay_error(payment_method=dead)
    assert wire.event_types() == before


def test_events_are_filtered_and_paged(wire):
    wire.pay(payment_method=wire.card())
    wire.simulator.advance_clock(10)
    late = wire.pay(payment_method=wire.card())
    paid = wire.events(type="payment_intent.succeeded")
    assert [e["data"]["object"]["id"] for e in paid][-1] == late["id"] and len(paid) == 2
    two = wire.events(**{"types[]": ["charge.succeeded", "payment_intent.created"]})
    assert [e["type"] for e in two] == ["payment_intent.created", "charge.succeeded"] * 2
    page = wire.get(
        "/v1/events", {"types[]": ["charge.succeeded", "payment_intent.created"], "limit": 3}
    ).json()
    assert page["has_more"] is True
    rest = wire.get(
        "/v1/events",
        {
            "types[]": ["charge.succeeded", "payment_intent.created"],
            "starting_after": page["data"][-1]["id"],
        },
    ).json()
    assert page["data"] + rest["data"] == two[::-1] and rest["has_more"] is False
    newer = wire.events(**{"created[gte]": late["created"]})
    assert len(newer) == 3
    intents = wire.events(type="payment_intent.*")
    assert len(intents) == 4


def test_an_event_keeps_the_accounts_version_whoever_reads_it(wire):
    wire.intent()
    event = wire.events()[0]
    pinned = wire.get(f"/v1/events/{event['id']}", version="2025-10-29.clover").json()
    assert pinned == event and "payment_record" in pinned["data"]["object"]


def test_a_reset_gives_up_a_delivery_that_hangs(wire):
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        wire.simulator.set_webhook_target(f"http://127.0.0.1:{silent.getsockname()[1]}/", SECRET)
        wire.intent()
        silent.accept()
        started = time.monotonic()
        wire.simulator.reset()
        assert wire.simulator.flush_webhooks() == {"delivered": 0, "failed": 0, "pending": 0}
        assert time.monotonic() - started < 3
    finally:
        silent.close()


def test_shuffled_events_overtake_each_other_within_a_second(start_stripe_simulator, wire_to):
    """On the simulator's clock, which stands still here; the order follows the seed."""

    def order(seed):
        simulator = start_stripe_simulator(seed=1, start_time=1767225600)
        wire = wire_to(simulator)
        with simulator.receive_webhooks() as inbox:
            simulator.webhooks(shuffle=True, seed=seed)
            for _ in range(6):
                wire.customer()
            simulator.advance_clock(1)
            inbox.wait_for("*", count=6)
            made = [event["id"] for event in simulator.events()][::-1]
        return [made.index(delivered.id) for delivered in inbox.deliveries]

    first = order(5)
    assert sorted(first) == list(range(6)) != first
    assert order(5) == first != order(6)


def test_a_flush_shuffles_all_it_sends_and_the_seed_repeats_it(wire, inbox):
    def order():
        wire.simulator.webhooks(mode="pause", shuffle=False)
        made = [wire.customer() for _ in range(12)]
        wire.simulator.webhooks(shuffle=True, seed=5)
        before = len(inbox.deliveries)
        wire.simulator.flush_webhooks()
        return [made.index(d.object["id"]) for d in inbox.deliveries[before:]]

    first = order()
    assert sorted(first) == list(range(12)) != first
    assert order() == first


def test_the_inbox_keeps_nothing_that_is_not_signed(wire, inbox):
    wire.customer()
    good = inbox.wait_for("customer.created")
    headers = {"Stripe-Signature": good.signature}
    for body, wrong in (
        (b"{}", headers),
        (good.body, {}),
        (good.body, {"Stripe-Signature": "v1="}),
    ):
        assert requests.post(inbox.url, body, headers=wrong, timeout=5).status_code == 400
    assert requests.post(inbox.url, good.body, headers=headers, timeout=5).status_code == 200
    assert inbox.types == ["customer.created"] * 2


def test_extra_copies_are_the_same_event(wire, inbox):
    wire.simulator.webhooks(duplicate=2)
    wire.customer()
    inbox.wait_for("customer.created", count=3)
    assert len({delivered.body for delivered in inbox.deliveries}) == 1
    assert wire.simulator.state()["pending_webhooks"] in (0, 1)  # the last is noted after its 200


def test_settings_that_are_not_named_stay_as_they_are(wire):
    wire.simulator.webhooks(duplicate=2, delay_seconds=5, shuffle=True, seed=9)
    settings = wire.simulator.webhooks(mode="pause")
    assert (settings["duplicate"], settings["delay_seconds"]) == (2, 5)
    assert (settings["shuffle"], settings["seed"]) == (True, 9)
