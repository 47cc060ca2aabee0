"""The auditor over outgoing events: nothing in a healthy shop, and each broken promise."""

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from paidonce import outgoing
from proof.auditor import Books, Order, Stripe, Telling, Told, judge, read_books
from support.receiver import event_receiver
from support.service import DECLINED_AT_CHARGE, GOOD, PRICE_MINOR, StartService


class Heard:
    """A declined and then a good card: two events of one order, as the auditor sees them."""

    def __init__(self, start_service: StartService) -> None:
        with event_receiver() as receiver:
            service = start_service(**receiver.settings())
            order_id = service.order()
            for number in (DECLINED_AT_CHARGE, GOOD):
                service.pay(order_id, service.simulator.create_card(number))
            service.run(outgoing.deliver_once(service.context))
            now = service.context.clock.now()
            self.told = [Told(now, each.headers, each.body, True) for each in receiver.told]
            self.key = base64.b64decode(receiver.secret.removeprefix("whsec_"))
            self.books = read_books(service.settings.database_url)
        self.order = Order(order_id, "alice", PRICE_MINOR, "usd", frozenset())

    def table(self, name: str) -> list[dict[str, Any]]:
        return self.books.tables[name]

    def judge(self) -> list[str]:
        """Of the telling alone: Stripe is not shown."""
        telling = Telling("main", self.key, self.told)
        nothing = Stripe({}, {}, [], [], {})
        found = judge(nothing, self.books, [self.order], [], is_settled=True, telling=telling)
        return [finding.sentence for finding in found if finding.invariant == "I9"]


@pytest.fixture
def heard(start_service: StartService) -> Heard:
    return Heard(start_service)


def _never_told(heard: Heard) -> None:
    heard.table("event_deliveries")[0]["state"] = "pending"


def _not_spread(heard: Heard) -> None:
    heard.table("event_deliveries").pop()


def _not_taken(heard: Heard) -> None:
    heard.told = [replace(told, is_taken=False) for told in heard.told]


def _given_up_early(heard: Heard) -> None:
    heard.table("event_deliveries")[0]["state"] = "dead"


def _out_of_turn(heard: Heard) -> None:
    heard.told.reverse()


def _another_key(heard: Heard) -> None:
    heard.key = b"another"


def _stale(heard: Heard) -> None:
    heard.told[0] = replace(heard.told[0], at=heard.told[0].at + timedelta(seconds=301))


def _two_ways(heard: Heard) -> None:
    heard.told.append(replace(heard.told[0], body=heard.told[0].body + b" "))


def _of_nobody(heard: Heard) -> None:
    heard.table("outbox").pop()


def _another_amount(heard: Heard) -> None:
    heard.order = replace(heard.order, amount_minor=1)


def _another_kind(heard: Heard) -> None:
    heard.table("outbox")[0]["kind"] = "order.canceled"


def _other_facts(heard: Heard) -> None:
    heard.table("outbox")[0]["payload"] = '{"code": "another"}'


def _fact_without_event(heard: Heard) -> None:
    heard.table("outbox")[0]["subject"] = "somebody"


def _canceled_without_event(heard: Heard) -> None:
    note = {"kind": "order.canceled", "order_id": heard.order.id}
    heard.table("payment_events").append(note)


BROKEN: dict[str, Callable[[Heard], None]] = {
    "was never told: pending": _never_told,
    "was never told: None": _not_spread,
    "and was not taken": _not_taken,
    "was given up after 1 tries": _given_up_early,
    "came before its turn": _out_of_turn,
    "signed wrong": _another_key,
    "for another time": _stale,
    "in two ways": _two_ways,
    "our books do not know it": _of_nobody,
    "not of (": _another_amount,
    "it says ": _another_kind,
    "does not say what our books do": _other_facts,
    "no event says payment.failed": _fact_without_event,
    "an event says payment.failed somebody": _fact_without_event,
    "no event says order.canceled": _canceled_without_event,
}


def test_each_broken_promise_is_found_by_its_words(heard: Heard) -> None:
    assert heard.judge() == []
    assert len(heard.told) == len(heard.table("outbox")) == 2
    healthy = heard.order, heard.key, copy.deepcopy((heard.books.tables, heard.told))
    for words, damage in BROKEN.items():
        tables, told = copy.deepcopy(healthy[2])
        heard.order, heard.key, heard.books, heard.told = *healthy[:2], Books(tables), told
        damage(heard)
        assert any(words in sentence for sentence in heard.judge()), words
