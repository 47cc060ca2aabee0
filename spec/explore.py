"""Breadth-first search over everything that can happen, so the first violation is a shortest one.

A state is the books, Stripe, the visits under way, the requests that are late, what was answered,
and the bad luck that is left. Each of its parts is kept once and known by a number, and what a
step or a call does is computed once for each pair of numbers that it depends on.

Four reductions, each of them sound:
- Visits have no names: two that stand at the same place are interchangeable, so they are sorted.
- A crash is a visit that never goes on. Nothing waits for a visit (a lease may be over at any
  time), so every state is also one in which any of its visits have crashed; `invariants` lets all
  of them crash in every state. Crashes are therefore unlimited, and cost nothing. (Where leases
  last, somebody may wait for ever: there only the attempts are counted.)
- Cards that differ in nothing but their numbers are used in that order.
- A visit's first step is taken together with its start, since before it nobody can see the visit;
  a late request that never arrives is one that stays late for ever.
"""

import gc
import time
from collections.abc import Iterator
from typing import NamedTuple

from spec.aftermath import Aftermath
from spec.books import Books
from spec.configurations import Configuration
from spec.engine import OVER, Engine
from spec.invariants import Violation, broken
from spec.service import Visit
from spec.stripe import (
    APP,
    ENDED,
    Request,
    Stripe,
    answer_challenge,
    cancel_intent,
    delete_customer,
    execute,
)

State = tuple[int, int, tuple[int, ...], tuple[int, ...], int, int]
"""Books, Stripe, visits, late requests, facts, budget: each the number of the thing."""
Step = tuple[str, State]
STRIPES_LUCK = ("decline", "challenge", "error", "limited")


class Result(NamedTuple):
    """`seconds` are of one processor. `is_complete`: nothing more can happen within the budgets.
    Otherwise everything was seen that can happen in `depth` steps."""

    states: int
    transitions: int
    seconds: float
    depth: int
    is_complete: bool
    violation: Violation | None
    trace: list[str]
    steps: frozenset[str]  # of the service, that were taken


class Budget(NamedTuple):
    """What is left, by kind; and which of Stripe's bad luck."""

    left: dict[str, int]
    luck: frozenset[str]


class Explorer:
    """One configuration, one service."""

    def __init__(self, setup: Configuration) -> None:
        self.setup = setup
        self.engine = Engine(
            setup.make_service(), setup.manners, tells_secrets=setup.is_secret_used
        )
        self.aftermath = Aftermath(self.engine, setup.fresh_card, is_single=setup.is_single)
        self.kinds = [kind for kind, _ in setup.budget]
        self.budgets: list[Budget] = []
        self._budget_numbers: dict[tuple[int, ...], int] = {}
        self._spent: dict[tuple[int, str], int] = {}
        self._all = dict(setup.budget)
        self._starts = [
            (kind, self.engine.visits.of(visit), setup.may_be_first(visit))
            for kind, visit in setup.starts
        ]
        self._world: dict[tuple[int, int], list[tuple[str, str, int, int]]] = {}
        self._verdicts: dict[tuple[int, int, int, tuple[int, ...]], Violation | None] = {}

    # --- the search ------------------------------------------------------------------------------

    def run(self, limit: int = 5_000_000) -> Result:
        """Until everything was seen, an invariant is broken, or `limit` states were."""
        began = time.process_time()
        gc.disable()  # nothing here is a cycle, and a million tuples take long to look through
        first = self._first()
        parents: dict[State, State | None] = {first: None}
        level, depth, transitions = [first], 0, 0
        while level and len(parents) < limit:
            following: list[State] = []
            for state in level:
                for _, after in self.steps(state):
                    transitions += 1
                    if after in parents:
                        continue
                    parents[after] = state
                    violation = self.judge(after)
                    if violation is not None:
                        trace = self._trace(parents, after, violation)
                        seconds = time.process_time() - began
                        gc.enable()
                        return Result(
                            len(parents),
                            transitions,
                            seconds,
                            depth,
                            False,
                            violation,
                            trace,
                            self.engine.steps(),
                        )
                    following.append(after)
                if len(parents) >= limit:
                    break
            else:
                level, depth = following, depth + 1
        seconds = time.process_time() - began
        gc.enable()
        steps = self.engine.steps()
        return Result(len(parents), transitions, seconds, depth, not level, None, [], steps)

    def _first(self) -> State:
        budget = self._budget_of(tuple(count for _, count in self.setup.budget))
        books = self.engine.books.of(self.setup.books)
        facts = self.engine.facts.of(self.setup.facts)
        return books, self.engine.stripe.of(self.setup.stripe), (), (), facts, budget

    def judge(self, state: State) -> Violation | None:
        """Whether the state breaks an invariant, now or once everything under way has died."""
        books, stripe, _, flights, facts, _ = state
        key = (books, stripe, facts, flights)
        if key in self._verdicts:
            return self._verdicts[key]
        engine = self.engine
        violation = broken(
            engine.books.things[books], engine.stripe.things[stripe], engine.facts.things[facts]
        )
        most, attempts = self.setup.most_attempts, len(engine.books.things[books].attempts)
        if violation is None and most and attempts > most:
            violation = Violation("I12", f"{attempts} attempts of {most} requests")
        if violation is None and self.setup.has_recovery:
            violation = self.aftermath.broken_later((books, stripe), facts, flights)
        if violation is not None and self.setup.only and violation.invariant not in self.setup.only:
            violation = None
        self._verdicts[key] = violation
        return violation

    def _trace(
        self, parents: dict[State, State | None], last: State, violation: Violation
    ) -> list[str]:
        says: list[str] = []
        state: State = last
        while (parent := parents[state]) is not None:
            says.append(next(text for text, after in self.steps(parent) if after == state))
            state = parent
        says.reverse()
        if violation.after:
            says.append(f"everything under way dies here; {violation.after}")
        return says

    # --- what can happen next --------------------------------------------------------------------

    def steps(self, state: State) -> list[Step]:
        budget = self.budgets[state[5]]
        out: list[Step] = []
        visits = state[2]
        starts = () if self.setup.is_sequential and visits else self._starts
        for kind, visit, is_first in starts:
            if budget.left[kind] and (is_first or budget.left[kind] < self._all[kind]):
                self._transactions(out, self._spend(state, kind), visit, visits)
        if budget.left.get("event"):
            for event, intent in sorted(self.engine.stripe.things[state[1]].events):
                for is_late in (False, True):
                    hint = Visit("worker", 0, -1, "hint", key_no=intent, why=event, is_late=is_late)
                    number = self.engine.visits.of(hint)
                    self._transactions(out, self._spend(state, "event"), number, visits)
        for place, visit in enumerate(visits):
            if place and visits[place - 1] == visit:
                continue  # its twin was looked at
            others = visits[:place] + visits[place + 1 :]
            if self.engine.visits.things[visit].request is None:
                self._transactions(out, state, visit, others)
            else:
                self._calls(out, state, visit, others)
        if state[3]:
            self._arrivals(out, state)
        self._world_moves(out, state)
        if budget.left.get("own"):
            out.extend(self._own_confirms(state))
        return out

    def _transactions(
        self, out: list[Step], state: State, visit: int, others: tuple[int, ...]
    ) -> None:
        books, stripe, _, flights, facts, budget = state
        for after, new_books, answer, says in self.engine.transactions(visit, books):
            visits = others if after == OVER else tuple(sorted((*others, after)))
            told = facts
            if answer >= 0:
                told = self.engine.told(facts, answer, new_books, stripe)
            out.append((says, (new_books, stripe, visits, flights, told, budget)))

    def _calls(self, out: list[Step], state: State, visit: int, others: tuple[int, ...]) -> None:
        """The request arrives and is answered; or the answer is lost; or the request is late."""
        books, stripe, _, flights, facts, budget = state
        can_lose = self.budgets[budget].left.get("lost")
        for after, changed, spends, says in self.engine.calls(
            visit, stripe, self.budgets[budget].luck
        ):
            rest = self._rest(budget, spends) if spends else budget
            visits = tuple(sorted((*others, after)))
            out.append((says, (books, changed, visits, flights, facts, rest)))
            if can_lose and spends != "limited" and changed != stripe:
                gone = tuple(sorted((*others, self.engine.lost(visit)[0])))
                less = self._rest(rest, "lost")
                text = f"{says}, but the ANSWER IS LOST"
                out.append((text, (books, changed, gone, flights, facts, less)))
        if can_lose:
            after, request, says = self.engine.lost(visit)
            late = flights if request < 0 else tuple(sorted((*flights, request)))
            gone = tuple(sorted((*others, after)))
            out.append((says, (books, stripe, gone, late, facts, self._rest(budget, "lost"))))

    def _arrivals(self, out: list[Step], state: State) -> None:
        """A request arrives although its sender has given up."""
        books, stripe, visits, flights, facts, budget = state
        luck = self.budgets[budget].luck
        for place, request in enumerate(flights):
            others = flights[:place] + flights[place + 1 :]
            for _, changed, spends, says in self.engine.arrivals(request, stripe, luck):
                rest = self._rest(budget, spends) if spends else budget
                out.append((says, (books, changed, visits, others, facts, rest)))

    # --- the world -------------------------------------------------------------------------------

    def _world_moves(self, out: list[Step], state: State) -> None:
        books, stripe, visits, flights, facts, budget = state
        moves = self._world.get((books, stripe))
        if moves is None:
            things = self.engine.books.things[books], self.engine.stripe.things[stripe]
            moves = self._world[(books, stripe)] = list(self._list_world_moves(*things))
        left = self.budgets[budget].left
        for text, kind, new_books, new_stripe in moves:
            if kind and not left.get(kind):
                continue
            rest = self._rest(budget, kind) if kind else budget
            if kind == "day" and not self.setup.has_zombies:
                out.append((text, (new_books, new_stripe, (), (), facts, rest)))
            else:
                out.append((text, (new_books, new_stripe, visits, flights, facts, rest)))

    def _list_world_moves(
        self, books: Books, stripe: Stripe
    ) -> Iterator[tuple[str, str, int, int]]:
        """What the card holder, the Dashboard, Stripe and time do."""
        same, number_of = self.engine.books.of(books), self.engine.stripe.of
        for number, intent in enumerate(stripe.intents):
            if intent.status == "requires_action":
                for how, kind in (("passed", ""), ("failed", "fail"), ("declined", "bank")):
                    after = answer_challenge(stripe, number, how, self.setup.manners)
                    text = f"the card holder's challenge on intent {number}: {how}"
                    yield text, kind, same, number_of(after)
            if intent.status in ("requires_payment_method", "requires_action", "requires_capture"):
                after = cancel_intent(stripe, number, self.setup.manners)
                text = f"Stripe cancels intent {number} by itself"
                yield text, "stripe_cancels", same, number_of(after)
        for user in books.users:
            if user.customer >= 0 and stripe.customers[user.customer].is_alive:
                after = delete_customer(stripe, user.customer)
                text = f"customer {user.customer} is deleted in the Dashboard"
                yield text, "delete_customer", same, number_of(after)
        if stripe.keys:
            after = stripe._replace(keys=frozenset())
            aged = self.engine.books.of(_a_day_older(books))
            yield "a day passes: Stripe forgets its keys", "day", aged, number_of(after)

    def _own_confirms(self, state: State) -> Iterator[Step]:
        """The app was given a client secret and confirms by itself, with a card of its own."""
        stripe = self.engine.stripe.things[state[1]]
        less = self._rest(state[5], "own")
        for fact in self.engine.facts.things[state[4]]:
            if fact[0] != "secret":
                continue
            intent = int(fact[1])
            if stripe.intents[intent].status in ENDED:
                continue
            card = self.setup.fresh_card - 1
            request = Request("confirm", "", intent, card, attempt=APP)
            for effect in execute(stripe, request, self.setup.manners, self.budgets[less].luck):
                rest = self._rest(less, effect.spends) if effect.spends else less
                text = f"the app confirms intent {intent} by itself: Stripe {effect.says}"
                changed = self.engine.stripe.of(effect.stripe)
                yield text, (state[0], changed, state[2], state[3], state[4], rest)

    # --- the budget ------------------------------------------------------------------------------

    def _budget_of(self, counts: tuple[int, ...]) -> int:
        number = self._budget_numbers.get(counts)
        if number is None:
            number = self._budget_numbers[counts] = len(self.budgets)
            left = dict(zip(self.kinds, counts, strict=True))
            luck = frozenset(kind for kind in STRIPES_LUCK if left.get(kind))
            self.budgets.append(Budget(left, luck))
        return number

    def _rest(self, budget: int, kinds: str) -> int:
        """The budget without one of each of these."""
        key = (budget, kinds)
        rest = self._spent.get(key)
        if rest is None:
            left = {**self.budgets[budget].left}
            for kind in kinds.split():
                left[kind] -= 1
            rest = self._spent[key] = self._budget_of(tuple(left.values()))
        return rest

    def _spend(self, state: State, kind: str) -> State:
        return (*state[:5], self._rest(state[5], kind))


def _a_day_older(books: Books) -> Books:
    """Whatever was first sent under a key is now older than Stripe's memory of it."""
    return books._replace(
        users=tuple(u._replace(asked="old") if u.asked else u for u in books.users),
        payments=tuple(p._replace(asked="old") if p.asked else p for p in books.payments),
        attempts=tuple(a._replace(is_old=True) if a.sends else a for a in books.attempts),
    )
