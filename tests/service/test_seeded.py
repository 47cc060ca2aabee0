"""Two services on one database, random clients, faults, cancelations, challenges and worker rounds.

A failure prints its history; its seed is in the test's name. `SEEDS` and `ORDERS` make it longer.
"""

import contextlib
import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from stripesim.testing import ControlError
from support.service import (
    DECLINED_AFTER_3DS,
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    Running,
    StartService,
)

SEEDS = int(os.environ.get("SEEDS", "1"))
ORDERS = int(os.environ.get("ORDERS", "12"))
NUMBERS = [GOOD, GOOD, DECLINED_AT_CHARGE, NEEDS_3DS, DECLINED_AFTER_3DS, DECLINED_AT_ATTACH]
KINDS = [
    "drop_request",
    "drop_response",
    "error_before",
    "error_after",
    "rate_limit",
    "key_in_use",
    "truncate",
    "bad_gateway_html",
]
CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}
CALLS = [
    CONFIRM,
    CONFIRM,
    CONFIRM,
    CONFIRM,
    {"method": "POST", "path": "/v1/payment_methods/*/attach"},
    {"method": "POST", "path": "/v1/payment_intents"},
    {"method": "GET", "path": "/v1/payment_intents/*"},
    {"method": "POST", "path": "/v1/payment_intents/*/cancel"},
]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "automatic": {},
    "manual": {"stripe_confirmation_method": "manual"},
    "single_use": {"payment_method_policy": "single_use"},
}
SURELY_NOT_CHARGED = {402, 404, 429, 503}
"""Nobody acts after the last request, so such an answer to it must stay true."""
NO_LIMITS = {
    "declines_per_user_and_hour": 100_000,
    "declines_per_address_and_hour": 100_000,
    "cards_per_user_and_hour": 100_000,
    "cards_per_address_and_hour": 100_000,
    "cards_without_delay": 100_000,
}


class Life:
    """One order and everything that happens to it."""

    def __init__(self, services: list[Running], chance: random.Random) -> None:
        self.services, self.chance = services, chance
        self.simulator = services[0].simulator
        self.order_id = services[0].order(is_prepared=chance.random() < 0.7)
        self.cards = [self.simulator.create_card(chance.choice(NUMBERS)) for _ in range(2)]
        self.history: list[str] = []
        self.has_success = False
        self.last_status = 0

    def any_service(self) -> Running:
        return self.chance.choice(self.services)

    def add_fault(self) -> None:
        match = {**self.chance.choice(CALLS), "times": self.chance.choice([1, 1, 2, 4])}
        kind = self.chance.choice(KINDS)
        self.simulator.add_fault(match=match, kind=kind)
        self.history.append(f"fault {kind} {match}")

    def act(self, service: Running, what: str, card: str) -> None:
        path = f"/api/mobile-app/orders/{self.order_id}/payment"
        match what:
            case "pay":
                self.note(f"pay {card}", service.pay(self.order_id, card))
            case "confirm":
                self.note("confirm", service.confirm(self.order_id))
            case "cancel":
                route = f"/api/orders/{self.order_id}/cancel"
                self.note("cancel", service.merchant("POST", route, {}))
            case "look":
                self.note("look", service.call("GET", path))
            case "work":
                service.work()
                self.history.append("work")

    def note(self, what: str, answer: requests.Response) -> None:
        body = answer.json()
        self.history.append(f"{what}: {answer.status_code} {body.get('code') or body['status']}")
        assert answer.status_code != 500, self.history
        is_payment = what.startswith(("pay", "confirm"))
        self.has_success |= is_payment and body["status"] == "success"
        self.last_status = answer.status_code

    def act_together(self) -> None:
        names = ["pay", "pay", "pay", "confirm", "work", "cancel", "look"]
        acts = [
            (self.any_service(), self.chance.choice(names), self.chance.choice(self.cards))
            for _ in range(self.chance.randint(1, 3))
        ]
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda act: self.act(*act), acts))

    def answer_challenges(self) -> None:
        for row in self.rows("payments", "stripe_payment_intent_id AS id"):
            with contextlib.suppress(ControlError):
                outcome = self.chance.choice(["success", "success", "fail"])
                self.simulator.authenticate(row["id"], outcome)
                self.history.append(f"challenge {outcome}")

    def calm_down(self) -> None:
        """No more faults, and time enough for recovery alone."""
        self.simulator.clear_faults()
        for seconds in (40, 100, 1000, 100, 100):
            for service in self.services:
                service.clock.added += seconds
            for service in self.services:
                service.work()

    def rows(self, table: str, what: str) -> list[dict[str, Any]]:
        key = "id" if table == "orders" else "order_id"
        sql = f"SELECT {what} FROM {table} WHERE {key} = $1"
        return [
            row for row in self.services[0].rows(sql, self.order_id) if None not in row.values()
        ]


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_whatever_happens_an_order_is_charged_once_or_not_and_everybody_knows(
    start_service: StartService, name: str, seed: int
) -> None:
    services = [start_service(**CONFIGURATIONS[name], **NO_LIMITS) for _ in range(2)]
    chance = random.Random(f"{name} {seed}")
    for _ in range(ORDERS):
        life = Life(services, chance)
        for _ in range(chance.randint(1, 3)):
            for _ in range(chance.choice([0, 1, 1, 2, 3])):
                life.add_fault()
            life.act_together()
            if chance.random() < 0.5:
                life.answer_challenges()
        for _ in range(chance.randint(0, 3)):
            life.add_fault()
        life.act(life.any_service(), "pay", chance.choice(life.cards))
        life.calm_down()
        assert_true_end(life)


def assert_true_end(life: Life) -> None:
    charges = services_charges(life)
    (order,) = life.rows("orders", "status")
    states = {row["state"] for row in life.rows("payment_attempts", "state")}
    assert charges <= 1, life.history
    assert (charges == 1) == (order["status"] == "paid"), (order, life.history)
    assert charges == 1 or not life.has_success, life.history
    assert charges == 0 or life.last_status not in SURELY_NOT_CHARGED, life.history
    assert not states & {"open", "action"}, (states, life.history)
    assert order["status"] != "canceling", life.history
    if order["status"] == "pending":
        life.act(life.services[0], "pay", life.simulator.create_card(GOOD))
        assert services_charges(life) == 1, life.history


def services_charges(life: Life) -> int:
    return life.services[0].charges(life.order_id)
