"""The parameter tables are current, the plugin is cheap, and the SDK stays out."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command):
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, cwd=ROOT
    )


def test_the_parameter_tables_are_what_the_sdk_says():
    ended = run("tools/generate_params.py", "--check")
    assert ended.returncode == 0, ended.stderr


def test_the_plugin_loads_neither_server_nor_sdk():
    code = (
        "import sys, stripesim.pytest_plugin as p;"
        "print(sorted({'stripe','uvicorn','aiohttp','stripesim.app'} & set(sys.modules)))"
    )
    assert run("-c", code).stdout.strip() == "[]"


def test_the_simulator_runs_without_the_sdk():
    code = "import sys, stripesim.cli; print('stripe' in sys.modules)"
    assert run("-c", code).stdout.strip() == "False"


def test_the_fixture_offers_the_keys_and_an_empty_store(stripe_simulator):
    assert stripe_simulator.secret_key.startswith("sk_test_")
    assert stripe_simulator.publishable_key.startswith("pk_test_")
    totals = {"succeeded_charges": 0, "customers": 0, "payment_intents": 0}
    assert stripe_simulator.audit() == {"groups": [], "totals": totals}
