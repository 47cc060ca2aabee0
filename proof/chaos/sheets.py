"""The payment sheet: phones that pay with the order's intent at Stripe, by themselves.

They lose Stripe's answer, are killed in the middle and come back, ask for a second sheet, and pay
the same order by `pay` at the same time.
"""

import asyncio
import random
from typing import Any

from proof.auditor import Asked
from proof.chaos.clients import KINDS, WEIGHTS, Clients, Placed
from proof.chaos.habits import Payer, Shopper
from proof.chaos.stripe_side import late_seconds
from proof.chaos.world import World

Json = dict[str, Any]
SHARE = 0.2
"""Of the seeds; in the others nobody is there, and their histories are what they would be."""
TO_STRIPE = (None, "lost_answer", "late_request", "lost_request")
CHANCES = (8, 3, 3, 1)
"""What becomes of what the app asks of Stripe."""


def is_there(world: World) -> bool:
    return world.dice("sheets").random() < SHARE


def confirms_in_app(world: World) -> bool:
    """Whether Stripe lets the app confirm at all: mostly, where there are sheets."""
    return is_there(world) and world.dice("sheets by hand").random() < 0.85


async def live(world: World, clients: Clients) -> None:
    """Orders of a user of its own, and now and then the sheet for somebody else's open order."""
    dice, shopper = world.dice("sheets' deeds"), Shopper(clients, "dora")
    works = []
    for n in range(dice.choice([3, 5, 8])):
        await asyncio.sleep(dice.choice([2, 10, 40]) * dice.random())
        own = world.dice(f"sheet {n}")
        placed = await shopper.order() if dice.random() < 0.6 else _latest(clients, dice)
        if placed is None:
            continue
        works.append(Phone(clients, placed, own).pay())
        if dice.random() < 0.3:
            works.append(Phone(clients, placed, world.dice(f"sheet {n} b")).pay())
        if placed.user is shopper.user:
            if dice.random() < 0.4:
                works.append(Payer(shopper, placed, world.dice(f"sheet {n} pay")).pay())
            if dice.random() < 0.2:
                works.append(shopper.cancel(placed, world.dice(f"sheet {n} cancel")))
        if dice.random() < 0.5:
            await asyncio.gather(*works)
            works = []
    await asyncio.gather(*works)


def _latest(clients: Clients, dice: random.Random) -> Placed | None:
    return dice.choice(clients.orders[-3:]) if clients.orders else None


async def pay_in_peace(clients: Clients, placed: Placed, dice: random.Random) -> Asked:
    """In fair weather: a sheet, and a good card in it. The last answer of ours, a look."""
    opened = await clients.ask(placed, "sheet", None, dice)
    if opened.status == 200:
        card = clients.new_card(placed.user, "good")
        told = await _confirm(clients, placed, opened.body["data"], card, None, dice)
        if told is None or told.get("status") not in ("succeeded", "requires_capture"):
            clients.world.bugs.append(f"a good card in the sheet of {placed.id} hears {told}")
    elif opened.status != 429 and opened.body.get("code") != "payment_sheet_unavailable":
        clients.world.bugs.append(f"order {placed.id} gets no sheet: {opened}")
    return await clients.ask(placed, "look", None, dice)


class Phone:
    """An app with the sheet, for one order."""

    def __init__(self, clients: Clients, placed: Placed, dice: random.Random) -> None:
        self.clients, self.placed, self.dice = clients, placed, dice

    async def pay(self) -> None:
        """Some visits; each may end with the app being killed at any moment."""
        for _ in range(self.dice.randint(3, 6)):
            if await self._visit():
                break
            await asyncio.sleep(self.dice.choice([0, 2, 20, 300]) * self.dice.random())
            if self.dice.random() < 0.4:
                await self._ask(self.dice.choice(["look", "look", "confirm"]))

    async def _visit(self) -> bool:
        """From opening the sheet to what came of it; True when there is nothing left to do."""
        opened = await self._ask("sheet")
        if opened.status != 200:
            code = opened.body.get("code")
            return code in ("order_already_paid", "order_not_payable", "payment_sheet_unavailable")
        sheet = opened.body["data"]
        for _ in range(self.dice.choice([1, 1, 2, 3])):
            if self._is_killed():
                return False
            await asyncio.sleep(self.dice.choice([1, 5, 60, 300]) * self.dice.random())
            fate = self.dice.choices(TO_STRIPE, CHANCES)[0]
            told = await _confirm(self.clients, self.placed, sheet, self._card(), fate, self.dice)
            if self._is_killed():
                return False
            if told is not None and told.get("status") == "requires_action":
                told = await self._challenged(sheet["paymentIntentId"])
            if told is not None and "error" not in told:
                break
        answer = await self._ask(self.dice.choice(["look", "look", "confirm", "sheet"]))
        return answer.says_paid or answer.body.get("code") == "order_already_paid"

    async def _challenged(self, intent_id: str) -> Json:
        """Passed, failed, or left; what Stripe says of it."""
        outcome = self.dice.choices(["success", "fail", ""], [6, 2, 2])[0]
        await asyncio.sleep(self.dice.choice([1, 10, 100]) * self.dice.random())
        if outcome:
            self.clients.authenticate(self.placed, intent_id, outcome)
        return {"status": "requires_action" if not outcome else "over"}

    def _card(self) -> str:
        """A new one, or one of those that the sheet shows."""
        held = sorted(self.placed.user.methods)
        if held and self.dice.random() < 0.25:
            return self.dice.choice(held)
        kind = self.dice.choices(KINDS, WEIGHTS)[0]
        return self.clients.new_card(self.placed.user, kind)

    def _is_killed(self) -> bool:
        return self.dice.random() < 0.12

    async def _ask(self, kind: str) -> Asked:
        return await self.clients.ask(self.placed, kind, None, self.dice)


async def _confirm(
    clients: Clients,
    placed: Placed,
    sheet: Json,
    method: str,
    fate: str | None,
    dice: random.Random,
) -> Json | None:
    """The SDK's confirm, with the client secret of the sheet. None: no answer came."""
    form = {"client_secret": sheet["paymentIntentClientSecret"], "payment_method": method}
    if dice.random() < 0.3:  # the box that keeps the card
        form["setup_future_usage"] = "on_session"
    place = clients.note_asked(Asked(placed.id, "app", method, clients.next_place()))
    path, world = f"/v1/payment_intents/{sheet['paymentIntentId']}/confirm", clients.world
    world.counts["sheet confirms"] += 1
    if fate is not None:
        world.strikes(f"sheet {fate}")

    def arrive() -> Json:
        found = clients.stripe.app_post(path, form)
        error = found.get("error", {})
        said = found.get("status") or f"{error.get('type')} {error.get('code')}"
        heard = f", {fate}" if fate else ""
        world.note(placed.user.name, f"confirms {path} in the sheet: {said}{heard}")
        return found

    def arrive_late() -> None:
        clients.stripe.under_way -= 1
        arrive()

    if fate == "late_request":
        clients.stripe.under_way += 1
        world.loop.call_later(late_seconds(dice), arrive_late)
    await asyncio.sleep(dice.uniform(0.05, 0.6))
    found = arrive() if fate in (None, "lost_answer") else None
    if fate is not None or found is None:
        await asyncio.sleep(dice.choice([0.5, 10, 30]) * dice.random())
        return None
    clients.note_answer(place, 402 if "error" in found else 200, {"status": found.get("status")})
    return found
