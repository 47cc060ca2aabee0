"""A card number is refused wherever it is sent, and stands nowhere afterwards: every route of the
app's own table, every place in a request, many spellings; and where it comes from somebody else.
"""

import http.client
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest
from fastapi.routing import APIRoute

from paidonce.settings import Settings, SettingsError, load_settings
from support.asked import LEAST, places_of, routes_of, with_value
from support.environment import JWT_SECRET, MERCHANT_API_KEY, environment
from support.events import make_event, post, sign
from support.remains import Heard, Pages, find_digits, listening
from support.saved_methods import METHODS
from support.service import DECLINED_AT_CHARGE, GOOD, Running, running_service
from support.sheet import open_sheet

NUMBER = "5361937402816545"
GROUPS = [NUMBER[place : place + 4] for place in range(0, 16, 4)]
SPELLINGS: dict[str, str] = {
    "plain": NUMBER,
    "with blanks": " ".join(GROUPS),
    "with dashes": "-".join(GROUPS),
    "with dots": ".".join(GROUPS),
    "with blanks nobody sees": "\u200b\u00a0".join(GROUPS),
    "in a sentence": f"my card is {NUMBER}, thanks",
    "full-width": "".join(chr(0xFF10 + int(digit)) for digit in NUMBER),
    "Arabic digits": "".join(chr(0x0660 + int(digit)) for digit in NUMBER),
    "raised": "".join(
        "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[int(d)] for d in NUMBER
    ),
    "percent-encoded": "".join(f"%{ord(digit):02x}" for digit in NUMBER),
    "JSON's escapes": "".join(f"\\u{ord(digit):04x}" for digit in NUMBER),
}
FEWEST = {"sqlite": 1_300, "postgresql": 600}
SAID_IN_DOCS = {"requests": FEWEST["sqlite"], "spellings": len(SPELLINGS)}
"""What docs/security.md says."""
UNREAD_HEADERS = (
    "User-Agent",
    "Cookie",
    "X-Request-Id",
    "Referer",
    "X-Forwarded-For",
    "Traceparent",
)


@dataclass(frozen=True)
class Tried:
    """One request with the number in it. `is_read`: it must be refused for that."""

    place: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    is_read: bool = True


class Tries:
    """Everything that can be sent to a route, from what the OpenAPI says of it."""

    def __init__(self, service: Running, route: APIRoute, method: str, order_id: str) -> None:
        self._route, self._method = route, method
        described = service.app.openapi()["paths"].get(route.path_format, {})
        described = described.get(method.lower(), {})
        self._parameters = described.get("parameters", [])
        content = described.get("requestBody", {}).get("content", {})
        self._schema = content.get("application/json", {}).get("schema")
        is_mobile = "/mobile-app/" in route.path
        token = service.token() if is_mobile else MERCHANT_API_KEY
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._headers["Idempotency-Key"] = f"key of {method} {route.path}"
        self._ids = {"orderId": order_id, "id": "pm_nobodys", "eventId": order_id, "productId": "t"}
        self._path = self._filled({})
        self._spellings = itertools.cycle(SPELLINGS.values())
        self._body = json.dumps(LEAST.get(route.path, {})).encode()

    def _filled(self, ids: dict[str, str]) -> str:
        path = self._route.path_format
        for name, value in {**self._ids, **ids}.items():
            path = path.replace(f"{{{name}}}", value)
        return path

    def all(self) -> Iterator[Tried]:
        yield from self._in_the_path()
        yield from self._in_the_query()
        yield from self._in_headers()
        yield from self._in_the_body()

    def _in_the_path(self) -> Iterator[Tried]:
        for name in self._route.param_convertors:
            for spelling in SPELLINGS.values():
                target = self._filled({name: quote(spelling, safe="")})
                yield Tried(f"path {name}", target, self._headers)
        yield Tried("end of the path", f"{self._path}/{NUMBER}", self._headers)

    def _in_the_query(self) -> Iterator[Tried]:
        names = [each["name"] for each in self._parameters if each["in"] == "query"]
        for name in [*names, "unknown"]:
            value = quote(next(self._spellings), safe="")
            yield Tried(f"query {name}", f"{self._path}?{name}={value}", self._headers)
        name = quote(next(self._spellings), safe="")
        yield Tried("name in the query", f"{self._path}?a=b&{name}=1", self._headers)
        yield Tried("query as a form", f"{self._path}?a={'+'.join(GROUPS)}", self._headers)

    def _in_headers(self) -> Iterator[Tried]:
        ours = {"Idempotency-Key"} | {e["name"] for e in self._parameters if e["in"] == "header"}
        for name in sorted(ours):
            text = next(self._spellings).encode().decode("latin-1")
            yield Tried(f"header {name}", self._path, {**self._headers, name: text}, self._body)
        for name in UNREAD_HEADERS:
            headers = {**self._headers, name: next(self._spellings).encode().decode("latin-1")}
            yield Tried(f"header {name}", self._path, headers, self._body, is_read=False)
        bearer = {**self._headers, "Authorization": f"Bearer {NUMBER}"}
        yield Tried("header Authorization", self._path, bearer, self._body, is_read=False)
        named = {**self._headers, f"X-{NUMBER}": "1"}
        yield Tried("name of a header", self._path, named, self._body, is_read=False)

    def _in_the_body(self) -> Iterator[Tried]:
        given = LEAST.get(self._route.path, {})
        for place in places_of(self._schema or {}):
            yield self._json(f"body {place}", with_value(given, place, next(self._spellings)))
        for name, spelling in SPELLINGS.items():
            yield self._json(f"unknown field, {name}", {**given, "unknown": spelling})
        yield self._json("deep", {**given, "a": [{"b": [{"c": next(self._spellings)}]}]})
        yield self._json("key", {**given, "a": {next(self._spellings): 1}})
        yield self._json("number", {**given, "a": int(NUMBER)})
        yield self._json("float", {**given, "a": float(NUMBER)})
        escaped = "".join(f"\\u{ord(digit):04x}" for digit in NUMBER)
        raw = [b'{"a": "%b"}' % escaped.encode(), b'{"a": %b, "a": 1}' % NUMBER.encode()]
        raw += [b'{"a": "%b"' % NUMBER.encode(), NUMBER.encode(), b'{"a": "%b"' % escaped.encode()]
        raw.append(b"\xff" + "-".join(GROUPS).encode())
        yield from (Tried(f"raw {body!r}", self._path, self._headers, body) for body in raw)
        form = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        for text in ("+".join(GROUPS), quote(SPELLINGS["full-width"])):
            yield Tried("form", self._path, form, f"a=1&card={text}".encode())
        long = b'{"a": "%b", "b": "%b"}' % (NUMBER.encode(), b"x" * 65_536)
        yield Tried("long body", self._path, self._headers, long, is_read=False)

    def _json(self, place: str, body: Any) -> Tried:
        raw = json.dumps(body, ensure_ascii=False).encode()
        return Tried(place, self._path, self._headers, raw)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as heard:
        yield heard


def remains(service: Running, heard: Heard, pages: Pages) -> dict[str, Any]:
    """Everything that is left of the requests."""
    metrics = service.call("GET", "/metrics").text
    assert "request.answered" in heard.log and "http.route" in heard.traces
    assert "paidonce_http_requests_total" in metrics
    assert "[redacted]" not in heard.log, "it was given to the log"
    stored = pages.read()
    assert any(b"alice" in held for held in stored.values())
    return {"log": heard.log, "traces": heard.traces, "metrics": metrics, **stored}


def test_a_card_number_is_refused_on_every_route_in_every_place_and_kept_nowhere(
    database_url: str, stripe_simulator: Any, heard: Heard
) -> None:
    pages = Pages(database_url)
    with running_service(database_url, stripe_simulator) as service:
        order_id, calls = service.order(), service.last_request()
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
        count, wrong, answers = 0, [], b""
        for method, route in routes_of(service):
            if route.path == "/api/webhooks/stripe":
                continue  # below, since Stripe's bodies are not a client's
            for tried in Tries(service, route, method, order_id).all():
                connection.request(method, tried.target, tried.body, tried.headers)
                answer = connection.getresponse()
                body = answer.read()
                answers += body
                is_refused = answer.status == 400 and b"card_number_rejected" in body
                if tried.is_read and not is_refused:
                    wrong.append((method, tried.target, tried.place, answer.status, body[:200]))
                count += 1
        connection.close()
        assert wrong == []
        assert count >= FEWEST[database_url.partition(":")[0]]
        left = remains(service, heard, pages)
    # The simulator keeps its requests redacted: the word would stand where a number came in.
    assert "redacted" not in json.dumps(stripe_simulator.requests(after=calls))
    assert find_digits(NUMBER, {**left, "answers": answers}) == []


def test_the_search_finds_what_is_there() -> None:
    for spelling in ("plain", "with dashes", "with dots", "full-width", "in a sentence"):
        assert find_digits(NUMBER, {"here": SPELLINGS[spelling]}), spelling
    assert find_digits(NUMBER, {"here": SPELLINGS["percent-encoded"].upper()})
    assert find_digits(NUMBER, {"here": NUMBER.encode().hex()})


# --- from somebody else --------------------------------------------------------------------------


def in_a_token(service: Running) -> None:
    def ask(**claims: Any) -> tuple[int, str]:
        said = {"sub": "alice", "exp": int(service.clock.now().timestamp()) + 600, **claims}
        token = jwt.encode(said, JWT_SECRET, algorithm="HS256")
        body = {"items": [{"productId": "tea", "quantity": 1}]}
        answer = service.call(
            "POST", "/api/mobile-app/orders", body, headers={"Authorization": f"Bearer {token}"}
        )
        assert NUMBER not in answer.text
        return answer.status_code, answer.text

    for spelling in ("plain", "with dashes", "with blanks", "full-width"):
        status, text = ask(sub=f"user|{SPELLINGS[spelling]}")
        assert status == 400 and "card_number_rejected" in text, (spelling, text)
    assert ask(sub="carol", email=f"{NUMBER}@shop.example")[0] == 200
    assert ask(sub="dave", name=NUMBER, card={"number": int(NUMBER)}, jti=NUMBER)[0] == 200


def in_events_of_stripe(service: Running) -> None:
    namespace = service.context.installation.namespace
    ours = {"namespace": namespace, "order_id": NUMBER}
    harmless = {"object": "payment_intent", "id": "pi_1", "description": NUMBER}
    for status, kind, subject, changes in (
        (200, "payment_intent.succeeded", {**harmless, "metadata": {"note": NUMBER}}, {}),
        (400, "payment_intent.succeeded", {**harmless, "metadata": ours}, {}),
        (400, "payment_intent.succeeded", {**harmless, "id": f"pi_{NUMBER}"}, {}),
        (400, "payment_intent.succeeded", harmless, {"id": f"evt_{NUMBER}"}),
        (400, NUMBER, harmless, {}),
    ):
        body = json.dumps(make_event(kind, subject, **changes)).encode()
        answer = post(service, body, sign(service, body))
        assert answer.status_code == status, (subject, changes, answer.text)
        assert post(service, body, f"t=1,v1={NUMBER}").status_code == 400
        assert NUMBER not in answer.text
    service.recover()


def in_answers_of_stripe(service: Running) -> None:
    """Where people write, and where Stripe quotes them."""
    sim = service.simulator
    words = {"error.message": f"No such card: {NUMBER}", "error.decline_code": NUMBER}
    for path in ("confirm", "attach"):
        sim.add_fault(kind="lie", match={"path": f"*/{path}", "times": 1}, fields=words)
        number = DECLINED_AT_CHARGE if path == "confirm" else "4000000000000002"
        answer = service.pay(service.order("erin"), sim.create_card(number), user="erin")
        assert answer.status_code == 402 and NUMBER not in answer.text, answer.text
    named = sim.create_card(GOOD, **{"billing_details[name]": f"Erin {NUMBER}"})
    assert service.pay(service.order("erin"), named, user="erin", save=True).status_code == 200
    kept = service.call("GET", METHODS, user="erin").json()["data"]
    assert kept[0]["details"]["cardholderName"] == "Erin [redacted]"
    sheet = open_sheet(service, service.order("alice"))
    broken = {"status": NUMBER, "last_payment_error": {"message": NUMBER, "code": NUMBER}}
    sim.add_fault(kind="lie", match={"path": "*/payment_intents/*", "times": 1}, fields=broken)
    sheet.confirm(DECLINED_AT_CHARGE)
    for answer in (service.confirm(sheet.order_id), service.call("GET", METHODS)):
        assert NUMBER not in answer.text
    sim.clear_faults()


@pytest.mark.parametrize("source", [in_a_token, in_events_of_stripe, in_answers_of_stripe])
def test_a_card_number_of_somebody_else_is_kept_nowhere(
    database_url: str, stripe_simulator: Any, heard: Heard, source: Callable[[Running], None]
) -> None:
    pages = Pages(database_url)
    with running_service(database_url, stripe_simulator) as service:
        service.order()
        source(service)
        left = remains(service, heard, pages)
    assert find_digits(NUMBER, left) == []


def test_a_card_number_in_a_setting_stops_the_start_and_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = environment("sqlite:///x.db", "http://127.0.0.1:1")
    for name, field in Settings.model_fields.items():
        if field.annotation is bool:
            continue
        for spelling in ("plain", "with dashes"):
            with monkeypatch.context() as planted:
                for each, value in values.items():
                    planted.setenv(each, value)
                value = f"{values.get(name.upper(), '')} {SPELLINGS[spelling]}"
                planted.setenv(name.upper(), value)
                with pytest.raises(SettingsError) as refused:
                    load_settings()
                assert find_digits(NUMBER, {"sentence": str(refused.value)}) == [], name
