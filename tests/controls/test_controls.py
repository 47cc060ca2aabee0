"""The audit bites: each control server fails the scenario that paidonce passes.

A check that has never failed proves nothing. The three controls do what the replaced server did
and what its two proposed repairs do; the same scenario and the same audit must catch each one.
"""

from typing import Any

from controls.scenario import (
    AMOUNT_MINOR,
    Answer,
    Order,
    Server,
    Verdict,
    audit,
    run_scenario,
)

# --- the controls --------------------------------------------------------------------------------


def test_the_broken_server_is_caught_with_the_reuse_error(
    broken_server_control: Server, stripe_simulator: Any
) -> None:
    verdict = run_scenario(broken_server_control, stripe_simulator)
    assert verdict.steps_with("reuse_error") >= {
        "decline, then the same card again",
        "second order with the same card",
    }, verdict


def test_attach_then_create_loses_the_error_and_charges_twice(
    attach_then_create_control: Server, stripe_simulator: Any
) -> None:
    verdict = run_scenario(attach_then_create_control, stripe_simulator)
    assert verdict.steps_with("reuse_error") == set(), verdict
    assert verdict.steps_with("charged_twice") == {
        "double tap",
        "double tap, card entered per tap",
        "lost answer of create",
    }, verdict


def test_single_use_with_a_random_key_charges_twice(
    single_use_random_key_control: Server, stripe_simulator: Any
) -> None:
    verdict = run_scenario(single_use_random_key_control, stripe_simulator)
    assert verdict.steps_with("charged_twice") == {
        "double tap, card entered per tap",
        "lost answer of create",
    }, verdict


# --- paidonce ------------------------------------------------------------------------------------


def test_paidonce_passes_the_same_scenario(paidonce_server: Server, stripe_simulator: Any) -> None:
    assert run_scenario(paidonce_server, stripe_simulator) == Verdict([])


# --- the audit itself ----------------------------------------------------------------------------

PAID = Answer(200, {"status": "success"})
DECLINED = Answer(402, {"status": "error", "errors": ["Your card was declined."]})


def group(key: str | None, charges: int, amount: int = AMOUNT_MINOR) -> dict[str, Any]:
    return {"key": key, "succeeded_charges": charges, "amount_captured": amount * charges}


def kinds(answers: list[Answer], *groups: dict[str, Any]) -> list[str]:
    order = Order("order-1", "step", answers)
    return [finding.kind for finding in audit([order], {"groups": list(groups)}).findings]


def test_an_order_charged_once_and_said_to_be_paid_has_no_findings() -> None:
    assert kinds([DECLINED, PAID], group("order-1", 1)) == []


def test_every_kind_of_finding_can_be_found() -> None:
    assert kinds([PAID], group("order-1", 2)) == ["charged_twice"]
    assert kinds([DECLINED]) == ["unpaid"]
    assert kinds([PAID], group("order-1", 1, amount=440)) == ["wrong_amount"]
    assert kinds([DECLINED], group("order-1", 1)) == ["misreported"]
    assert kinds([PAID]) == ["unpaid", "misreported"]
    assert kinds([PAID], group("order-1", 1), group(None, 1)) == ["unknown_charge"]
    reused = Answer(400, {"status": "error", "errors": ["… It may not be used again. …"]})
    assert kinds([reused, PAID], group("order-1", 1)) == ["reuse_error"]
