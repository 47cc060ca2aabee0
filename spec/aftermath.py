"""Everything under way dies in a state, and recovery runs without any further fault: then every
attempt is over, charged is recorded and recorded is charged, and an order that is not paid can be.
"""

from spec import books as b
from spec.books import Books
from spec.engine import OVER, Engine
from spec.invariants import Violation, broken, charges_of
from spec.service import Visit
from spec.stripe import FRESH, Stripe

NO_LUCK: frozenset[str] = frozenset()
ROUNDS = 4
"""Of recovery, and of a payer who tries again, until all must be over."""
MOST_STEPS = 120
Pair = tuple[int, int]
"""Books and Stripe."""


class Endless(Exception):
    """A visit that does not end although nothing fails."""


def strays_of(books: Books, stripe: Stripe) -> list[int]:
    """The payments of open intents that are not the recorded one of a live payment."""
    return [
        intent.payment
        for number, intent in enumerate(stripe.intents)
        if intent.payment >= 0
        and intent.status not in ("succeeded", "canceled")
        and not _is_recorded(books, intent.payment, number)
    ]


def _is_recorded(books: Books, payment: int, intent: int) -> bool:
    row = books.payments[payment]
    return row.state in ("live", "authorized") and row.intent == intent


class Aftermath:
    """What becomes of a state. Everything is computed once for each pair of books and Stripe."""

    def __init__(self, engine: Engine, fresh_card: int, *, is_single: bool) -> None:
        self.engine = engine
        self.is_single = is_single
        self.fresh_card = fresh_card
        self._recovered: dict[Pair, Pair] = {}
        self._payable: dict[Pair, Violation | None] = {}
        self._after_recovery: dict[tuple[int, int, int], Violation | None] = {}

    def broken_later(self, pair: Pair, facts: int, flights: tuple[int, ...]) -> Violation | None:
        """The first invariant that does not hold once everything is over."""
        try:
            return (
                self._cannot_be_paid(pair, "a payer comes at once")
                or self._broken_after_recovery(pair, facts, "recovery runs")
                or self._broken_after_flights(pair, facts, flights)
            )
        except Endless:
            return Violation("I8", "a visit does not end")

    def _run(self, pair: Pair, visit: Visit) -> tuple[Pair, str]:
        """One visit to its end, and what it answered."""
        engine, (books, stripe) = self.engine, pair
        going, answer = engine.visits.of(visit), -1
        for _ in range(MOST_STEPS):
            if going == OVER:
                said = engine.answers.things[answer][0].kind if answer >= 0 else "nothing"
                return (books, stripe), said
            if engine.visits.things[going].request is not None:
                called = engine.calls(going, stripe, NO_LUCK)[0]
                going, stripe = called.visit, called.stripe
            else:
                done = engine.transactions(going, books)[0]
                going, books, answer = done.visit, done.books, done.answer
        raise Endless

    def _things(self, pair: Pair) -> tuple[Books, Stripe]:
        return self.engine.books.things[pair[0]], self.engine.stripe.things[pair[1]]

    def recover(self, pair: Pair) -> Pair:
        """The windows are over, and the worker finds everything that is due."""
        after = self._recovered.get(pair)
        if after is None:
            after = pair
            for order in range(len(self._things(pair)[0].orders)):
                for _ in range(ROUNDS):
                    before = after
                    after, _said = self._run(after, Visit("worker", order, is_late=True))
                    if after == before:
                        break
            after = self._recovered[pair] = self._sweep(after)
        return after

    def _sweep(self, pair: Pair) -> Pair:
        """Until no intent is open that no row holds."""
        for _ in range(ROUNDS):
            strays = set(strays_of(*self._things(pair)))
            if not strays:
                break
            for payment in strays:
                order = self._things(pair)[0].payments[payment].order
                pair, _said = self._run(pair, Visit("worker", order, step="sweep", payment=payment))
        return pair

    def _broken_after_recovery(self, pair: Pair, facts: int, after: str) -> Violation | None:
        over = self.recover(pair)
        key = (*over, facts)
        if key not in self._after_recovery:
            self._after_recovery[key] = self._not_over(over, facts)
        violation = self._after_recovery[key] or self._cannot_be_paid(over, "a payer comes")
        return violation and violation._replace(after=f"{after} {violation.after}".strip())

    def _not_over(self, pair: Pair, facts: int) -> Violation | None:
        books, stripe = self._things(pair)
        violation = broken(books, stripe, self.engine.facts.things[facts])
        if violation is not None:
            return violation
        for number, order in enumerate(books.orders):
            if charges_of(books, stripe, number) and order.status != "paid":
                return Violation("I2", f"order {number} is charged, and never recorded paid")
            if order.status == "canceling":
                return Violation("I8", f"order {number} stays canceling for ever")
        for payment in strays_of(books, stripe):
            return Violation(
                "I8", f"an intent of payment {payment} stays open, and none may use it"
            )
        for number, row in enumerate(books.payments):
            if row.capture:
                return Violation("I8", f"the capture of payment {number} never ends")
        for number, attempt in enumerate(books.attempts):
            if attempt.state in b.LIVE:
                return Violation("I8", f"attempt {number} stays {attempt.state} for ever")
        return None

    def _broken_after_flights(
        self, pair: Pair, facts: int, flights: tuple[int, ...]
    ) -> Violation | None:
        """Requests whose senders are long gone arrive after recovery has ended everything."""
        if not flights:
            return None
        books, stripe = self.recover(pair)
        for request in flights:
            stripe = self.engine.arrivals(request, stripe, NO_LUCK)[0].stripe
        after = "recovery runs, late requests arrive, recovery runs"
        return self._broken_after_recovery((books, stripe), facts, after)

    def _cannot_be_paid(self, pair: Pair, after: str) -> Violation | None:
        """Nothing fails any more: four more requests with a good card must pay the order, be it a
        new one or one that was tried before and is still good."""
        if pair not in self._payable:
            self._payable[pair] = self._try_to_pay(pair)
        violation = self._payable[pair]
        return violation and violation._replace(after=after)

    def _try_to_pay(self, pair: Pair) -> Violation | None:
        books, _ = self._things(pair)
        for number, order in enumerate(books.orders):
            if order.status != "pending":
                continue
            for card in (self.fresh_card, *self._good_cards(pair, number)):
                violation = self._try_card(pair, number, card)
                if violation is not None:
                    return violation
        return None

    def _good_cards(self, pair: Pair, order: int) -> list[int]:
        """Cards that this order was tried with and that are good for another try."""
        books, stripe = self._things(pair)
        if self.is_single:
            return []  # used once is used up
        user = books.orders[order].user
        own = (FRESH, books.users[user].customer) if books.users[user].customer >= 0 else (FRESH,)
        return sorted(
            {
                attempt.method
                for attempt in books.attempts
                if books.payments[attempt.payment].order == order
                and stripe.methods[attempt.method] in own
                and books.cards[attempt.method].state not in ("deleting", "deleted")
                and books.cards[attempt.method].user in (-1, user)
            }
        )

    def _try_card(self, pair: Pair, order: int, card: int) -> Violation | None:
        said = ""
        for _ in range(ROUNDS):
            pair, said = self._run(pair, Visit("payer", order, card))
            if said == "held":
                pair, said = self._run(pair, Visit("capturer", order, step="capture"))
            if self._things(pair)[0].orders[order].status == "paid":
                return broken(*self._things(pair), frozenset())
        if said == "action" and card != self.fresh_card:
            return None  # the same card: the same challenge, which waits for its holder
        which = "a new card" if card == self.fresh_card else f"card {card}"
        says = f"order {order} cannot be paid any more: {ROUNDS} more requests with {which}"
        return Violation("AV", f"{says}, the last one answered {said}")
