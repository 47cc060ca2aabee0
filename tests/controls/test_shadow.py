"""`paidonce shadow` beside each server of the controls: what it tells of double charges is what
Stripe's ledger says, and it asks without writing."""

from typing import Any

import pytest

from controls.scenario import AMOUNT_MINOR, Server, run_scenario
from support.moving_in import run

KEY = "rk_test_shadow"


def shadow(simulator: Any, code: int, *options: str) -> dict[str, Any]:
    """What one look at the account finds; it sends nothing but GETs, under its own key."""
    seq = max(item["seq"] for item in simulator.requests())
    env = {"STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": simulator.url}
    words = ("shadow", "--format", "json", "--idle", "0", "--rate", "1000", *options)
    body = run(*words, env=env, code=code).json()
    asked = simulator.requests(after=seq)
    assert asked and {item["method"] for item in asked} == {"GET"}
    assert body["is_complete"] is True
    return body


def surplus(simulator: Any) -> dict[str, int]:
    """Charges beyond the first of each order, by Stripe's ledger."""
    groups = simulator.audit(group_by="order_id")["groups"]
    return {
        group["key"]: group["succeeded_charges"] - 1
        for group in groups
        if group["succeeded_charges"] > 1
    }


def told(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [row for row in body["findings"] if row["kind"] == kind]


@pytest.mark.parametrize(
    "control",
    ["broken_server_control", "attach_then_create_control", "single_use_random_key_control"],
)
def test_it_finds_exactly_the_double_charges_of_a_control(
    control: str, request: pytest.FixtureRequest, stripe_simulator: Any
) -> None:
    run_scenario(request.getfixturevalue(control), stripe_simulator)
    body = shadow(stripe_simulator, 1)
    doubles = told(body, "double_charge")
    found: dict[str, int] = {}
    for row in doubles:
        assert (row["amount_minor"], row["currency"]) == (AMOUNT_MINOR, "usd")
        found[row["order"]] = found.get(row["order"], 0) + 1
    assert found == surplus(stripe_simulator)
    money = body["counts"]["money"].get("double_charge", {})
    assert money == ({"usd": AMOUNT_MINOR * len(doubles)} if doubles else {})
    if control != "broken_server_control":
        assert len(doubles) >= 2
    is_without_customer = control != "attach_then_create_control"
    assert bool(told(body, "dead_method")) is is_without_customer
    assert told(body, "likely_double_charge") == told(body, "charge_without_order") == []


def test_it_finds_nothing_with_paidonce(paidonce_server: Server, stripe_simulator: Any) -> None:
    run_scenario(paidonce_server, stripe_simulator)
    body = shadow(stripe_simulator, 0)
    assert body["findings"] == []
    ledger = stripe_simulator.audit(group_by="order_id")["groups"]
    assert body["counts"]["charges"] >= sum(group["succeeded_charges"] for group in ledger) > 5
