"""`python -m proof.crash_points`: run them, print the table, exit 1 when anything was violated."""

import argparse
import contextlib
import itertools
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from proof.crash_points import report
from proof.crash_points.flows import FLOWS
from proof.crash_points.life import MOMENTS, Point
from proof.crash_points.runs import (
    AFTER,
    COMING_BACK,
    STAYING_AWAY,
    Case,
    Place,
    Result,
    open_stages,
    run_in_worker,
)
from proof.crash_points.stage import fast_folder
from stripesim.testing import SimulatorProcess

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.postgres import start_postgres  # type: ignore[import-not-found]

DATABASES = ("sqlite", "postgresql")
LOOKS = ("commit.take_", "commit.look", "commit.sweep")
"""Where a worker takes what is due; the next step, if it is none of these, works on it."""
INTAKE = "commit.event"
PROGRESS = 250
Pool = ProcessPoolExecutor


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    started = time.monotonic()
    databases = options.databases.split(",")
    if not set(databases) <= set(DATABASES):
        raise SystemExit(f"--databases takes {','.join(DATABASES)}")
    with _workers(databases, 1 if options.only else options.workers) as pool:
        if options.only:
            return report.print_one(run_on(pool, [_case(databases[0], options.only)]))
        clean = list(run_on(pool, _clean_cases(databases, options.flow)))
        cases = _sample_cases(clean) if options.sample else _single_cases(clean, options.every_way)
        singles = list(run_on(pool, cases))
        pairs = list(run_on(pool, _pair_cases(singles, options.pairs, options.seed)))
    table = report.Table(clean, singles, pairs, options.seed, time.monotonic() - started)
    report.print_table(table)
    if options.json:
        report.write_json(table, Path(options.json))
    return 1 if table.violations else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proof.crash_points")
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--flow", action="append", choices=sorted(FLOWS), help="only this flow")
    parser.add_argument("--pairs", type=int, default=400, help="crashes after crashes, sampled")
    parser.add_argument("--seed", type=int, default=1, help="of the sample of pairs")
    parser.add_argument(
        "--every-way",
        action="store_true",
        help="go on in all four ways after each death, on each database: twice the runs",
    )
    parser.add_argument("--sample", action="store_true", help="every step of a flow once")
    parser.add_argument("--only", help="FLOW:POINT[,POINT]:AFTER, as a violation names it")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    return parser


def _case(database: str, text: str) -> Case:
    """From `first_payment:stripe.confirm#1:before:leaves`, with several points between commas."""
    flow, _, rest = text.partition(":")
    points, _, after = rest.rpartition(":")
    if flow not in FLOWS or (rest and after not in AFTER):
        raise SystemExit(f"--only {text}: no such flow, or not one of {', '.join(AFTER)} after it")
    if not rest:
        return Case(database, flow)
    return Case(database, flow, tuple(map(Point.parse, points.split(","))), after)


# --- the cases -----------------------------------------------------------------------------------


def _clean_cases(databases: list[str], names: list[str] | None) -> Iterator[Case]:
    for database in databases:
        for name in names or FLOWS:
            yield Case(database, name)


def _single_cases(clean: Iterable[Result], every_way: bool) -> Iterator[Case]:
    """Every step, before and after it, and what may come after that."""
    for result in clean:
        database, flow = result.case.database, result.case.flow
        for step, moment in itertools.product(result.steps, MOMENTS):
            for after in AFTER if every_way else ways(database, moment):
                yield Case(database, flow, (Point.parse(f"{step}:{moment}"),), after)


def ways(database: str, moment: str) -> tuple[str, str]:
    """Somebody comes back, or nobody does: one way of each at every point. The other two of the
    four are taken at the same point on the other database."""
    turn = (DATABASES.index(database) + MOMENTS.index(moment)) % 2
    return COMING_BACK[turn], STAYING_AWAY[turn]


def _sample_cases(clean: Iterable[Result]) -> Iterator[Case]:
    """Every step of every flow once (`sampled`), the moments and what comes after taking turns."""
    died_at: Counter[str] = Counter()
    moments_in_turn = itertools.cycle(MOMENTS)
    afters_in_turn = itertools.cycle(AFTER)
    for result in clean:
        database, flow = result.case.database, result.case.flow
        for number, step in enumerate(sampled(result.steps, died_at)):
            point = Point.parse(f"{step}:{next(moments_in_turn)}")
            yield Case(database, flow, (point,), next(afters_in_turn))
            if number % len(AFTER) == len(AFTER) - 1:
                next(afters_in_turn)  # or the same way would always meet the same moment


def sampled(steps: list[str], died_at: Counter[str]) -> Iterator[str]:
    """Each step of a flow once, however often it is passed: the first time of it in one flow, the
    second in the next (`died_at`: in how many flows before). Of a worker's looks that found nothing
    to do, and of the intake of events, only those that no flow has died at yet: they are the same
    everywhere."""
    times: dict[str, list[str]] = {}
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        name = step.partition("#")[0]
        is_idle = name.startswith(LOOKS) and (not following or following.startswith(LOOKS))
        if not (is_idle or name == INTAKE) or not died_at[name]:
            times.setdefault(name, []).append(step)
    for name, passed in times.items():
        yield passed[died_at[name] % len(passed)]
        died_at[name] += 1


def _pair_cases(singles: list[Result], count: int, seed: int) -> list[Case]:
    """A crash in what came after a crash; the same ones for the same seed and code."""
    chance = random.Random(seed)
    cases = []
    places = [(result.case, step) for result in singles for step in result.steps]
    for case, step in chance.sample(places, min(count, len(places))):
        second = Point.parse(f"{step}:{chance.choice(MOMENTS)}")
        cases.append(Case(case.database, case.flow, (*case.plan, second), case.after))
    return cases


# --- the workers ---------------------------------------------------------------------------------


def run_on(pool: Pool, cases: Iterable[Case]) -> Iterator[Result]:
    """The results in the order of the cases; what is wrong is told at once, on stderr."""
    for number, result in enumerate(pool.map(run_in_worker, cases), start=1):
        for finding in result.findings:
            print(f"{result.case} on {result.case.database}: {finding}", file=sys.stderr)
        if number % PROGRESS == 0:
            print(f"{number} runs", file=sys.stderr)
        yield result


@contextlib.contextmanager
def _workers(databases: list[str], count: int) -> Iterator[Pool]:
    """Processes that have loaded everything, each with its own Stripe and databases."""
    fork = multiprocessing.get_context("fork")
    with contextlib.ExitStack() as stack:
        places = fork.Queue()
        pool = stack.enter_context(
            ProcessPoolExecutor(count, fork, open_stages, (places, databases))
        )
        # Forks them all, before a thread of ours can hold a lock of OpenSSL's that they inherit.
        pool.submit(int)
        stands_at = int(time.time())
        folder = stack.enter_context(fast_folder())
        server = None
        if "postgresql" in databases:
            server = start_postgres()
            stack.callback(server.stop)
        for number in range(count):
            place = folder / str(number)
            place.mkdir()
            simulator = stack.enter_context(SimulatorProcess("--start-time", str(stands_at)))
            url = server.url(server.create_database()) if server else None
            places.put(Place(place, simulator.url, stands_at, url))
        yield pool


if __name__ == "__main__":
    sys.exit(main())
