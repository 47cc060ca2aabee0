"""The table of planted bugs: it fits the source, nothing of the design is missing from it, and a
few of its bugs are really caught. `make planted` runs them all."""

import ast
import importlib
import re
import shutil
from pathlib import Path

import pytest

from proof.planted import BUGS, ROOT, Bug, plant, try_bug
from spec.mutants import NAIVE
from spec.rules import BUGS as BUGS_OF_THE_MODEL
from spec.rules import RULES

NAMED = {
    "no-compare-and-set",
    "fresh-intent-on-unknown",
    "failed-by-webhook",
    "failed-on-timeout",
    "lease-trusted",
    "event-by-payload",
    "attach-keyed-by-method",
    "503-after-an-earlier-send",
}
CONTROLS = {"broken-server", "attach-then-create", "random-key"}
RUN_HERE = ("lease-trusted", "send-not-recorded", "outbox-in-a-second-commit")
"""One that chaos catches and two that the crash points catch."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: str(bug.name))
def test_it_fits_the_source(bug: Bug, tmp_path: Path) -> None:
    for edit in bug.edits:
        copy = tmp_path / edit.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "src" / edit.path, copy)
    plant(bug, tmp_path)
    for edit in bug.edits:
        tree = ast.parse((tmp_path / edit.path).read_text(encoding="utf-8"), edit.path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("paidonce"):
                importlib.import_module(str(node.module))


def test_nothing_of_the_design_is_missing() -> None:
    names = [bug.name for bug in BUGS]
    assert len(names) == len(set(names))
    assert {bug.name for bug in BUGS} >= NAMED | CONTROLS
    found = {int(number) for bug in BUGS for number in re.findall(r"^rule (\d+):", bug.rule)}
    assert found >= set(range(1, 13))


def test_the_models_mutants_stand_beside_them() -> None:
    """Every rule that the model leaves out is left out of the source as well."""
    known = {*RULES, *BUGS_OF_THE_MODEL, *(server.name for server in NAIVE)}
    named = {bug.model for bug in BUGS} - {""}
    assert named <= known
    same = {"8 only send": "503 after an earlier send"}
    assert {same.get(name, name) for name in (*RULES, *BUGS_OF_THE_MODEL)} <= named


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RUN_HERE)
def test_it_is_caught(name: str) -> None:
    (bug,) = [bug for bug in BUGS if bug.name == name]
    verdict = try_bug(bug)
    assert verdict.is_caught, verdict.how


def test_sound_source_is_not_called_caught() -> None:
    """The same run over the source as it is finds nothing, so it is the bug that is found."""
    (bug,) = [bug for bug in BUGS if bug.name == "send-not-recorded"]
    sound = Bug(bug.name, bug.rule, (), bug.words, bug.caught_by)
    assert not try_bug(sound).is_caught
