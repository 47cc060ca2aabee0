"""Two normalised transcripts, and the table of what differs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from conformance.scenarios import Json, Scenario
from conformance.transcript import expected_only

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One field of one step, as the one shows it and as the other does."""

    scenario: str
    step: str
    field: str
    left: str
    right: str


def list_differences(
    left: Sequence[Json], right: Sequence[Json], scenarios: Sequence[Scenario] = ()
) -> list[Difference]:
    """Step by step. With `scenarios`, a step marked so is compared in what it expects alone."""
    steps = {(s.name, step["name"]): step for s in scenarios for step in s.steps}
    found = []
    for one, other in zip(left, right, strict=True):
        place = (one["scenario"], one["step"])
        step = steps.get(place, {})
        if step.get("compare") == "expected":
            one, other = expected_only(one, step), expected_only(other, step)
        mine, theirs = dict(_fields(one, "")), dict(_fields(other, ""))
        for field in sorted({**mine, **theirs}):
            a, b = mine.get(field, ABSENT), theirs.get(field, ABSENT)
            if a != b:
                found.append(Difference(*place, field, a, b))
    return found


def _fields(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every leaf with its dotted path."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _fields(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _fields(inner, f"{path}.{place}")
    else:
        yield path, repr(value)


def print_differences(differences: Sequence[Difference], left: str, right: str) -> None:
    table = Table("scenario", "step", "field", left, right)
    for found in differences:
        table.add_row(found.scenario, found.step, found.field, found.left, found.right)
    Console(width=200).print(table)
