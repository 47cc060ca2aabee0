"""Everything that a state is made of, kept once and known by a number (hash-consing), and what a
transaction or a call makes of it, computed once."""

from typing import Generic, NamedTuple, Protocol, TypeVar

from spec.books import Books
from spec.invariants import Facts, facts_after
from spec.service import NEGATIVE, Answer, Move, Visit
from spec.stripe import LOST, Effect, Manners, Request, Stripe, execute

Thing = TypeVar("Thing")
Luck = frozenset[str]
OVER = -1
"""Instead of a visit's number."""
HARMLESS = ("retrieve", "find_customer", "list_intents")
"""Calls that change nothing: whether they arrive late is of no interest."""


class AnyService(Protocol):
    def step(self, books: Books, visit: Visit) -> list[Move]: ...


class Numbered(Generic[Thing]):
    """Each different thing once."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.numbers: dict[Thing, int] = {}

    def of(self, thing: Thing) -> int:
        number = self.numbers.get(thing)
        if number is None:
            number = self.numbers[thing] = len(self.things)
            self.things.append(thing)
        return number


class Done(NamedTuple):
    """A transaction: the visit after it, the books after it, what was answered, in words."""

    visit: int
    books: int
    answer: int
    says: str


class Called(NamedTuple):
    """A call that arrived: the visit with its reply, Stripe after it, the luck it took."""

    visit: int
    stripe: int
    spends: str
    says: str


class Engine:
    """`tells_secrets`: whether it is of interest that an app was given a client secret."""

    def __init__(
        self, service: AnyService, manners: Manners, *, tells_secrets: bool = False
    ) -> None:
        self.service = service
        self.manners = manners
        self.tells_secrets = tells_secrets
        self.books: Numbered[Books] = Numbered()
        self.stripe: Numbered[Stripe] = Numbered()
        self.visits: Numbered[Visit] = Numbered()
        self.requests: Numbered[Request] = Numbered()
        self.answers: Numbered[tuple[Answer, int]] = Numbered()
        self.facts: Numbered[Facts] = Numbered()
        self._transactions: dict[tuple[int, int], list[Done]] = {}
        self._calls: dict[tuple[int, int, Luck], list[Called]] = {}
        self._arrivals: dict[tuple[int, int, Luck], list[Called]] = {}
        self._lost: dict[int, tuple[int, int, str]] = {}
        self._told: dict[tuple[int, int, int, int], int] = {}

    def transactions(self, visit: int, books: int) -> list[Done]:
        """The next transaction of a visit; the first one is what happens when all is well."""
        key = (visit, books)
        done = self._transactions.get(key)
        if done is None:
            before = self.visits.things[visit]
            rows = self.books.things[books]
            moves = self.service.step(rows, before)
            done = self._transactions[key] = [self._done(rows, before, move) for move in moves]
        return done

    def _done(self, books: Books, before: Visit, move: Move) -> Done:
        says, answer = f"{name_of(before)}: {move.says}", -1
        if move.answer is not None and before.role not in ("worker", "preparer"):
            answer = self.answers.of((move.answer, before.order))
            says = f"{says} -> answers {move.answer.kind}"
        visit = OVER if move.visit is None else self.visits.of(move.visit)
        sent = first_send_for_nobody(books, before, move)
        if sent is not None:
            answer = self.answers.of((Answer("sent for nobody", sent), before.order))
        return Done(visit, self.books.of(move.books), answer, says)

    def steps(self) -> frozenset[str]:
        """The names of the service's steps that were taken."""
        return frozenset(self.visits.things[visit].step for visit, _ in self._transactions)

    def told(self, facts: int, answer: int, books: int, stripe: int) -> int:
        """The facts after an answer."""
        key = (facts, answer, books, stripe)
        after = self._told.get(key)
        if after is None:
            said, order = self.answers.things[answer]
            things = self.books.things[books], self.stripe.things[stripe]
            known = facts_after(self.facts.things[facts], said, order, *things, NEGATIVE)
            if not self.tells_secrets:
                known = frozenset(fact for fact in known if fact[0] != "secret")
            after = self._told[key] = self.facts.of(known)
        return after

    def calls(self, visit: int, stripe: int, luck: Luck) -> list[Called]:
        """What becomes of the visit's request when it arrives now."""
        key = (visit, stripe, luck)
        called = self._calls.get(key)
        if called is None:
            before = self.visits.things[visit]
            request = before.request
            assert request is not None
            says = f"{name_of(before)}: Stripe gets {name_of_call(request)} and"
            called = self._calls[key] = [
                Called(
                    self.visits.of(before._replace(request=None, reply=effect.reply)),
                    self.stripe.of(effect.stripe),
                    effect.spends,
                    f"{says} {effect.says}",
                )
                for effect in self._execute(stripe, request, luck)
            ]
        return called

    def lost(self, visit: int) -> tuple[int, int, str]:
        """The visit to which nothing came back; its request, -1 if harmless; in words."""
        found = self._lost.get(visit)
        if found is None:
            before = self.visits.things[visit]
            request = before.request
            assert request is not None
            number = -1 if request.kind in HARMLESS else self.requests.of(request)
            says = (
                f"{name_of(before)}: {name_of_call(request)} is LOST or late; the sender gives up"
            )
            after = self.visits.of(before._replace(request=None, reply=LOST))
            found = self._lost[visit] = (after, number, says)
        return found

    def arrivals(self, request: int, stripe: int, luck: Luck) -> list[Called]:
        """What a late request does; nobody hears of it."""
        key = (request, stripe, luck)
        called = self._arrivals.get(key)
        if called is None:
            sent = self.requests.things[request]
            says = f"the late {name_of_call(sent)} arrives: Stripe"
            called = self._arrivals[key] = [
                Called(OVER, self.stripe.of(effect.stripe), effect.spends, f"{says} {effect.says}")
                for effect in self._execute(stripe, sent, luck)
            ]
        return called

    def _execute(self, stripe: int, request: Request, luck: Luck) -> list[Effect]:
        return execute(self.stripe.things[stripe], request, self.manners, luck)


def first_send_for_nobody(books: Books, before: Visit, move: Move) -> int | None:
    """The attempt that is sent for the first time by somebody who did not name its card."""
    for number, attempt in enumerate(move.books.attempts):
        was_sent = number < len(books.attempts) and books.attempts[number].sends > 0
        is_named = before.role == "payer" and before.method == attempt.method
        if attempt.sends and not was_sent and not is_named:
            return number
    return None


def name_of(visit: Visit) -> str:
    """Who it is, in words."""
    names = {
        "payer": f"a payer with card {visit.method}",
        "confirmer": "pay/confirm",
        "viewer": "GET payment",
        "worker": "recovery",
        "canceler": "the merchant",
        "preparer": "preparation",
        "deleter": f"the user who deletes card {visit.method}",
    }
    if visit.step == "hint":
        return f"the event {visit.why} of intent {visit.key_no}"
    late = " after the window" if visit.is_late else ""
    order = f" of order {visit.order}" if visit.order else ""
    return names.get(visit.role, visit.role) + order + late


def name_of_call(request: Request) -> str:
    key = f" [{request.key}]" if request.key else ""
    what = request.kind.replace("_", " ")
    return f"{what} intent {request.intent}{key}" if request.intent >= 0 else f"{what}{key}"
