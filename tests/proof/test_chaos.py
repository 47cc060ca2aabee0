"""The seeded simulation: it finds nothing in a sound pipeline and plays the same history again.
`make chaos` runs the thousands, and `test_planted` shows that it finds a planted bug."""

import os
import subprocess
import sys

import pytest

from proof.chaos.run import run_seed
from proof.planted import ROOT

SEEDS = 50
pytestmark = pytest.mark.timeout(300)


def test_fifty_seeds_find_nothing() -> None:
    done = _chaos("--seed", "1", "--runs", str(SEEDS), hash_seed="random")
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"seeds          {SEEDS}" in done.stdout


def test_a_seed_plays_the_same_history_again_in_any_process() -> None:
    here = [run_seed(7).digest for _ in range(2)]
    there = [
        _chaos("--seed", "7", "--trace", hash_seed=hash_seed).stdout for hash_seed in ("0", "4711")
    ]
    assert here[0] == here[1]
    assert there[0].split("digest ")[1][:16] == there[1].split("digest ")[1][:16] == here[0]


def test_another_seed_is_another_history() -> None:
    assert run_seed(7).digest != run_seed(8).digest


def _chaos(*args: str, hash_seed: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "proof.chaos", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
