"""What must never be seen. The letters are those of docs/reliability.md.

Here a state is looked at as it is; `aftermath` lets everything that is under way die, there and
then, and runs recovery: every state is a crash of all processes.
"""

from typing import NamedTuple

from spec.books import Books
from spec.service import Answer
from spec.stripe import Stripe

Facts = frozenset[tuple[str, ...]]
"""What was answered to somebody and may turn out to have been a lie."""


class Violation(NamedTuple):
    """`after`: what had to happen after the trace for it to be seen."""

    invariant: str
    says: str
    after: str = ""


def order_of(books: Books, payment: int) -> int:
    return books.payments[payment].order if payment >= 0 else 0


def charges_of(books: Books, stripe: Stripe, order: int) -> int:
    return sum(i.charges for i in stripe.intents if order_of(books, i.payment) == order)


def holds_of(books: Books, stripe: Stripe, order: int) -> int:
    """How often the order's money is held or taken now."""
    return sum(
        i.status in ("requires_capture", "succeeded")
        for i in stripe.intents
        if order_of(books, i.payment) == order
    )


def facts_after(
    facts: Facts, answer: Answer, order: int, books: Books, stripe: Stripe, negative: frozenset[str]
) -> Facts:
    """What the answer promises, and whether it is a lie already."""
    is_paid = books.orders[order].status == "paid"
    if answer.kind == "sent for nobody":
        card = books.attempts[answer.attempt].method
        return facts | {("unasked", f"card {card} is first sent for somebody who did not name it")}
    if answer.kind == "paid":
        has_charge = charges_of(books, stripe, order) > 0
        return facts if has_charge else facts | {("lied", "success without a charge")}
    if answer.kind == "held":
        was_held = any(i.was_held for i in stripe.intents if order_of(books, i.payment) == order)
        return facts if was_held else facts | {("lied", "held was answered, and nothing was")}
    if answer.kind == "captured":
        is_taken = charges_of(books, stripe, order) > 0
        return facts if is_taken else facts | {("lied", "captured was answered, and nothing was")}
    if (answer.kind in negative or answer.kind == "action") and is_paid:
        return facts | {("lied", f"a paid order was answered {answer.kind}")}
    if answer.kind in negative and answer.attempt >= 0:
        return facts | {("told", answer.kind, str(answer.attempt))}
    if answer.kind == "action" and answer.attempt >= 0:
        payment = books.payments[books.attempts[answer.attempt].payment]
        return facts | {("secret", str(payment.intent))}
    if answer.kind == "canceled" and charges_of(books, stripe, order):
        return facts | {("lied", "canceled was answered, and the order is charged")}
    return facts


# --- a state as it is ----------------------------------------------------------------------------


def broken(books: Books, stripe: Stripe, facts: Facts) -> Violation | None:
    """The first invariant that does not hold."""
    for number, order in enumerate(books.orders):
        charges = charges_of(books, stripe, number)
        if holds_of(books, stripe, number) > 1:
            return Violation("I1", f"order {number} has its money held twice")
        if charges > 1:
            return Violation("I1", f"order {number} is charged {charges} times")
        if order.status == "paid" and not charges:
            return Violation("I2", f"order {number} is recorded paid, and nothing is charged")
        if order.status == "canceled" and charges:
            return Violation("I6", f"order {number} is canceled, and charged")
    for fact in facts:
        if fact[0] in ("lied", "unasked"):
            return Violation("I6" if fact[0] == "lied" else "I5", fact[1])
    for number, intent in enumerate(stripe.intents):
        if not intent.charges:
            continue
        told = [fact[1] for fact in facts if fact[0] == "told" and fact[2] == str(intent.by)]
        if told:
            return Violation("I6", f"attempt {intent.by} was answered {told[0]}, and it charged")
        if intent.payment < 0:
            continue
        payment = books.payments[intent.payment]
        if payment.intent != number:
            return Violation("I2", f"intent {number} is charged and recorded nowhere")
        user = books.orders[payment.order].user
        if stripe.customers[intent.customer].user != user:
            return Violation("I5", f"order of user {user} is charged to another user's customer")
    users = [customer.user for customer in stripe.customers if customer.is_alive]
    for user in set(users):
        recorded = books.users[user].customer
        if users.count(user) > 1 and recorded >= 0:
            return Violation("I3", f"user {user} has {users.count(user)} customers")
    for method, card in enumerate(books.cards):
        owner = stripe.methods[method]
        if card.state == "attached" and owner >= 0 and stripe.customers[owner].user != card.user:
            return Violation(
                "I5", f"card {method} of another user is recorded as user {card.user}'s"
            )
    return None
