"""A running simulator for tests: in a thread of this process, or as a real process.

Both offer the control plane as methods (`ControlClient`). Only the standard library is used, so
that importing this is cheap.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from stripesim.config import Config

if TYPE_CHECKING:
    from stripesim.receiver import WebhookInbox

Json = dict[str, Any]
SECRET_KEY = "sk_test_stripesim"  # noqa: S105  every test key means the same account
PUBLISHABLE_KEY = "pk_test_stripesim"
MATCH_FIELDS = {"method", "path", "nth", "times", "probability"}
FAULT_FIELDS = {"seconds", "status", "fields"}
READY_SECONDS = 20
TIMEOUT_SECONDS = 60.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever `http_proxy` says
READY_WORDS = "stripesim ready on "


class ControlError(Exception):
    """The simulator answered a call of these helpers with an error; the text says which."""


class ControlClient:
    """The control plane of the simulator at `url`, and a card as the mobile SDK enters it."""

    def __init__(self, url: str, control_token: str | None = None) -> None:
        self.url = url
        self.secret_key = SECRET_KEY
        self.publishable_key = PUBLISHABLE_KEY
        self._control_token = control_token
        self._timeout_seconds = TIMEOUT_SECONDS

    def within(self, seconds: float) -> "ControlClient":
        """The same simulator, asked with less patience."""
        other = ControlClient(self.url, self._control_token)
        other._timeout_seconds = seconds
        return other

    def health(self) -> Json:
        return self._control("GET", "/_sim/health")

    def reset(self) -> None:
        """Empty the store; faults, clock and webhook settings as after the start."""
        self._control("POST", "/_sim/reset")

    def audit(self, group_by: str | None = None) -> Json:
        """`{"groups": […], "totals": {…}}`, counted from the append-only ledger."""
        query = f"?{urlencode({'group_by': group_by})}" if group_by else ""
        return self._control("GET", f"/_sim/audit{query}")

    def state(self) -> Json:
        """`epoch` (another one after a reset), `last_seq` of the request log, `now`, …"""
        return self._control("GET", "/_sim/state")

    def requests(self, after: int = 0, limit: int | None = None) -> list[Json]:
        """Every API request with `seq` greater than `after`, or the first `limit` of them."""
        bound = "" if limit is None else f"&limit={limit}"
        return self._list(f"/_sim/requests?after={after}{bound}", "requests")

    def last_requests(self, count: int) -> list[Json]:
        """The newest `count` (at most 1,000) API requests, in their order."""
        return self._list(f"/_sim/requests?last={count}", "requests")

    def request(self, seq: int) -> Json:
        """One API request with `request_headers`, `answer_headers` and `answer`, redacted.

        The three are None when it is not among the last requests, which are kept in memory.
        """
        return self._control("GET", f"/_sim/requests/{seq}")

    def objects(self, kind: str, after: str | None = None, limit: int = 25) -> list[Json]:
        """A page of the objects of a kind ("customer"), newest first, behind the id `after`."""
        query = urlencode({"kind": kind, "limit": limit} | ({"after": after} if after else {}))
        return self._list(f"/_sim/objects?{query}", "objects")

    def object(self, object_id: str) -> Json:
        """The object as it is now, whatever its kind; secrets are redacted."""
        return self._control("GET", f"/_sim/objects/{quote(object_id, safe='')}")

    def events(self, after: str | None = None, limit: int = 25) -> list[Json]:
        """A page of the events, newest first, behind the id `after`.

        Each is `{"id", "type", "created", "about": {"id", "object"}, "request", "deliveries"}`, a
        delivery `{"endpoint", "url", "state", "attempts", "due_at", "answered"}` with the state
        "pending", "delivered" or "failed".
        """
        query = urlencode({"limit": limit} | ({"after": after} if after else {}))
        return self._list(f"/_sim/events?{query}", "events")

    def resend_event(self, event_id: str) -> Json:
        """Queue the event once more for every endpoint that wants it; returns it as `events`."""
        return self._control("POST", f"/_sim/events/{quote(event_id, safe='')}/resend")

    def challenges(self) -> list[Json]:
        """The pending 3-D Secure challenges, among the newest 200 intents of each kind."""
        return self._list("/_sim/challenges", "challenges")

    def faults(self) -> list[Json]:
        """The rules: `{"id", "match", "fault", "matched", "struck"}`."""
        return self._list("/_sim/faults", "faults")

    def add_fault(self, *, kind: str, match: Json | None = None, **fault: Any) -> int:
        """`add_fault(kind="drop_response", match={"path": "*/confirm", "nth": 1})`; its id.

        The control plane ignores fields that it does not know; here they are mistakes. Raises
        TypeError.
        """
        unknown = [*(match or {}).keys() - MATCH_FIELDS, *fault.keys() - FAULT_FIELDS]
        if unknown:
            raise TypeError(f"a fault has no {', '.join(sorted(unknown))}")
        rule = {"match": match or {}, "fault": {"kind": kind, **fault}}
        return int(self._control("POST", "/_sim/faults", rule)["faults"][-1]["id"])

    def remove_fault(self, fault_id: int) -> None:
        """Remove one rule; what a `hold` of it held goes on."""
        self._control("DELETE", f"/_sim/faults/{fault_id}")

    def clear_faults(self) -> None:
        """Remove all rules; what a `hold` held goes on."""
        self._control("DELETE", "/_sim/faults")

    def advance_clock(self, seconds: float) -> None:
        self._control("POST", "/_sim/clock", {"advance_seconds": seconds})

    def webhooks(self, **settings: Any) -> Json:
        """Set `mode`, `duplicate`, `shuffle`, `delay_seconds`, `seed`; returns all settings."""
        return self._control("POST", "/_sim/webhooks", settings)

    def set_webhook_target(self, url: str | None, secret: str | None = None) -> None:
        """Send every event there; None stops it."""
        self._control("POST", "/_sim/webhooks", {"url": url, "secret": secret})

    @contextlib.contextmanager
    def receive_webhooks(self) -> Iterator["WebhookInbox"]:
        """Every event until the end of the `with` comes to the inbox, signed and checked.

        `inbox.wait_for("charge.succeeded")` is the delivery, with `.object`, and `.body` and
        `.signature` for the handler under test.
        """
        from stripesim.receiver import WebhookInbox  # noqa: PLC0415  loads a web server

        with WebhookInbox() as inbox:
            self.set_webhook_target(inbox.url, inbox.secret)
            try:
                yield inbox
            finally:
                self.set_webhook_target(None)

    def flush_webhooks(self) -> Json:
        """Send everything pending once, now; `{"delivered", "failed", "pending"}`."""
        return self._control("POST", "/_sim/webhooks/flush")

    def authenticate(self, intent_id: str, outcome: str = "success") -> Json:
        """Press a button of the challenge page: "success" or "fail". Returns the intent.

        "again" is a success after which the server's confirm (`manual`) meets another challenge.
        """
        folder = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        path = f"/_sim/{folder}/{intent_id}/authenticate"
        return self._control("POST", path, {"outcome": outcome})

    def create_card(self, number: str = "4242424242424242", **params: Any) -> str:
        """A PaymentMethod made with the publishable key; returns its id.

        exp_month, exp_year and cvc can be given; anything else is a parameter of the
        PaymentMethod, for example `**{"billing_details[name]": "Ada"}`.
        """
        card = {"exp_month": 12, "exp_year": time.gmtime().tm_year + 4, "cvc": "123"}
        entered = {name: params.pop(name, default) for name, default in card.items()}
        form = {"type": "card", "card[number]": number, **params}
        form |= {f"card[{name}]": value for name, value in entered.items() if value is not None}
        answer = self._send(
            "POST",
            "/v1/payment_methods",
            urlencode(form).encode(),
            {"Authorization": f"Bearer {self.publishable_key}"},
        )
        return str(answer["id"])

    def _list(self, path: str, name: str) -> list[Json]:
        found: list[Json] = self._control("GET", path)[name]
        return found

    def _control(self, method: str, path: str, body: Json | None = None) -> Json:
        __tracebackhide__ = True  # pytest shows the caller's line
        headers = {"Content-Type": "application/json"}
        if self._control_token:
            headers["Authorization"] = f"Bearer {self._control_token}"
        return self._send(method, path, json.dumps(body or {}).encode(), headers)

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Json:
        __tracebackhide__ = True
        request = urllib.request.Request(  # noqa: S310  the address is the simulator's own
            self.url + path, data=None if method == "GET" else body, headers=headers, method=method
        )
        try:
            with DIRECT.open(request, timeout=self._timeout_seconds) as answer:
                found: Json = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise ControlError(f"{method} {path}: {error.code} {text}") from None


class SimulatorThread(ControlClient):
    """A simulator in a background thread, on a free loopback port. A context manager."""

    def __init__(self, config: Config | None = None) -> None:
        super().__init__("", (config or Config()).control_token)
        self._config = config or Config()
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        # Imported here: the web server is loaded when a simulator starts, not with the plugin.
        from stripesim.server import bind, make_server  # noqa: PLC0415

        try:
            self._server = make_server(self._config, self._note_ready)
        except sqlite3.Error as error:
            raise ControlError(f"cannot use {self._config.data} as the store: {error}") from None
        listener = bind("127.0.0.1", 0)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, daemon=True
        )
        self._thread.start()
        if not self._ready.wait(READY_SECONDS):
            raise ControlError("the simulator did not start")
        return self

    def _note_ready(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(READY_SECONDS)


class SimulatorProcess(ControlClient):
    """`stripesim serve` as a real process, on a free loopback port. A context manager.

    `flags` are further arguments of `serve`; give `data` (a path) to keep the store over a kill.
    A restart takes the same port, so that addresses stay valid.
    """

    def __init__(
        self, *flags: str, data: str | os.PathLike[str] | None = None, token: str | None = None
    ) -> None:
        super().__init__("", token)
        self._flags = [*flags, *(["--control-token", token] if token else [])]
        self._data = data
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ControlError("the simulator is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "stripesim", "serve", "--port", str(self._port)]
        if self._data is not None:
            command += ["--data", str(self._data)]
        self._process = subprocess.Popen(  # noqa: S603
            [*command, *self._flags], stdout=subprocess.PIPE, text=True
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith(READY_WORDS):
            self.stop()
            raise ControlError(f"the simulator did not start: {line!r}")
        self.url = line.removeprefix(READY_WORDS).strip()
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """kill -9: nothing is written any more, connections break."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same port with the same data (after `kill` or instead of it)."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(READY_SECONDS)
        if process.stdout:
            process.stdout.close()
