"""One seed: the shop is built, goes through its weather, calms down, and is judged."""

import asyncio
import functools
import gc
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from paidonce import worker
from paidonce.payments.context import Context
from proof.auditor import books_of, judge, read_stripe
from proof.chaos import clerk, hand, merchant, savers, sheets, telling
from proof.chaos.clients import Clients
from proof.chaos.courier import Courier
from proof.chaos.habits import UNIT_MINOR, Shopper
from proof.chaos.loop import Machine, NothingLeft, SeededLoop
from proof.chaos.machines import Fleet, make_settings, set_step_hook
from proof.chaos.storage import open_shared
from proof.chaos.stripe_side import StripeSide
from proof.chaos.world import FAIR, VirtualClock, World, draw_weather, seeded

LONGEST_CHAOS = 1800.0
LONGEST_NIGHT = 30 * 3600.0
ROUND_SECONDS = 20.0
CALM_ROUNDS = 12
MOST_ROUNDS = 400
UNFINISHED = (
    "SELECT (SELECT count(*) FROM paidonce_payment_attempts WHERE state IN ('open', 'action'))"
    " + (SELECT count(*) FROM paidonce_orders WHERE status = 'canceling')"
    " + (SELECT count(*) FROM paidonce_captures WHERE state = 'requested')"
    " + (SELECT count(*) FROM paidonce_refunds WHERE state = 'requested')"
)
OPEN_ENDS = UNFINISHED + (
    " + (SELECT count(*) FROM paidonce_stripe_events WHERE state = 'pending' AND tries < 6)"
)

OVER = ("succeeded", "authorized", "canceled", "refunded")
"""Statuses of an order's payment of which its payer can do nothing any more."""


@dataclass
class Result:
    """What one seed came to."""

    seed: int
    findings: list[str]
    counts: Counter[str]
    digest: str
    virtual_seconds: float
    cpu_seconds: float
    alarms: list[str]
    history: list[str] = field(default_factory=list)


def run_seed(seed: int, *, is_traced: bool = False, stop_at: str = "") -> Result:
    """Play the seed. The history comes with it when something was found, or when asked for.

    `stop_at`: a step before which machines often stand still for longer than a lease lives.
    """
    warm_up()
    began = time.process_time()
    loop = SeededLoop(random.Random(f"{seed}:loop"))
    clock = VirtualClock(loop)
    world = World(seed, loop, clock, FAIR)
    shop = Shop(world)
    shop.fleet.stop_at = stop_at
    findings: list[str] = []
    gc.disable()  # a collection closes coroutines, and their last words would be heard
    with seeded(world):
        loop.set_exception_handler(lambda _, context: _heard(world, context))
        set_step_hook(shop.fleet.on_step)
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(shop.live())
            findings = shop.judge()
        except NothingLeft:
            findings = ["I12: somebody waits for ever, and nothing can end it"]
        finally:
            findings += [f"BUG: {bug}" for bug in world.bugs]
            set_step_hook(None)
            asyncio.set_event_loop(None)
            digest, told, alarms = world.digest(), list(world.history), world.alarms.copy()
            _bury(loop)
    history = [f"{at:12.3f}  {who:<22} {what}" for at, who, what in told]
    return Result(
        seed,
        findings,
        world.counts,
        digest,
        shop.ended_at or loop.time(),
        time.process_time() - began,
        alarms,
        history if is_traced or findings else [],
    )


@functools.cache
def warm_up() -> None:
    """What every seed of this process shares; collections need not look at it again."""
    open_shared().close()
    gc.collect()
    gc.freeze()


class Shop:
    """Everything of one seed."""

    def __init__(self, world: World) -> None:
        self.world = world
        dice = world.dice("shop")
        confirmation = dice.choice(["automatic", "automatic", "manual"])
        if sheets.confirms_in_app(world):
            confirmation = "automatic"
        settings = make_settings(
            stripe_confirmation_method=confirmation,
            payment_method_policy=dice.choices(["attach", "single_use"], [5, 1])[0],
            unknown_window_seconds=dice.choice([20, 60, 200]),
            authentication_window_seconds=dice.choice([30, 120, 400]),
            declines_per_user_and_hour=dice.choice([3, 10, 50]),
            capture_method="manual" if merchant.holds_first(world) else "automatic",
            **telling.settings(world),
        )
        self.connection = open_shared()
        self.stripe = StripeSide(world)
        self.fleet = Fleet(world, self.stripe, self.connection, settings)
        self.clients = Clients(world, self.stripe, self.fleet)
        self.courier = Courier(world, self.stripe, self.fleet)
        self.receiver = telling.Receiver(world)
        self.receiver.attach()
        self.dice = dice
        self.ended_at = 0.0
        """When there was nothing left but to tell what had happened."""

    async def live(self) -> None:
        # A worker that looks every second is idle most of the time, and time is what seeds cost.
        worker.PAUSE_SECONDS = self.dice.choice([1.0, 4.0, 8.0, 8.0])
        self.fleet.write_installation()
        self._put_products()
        for name in "abc"[: self.dice.choice([2, 2, 3])]:
            self.fleet.start_instance(name, has_worker=self.dice.random() < 0.3)
        for name in ("w", "v")[: self.dice.choice([1, 1, 2])]:
            self.fleet.start_worker(name)
        await asyncio.sleep(1)
        self.world.weather = draw_weather(self.world.dice("weather"))
        self._plan_outages()
        people = [
            asyncio.ensure_future(Shopper(self.clients, name).live(self.dice.choice([1, 2, 3])))
            for name in ("alice", "bob", "carol")[: self.dice.choice([1, 2, 3])]
        ]
        if hand.is_there(self.world):
            people.append(asyncio.ensure_future(hand.live(self.world, self.stripe)))
        if merchant.is_there(self.world):
            is_holding = merchant.holds_first(self.world)
            people.append(
                asyncio.ensure_future(
                    merchant.live(self.world, self.clients, is_holding=is_holding)
                )
            )
        if sheets.is_there(self.world):
            people.append(asyncio.ensure_future(sheets.live(self.world, self.clients)))
        if savers.is_there(self.world):
            people.append(asyncio.ensure_future(savers.live(self.world, self.clients)))
        if telling.is_there(self.world):
            living = telling.live(self.world, self.clients, self.receiver)
            people.append(asyncio.ensure_future(living))
        has_clerk = clerk.is_there(self.world)
        if has_clerk:
            people.append(asyncio.ensure_future(clerk.live(self.world, self.clients)))
        longest = LONGEST_CHAOS
        if self.dice.random() < 0.12:
            people.append(asyncio.ensure_future(self._long_night()))
            longest += LONGEST_NIGHT
        await asyncio.wait(people, timeout=longest)
        for one in people:
            if one.done() and one.exception() is not None:
                raise one.exception() or RuntimeError
            one.cancel()
        await self._calm_down(has_clerk=has_clerk)

    def _put_products(self) -> None:
        now = self.world.clock.now().isoformat(timespec="microseconds")
        self.connection.execute(
            "INSERT INTO paidonce_products (product_id, name, amount_minor, currency, updated_at)"
            " VALUES ('tea', 'Tea', ?, 'usd', ?)",
            (UNIT_MINOR, now),
        )

    def _plan_outages(self) -> None:
        """Sometimes Stripe is away for a while, for everybody."""
        while self.dice.random() < 0.25:
            begin = self.dice.uniform(0, 120)
            kind = self.dice.choice(["never_sent", "lost_request", "lost_answer", "error_before"])
            self.stripe.outages.append((begin, begin + self.dice.uniform(3, 60), kind))

    async def _long_night(self) -> None:
        """Everything of ours is down for about a day: keys at Stripe are forgotten meanwhile."""
        await asyncio.sleep(self.dice.uniform(2, 90))
        hours = self.dice.choice([22.9, 23.5, 24.5, 30.0])
        names = list(self.fleet.instances), list(self.fleet.workers)
        self.fleet.is_chaotic = False
        self.fleet.kill_all(f"the lights go out for {hours} h")
        self.world.counts["long nights"] += 1
        self.clients.morning_at = self.world.loop.time() + hours * 3600
        await asyncio.sleep(hours * 3600)
        self.fleet.is_chaotic = True
        for name in names[0]:
            self.fleet.start_instance(name, has_worker=False)
        for name in names[1]:
            self.fleet.start_worker(name)

    # --- the end

    async def _calm_down(self, *, has_clerk: bool) -> None:
        """Faults stop, what is under way arrives, recovery has its time, everybody looks again."""
        self.world.weather, self.stripe.outages = FAIR, []
        self.receiver.is_calm = True
        self.fleet.is_chaotic = False
        self.world.note("world", "CALMS DOWN")
        for machine in self.fleet.machines():
            machine.is_dead = True
        self.fleet.start_instance("z", has_worker=False)
        self.fleet.instances = {"z": self.fleet.instances["z"]}
        if has_clerk:
            clerk.resend(self.clients, self.courier)
        while self.stripe.under_way or self.courier.under_way:
            await asyncio.sleep(ROUND_SECONDS)
        await self._recover()
        for placed in self.clients.orders:
            await self._last_words(placed)
        await self._recover()
        for placed in self.clients.orders:
            await self.clients.ask(placed, "look", None, self.dice)
        self.ended_at = self.world.loop.time()
        if savers.is_there(self.world):
            await self._by_machine("late worker", self._end_setups)
        if telling.is_there(self.world):
            await self._by_machine("teller", self._tell_the_rest)

    async def _end_setups(self, ctx: Context) -> None:
        await savers.end_setups(ctx, self.world, self.fleet)

    async def _tell_the_rest(self, ctx: Context) -> None:
        await telling.tell_the_rest(ctx, self.world, self.fleet)

    async def _recover(self) -> None:
        """Rounds of a worker until nothing is open, and for a while longer."""
        await self._by_machine("recovery", self._work)
        left = self._count(UNFINISHED)
        if left:
            self.world.bugs.append(f"I8: recovery had its time, and {left} are unfinished")

    async def _work(self, ctx: Context) -> None:
        for n in range(MOST_ROUNDS):
            await worker.work_once(ctx)
            if n >= CALM_ROUNDS and not self._count(OPEN_ENDS):
                break
            await asyncio.sleep(ROUND_SECONDS)

    async def _by_machine(self, name: str, work: Callable[[Context], Awaitable[None]]) -> None:
        done: asyncio.Future[None] = self.world.loop.create_future()

        async def run() -> None:
            await work(await self.fleet.open_context(self.fleet.settings, self.world.clock))
            done.set_result(None)

        self.world.loop.spawn(Machine(name), run())
        await done

    def _count(self, sql: str) -> int:
        return int(self.connection.execute(sql).fetchone()[0])

    async def _last_words(self, placed: Any) -> None:
        """Nobody is locked out: what is not paid and not canceled can be paid with a good card,
        and what is paid says so."""
        before = await self.clients.ask(placed, "look", None, self.dice)
        if before.body["data"]["status"] not in OVER and sheets.is_there(self.world):
            before = await sheets.pay_in_peace(self.clients, placed, self.dice)
        card = self.clients.new_card(placed.user, "good")
        answer = await self.clients.ask(placed, "pay", card, self.dice)
        status = before.body.get("data", {}).get("status")
        if status in ("canceled", "refunded"):
            wanted = answer.body.get("code") == "order_not_payable"
        else:
            wanted = answer.body.get("status") == "success" or (
                answer.status == 429 and status != "succeeded"
            )
        if not wanted:
            said = f"{answer.status} {answer.body.get('code')}"
            self.world.bugs.append(f"order {placed.id} is {status}, and a good card hears {said}")
        data = answer.body.get("data")
        if isinstance(data, dict) and data.get("status") == "authorized":
            taken = await self.clients.ask(placed, "capture", None, self.dice)
            if taken.status != 200:
                self.world.bugs.append(f"order {placed.id} is held, and a capture hears {taken}")

    def judge(self) -> list[str]:
        found = judge(
            read_stripe(self.stripe.get),
            books_of(self.connection),
            self.clients.expectations(),
            self.clients.asked,
            is_settled=True,
            telling=telling.heard(self.world, self.receiver),
        )
        return [str(finding) for finding in found]


def _heard(world: World, context: dict[str, Any]) -> None:
    error = context.get("exception")
    world.bugs.append(f"{context.get('message')}: {error!r}")


def _bury(loop: SeededLoop) -> None:
    """The coroutines of dead machines are closed now: nothing that they still say counts."""
    old = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        warnings.simplefilter("ignore", RuntimeWarning)
        loop.set_exception_handler(lambda _loop, _context: None)
        loop._queued.queues.clear()
        loop._timers.clear()
        loop.graveyard.clear()
        loop.close()
        gc.collect()
    finally:
        sys.unraisablehook = old
        gc.enable()
