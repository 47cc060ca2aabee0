"""A sample of the model (`make spec` is the whole): the pipeline of ours breaks nothing, the naive
servers and the mutants do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "spec.json"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The results of `python -m spec --quick`."""
    file = tmp_path_factory.mktemp("spec") / "spec.json"
    command = [sys.executable, "-m", "spec", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_a_hundred_thousand_states_break_no_invariant(quick: dict) -> None:
    assert quick["states"] >= 100_000
    assert quick["violations"] == 0
    assert all(row["violation"] is None for row in quick["configurations"])


def test_every_naive_server_charges_twice(quick: dict) -> None:
    assert len(quick["naive"]) == 6
    for row in quick["naive"]:
        assert row["invariant"] == "I1", row
        assert row["trace"], row


def test_mutants_die(quick: dict) -> None:
    dead = {row["name"]: row["invariant"] for row in quick["mutants"]}
    assert len(dead) >= 8 and None not in dead.values(), dead


def test_a_mutant_that_survives_is_told_by_the_exit_code() -> None:
    """The searches see no difference: a name that no rule has leaves nothing out."""
    program = (
        "import sys; from spec import mutants, searches, __main__ as main;"
        "known = mutants.MUTANTS[0];"
        "searches.MUTANTS = (mutants.Mutant('no such rule', '', known.configuration),);"
        "searches.HUNT = 2000;"
        "sys.exit(main.main(['--only', 'no such rule', '--processes', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SURVIVES" in done.stdout


def test_the_kept_results_are_of_all_configurations_and_mutants() -> None:
    program = (
        "import json; from spec.configurations import CONFIGURATIONS;"
        "from spec.mutants import MUTANTS, NAIVE;"
        "print(json.dumps([[c.name for c in CONFIGURATIONS], [m.name for m in MUTANTS],"
        " [c.name for c in NAIVE]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    configurations, mutants, naive = json.loads(done.stdout)
    kept = json.loads(RESULTS.read_text())
    assert kept["states"] >= 1_000_000 and kept["violations"] == 0
    assert [row["name"] for row in kept["configurations"]] == configurations
    assert len(configurations) >= 12
    found = {row["name"] for row in kept["mutants"]} | set(kept["arguments"])
    assert found == set(mutants)
    assert all(row["violation"] for row in kept["mutants"] + kept["naive"])
    assert [row["name"] for row in kept["naive"]] == naive
    assert kept["steps_never_taken"] == []
