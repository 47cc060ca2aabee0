"""It listens on loopback unless told otherwise, and refuses live keys without keeping them."""

import base64
import re
import socket
from urllib.parse import urlsplit

import pytest
import requests

from stripesim.testing import SimulatorProcess

SECRET_PART = "51HdLiveAndMostSecretAbCd"
LAST_FOUR = SECRET_PART[-4:]


def basic(key):
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def ways_to_send(key):
    """(method, path, form, headers): wherever a client may put its key."""
    return [
        ("GET", "/v1/customers", None, {"Authorization": f"Bearer {key}"}),
        ("GET", "/v1/customers", None, {"Authorization": basic(key)}),
        ("GET", f"/v1/customers?key={key}", None, {}),
        ("POST", "/v1/payment_methods", {"type": "card", "key": key}, {}),
        (
            "POST",
            "/v1/customers",
            {"metadata[key]": key, "description": f"key {key}"},
            {"Authorization": f"Bearer {key}", "Idempotency-Key": key},
        ),
        ("GET", f"/v1/customers/{key}", None, {"Authorization": f"Bearer {key}"}),
    ]


@pytest.mark.parametrize("prefix", ["sk_live_", "rk_live_", "pk_live_"])
def test_a_live_key_is_refused_as_stripe_refuses_a_wrong_one(wire, prefix):
    for method, path, form, headers in ways_to_send(prefix + SECRET_PART):
        url = wire.simulator.url + path
        answer = requests.request(method, url, data=form, headers=headers, timeout=5)
        error = answer.json()["error"]
        assert answer.status_code == 401
        assert error["type"] == "invalid_request_error" and "code" not in error
        masked = prefix + "*" * (len(SECRET_PART) - 4) + LAST_FOUR
        assert error["message"] == f"Invalid API Key provided: {masked}"
        assert SECRET_PART not in answer.text
    assert wire.get("/v1/customers").json()["data"] == []


def test_a_live_key_is_written_down_nowhere(wire_to, tmp_path, capfd):
    key = f"sk_live_{SECRET_PART}"
    with SimulatorProcess(data=tmp_path / "sim.db") as simulator:
        for method, path, form, headers in ways_to_send(key):
            requests.request(method, simulator.url + path, data=form, headers=headers, timeout=5)
        requests.get(f"{simulator.url}/v1/customers/{key}", auth=("sk_test_x", ""), timeout=5)
        lines = simulator.requests()
        shown = str([lines, *(simulator.request(line["seq"]) for line in lines)])
    assert len(lines) == 7
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    printed = "".join(capfd.readouterr())
    assert SECRET_PART not in shown and SECRET_PART not in printed
    assert SECRET_PART.encode() not in stored
    assert b"/v1/customers" in stored


def test_it_listens_on_loopback_unless_told_otherwise(capfd):
    """A server on every address would be reached under 127.0.0.2, too."""
    with SimulatorProcess() as simulator:
        address = urlsplit(simulator.url)
        assert address.hostname == "127.0.0.1"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", address.port), 1)
    assert capfd.readouterr().err == ""
    with SimulatorProcess("--host", "0.0.0.0") as simulator:
        port = urlsplit(simulator.url).port
        socket.create_connection(("127.0.0.2", port), 1).close()
        assert re.fullmatch(r"http://0\.0\.0\.0:\d+", simulator.url)
    assert "other machines can reach this" in capfd.readouterr().err


def test_a_restricted_key_reads_everything_and_writes_nothing(wire):
    method = wire.simulator.create_card()
    headers = {"Authorization": "Bearer rk_test_thatIsRestrictedAbCd"}
    for path in ("customers", "charges", "payment_intents", "events", f"payment_methods/{method}"):
        url = f"{wire.simulator.url}/v1/{path}"
        assert requests.get(url, headers=headers, timeout=5).status_code == 200
    before = wire.simulator.audit()
    for verb, path in (
        ("POST", "customers"),
        ("POST", "payment_intents"),
        ("POST", f"payment_methods/{method}/attach"),
        ("DELETE", "customers/cus_1"),
    ):
        url = f"{wire.simulator.url}/v1/{path}"
        answer = requests.request(verb, url, headers=headers, timeout=5)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (403, "invalid_request_error")
        assert error["message"].startswith("The provided key 'rk_test_*****")
        assert error["message"].endswith(
            "' does not have the required permissions for this endpoint on account "
            f"'acct_1Paid1SimOneAcct'. Having the 'rak_{path.split('/')[0][:-1]}_write' permission"
            " would allow this request to continue."
        )
        assert "thatIsRestricted" not in answer.text
    assert wire.simulator.audit() == before


def test_a_restricted_key_may_not_say_whose_it_is(wire):
    """Recorded with every permission that there is (stripe-node#2246, singer-io/tap-stripe#38)."""
    headers = {"Authorization": "Bearer rk_test_thatIsRestrictedAbCd"}
    answer = requests.get(f"{wire.simulator.url}/v1/account", headers=headers, timeout=5)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], "code" in error) == (
        403,
        "invalid_request_error",
        False,
    )
    assert "'rak_accounts_kyc_id_numbers_read'" in error["message"]
