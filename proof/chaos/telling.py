"""The merchant's own server, which is told of events: slow, away, refusing, hanging up, gone for
good until a person lets it in again; and of some kind of event it takes none, ever.

The service's courier is the real one down to its session: a socket is what it cannot have here.
"""

import asyncio
import base64
from collections.abc import Mapping
from contextvars import Context as Scope
from datetime import datetime
from typing import Any

import aiohttp

from paidonce import outgoing
from paidonce.outgoing import lane
from paidonce.outgoing.courier import SEND_SECONDS, Courier
from paidonce.outgoing.desk import Desk
from paidonce.payments.context import Context
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from proof.auditor import Telling, Told
from proof.chaos.clients import Clients
from proof.chaos.loop import HERE
from proof.chaos.machines import MERCHANT_API_KEY, Fleet
from proof.chaos.storage import InlineDatabase
from proof.chaos.stripe_side import stand_still
from proof.chaos.world import World

SHARE = 0.2
"""Of the seeds; in the others nobody is told, and their histories are what they would be."""
NAME = "shop"
KEY = b"the-chaos-signs-with-these-bytes"
SETTINGS = {
    "event_endpoints": f"{NAME}=https://merchant.example/events",
    "event_secrets": f"{NAME}=whsec_{base64.b64encode(KEY).decode()}",
}
AWAY = ("refused", "hangs up", "takes and hangs up", "takes too long", "comes late")
ANSWERS = {"bad": 400, "broken": 500, "redirect": 302, "busy": 429, "maintenance": 503, "gone": 410}
NEVER = ("payment.failed", "order.canceled", "order.paid", "payment.action_required")
LATEST_SECONDS = 100.0
"""So late a request may come that was given up; a signature is good for five minutes."""
PAUSE_SECONDS = 10.0
LAST_ROUNDS = 2_000


def is_there(world: World) -> bool:
    return world.dice("telling").random() < SHARE


def settings(world: World) -> dict[str, Any]:
    return SETTINGS if is_there(world) else {}


class Receiver:
    """What came to the merchant's server, and what it did."""

    def __init__(self, world: World) -> None:
        self.told: list[Told] = []
        self.is_calm = False
        self._world, self._dice = world, world.dice("receiver")
        self._chances = {
            kind: self._dice.uniform(0.02, 0.15 if kind == "gone" else 0.35)
            for kind in (*AWAY, *ANSWERS)
            if self._dice.random() < 0.4
        }
        self._never = self._dice.choice(NEVER) if self._dice.random() < 0.25 else ""

    def attach(self) -> None:
        """From now on the service's couriers bring to this one."""
        receiver = self

        class InlineCourier(Courier):
            def _open(self) -> Any:
                return _Session(receiver)

        setattr(outgoing, "Courier", InlineCourier)  # noqa: B010 - it exports no such name
        lane.PAUSE_SECONDS = self._dice.choice([0.5, 3.0, 6.0])

    async def post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """One request over the network; raises what aiohttp raises."""
        loop, dice = self._world.loop, self._dice
        machine = HERE.get()
        if machine is not None:
            await stand_still(machine, loop)
        fate = self._fate()
        if fate == "refused":
            await asyncio.sleep(dice.uniform(0.01, 2))
            raise aiohttp.ClientConnectionError
        answer: asyncio.Future[int] = loop.create_future()
        after = dice.uniform(0.01, 0.3)
        if fate == "comes late":
            after = SEND_SECONDS + dice.uniform(0, LATEST_SECONDS - SEND_SECONDS)
        status = 0 if fate == "hangs up" else ANSWERS.get(fate, 204)
        loop.call_later(after, self._arrive, headers, body, status, answer, context=Scope())
        if fate in ("takes too long", "comes late"):
            await asyncio.sleep(SEND_SECONDS)
            raise TimeoutError
        status = await answer
        await asyncio.sleep(dice.uniform(0.01, 0.3))
        if fate in ("hangs up", "takes and hangs up"):
            raise aiohttp.ServerDisconnectedError
        asks = status in (429, 503) and dice.random() < 0.5
        return status, {"Retry-After": str(dice.choice([1, 30, 400]))} if asks else {}

    def _fate(self) -> str:
        if self.is_calm:
            return ""
        for kind, chance in self._chances.items():
            if self._dice.random() < chance:
                self._world.strikes(f"merchant {kind}")
                return kind
        return ""

    def _arrive(
        self,
        headers: Mapping[str, str],
        body: bytes,
        status: int,
        answer: "asyncio.Future[int]",
    ) -> None:
        is_never = self._never and f'"type":"{self._never}"'.encode() in body
        status = 400 if status == 204 and is_never else status
        self.told.append(Told(self._world.clock.now(), dict(headers), body, status == 204))
        self._world.counts["events told"] += 1
        self._world.note("merchant", f"is told {headers['webhook-id']}: {status or 'hangs up'}")
        if not answer.done():
            answer.set_result(status)


class _Session:
    """In the place of aiohttp's."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def post(
        self, _url: str, *, data: bytes, headers: Mapping[str, str], allow_redirects: bool
    ) -> "_Exchange":
        assert not allow_redirects
        return _Exchange(self._receiver, headers, data)


class _Exchange:
    """A request and its answer, which has no body."""

    status = 0
    headers: Mapping[str, str]

    def __init__(self, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> None:
        self._receiver, self._sent = receiver, (headers, body)
        self.content = self

    async def __aenter__(self) -> "_Exchange":
        self.status, self.headers = await self._receiver.post(*self._sent)
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing is open."""

    async def read(self, _size: int) -> bytes:
        return b""


def heard(world: World, receiver: Receiver) -> Telling | None:
    """For the auditor."""
    return Telling(NAME, KEY, receiver.told) if is_there(world) else None


# --- people --------------------------------------------------------------------------------------


async def live(world: World, clients: Clients, receiver: Receiver) -> None:
    """The merchant asks for events again that he has; who looks after the endpoint lets it in."""
    dice = world.dice("telling's deeds")
    for _ in range(dice.choice([2, 5, 8])):
        await asyncio.sleep(dice.choice([10, 60, 200]) * dice.random())
        taken = sorted({told.event_id for told in receiver.told if told.is_taken})
        if taken and dice.random() < 0.5:
            path = f"/api/events/{dice.choice(taken)}/resend"
            await clients.plain("POST", path, {}, MERCHANT_API_KEY, dice)
        if dice.random() < 0.5:
            await let_in(world, clients.fleet)


async def let_in(world: World, fleet: Fleet) -> None:
    """`paidonce notices enable`; of a database that is away a person knows to ask again."""
    desk = Desk(InlineDatabase(world, fleet.connection, "notices"), world.clock)
    try:
        await desk.enable(NAME)
    except (DatabaseUnavailable, UnknownCommit):
        world.note("merchant", "nobody could enable the endpoint")


async def tell_the_rest(ctx: Context, world: World, fleet: Fleet) -> None:
    """In peace, days if need be: everything is told, or given up after its last try."""
    due = "SELECT min(next_try_at) FROM paidonce_event_deliveries WHERE state = 'pending'"
    gone = "SELECT count(*) FROM paidonce_event_endpoints WHERE disabled_at IS NOT NULL"
    if fleet.connection.execute(gone).fetchone()[0]:
        await let_in(world, fleet)
    for _ in range(LAST_ROUNDS):
        await outgoing.deliver_once(ctx)
        found = fleet.connection.execute(due).fetchone()[0]
        if found is None:
            return
        left = datetime.fromisoformat(found) - world.clock.now()
        await asyncio.sleep(max(PAUSE_SECONDS, left.total_seconds()))
    world.bugs.append("I9: events are told for ever")
