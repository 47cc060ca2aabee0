"""One API request: key, route, idempotency, parameters, the call itself, and the log.

Everything from the transaction's begin to its commit runs without an await, so requests are
executed one after the other and the store is never seen half-written.
"""

import hashlib
import json
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from stripesim import guesses
from stripesim.control.faults import Fault
from stripesim.control.recent import Recent
from stripesim.control.redact import redacted, redacted_text
from stripesim.http import Answer, Request
from stripesim.ids import ACCOUNT_ID
from stripesim.objects import charges, clients, direct_charges, disputes, ephemeral_keys, refunds
from stripesim.objects.payment_intents import settle
from stripesim.routes import Route, Router
from stripesim.store.journal import SavedAnswer
from stripesim.store.outgoing import Timer
from stripesim.wire import expand, forms, included, keys, params, versions
from stripesim.wire.errors import StripeError
from stripesim.world import Call, World

Json = dict[str, Any]
KEY_LIFETIME_SECONDS = 24 * 3600
LONGEST_KEY = 255
API_ERROR_MESSAGE = (
    "Error while communicating with one of our backends.  Sorry about that!  We have been notified "
    "of the problem.  If you have any questions, we can help at https://support.stripe.com/."
)
OTHER_PARAMS = (
    "Keys for idempotent requests can only be used with the same parameters they were first used "
    "with. Try using a key other than '{key}' if you meant to execute a different request."
)
OTHER_ENDPOINT = (
    "Keys for idempotent requests can only be used for the same endpoint they were first used for "
    "('{now}' vs '{first}'). Try using a key other than '{key}' if you meant to execute a different"
    " request."
)
TIMER_ACTIONS = {
    settle.EXPIRE_AUTHORIZATION: settle.expire_authorization,
    direct_charges.EXPIRE_CHARGE: direct_charges.expire,
    refunds.SETTLE: refunds.settle,
    refunds.FAIL: refunds.fail,
    refunds.NAME: refunds.name,
    charges.LAND_BALANCE: charges.land_balance,
    disputes.DECIDE: disputes.decide,
    disputes.PASS_DEADLINE: disputes.pass_deadline,
    disputes.END_INQUIRY: disputes.end_inquiry,
}


@dataclass
class Outcome:
    """What executing a request came to."""

    status: int
    body: str
    error_code: str | None = None
    is_executed: bool = False
    replay_of: str | None = None
    headers: dict[str, str] | None = None


class Api:
    """Executes API requests on one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.recent = Recent()
        self._router = Router()

    def execute(self, request: Request, fault: Fault | None = None) -> Answer:
        """One transaction, committed before this returns. Never raises for a bad request."""
        self.run_timers()
        call = self._new_call(request)
        call.is_balance_low = fault is not None and fault.kind == "insufficient_balance"
        raw: Json = {}
        with self.world.database.transaction():
            self.world.database.savepoint()
            try:
                raw = self._read_params(request)
                outcome = self._run(call, request, raw, fault)
                self.world.database.keep_work()
            except StripeError as error:
                self._end_work(keeps=error.keeps_writes)
                outcome = self._error_outcome(call, error)
            except Exception:  # noqa: BLE001  a bug of ours answers like Stripe's own
                traceback.print_exc(file=sys.stderr)
                self._end_work(keeps=False)
                outcome = self._error_outcome(call, api_error(500))
            if fault and fault.kind == "error_after" and not outcome.replay_of:
                outcome = self._error_outcome(call, api_error(fault.status or 500))
                outcome.is_executed = True
            self._finish(call, request, raw, outcome, fault)
        return self._answer(call, request, outcome)

    def refuse(self, request: Request, error: StripeError, fault: Fault | None) -> Answer:
        """Answer without executing; nothing is saved under the key."""
        call = self._new_call(request)
        outcome = self._error_outcome(call, error)
        with self.world.database.transaction():
            self._finish(call, request, self._loggable(request), outcome, fault)
        return self._answer(call, request, outcome)

    def log_cut(self, request: Request, fault: Fault) -> None:
        """The connection is cut before anything is executed."""
        call = self._new_call(request)
        with self.world.database.transaction():
            self._log(call, request, self._loggable(request), None, fault)

    def run_timers(self) -> None:
        """What fell due on the simulator's clock happens now, once, even where it fails."""
        due_at = self.world.timers.next_due_at()
        if due_at is None or due_at > self.world.clock.now():
            return
        with self.world.database.transaction():
            while timer := self.world.timers.take_due(self.world.clock.now()):
                self._run_timer(timer)

    def _run_timer(self, timer: Timer) -> None:
        self.world.database.savepoint()
        try:
            TIMER_ACTIONS[timer.action](self.call_of_time(), timer.subject)
            self.world.database.keep_work()
        except Exception:  # noqa: BLE001  a bug of ours stops neither the clock nor the server
            traceback.print_exc(file=sys.stderr)
            self._end_work(keeps=False)

    def call_of_time(self) -> Call:
        """The context of something that no API request caused."""
        return Call(world=self.world, now=int(self.world.clock.now()))

    def _new_call(self, request: Request) -> Call:
        return Call(
            world=self.world,
            now=int(self.world.clock.now()),
            request_id=self.world.ids.short("req"),
            idempotency_key=idempotency_key(request),
            base_url=request.base_url,
            client_ip=request.client_ip,
        )

    def _read_params(self, request: Request) -> Json:
        text = request.query
        if request.method == "POST" and request.body:
            content_type = request.headers.get("content-type", "")
            if content_type and "x-www-form-urlencoded" not in content_type:
                raise StripeError(400, guesses.NOT_A_FORM_MESSAGE)
            body = request.body.decode("utf-8", "replace")
            text = f"{text}&{body}" if text else body
        try:
            return forms.decode(text)
        except ValueError as error:
            raise StripeError(400, guesses.TOO_MANY_PARAMETERS_MESSAGE) from error

    def _loggable(self, request: Request) -> Json:
        try:
            return self._read_params(request)
        except StripeError:
            return {}

    def _run(self, call: Call, request: Request, raw: Json, fault: Fault | None) -> Outcome:
        key = keys.read_key(request.headers.get("authorization"), raw.get("key"))
        call.is_publishable = key.is_publishable
        call.is_of_server = not key.is_publishable and key.ephemeral is None
        if key.ephemeral:
            ephemeral_keys.authenticate(call, key.ephemeral)
        found = self._router.find(request.method, request.path)
        if found is None:
            raise unrecognized_url(request)
        version = request.headers.get("stripe-version")
        call.names_version = bool(version)
        if version or not key.ephemeral:
            call.version = versions.read_version(version)
        route, ids = found
        if key.ephemeral:
            ephemeral_keys.authorize(call, route.name, ids, raw, key.ephemeral)
        if key.is_publishable and not route.allows_publishable:
            raise keys.secret_key_required()
        key.check_permission(request.method, request.path)
        saved = self._saved_outcome(call, request, raw)
        if saved is None and fault and fault.kind == "error_saved":
            # Documented (docs.stripe.com/api/idempotent_requests): a 500 is saved like any answer.
            raise api_error(fault.status or 500, is_executed=True)
        return saved or self._execute(call, route, ids, raw)

    def _saved_outcome(self, call: Call, request: Request, raw: Json) -> Outcome | None:
        """The first answer under this key again. Raises StripeError 400 on another request."""
        key = call.idempotency_key
        if not key:
            return None
        if len(key) > LONGEST_KEY:
            raise StripeError(400, guesses.KEY_TOO_LONG_MESSAGE.format(longest=LONGEST_KEY))
        not_before = self.world.clock.now() - KEY_LIFETIME_SECONDS
        saved = self.world.journal.saved_answer(key, not_before)
        if saved is None:
            return None
        if (saved.method, saved.path) != (request.method, request.path):
            message = OTHER_ENDPOINT.format(now=request.path, first=saved.path, key=key)
            raise StripeError(400, message, type="idempotency_error")
        if saved.fingerprint != fingerprint(raw):
            raise StripeError(400, OTHER_PARAMS.format(key=key), type="idempotency_error")
        error = json.loads(saved.body).get("error") if saved.status >= 400 else None
        return Outcome(
            saved.status,
            saved.body,
            error_code=(error or {}).get("code"),
            replay_of=saved.request_id,
        )

    def _execute(self, call: Call, route: Route, ids: list[str], raw: Json) -> Outcome:
        typed = params.check(route.name, raw, from_client_library=call.is_client)
        wanted = typed.pop("expand", None) or []
        result = route.handler(call, typed, *ids)
        included.include_for_version(call, result)
        if wanted:
            expand.expand(call, result, wanted)
        body = json.dumps(
            versions.render(result, call.version, self.world.config.fields_as_of),
            separators=(",", ":"),
        )
        return Outcome(200, body, is_executed=route.name.startswith("POST"))

    def _end_work(self, *, keeps: bool) -> None:
        if keeps:
            self.world.database.keep_work()
        else:
            self.world.database.undo_work()
            self.world.forget_endpoints()

    def _error_outcome(self, call: Call, error: StripeError) -> Outcome:
        fields = clients.shown_in_error(call, error.fields())
        included.include_for_version(call, fields)
        if error.status != 401 and error.is_logged:
            fields["request_log_url"] = (
                f"https://dashboard.stripe.com/{ACCOUNT_ID}/test/workbench/logs"
                f"?object={call.request_id}"
            )
        fields = versions.render_error(fields, call.version, self.world.config.fields_as_of)
        fields = {name: fields[name] for name in sorted(fields)}
        return Outcome(
            error.status,
            json.dumps({"error": fields}, separators=(",", ":")),
            error_code=error.code,
            is_executed=error.is_executed,
            headers=error.headers,
        )

    def _finish(
        self, call: Call, request: Request, raw: Json, outcome: Outcome, fault: Fault | None
    ) -> None:
        if call.idempotency_key and outcome.is_executed and not outcome.replay_of:
            self.world.journal.save_answer(
                call.idempotency_key,
                self.world.clock.now(),
                SavedAnswer(
                    request.method,
                    request.path,
                    fingerprint(raw),
                    str(call.request_id),
                    outcome.status,
                    outcome.body,
                ),
            )
        self._log(call, request, raw, outcome, fault)

    def _log(
        self,
        call: Call,
        request: Request,
        raw: Json,
        outcome: Outcome | None,
        fault: Fault | None,
    ) -> None:
        self.world.journal.log_request(
            at=self.world.clock.now(),
            request_id=str(call.request_id),
            method=request.method,
            path=redacted_text(request.path),
            params=redacted(raw),
            idempotency_key=redacted_text(call.idempotency_key) if call.idempotency_key else None,
            status=outcome.status if outcome else None,
            error_code=outcome.error_code if outcome else None,
            replayed=bool(outcome and outcome.replay_of),
            fault=fault.kind if fault else None,
        )

    def _answer(self, call: Call, request: Request, outcome: Outcome) -> Answer:
        """Recorded: `Stripe-Should-Retry: false` stands on answers that are saved."""
        headers = {"Cache-Control": "no-cache, no-store"}
        if outcome.status != 401:
            headers["Request-Id"] = str(call.request_id)
            headers["Stripe-Version"] = call.version
        if call.idempotency_key:
            headers["Idempotency-Key"] = call.idempotency_key.encode("ascii", "replace").decode()
            headers["Original-Request"] = outcome.replay_of or str(call.request_id)
        if outcome.replay_of:
            headers["Idempotent-Replayed"] = "true"
        if outcome.is_executed or outcome.replay_of:
            headers["Stripe-Should-Retry"] = "false"
        headers.update(outcome.headers or {})
        if not call.is_of_server:
            headers.update(cors_headers(request))
        answer = Answer(outcome.status, outcome.body.encode(), headers)
        self.recent.note(str(call.request_id), request, answer)
        return answer


def idempotency_key(request: Request) -> str | None:
    return request.headers.get("idempotency-key") if request.method == "POST" else None


def fingerprint(raw: Json) -> str:
    """Equal for requests with the same parameters in any order."""
    text = json.dumps(raw, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def unrecognized_url(request: Request) -> StripeError:
    """Recorded (pay-rails/pay, 2020-08-27): a path that ends with a slash gets more advice."""
    advice = (
        "If you are trying to list objects, remove the trailing slash. If you are trying to "
        "retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
    )
    return StripeError(
        404,
        f"Unrecognized request URL ({request.method}: {request.path}). "
        f"{advice if request.path.endswith('/') else ''}Please see "
        "https://stripe.com/docs or we can help at https://support.stripe.com/.",
    )


def api_error(status: int, *, is_executed: bool = False) -> StripeError:
    return StripeError(status, API_ERROR_MESSAGE, type="api_error", is_executed=is_executed)


def cors_headers(request: Request) -> dict[str, str]:
    """Browsers call with the publishable key from any page.

    An answer to a secret key has none of these, so that no page a developer looks at can read the
    store of the simulator on his machine with a key made up.
    """
    if "origin" not in request.headers:
        return {}
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
        "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "*"),
        "Access-Control-Expose-Headers": (
            "Request-Id, Stripe-Manage-Version, Stripe-Should-Retry, Idempotent-Replayed, "
            "Original-Request"
        ),
        "Access-Control-Max-Age": "300",
        "Vary": "Origin",
    }


def preflight_answer(request: Request) -> Answer:
    return Answer(200, b"", cors_headers(request))
