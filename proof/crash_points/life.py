"""One process of the service, forked from a warm parent, that dies where it is told to.

The application is the real one, on a real uvicorn on a loopback port. Beside its own routes the
process obeys a few of `/_drive/…`: begin to count steps, run a round of the worker, wait for the
work in the background, tell the steps.
"""

import asyncio
import json
import mmap
import os
import signal
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import uvicorn
from fastapi import FastAPI

from paidonce import backfill, worker
from paidonce.api.server import UVICORN_OPTIONS
from paidonce.domain.intent import Window
from paidonce.main.commands import backfill_customers
from paidonce.main.schema import preflight
from paidonce.observability.steps import set_step_hook
from paidonce.payments import restore
from paidonce.payments.context import Context
from paidonce.payments.erasure import erase_user
from paidonce.reconcile import Fixer, Reconcile
from paidonce.settings import Settings
from paidonce.store.scratch import Scratch
from paidonce.webhooks.backfill import EventsBackfill
from paidonce.webhooks.inbox import Inbox

DRIVE = "/_drive/"
MOMENTS = ("before", "after")
READY_SECONDS = 60
NEVER = 1e6
ERASED_USER = "ann@shop.example"
"""Whom the command erases; with his e-mail, since erasing looks for it at Stripe."""
LOOK_SECONDS = 1e-6


@dataclass(frozen=True)
class Point:
    """Where to die: before or after the `number`th time of a step in the life of the process."""

    step: str
    number: int
    moment: str

    def __str__(self) -> str:
        return f"{self.step}#{self.number}:{self.moment}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `stripe.confirm#1:before`. Raises ValueError."""
        place, _, moment = text.partition(":")
        step, _, number = place.partition("#")
        if moment not in MOMENTS:
            raise ValueError(f"{text}: a point ends in :before or :after")
        return cls(step, int(number), moment)


class SharedClock:
    """Stands at a second of Stripe's clock until time is added, so that a run takes the same way
    every time; what was added outlives the process that added it.

    A look takes a microsecond, so that what came later is later. Nothing sleeps: a pause adds its
    time. The sum is in memory that parent and children share.
    """

    def __init__(self, stands_at: int) -> None:
        self._start = datetime.fromtimestamp(stands_at, UTC)
        self._memory = mmap.mmap(-1, 8)

    @property
    def added(self) -> float:
        seconds: float = struct.unpack("d", self._memory[:])[0]
        return seconds

    @added.setter
    def added(self, seconds: float) -> None:
        self._memory[:] = struct.pack("d", seconds)

    def now(self) -> datetime:
        self.added += LOOK_SECONDS
        return self._start + timedelta(seconds=self.added)

    def monotonic(self) -> float:
        return self.added

    async def sleep(self, seconds: float) -> None:
        self.added += seconds
        await asyncio.sleep(0)


class Reaper:
    """The step hook: counts the steps once it is armed, and kills the process at its point."""

    def __init__(self, point: Point | None, *, is_armed: bool) -> None:
        self._point = point
        self.is_armed = is_armed
        self.steps: list[str] = []
        self._begun: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()

    def __call__(self, step: str, moment: str) -> None:
        if not self.is_armed:
            return
        counts = self._begun if moment == "before" else self._ended
        if moment == "after" and self._ended[step] >= self._begun[step]:
            return  # it began before we counted
        counts[step] += 1
        if moment == "before":
            self.steps.append(f"{step}#{counts[step]}")
        if self._point == Point(step, counts[step], moment):
            os.kill(os.getpid(), signal.SIGKILL)


class Driven:
    """The application, and what a test may ask of its process."""

    def __init__(self, app: FastAPI, reaper: Reaper) -> None:
        self._app = app
        self._reaper = reaper

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(DRIVE):
            await self._app(scope, receive, send)
            return
        answer = await self._obey(scope["path"].removeprefix(DRIVE))
        body = json.dumps(answer).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _obey(self, what: str) -> dict[str, Any]:
        ctx = self._app.state.context
        match what:
            case "arm":
                self._reaper.is_armed = True
            case "work":
                await worker.work_once(ctx)
                await ctx.background.drain()
            case "drain":
                await ctx.background.drain()
            case "backfill_events":
                await _backfill_events(ctx)
            case "resend_events":
                inbox = Inbox(ctx.db, ctx.clock)
                await inbox.resend_all_set_aside()
                for event in await inbox.list_latest(None, 1):
                    await inbox.resend(event.id)
            case "backfill_customers":
                await backfill_customers(
                    ctx.settings,
                    per_second=1000,
                    is_dry_run=False,
                    report=lambda _counts: None,
                    stop=asyncio.Event(),
                )
            case "erase_user":
                await erase_user(ctx, ERASED_USER, is_sure=True)
            case "mark":
                await restore.mark(ctx)
            case "reconcile":
                await _reconcile(ctx)
            case "steps":
                return {"steps": self._reaper.steps}
            case _:
                raise ValueError(what)
        return {}


async def _backfill_events(ctx: Context) -> None:
    """`paidonce events backfill`, on the clock of the run: what it brings is due now."""
    since = ctx.clock.now() - timedelta(days=1)
    stop = asyncio.Event()
    await EventsBackfill(ctx, since=since, report=lambda _counts: None, stop=stop).run()


async def _reconcile(ctx: Context) -> None:
    """`paidonce reconcile --fix`, on the clock of the run."""
    scratch = Scratch()
    try:
        await Reconcile(
            ctx,
            scratch,
            window=Window(),
            show=lambda _finding: None,
            stop=asyncio.Event(),
            fixer=Fixer(ctx),
        ).run()
        await ctx.background.drain()
    finally:
        scratch.close()


class Life:
    """A running process; `port` is None when it died before it was ready."""

    def __init__(
        self,
        app: FastAPI,
        point: Point | None,
        *,
        is_armed: bool,
        log: Path,
        checks_first: Settings | None = None,
    ) -> None:
        """`checks_first`: do what `paidonce serve` does before it listens, with these settings."""
        reader, writer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_service(
                app, Reaper(point, is_armed=is_armed), writer, log, parent, checks_first
            )
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        self.port = int(said) if said else None

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def wait(self) -> bool:
        """Wait for its end; whether that was SIGKILL."""
        _, status = os.waitpid(self.pid, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


class _Server(uvicorn.Server):
    def __init__(self, app: Driven, on_ready: Callable[[], None]) -> None:
        super().__init__(uvicorn.Config(app, lifespan="on", **UVICORN_OPTIONS))
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()


def warm_up(app: FastAPI, use: Callable[[int], None]) -> None:
    """Run the service once in this process, a thread beside `use(port)`: what it loads and builds
    at first use need not be loaded by every process forked from this one. The thread ends."""
    listener = _listen()
    is_ready = threading.Event()
    server = _Server(Driven(app, Reaper(None, is_armed=False)), is_ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        if not is_ready.wait(READY_SECONDS):
            raise RuntimeError("the service did not start")
        use(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _be_the_service(
    app: FastAPI,
    reaper: Reaper,
    pipe: int,
    log: Path,
    parent: int,
    checks_first: Settings | None,
) -> None:
    """The child's whole life; never returns."""
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        set_step_hook(reaper)
        restore.MARK_SECONDS = NEVER  # when its time has come is said by the flow
        _take_turns()
        listener = _listen()
        watch: list[asyncio.Task[None]] = []

        def say_port() -> None:
            os.write(pipe, str(listener.getsockname()[1]).encode())
            os.close(pipe)
            watch.append(asyncio.create_task(_end_with(parent)))

        if checks_first is not None:
            asyncio.run(preflight(checks_first))
        _Server(Driven(app, reaper), say_port).run(sockets=[listener])
    finally:
        os._exit(1)


def _take_turns() -> None:
    """What would go on side by side goes one after the other: which of two answers of Stripe's
    comes first would be chance, and with it what is left to do after a death."""
    backfill.MOST_AT_ONCE = 1
    asyncio.gather = _in_turn  # type: ignore[assignment]


async def _in_turn(*works: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """As `asyncio.gather`, whose place it takes."""
    results: list[Any] = []
    for work in works:
        try:
            results.append(await work)
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
    return results


async def _end_with(parent: int) -> None:
    """No process outlives the run that made it."""
    while os.getppid() == parent:
        await asyncio.sleep(1)
    os._exit(1)
