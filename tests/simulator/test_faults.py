"""Every kind of fault, and which requests a rule strikes."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import stripe

from stripesim.control.faults import KINDS
from stripesim.testing import SimulatorProcess

PATH = "/v1/customers"


def customers(wire):
    return len(wire.get(PATH).json()["data"])


def strike(wire, kind, **fault):
    wire.simulator.add_fault(kind=kind, match={"method": "POST", "path": PATH, "times": 1}, **fault)


def test_drop_request_cuts_the_connection_before_executing(wire):
    strike(wire, "drop_request")
    with pytest.raises(requests.ConnectionError):
        wire.post(PATH, {})
    assert customers(wire) == 0
    logged = wire.simulator.requests()[0]
    assert (logged["status"], logged["fault"]) == (None, "drop_request")


def test_drop_response_executes_and_then_cuts_the_connection(wire):
    strike(wire, "drop_response")
    with pytest.raises(requests.ConnectionError):
        wire.post(PATH, {}, idempotency_key="k")
    assert customers(wire) == 1
    assert wire.post(PATH, {}, idempotency_key="k").headers["Idempotent-Replayed"] == "true"
    assert customers(wire) == 1


def test_the_official_sdk_sees_a_lost_answer_as_a_connection_error(wire, client):
    strike(wire, "drop_response")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create({}, {"max_network_retries": 0})
    assert customers(wire) == 1


def test_error_before_answers_5xx_without_executing_or_saving(wire):
    strike(wire, "error_before", status=503)
    status, error = wire.error(PATH, {}, idempotency_key="k")
    assert (status, error["type"]) == (503, "api_error")
    assert customers(wire) == 0
    assert "Idempotent-Replayed" not in wire.post(PATH, {}, idempotency_key="k").headers


def test_error_after_answers_5xx_although_it_executed(wire):
    strike(wire, "error_after", status=502)
    status, error = wire.error(PATH, {})
    assert (status, error["type"]) == (502, "api_error")
    assert customers(wire) == 1


def test_error_saved_answers_the_same_5xx_under_its_key_and_never_executes(wire):
    strike(wire, "error_saved", status=502)
    for is_replayed in (None, "true", "true"):
        answer = wire.post(PATH, {}, idempotency_key="k")
        assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
        assert answer.headers.get("Idempotent-Replayed") == is_replayed
    assert customers(wire) == 0
    assert wire.ok(PATH, {}, idempotency_key="the next key")["object"] == "customer"


def test_rate_limit_is_429_and_not_executed(wire):
    strike(wire, "rate_limit")
    answer = wire.post(PATH, {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit")
    assert "Stripe-Should-Retry" not in answer.headers
    assert customers(wire) == 0


def test_lock_timeout_is_429_that_asks_to_be_retried(wire):
    strike(wire, "lock_timeout")
    answer = wire.post(PATH, {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "lock_timeout")
    assert answer.headers["Stripe-Should-Retry"] == "true"
    assert customers(wire) == 0


def test_key_in_use_is_409(wire):
    strike(wire, "key_in_use")
    status, error = wire.error(PATH, {}, idempotency_key="k")
    assert (status, error["code"]) == (409, "idempotency_key_in_use")
    assert customers(wire) == 0


def test_truncate_promises_a_whole_body_and_sends_half(wire):
    strike(wire, "truncate")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.post(PATH, {})
    assert customers(wire) == 1


def test_slow_body_takes_its_time_and_is_whole(wire):
    strike(wire, "slow_body", seconds=0.3)
    started = time.monotonic()
    assert wire.ok(PATH, {})["object"] == "customer"
    assert time.monotonic() - started >= 0.25


def test_latency_waits_before_executing(wire):
    strike(wire, "latency", seconds=0.3)
    with pytest.raises(requests.Timeout):
        requests.post(
            wire.simulator.url + PATH,
            headers={"Authorization": f"Bearer {wire.simulator.secret_key}"},
            timeout=0.05,
        )
    assert customers(wire) == 0
    time.sleep(0.4)
    assert customers(wire) == 1


def test_hold_executes_when_the_rules_are_removed_although_nobody_waits(wire):
    strike(wire, "hold")
    with pytest.raises(requests.Timeout):
        requests.post(
            wire.simulator.url + PATH,
            headers={
                "Authorization": f"Bearer {wire.simulator.secret_key}",
                "Idempotency-Key": "k",
            },
            timeout=0.05,
        )
    assert customers(wire) == 0
    assert wire.error(PATH, {}, idempotency_key="k")[1]["code"] == "idempotency_key_in_use"
    wire.simulator.clear_faults()
    ends_at = time.monotonic() + 5
    while customers(wire) == 0:
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    assert wire.post(PATH, {}, idempotency_key="k").headers["Idempotent-Replayed"] == "true"
    assert customers(wire) == 1


def test_bad_gateway_html_is_html_after_executing(wire):
    strike(wire, "bad_gateway_html")
    answer = wire.post(PATH, {})
    assert answer.status_code == 502 and answer.headers["Content-Type"] == "text/html"
    assert "502 Bad Gateway" in answer.text and customers(wire) == 1


def test_the_pattern_crosses_slashes_and_the_method_counts(wire):
    wire.simulator.add_fault(kind="rate_limit", match={"method": "POST", "path": "/v1/*/confirm"})
    made = wire.intent(payment_method=wire.card())
    status, _ = wire.error(f"/v1/payment_intents/{made['id']}/confirm")
    assert status == 429
    assert wire.get(f"/v1/payment_intents/{made['id']}").status_code == 200


def test_nth_strikes_that_one_and_with_times_the_following(wire):
    wire.simulator.add_fault(kind="rate_limit", match={"path": PATH, "nth": 2})
    assert [wire.get(PATH).status_code for _ in range(4)] == [200, 429, 200, 200]
    wire.simulator.clear_faults()
    wire.simulator.add_fault(kind="rate_limit", match={"path": PATH, "nth": 2, "times": 2})
    assert [wire.get(PATH).status_code for _ in range(5)] == [200, 429, 429, 200, 200]


def test_the_first_striking_rule_wins_and_others_wait_their_turn(wire):
    for nth, kind in ((1, "rate_limit"), (2, "error_before")):
        wire.simulator.add_fault(kind=kind, match={"path": PATH, "nth": nth})
    wire.simulator.add_fault(kind="lock_timeout", match={"path": PATH, "times": 1})
    codes = [wire.get(PATH).status_code for _ in range(4)]
    assert codes == [429, 500, 429, 200]


def test_replays_match_too(wire):
    wire.ok(PATH, {}, idempotency_key="k")
    strike(wire, "drop_response")
    with pytest.raises(requests.ConnectionError):
        wire.post(PATH, {}, idempotency_key="k")
    assert wire.simulator.requests()[-1]["replayed"] is True


def test_probability_strikes_some(wire):
    wire.simulator.add_fault(kind="rate_limit", match={"path": PATH, "probability": 0.5})
    codes = [wire.get(PATH).status_code for _ in range(60)]
    assert 5 < codes.count(429) < 55


def test_a_fault_strikes_the_api_only(wire):
    wire.simulator.add_fault(kind="drop_request")
    assert wire.simulator.health()["status"] == "ready"


@pytest.mark.parametrize(
    "body", [{}, {"fault": {"kind": "nope"}}, {"fault": {"kind": "latency", "seconds": "x"}}]
)
def test_a_rule_that_cannot_be_understood_is_400(wire, body):
    answer = requests.post(f"{wire.simulator.url}/_sim/faults", json=body, timeout=5)
    assert answer.status_code == 400


def test_cut_connections_and_a_stop_in_mid_request_leave_no_complaints(wire_to, capfd):
    with SimulatorProcess() as simulator:
        wire = wire_to(simulator)
        for kind in ("drop_request", "drop_response", "truncate"):
            simulator.add_fault(kind=kind, match={"times": 1})
            with pytest.raises(
                (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
            ):
                wire.post("/v1/customers")
            simulator.clear_faults()
        simulator.add_fault(kind="latency", seconds=60)
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(wire.post, "/v1/customers")
            while not requests.get(f"{simulator.url}/_sim/faults", timeout=5).json()["faults"][0][
                "struck"
            ]:
                time.sleep(0.01)
            began = time.monotonic()
            simulator.stop()
            assert time.monotonic() - began < 2
            assert isinstance(held.exception(), requests.ConnectionError)
    complaints = capfd.readouterr().err
    assert "Traceback" not in complaints and "ASGI" not in complaints, complaints


@pytest.mark.parametrize("kind", ["latency", "hold"])
def test_a_request_that_waited_over_a_reset_is_cut_and_not_executed(wire, kind):
    strike(wire, kind, seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        headers = {"Authorization": "Bearer sk_test_x", "Idempotency-Key": "k"}
        waiting = pool.submit(requests.post, wire.simulator.url + PATH, headers=headers)
        ends_at = time.monotonic() + 5
        while not wire.simulator.faults()[0]["struck"]:
            assert time.monotonic() < ends_at
        wire.simulator.reset()
        assert wire.ok(PATH, {}, idempotency_key="k")
        assert isinstance(waiting.exception(5), requests.ConnectionError)
    assert customers(wire) == 1


# kind: the status of the first answer (None: none, or a broken one), whether it executed, and
# whether its key replays what it saved
WHAT_EACH_DOES = {
    "latency": (200, True, True),
    "hold": (200, True, True),
    "drop_request": (None, False, False),
    "drop_response": (None, True, True),
    "error_before": (500, False, False),
    "error_after": (500, True, True),
    "error_saved": (500, False, True),
    "rate_limit": (429, False, False),
    "lock_timeout": (429, False, False),
    "key_in_use": (409, False, False),
    "truncate": (None, True, True),
    "slow_body": (200, True, True),
    "bad_gateway_html": (502, True, True),
    "insufficient_balance": (200, True, True),  # of a request that is no refund
    "lie": (200, True, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_fault_does_to_the_request_and_to_its_key(wire, kind):
    status, is_executed, is_saved = WHAT_EACH_DOES[kind]
    strike(wire, kind, seconds=0.01, **({"fields": {"email": "x@y.z"}} if kind == "lie" else {}))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(wire.post, PATH, {}, idempotency_key="k")
        if kind == "hold":
            until(lambda: wire.simulator.faults()[0]["struck"] == 1)
            wire.simulator.clear_faults()
        if status is None:
            assert isinstance(asked.exception(5), requests.RequestException)
        else:
            assert asked.result(5).status_code == status
    assert customers(wire) == is_executed
    again = wire.post(PATH, {}, idempotency_key="k")
    assert (again.headers.get("Idempotent-Replayed") == "true") is is_saved
    assert (again.status_code == 500) is (is_saved and status == 500)
    assert wire.simulator.requests()[0]["fault"] == kind


def until(holds):
    ends_at = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("match", "statuses"),
    [
        ({}, [429, 429, 429, 429]),
        ({"method": "POST"}, [200, 200, 429, 429]),
        ({"method": "post"}, [200, 200, 429, 429]),
        ({"path": "/v1/customers"}, [429, 429, 429, 429]),
        ({"path": "*customers"}, [429, 429, 429, 429]),
        ({"path": "/v1/custom"}, [200, 200, 200, 200]),
        ({"path": "/v1/*/confirm"}, [200, 200, 200, 200]),
        ({"nth": 2}, [200, 429, 200, 200]),
        ({"times": 3}, [429, 429, 429, 200]),
        ({"times": 0}, [200, 200, 200, 200]),
        ({"nth": 2, "times": 2}, [200, 429, 429, 200]),
        ({"method": "POST", "nth": 2}, [200, 200, 200, 429]),
        ({"probability": 0}, [200, 200, 200, 200]),
        ({"probability": 1}, [429, 429, 429, 429]),
        ({"probability": 1, "times": 1}, [429, 200, 200, 200]),
    ],
)
def test_which_requests_a_rule_strikes(wire, match, statuses):
    """Two GETs and two POSTs."""
    wire.simulator.add_fault(kind="rate_limit", match=match)
    sent = [wire.get(PATH), wire.get(PATH), wire.post(PATH), wire.post(PATH)]
    assert [answer.status_code for answer in sent] == statuses
    (rule,) = wire.simulator.faults()
    assert rule["struck"] == statuses.count(429)


def test_chances_follow_the_seed(start_stripe_simulator):
    def strikes(seed):
        simulator = start_stripe_simulator(seed=seed)
        simulator.add_fault(kind="rate_limit", match={"probability": 0.5})
        url = simulator.url + PATH
        return [requests.get(url, auth=("sk_test_x", "")).status_code for _ in range(20)]

    assert strikes(1) == strikes(1) != strikes(2)


def test_a_misspelt_field_of_a_fault_is_a_mistake_of_the_test(wire):
    for match, fault in (({"pth": "*"}, {}), ({}, {"secs": 3})):
        with pytest.raises(TypeError, match=r"a fault has no (pth|secs)"):
            wire.simulator.add_fault(kind="latency", match=match, **fault)
    assert wire.simulator.faults() == []


def test_a_lie_is_in_the_answer_only(wire):
    fields = {"email": "eve@x.y", "metadata.a": "2", "no.such": 1, "new": None}
    strike(wire, "lie", fields=fields)
    told = wire.post(PATH, {"email": "alice@x.y", "metadata[a]": "1"}, idempotency_key="k").json()
    assert (told["email"], told["metadata"], told["new"]) == ("eve@x.y", {"a": "2"}, None)
    true = wire.post(PATH, {"email": "alice@x.y", "metadata[a]": "1"}, idempotency_key="k").json()
    assert (true["email"], true["metadata"]) == ("alice@x.y", {"a": "1"}) and "new" not in true
    wire.simulator.add_fault(
        kind="lie", match={"method": "GET", "times": 1}, fields={"data.*.email": "eve@x.y"}
    )
    assert [each["email"] for each in wire.get(PATH).json()["data"]] == ["eve@x.y"]
    assert [each["email"] for each in wire.get(PATH).json()["data"]] == ["alice@x.y"]


@pytest.mark.parametrize("fields", [None, {}, [], "amount"])
def test_a_lie_has_to_say_something(wire, fields):
    with pytest.raises(Exception, match="fields has to be an object"):
        strike(wire, "lie", fields=fields)
