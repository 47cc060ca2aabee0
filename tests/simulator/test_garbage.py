"""Whatever is sent, the simulator answers in Stripe's envelope and never with a bug of its own."""

import random

import pytest

from stripesim.routes import PUBLISHABLE_TOO, SECRET_ONLY
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
