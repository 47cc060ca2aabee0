"""docs/limits.md says what the code says, and leaves out no bound of the service."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from docs.markdown import ROOT, list_rows, read
from paidonce.settings import Settings

SOURCE = ROOT / "src" / "paidonce"
ROOMS = (
    "api", "payments", "gateway", "store", "webhooks", "outgoing", "endpoints.py", "outside.py",
    "recovery.py", "worker.py",
)  # fmt: skip
IS_BOUND = re.compile(
    r"^(MAX|MOST|MORE|LARGEST|DEEPEST|LONGEST_WAIT|LONGEST_PAUSE|LONGEST_POLL|LONGEST_CHECK)_"
    r"|_(TIMEOUT_)?SECONDS$|_BYTES$|^BATCH$|_LANE$|_SIZE$|_SENDS$|_ROUNDS$"
)
NO_BOUND = {
    # first values and pauses that grow up to a bound which is listed, and tolerances
    "api.auth.LEEWAY_SECONDS": "how far clocks may differ",
    "api.server.TICK_SECONDS": "how often a flag is looked at",
    "gateway.signature.TOLERANCE_SECONDS": "how far clocks may differ",
    "gateway.transport.KEEP_ALIVE_SECONDS": "idle connections",
    "endpoints.SECRET_BYTES": "what is made; both bounds are listed",
    "endpoints.SHORTEST_SECRET_BYTES": "what a secret needs",
    "outgoing.courier.KEEP_ALIVE_SECONDS": "idle connections",
    "outgoing.lane.TOGETHER_SECONDS": "what is recorded together",
    "outgoing.retries.THROTTLE_SECONDS": "the pause where none is asked for",
    "payments.pay.confirm.PAUSE_SECONDS": "between at most three sends",
    "payments.harmless.PAUSE_SECONDS": "between at most three sends",
    "payments.leases.POLL_SECONDS": "the first pause",
    "payments.leases.FIRST_CHECK_SECONDS": "the first pause",
    "store.engine.POOL_SIZE": "the setting's default",
    "store.scratch.BATCH": "how ids are handed to a command's own file",
    "webhooks.backfill.LONGEST_PAUSE_SECONDS": "a command's pause between its tries",
    "webhooks.backfill.MOST_FAULTS": "a command's tries",
    "worker.FORGET_SECONDS": "how often old events are forgotten",
}


def documented() -> dict[str, float]:
    """The bound of each constant that the page names."""
    found = {}
    for row in list_rows(read("docs/limits.md")):
        name = row[2].strip("`")
        number = re.search(r"[\d.]+", row[1])
        if name and number:
            found[name] = float(number[0])
    return found


def list_constants() -> dict[str, float]:
    """Module-level numbers of the service whose names say that they bound something."""
    found = {}
    paths = [path for room in ROOMS for path in _files(SOURCE / room)]
    for path in paths:
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and IS_BOUND.search(target.id):
                    value = getattr(importlib.import_module(f"paidonce.{module}"), target.id)
                    if isinstance(value, int | float):
                        found[f"{module}.{target.id}"] = float(value)
    return found


def _files(room: Path) -> list[Path]:
    found = [room] if room.suffix else sorted(room.rglob("*.py"))
    return [path for path in found if "migrations" not in path.parts]


@pytest.mark.parametrize("name", sorted(documented()))
def test_a_bound_is_documented_as_it_is(name: str) -> None:
    module, _, constant = name.rpartition(".")
    if module == "settings":
        value = Settings.model_fields[constant].default
    else:
        value = getattr(importlib.import_module(f"paidonce.{module}"), constant)
    assert documented()[name] == value


def test_no_bound_of_the_service_is_left_out() -> None:
    constants = list_constants()
    assert len(constants) > 50
    missing = constants.keys() - documented().keys() - NO_BOUND.keys()
    assert missing == set(), "write them into docs/limits.md"
    assert NO_BOUND.keys() <= constants.keys()
