"""Stripe, and the way to it: the real simulator on virtual time, and a transport for the real SDK
that loses, delays, doubles and refuses.

A request that its caller has given up may still arrive: that is what a server that trusts its own
timeout overlooks.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import stripe

from paidonce.gateway.transport import NeverSent, call_timeout_seconds
from proof.chaos.loop import HERE, Machine, SeededLoop
from proof.chaos.world import BEGINNING, World
from stripesim.app import App, build_app
from stripesim.clock import Clock
from stripesim.config import Config

SECRET_KEY = "sk_test_chaos"
PUBLISHABLE_KEY = "pk_test_chaos"
WEBHOOK_SECRET = "whsec_of_the_chaos"
HOST = "http://stripe.invalid"
Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
LATE_SECONDS = ((0.55, 0.05, 10), (0.85, 10, 120), (1.0, 120, 1500))


class StripeSide:
    """The simulator, and everything that is on its way to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app: App = build_app(
            Config(
                seed=world.seed, webhook_url="http://shop.invalid", webhook_secret=WEBHOOK_SECRET
            ),
            Clock(real=lambda: BEGINNING.timestamp() + world.loop.time()),
        )
        self._faults = self.app.gate._faults
        self._dice = world.dice("to stripe")
        self.under_way = 0
        self.outages: list[tuple[float, float, str]] = []
        self._cursed: set[str] = set()

    # --- for the outside: at once and without faults

    def get(self, path: str) -> Json:
        return self._at_once("GET", path, b"", {"authorization": f"Bearer {SECRET_KEY}"})

    def by_hand(self, method: str, path: str) -> Json:
        """What a person does at the Dashboard."""
        return self._at_once(method, path, b"", {"authorization": f"Bearer {SECRET_KEY}"})

    def app_post(self, path: str, form: Json) -> Json:
        """What the app's own SDK does, with the publishable key. Errors come as `{"error": …}`."""
        headers = {
            "authorization": f"Bearer {PUBLISHABLE_KEY}",
            "content-type": "application/x-www-form-urlencoded",
        }
        return self._at_once("POST", path, urlencode(form).encode(), headers)

    def authenticate(self, intent_id: str, outcome: str) -> Json:
        """A button of the challenge page."""
        path = f"/_sim/payment_intents/{intent_id}/authenticate"
        return self._at_once("POST", path, json.dumps({"outcome": outcome}).encode(), {})

    def _at_once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Json:
        self._faults.clear()
        work = _call_asgi(self.app, method, path, headers, body)
        try:
            work.send(None)
        except StopIteration as done:
            found: Json = json.loads(done.value[2])
            return found
        raise RuntimeError("the simulator waits for something")

    # --- for the service: over the network

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any
    ) -> Answer:
        """Raises NeverSent or stripe.APIConnectionError, as the real transport does."""
        world, loop, dice = self.world, self.world.loop, self._dice
        timeout = call_timeout_seconds.get()
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        machine = HERE.get()
        who = machine.name if machine else "?"
        if machine is not None:
            await stand_still(machine, loop)
        fate = self._fate(headers.get("Idempotency-Key", ""))
        world.counts["stripe calls"] += 1
        told = f"{method} {parts.path} {headers.get('Idempotency-Key', '')}"
        world.note(who, f"stripe> {told} {fate or ''}".rstrip())
        answer: asyncio.Future[Answer] = loop.create_future()
        call = _Call(self, method, path, {k.lower(): v for k, v in headers.items()}, body, answer)
        fails_after = self._send(call, fate, timeout, dice)
        if fails_after is not None:
            loop.call_later(fails_after, _fail, answer, fate == "never_sent", context=Context())
        try:
            status, answered, content = await answer
        except stripe.APIConnectionError as error:
            world.note(who, f"stripe< {told} {type(error).__name__}")
            raise
        world.note(who, f"stripe< {told} {status} {_summary(content)}")
        return status, answered, content

    def _fate(self, key: str) -> str | None:
        """What becomes of a call. Who was unlucky with a key is likely to be so with it again:
        three lost answers in a row are what an unknown outcome is made of."""
        now, dice = self.world.loop.time(), self._dice
        for begin, end, kind in self.outages:
            if begin <= now < end:
                return kind
        chances = self.world.weather.to_stripe
        found = next((kind for kind, chance in chances.items() if dice.random() < chance), None)
        if found is None and key in self._cursed and chances and dice.random() < 0.5:
            found = dice.choice(list(chances))
        if found is not None:
            self.world.strikes(f"stripe {found}")
            if dice.random() < 0.6:
                self._cursed.add(key)
        return found

    def _send(
        self, call: "_Call", fate: str | None, timeout: float, dice: random.Random
    ) -> float | None:
        """Start what the network does; after how many seconds the caller sees it fail, if so."""
        there, back = dice.uniform(0.01, 0.2), dice.uniform(0.01, 0.2)
        gives_up = timeout if dice.random() < 0.6 else dice.uniform(0.05, timeout)
        match fate:
            case "never_sent":
                return min(timeout, dice.uniform(0.0, 3.0))
            case "lost_request":
                return gives_up
            case "lost_answer":
                call.arrive(there, None)
                return max(gives_up, there)
            case "late_request":
                call.arrive(gives_up + late_seconds(dice), None)
                return gives_up
            case "duplicate":
                call.arrive(there, back)
                call.arrive(there + late_seconds(dice), None)
            case "slow":
                call.arrive(dice.uniform(0.5, 14), dice.uniform(0.01, 4))
            case "latency" | "error_before" | "error_after" | "rate_limit" | "lock_timeout":
                call.arrive(there, back, fate)
            case "key_in_use" | "bad_gateway_html":
                call.arrive(there, back, fate)
            case _:
                call.arrive(there, back)
        return timeout


class _Call:
    """One request on the wire."""

    def __init__(
        self,
        side: StripeSide,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        answer: "asyncio.Future[Answer]",
    ) -> None:
        self._side, self._answer = side, answer
        self._request = (method, path, headers, body)

    def arrive(self, there: float, back: float | None, fault: str | None = None) -> None:
        """Reach the simulator in `there` seconds; the answer takes `back`, or is lost."""
        self._side.under_way += 1
        loop = self._side.world.loop
        loop.call_later(there, self._start, back, fault, context=Context())

    def _start(self, back: float | None, fault: str | None) -> None:
        self._side.world.loop.spawn(None, self._execute(back, fault))

    async def _execute(self, back: float | None, fault: str | None) -> None:
        side = self._side
        try:
            side._faults.clear()
            if fault is not None:
                dice = side._dice
                rule: Json = {"kind": fault, "seconds": dice.uniform(0.3, 12)}
                if fault.startswith("error"):
                    rule["status"] = dice.choice([500, 500, 502, 503])
                side._faults.add({"match": {"times": 1}, "fault": rule})
            found = await _call_asgi(side.app, *self._request)
            if back is None:
                method, path, headers, _ = self._request
                key = headers.get("idempotency-key", "")
                side.world.note(
                    "stripe", f"unheard {method} {path} {key} {found[0]} {_summary(found[2])}"
                )
                return
            side.world.loop.call_later(back, _answer, self._answer, found, context=Context())
        finally:
            side.under_way -= 1


class Transport(stripe.HTTPClient):
    """Under the official SDK, in the place of aiohttp."""

    name = "chaos"

    def __init__(self, side: StripeSide) -> None:
        super().__init__()
        self._side = side

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        status, answered, content = await self._side.request(
            method.upper(), url, headers, post_data
        )
        return content, status, answered

    def request(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this transport is for async calls")

    async def sleep_async(self, secs: float) -> None:
        raise AssertionError("the SDK retries nothing")

    def close(self) -> None:
        """Nothing is open."""

    async def close_async(self) -> None:
        """Nothing is open."""


def late_seconds(dice: random.Random) -> float:
    """Mostly a moment, sometimes minutes; below the hour that the service allows for a create."""
    share = dice.random()
    for most, low, high in LATE_SECONDS:
        if share < most:
            return dice.uniform(low, high)
    return 1.0


async def _call_asgi(
    app: Callable[..., Any], method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    return await call_asgi(app, method, path, headers, body)


async def call_asgi(
    app: Callable[..., Any], method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """One request to an ASGI app; status, headers and the whole body."""
    parts = urlsplit(path)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("shop.invalid", 80),
        "extensions": {},
    }
    told: Json = {"status": 0, "headers": {}, "body": b""}
    is_read = False

    async def receive() -> Json:
        nonlocal is_read
        if is_read:
            return {"type": "http.disconnect"}
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told["status"] = message["status"]
            told["headers"] = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            told["body"] += message.get("body", b"")

    await app(scope, receive, send)
    return told["status"], told["headers"], told["body"]


async def stand_still(machine: Machine, loop: SeededLoop) -> None:
    """A machine that has just died or stopped at a step sends nothing; a stopped one does later."""
    if machine.is_dead:
        await loop.create_future()
    if machine.frozen_until > loop.time():
        await asyncio.sleep(0)


def _answer(future: "asyncio.Future[Answer]", found: Answer) -> None:
    if not future.done():
        future.set_result(found)


def _fail(future: "asyncio.Future[Answer]", is_unsent: bool) -> None:
    if not future.done():
        kind = NeverSent if is_unsent else stripe.APIConnectionError
        future.set_exception(kind("the call to Stripe failed"))  # type: ignore[no-untyped-call]
        future.exception()  # its caller may be dead


def _summary(content: bytes) -> str:
    """Enough to read a history by, and no secret."""
    try:
        found = json.loads(content)
    except ValueError:
        return "(no JSON)"
    if "error" in found:
        error = found["error"]
        return f"{error.get('type')} {error.get('code') or error.get('message', '')[:60]}"
    return f"{found.get('id', found.get('object'))} {found.get('status', '')}".rstrip()
