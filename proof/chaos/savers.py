"""Cards that are saved without a payment: SetupIntents that the app confirms at Stripe by itself,
with 3-D Secure or not, while the same user orders and pays for the first time."""

import asyncio
import random
from typing import Any

from paidonce import recovery
from paidonce.payments.context import Context
from proof.chaos.clients import KINDS, MOBILE, WEIGHTS, Clients, User
from proof.chaos.habits import Payer, Shopper
from proof.chaos.machines import Fleet
from proof.chaos.sheets import CHANCES, TO_STRIPE
from proof.chaos.world import World

Json = dict[str, Any]
SHARE = 0.12
"""Of the seeds; in the others nobody is there, and their histories are what they would be."""
METHODS = f"{MOBILE}/payments/methods"
LAST_ROUNDS, PAUSE_SECONDS = 300, 60.0


def is_there(world: World) -> bool:
    return world.dice("savers").random() < SHARE


async def live(world: World, clients: Clients) -> None:
    """A user of its own, who is new, and sometimes others who have a customer already."""
    dice, shopper = world.dice("savers' deeds"), Shopper(clients, "erin")
    works = []
    for n in range(dice.choice([3, 4, 6])):
        await asyncio.sleep(dice.choice([0, 5, 40]) * dice.random())
        own, user = world.dice(f"saver {n}"), shopper.user
        if clients.orders and dice.random() < 0.3:
            user = dice.choice(clients.orders).user
        works.append(_save(clients, user, own))
        if dice.random() < 0.3:  # a second phone
            works.append(_save(clients, user, world.dice(f"saver {n} b")))
        if dice.random() < 0.5:
            works.append(_order_and_pay(shopper, own))
        if dice.random() < 0.5:
            await asyncio.gather(*works)
            works = []
    await asyncio.gather(*works)


async def _order_and_pay(shopper: Shopper, dice: random.Random) -> None:
    placed = await shopper.order()
    if placed is not None:
        await Payer(shopper, placed, dice).pay()


async def _save(clients: Clients, user: User, dice: random.Random) -> None:
    """Until a card is saved or its user has enough; the app may be killed at any moment."""
    token = clients.fleet.token(user.name)
    for _ in range(dice.randint(2, 5)):
        path = f"{MOBILE}/payments/setup"
        answer = await clients.plain("POST", path, {"isDefault": True}, token, dice)
        if answer is None or answer[0] != 200:
            await asyncio.sleep(dice.choice([1, 20, 60]) * dice.random())
            continue
        await asyncio.sleep(dice.choice([1, 10, 120]) * dice.random())
        if await _confirm(clients, user, answer[1]["data"], dice):
            break
    if dice.random() < 0.7:
        await clients.plain("GET", METHODS, None, token, dice)


async def _confirm(clients: Clients, user: User, setup: Json, dice: random.Random) -> bool:
    """Whether the app is done, as far as it knows."""
    world, intent_id = clients.world, setup["setupIntentId"]
    fate = dice.choices(TO_STRIPE, CHANCES)[0]
    if dice.random() < 0.1 or fate == "lost_request":
        return False
    card = clients.new_card(user, dice.choices(KINDS, WEIGHTS)[0])
    form = {"client_secret": setup["clientSecret"], "payment_method": card}
    if fate == "late_request":
        await asyncio.sleep(dice.uniform(30, 600))
    told = clients.stripe.app_post(f"/v1/setup_intents/{intent_id}/confirm", form)
    said = told.get("status") or told["error"].get("code")
    world.counts["setup confirms"] += 1
    world.note(user.name, f"confirms {intent_id}: {said}")
    if said == "requires_action":
        await asyncio.sleep(dice.choice([1, 20, 200]) * dice.random())
        outcome = dice.choices(["success", "fail", ""], [6, 2, 2])[0]
        told = clients.stripe.authenticate(intent_id, outcome) if outcome else told
        said = told.get("status", "")
        world.note(user.name, f"challenge of {intent_id}, {outcome}: {said}")
    return fate is None and said == "succeeded"


async def end_setups(ctx: Context, world: World, fleet: Fleet) -> None:
    """In peace: whatever nobody confirmed has had its hour, and is canceled."""
    left = "SELECT count(*) FROM paidonce_setups WHERE state = 'open'"
    for _ in range(LAST_ROUNDS):
        if not fleet.connection.execute(left).fetchone()[0]:
            return
        await asyncio.sleep(PAUSE_SECONDS)
        await recovery.set_up_once(ctx)
    world.bugs.append("I8: a setup stays open for ever")
