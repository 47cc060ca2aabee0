"""The switch "lose Stripe's answer": for one pay request, Stripe executes and its answers are lost.

One lost answer is not enough to see anything: paidonce asks again under the same key and then
looks, and the usual repair's SDK sends again by itself. So every answer about a payment is lost for
as long as the one pay request is under way. The faults are the simulator's, and its alone: they
strike whoever else pays in that time, and clearing them clears every other fault too. They are
cleared before the request is answered, so what comes after the answer meets none of them.
"""

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paidonce.demo.simulator import Simulator

PAY_PATH = re.compile(r"(?P<repair>/demo/repair)?/api/mobile-app/orders/[^/]+/pay")
PAIDONCE, REPAIR = "paidonce", "repair"


class LostAnswers:
    """`turn` says whether the next pay request of each server loses its answers; each server uses
    its turn up with one request. `around` puts this around the application."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._waiting: set[str] = set()
        self._one_at_a_time = asyncio.Lock()  # the faults of one request must not meet another

    def turn(self, *, is_on: bool) -> None:
        self._waiting = {PAIDONCE, REPAIR} if is_on else set()

    def around(self, app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            server = _server_paid_by(scope)
            if server is None or server not in self._waiting:
                await app(scope, receive, send)
                return
            self._waiting.discard(server)
            async with self._one_at_a_time:
                if await self._lose_answers_to(server):
                    await self._answer_without_faults(app, scope, receive, send)
                    return
            # The simulator does not answer us: the payment goes on as it would have anyway.
            await app(scope, receive, send)
            await self._simulator.clear_faults()  # should it have heard us after all

        return handle

    async def _answer_without_faults(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Hold the answer back until the faults are cleared."""
        answer: list[Message] = []

        async def hold(message: Message) -> None:
            answer.append(message)

        try:
            await app(scope, receive, hold)
        finally:
            await self._simulator.clear_faults()
            for message in answer:
                await send(message)

    async def _lose_answers_to(self, server: str) -> bool:
        """paidonce confirms and looks below an intent's own path, the repair creates confirmed."""
        if server == PAIDONCE:
            return await self._simulator.add_fault("drop_response", path="/v1/payment_intents/*")
        return await self._simulator.add_fault(
            "drop_response", method="POST", path="/v1/payment_intents"
        )


def _server_paid_by(scope: Scope) -> str | None:
    """Whose pay request this is, None when it is none."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    match = PAY_PATH.fullmatch(scope["path"])
    if match is None:
        return None
    return REPAIR if match["repair"] else PAIDONCE
