"""The people: users with phones who pay, tap twice, change cards, walk away and come back; and a
merchant who cancels. What they asked and were really told is kept for the auditor.
"""

import asyncio
import json
import random
from contextvars import Context as Scope
from dataclasses import dataclass, field, replace
from typing import Any

from proof.auditor import Asked, Order
from proof.chaos.machines import MERCHANT_API_KEY, Fleet, refuse
from proof.chaos.stripe_side import Answer, StripeSide, late_seconds
from proof.chaos.world import World

Json = dict[str, Any]
PATIENCE_SECONDS = 30.0
SERVER_SECONDS = 25.0 + 5.0
MOBILE = "/api/mobile-app"
GOOD = ("4242424242424242", "5555555555554444")
CARDS = {
    "good": GOOD[0],
    "good too": GOOD[1],
    "declined at attach": "4000000000000002",
    "no money at attach": "4000000000009995",
    "declined at charge": "4000000000000341",
    "3ds": "4000002760003184",
    "3ds, too": "4000000000003220",
    "declined after 3ds": "4000008400001629",
    "no money after 3ds": "4000008260003178",
}
KINDS = tuple(CARDS)
SHEET_BODY = {"stripeVersion": "2025-10-29.clover"}
WEIGHTS = (5, 2, 1, 1, 2, 4, 2, 1, 1)


@dataclass
class Placed:
    """An order, as its client expects it."""

    id: str
    user: "User"
    amount_minor: int
    is_canceled: bool = False


@dataclass
class User:
    name: str
    methods: set[str] = field(default_factory=set)


class Clients:
    """Everybody outside."""

    def __init__(self, world: World, stripe_side: StripeSide, fleet: Fleet) -> None:
        self.world, self.stripe, self.fleet = world, stripe_side, fleet
        self.orders: list[Placed] = []
        self.asked: list[Asked] = []
        self.morning_at = 0.0
        self._count = 0
        self._network = world.dice("to us")

    # --- what the auditor hears

    def expectations(self) -> list[Order]:
        return [
            Order(o.id, o.user.name, o.amount_minor, "usd", frozenset(o.user.methods))
            for o in self.orders
        ]

    def note_asked(self, request: Asked) -> int:
        """It is known from now on, whatever becomes of it. Its place."""
        self.asked.append(request)
        return len(self.asked) - 1

    def note_answer(self, place: int, status: int, body: Json) -> Asked:
        ended = self.next_place()
        heard = replace(self.asked[place], ended=ended, status=status, body=body)
        self.asked[place] = heard
        return heard

    def next_place(self) -> int:
        self._count += 1
        return self._count

    # --- asking

    async def ask(
        self,
        placed: Placed,
        kind: str,
        method: str | None,
        dice: random.Random,
        *,
        key: str = "",
        amount_minor: int | None = None,
    ) -> Asked:
        """One request of the app (or the merchant's server) about an order."""
        await self._sleep_tonight(dice)
        begun = self.next_place()
        request = Asked(placed.id, kind, method, begun, key=key, amount_minor=amount_minor)
        place = self.note_asked(request)
        order, ours = f"{MOBILE}/orders/{placed.id}", f"/api/orders/{placed.id}"
        amount = {} if amount_minor is None else {"amountMinor": amount_minor}
        calls: dict[str, tuple[str, str, Json | None]] = {
            "pay": ("POST", f"{order}/pay", _pay_body(method, dice)),
            "confirm": ("POST", f"{order}/pay/confirm", {}),
            "look": ("GET", f"{order}/payment", None),
            "sheet": ("POST", f"{order}/payment-sheet", SHEET_BODY),
            "cancel": ("POST", f"{ours}/cancel", {}),
            "capture": ("POST", f"{ours}/capture", amount),
            "give_back": ("POST", f"{ours}/refunds", amount),
        }
        is_merchants = kind in ("cancel", "capture", "give_back")
        token = MERCHANT_API_KEY if is_merchants else self.fleet.token(placed.user.name)
        who = f"{placed.user.name} {placed.id[:8]}"
        self.world.note(who, f"asks {kind} {method or ''}".rstrip())
        self.world.counts["requests"] += 1
        answer = await self._exchange(*calls[kind], token, request, dice)
        if answer is not None and not self._says_nothing(answer):
            request = self.note_answer(place, *answer)
        said = "nothing" if answer is None else f"{answer[0]} {_said(answer[1])}"
        self.world.note(who, f"hears of {kind}: {said}")
        return request

    async def _sleep_tonight(self, dice: random.Random) -> None:
        """While everything is down most people give up until the morning."""
        left = self.morning_at - self.world.loop.time()
        if left > 0 and dice.random() < 0.8:
            await asyncio.sleep(left + dice.uniform(0, 60))

    def _says_nothing(self, answer: tuple[int, Json]) -> bool:
        """Without a database nobody can say that an order is paid, even when he did before."""
        is_unknown = answer[1].get("code") == "payment_processing"
        return is_unknown and bool(self.world.weather.database)

    async def plain(
        self, method: str, path: str, body: Json | None, token: str, dice: random.Random
    ) -> tuple[int, Json] | None:
        """A request that is not about an order's payment."""
        await self._sleep_tonight(dice)
        self.world.counts["requests"] += 1
        return await self._exchange(method, path, body, token, None, dice)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: Json | None,
        token: str,
        request: Asked | None,
        dice: random.Random,
    ) -> tuple[int, Json] | None:
        """Through the network, both ways. None: no answer came."""
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        if request is not None and request.key:
            headers["idempotency-key"] = request.key
        content = b"" if body is None else json.dumps(body).encode()
        loop = self.world.loop
        answer: asyncio.Future[Answer] = loop.create_future()
        fate, net = self._fate(), self._network

        def send(after: float, to: "asyncio.Future[Answer]") -> None:
            loop.call_later(
                after, self._arrive, method, path, headers, content, to, context=Scope()
            )

        unheard: asyncio.Future[Answer] = loop.create_future()
        there = net.uniform(0.01, 0.3)
        match fate:
            case "lost_request":
                pass
            case "lost_answer":
                send(there, unheard)
            case "late_request":
                send(PATIENCE_SECONDS + late_seconds(net), unheard)
            case "duplicate":
                send(there, answer)
                send(there + late_seconds(net), unheard)
                if request is not None:  # the second one is a request whose answer nobody hears
                    self.note_asked(replace(request, begun=self.next_place()))
            case _:
                send(there, answer)
        is_silent = fate in ("lost_request", "lost_answer", "late_request")
        if is_silent and net.random() < 0.5:
            loop.call_later(net.uniform(0.1, 10), refuse, answer, context=Scope())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, _, told = await answer
        except (TimeoutError, ConnectionError):
            return None
        await asyncio.sleep(net.uniform(0.01, 0.2))
        return status, _json_of(told)

    def _fate(self) -> str | None:
        for kind, chance in self.world.weather.to_us.items():
            if self._network.random() < chance:
                self.world.strikes(f"client {kind}")
                return kind
        return None

    def _arrive(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        content: bytes,
        answer: "asyncio.Future[Answer]",
    ) -> None:
        instance = self.fleet.any_instance(self._network)
        instance.accept(method, path, headers, content, answer)

    # --- the app at Stripe

    def new_card(self, user: User, kind: str) -> str:
        form = {
            "type": "card",
            "card[number]": CARDS[kind],
            "card[exp_month]": 12,
            "card[exp_year]": 2034,
            "card[cvc]": "123",
        }
        method = str(self.stripe.app_post("/v1/payment_methods", form)["id"])
        user.methods.add(method)
        self.world.note(user.name, f"enters a card: {kind} {method}")
        return method

    def used_by_others(self, user: User) -> list[str]:
        """Cards that stand on another user's customer: nobody else may pay with them."""
        theirs = {m for o in self.orders if o.user is not user for m in o.user.methods}
        objects = self.stripe.app.world.objects
        return sorted(m for m in theirs if (objects.get("payment_method", m) or {}).get("customer"))

    def authenticate(self, placed: Placed, intent_id: str, outcome: str) -> None:
        found = self.stripe.authenticate(intent_id, outcome)
        said = found.get("status") or found.get("error", {}).get("message")
        self.world.note(placed.user.name, f"challenge of {intent_id}, {outcome}: {said}")

    def confirm_by_app(self, placed: Placed, action: Json, method: str) -> None:
        """The app confirms by itself, with the client secret it was given."""
        place = self.note_asked(Asked(placed.id, "app", method, self.next_place()))
        found = self.stripe.app_post(
            f"/v1/payment_intents/{action['paymentIntentId']}/confirm",
            {"client_secret": action["clientSecret"], "payment_method": method},
        )
        self.note_answer(place, 402 if "error" in found else 200, {"status": found.get("status")})
        error = found.get("error", {})
        said = found.get("status") or f"{error.get('type')} {error.get('code')}"
        self.world.counts["app confirms"] += 1
        self.world.note(placed.user.name, f"confirms {found.get('id')} by itself: {said}")

    # --- somebody at Stripe

    def refund_at_stripe(self, charge: Json) -> None:
        """All of a charge goes back; the auditor is told when."""
        intent = self.stripe.get(f"/v1/payment_intents/{charge['payment_intent']}")
        place = self.note_asked(
            Asked(intent["metadata"]["order_id"], "refund", None, self.next_place())
        )
        told = self.stripe.by_hand("POST", f"/v1/refunds?charge={charge['id']}")
        self.note_answer(place, 402 if "error" in told else 200, {})
        self.world.counts["refunds at Stripe"] += 1
        self.world.note("clerk", f"refunds {charge['id']}: {told.get('status') or told}")


def _pay_body(method: str | None, dice: random.Random) -> Json:
    keeps = dice.random() < 0.3
    return {"paymentMethod": "credit_card", "paymentToken": method, "savePaymentMethod": keeps}


def _json_of(content: bytes) -> Json:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(body: Json) -> str:
    data = body.get("data")
    status = data.get("status", "") if isinstance(data, dict) else ""
    return f"{body.get('status')} {body.get('code') or status}".strip()
