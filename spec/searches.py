"""The searches that are to be made, and making them side by side."""

import multiprocessing
from collections.abc import Iterable
from typing import NamedTuple

from spec.configurations import CONFIGURATIONS, QUICK, Configuration
from spec.explore import Explorer, Result
from spec.mutants import MUTANTS, NAIVE, QUICK_MUTANTS, Mutant

HUNT = 200_000
"""States in which a mutant has to be found."""


class Job(NamedTuple):
    kind: str  # proper, mutant, naive
    name: str
    configuration: Configuration


class Found(NamedTuple):
    job: Job
    result: Result


def explore(job: Job) -> Found:
    limit = job.configuration.limit if job.kind == "proper" else HUNT
    return Found(job, Explorer(job.configuration).run(limit))


def mutated(mutant: Mutant) -> Configuration | None:
    if mutant.configuration is None:
        return None
    return mutant.configuration.mutant(**{mutant.kind: mutant.name})


def list_jobs(*, is_quick: bool, only: str) -> list[Job]:
    proper = [c for c in CONFIGURATIONS if not is_quick or c.name in QUICK]
    jobs = [Job("proper", c.name, c) for c in proper]
    for mutant in MUTANTS:
        configuration = mutated(mutant)
        if configuration is not None and (not is_quick or mutant.name in QUICK_MUTANTS):
            jobs.append(Job("mutant", mutant.name, configuration))
    jobs += [Job("naive", c.name, c) for c in NAIVE]
    return [job for job in jobs if only in job.name]


def run(jobs: list[Job], processes: int) -> Iterable[Found]:
    """Each search in a process of its own, so that its memory goes with it."""
    if processes == 1:
        yield from map(explore, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=4) as pool:
        yield from pool.imap(explore, jobs, chunksize=1)
