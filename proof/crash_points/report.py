"""The table, the lines that name what was violated, and the same as JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proof.crash_points.flows import FLOWS
from proof.crash_points.runs import Result

MOST_SHOWN = 30


@dataclass(frozen=True)
class Table:
    """Everything that was run."""

    clean: list[Result]
    singles: list[Result]
    pairs: list[Result]
    seed: int
    seconds: float

    @property
    def results(self) -> list[Result]:
        return [*self.clean, *self.singles, *self.pairs]

    @property
    def violations(self) -> list[Result]:
        return [result for result in self.results if result.findings]

    @property
    def databases(self) -> list[str]:
        return list(dict.fromkeys(result.case.database for result in self.clean))

    def rows(self, database: str) -> Iterator[dict[str, Any]]:
        """A row for every flow: what was run of it on this database."""
        for result in self.clean:
            if result.case.database == database:
                name = result.case.flow
                yield {"flow": name, "steps": result.steps, **self._counts(database, name)}

    def totals(self, database: str) -> dict[str, int]:
        rows = list(self.rows(database))
        names = ("crash_points", "runs", "pairs", "violations")
        return {
            "flows": len(rows),
            "steps": sum(len(row["steps"]) for row in rows),
            **{name: sum(row[name] for row in rows) for name in names},
        }

    def _counts(self, database: str, flow: str) -> dict[str, int]:
        def mine(results: Iterable[Result]) -> list[Result]:
            return [r for r in results if (r.case.database, r.case.flow) == (database, flow)]

        singles = mine(self.singles)
        return {
            "crash_points": len({result.case.plan for result in singles}),
            "runs": len(singles),
            "pairs": len(mine(self.pairs)),
            "violations": sum(bool(result.findings) for result in mine(self.results)),
        }


def print_table(table: Table) -> None:
    for database in table.databases:
        print(f"\n{database:<36}{'steps':>7}{'points':>8}{'runs':>7}{'pairs':>7}{'violations':>12}")
        for row in table.rows(database):
            steps = len(row["steps"])
            print(
                f"{row['flow']:<36}{steps:>7}{row['crash_points']:>8}{row['runs']:>7}"
                f"{row['pairs']:>7}{row['violations']:>12}"
            )
        print(_sentence(database, table.totals(database)))
    for result in table.violations[:MOST_SHOWN]:
        _print_violation(result)
    more = len(table.violations) - MOST_SHOWN
    if more > 0:
        print(f"… and {more} more")
    print(f"\n{len(table.results)} runs in {table.seconds:.0f} s, seed {table.seed}")


def print_one(results: Iterable[Result]) -> int:
    """A single run in full; 1 when it violates anything."""
    (result,) = results
    title = FLOWS[result.case.flow].title
    print(f"{result.case} on {result.case.database}: {title}")
    for answer in result.answers:
        print(f"  {answer}")
    for step in result.steps:
        print(f"  step {step}")
    if result.findings:
        _print_violation(result)
    return 1 if result.findings else 0


def write_json(table: Table, path: Path) -> None:
    data = {
        "databases": {
            database: {"totals": table.totals(database), "flows": list(table.rows(database))}
            for database in table.databases
        },
        "violations": [
            {"run": str(result.case), "database": result.case.database, "findings": result.findings}
            for result in table.violations
        ],
        "seed": table.seed,
        "runs": len(table.results),
        "seconds": round(table.seconds),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _sentence(database: str, totals: dict[str, int]) -> str:
    return (
        f"{database}: {totals['flows']} flows, {totals['steps']} steps,"
        f" {totals['crash_points']} crash points in {totals['runs']} runs,"
        f" {totals['pairs']} pairs, {totals['violations']} violations"
    )


def _print_violation(result: Result) -> None:
    """A line for every finding: flow, point, what came after, database, promise; and the command
    that runs just that again."""
    print()
    for finding in dict.fromkeys(result.findings):
        print(f"FAILED {result.case} on {result.case.database}: {finding}")
    print(f"again: {result.case.command}")
