"""`python -m proof.planted [NAME…]`: plant, run, print the table; 1 when one was not caught."""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from proof.planted import BUGS, DoesNotMatch, Verdict, try_bug
from proof.planted.bug import Bug, Command

JOBS = 2


def main() -> int:
    """Plant, run, print; 1 when one was not caught or does not match, 2 for an unknown name."""
    options = _options()
    names = {bug.name for bug in BUGS}
    unknown = set(options.names) - names
    if unknown:
        print(f"no such bug: {', '.join(sorted(unknown))}")
        return 2
    chosen = [bug for bug in BUGS if not options.names or bug.name in options.names]
    if options.list:
        for bug in chosen:
            print(f"{bug.name:<36} {bug.rule}; {_tool(bug.caught_by)}")
        return 0
    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as threads:
        verdicts = []
        for verdict in threads.map(_try, chosen):
            verdicts.append(verdict)
            _show(verdict)
    missed = [verdict.bug.name for verdict in verdicts if not verdict.is_caught]
    print(f"{len(verdicts) - len(missed)} of {len(verdicts)} planted bugs caught")
    if options.json:
        report = _report(verdicts, time.monotonic() - began)
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs to plant; all without one")
    parser.add_argument("--list", action="store_true", help="tell them and stop")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many at once")
    parser.add_argument("--json", metavar="FILE", help="write the table to this file")
    return parser.parse_args()


def _try(bug: Bug) -> Verdict:
    try:
        return try_bug(bug)
    except DoesNotMatch as error:
        return Verdict(bug, False, f"plant it anew: {error}", 0.0)


def _show(verdict: Verdict) -> None:
    bug = verdict.bug
    said = "caught" if verdict.is_caught else "NOT CAUGHT"
    told = f"{said:<10} {verdict.seconds:4.0f} s  {_tool(bug.caught_by)}: {verdict.how}"
    print(f"{bug.name:<36} {told}", flush=True)


def _tool(command: Command) -> str:
    """`make chaos`, `make crash-points` or the test that catches it, in a word."""
    if "proof.chaos" in command:
        return f"chaos from seed {command[command.index('--seed') + 1]}"
    if "proof.crash_points" in command:
        return f"crash at {command[-1]}"
    return f"test {command[-1].partition(' ')[0]}"


def _report(verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "caught": sum(verdict.is_caught for verdict in verdicts),
        "seconds": round(seconds),
        "processor_seconds": round(used.ru_utime + used.ru_stime),
        "bugs": [
            {
                "name": verdict.bug.name,
                "rule": verdict.bug.rule,
                "model": verdict.bug.model,
                "caught_by": _tool(verdict.bug.caught_by),
                "is_caught": verdict.is_caught,
                "how": verdict.how,
                "seconds": round(verdict.seconds),
            }
            for verdict in verdicts
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
