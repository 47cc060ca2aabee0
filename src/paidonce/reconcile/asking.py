"""Reading from Stripe for as long as it takes: lists to their end, and again after a pause where
Stripe did not take part."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from paidonce.domain.clock import Clock
from paidonce.domain.intent import Failure, Intent, ListPage, Reason
from paidonce.gateway import StripeGateway
from paidonce.payments.context import REQUEST_SECONDS

MOST_TRIES = 7
MOST_RESTARTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
CURSOR = "starting_after"
REFUSED_KEY = (401, 403)
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Source(Protocol):
    """What is read from; `Parts` are one."""

    @property
    def gateway(self) -> StripeGateway: ...
    @property
    def clock(self) -> Clock: ...


class CannotCompare(Exception):
    """The comparison did not come to its end; the words say why."""


class KeyRefused(CannotCompare):
    """Asking again is of no use: the key may not read this."""


class Asker:
    """Every call raises CannotCompare when Stripe stays away, refuses the key, or `stop` is set."""

    def __init__(self, ctx: Source, stop: asyncio.Event) -> None:
        self._ctx = ctx
        self._stop = stop

    async def retrieve_intent(self, intent_id: str) -> Intent:
        """An intent that Stripe has just listed."""
        intent = await self.ask(
            lambda: self._ctx.gateway.retrieve_intent(intent_id, REQUEST_SECONDS)
        )
        if isinstance(intent, Failure):
            raise CannotCompare(f"Stripe did not show {intent_id}: {intent.message}")
        return intent

    async def pages(
        self, read: Callable[[str | None], Awaitable[ListPage[Item] | Failure]]
    ) -> AsyncIterator[list[Item]]:
        """A list of Stripe's to its end; from the top again where the place in it is gone."""
        after: str | None = None
        restarts = 0
        while True:
            page = await self.ask(partial(read, after))
            if isinstance(page, Failure):
                if page.param != CURSOR or restarts == MOST_RESTARTS:
                    raise CannotCompare(f"Stripe did not show a list: {page.message}")
                after, restarts = None, restarts + 1
                continue
            yield page.items
            if page.last_id is None:
                return
            after = page.last_id

    async def ask(self, call: Callable[[], Awaitable[Answer | Failure]]) -> Answer | Failure:
        """Again after a pause where Stripe did not take part; a refusal comes back as it is."""
        for n in range(MOST_TRIES):
            if n > 0:
                pause = FIRST_PAUSE_SECONDS * 2 ** (n - 1)
                await self._ctx.clock.sleep(min(pause, LONGEST_PAUSE_SECONDS))
            if self._stop.is_set():
                raise CannotCompare("stopped; run it again")
            answer = await call()
            if not isinstance(answer, Failure):
                return answer
            if answer.http_status in REFUSED_KEY:
                raise KeyRefused(f"Stripe refuses the key: {answer.message.rstrip('.')}")
            if answer.reason not in (Reason.UNKNOWN, Reason.NOT_EXECUTED):
                return answer
        raise CannotCompare("Stripe did not answer several times in a row; run it again")
