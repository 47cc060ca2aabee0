"""The merchant's back office: gives money back on request, under keys, and captures what is held.

It asks as badly as servers do: the same request again, two at once, a part and then the rest, more
than there is."""

import asyncio
import random

from proof.auditor import Asked
from proof.chaos.clients import Clients, Placed
from proof.chaos.world import World

SHARE = 0.3
"""Of the seeds; in the others nobody is there, and their histories are what they would be."""
PARTS_MINOR = (None, None, 1, 5_000, 22_000)
"""What is asked for: all, or so much."""


def is_there(world: World) -> bool:
    return world.dice("merchant").random() < SHARE


def holds_first(world: World) -> bool:
    """Whether money is held, and captured by the merchant later."""
    return is_there(world) and world.dice("merchant holds").random() < 0.5


async def live(world: World, clients: Clients, *, is_holding: bool) -> None:
    dice = world.dice("merchant's deeds")
    works = []
    for n in range(dice.choice([6, 12, 24])):
        await asyncio.sleep(dice.choice([5, 30, 120]) * dice.random())
        own, kind = world.dice(f"merchant's deed {n}"), "give_back"
        if is_holding and dice.random() < 0.6:
            kind = "capture"
        placed = _choose(clients, kind, dice)
        if placed is None:
            continue
        if kind == "capture":
            works.append(_capture(clients, placed, own))
        else:
            works.append(_give_back(clients, placed, own, f"refund-{n}"))
        if dice.random() < 0.5:
            await asyncio.gather(*works)
            works = []
    await asyncio.gather(*works)


def _choose(clients: Clients, kind: str, dice: random.Random) -> Placed | None:
    """Mostly an order of which somebody was told that its money is there; sometimes any."""
    if kind == "capture":
        ready = {each.order_id for each in clients.asked if each.says_held}
    else:
        ready = {each.order_id for each in clients.asked if each.says_paid}
        ready |= {
            each.order_id for each in clients.asked if each.kind == "capture" and each.status == 200
        }
    fit = [placed for placed in clients.orders if placed.id in ready]
    chosen = fit if dice.random() < 0.85 else clients.orders
    return dice.choice(chosen) if chosen else None


async def _capture(clients: Clients, placed: Placed, dice: random.Random) -> None:
    """Sometimes a part; an amount that was asked for is never changed."""
    amount_minor = dice.choice([None, None, 1_000])
    for _ in range(dice.choice([1, 2, 4])):
        taps = [_ask(clients, placed, "capture", dice, amount_minor)]
        if dice.random() < 0.2:
            taps.append(_ask(clients, placed, "capture", dice, amount_minor))
        answers = await asyncio.gather(*taps)
        if answers[0].status == 200:
            return
        await asyncio.sleep(dice.choice([1, 10, 60]) * dice.random())


async def _give_back(clients: Clients, placed: Placed, dice: random.Random, key: str) -> None:
    """A request is one key and one amount, however often it is sent."""
    amount_minor = dice.choice(PARTS_MINOR)
    for _ in range(dice.choice([1, 2, 3])):
        taps = [_ask(clients, placed, "give_back", dice, amount_minor, key)]
        if dice.random() < 0.2:
            taps.append(_ask(clients, placed, "give_back", dice, amount_minor, key))
        if dice.random() < 0.2:
            taps.append(_ask(clients, placed, "give_back", dice, amount_minor, f"{key}-too"))
        answers = await asyncio.gather(*taps)
        if answers[0].status == 200 and dice.random() < 0.7:
            return
        await asyncio.sleep(dice.choice([1, 10, 60]) * dice.random())


def _ask(
    clients: Clients,
    placed: Placed,
    kind: str,
    dice: random.Random,
    amount_minor: int | None,
    key: str = "",
) -> "asyncio.Future[Asked]":
    work = clients.ask(placed, kind, None, dice, amount_minor=amount_minor, key=key)
    return asyncio.ensure_future(work)
