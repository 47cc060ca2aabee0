"""Secrets that are planted in every setting, header and field stand in no log, trace, metric, error
or database page; neither does what Stripe gives out for a client alone, nor a token, whole or half.
"""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import requests
import typer
from fastapi.routing import APIRoute
from pydantic import ValidationError

from paidonce.cli import app as commands
from paidonce.observability import set_step_hook
from paidonce.settings import Settings, SettingsError, load_settings
from support.asked import LEAST, places_of, routes_of, with_value
from support.canaries import (
    ADDRESSES,
    NO_SECRET,
    OTHER_HEADERS,
    READ_HEADERS,
    SECRET_SETTINGS,
    Canaries,
    is_kept,
    text_settings,
)
from support.environment import environment
from support.events import make_event, post, sign
from support.moving_in import run
from support.receiver import event_receiver
from support.remains import Heard, Pages, find, listening
from support.service import DECLINED_AT_CHARGE, GOOD, NEEDS_3DS, Running, running_service
from support.sheet import open_sheet

SOURCE = Path(__file__).parents[2] / "src" / "paidonce"
API_VERSION = "2025-10-29.clover"
FEWEST = {"sqlite": 600, "postgresql": 300}
SAID_IN_DOCS = {
    "settings": len(SECRET_SETTINGS) + len(ADDRESSES),
    "headers and fields": FEWEST["sqlite"],
    "refused starts": 40,
    "failing commands": 30,
}
"""What docs/security.md says, at least."""


@pytest.fixture
def heard() -> Iterator[Heard]:
    with listening() as heard:
        yield heard


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def planted(
    database_url: str,
    stripe_simulator: Any,
    heard: Heard,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Running]:
    """A service with a canary in each secret setting."""
    values = {name: make(canaries(name)) for name, make in SECRET_SETTINGS.items()}
    monkeypatch.setattr("support.service.JWT_SECRET", values["auth_jwt_secret"])
    monkeypatch.setattr("support.service.MERCHANT_API_KEY", values["merchant_api_key"])
    with event_receiver() as receiver:
        told = {**receiver.settings(), "event_secrets": f"main={values.pop('event_secrets')}"}
        told["event_endpoints"] += f"?token={canaries('token of an endpoint')}"
        with running_service(database_url, stripe_simulator, **values, **told) as service:
            webhook_secret = values["stripe_webhook_secret"]
            target = f"{service.url}/api/webhooks/stripe"
            stripe_simulator.set_webhook_target(target, webhook_secret)
            yield service


def remains(service: Running, heard: Heard) -> dict[str, Any]:
    metrics = service.call("GET", "/metrics").text
    assert "request.answered" in heard.log and "http.route" in heard.traces
    assert "paidonce_http_requests_total" in metrics
    return {"log": heard.log, "traces": heard.traces, "metrics": metrics}


# --- nothing is unknown to who plants ------------------------------------------------------------


def test_every_setting_is_planted_or_holds_no_secret() -> None:
    assert text_settings() == {*SECRET_SETTINGS, *ADDRESSES, *NO_SECRET}


def test_every_header_that_the_source_reads_is_planted() -> None:
    found = set()
    for file in [*SOURCE.glob("api/*.py"), *SOURCE.glob("webhooks/*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and "headers" in ast.unparse(node.func):
                found |= {str(a.value) for a in node.args if isinstance(a, ast.Constant)}
            if isinstance(node, ast.Compare) and ast.unparse(node.left) == "name":
                found |= {a.value.decode() for a in ast.walk(node) if _is_bytes(a)}
    assert "idempotency-key" in {name.lower() for name in found}
    assert {name.lower() for name in found} <= READ_HEADERS | {"upgrade", ""}


def _is_bytes(node: ast.AST) -> Any:
    return isinstance(node, ast.Constant) and isinstance(node.value, bytes)


# --- headers and fields --------------------------------------------------------------------------


def test_what_is_sent_stands_only_where_it_is_kept(
    planted: Running, heard: Heard, canaries: Canaries, database_url: str
) -> None:
    """Every header and field of every route, and unknown ones; and no refusal says it again."""
    service, pages = planted, Pages(database_url)
    order_id = service.order()
    kept: set[str] = set()
    echoed = []
    count = 0
    for method, route in routes_of(service):
        for place, given in requests_to(service, method, route, canaries):
            if place.startswith("body ") and is_kept(route.path, given.pop("place")):
                kept.add(place_of(method, route, place))
            answer = ask(service, method, route, order_id, given)
            count += 1
            back = canaries.find(answer.text + str(answer.headers))
            if back and answer.status_code >= 400:
                echoed.append((method, route.path, place, answer.text))
    service.work()
    left = remains(service, heard)
    told = {place: canaries.find(held) for place, held in left.items()}
    stored = set().union(*(canaries.find(held) for held in pages.read().values()))
    assert count >= FEWEST[database_url.partition(":")[0]]
    assert echoed == []
    assert told == {"log": set(), "traces": set(), "metrics": set()}
    assert stored - kept == set()
    assert stored, "what is to be kept is not there either"


def place_of(method: str, route: APIRoute, place: str) -> str:
    return f"{place} of {method} {route.path}"


def requests_to(
    service: Running, method: str, route: APIRoute, canaries: Canaries
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the canary stands, and what is sent."""
    described = service.app.openapi()["paths"].get(route.path_format, {}).get(method.lower(), {})
    least = LEAST.get(route.path, {})

    def plant(place: str) -> str:
        return canaries(place_of(method, route, place))

    asked = {each["name"]: each["in"] for each in described.get("parameters", [])}
    headers = {*OTHER_HEADERS, *READ_HEADERS} - {"content-length", "content-type"}
    assert {name.lower() for name, where in asked.items() if where == "header"} <= READ_HEADERS
    for name in sorted(headers):
        place = f"header {name}"
        yield place, {"headers": {name: plant(place)}, "body": least}
    for name in [*(name for name, where in asked.items() if where == "query"), "unknown"]:
        place = f"query {name}"
        yield place, {"query": urlencode({name: plant(place)}), "body": least}
    for name in route.param_convertors:
        place = f"path {name}"
        yield place, {"ids": {name: f"pm_{plant(place)}"}, "body": least}
    content = described.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for way in [*places_of(schema), ("unknown",), ("unknown", "a", 0, "b")]:
        place = f"body {way}"
        yield place, {"body": with_value(least, way, plant(place)), "place": way}
    for way in places_of(schema):  # where a text, a list or an object is none of these
        place = f"body in a list {way}"
        yield place, {"body": with_value(least, way, [plant(place)]), "place": way}
    yield "no JSON", {"raw": f'{{"a": "{plant("no JSON")}"'.encode()}


def ask(
    service: Running, method: str, route: APIRoute, order_id: str, given: dict[str, Any]
) -> requests.Response:
    is_app = "/mobile-app/" in route.path
    key = service.token() if is_app else service.settings.merchant_api_keys[0]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = str(uuid4())
    path = route.path_format
    ids = {"orderId": order_id, "id": "pm_nobodys", "eventId": order_id, "productId": "t"}
    ids |= given.get("ids", {})
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    session = service.sessions.setdefault("", requests.Session())
    return session.request(
        method,
        f"{service.url}{path}?{given.get('query', '')}",
        data=given.get("raw") or json.dumps(given.get("body", {})),
        headers={**headers, **given.get("headers", {})},
        timeout=30,
    )


# --- secrets of the life of an order -------------------------------------------------------------


def test_no_secret_of_settings_clients_or_tokens_is_written_down(
    planted: Running, heard: Heard, canaries: Canaries, database_url: str
) -> None:
    """Success, declines, 3-D Secure, faults of Stripe, a bug with a traceback: the log at DEBUG."""
    service, pages = planted, Pages(database_url)
    secrets = live(service)
    secrets |= faults(service)
    break_down(service, secrets)
    service.recover()
    assert len(secrets) >= 10, secrets.keys()
    left = remains(service, heard)
    stored = pages.read()
    assert any(b"succeeded" in held for held in stored.values())
    for line in ("RuntimeError", "Traceback", "stripe.confirm"):
        assert line in heard.log, line
    small = {place: held for place, held in stored.items() if len(held) < 1 << 20}
    assert find(secrets, {**left, **small}) == []
    assert [
        name for held in stored.values() for name, text in secrets.items() if text.encode() in held
    ] == []
    for place, held in {**left, **stored}.items():
        assert canaries.find(held) == set(), place


def live(service: Running) -> dict[str, str]:
    """What the app does; the secrets that it is given, by what they are. The start of a token says
    only that it is one, so of that the middle and the signature are looked for."""
    sim, secrets = service.simulator, {}
    token = service.token()
    _, claims, signature = token.split(".")
    secrets |= {"claims of a token": claims, "signature of a token": signature}
    for half in (token[: len(token) // 2], token[len(token) // 2 :], f"{token}x"):
        headers = {"Authorization": f"Bearer {half}"}
        assert service.call("GET", "/api/mobile-app/orders", headers=headers).status_code == 401
    card = sim.create_card(GOOD)
    assert service.pay(service.order(), card, save=True).status_code == 200
    service.pay(service.order(), sim.create_card(DECLINED_AT_CHARGE))
    order_id = service.order()
    action = service.pay(order_id, sim.create_card(NEEDS_3DS)).json()["data"]
    secrets["client secret of a challenge"] = secret_of(action["clientSecret"])
    secrets["the same, looked at"] = secret_of(service.payment(order_id)["clientSecret"])
    sim.authenticate(action["paymentIntentId"], "success")
    service.confirm(order_id)
    body = {"paymentIntentId": action["clientSecret"]}  # an app that sends the wrong one
    assert action["clientSecret"] not in service.confirm(order_id, body).text
    sheet = open_sheet(service, service.order(), API_VERSION)
    for name, value in sheet.data.items():
        if "secret" in name.lower():
            secrets[f"{name} of a sheet"] = secret_of(value)
    sheet.confirm()
    service.payment(sheet.order_id)
    setup = service.call("POST", "/api/mobile-app/payments/setup", {}).json()["data"]
    secrets["client secret of a setup"] = secret_of(setup["clientSecret"])
    made = service.stripe(
        "POST", "/v1/test_helpers/confirmation_tokens", payment_method="pm_card_visa"
    )
    assert service.pay(service.order(), made["id"]).status_code == 200
    body = {
        "userId": "zoe",
        "email": "zoe.Xk4q@shop.example",
        "amountMinor": 500,
        "currency": "usd",
    }
    assert service.merchant("POST", "/api/orders", body).status_code == 200
    service.work()
    return secrets


def secret_of(value: str) -> str:
    """The part that is secret: behind the id, or behind the kind of key."""
    return value.rpartition("_")[2]


def faults(service: Running) -> dict[str, str]:
    """Stripe breaks, cuts, lies and tells secrets in its errors."""
    sim, token = service.simulator, "sk_test_Told4ByStripeItself"
    client_secret = "pi_3Told_secret_AndWhatItHides77"
    words = {"error.message": f"Use {client_secret} with {token}", "error.code": client_secret}
    card = sim.create_card(GOOD)
    for number, fault in enumerate(
        (
            {"kind": "error_before"},
            {"kind": "error_saved"},
            {"kind": "drop_response"},
            {"kind": "truncate"},
            {"kind": "bad_gateway_html"},
            {"kind": "rate_limit"},
            {"kind": "lie", "fields": {"amount": 1, "client_secret": client_secret}},
            {"kind": "lie", "fields": words},
        )
    ):
        user = f"user{number}"
        order_id = service.order(user)
        sim.add_fault(match={"path": "*/confirm", "times": 3}, **fault)
        bad = sim.create_card(DECLINED_AT_CHARGE) if fault.get("fields") is words else card
        answer = service.pay(order_id, bad if number else card, user=user)
        assert client_secret not in answer.text and token not in answer.text
        sim.clear_faults()
        card = sim.create_card(GOOD)
    told = {"object": "payment_intent", "id": "pi_x", "client_secret": client_secret}
    raw = json.dumps(make_event("payment_intent.succeeded", told)).encode()
    secret = service.settings.webhook_secrets[0]
    assert post(service, raw, sign(service, raw, secret)).status_code == 200
    assert post(service, raw, sign(service, raw, "whsec_another")).status_code == 400
    return {"told by Stripe": secret_of(client_secret), "key told by Stripe": secret_of(token)}


def break_down(service: Running, secrets: dict[str, str]) -> None:
    """A bug of ours whose exception holds what passes through our hands."""
    token, settings, gateway = service.token(), service.settings, service.context.gateway

    def fail(name: str, when: str) -> None:
        raise RuntimeError(
            f"{token} pi_3Bug_secret_{secrets['told by Stripe']} {settings.stripe_webhook_secret}"
            f" {settings.stripe_secret_key.get_secret_value()} {settings!r} {gateway!r}"
            f" {settings.webhook_secrets} {settings.outgoing_endpoints} {service.context!r}"
        )

    set_step_hook(fail)
    try:
        answer = service.call("POST", "/api/mobile-app/orders", LEAST["/api/mobile-app/orders"])
    finally:
        set_step_hook(None)
    assert answer.status_code == 500 and "RuntimeError" not in answer.text


# --- starts and commands -------------------------------------------------------------------------


def bad_values(name: str, canary: str) -> Iterator[str]:
    """Spellings of a value that are one or are none."""
    make = {**SECRET_SETTINGS, **ADDRESSES}[name]
    good = make(canary)
    yield from (good, canary, f"{canary} {canary}", good[:-9], good + "\x00", f"{good},{good},=")
    yield from (
        f"sk_live_{canary}",
        f"postgresql://a:{canary}@[",
        f"https://a:{canary}@",
        f"x={canary}",
    )
    yield from (f"postgresql://a:b@{canary}@h/d", f"postgresql://h:{canary}/d", f"http://{canary}")


def test_a_refused_start_says_no_secret(
    monkeypatch: pytest.MonkeyPatch, canaries: Canaries
) -> None:
    count = 0
    for name in (*SECRET_SETTINGS, *ADDRESSES):
        for value in bad_values(name, canaries(name)):
            if "\x00" in value:
                continue
            with monkeypatch.context() as planted:
                for each, usual in environment("sqlite:///x.db", "http://127.0.0.1:1").items():
                    planted.setenv(each, usual)
                planted.setenv(name.upper(), value)
                try:
                    said = repr(load_settings()) + str(load_settings())
                except SettingsError as error:
                    said = str(error)
                    count += 1
                    with pytest.raises(ValidationError) as refused:
                        Settings()
                    said += str(refused.value)
            assert canaries.find(said) == set(), (name, value)
    assert count >= SAID_IN_DOCS["refused starts"]


ARGUMENTS = {
    "events show": ["evt_1"],
    "events resend": ["evt_1"],
    "events backfill": ["--since", "1d"],
    "notices show": ["x"],
    "notices resend": ["x"],
    "notices enable": ["main"],
    "notices retire": ["main"],
    "users export": ["alice"],
    "users erase": ["alice", "--yes"],
    "db downgrade": ["--yes"],
    "token": ["--user", "alice"],
}
LEFT_OUT = {
    "demo": "takes no settings",
    "token": "prints a token, which is its work",
    "notices secret": "prints a new secret, which is its work",
}


def list_commands() -> list[str]:
    def walk(command: Any, before: list[str]) -> Iterator[str]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, [*before, name])
        if not getattr(command, "commands", None):
            yield " ".join(before)

    return list(walk(typer.main.get_command(commands), []))


def broken_places(canaries: Canaries, simulator: Any) -> dict[str, Callable[[str], dict[str, str]]]:
    """What is wrong, each with canaries in every setting."""
    secrets = {name.upper(): make(canaries(name)) for name, make in SECRET_SETTINGS.items()}
    secrets["EVENT_ENDPOINTS"] = f"https://hooks.example/{canaries('event_endpoints')}"
    address = ADDRESSES["database_url"](canaries("database_url"))

    def of(url: str, stripe: str = simulator.url) -> dict[str, str]:
        return {**environment(url, stripe), **secrets}

    return {
        "the database is away": lambda _: of(address),
        "the database has another name": lambda _: of(
            address.replace("127.0.0.1:9", "nobody.invalid")
        ),
        "Stripe is away": lambda url: of(
            url, ADDRESSES["stripe_api_base"](canaries("stripe_api_base"))
        ),
    }


def test_no_command_that_fails_says_a_secret(
    sqlite_url: str, stripe_simulator: Any, canaries: Canaries
) -> None:
    count = 0
    for words in list_commands():
        if words in LEFT_OUT:
            continue
        for what, make in broken_places(canaries, stripe_simulator).items():
            if what == "Stripe is away" and words in ("serve", "worker"):
                continue  # they start, and wait for it
            done = run(*words.split(), *ARGUMENTS.get(words, []), env=make(sqlite_url))
            count += 1
            assert canaries.find(done.stdout + done.stderr) == set(), (words, what, done)
            if what != "Stripe is away" and not words.startswith("db upgrade"):
                assert done.code != 0, (words, what, done)
    assert count >= SAID_IN_DOCS["failing commands"]
