"""I10: no connection to the database is held, and no transaction is open, while Stripe is asked.

The hook of the steps looks inside every Stripe call of every flow: what the pool has given out, and
whether the very task that calls Stripe stands inside a commit of its own.
"""

import asyncio
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from paidonce.observability import set_step_hook
from paidonce.store.postgresql import PostgresqlDatabase
from paidonce.store.sqlite import SqliteDatabase
from support.saved_methods import delete, save
from support.service import (
    DECLINED_AT_ATTACH,
    DECLINED_AT_CHARGE,
    GOOD,
    NEEDS_3DS,
    WEBHOOK_SECRET,
    Running,
    StartService,
)

CONFIRM = {"method": "POST", "path": "/v1/payment_intents/*/confirm"}


@dataclass
class Watcher:
    """What was held at each Stripe call. `is_alone`: no other request runs, so that whatever the
    pool has given out is held by the caller."""

    database: Any = None
    is_alone: bool = True
    calls: set[str] = field(default_factory=set)
    held: list[str] = field(default_factory=list)
    open_commits: Any = field(default_factory=weakref.WeakKeyDictionary)

    def __call__(self, name: str, when: Literal["before", "after"]) -> None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread of SQLite's, where transactions run
            task = None
        if self.database is None:
            return
        if task is None:
            self.held.append(f"{name} inside a transaction's thread")
            return
        commits = self.open_commits.setdefault(task, [])
        if name.startswith("commit."):
            commits.append(name) if when == "before" else commits.remove(name)
            return
        self.calls.add(name)
        if commits:
            self.held.append(f"{name} inside {commits[-1]}")
        if self.is_alone and self._in_use():
            self.held.append(f"{name} with {self._in_use()} connections in use")

    def _in_use(self) -> int:
        if isinstance(self.database, SqliteDatabase):
            return int(self.database._write_connection.in_transaction)
        assert isinstance(self.database, PostgresqlDatabase)
        pool = self.database._pool
        return int(pool.get_size() - pool.get_idle_size())


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watching = Watcher()
    set_step_hook(watching)
    yield watching
    set_step_hook(None)


def watched(start_service: StartService, watcher: Watcher, **changes: Any) -> Running:
    service = start_service(**changes)
    watcher.database = service.context.db
    return service


def test_nothing_is_held_during_any_stripe_call_of_any_flow(
    start_service: StartService, watcher: Watcher
) -> None:
    service = watched(start_service, watcher)
    sim = service.simulator
    sim.set_webhook_target(f"{service.url}/api/webhooks/stripe", WEBHOOK_SECRET)
    sim.webhooks(mode="pause")
    card = sim.create_card(GOOD)
    for _ in range(2):  # a new card, then a known one
        order_id = service.order()
        service.pay(order_id, card, save=True)
        service.pay(order_id, card)
    for number in (DECLINED_AT_CHARGE, DECLINED_AT_ATTACH):
        order_id = service.order()
        service.pay(order_id, sim.create_card(number))
        service.pay(order_id, card)
    challenge(service, "success")
    challenge(service, "fail")
    cancel(service, card)
    saved = save(service, sim.create_card("5555555555554444"))
    delete(service, saved.json()["data"]["id"])
    watcher.is_alone = False  # a round of the worker does many things at once
    lost_answer(service, card)
    sim.webhooks(mode="deliver")
    sim.flush_webhooks()
    service.recover()
    assert watcher.held == []
    assert watcher.calls >= {
        "stripe.attach", "stripe.cancel", "stripe.confirm", "stripe.create_customer",
        "stripe.create_intent", "stripe.detach", "stripe.retrieve_intent",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"stripe_confirmation_method": "manual"}, {"payment_method_policy": "single_use"}],
    ids=["manual", "single-use"],
)
def test_nothing_is_held_with_other_settings(
    start_service: StartService, watcher: Watcher, changes: dict[str, Any]
) -> None:
    service = watched(start_service, watcher, **changes)
    challenge(service, "success")
    service.pay(service.order(), service.simulator.create_card(GOOD))
    watcher.is_alone = False
    service.recover()
    assert watcher.held == []
    assert "stripe.confirm" in watcher.calls


def test_no_request_calls_stripe_inside_its_own_transaction_when_many_run(
    start_service: StartService, watcher: Watcher
) -> None:
    """Orders that are not prepared, two cards each, all at once, with one connection in all."""
    service = watched(start_service, watcher, database_pool_size=1)
    watcher.is_alone = False
    orders = [service.order(is_prepared=False) for _ in range(6)]
    pairs = [(order, service.simulator.create_card(GOOD)) for order in orders for _ in range(2)]
    with ThreadPoolExecutor(len(pairs)) as threads:
        for paying in [threads.submit(service.pay, *pair) for pair in pairs]:
            assert paying.result().status_code in (200, 409)
    service.recover()
    assert watcher.held == []
    assert [service.charges(order) for order in orders] == [1] * 6


def challenge(service: Running, outcome: str) -> None:
    order_id = service.order()
    answer = service.pay(order_id, service.simulator.create_card(NEEDS_3DS))
    intent_id = answer.json()["data"]["paymentIntentId"]
    service.payment(order_id)
    service.simulator.authenticate(intent_id, outcome)
    service.confirm(order_id)


def lost_answer(service: Running, card: str) -> None:
    order_id = service.order()
    service.simulator.add_fault(match={**CONFIRM, "times": 3}, kind="drop_response")
    service.pay(order_id, card)
    service.recover()
    assert service.payment(order_id)["status"] == "succeeded"


def cancel(service: Running, card: str) -> None:
    order_id = service.order()
    service.merchant("POST", f"/api/orders/{order_id}/cancel")
    assert service.pay(order_id, card).status_code == 409
