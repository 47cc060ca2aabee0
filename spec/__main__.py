"""`python -m spec`: explore every configuration, find every mutant, print the tables.

Exit code 1 when the pipeline of ours breaks an invariant, or a mutant or naive server does not.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from spec.errands import Pipeline
from spec.explore import Result
from spec.mutants import MUTANTS
from spec.searches import Found, Job, list_jobs, run

# --- what is printed -----------------------------------------------------------------------------


def print_proper(found: list[Found]) -> None:
    print(
        f"{'configuration':<28} {'states':>10} {'transitions':>12} {'seconds':>8}  "
        f"{'seen':<9} violations"
    )
    for job, result in found:
        verdict = "none" if result.violation is None else str(result.violation.says)
        seen = "all" if result.is_complete else f"{result.depth} steps"
        print(
            f"{job.name:<28} {result.states:>10,} {result.transitions:>12,}"
            f" {result.seconds:>8.1f}  {seen:<9} {verdict}"
        )
    states = sum(result.states for _, result in found)
    transitions = sum(result.transitions for _, result in found)
    print(f"{f'{len(found)} configurations':<28} {states:>10,} {transitions:>12,}")


def print_mutants(found: list[Found], *, is_whole: bool) -> None:
    print(f"\n{'left out, or planted':<27} {'breaks':<6} {'steps':>5} {'states':>8}  in")
    for job, result in found:
        violation = result.violation
        if violation is None:
            print(f"{job.name:<27} SURVIVES {result.states:>14,}  {job.configuration.name}")
            continue
        print(
            f"{job.name:<27} {violation.invariant:<6} {len(result.trace):>5}"
            f" {result.states:>8,}  {job.configuration.name}: {violation.says}"
        )
    for mutant in MUTANTS if is_whole else ():
        if mutant.configuration is None:
            print(f"{mutant.name:<27} no trace: {mutant.argument}")


def print_trace(job: Job, result: Result) -> None:
    print(f"\n{job.name}: {job.configuration.what}")
    for number, step in enumerate(result.trace, 1):
        print(f"  {number:>2}. {step}")
    if result.violation is None:
        print("      nothing is broken")
    else:
        print(f"      broken: {result.violation.invariant}, {result.violation.says}")


# --- what is kept --------------------------------------------------------------------------------


def as_row(job: Job, result: Result) -> dict[str, object]:
    return {
        "name": job.name,
        "configuration": job.configuration.name,
        "what": job.configuration.what,
        "budget": dict(job.configuration.budget),
        "states": result.states,
        "transitions": result.transitions,
        "seconds": round(result.seconds, 1),
        "depth": result.depth,
        "is_complete": result.is_complete,
        "invariant": result.violation.invariant if result.violation else None,
        "violation": result.violation.says if result.violation else None,
        "steps": len(result.trace),
        "trace": result.trace,
    }


def as_json(found: list[Found], seconds: float) -> dict[str, object]:
    rows = {
        kind: [as_row(*one) for one in found if one.job.kind == kind]
        for kind in ("proper", "mutant", "naive")
    }
    taken = [result.steps for job, result in found if job.kind == "proper"]
    proper = [result for job, result in found if job.kind == "proper"]
    return {
        "states": sum(result.states for result in proper),
        "transitions": sum(result.transitions for result in proper),
        "violations": sum(result.violation is not None for result in proper),
        "seconds": round(seconds, 1),
        "processor_seconds": round(sum(one.result.seconds for one in found), 1),
        "configurations": rows["proper"],
        "mutants": rows["mutant"],
        "steps_never_taken": sorted(set(Pipeline().steps) - set[str]().union(*taken)),
        "arguments": {m.name: m.argument for m in MUTANTS if m.configuration is None},
        "naive": rows["naive"],
    }


def is_as_it_must_be(found: list[Found]) -> bool:
    return all(
        (result.violation is None) if job.kind == "proper" else result.violation is not None
        for job, result in found
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m spec", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a sample, in some seconds")
    parser.add_argument("--only", default="", metavar="NAME", help="whose name contains NAME")
    parser.add_argument("--trace", default="", metavar="NAME", help="as --only, with every trace")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--processes", type=int, default=2, help="2 by default")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    only = options.trace or options.only
    began = time.perf_counter()
    jobs = list_jobs(is_quick=options.quick, only=only)
    if not jobs:
        print(f"nothing is called {only}")
        return 1
    found = list(run(jobs, options.processes))
    seconds = time.perf_counter() - began
    by_kind = {
        kind: [one for one in found if one.job.kind == kind]
        for kind in ("proper", "mutant", "naive")
    }
    if by_kind["proper"]:
        print_proper(by_kind["proper"])
    if by_kind["mutant"]:
        print_mutants(by_kind["mutant"], is_whole=not only and not options.quick)
    for job, result in found:
        is_shown = job.kind == "naive" or options.trace
        if is_shown or (job.kind == "proper" and result.violation is not None):
            print_trace(job, result)
    is_good = is_as_it_must_be(found)
    used = sum(one.result.seconds for one in found)
    print(
        f"\nspec: {'ok' if is_good else 'FAILED'} in {seconds:.0f} s,"
        f" {used:.0f} s of processor time, {options.processes} processes"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(found, seconds), indent=2) + "\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
