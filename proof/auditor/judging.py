"""Everything that is wrong: with each order, and with what belongs to none."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from proof.auditor.cards import card_findings
from proof.auditor.case import Case, World
from proof.auditor.facts import Asked, Books, Finding, Order, Stripe, Telling
from proof.auditor.telling import telling_findings

IN_CLEAR = re.compile(r"pi_\w+_secret_\w|sk_(test|live)_\w|whsec_\w|\b(?:4\d{15}|5[1-5]\d{14})\b")


def judge(
    stripe: Stripe,
    books: Books,
    orders: Sequence[Order],
    asked: Sequence[Asked],
    *,
    is_settled: bool,
    telling: Telling | None = None,
) -> list[Finding]:
    """Everything that is wrong. `is_settled`: recovery has had its time, so whatever is still open
    or not written down is wrong as well. `telling`: what the merchant was told, all of it."""
    by_order: dict[str, list[Asked]] = {order.id: [] for order in orders}
    for ask in asked:
        by_order[ask.order_id].append(ask)
    found: list[Finding] = []
    world = World(stripe, books)
    for order in orders:
        case = Case(order, world, by_order[order.id])
        found += [Finding(rule, order.id, words) for rule, words in case.findings(is_settled)]
    found += _unknown_charges(stripe, {order.id for order in orders})
    found += _customers(stripe, orders)
    found += card_findings(stripe, books, orders, is_settled=is_settled)
    found += _in_clear(books)
    if telling is not None:
        found += telling_findings(telling, books, orders)
    return found


def _unknown_charges(stripe: Stripe, known: set[str]) -> Iterator[Finding]:
    for charge in stripe.charges:
        intent = stripe.intents.get(charge["payment_intent"] or "", {})
        order_id = intent.get("metadata", {}).get("order_id")
        if charge["status"] == "succeeded" and order_id not in known:
            yield Finding("I2", order_id, f"{charge['id']} belongs to no order of this run")


def _customers(stripe: Stripe, orders: Sequence[Order]) -> Iterator[Finding]:
    owners = {c["id"]: c["metadata"].get("user_id") for c in stripe.customers}
    counts = Counter(owner for owner in owners.values() if owner)
    for user_id, count in counts.items():
        if count > 1:
            yield Finding("I3", None, f"user {user_id} has {count} customers")
    users = {order.id: order.user_id for order in orders}
    for intent in stripe.intents.values():
        order_id = intent["metadata"].get("order_id")
        owner = owners.get(intent["customer"])
        if order_id in users and owner is not None and owner != users[order_id]:
            yield Finding("I5", order_id, f"{intent['id']} stands on the customer of {owner}")


def _in_clear(books: Books) -> Iterator[Finding]:
    for table, rows in books.tables.items():
        for row in rows:
            for column, value in row.items():
                if isinstance(value, str) and IN_CLEAR.search(value):
                    yield Finding(
                        "I14", None, f"a secret or card number stands in {table}.{column}"
                    )
