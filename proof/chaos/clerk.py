"""A clerk at Stripe's Dashboard, who gives the money of paid orders back. Our books hear of it from
Stripe's events alone, so in the end he has those sent again that were lost."""

import asyncio

from proof.chaos.clients import Clients
from proof.chaos.courier import Courier
from proof.chaos.world import World

SHARE = 0.1
"""Of the seeds; in the others nobody is there, and their histories are what they would be."""
EVENT = "charge.refunded"


def is_there(world: World) -> bool:
    return world.dice("clerk").random() < SHARE


async def live(world: World, clients: Clients) -> None:
    dice = world.dice("clerk's deeds")
    for _ in range(dice.choice([2, 4, 6])):
        await asyncio.sleep(dice.choice([30, 100, 300]) * dice.random())
        charges = clients.stripe.get("/v1/charges?limit=100")["data"]
        paid = [c for c in charges if c["status"] == "succeeded" and not c["refunded"]]
        if paid:
            clients.refund_at_stripe(dice.choice(paid))


def resend(clients: Clients, courier: Courier) -> None:
    """Every event of a refund, whether it has arrived before or not."""
    found = clients.stripe.get(f"/v1/events?type={EVENT}&limit=100")["data"]
    for event in reversed(found):
        courier.send_again(event["id"])
