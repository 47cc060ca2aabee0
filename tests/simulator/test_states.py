"""The tables of states: walked row by row, and held against what the API takes and refuses."""

import re
import typing
from pathlib import Path

import pytest
import stripe

from stripesim.rules import states

OBJECTS = Path(states.__file__).parents[1] / "objects"
SDK = {
    "payment_intent": stripe.PaymentIntent,
    "setup_intent": stripe.SetupIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
}
# The SDK types a refund's status as text; its docstring lists these.
REFUND_STATUSES = {"pending", "requires_action", "succeeded", "failed", "canceled"}
# Files that write the status of something else than these objects.
OTHERS = {"webhook_endpoints.py", "balance_transactions.py", "setup_attempts.py"}
WRITES = re.compile(
    r"""\["(status|captured|refunded)"\] = |\.update\([^)]*\b(status|captured|refunded)="""
)
ROWS = [
    (kind, state, event, after)
    for kind, rows in states.MOVES.items()
    for (state, event), after in rows.items()
]


def in_state(kind, state):
    shown = states.CHARGE_FIELDS[state] if kind == "charge" else {"status": state}
    return {"object": kind, **shown}


def all_states(kind):
    rows = states.MOVES[kind]
    return sorted({*rows.values(), *(state for state, _ in rows if state != states.NEW)})


@pytest.mark.parametrize(("kind", "state", "event", "after"), ROWS)
def test_a_row_moves_the_object_and_nothing_else_does(kind, state, event, after):
    if state == states.NEW:
        assert states.begin(kind, event) == after
        return
    obj = in_state(kind, state)
    states.move(obj, event)
    assert states.state_of(obj) == after


def test_what_no_row_allows_is_refused():
    refused = 0
    for kind, rows in states.MOVES.items():
        for state in all_states(kind):
            for event in {event for _, event in rows}:
                if (state, event) not in rows:
                    obj = in_state(kind, state)
                    with pytest.raises(states.ForbiddenMove):
                        states.move(obj, event)
                    assert states.state_of(obj) == state
                    refused += 1
    assert refused > 50


@pytest.mark.parametrize("kind", states.MOVES)
def test_the_states_are_those_of_the_sdk_and_all_can_be_reached(kind):
    annotation = SDK[kind].__annotations__["status"]
    literals = [a for a in typing.get_args(annotation) if typing.get_args(a)]
    known = set(typing.get_args(literals[0])) if literals else REFUND_STATUSES
    assert {in_state(kind, state)["status"] for state in all_states(kind)} <= known
    reached, fresh = set(), {a for (s, _), a in states.MOVES[kind].items() if s == states.NEW}
    while fresh:
        reached |= fresh
        fresh = {a for (s, _), a in states.MOVES[kind].items() if s in reached} - reached
    assert reached == set(all_states(kind))


def test_no_other_code_writes_a_status():
    found = [
        f"{path.name}: {line.strip()}"
        for path in OBJECTS.rglob("*.py")
        if path.name not in OTHERS
        for line in re.sub(r"\(\s+", "(", path.read_text()).splitlines()
        if WRITES.search(line)
    ]
    assert found == []


SECURE = "4000002760003184"
INTENTS = {
    "requires_payment_method": lambda wire: wire.intent(),
    "requires_confirmation": lambda wire: wire.intent(payment_method=wire.card()),
    "requires_action": lambda wire: wire.pay(payment_method=wire.card(SECURE)),
    "requires_capture": lambda wire: wire.pay(payment_method=wire.card(), capture_method="manual"),
    "succeeded": lambda wire: wire.pay(payment_method=wire.card()),
    "canceled": lambda wire: wire.ok(f"/v1/payment_intents/{wire.intent()['id']}/cancel"),
}
INTENT_CALLS = {
    "update": ("", {"amount": 500}),
    "confirm": ("/confirm", {"payment_method": "pm_card_visa"}),
    "capture": ("/capture", {}),
    "cancel": ("/cancel", {}),
}


@pytest.mark.parametrize("state", INTENTS)
@pytest.mark.parametrize("name", INTENT_CALLS)
def test_a_payment_intent_takes_exactly_the_calls_of_the_table(wire, state, name):
    assert set(INTENTS) == set(all_states("payment_intent"))
    intent = INTENTS[state](wire)
    assert intent["status"] == state
    path, form = INTENT_CALLS[name]
    answer = wire.post(f"/v1/payment_intents/{intent['id']}{path}", form)
    assert (answer.status_code == 200) == states.allows(intent, name), answer.text
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "payment_intent_unexpected_state")
        assert error["payment_intent"]["status"] == state
        assert wire.retrieve(intent["id"])["status"] == state
