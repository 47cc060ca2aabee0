"""Writes what was measured into docs/reliability.md, from the files the commands left behind.

    python -m proof.reliability [--check]

Each command writes its own file in docs/results with `--json`; the page shows them between two
marks and nothing there is written by hand. `--check` only tells whether the page is up to date.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "docs" / "results"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Json = dict[str, Any]


def crash_points(found: Json) -> Iterable[str]:
    names = ("flows", "steps", "crash_points", "runs", "pairs", "violations")
    yield from table(
        ("database", "flows", "steps", "crash points", "runs", "pairs", "violations"),
        [
            (database, *(part["totals"][name] for name in names))
            for database, part in found["databases"].items()
        ],
    )
    yield from ("", f"Seed {found['seed']}, {found['runs']:,} runs in {found['seconds']:,} s.")
    yield from ("", "<details><summary>By flow</summary>", "")
    yield from table(
        ("database", "flow", "steps", "crash points", "runs", "pairs", "violations"),
        [
            (
                database,
                row["flow"].replace("_", " "),
                len(row["steps"]),
                *(row[n] for n in names[2:]),
            )
            for database, part in found["databases"].items()
            for row in part["flows"]
        ],
    )
    yield from ("", "</details>")


def chaos(found: Json) -> Iterable[str]:
    simple = {name: value for name, value in found.items() if isinstance(value, int)}
    yield from table(("what", "count"), [(words(n), value) for n, value in simple.items()])
    faults = ", ".join(f"{words(name)} {count:,}" for name, count in found["faults"].items())
    yield from ("", f"Faults: {faults}.")


def spec(found: Json) -> Iterable[str]:
    yield (
        f"{found['states']:,} states and {found['transitions']:,} transitions in"
        f" {len(found['configurations'])} configurations, {found['violations']} violations,"
        f" {found['processor_seconds']:,.0f} s of processor time."
    )
    yield ""
    yield from table(
        ("configuration", "states", "explored", "violations"),
        [
            (row["name"], row["states"], explored(row), int(row["violation"] is not None))
            for row in found["configurations"]
        ],
    )
    yield from ("", "Left out or broken on purpose, and what the model says then:", "")
    yield from table(
        ("rule or bug", "promise broken, or why none is", "steps of the trace"),
        [
            *((row["name"], row["violation"], row["steps"]) for row in found["mutants"]),
            *((name, why, "none") for name, why in found["arguments"].items()),
        ],
    )
    yield from ("", "Other servers:", "")
    yield from table(
        ("server", "promise broken", "steps of the trace"),
        [(row["name"], row["violation"], row["steps"]) for row in found["naive"]],
    )


def explored(row: Json) -> str:
    return "whole" if row["is_complete"] else f"to depth {row['depth']}"


def planted(found: Json) -> Iterable[str]:
    yield from table(
        ("planted in the source", "rule", "caught by", "what it said"),
        [
            (row["name"], row["rule"], row["caught_by"], row["how"] if row["is_caught"] else "NO")
            for row in found["bugs"]
        ],
    )


def ha(found: Json) -> Iterable[str]:
    for name, run in found.items():
        yield from (f"**{name[0].upper()}{name[1:]}.** " + "; ".join(phrases(run)) + ".", "")


def phrases(run: Json) -> Iterable[str]:
    for what, value in run.items():
        if isinstance(value, dict):
            yield f"{what}: " + ", ".join(f"{name} {count:,}" for name, count in value.items())
        elif isinstance(value, list):
            yield f"{what}: {', '.join(map(str, value)) or 'none'}"
        else:
            yield f"{what}: {value:,}" if isinstance(value, int) else f"{what}: {value}"


def recorded(found: Json) -> Iterable[str]:
    columns = (
        "database",
        "how",
        "payments",
        "median_seconds",
        "slowest_seconds",
        "promised_seconds",
    )
    yield from table(
        [words(c) for c in columns], [[row[c] for c in columns] for row in found["rows"]]
    )


PARTS: tuple[tuple[str, str, str, Callable[[Json], Iterable[str]]], ...] = (
    (
        "Every point at which it can die",
        "make crash-points",
        "crash-points.json",
        crash_points,
    ),
    ("Seeded lives of the whole system", "make chaos", "chaos.json", chaos),
    ("The model", "make spec", "spec.json", spec),
    ("Bugs planted on purpose", "make planted", "planted.json", planted),
    ("Restarted, overloaded, left hanging", "make ha", "ha.json", ha),
    ("An upgrade under load", "make upgrade", "upgrade.json", ha),
    ("How soon our books say paid", "python bench/bench_recorded.py", "recorded.json", recorded),
)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    yield line(titles)
    yield line(["---"] * len(titles))
    yield from map(line, rows)


def line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(f"{c:,}" if isinstance(c, int) else str(c) for c in cells) + " |"


def words(name: str) -> str:
    return name.replace("_", " ")


def measured() -> str:
    """The part between the marks; a file that is missing is an error."""
    lines: list[str] = []
    for title, command, name, show in PARTS:
        found = json.loads((RESULTS / name).read_text(encoding="utf-8"))
        lines += [f"### {title}: `{command}`", "", *show(found), ""]
    return "\n".join(lines)


def write_page(page: Path, part: str) -> int:
    """Put `part` between the page's marks; with `--check` say only whether it stands there.

    Returns an exit code.
    """
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n{part}{END}{after}"
    if "--check" in sys.argv[1:]:
        name = page.relative_to(ROOT)
        print("up to date" if text == wanted else f"{name} is older than its results")
        return int(text != wanted)
    page.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(write_page(PAGE, measured()))
