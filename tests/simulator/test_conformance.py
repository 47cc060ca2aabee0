"""The scenario suite through both official SDKs, and the proof that its comparer can fail."""

import json
import re
import shutil

import pytest
import requests

from conformance import clean_up, drive_node, drive_python
from conformance.__main__ import compare_with_stripe, main
from conformance.compare import list_differences, print_differences
from conformance.drive_python import Target
from conformance.scenarios import FOLDER, read_scenarios
from conformance.transcript import list_disappointments, normalised
from stripesim.testing import SimulatorThread

RUN = "conftest"


@pytest.fixture(scope="module")
def scenarios():
    return read_scenarios(RUN, for_simulator=True)


def play(drive, scenarios):
    with SimulatorThread() as simulator:
        target = Target(simulator.url, simulator.secret_key, simulator.publishable_key)
        return drive(target, scenarios)


@pytest.fixture(scope="module")
def by_python(scenarios):
    return play(drive_python.drive, scenarios)


def test_the_sdk_for_python_gets_what_every_scenario_expects(scenarios, by_python):
    assert list_disappointments(scenarios, by_python) == []
    page = (FOLDER.parents[1] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert f"{len(by_python)} steps with what has to come back" in page


def test_the_sdk_for_node_gets_the_same_to_the_letter(scenarios, by_python):
    try:
        drive_node.ensure_sdk()
    except drive_node.NodeIsMissing as reason:
        pytest.skip(f"NOT PLAYED WITH THE SDK FOR NODE: {reason}")
    by_node = play(drive_node.drive, scenarios)
    assert list_disappointments(scenarios, by_node) == []
    differences = list_differences(normalised(by_python, RUN), normalised(by_node, RUN))
    assert differences == []


def test_a_step_says_why_only_the_simulator_can_be_asked(scenarios):
    steps = [step for scenario in scenarios for step in scenario.steps]
    assert all(step["why"] for step in steps if "only" in step)
    assert all("only" in step for step in steps if "control" in step)
    for_stripe = read_scenarios(RUN, for_simulator=False)
    asked = sum(len(scenario.steps) for scenario in for_stripe)
    assert asked >= 150 and not any("only" in step for s in for_stripe for step in s.steps)


def test_every_file_can_be_played_at_stripe_without_the_steps_left_out():
    """No kept step names what only a left-out step has saved."""
    for scenario in read_scenarios(RUN, for_simulator=False):
        known = {"last"}
        for step in scenario.steps:
            named = set(re.findall(r'"\$(\w+)', json.dumps(step)))
            known.add(step.get("save", "last"))
            assert named <= known, f"{scenario.name}: {step['name']}: {named - known}"


def test_a_simulator_that_differs_is_found_out_with_step_and_field(capsys):
    """One that loses an answer beside one that does not."""
    scenarios = read_scenarios(RUN, for_simulator=False)[:1]
    good = play(drive_python.drive, scenarios)
    with SimulatorThread() as simulator:
        simulator.add_fault(kind="error_before", match={"method": "DELETE", "nth": 1})
        bad = drive_python.drive(Target(simulator.url, simulator.secret_key), scenarios)
    assert list_differences(normalised(good, RUN), normalised(good, RUN), scenarios) == []
    differences = list_differences(normalised(good, RUN), normalised(bad, RUN), scenarios)
    step = "deleting answers with three fields"
    assert ("01_customers", step, "answer.deleted") in {
        (d.scenario, d.step, d.field) for d in differences
    }
    assert any(step in text for text in list_disappointments(scenarios, bad))
    print_differences(differences, "real", "simulated")
    assert "(absent)" in capsys.readouterr().out


def test_the_comparison_with_stripe_ends_with_1_where_another_simulator_differs(capsys):
    """The other stands in for Stripe's test mode: first alike, then with a planted difference."""
    with SimulatorThread() as other:
        assert compare_with_stripe(Target(other.url, other.secret_key), RUN, 10) == 0
        assert "\n0 differences" in capsys.readouterr().out
        other.add_fault(kind="rate_limit", match={"path": "/v1/payment_methods", "times": 1})
        assert compare_with_stripe(Target(other.url, other.secret_key), "confagain", 10) == 1
    printed = capsys.readouterr().out
    assert "a method by its test id" in printed and other.secret_key not in printed


def test_chance_and_time_are_no_difference_but_a_value_in_place_of_none_is():
    def one(**fields):
        entry = {"scenario": "s", "step": "t", "answer": fields}
        return normalised([entry], RUN)

    now = one(id="cus_12345678901234", created=1795766256, name=None)
    later = one(id="cus_abcdefghijklmn", created=1795766999, name=None)
    assert list_differences(now, later) == []
    found = list_differences(now, one(id="cus_12345678901234", created=None, name="Ada"))
    assert [(d.field, d.left, d.right) for d in found] == [
        ("answer.created", "'<time>'", "None"),
        ("answer.name", "None", "'Ada'"),
    ]


def test_what_a_run_left_behind_is_taken_back(scenarios):
    with SimulatorThread() as simulator:
        target = Target(simulator.url, simulator.secret_key, simulator.publishable_key)
        transcript = drive_python.drive(target, scenarios[:4])
        auth = {"Authorization": f"Bearer {simulator.secret_key}"}
        customers = f"{simulator.url}/v1/customers"
        made = requests.get(customers, headers=auth, timeout=5).json()["data"]
        assert made and {c["metadata"]["conformance"] for c in made} == {RUN}
        assert clean_up.clean_up(target, transcript) > 5
        assert requests.get(customers, headers=auth, timeout=5).json()["data"] == []


@pytest.mark.parametrize("key", ["sk_live_x", "whatever"])
def test_a_key_that_is_not_of_test_mode_is_refused_and_not_shown(key, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["conformance"])
    monkeypatch.setenv("STRIPE_TEST_SECRET_KEY", key)
    assert main() == 2
    printed = capsys.readouterr()
    assert "nothing was sent" in printed.err and key not in printed.err + printed.out


def test_a_file_that_expects_something_else_is_noticed(tmp_path):
    shutil.copy(FOLDER / "01_customers.json", tmp_path / "spoiled.json")
    text = (tmp_path / "spoiled.json").read_text(encoding="utf-8")
    (tmp_path / "spoiled.json").write_text(text.replace('"balance": 0', '"balance": 1'), "utf-8")
    scenarios = read_scenarios(RUN, for_simulator=True, folder=tmp_path)
    missed = list_disappointments(scenarios, play(drive_python.drive, scenarios))
    assert missed == ["spoiled: a customer is created: balance is 0, not 1"]
    with pytest.raises(FileNotFoundError):
        read_scenarios(RUN, for_simulator=True, folder=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("node", "npm", "words"),
    [
        (None, None, "no node and npm"),
        ("echo v18.19.0", None, "no node and npm"),
        ("echo v18.19.0", "true", "Node 20 or newer is needed, this says 'v18.19.0'"),
        ("exit 127", "true", "Node 20 or newer is needed, this says ''"),
        ("echo v22.1.0", "exit 1", "npm cannot fetch stripe@"),
    ],
)
def test_what_is_missing_for_node_is_said(tmp_path, monkeypatch, node, npm, words):
    tools(tmp_path, monkeypatch, node, npm)
    with pytest.raises(drive_node.NodeIsMissing, match=re.escape(words)):
        drive_node.ensure_sdk()


def test_a_package_with_another_hash_is_not_used_and_that_is_no_skip(tmp_path, monkeypatch):
    archive = f"stripe-{drive_node.VERSION}.tgz"
    tools(tmp_path, monkeypatch, "echo v22.1.0", f"echo spoiled > {archive}")
    with pytest.raises(RuntimeError, match="is not the package whose hash is known"):
        drive_node.ensure_sdk()
    assert not drive_node.SDK.exists()


def tools(folder, monkeypatch, node, npm):
    """A PATH with these scripts and nothing else, and no SDK fetched yet."""
    for name, script in (("node", node), ("npm", npm)):
        if script:
            (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(drive_node, "SDK", folder / "packages" / "stripe")
