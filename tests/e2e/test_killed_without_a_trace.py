"""A server that is killed in the middle of a payment has told nobody a secret, and left none."""

import threading
from typing import Any

import pytest

from e2e.serving import start_serving, wait_until
from support.canaries import SECRET_SETTINGS, Canaries
from support.environment import environment
from support.processes import StartProcess
from support.remains import Pages, find
from support.service import GOOD, NEEDS_3DS

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}


def test_output_and_files_of_a_killed_server_hold_no_secret(
    sqlite_url: str,
    stripe_simulator: Any,
    start_process: StartProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canaries = Canaries()
    planted = {name.upper(): make(canaries(name)) for name, make in SECRET_SETTINGS.items()}
    planted["EVENT_ENDPOINTS"] = f"https://hooks.invalid/{canaries('event_endpoints')}"
    monkeypatch.setattr("e2e.serving.JWT_SECRET", planted["AUTH_JWT_SECRET"])
    monkeypatch.setattr("e2e.serving.MERCHANT_API_KEY", planted["MERCHANT_API_KEY"])
    settings = {**environment(sqlite_url, stripe_simulator.url), **planted}
    serving = start_serving(start_process, settings)
    card = stripe_simulator.create_card(GOOD)
    action = serving.pay(serving.order(), stripe_simulator.create_card(NEEDS_3DS)).json()["data"]
    path = f"/api/mobile-app/orders/{serving.order()}/payment-sheet"
    sheet = serving.call("POST", path, {"stripeVersion": "2025-10-29.clover"}).json()["data"]
    serving.pay(serving.order(), card)
    stripe_simulator.add_fault(kind="hold", match=CONFIRM)
    paying = threading.Thread(target=serving.pay_or_lose, args=(serving.order(), card))
    paying.start()
    wait_until(lambda: stripe_simulator.faults()[0]["struck"] > 0, "confirm")
    serving.process.kill9()
    paying.join()
    stripe_simulator.clear_faults()
    given = {"of a challenge": action["clientSecret"]}
    given |= {name: value for name, value in sheet.items() if "secret" in name.lower()}
    secrets = {name: value.rpartition("_")[2] for name, value in given.items()}
    assert len(secrets) >= 3
    pages = Pages(sqlite_url).read()
    left = {"stdout": serving.process.stdout(), "stderr": serving.process.stderr(), **pages}
    assert "request.answered" in left["stderr"] and b"-wal" in "".join(left).encode()
    assert find(secrets, left) == []
    assert {name for held in left.values() for name in canaries.find(held)} == set()
