"""Reads scenario files. A scenario is a list of steps, and a step is one call of an SDK:

    name     what it shows; unique in its file
    call     `payment_intents.confirm`, in Python's spelling; or `control: POST /_sim/clock`
    ids      the arguments before the parameters (ids of the path)
    params   the parameters
    options  `idempotency_key`, `stripe_version`
    key      "publishable": called with the publishable key
    save     a name for the answer, so that later steps can say `$name.field`
    expect   fields of the answer by dotted path: a value, `$name.field`, "*" (present and not
             null), "-" (absent); `length` counts a list
    error    fields of the error instead, `class` (of the SDK) and `status` among them
    only     "simulator": a step that real Stripe cannot be asked, with its reason in `why`
    compare  "expected": only the expected fields can be compared with real Stripe

`{run}` is the run's own word: every created object carries it in its metadata as `conformance`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FOLDER = Path(__file__).parent / "scenarios"
RUN = "{run}"
MARKED = ("customers", "payment_intents", "setup_intents", "refunds", "charges")


@dataclass(frozen=True)
class Scenario:
    """The steps of one file, in order."""

    name: str
    steps: list[Json]


def read_scenarios(run: str, *, for_simulator: bool, folder: Path = FOLDER) -> list[Scenario]:
    """Every file in the order of its name, `{run}` filled in, objects marked.

    Without `for_simulator` the steps that only the simulator can be asked are left out.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        steps = json.loads(path.read_text(encoding="utf-8").replace(RUN, run))["steps"]
        kept = [_marked(step, run) for step in steps if for_simulator or "only" not in step]
        found.append(Scenario(path.stem, kept))
    if not found:
        raise FileNotFoundError(f"no scenarios in {folder}")
    return found


def _marked(step: Json, run: str) -> Json:
    """The step with the run's mark in the metadata of what it creates."""
    resource, _, verb = step.get("call", "").rpartition(".")
    if verb != "create" or resource not in MARKED or step.get("key"):
        return step
    params = step.get("params", {})
    metadata = {**params.get("metadata", {}), "conformance": run}
    return {**step, "params": {**params, "metadata": metadata}}


def look_up(saved: Json, reference: str) -> Any:
    """What `$name.field.0.field` says; None when there is no such thing. `length` counts a list."""
    value: Any = saved
    for step in reference.removeprefix("$").split("."):
        if isinstance(value, list) and step == "length":
            value = len(value)
        elif isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = (value or {}).get(step)
    return value


def resolved(saved: Json, value: Any) -> Any:
    """Parameters with every reference replaced."""
    if isinstance(value, dict):
        return {name: resolved(saved, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolved(saved, inner) for inner in value]
    if isinstance(value, str) and value.startswith("$"):
        return look_up(saved, value)
    return value
