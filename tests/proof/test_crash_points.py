"""Every step of every flow is died at once, in a real process, on SQLite.

`make crash-points` does all of it: before and after every step, whoever comes back, both databases,
and crashes after crashes.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proof.crash_points.flows import FLOWS, LEFT_OUT
from proof.crash_points.names import UnknownName, list_steps

ROOT = Path(__file__).parents[2]
PAIRS = 10
ENTRY = (
    "    await events.add_to_outbox("
    'tx, new_id(), order.id, "order.paid", _paid_notice(payment), now)\n'
)
COMMIT = """    return await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )
"""
IN_TWO_COMMITS = """    verdict = await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )
    notice, now = _paid_notice(payment), ctx.clock.now()
    await ctx.db.transaction(
        "notice",
        lambda tx: events.add_to_outbox(
            tx, new_id(), payment.order_id, "order.paid", notice, now
        ),
    )
    return verdict
"""

pytestmark = pytest.mark.timeout(600)


def crash_points(*arguments: str, source: Path = ROOT / "src") -> subprocess.CompletedProcess[str]:
    """The command, over another copy of the source where one is given."""
    return subprocess.run(
        [sys.executable, "-m", "proof.crash_points", "--databases", "sqlite", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )


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
    for row in rows:
        assert row["steps"], row
        assert row["crash_points"] == row["runs"] == len(row["steps"]), row
    assert sum(row["pairs"] for row in rows) == PAIRS

    passed = {step.partition("#")[0] for row in rows for step in row["steps"]}
    assert list_steps() - passed == set(LEFT_OUT)
    assert passed <= list_steps()


def test_a_success_recorded_in_two_commits_is_found(tmp_path: Path) -> None:
    """The outbox entry is written in a commit of its own, behind the payment's."""
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    path = source / "paidonce/payments/record.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(ENTRY) == text.count(COMMIT) == 1
    text = text.replace(ENTRY, "").replace(COMMIT, IN_TWO_COMMITS)
    path.write_text(text, encoding="utf-8")
    point = "first_payment:commit.paid#1:after:leaves"
    good = crash_points("--only", point)
    bad = crash_points("--only", point, source=source)
    assert good.returncode == 0, good.stdout + good.stderr
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert f"FAILED {point} on sqlite: I9" in bad.stdout


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
