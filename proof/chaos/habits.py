"""What people do: one order of one user, from the basket to the last look."""

import asyncio
import random
from typing import Any

from proof.auditor import Asked
from proof.chaos.clients import KINDS, MOBILE, WEIGHTS, Clients, Placed, User
from proof.chaos.machines import MERCHANT_API_KEY

Json = dict[str, Any]
PRICES = (1, 2, 5)
UNIT_MINOR = 22_000


class Shopper:
    """One user. Orders overlap, and so do two phones on one order."""

    def __init__(self, clients: Clients, name: str) -> None:
        self.clients = clients
        self.world = clients.world
        self.user = User(name)
        self.dice = clients.world.dice(f"user {name}")

    async def live(self, orders: int) -> None:
        works = []
        for n in range(orders):
            await self._pause(0, 20)
            placed = await self.order()
            if placed is None:
                continue
            dice = self.world.dice(f"{self.user.name} {n}")
            works.append(Payer(self, placed, dice).pay())
            if dice.random() < 0.25:
                works.append(Payer(self, placed, self.world.dice(f"{self.user.name} {n} b")).pay())
            if dice.random() < 0.25:
                works.append(self.cancel(placed, dice))
            if dice.random() < 0.5:
                await asyncio.gather(*works)
                works = []
        await asyncio.gather(*works)

    async def order(self) -> Placed | None:
        """With the app's basket, or made by the merchant's server."""
        quantity = self.dice.choice(PRICES)
        for _ in range(8):
            if self.dice.random() < 0.7:
                body: Json = {"items": [{"productId": "tea", "quantity": quantity}]}
                path, token = f"{MOBILE}/orders", self.clients.fleet.token(self.user.name)
            else:
                body = {
                    "userId": self.user.name,
                    "amountMinor": quantity * UNIT_MINOR,
                    "currency": "usd",
                }
                path, token = "/api/orders", MERCHANT_API_KEY
            answer = await self.clients.plain("POST", path, body, token, self.dice)
            if answer is not None and answer[0] == 200:
                data = answer[1]["data"]
                placed = Placed(
                    str(data.get("orderId") or data["id"]), self.user, quantity * UNIT_MINOR
                )
                self.clients.orders.append(placed)
                self.world.counts["orders"] += 1
                self.world.note(self.user.name, f"has ordered {placed.id}")
                return placed
            if answer is not None and answer[0] != 503:
                self.world.bugs.append(f"an order was answered {answer}")
            await self._pause(1, 10)
        return None

    async def cancel(self, placed: Placed, dice: random.Random) -> None:
        """The merchant's server; sometimes it insists."""
        await asyncio.sleep(dice.choice([0, 1, 5, 30, 120]) * dice.random())
        for _ in range(dice.choice([1, 1, 3])):
            request = await self.clients.ask(placed, "cancel", None, dice)
            if request.status == 200:
                placed.is_canceled = True
                return
            await asyncio.sleep(dice.uniform(0.1, 20))

    async def _pause(self, low: float, high: float) -> None:
        await asyncio.sleep(self.dice.uniform(low, high))


class Payer:
    """A phone that pays one order, with whatever cards its user tries."""

    def __init__(self, shopper: Shopper, placed: Placed, dice: random.Random) -> None:
        self.clients, self.placed, self.dice = shopper.clients, placed, dice
        self.user = shopper.user
        self.card = ""
        self._challenges: list[asyncio.Task[None]] = []

    async def pay(self) -> None:
        self._choose_card()
        for _ in range(self.dice.randint(2, 8)):
            answers = await self._tap()
            goes_on = True
            for answer in answers:
                goes_on = await self._react(answer) and goes_on
            if not goes_on:
                break
        if self._challenges:
            await asyncio.wait(self._challenges)

    async def _tap(self) -> list[Asked]:
        """Once, or two or three times at once; by a nervous user with two cards."""
        if self.dice.random() < 0.85:
            return [await self._ask("pay")]
        taps = [self._ask("pay")]
        for _ in range(self.dice.choice([1, 1, 2])):
            if self.dice.random() < 0.4:
                self._choose_card()
            if self.dice.random() < 0.7:
                taps.append(self._ask("pay"))
            else:
                taps.append(self._ask(self.dice.choice(["confirm", "look"])))
        return list(await asyncio.gather(*taps))

    def _ask(self, kind: str) -> Any:
        card = self.card if kind == "pay" else None
        return self.clients.ask(self.placed, kind, card, self.dice)

    def _choose_card(self) -> None:
        """A new entry, or an id that the phone still holds, of this order or another."""
        held = sorted(self.user.methods)
        others = self.clients.used_by_others(self.user)
        if others and self.dice.random() < 0.05:
            self.card = self.dice.choice(others)
        elif held and self.dice.random() < 0.35:
            self.card = self.dice.choice(held)
        else:
            kind = self.dice.choices(KINDS, WEIGHTS)[0]
            self.card = self.clients.new_card(self.user, kind)

    async def _react(self, answer: Asked) -> bool:
        """What people do after such an answer; False when they are done."""
        dice, data = self.dice, answer.body.get("data")
        if answer.kind not in ("pay", "confirm"):
            return True
        if answer.status == 200 and answer.body.get("status") == "success":
            return await self._paid()
        if answer.status == 200 and isinstance(data, dict) and "clientSecret" in data:
            await self._challenged(data)
            return True
        code = answer.body.get("code")
        if answer.status is None:
            await asyncio.sleep(dice.choice([0, 0.5, 5, 30, 400]) * dice.random())
            return await self._maybe_other(0.3)
        if code in ("order_not_payable", "too_many_attempts"):
            return dice.random() < 0.2
        if answer.status in (402, 404):
            await asyncio.sleep(dice.uniform(0.5, 10))
            return await self._maybe_other(0.75)
        await asyncio.sleep(dice.choice([0.2, 2, 5, 20]))
        return await self._maybe_other(0.25)

    async def _paid(self) -> bool:
        """Most are content; some repeat, look, or try another card."""
        if self.dice.random() < 0.3:
            await self._ask("look")
        if self.dice.random() < 0.3:
            return await self._maybe_other(0.5)
        return False

    async def _maybe_other(self, chance: float) -> bool:
        if self.dice.random() < 0.15:
            await self._ask(self.dice.choice(["look", "confirm"]))
        if self.dice.random() < chance:
            self._choose_card()
        return True

    async def _challenged(self, action: Json) -> None:
        """Passed, failed, late, never; or another card meanwhile; or the app confirms by itself."""
        dice = self.dice
        outcome = dice.choices(["success", "fail", ""], [6, 2, 2])[0]
        delay = dice.choice([1, 10, 60, 300]) * dice.random()
        if dice.random() < 0.06:
            await asyncio.sleep(delay / 10)
            self.clients.confirm_by_app(self.placed, action, self.card)
            return
        if dice.random() < 0.3:  # the challenge is answered some time, the phone does not wait
            self._challenges.append(
                asyncio.ensure_future(self._answer_challenge(action, outcome, delay))
            )
            await asyncio.sleep(dice.uniform(0, 20))
            await self._maybe_other(0.6)
            return
        await self._answer_challenge(action, outcome, delay)
        if dice.random() < 0.8:
            answer = await self._ask("confirm")
            if answer.body.get("status") == "success":
                return
        await self._maybe_other(0.3)

    async def _answer_challenge(self, action: Json, outcome: str, delay: float) -> None:
        await asyncio.sleep(delay)
        if outcome:
            self.clients.authenticate(self.placed, action["paymentIntentId"], outcome)
