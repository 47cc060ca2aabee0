"""A bug to be planted into a copy of the source (`proof.planted`), and what has to catch it."""

from dataclasses import dataclass

CHAOS = ("-m", "proof.chaos", "--seed", "1", "--runs", "400", "--first")


@dataclass(frozen=True)
class Edit:
    """One replacement in one file below `src`; `old` stands there exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A broken rule. `caught_by` are arguments of Python that have to end with status 1 and say
    one of `words`."""

    name: str
    rule: str
    edits: tuple[Edit, ...]
    words: tuple[str, ...]
    caught_by: tuple[str, ...] = CHAOS
