"""A bug to be planted into a copy of the source, and what has to catch it."""

from dataclasses import dataclass

Command = tuple[str, ...]
RUNS = 400
"""Seeds to try where the one that found a bug first does not find it any more: histories move with
the source."""


def chaos(seed: int) -> Command:
    """The seeded simulation from this seed on, up to the first finding."""
    return ("-m", "proof.chaos", "--seed", str(seed), "--runs", str(RUNS), "--jobs", "1", "--first")


def crash(run: str) -> Command:
    """One run of the crash points: `flow:step#n:moment:what comes after`."""
    return ("-m", "proof.crash_points", "--databases", "sqlite", "--only", run)


def suite(path: str, name: str) -> Command:
    """The tests of that name, on SQLite where they run on both databases."""
    wanted = f"{name} and not postgresql"
    return ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", path, "-k", wanted)


@dataclass(frozen=True)
class Edit:
    """One replacement in one file below `src`; `old` stands there exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A broken rule.

    `caught_by` are arguments of Python that have to end with `status` and say one of `words`.
    `model`: the name under which the model (`spec`) leaves the same rule out.
    """

    name: str
    rule: str
    edits: tuple[Edit, ...]
    words: tuple[str, ...]
    caught_by: Command
    model: str = ""
    status: int = 1
