"""Writes what was measured into docs/simulator.md, from the files the commands left behind.

    python -m proof.stripesim.figures [--check]

`make fuzz`, `make durability` and `bench/bench_stripesim.py` each keep their figures in
docs/results with `--json`; the page shows them between two marks and nothing there is written by
hand. `--check` only tells whether the page is up to date.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from proof.reliability import RESULTS, ROOT, table, write_page

PAGE = ROOT / "docs" / "simulator.md"
Json = dict[str, Any]


def fuzz(found: Json) -> Iterable[str]:
    statuses = ", ".join(f"{count:,} times {status}" for status, count in found["statuses"].items())
    yield (
        f"Bad input: {found['requests']:,} requests on all {found['routes']} routes in"
        f" {found['seconds']:,} s, {found['findings']} findings (`make fuzz`, seed"
        f" {found['seed']}). Answers: {statuses}."
    )


def durability(found: Json) -> Iterable[str]:
    starts = [f"{name} {n}" for name, n in found.items() if name.startswith("started again")]
    yield (
        f"`kill -9` under load: {found['kills']} kills, {found['requests']:,} requests,"
        f" {found['answers replayed']:,} answers asked for again, {found['lost']} lost"
        f" (`make durability`, seed {found['seed']}). {'; '.join(starts).capitalize()}."
    )


def speed(found: Json) -> Iterable[str]:
    ours, theirs = found["stripesim"], found["localstripe"]
    yield "Confirms a second on one core, in one run (`python bench/bench_stripesim.py`):"
    yield ""
    yield from table(
        ("store", "stripesim", "a second of its CPU", f"localstripe {theirs['version']}"),
        [
            (
                "empty",
                ours["empty_confirms_a_second"],
                ours["empty_confirms_a_cpu_second"],
                theirs["empty_confirms_a_second"],
            ),
            (
                f"{ours['objects']:,} objects (localstripe: {theirs['intents_in_the_full_store']:,}"
                " intents)",
                ours["full_confirms_a_second"],
                ours["full_confirms_a_cpu_second"],
                theirs["full_confirms_a_second"],
            ),
            ("full / empty", ours["ratio"], ours["ratio_by_cpu"], theirs["ratio"]),
        ],
    )
    yield ""
    yield (
        f"Memory of the full one before and after {ours['requests_for_memory']:,} further requests:"
        f" {ours['memory_before_mib']} and {ours['memory_after_mib']} MiB."
    )


PARTS = (("fuzz.json", fuzz), ("durability.json", durability), ("stripesim.json", speed))


def measured() -> str:
    """The part between the marks; a file that is missing is an error."""
    lines: list[str] = []
    for name, show in PARTS:
        found = json.loads((RESULTS / name).read_text(encoding="utf-8"))
        lines += [*show(found), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(write_page(PAGE, measured()))
