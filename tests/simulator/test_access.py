"""Who may use the control plane: no other machine, no page of another site."""

import http.client
from urllib.parse import urlsplit

import pytest
import requests

from stripesim.config import Config
from stripesim.control.access import Refused, check_access
from stripesim.http import Request
from stripesim.server import make_server
from stripesim.testing import SimulatorThread


def send(simulator, method, path, body=None, **headers):
    """Every header as given, `Host` too; the status."""
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=5)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.1:99",
        "localhost:1",
        "LOCALHOST",
        "[::1]:8100",
        "x.localhost",
        "0.0.0.0:1",
    ],
)
def test_the_control_plane_is_open_under_the_names_of_this_machine(stripe_simulator, host):
    assert send(stripe_simulator, "GET", "/_sim/health", Host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8100", "localhost.evil.example", "127.0.0.1.evil.example",
     "localhost]evil.example", "10.0.0.1", "[2001:db8::1]", ""],
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_refused(stripe_simulator, host):
    for method, path in (("GET", "/_sim/requests"), ("POST", "/_sim/reset"), ("GET", "/_sim")):
        assert send(stripe_simulator, method, path, Host=host) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_page_of_another_site_can_do_nothing(wire, headers):
    wire.customer()
    fault = b'{"fault": {"kind": "drop_request"}}'
    assert send(wire.simulator, "POST", "/_sim/reset", **headers) == 403
    assert send(wire.simulator, "POST", "/_sim/faults", fault, **headers) == 403
    assert send(wire.simulator, "GET", "/_sim/requests", **headers) == 403
    assert wire.simulator.faults() == []
    assert len(wire.get("/v1/customers").json()["data"]) == 1


def test_the_own_page_may_call_and_a_link_may_lead_to_it(stripe_simulator):
    own = {"Origin": stripe_simulator.url, "Sec_Fetch_Site": "same-origin"}
    assert send(stripe_simulator, "POST", "/_sim/reset", **own) == 200
    assert send(stripe_simulator, "GET", "/_sim", Sec_Fetch_Site="cross-site") == 200
    assert send(stripe_simulator, "GET", "/_sim/health", Sec_Fetch_Site="none") == 200


def test_a_browser_is_told_nothing_that_another_page_could_read(stripe_simulator):
    for method in ("OPTIONS", "GET"):
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        url = f"{stripe_simulator.url}/_sim/requests"
        answer = requests.request(method, url, headers=headers, timeout=5)
        assert answer.status_code >= 400
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("address", "token", "given", "status"),
    [
        ("10.0.0.7", None, None, 403),
        ("2001:db8::7", None, None, 403),
        (None, None, None, 403),
        ("::1", None, None, None),
        ("::ffff:127.0.0.1", None, None, None),
        ("10.0.0.7", "open", "Bearer open", None),
        ("10.0.0.7", "open", "Bearer shut", 401),
        ("127.0.0.1", "open", None, 401),
    ],
)
def test_another_machine_needs_the_token(address, token, given, status):
    headers = {"host": "127.0.0.1"} | ({"authorization": given} if given else {})
    request = Request("POST", "/_sim/reset", "", headers, b"", address, "http://127.0.0.1")
    if status is None:
        check_access(request, token, is_page=False)
        return
    with pytest.raises(Refused) as refused:
        check_access(request, token, is_page=False)
    assert refused.value.status == status


def test_no_environment_lets_other_machines_say_where_they_come_from(monkeypatch):
    """Containers often have it set to `*` for the application beside the simulator."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert make_server(Config(), print).config.forwarded_allow_ips == "127.0.0.1"


def test_who_comes_through_a_proxy_of_this_machine_is_another_machine(stripe_simulator):
    assert send(stripe_simulator, "GET", "/_sim/state", X_Forwarded_For="10.0.0.7") == 403
    assert send(stripe_simulator, "GET", "/_sim/state", X_Forwarded_For="127.0.0.1") == 200


def test_with_a_token_the_page_is_shown_and_its_calls_are_not(stripe_simulator):
    with SimulatorThread(Config(control_token="open-sesame")) as simulator:
        assert send(simulator, "GET", "/_sim") == 200
        assert send(simulator, "GET", "/_sim/requests") == 401
        assert send(simulator, "GET", "/_sim/requests", Host="sim.example") == 401
        bearer = {"Authorization": "Bearer open-sesame", "Host": "sim.example"}
        assert send(simulator, "GET", "/_sim/requests", **bearer) == 200
        assert simulator.requests() == []
