"""Same seed, same run: a mixed scenario in fresh processes, compared byte for byte.

What repeats: every answer with its status, headers and body, the request log, the objects, the
events, and the order and bytes of the deliveries. What cannot: `Date`, and the signature's own
time, which is real so that an SDK's check accepts it.
"""

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from stripesim.clock import read_time
from stripesim.testing import SimulatorProcess

START = "2026-01-01T00:00:00Z"
SECRET = "whsec_same"
CARDS = ["4242424242424242", "4000000000000341", "4000002760003184", "4000000000009995"]
STEPS = 14


class Recorder:
    """Answers deliveries in turn with 200, 500 and 200, and keeps their bytes."""

    def __init__(self):
        self.bodies, recorder = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                at = self.headers["Stripe-Signature"].split(",")[0].removeprefix("t=")
                signed = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
                assert self.headers["Stripe-Signature"] == f"t={at},v1={signed.hexdigest()}"
                recorder.bodies.append(body)
                self.send_response(500 if len(recorder.bodies) % 3 == 2 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


class Run:
    """The scenario on one simulator; `seen` is everything that a client and a receiver saw."""

    def __init__(self, simulator):
        self.simulator, self.seen = simulator, []
        self.recorder = Recorder()

    def send(self, path, form, key):
        headers = {"Authorization": "Bearer sk_test_same", "Idempotency-Key": key}
        url = f"{self.simulator.url}/v1/{path}"
        try:
            answer = requests.post(url, form, headers=headers, timeout=5)
        except requests.RequestException:
            self.seen.append((path, "no answer"))
            return {}
        shown = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
        self.seen.append((path, answer.status_code, shown, answer.content))
        return answer.json() if answer.content.startswith(b"{") else {}

    def pay(self, number, customer):
        amount = {"amount": str(1000 + number), "currency": "usd", "customer": customer}
        card = {"type": "card", "card[number]": CARDS[number % len(CARDS)], "card[cvc]": "123"}
        card |= {"card[exp_month]": "12", "card[exp_year]": "2034"}
        made = self.send("payment_methods", card, f"card-{number}")
        intent = self.send("payment_intents", amount, f"intent-{number}")
        if "id" not in made or "id" not in intent:
            return
        path = f"payment_intents/{intent['id']}/confirm"
        for _ in range(2):
            self.send(path, {"payment_method": made["id"]}, f"confirm-{number}")
        if any(one["id"] == intent["id"] for one in self.simulator.challenges()):
            self.simulator.authenticate(intent["id"], "success" if number % 2 else "fail")
        self.send("refunds", {"payment_intent": intent["id"], "amount": "100"}, f"refund-{number}")

    def let_deliveries_fall_due(self):
        """Sent in the background, in the order in which they fall due."""
        count = len(self.recorder.bodies) + self.simulator.state()["pending_webhooks"]
        self.simulator.advance_clock(1)
        ends_at = time.monotonic() + 10
        while len(self.recorder.bodies) < count:
            assert time.monotonic() < ends_at
            time.sleep(0.005)

    def play(self):
        simulator = self.simulator
        simulator.set_webhook_target(self.recorder.url, SECRET)
        for kind in ("drop_response", "error_before", "error_after", "rate_limit", "truncate"):
            simulator.add_fault(kind=kind, match={"method": "POST", "probability": 0.1})
        simulator.webhooks(shuffle=True, duplicate=1)
        customer = self.send("customers", {"email": "ada@example.com"}, "customer")
        for number in range(STEPS):
            self.pay(number, customer.get("id", "cus_none"))
            if number % 5 == 4:
                self.let_deliveries_fall_due()
        for seconds in (30, 7 * 86400):
            simulator.webhooks(mode="pause")
            simulator.advance_clock(seconds)
            simulator.flush_webhooks()
        self.recorder.server.shutdown()
        self.recorder.server.server_close()
        kinds = ("payment_intent", "charge", "refund", "payment_method", "customer")
        state = [simulator.requests(), [simulator.objects(kind, limit=1000) for kind in kinds]]
        events = simulator.events(limit=1000)
        for event in events:
            for delivery in event["deliveries"]:
                delivery["url"] = None  # the receiver's port
        self.seen += [json.dumps([state, events]), self.recorder.bodies]
        return self.seen


def play(seed):
    with SimulatorProcess("--seed", str(seed), "--start-time", START) as simulator:
        return Run(simulator).play()


def test_the_same_seed_is_the_same_run_and_another_one_is_another():
    first, again, other = play(7), play(7), play(8)
    for place, (one, two) in enumerate(zip(first, again, strict=True)):
        assert one == two, f"step {place}"
    assert first != other
    outcomes = [step[1] for step in first[:-2]]
    assert {200, 402, 429, 500, "no answer"} <= set(outcomes), "every kind of fault has struck"
    bodies = first[-1]
    assert len(bodies) > 40 and len(set(bodies)) < len(bodies)
    created = [json.loads(body)["created"] for body in bodies]
    assert created[0] == int(read_time(START))


def test_with_a_start_time_the_clock_stands_still_until_it_is_advanced(start_stripe_simulator):
    simulator = start_stripe_simulator(start_time=read_time(START))
    first = simulator.state()["now"]
    assert first == read_time(START) == simulator.state()["now"]
    simulator.advance_clock(90)
    assert simulator.state()["now"] == first + 90


def test_the_store_remembers_how_far_the_clock_was_advanced(tmp_path):
    flags = ("--start-time", "1767225600")
    with SimulatorProcess(*flags, data=tmp_path / "sim.db") as simulator:
        simulator.advance_clock(3600)
        simulator.kill()
        simulator.restart()
        assert simulator.state()["now"] == 1767225600 + 3600


def test_chances_begin_again_after_a_reset(start_stripe_simulator):
    simulator = start_stripe_simulator(seed=3)

    def strikes():
        simulator.reset()
        simulator.add_fault(kind="rate_limit", match={"probability": 0.5})
        url = f"{simulator.url}/v1/customers"
        return [requests.get(url, auth=("sk_test_x", "")).status_code for _ in range(30)]

    first = strikes()
    assert first == strikes() and len(set(first)) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1767225600.5", 1767225600.5), ("2026-01-01", 1767225600),
     ("2026-01-01T01:00:00+01:00", 1767225600), (START, 1767225600)],
)  # fmt: skip
def test_a_time_is_read(text, seconds):
    assert read_time(text) == seconds


def test_a_time_without_a_zone_is_utc_wherever_the_machine_stands(monkeypatch):
    monkeypatch.setenv("TZ", "XYZ-9")
    time.tzset()
    try:
        assert read_time("2026-01-01T00:00:00") == read_time(START) == 1767225600
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "9e99", "2026-13-01"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        read_time(text)
