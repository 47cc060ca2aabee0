"""Plays stories of hypothesis until enough requests were sent, or one story fails.

A failing story is shortened here and not by hypothesis, which would keep the steps that others
refer to: whole steps are left out, then single parameters, as long as the story still fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, given, seed, settings

from proof.stripesim.fuzz.play import Finding, Player
from proof.stripesim.fuzz.steps import Send, Step
from proof.stripesim.fuzz.stories import stories

STORIES_A_SEED = 50


@dataclass(frozen=True)
class Failure:
    """What is wrong, the seed that finds it again, and the shortest story that shows it."""

    text: str
    seed: int
    story: list[str]


def search(player: Player, first_seed: int, requests: int) -> Failure | None:
    """None when that many requests were answered as they have to be.

    Each seed plays STORIES_A_SEED stories; the same seed plays the same ones.
    """
    at = first_seed
    while player.requests < requests:
        story = _find_failing(player, at, requests)
        if story is not None:
            return _explain(player, at, shortest(player, story))
        at += 1
    return None


def _find_failing(player: Player, number: int, requests: int) -> list[Step] | None:
    failing: list[list[Step]] = []

    @seed(number)
    @settings(
        max_examples=STORIES_A_SEED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(stories)
    def play(story: list[Step]) -> None:
        if not failing and player.requests < requests and not holds(player, story):
            failing.append(story)

    play()
    return failing[0] if failing else None


def holds(player: Player, story: list[Step]) -> bool:
    try:
        player.play(story)
    except Finding:
        return False
    return True


def shortest(player: Player, story: list[Step]) -> list[Step]:
    """Nothing can be left out of it."""
    for attempt in _shorter(story):
        if not holds(player, attempt):
            return shortest(player, attempt)
    return story


def _shorter(story: list[Step]) -> Iterator[list[Step]]:
    """First half of it or its second, then without one step, then without one parameter."""
    middle = len(story) // 2
    if len(story) > 3:
        yield story[:middle]
        yield story[middle:]
    for place in range(len(story) - 1, -1, -1):
        yield story[:place] + story[place + 1 :]
    for place, step in enumerate(story):
        if isinstance(step, Send):
            for at in range(len(step.form)):
                form = step.form[:at] + step.form[at + 1 :]
                yield [*story[:place], replace(step, form=form), *story[place + 1 :]]


def _explain(player: Player, number: int, story: list[Step]) -> Failure:
    try:
        player.play(story)
    except Finding as finding:
        return Failure(str(finding), number, list(player.log))
    return Failure("it failed once and not again", number, [repr(step) for step in story])
