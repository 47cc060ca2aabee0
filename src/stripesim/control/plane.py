"""`/_sim/…`: JSON in, JSON out, and the page; loopback only unless a token is set."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from stripesim.api import Api
from stripesim.control.access import Refused, check_access
from stripesim.control.faults import KINDS, BadFault, Faults
from stripesim.control.page import is_of_page, page_file
from stripesim.control.views import Views
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
from stripesim.objects.authentication import ChallengeIsOver, decide
from stripesim.wire.versions import render
from stripesim.world import WebhookSettings, World

Json = dict[str, Any]
MODES = ("deliver", "pause", "drop")
FURTHEST_ADVANCE = 10 * 366 * 24 * 3600  # ten years at once
MOST_COPIES = 100
OUTCOMES = ("success", "fail", "again")
PAGE_OF_LIST = 25
LARGEST_PAGE = 1000
ID = "{id}"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


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
        self._views = Views(world, api, faults)
        self._calls: dict[tuple[str, str], Callable[[Request, Json], Awaitable[Json]]] = {
            ("GET", "/_sim/health"): self._health,
            ("POST", "/_sim/reset"): self._reset,
            ("GET", "/_sim/audit"): self._audit,
            ("GET", "/_sim/state"): self._state,
            ("GET", "/_sim/requests"): self._requests,
            ("GET", "/_sim/requests/{id}"): self._request,
            ("GET", "/_sim/objects"): self._objects,
            ("GET", "/_sim/objects/{id}"): self._object,
            ("GET", "/_sim/events"): self._events,
            ("POST", "/_sim/events/{id}/resend"): self._resend,
            ("GET", "/_sim/challenges"): self._challenges,
            ("POST", "/_sim/payment_intents/{id}/authenticate"): self._authenticate,
            ("POST", "/_sim/setup_intents/{id}/authenticate"): self._authenticate,
            ("GET", "/_sim/faults"): self._list_faults,
            ("POST", "/_sim/faults"): self._add_fault,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("DELETE", "/_sim/faults/{id}"): self._remove_fault,
            ("GET", "/_sim/clock"): self._clock,
            ("POST", "/_sim/clock"): self._advance,
            ("GET", "/_sim/webhooks"): self._show_webhooks,
            ("POST", "/_sim/webhooks"): self._set_webhooks,
            ("POST", "/_sim/webhooks/flush"): self._flush,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive)
        try:
            is_page = is_of_page(request.method, request.path)
            check_access(request, self._world.config.control_token, is_page=is_page)
            answer = page_file(request.path) if is_page else await self._answer(request)
            if answer is None:
                raise BadControl(404, "no such file of the page")
        except (BadControl, Refused) as error:
            answer = json_answer(error.status, {"error": {"message": str(error)}}, HEADERS)
        except BadFault as error:
            answer = json_answer(400, {"error": {"message": str(error)}}, HEADERS)
        await send_answer(send, answer)

    async def _answer(self, request: Request) -> Answer:
        body = _read_json(request)
        pattern = self._pattern(request.path)
        call = self._calls.get((request.method, pattern))
        if call is None:
            methods = [method for method, path in self._calls if path == pattern]
            if methods:
                raise BadControl(405, f"use {' or '.join(methods)}")
            raise BadControl(404, "no such call of the control plane")
        return json_answer(200, await call(request, body), HEADERS)

    def _pattern(self, path: str) -> str:
        """The path as the table has it: an id can stand behind its kind."""
        if any(known == path for _, known in self._calls):
            return path
        steps = path.split("/")
        return "/".join([*steps[:3], ID, *steps[4:]]) if len(steps) > 3 else path

    async def _health(self, request: Request, body: Json) -> Json:
        del request, body
        return {"status": "ready"}

    async def _reset(self, request: Request, body: Json) -> Json:
        del request, body
        self._faults.clear()
        self._world.reset()
        self._api.recent.clear()
        await self._courier.begin_anew()
        return {"status": "empty"}

    async def _audit(self, request: Request, body: Json) -> Json:
        del body
        return self._world.ledger.audit(_query(request, "group_by"))

    async def _state(self, request: Request, body: Json) -> Json:
        del request, body
        return self._views.state()

    async def _requests(self, request: Request, body: Json) -> Json:
        del body
        last = _whole_number(request, "last")
        if last is not None:
            return {"requests": self._world.journal.last_requests(min(last, LARGEST_PAGE))}
        after, limit = _whole_number(request, "after"), _whole_number(request, "limit")
        return {"requests": self._world.journal.list_requests(after or 0, limit)}

    async def _request(self, request: Request, body: Json) -> Json:
        del body
        seq = _id(request)
        return _found(self._views.request(int(seq)) if _is_whole(seq) else None, "request", seq)

    async def _objects(self, request: Request, body: Json) -> Json:
        del body
        after, kind = self._cursor(request), _query(request, "kind")
        return self._views.objects(kind, after, _page_size(request))

    async def _object(self, request: Request, body: Json) -> Json:
        del body
        return _found(self._views.object(_id(request)), "object", _id(request))

    async def _events(self, request: Request, body: Json) -> Json:
        del body
        return self._views.events(self._cursor(request), _page_size(request))

    async def _resend(self, request: Request, body: Json) -> Json:
        del body
        return _found(self._views.resend(_id(request)), "event", _id(request))

    async def _challenges(self, request: Request, body: Json) -> Json:
        del request, body
        return self._views.challenges()

    def _cursor(self, request: Request) -> str | None:
        after = _query(request, "after")
        if after and self._world.objects.find(after) is None:
            raise BadControl(400, f"after: no such object: {after}")
        return after

    async def _list_faults(self, request: Request, body: Json) -> Json:
        del request, body
        return {"faults": [rule.shown() for rule in self._faults.rules], "kinds": KINDS}

    async def _add_fault(self, request: Request, body: Json) -> Json:
        self._faults.add(body)
        return await self._list_faults(request, body)

    async def _clear_faults(self, request: Request, body: Json) -> Json:
        self._faults.clear()
        return await self._list_faults(request, body)

    async def _remove_fault(self, request: Request, body: Json) -> Json:
        rule_id = _id(request)
        if not (_is_whole(rule_id) and self._faults.remove(int(rule_id))):
            raise BadControl(404, f"no such fault: {rule_id}")
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
            "target": self._world.webhook_target().get("url") or None,
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
        if "seed" in body:
            self._world.roll_webhooks_anew(self._world.webhooks.seed)
        if "url" in body:
            secret = body.get("secret", self._world.webhook_target().get("secret"))
            self._world.set_webhook_target(url, str(secret or ""))
        self._courier.wake()
        return await self._show_webhooks(request, body)

    async def _flush(self, request: Request, body: Json) -> Json:
        del request, body
        return await self._courier.flush()

    async def _authenticate(self, request: Request, body: Json) -> Json:
        outcome = body.get("outcome")
        if outcome not in OUTCOMES:
            raise BadControl(400, f"outcome has to be one of {', '.join(OUTCOMES)}")
        intent_id = _id(request)
        kind = "setup_intent" if intent_id.startswith("seti_") else "payment_intent"
        intent = self._world.objects.get(kind, intent_id)
        if intent is None:
            raise BadControl(404, f"no such {kind}: {intent_id}")
        try:
            with self._world.database.transaction():
                decide(
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


def _read_json(request: Request) -> Json:
    if not request.body:
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadControl(400, "the body is not JSON") from error
    if not isinstance(body, dict):
        raise BadControl(400, "the body has to be an object")
    return body


def _query(request: Request, name: str) -> str | None:
    values = parse_qs(request.query).get(name)
    return values[0] if values else None


def _id(request: Request) -> str:
    """`/_sim/kind/{id}…`"""
    return request.path.split("/")[3]


def _found(value: Json | None, noun: str, wanted: str) -> Json:
    if value is None:
        raise BadControl(404, f"no such {noun}: {wanted}")
    return value


def _is_whole(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 18


def _whole_number(request: Request, name: str) -> int | None:
    text = _query(request, name)
    if text is None:
        return None
    if not _is_whole(text):
        raise BadControl(400, f"{name} has to be a number")
    return int(text)


def _page_size(request: Request) -> int:
    limit = _whole_number(request, "limit")
    return PAGE_OF_LIST if limit is None else max(1, min(limit, LARGEST_PAGE))


def _number(body: Json, name: str, default: float, *, most: float = 2**53) -> float:
    value = body.get(name)
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most:  # not-a-number compares false too
        raise BadControl(400, f"{name} has to be a number from 0 to {most:g}")
    return float(value)
