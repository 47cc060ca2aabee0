"""`/_sim/…`: JSON in, JSON out; loopback only unless a token is set."""

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from stripesim.api import Api
from stripesim.control.faults import BadFault, Faults
from stripesim.delivery import Courier
from stripesim.http import (
    Answer,
    Receive,
    Request,
    Scope,
    Send,
    json_answer,
    read_request,
    send_answer,
)
from stripesim.objects.payment_intents.authenticate import ChallengeIsOver, authenticate
from stripesim.wire.versions import render
from stripesim.world import WebhookSettings, World

Json = dict[str, Any]
MODES = ("deliver", "pause", "drop")
FURTHEST_ADVANCE = 10 * 366 * 24 * 3600  # ten years at once
MOST_COPIES = 100
OUTCOMES = ("success", "fail", "again")
INTENT_PREFIX, INTENT_SUFFIX = "/_sim/payment_intents/", "/authenticate"


class BadControl(Exception):
    """The call cannot be understood: `status` and the text that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlPlane:
    """What tests and people do to the simulator itself."""

    def __init__(self, world: World, api: Api, faults: Faults, courier: Courier) -> None:
        self._world = world
        self._api = api
        self._faults = faults
        self._courier = courier
        self._calls: dict[tuple[str, str], Callable[[Request, Json], Awaitable[Json]]] = {
            ("GET", "/_sim/health"): self._health,
            ("POST", "/_sim/reset"): self._reset,
            ("GET", "/_sim/audit"): self._audit,
            ("GET", "/_sim/requests"): self._requests,
            ("GET", "/_sim/faults"): self._list_faults,
            ("POST", "/_sim/faults"): self._add_fault,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("GET", "/_sim/clock"): self._clock,
            ("POST", "/_sim/clock"): self._advance,
            ("GET", "/_sim/webhooks"): self._show_webhooks,
            ("POST", "/_sim/webhooks"): self._set_webhooks,
            ("POST", "/_sim/webhooks/flush"): self._flush,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive)
        try:
            self._check_access(request)
            answer = await self._answer(request)
        except BadControl as error:
            answer = json_answer(error.status, {"error": {"message": str(error)}})
        except BadFault as error:
            answer = json_answer(400, {"error": {"message": str(error)}})
        await send_answer(send, answer)

    def _check_access(self, request: Request) -> None:
        token = self._world.config.control_token
        if token:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {token}".encode()):
                raise BadControl(401, "the control plane needs its token as Bearer")
            return
        if not _is_loopback(request.client_ip):
            raise BadControl(403, "the control plane is open to this machine only; set a token")

    async def _answer(self, request: Request) -> Answer:
        body = _read_json(request)
        if request.path.startswith(INTENT_PREFIX) and request.path.endswith(INTENT_SUFFIX):
            if request.method != "POST":
                raise BadControl(405, "use POST")
            return json_answer(200, self._authenticate(request, body))
        call = self._calls.get((request.method, request.path))
        if call is None:
            known = any(path == request.path for _, path in self._calls)
            raise BadControl(405 if known else 404, "no such call of the control plane")
        return json_answer(200, await call(request, body))

    async def _health(self, request: Request, body: Json) -> Json:
        del request, body
        return {"status": "ready"}

    async def _reset(self, request: Request, body: Json) -> Json:
        del request, body
        self._faults.clear()
        self._world.reset()
        await self._courier.begin_anew()
        return {"status": "empty"}

    async def _audit(self, request: Request, body: Json) -> Json:
        del body
        return self._world.ledger.audit(_query(request, "group_by"))

    async def _requests(self, request: Request, body: Json) -> Json:
        del body
        after = _query(request, "after") or "0"
        if not (after.isdecimal() and after.isascii() and len(after) <= 18):
            raise BadControl(400, "after has to be a number")
        return {"requests": self._world.journal.list_requests(int(after))}

    async def _list_faults(self, request: Request, body: Json) -> Json:
        del request, body
        return {"faults": [rule.shown() for rule in self._faults.rules]}

    async def _add_fault(self, request: Request, body: Json) -> Json:
        self._faults.add(body)
        return await self._list_faults(request, body)

    async def _clear_faults(self, request: Request, body: Json) -> Json:
        self._faults.clear()
        return await self._list_faults(request, body)

    async def _clock(self, request: Request, body: Json) -> Json:
        del request, body
        clock = self._world.clock
        return {"now": int(clock.now()), "advanced_seconds": clock.advanced_seconds}

    async def _advance(self, request: Request, body: Json) -> Json:
        if "advance_seconds" not in body:
            raise BadControl(400, "advance_seconds is missing")
        seconds = _number(body, "advance_seconds", 0, most=FURTHEST_ADVANCE)
        self._world.advance(seconds)
        self._api.run_timers()
        self._courier.wake()
        return await self._clock(request, body)

    async def _show_webhooks(self, request: Request, body: Json) -> Json:
        del request, body
        settings = self._world.webhooks
        return {
            "mode": settings.mode,
            "duplicate": settings.duplicate,
            "shuffle": settings.shuffle,
            "delay_seconds": settings.delay_seconds,
            "seed": settings.seed,
            "endpoints": [e["url"] for e in self._world.enabled_endpoints()],
            "pending": self._world.deliveries.pending(),
        }

    async def _set_webhooks(self, request: Request, body: Json) -> Json:
        settings = self._world.webhooks
        if body.get("mode", settings.mode) not in MODES:
            raise BadControl(400, f"mode has to be one of {', '.join(MODES)}")
        if not isinstance(body.get("shuffle", settings.shuffle), bool):
            raise BadControl(400, "shuffle has to be true or false")
        url = str(body.get("url") or "")
        if url and not url.startswith(("http://", "https://")):
            raise BadControl(400, "url has to begin with http:// or https://")
        seed = body.get("seed", settings.seed)
        self._world.webhooks = WebhookSettings(
            mode=body.get("mode", settings.mode),
            duplicate=int(_number(body, "duplicate", settings.duplicate, most=MOST_COPIES)),
            shuffle=body.get("shuffle", settings.shuffle),
            delay_seconds=_number(
                body, "delay_seconds", settings.delay_seconds, most=FURTHEST_ADVANCE
            ),
            seed=None if seed is None else int(_number({"seed": seed}, "seed", 0)),
        )
        if "url" in body:
            self._world.set_webhook_target(url, str(body.get("secret") or ""))
        self._courier.wake()
        return await self._show_webhooks(request, body)

    async def _flush(self, request: Request, body: Json) -> Json:
        del request, body
        return await self._courier.flush()

    def _authenticate(self, request: Request, body: Json) -> Json:
        outcome = body.get("outcome")
        if outcome not in OUTCOMES:
            raise BadControl(400, f"outcome has to be one of {', '.join(OUTCOMES)}")
        intent_id = request.path.removeprefix(INTENT_PREFIX).removesuffix(INTENT_SUFFIX)
        intent = self._world.objects.get("payment_intent", intent_id)
        if intent is None:
            raise BadControl(404, f"no such payment_intent: {intent_id}")
        try:
            with self._world.database.transaction():
                authenticate(
                    self._api.call_of_time(),
                    intent,
                    None,
                    is_passed=outcome != "fail",
                    is_asked_again=outcome == "again",
                )
        except ChallengeIsOver:
            raise BadControl(409, "no authentication is pending") from None
        rendered: Json = render(intent)
        return rendered


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _read_json(request: Request) -> Json:
    if not request.body:
        return {}
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise BadControl(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadControl(400, "the body has to be an object")
    return body


def _query(request: Request, name: str) -> str | None:
    values = parse_qs(request.query).get(name)
    return values[0] if values else None


def _number(body: Json, name: str, default: float, *, most: float = 2**53) -> float:
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most:  # not-a-number compares false too
        raise BadControl(400, f"{name} has to be a number from 0 to {most:g}")
    return float(value)
