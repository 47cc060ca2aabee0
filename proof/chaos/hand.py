"""A person at Stripe's Dashboard, who knows nothing of our books: deletes customers, cancels
intents, detaches cards."""

import asyncio

from proof.chaos.stripe_side import StripeSide
from proof.chaos.world import World

SHARE = 0.15
"""Of the seeds; in the others nobody is there, and their histories are what they would be."""


def is_there(world: World) -> bool:
    return world.dice("hand").random() < SHARE


async def live(world: World, stripe_side: StripeSide) -> None:
    dice = world.dice("hand's deeds")
    for _ in range(dice.choice([1, 2, 2, 4])):
        await asyncio.sleep(dice.choice([3, 20, 60, 300]) * dice.random())
        kind = dice.choice(["customer", "customer", "intent", "intent", "method"])
        match kind:
            case "customer":
                paths = [f"/v1/customers/{found['id']}" for found in _all(stripe_side, "customers")]
                method = "DELETE"
            case "intent":
                paths = [
                    f"/v1/payment_intents/{found['id']}/cancel"
                    for found in _all(stripe_side, "payment_intents")
                    if found["status"] in ("requires_payment_method", "requires_action")
                ]
                method = "POST"
            case _:
                paths = [
                    f"/v1/payment_methods/{found['id']}/detach"
                    for customer in _all(stripe_side, "customers")
                    for found in _all(stripe_side, f"customers/{customer['id']}/payment_methods")
                ]
                method = "POST"
        if paths:
            path = dice.choice(sorted(paths))
            told = stripe_side.by_hand(method, path)
            world.counts["hand's deeds"] += 1
            world.note(
                "hand", f"{method} {path}: {told.get('status') or told.get('error', 'done')}"
            )


def _all(stripe_side: StripeSide, what: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = stripe_side.get(f"/v1/{what}?limit=100")["data"]
    return [one for one in found if not one.get("deleted")]
