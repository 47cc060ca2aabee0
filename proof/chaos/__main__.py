"""`python -m proof.chaos --seed 1 --runs 1000`: that many seeds from the first on, over all cores.

A failure prints what was found, the history that led to it and the command that plays it again;
the exit status is 1 then.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from proof.chaos.run import Result, run_seed, warm_up

HISTORIES_SHOWN = 3
COUNTED = (
    "orders",
    "requests",
    "app confirms",
    "sheet confirms",
    "setup confirms",
    "stripe calls",
    "webhooks",
    "events told",
    "steps",
    "crashes",
    "long nights",
)


def main() -> int:
    """Run the seeds, print what they came to; 1 when something was found."""
    options = _options()
    began = time.monotonic()
    total: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    failed: list[Result] = []
    seeds, virtual_seconds, cpu_seconds = 0, 0.0, 0.0
    for result in _results(options):
        total += result.counts
        alarms.update(_name_of(alarm) for alarm in result.alarms)
        seeds += 1
        virtual_seconds += result.virtual_seconds
        cpu_seconds += result.cpu_seconds
        if options.trace:
            print("\n".join(result.history))
            print(f"seed {result.seed}: digest {result.digest}")
        if result.findings:
            failed.append(result)
            _show_failure(result, options.stop_at, is_shown=len(failed) <= HISTORIES_SHOWN)
            if options.first:
                break
    report: dict[str, Any] = {
        "seeds": seeds,
        "first_seed": options.seed,
        **{name.replace(" ", "_"): total[name] for name in COUNTED},
        "faults": {
            name.removeprefix("fault "): count
            for name, count in sorted(total.items())
            if name.startswith("fault ")
        },
        "alarms": dict(sorted(alarms.items())),
        "virtual_hours": round(virtual_seconds / 3600),
        "failed_seeds": [result.seed for result in failed],
        "findings": sum(len(result.findings) for result in failed),
        "cpu_seconds": round(cpu_seconds),
        "seconds": round(time.monotonic() - began),
    }
    _show(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--trace", action="store_true", help="print every history")
    parser.add_argument(
        "--stop-at", default="", help="a step before which machines often stop for 45 seconds"
    )
    parser.add_argument("--first", action="store_true", help="stop at the first finding")
    parser.add_argument("--json", help="write the counts to this file")
    return parser.parse_args()


def _results(options: argparse.Namespace) -> Iterator[Result]:
    """In the order of the seeds, whatever the number of processes."""
    seeds = [
        (seed, options.trace, options.stop_at)
        for seed in range(options.seed, options.seed + options.runs)
    ]
    if options.jobs == 1 or len(seeds) == 1:
        yield from map(_run, seeds)
        return
    warm_up()  # what a process needs once is inherited
    forking = multiprocessing.get_context("fork")
    with closing(forking.Pool(options.jobs, maxtasksperchild=50)) as pool:
        yield from pool.imap(_run, seeds, chunksize=2)


def _run(task: tuple[int, bool, str]) -> Result:
    seed, is_traced, stop_at = task
    try:
        return run_seed(seed, is_traced=is_traced, stop_at=stop_at)
    except Exception as error:
        raise RuntimeError(f"seed {seed} broke the simulation itself: {error!r}") from error


def _show_failure(result: Result, stop_at: str, *, is_shown: bool) -> None:
    print(f"--- seed {result.seed}: {len(result.findings)} findings")
    if is_shown:
        print("\n".join(result.history))
    for finding in result.findings:
        print(f"seed {result.seed}: {finding}")
    more = f" --stop-at {stop_at}" if stop_at else ""
    print(f"play it again: python -m proof.chaos --seed {result.seed} --trace{more}\n", flush=True)


def _name_of(alarm: str) -> str:
    return alarm.split()[1]


def _show(report: dict[str, Any]) -> None:
    for name, value in report.items():
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{inner} {count}" for inner, count in value.items()) or "none"
        elif isinstance(value, list):
            shown = ", ".join(map(str, value)) or "none"
        print(f"{name.replace('_', ' '):<14} {shown}")


if __name__ == "__main__":
    sys.exit(main())
