"""Sends a story to a simulator, judges every answer, and the books at its end."""

import http.client
import json
import socket
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from proof.stripesim.books import find_contradictions, read_books
from proof.stripesim.fuzz.answers import find_flaws, private_words_in
from proof.stripesim.fuzz.forms import Ref
from proof.stripesim.fuzz.steps import Authenticate, Control, Raw, Send, Step, Wait
from stripesim.testing import ControlClient, ControlError

Json = dict[str, Any]
LONGEST_ANSWER_SECONDS = 10  # a request that takes longer hangs
KEY_SURELY_VALID_SECONDS = 86_000  # Stripe may forget a key after 24 h
SHOWN_CHARACTERS = 300


class Finding(AssertionError):
    """An answer or a book that is not as it has to be; the text says which."""


@dataclass
class Kept:
    """The answer that was saved under an idempotency key."""

    request: tuple[Any, ...]
    status: int
    text: str
    at: int


@dataclass
class Player:
    """Plays stories against one simulator, whose store lies in the file `data`."""

    simulator: ControlClient
    data: Path
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    routes: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)  # routes that answered 200
    log: list[str] = field(default_factory=list)

    def play(self, story: list[Step]) -> None:
        """Raises Finding."""
        self.simulator.reset()
        self.simulator.webhooks(mode="pause")
        self.log.clear()
        self._met: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._kept: dict[str, Kept] = {}
        self._pages: dict[str, str] = {}
        self._said: set[str] = set()
        self._waited = 0
        for step in story:
            self._take(step)
        contradictions = find_contradictions(read_books(self.data))
        if contradictions:
            raise Finding("the books do not add up: " + "; ".join(contradictions[:5]))

    def _take(self, step: Step) -> None:
        match step:
            case Send():
                self._send(step)
            case Raw():
                self._send_bytes(step.data)
            case Wait():
                self.log.append(f"advance the clock by {step.seconds} s")
                self._waited += step.seconds
                self.simulator.advance_clock(step.seconds)
            case Authenticate():
                self._authenticate(step)
            case Control():
                self._call_control(step)

    def resolve(self, value: Any) -> str:
        """The text of a value; a reference to nothing names an object that does not exist."""
        if not isinstance(value, Ref):
            return str(value)
        found = self._met[value.kind, value.what]
        return found[-1 - value.back % len(found)] if found else f"{value.kind}_missing"

    def _send(self, step: Send) -> None:
        method, _, template = step.route.partition(" ")
        path = template
        for value in step.ids:
            path = path.replace("{id}", quote(self.resolve(value), safe="") or "%20", 1)
        pairs = [(self.resolve(name), self.resolve(value)) for name, value in step.form]
        body, query = _placed(method, pairs, step.body)
        headers = _headers(step)
        self.log.append(f"{method} {path} {_shown(body or query.encode())} {headers}")
        status, found, text = self.exchange(method, path + query, body, headers)
        self.routes.add(step.route)
        if status == 200:
            self.taken.add(step.route)
        self._said |= private_words_in(f"{path} {pairs}")
        flaws = find_flaws(status, found, text, self._said)
        request = (method, path, body, headers.get("Content-Type"), headers["Authorization"])
        if method == "POST" and step.idempotency_key:
            flaws += self._judge_replay(step.idempotency_key, request, status, found, text)
        self._note(status, text, flaws)

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers (lower case) and text. Raises Finding when there is no answer."""
        connection = http.client.HTTPConnection(
            urlsplit(self.simulator.url).netloc, timeout=LONGEST_ANSWER_SECONDS
        )
        self.requests += 1
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Finding(f"no answer: {error!r}") from error
        finally:
            connection.close()
        self.statuses[answer.status] += 1
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text

    def _judge_replay(
        self,
        key: str,
        request: tuple[Any, ...],
        status: int,
        headers: dict[str, str],
        text: str,
    ) -> list[str]:
        """A saved answer comes again, to the letter; a new one is kept for the next time."""
        kept, is_replay = self._kept.get(key), "idempotent-replayed" in headers
        if is_replay and kept is None:
            return ["a replay of what was never answered"]
        if is_replay and kept and (kept.status, kept.text) != (status, text):
            return [f"a replay of {kept.status} {kept.text[:SHOWN_CHARACTERS]}"]
        if not is_replay and headers.get("stripe-should-retry") == "false":
            is_fresh = kept is not None and self._waited - kept.at < KEY_SURELY_VALID_SECONDS
            self._kept[key] = Kept(request, status, text, self._waited)
            return ["executed again under the same key"] if is_fresh else []
        is_same = kept is not None and kept.request == request
        if kept and is_same and self._waited - kept.at < KEY_SURELY_VALID_SECONDS:
            return [] if is_replay or status == 401 else ["the same request was not replayed"]
        return []

    def _note(self, status: int, text: str, flaws: list[str]) -> None:
        self.log[-1] += f"\n      -> {status} {text[:SHOWN_CHARACTERS]}"
        if flaws:
            raise Finding("; ".join(flaws))
        try:
            self._meet(json.loads(text))
        except ValueError:
            return

    def _meet(self, value: Any) -> None:
        """Remember every object in an answer, so that later steps can name it."""
        if isinstance(value, list):
            for item in value:
                self._meet(item)
        if not isinstance(value, dict):
            return
        kind, object_id = value.get("object"), value.get("id")
        if isinstance(kind, str) and isinstance(object_id, str):
            for what, found in (("id", object_id), ("secret", value.get("client_secret"))):
                known = self._met[kind, what]
                if isinstance(found, str) and found not in known:
                    known.append(found)
            self._note_page(object_id, value.get("next_action"))
        for inner in value.values():
            self._meet(inner)

    def _note_page(self, intent: str, action: Json | None) -> None:
        if action:
            redirect, sdk = action.get("redirect_to_url"), action.get("use_stripe_sdk")
            self._pages[intent] = redirect["url"] if redirect else (sdk or {}).get("stripe_js", "")

    def _authenticate(self, step: Authenticate) -> None:
        intent = self.resolve(step.intent)
        self.log.append(f"authenticate {intent}: {step.outcome}")
        if step.on_page:
            self._press(intent, step.outcome)
            return
        try:
            self.simulator.authenticate(intent, step.outcome)
        except ControlError as error:
            if " 4" not in str(error):
                raise Finding(str(error)) from error

    def _press(self, intent: str, outcome: str) -> None:
        """What the browser does: open the challenge's page, press one of its buttons."""
        address = self._pages.get(intent)
        if address is None:
            return
        path, _, query = address.removeprefix(self.simulator.url).partition("?")
        button = "fail" if outcome == "fail" else "complete"
        for method, target in (("GET", f"{path}?{query}"), ("POST", f"{path}/{button}?{query}")):
            status, headers, _ = self.exchange(method, target, None, {})
            self.log[-1] += f"\n      -> {method} {status} {headers.get('location', '')}"
            if status >= 500:
                raise Finding(f"the challenge page answers {status}")

    def _call_control(self, step: Control) -> None:
        self.log.append(f"{step.method} {step.path} {_shown(step.body)}")
        status, _, text = self.exchange(step.method, step.path, step.body, {})
        if status >= 500 or "Traceback" in text:
            self._note(status, text, [f"the control plane answers {status}"])

    def _send_bytes(self, data: bytes) -> None:
        """Whatever the bytes are: nothing, or an answer in Stripe's shape."""
        self.log.append(f"bytes {_shown(data)}")
        self.requests += 1
        netloc = urlsplit(self.simulator.url)
        address = (netloc.hostname or "", netloc.port or 0)
        text, started_at = b"", time.monotonic()
        with socket.create_connection(address, timeout=LONGEST_ANSWER_SECONDS) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65_536):
                    text += piece
            except ConnectionError:
                pass  # a reset is an answer too; what came before it is judged below
            except TimeoutError as error:
                raise Finding("bytes left the connection hanging") from error
        self.log[-1] += f"\n      -> {_shown(text)}"
        if time.monotonic() - started_at > LONGEST_ANSWER_SECONDS:
            raise Finding("bytes left the connection hanging")
        if text:
            self._judge_bytes(text, data)

    def _judge_bytes(self, text: bytes, sent: bytes) -> None:
        head, _, body = text.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        if not head.startswith(b"HTTP/1.1 ") or not words[1].isdigit() or words[1] >= b"500":
            raise Finding(f"bytes are answered {_shown(text)}")
        is_bodiless = sent[:4] == b"HEAD" or sent[:7] == b"OPTIONS"
        if not is_bodiless and b'{"error":{' not in body and b'"object"' not in body:
            raise Finding(f"bytes are answered {_shown(text)}")


def _placed(
    method: str, pairs: list[tuple[str, str]], body: bytes | None
) -> tuple[bytes | None, str]:
    """Body and query string: a POST has its form in the body."""
    form = urlencode(pairs)
    if method != "POST":
        return None, f"?{form}" if form else ""
    return (body if body is not None else form.encode()), ""


def _headers(step: Send) -> dict[str, str]:
    scheme = "Basic" if step.key == "Basic" else "Bearer"
    headers = {"Authorization": f"{scheme} {step.key}"}
    if step.content_type is not None:
        headers["Content-Type"] = step.content_type
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if step.idempotency_key is not None:
        headers["Idempotency-Key"] = step.idempotency_key
    if step.version is not None:
        headers["Stripe-Version"] = step.version
    return headers


def _shown(data: bytes) -> str:
    return repr(data[:SHOWN_CHARACTERS])[2:-1]
