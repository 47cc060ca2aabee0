"""`kill -9` loses nothing that was answered; the command line says what it is told to say."""

import sqlite3
import subprocess
import sys
import threading

import pytest
import requests

from simulator.test_webhooks import Receiver
from stripesim.config import Config
from stripesim.testing import SimulatorProcess, SimulatorThread


def test_what_was_answered_survives_kill_9(wire_to, tmp_path):
    with SimulatorProcess(data=tmp_path / "sim.db") as simulator:
        wire = wire_to(simulator)
        customer, card = wire.saved_card()
        form = {"amount": 440, "currency": "usd", "customer": customer, "payment_method": card}
        form["metadata[order_id]"] = "o1"
        made = wire.post("/v1/payment_intents", form, idempotency_key="create").json()
        path = f"/v1/payment_intents/{made['id']}/confirm"
        paid = wire.post(path, idempotency_key="confirm").json()
        audit = simulator.audit("order_id")
        simulator.advance_clock(3600)
        simulator.kill()
        with pytest.raises(requests.ConnectionError):
            wire.get("/v1/customers")
        simulator.restart()
        assert wire.retrieve(made["id"])["status"] == "succeeded"
        again = wire.post(path, idempotency_key="confirm")
        assert again.json() == paid and again.headers["Idempotent-Replayed"] == "true"
        assert simulator.audit("order_id") == audit
        assert len(simulator.requests()) >= 6
        clock = requests.get(f"{simulator.url}/_sim/clock", timeout=5).json()
        assert clock["advanced_seconds"] == 3600


def test_killing_it_under_load_loses_no_answered_charge(wire_to, tmp_path):
    with SimulatorProcess(data=tmp_path / "sim.db") as simulator:
        wire = wire_to(simulator)
        customer, card = wire.saved_card()
        answered = []

        def pay_until_it_dies():
            own = wire_to(simulator)
            while True:
                try:
                    answered.append(own.pay(customer=customer, payment_method=card)["id"])
                except requests.RequestException:
                    return

        workers = [threading.Thread(target=pay_until_it_dies) for _ in range(3)]
        for worker in workers:
            worker.start()
        while len(answered) < 60:
            pass
        simulator.kill()
        for worker in workers:
            worker.join()
        simulator.restart()
        for intent_id in answered:
            assert wire.retrieve(intent_id)["status"] == "succeeded"
        assert simulator.audit()["totals"]["succeeded_charges"] >= len(answered)


def test_undelivered_events_are_delivered_after_a_restart(wire_to, tmp_path):
    receiver = Receiver()
    try:
        flags = ("--webhook-url", receiver.url, "--webhook-secret", "whsec_x")
        with SimulatorProcess(*flags, data=tmp_path / "sim.db") as simulator:
            wire = wire_to(simulator)
            simulator.webhooks(mode="pause")
            wire.pay(payment_method=wire.card())
            simulator.kill()
            assert receiver.received == []
            simulator.restart()
            receiver.wait(3)
            assert [e.type for e in receiver.events("whsec_x")] == wire.event_types()
    finally:
        receiver.close()


def test_a_seed_repeats_ids_on_a_fresh_store_and_never_on_a_used_one(wire_to, tmp_path):
    ids = []
    for run in ("one", "two"):
        with SimulatorProcess("--seed", "7", data=tmp_path / run) as simulator:
            wire = wire_to(simulator)
            if run == "two":
                simulator.advance_clock(1000)
            paid = wire.pay(payment_method="pm_card_visa")
            made = [paid["id"], paid["client_secret"], paid["latest_charge"], wire.customer()]
            ids.append([*made, wire.card(), wire.events()[0]["id"]])
            if run == "two":
                simulator.restart()
                assert wire.customer() not in ids[-1]
    assert ids[0] == ids[1]


def refused(*flags):
    """What `stripesim serve` says when it does not start."""
    command = [sys.executable, "-m", "stripesim", "serve", *map(str, flags)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode in (1, 2) and not ended.stdout
    return ended.stderr


def test_a_port_in_use_and_a_missing_secret_stop_the_start_with_one_sentence(wire):
    port = wire.simulator.url.rpartition(":")[2]
    for flags, words in (
        (["--port", port], "cannot listen on"),
        (["--webhook-url", "http://127.0.0.1:1/"], "--webhook-url needs --webhook-secret"),
    ):
        said = refused(*flags)
        assert words in said and len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--port", "99999"], "less than or equal to 65535"),
        (["--webhook-url", "localhost/hook", "--webhook-secret", "whsec_x"], "http:// or https://"),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused_without_a_traceback(flags, words):
    said = refused(*flags)
    assert words in said and "Traceback" not in said


def test_a_file_belongs_to_one_simulator_until_it_ends(tmp_path):
    path = tmp_path / "sim.db"
    with SimulatorProcess(data=path) as simulator:
        assert "another stripesim is at work on it" in refused("--port", 0, "--data", path)
        simulator.kill()
        simulator.restart()
    with SimulatorThread(Config(data=str(path))) as simulator:
        assert "another stripesim is at work on it" in refused("--port", 0, "--data", path)
    with SimulatorThread(Config(data=str(path))) as simulator:
        assert simulator.health() == {"status": "ready"}


def test_a_database_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER)")
    before = path.read_bytes()
    said = refused("--port", 0, "--data", path)
    assert f"cannot use {path} as the store" in said and "name a new file" in said
    assert path.read_bytes() == before
