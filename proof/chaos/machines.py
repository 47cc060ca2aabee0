"""Instances of paidonce and workers: started, called, killed and started again, in one process."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextvars import Context as Scope
from typing import Any, Literal

import jwt

from paidonce.domain.clock import Clock
from paidonce.gateway import StripeGateway
from paidonce.main import build_app
from paidonce.observability.steps import set_step_hook
from paidonce.payments.background import Background
from paidonce.payments.context import Context
from paidonce.payments.gate import Gate
from paidonce.settings import Settings
from paidonce.store.installation import Installation, ensure_installation
from paidonce.worker import run_worker
from proof.chaos.loop import HERE, Machine
from proof.chaos.storage import InlineDatabase
from proof.chaos.stripe_side import (
    HOST,
    PUBLISHABLE_KEY,
    SECRET_KEY,
    WEBHOOK_SECRET,
    Answer,
    StripeSide,
    Transport,
    call_asgi,
)
from proof.chaos.world import World

JWT_SECRET = "a-secret-of-the-chaos-of-32-bytes"
MERCHANT_API_KEY = "merchant-key-of-the-chaos"
NAMESPACE = "c4a05" + "0" * 27
IDLE_STEPS = frozenset(
    f"commit.{name}"
    for name in ("take_events", "sweep", "look", "take_canceling", "take_to_detach")
)
"""What a worker does every second, whether there is work or not: seldom a place to die at."""


def make_settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": "sqlite:///chaos.invalid",  # nothing opens it
        "stripe_secret_key": SECRET_KEY,
        "stripe_publishable_key": PUBLISHABLE_KEY,
        "stripe_webhook_secret": WEBHOOK_SECRET,
        "stripe_api_base": HOST,
        "payment_return_url": "https://shop.example/return",
        "auth_jwt_secret": JWT_SECRET,
        "merchant_api_key": MERCHANT_API_KEY,
        "same_order_within_seconds": 0,
    }
    return Settings(**{**values, **changes})


class Fleet:
    """All instances and workers of one shop."""

    def __init__(
        self,
        world: World,
        stripe_side: StripeSide,
        connection: sqlite3.Connection,
        settings: Settings,
    ) -> None:
        self.world, self.stripe_side, self.settings = world, stripe_side, settings
        self.connection = connection
        self.instances: dict[str, Instance] = {}
        self.workers: dict[str, Worker] = {}
        self.is_chaotic = True
        self.stop_at = ""
        self._dice = world.dice("machines")
        self._births = 0
        self._tokens: dict[str, str] = {}

    # --- life and death

    def start_instance(self, name: str, *, has_worker: bool) -> None:
        machine = self._born(name)
        self.instances[name] = Instance(self, machine, has_worker=has_worker)

    def start_worker(self, name: str) -> None:
        self.workers[name] = Worker(self, self._born(name))

    def _born(self, name: str) -> Machine:
        self._births += 1
        machine = Machine(f"{name}#{self._births}")
        self.world.note(machine.name, "starts")
        return machine

    def kill(self, machine: Machine, why: str) -> None:
        """As kill -9: nothing of the machine runs on. Whoever waits for it hears in time."""
        if machine.is_dead:
            return
        machine.is_dead = True
        self.world.counts["crashes"] += 1
        self.world.note(machine.name, f"DIES {why}")
        for hear in machine.hears_of_death:
            self.world.loop.call_later(self._dice.uniform(0, 2), hear, context=Scope())

    def on_step(self, name: str, phase: Literal["before", "after"]) -> None:
        """The step hook: here a machine dies, or stands still for a while."""
        machine = HERE.get()
        if machine is None or machine.is_dead or not self.is_chaotic:
            return
        self.world.counts["steps"] += 1
        if (phase, name) == ("before", self.stop_at) and self._dice.random() < 0.3:
            self._freeze(machine, 45.0, f"before {name}")
            return
        chance = self._dice.random() * (20 if name in IDLE_STEPS else 1)
        weather = self.world.weather
        if chance < weather.crash_at_step:
            self.kill(machine, f"{phase} {name}")
            self.world.loop.call_later(
                self._dice.choice([0.2, 3, 20, 60]), self._again, machine, context=Scope()
            )
        elif chance < weather.crash_at_step + weather.freeze_at_step:
            seconds = self._dice.choice([1.0, 12.0, 35.0, 90.0])
            self._freeze(machine, seconds, f"{phase} {name}")

    def _freeze(self, machine: Machine, seconds: float, where: str) -> None:
        self.world.strikes("freeze")
        self.world.note(machine.name, f"FREEZES {seconds} s {where}")
        self.world.loop.freeze(machine, seconds)

    def _again(self, machine: Machine) -> None:
        name = machine.name.partition("#")[0]
        if not self.is_chaotic:
            return
        old = self.instances.get(name)
        if old is not None and old.machine is machine:
            self.start_instance(name, has_worker=old.has_worker)
        worker = self.workers.get(name)
        if worker is not None and worker.machine is machine:
            self.start_worker(name)

    def kill_all(self, why: str) -> None:
        for machine in self.machines():
            self.kill(machine, why)

    def machines(self) -> list[Machine]:
        """Of everything that was started, the latest of each name."""
        instances = [instance.machine for instance in self.instances.values()]
        return instances + [worker.machine for worker in self.workers.values()]

    # --- what a machine is made of

    async def open_context(self, settings: Settings, clock: Clock) -> Context:
        machine = HERE.get()
        assert machine is not None
        db = InlineDatabase(self.world, self.connection, machine.name)
        gateway = StripeGateway(settings, transport=Transport(self.stripe_side), clock=clock)
        home = Installation(NAMESPACE, "test", None)
        return Context(db, gateway, clock, home, settings, Background(), Gate(clock.now()))

    def write_installation(self) -> None:
        """The database is this shop's, as after the first start."""
        database = InlineDatabase(self.world, self.connection, "installation")
        database._write(
            lambda tx: ensure_installation(tx, NAMESPACE, "test", self.world.clock.now())
        )

    # --- calls

    def token(self, user_id: str) -> str:
        """The app's token; it outlives every seed."""
        if user_id not in self._tokens:
            expires = int(self.world.clock.now().timestamp()) + 90 * 24 * 3600
            self._tokens[user_id] = jwt.encode(
                {"sub": user_id, "exp": expires}, JWT_SECRET, algorithm="HS256"
            )
        return self._tokens[user_id]

    def any_instance(self, dice: Any) -> "Instance":
        names = sorted(self.instances)
        return self.instances[names[int(dice.random() * len(names))]]


class Instance:
    """One `serve`."""

    def __init__(self, fleet: Fleet, machine: Machine, *, has_worker: bool) -> None:
        self.machine, self.has_worker = machine, has_worker
        self._fleet = fleet
        self._waiting: dict[asyncio.Future[Answer], float] = {}
        world = fleet.world
        self.app = build_app(
            fleet.settings, clock=world.clock, has_worker=has_worker, opening=fleet.open_context
        )
        machine.hears_of_death.append(self._break_connections)
        self.is_ready = False
        world.loop.spawn(machine, self._live())

    async def _live(self) -> None:
        async with self.app.router.lifespan_context(self.app):
            self.is_ready = True
            await self._fleet.world.loop.create_future()

    def accept(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        answer: "asyncio.Future[Answer]",
    ) -> None:
        """A request has arrived; without a living server it is refused at once."""
        if self.machine.is_dead or not self.is_ready:
            refuse(answer)
            return
        self._waiting[answer] = self._fleet.world.loop.time()
        self._fleet.world.loop.spawn(self.machine, self._serve(method, path, headers, body, answer))

    async def _serve(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        answer: "asyncio.Future[Answer]",
    ) -> None:
        world = self._fleet.world
        try:
            found = await call_asgi(self.app, method, path, headers, body)
        except Exception as error:
            world.bugs.append(f"{method} {path} raised {error!r}")
            return
        if not self.machine.is_dead:
            world.loop.call_soon(self._told, answer, found, context=Scope())

    def _told(self, answer: "asyncio.Future[Answer]", found: Answer) -> None:
        self._waiting.pop(answer, None)
        if not answer.done():
            answer.set_result(found)

    def _break_connections(self) -> None:
        for answer in self._waiting:
            refuse(answer)
        self._waiting.clear()


class Worker:
    """One `paidonce worker`."""

    def __init__(self, fleet: Fleet, machine: Machine) -> None:
        self.machine = machine
        self._fleet = fleet
        fleet.world.loop.spawn(machine, self._live())

    async def _live(self) -> None:
        fleet = self._fleet
        ctx = await fleet.open_context(fleet.settings, fleet.world.clock)
        await run_worker(ctx, asyncio.Event(), asyncio.Event())


def refuse(answer: "asyncio.Future[Answer]") -> None:
    """The connection was refused, or broke."""
    if not answer.done():
        answer.set_exception(ConnectionError())
        answer.exception()  # it may be that nobody listens


__all__ = ["MERCHANT_API_KEY", "Fleet", "Instance", "Worker", "make_settings", "set_step_hook"]
