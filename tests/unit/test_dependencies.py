"""What is installed with paidonce is enough to run it, without what only its developers have."""

import subprocess
import sys
from importlib.metadata import packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROGRAM = """
import sys

class OnlyWhatIsRequired:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not required by paidonce", name=name)

BLOCKED = set(sys.argv[1:])
sys.meta_path.insert(0, OnlyWhatIsRequired())
import paidonce.cli, paidonce.main, stripesim.cli, stripesim.server, stripesim.pytest_plugin
"""
TESTING = {"pytest", "pluggy", "iniconfig", "packaging"}  # the plugin's, in a project that tests


def required(name: str, *extras: str) -> set[str]:
    """The distributions that come with this one."""
    found: set[tuple[str, str]] = set()

    def walk(name: str, extras: set[str]) -> None:
        for extra in {"", *extras}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            for line in requires(name) or []:
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    walk(canonicalize_name(needed.name), set(needed.extras))

    walk(name, set(extras))
    return {name for name, _ in found}


def test_paidonce_runs_with_what_it_requires() -> None:
    wanted = required("paidonce") | TESTING
    blocked = [
        module
        for module, owners in packages_distributions().items()
        if not wanted & {canonicalize_name(owner) for owner in owners}
    ]
    assert {"playwright", "hypothesis", "psutil"} <= set(blocked)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *blocked], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
