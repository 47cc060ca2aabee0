"""Every step of every flow is died at once, in a real process, on SQLite.

A step that a flow passes several times is died at at one of them, before or after it, and goes on
in one way. `make crash-points` does all of it: every time, before and after, with somebody who
comes back and with nobody, on both databases, and crashes after crashes.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from proof.crash_points.__main__ import DATABASES, sampled, ways
from proof.crash_points.flows import FLOWS, LEFT_OUT
from proof.crash_points.life import MOMENTS
from proof.crash_points.names import UnknownName, list_steps
from proof.crash_points.runs import AFTER, COMING_BACK, STAYING_AWAY
from support.processes import run_with_all_it_starts

ROOT = Path(__file__).parents[2]
PAIRS = 10

pytestmark = pytest.mark.timeout(600)


def crash_points(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proof.crash_points", "--databases", "sqlite", *arguments]
    return run_with_all_it_starts(command, cwd=ROOT, timeout_seconds=590)


def test_no_promise_is_broken_wherever_the_service_dies(tmp_path: Path) -> None:
    """One test, since it is one run: no finding, every flow died at each of its steps, and every
    step of the code is passed by a flow or left out with a reason."""
    path = tmp_path / "sample.json"
    done = crash_points("--sample", "--pairs", str(PAIRS), "--json", str(path))
    output = done.stdout + done.stderr
    assert path.exists(), output
    data = json.loads(path.read_text())
    assert data["violations"] == [], output
    assert done.returncode == 0, output

    rows = data["databases"]["sqlite"]["flows"]
    assert [row["flow"] for row in rows] == list(FLOWS)
    died_at: Counter[str] = Counter()
    for row in rows:
        assert row["steps"], row
        wanted = list(sampled(row["steps"], died_at))
        assert row["crash_points"] == row["runs"] == len(wanted), row
    assert sum(row["pairs"] for row in rows) == PAIRS

    passed = {step.partition("#")[0] for row in rows for step in row["steps"]}
    assert list_steps() - passed == set(LEFT_OUT)
    assert passed <= list_steps()
    assert passed == set(died_at)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_full_run_goes_on_in_every_way_at_each_point(moment: str) -> None:
    tried = {database: ways(database, moment) for database in DATABASES}
    for comes_back, stays_away in tried.values():
        assert comes_back in COMING_BACK
        assert stays_away in STAYING_AWAY
    assert sorted(way for pair in tried.values() for way in pair) == sorted(AFTER)


def test_a_point_that_is_never_reached_is_no_success() -> None:
    done = crash_points("--only", "first_payment:stripe.nothing#1:before:asks")
    assert done.returncode == 1
    assert "stripe.nothing#1:before was never reached" in done.stdout


def test_a_step_whose_name_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('await db.transaction("paid", work)\n')
    assert list_steps(tmp_path) == {"commit.paid"}
    (tmp_path / "module.py").write_text('await db.transaction(f"paid_{n}", work)\n')
    with pytest.raises(UnknownName, match=r"module\.py:1"):
        list_steps(tmp_path)
