"""Everything that the simulator sends is as the SDK's classes say, at the SDK's own version.

One tour goes through all routes and all kinds of events. A new route or a new kind of event that
the tour does not visit fails here.
"""

import ast
import copy
import fnmatch
import typing
from pathlib import Path

import pytest
import stripe

from simulator.sdk_shapes import problems_of
from simulator.tour import Tour
from stripesim import objects
from stripesim.config import API_VERSION, Config
from stripesim.routes import Router
from stripesim.testing import SimulatorThread

KINDS = set(typing.get_args(stripe.Event.__annotations__["type"]))
# Events that are named after something else than the object they tell of.
TELLS_OF = {"charge.dispute": "dispute", "charge.refund": "refund", "customer.source": "card"}
REFUSED = {  # a card payment never gets what these do
    "POST /v1/payment_intents/{id}/apply_customer_balance",
    "POST /v1/payment_intents/{id}/verify_microdeposits",
    "POST /v1/setup_intents/{id}/verify_microdeposits",
    "POST /v1/refunds/{id}/cancel",
    "POST /v1/test_helpers/refunds/{id}/expire",
}


@pytest.fixture(scope="module")
def tour():
    with SimulatorThread(Config(seed=5)) as simulator:
        made = Tour(simulator)
        made.go()
        yield made


def emitted_kinds():
    """The kinds of events that the source can write: its texts, and its f-strings as patterns."""
    found = set()
    for path in Path(objects.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in KINDS:
                found.add(node.value)
            if is_emit(node) and isinstance(node.args[1], ast.JoinedStr):
                pattern = "".join(getattr(part, "value", "*") if isinstance(part, ast.Constant)
                                  else "*" for part in node.args[1].values)  # fmt: skip
                found.update(fnmatch.filter(KINDS, pattern))
    return found


def is_emit(node):
    name = getattr(getattr(node, "func", None), "id", "")
    return isinstance(node, ast.Call) and name in ("emit", "emit_update")


def test_the_tour_is_at_the_versions_of_the_sdk():
    assert stripe.api_version == API_VERSION


def test_every_route_is_on_the_tour(tour):
    answered = {name for name, status, _ in tour.answers if status == 200}
    refused = {name for name, status, _ in tour.answers if status == 400}
    assert {route.name for route in Router().routes()} - answered == REFUSED
    assert refused >= REFUSED


def test_every_answer_is_as_the_sdk_has_it(tour):
    found = {}
    for name, status, body in tour.answers:
        if status == 200:
            for line in problems_of(body):
                found.setdefault(line, name)
    assert found == {}


def test_every_object_in_an_error_is_as_the_sdk_has_it(tour):
    found, seen = [], set()
    for _, status, body in tour.answers:
        for value in body["error"].values() if status >= 400 else ():
            if isinstance(value, dict):
                seen.add(value["object"])
                found += problems_of(value)
    assert found == []
    assert seen == {"payment_intent", "payment_method", "setup_intent"}


def test_every_event_is_on_the_tour_and_as_the_sdk_has_it(tour):
    found, seen = set(), set()
    for event in tour.all_events():
        seen.add(event["type"])
        found.update(problems_of(event))
        named_after = event["type"].rpartition(".")[0]
        assert event["data"]["object"]["object"] == TELLS_OF.get(named_after, named_after)
        found.update(f"{event['type']}: {line}" for line in problems_of(event["data"]["object"]))
    assert found == set()
    assert seen == emitted_kinds()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("amount",), None),
        (("amount",), "440"),
        (("payment_method_details", "card", "regulated_status"), 1),
        (("refunded",), 0),
        (("invented",), 1),
        (("payment_method_details", "card", "checks", "cvc_check"), 1),
        (("refunds",), {"object": "list", "data": [{"object": "refund"}]}),
    ],
)
def test_what_the_sdk_does_not_have_is_found(tour, path, value):
    charge = next(b for n, s, b in tour.answers if n == "GET /v1/charges/{id}" and s == 200)
    broken = copy.deepcopy(charge)
    part = broken
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert problems_of(charge) == [] != problems_of(broken)


def test_what_is_missing_is_found(tour):
    charge = next(b for n, s, b in tour.answers if n == "GET /v1/charges/{id}" and s == 200)
    missing = {name: value for name, value in charge.items() if name != "outcome"}
    assert problems_of(missing) == []  # it may be null
    del missing["paid"]
    assert problems_of(missing) == ["charge.paid: missing"]


def test_a_value_that_is_none_of_the_sdks_is_found(tour):
    intent = next(b for n, s, b in tour.answers if n == "GET /v1/payment_intents/{id}" and s == 200)
    assert problems_of(intent) == []
    broken = {**intent, "status": "paid"}
    assert problems_of(broken) == ["payment_intent.status: 'paid' is none of its values"]
