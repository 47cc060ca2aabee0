"""Whatever is sent, the simulator answers in Stripe's envelope and never with a bug of its own."""

import contextlib
import random
import socket
from urllib.parse import urlsplit

import pytest

from stripesim.control import recent
from stripesim.routes import PUBLISHABLE_TOO, SECRET_ONLY
from stripesim.server import LARGEST_HEAD
from stripesim.wire import params

VALUES = [
    "", "1", "0", "-5", "abc", "true", "false", "usd", "card", "pm_card_visa", "tok_visa", "440",
    "999999999999999999", "x" * 300, "2040", "é☃", "\x00", "pm_card_authenticationRequired",
]  # fmt: skip
LIKELY = {"amount": "440", "currency": "usd", "type": "card"}


def names(node, prefix, dice):
    """Every parameter name of an endpoint's table, in the wire's brackets."""
    if isinstance(node, str) or "enum" in node:
        yield prefix
    elif "array" in node:
        yield from names(node["array"], prefix + dice.choice(["[]", "[0]", "[1]"]), dice)
    else:
        if prefix:
            yield prefix
        for name, inner in node["fields"].items():
            yield from names(inner, f"{prefix}[{name}]" if prefix else name, dice)


def garbage(table, known, ids, dice):
    form = [(r, LIKELY.get(r, dice.choice(VALUES))) for r in table.get("required", [])]
    form = [pair for pair in form if dice.random() < 0.9]
    for _ in range(dice.choice([0, 1, 2, 4]) if known else 0):
        suffix = dice.choice(["", "", "", "[a]", "[a][b]"])
        form.append((dice.choice(known) + suffix, dice.choice(VALUES + ids[-10:])))
    return form


@pytest.mark.parametrize("seed", [1, 2])
def test_garbage_is_refused_and_never_a_500(wire, seed):
    dice = random.Random(seed)
    tables = params.document()["endpoints"]
    known = {name: list(names(tables[name], "", dice)) for name in tables}
    ids = ["x", wire.card(), wire.customer(), wire.intent()["id"]]
    statuses = set()
    for _ in range(500):
        name = dice.choice([*SECRET_ONLY, *PUBLISHABLE_TOO])
        method, path = name.split(" ")
        while "{id}" in path:
            path = path.replace("{id}", dice.choice(ids[-40:]), 1)
        form = garbage(tables[name], known[name], ids, dice)
        answer = wire.send(method, path, form)
        body = answer.json()
        assert answer.status_code < 500, f"{method} {path} {form}: {answer.text}"
        statuses.add(answer.status_code)
        ids += [body["id"]] if isinstance(body.get("id"), str) else []
    assert {200, 400, 404} <= statuses


def test_a_form_nested_too_deeply_is_refused(wire):
    status, error = wire.error("/v1/customers", {"metadata" + "[b]" * 3000: "1"})
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert wire.simulator.requests()[-1]["status"] == 400


@pytest.mark.parametrize("start", [b"GET /v1/balance?", b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "])
def test_a_head_without_an_end_is_cut_off(wire, start):
    address = urlsplit(wire.simulator.url)
    with socket.create_connection((address.hostname, address.port), 5) as line:
        line.sendall(start)
        answer, sent = b"", 0
        while not answer and sent < 4 * LARGEST_HEAD:
            line.sendall(b"a" * 65536)
            sent += 65536
            line.settimeout(0.001 if sent <= LARGEST_HEAD else 1)
            with contextlib.suppress(TimeoutError):
                answer = line.recv(4096)
    assert answer.startswith(b"HTTP/1.1 431 ") and b'"type":"invalid_request_error"' in answer
    assert sent <= LARGEST_HEAD + 2 * 65536
    assert wire.get("/v1/balance").status_code == 200


def test_a_large_body_is_no_large_head(wire):
    """Head and body may come in one piece, and the next request behind them."""
    form = {"description": "x" * 400_000, "metadata[note]": "y" * 400_000}
    for _ in range(3):
        assert wire.error("/v1/customers", form)[0] == 400


def test_long_headers_count_where_the_last_requests_are_kept(wire):
    wire.get("/v1/balance", X_Long="x" * 400_000)
    assert wire.simulator.request(1)["answer"]["object"] == "balance"
    for _ in range(recent.MOST_BYTES // 400_000):
        wire.get("/v1/balance", X_Long="x" * 400_000)
    assert wire.simulator.request(1)["answer"] is None
