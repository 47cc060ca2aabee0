"""`build_app(config)`: the only place that wires the parts together."""

import asyncio
from dataclasses import dataclass

from stripesim.api import Api
from stripesim.challenge.routes import Challenge
from stripesim.clock import Clock
from stripesim.config import Config
from stripesim.control.faults import Faults
from stripesim.control.gate import Gate
from stripesim.control.plane import ControlPlane
from stripesim.delivery import Courier
from stripesim.http import (
    Answer,
    BodyTooLarge,
    Receive,
    Scope,
    Send,
    cut_connection,
    json_answer,
    send_answer,
)
from stripesim.objects.challenges import CHALLENGE_PATH
from stripesim.world import World


@dataclass
class App:
    """The ASGI application of one simulator."""

    world: World
    courier: Courier
    gate: Gate
    control: ControlPlane
    challenge: Challenge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                await self._dispatch(scope, receive, send)
            except BodyTooLarge:
                await send_answer(send, _too_large())
            except asyncio.CancelledError:  # the server ends while a latency fault holds it
                await cut_connection(scope, receive)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/_sim" or path.startswith("/_sim/"):
            await self.control(scope, receive, send)
        elif path.startswith(CHALLENGE_PATH):
            await self.challenge(scope, receive, send)
        else:
            await self.gate(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.courier.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.courier.stop()
                self.world.database.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _too_large() -> Answer:
    message = "Request body too large."
    return json_answer(413, {"error": {"message": message, "type": "invalid_request_error"}})


def build_app(config: Config, clock: Clock | None = None) -> App:
    """One simulator with a world of its own; run it under `server.CuttingProtocol`."""
    world = World(config, clock)
    api = Api(world)
    faults = Faults(lambda: world.fault_dice)
    courier = Courier(world, api.run_timers)
    return App(
        world=world,
        courier=courier,
        gate=Gate(api, faults),
        control=ControlPlane(world, api, faults, courier),
        challenge=Challenge(world, api),
    )
