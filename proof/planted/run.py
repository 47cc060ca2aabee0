"""Plants one bug into a copy of the source and runs what has to catch it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from proof.planted.bug import Bug, Command

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("paidonce", "stripesim")
SECONDS = 900
TELLING = ("seed ", "FAILED", "I", "1 passed")
"""How the lines of a finding begin."""


class DoesNotMatch(Exception):
    """The text to replace is not in the source, or is there more than once."""


@dataclass(frozen=True)
class Verdict:
    """What became of a planted bug. `how`: the finding's words, or what was said instead."""

    bug: Bug
    is_caught: bool
    how: str
    seconds: float


def try_bug(bug: Bug, command: Command | None = None) -> Verdict:
    """Run what has to catch the bug over a copy of the source that has it. Raises DoesNotMatch."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        for package in PACKAGES:
            shutil.copytree(
                ROOT / "src" / package,
                source / package,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        plant(bug, source)
        status, output = _run(command or bug.caught_by, source)
    lines = [line.lstrip("= ") for line in output.splitlines()]
    told = [line for line in lines if line.startswith(TELLING)]
    said = [line for line in told if any(word in line for word in bug.words)]
    is_caught = status == bug.status and bool(said)
    how = said[0] if said else f"status {status}: {(told or lines[-1:] or [''])[0]}"
    return Verdict(bug, is_caught, how[:150], time.monotonic() - began)


def _run(command: Command, source: Path) -> tuple[int, str]:
    path = os.pathsep.join([str(source), str(ROOT)])
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, f"not over after {SECONDS} s"
    return done.returncode, done.stdout


def plant(bug: Bug, source: Path) -> None:
    """Break the copy. Raises DoesNotMatch when the source has changed."""
    for edit in bug.edits:
        path = source / edit.path
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            found = text.count(edit.old)
            raise DoesNotMatch(f"{bug.name}: {edit.path} has the text {found} times: {edit.old!r}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
