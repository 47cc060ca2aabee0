"""What is explored: where each configuration begins, who comes, and how much bad luck there is.

Crashes are in none of the budgets, since they are unlimited in all of them (see `explore`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from spec.books import Attempt, Books, Card, Order, Payment, User
from spec.engine import AnyService
from spec.errands import Pipeline
from spec.invariants import Facts
from spec.service import Visit
from spec.stripe import FRESH, Customer, Intent, Manners, Stripe

CARDS = 4
"""0 and 1 are the payers', 2 is what the app confirms with by itself, 3 is fresh to the end."""


@dataclass(frozen=True)
class Configuration:
    """`begins`: with nothing; with a customer; prepared, with an intent too; known, with card 0
    too; asked, where the app was given the client secret as well and its challenge has failed;
    sheet, where it was given the secret with a payment sheet, before any attempt.
    `budget`: how often each kind of visit and of bad luck may come. `limit`: of states; what is
    larger is seen breadth first, so that nothing shorter than its depth is left out.
    `most_attempts`: no lease is over while its owner works, and there are never more attempts."""

    name: str
    what: str
    budget: tuple[tuple[str, int], ...]
    begins: str = "nothing"
    cards: tuple[int, ...] = (0, 1)
    is_manual: bool = False
    is_single: bool = False
    is_held: bool = False
    has_two_users: bool = False
    has_zombies: bool = False
    is_sequential: bool = False  # a request comes only when none is under way
    only: tuple[str, ...] = ()
    has_recovery: bool = True
    without: str = ""
    bug: str = ""
    limit: int = 2_000_000
    most_attempts: int = 0
    naive: Callable[[], AnyService] | None = field(default=None, compare=False)

    @property
    def fresh_card(self) -> int:
        return CARDS - 1

    @property
    def is_secret_used(self) -> bool:
        return any(kind == "own" for kind, _ in self.budget)

    def may_be_first(self, visit: Visit) -> bool:
        """Of cards that differ in nothing the first one comes first."""
        is_same = self.begins not in ("known", "asked", "sheet") and not self.has_two_users
        return visit.role != "payer" or visit.method == 0 or not is_same

    @property
    def manners(self) -> Manners:
        has_events = any(kind == "event" for kind, _ in self.budget)
        return Manners(self.is_manual, self.is_held, has_events)

    def make_service(self) -> AnyService:
        if self.naive is not None:
            return self.naive()
        return Pipeline(
            self.without,
            self.bug,
            is_manual=self.is_manual,
            is_single=self.is_single,
            is_punctual=self.most_attempts > 0,
        )

    def mutant(self, *, without: str = "", bug: str = "") -> "Configuration":
        return replace(self, without=without, bug=bug)

    @property
    def books(self) -> Books:
        """Where it begins."""
        users: tuple[User, ...] = (User(),)
        orders: tuple[Order, ...] = (Order(0),)
        if self.has_two_users:
            users, orders = (User(), User()), (Order(0), Order(1))
        payments: tuple[Payment, ...] = ()
        attempts: tuple[Attempt, ...] = ()
        cards = [Card()] * CARDS
        if self.begins != "nothing":
            users = (User(0, asked="now"), *users[1:])
        if self.begins in ("prepared", "known"):
            payments = (Payment(0, customer=0, asked="now", intent=0),)
        if self.begins in ("known", "asked", "sheet"):
            cards[0] = Card("attached", 0, 0)
        if self.begins == "asked":
            payments = (Payment(0, customer=0, asked="now", intent=0, is_secret_out=True),)
            attempts = (Attempt(0, 0, "authentication_failed", sends=1),)
        if self.begins == "sheet":
            payments = (Payment(0, customer=0, asked="now", intent=0, is_secret_out=True),)
        return Books(users, orders, payments, attempts, tuple(cards))

    @property
    def facts(self) -> Facts:
        """What is known to somebody from the beginning."""
        return frozenset({("secret", "0")} if self.begins in ("asked", "sheet") else ())

    @property
    def stripe(self) -> Stripe:
        methods = [FRESH] * CARDS
        if self.begins == "nothing":
            return Stripe(methods=tuple(methods))
        if self.begins in ("known", "asked", "sheet"):
            methods[0] = 0
        intents = () if self.begins == "customer" else (Intent(0, 0),)
        return Stripe((Customer(0),), intents, tuple(methods))

    @property
    def starts(self) -> tuple[tuple[str, Visit], ...]:
        """Who may come, each under the kind of its budget."""
        kinds = {kind for kind, _ in self.budget}
        visits: list[tuple[str, Visit]] = []
        for order in range(2 if self.has_two_users else 1):
            visits += [("pay", Visit("payer", order, card)) for card in self.cards]
            visits += [
                ("work", Visit("worker", order)),
                ("late_work", Visit("worker", order, is_late=True)),
                ("confirm", Visit("confirmer", order)),
                ("view", Visit("viewer", order, step="view")),
                ("cancel", Visit("canceler", order, step="cancel")),
                ("capture", Visit("capturer", order, step="capture")),
                ("prepare", Visit("preparer", order, step="prepare")),
                ("sweep", Visit("worker", order, step="sweep")),
                ("delete", Visit("deleter", order, 0, step="delete")),
            ]
        return tuple((kind, visit) for kind, visit in visits if kind in kinds)


def budget(**counts: int) -> tuple[tuple[str, int], ...]:
    return tuple(counts.items())


QUICK = ("a look is old", "keys expire")
"""These `--quick` explores."""
CONFIGURATIONS = (
    Configuration(
        "first payment",
        "a new user, nothing prepared: a double tap or another card, a lost or late call, declines",
        budget(pay=2, lost=1, decline=1),
    ),
    Configuration(
        "known card",
        "one call per payment: two requests, a lost or late one, recovery in time and too late",
        budget(pay=2, work=1, late_work=1, lost=1),
        begins="known",
    ),
    Configuration(
        "three requests",
        "somebody waits for an attempt and looks after another one has paid",
        budget(pay=3, work=1),
        begins="known",
    ),
    Configuration(
        "two cards at once",
        "two new cards come again and again, and nothing fails: no more attempts than requests",
        budget(pay=3),
        begins="prepared",
        has_recovery=False,
        most_attempts=3,
    ),
    Configuration(
        "saved 500s",
        "Stripe saves a 500 under a key, executed or not, of every kind of call",
        budget(pay=2, error=1),
    ),
    Configuration(
        "rate limits",
        "429 on any call beside lost ones",
        budget(pay=2, limited=1, lost=1),
        begins="known",
    ),
    Configuration(
        "keys expire",
        "a day passes between any two steps and Stripe forgets its keys",
        budget(pay=2, lost=1, day=1),
    ),
    Configuration(
        "zombies",
        "processes and requests that wake up after such a day: still one charge, and recorded",
        budget(pay=2, lost=1, day=1),
        begins="customer",
        has_zombies=True,
        only=("I1", "I2"),
    ),
    Configuration(
        "3-D Secure",
        "challenges passed, failed and declined afterwards; another card meanwhile",
        budget(pay=2, challenge=1, fail=1, bank=1, lost=1),
        begins="known",
    ),
    Configuration(
        "3-D Secure, manual",
        "the server confirms after the challenge, and is asked for another one",
        budget(pay=1, confirm=1, late_work=1, challenge=2, fail=1, decline=1),
        begins="known",
        is_manual=True,
    ),
    Configuration(
        "the app confirms",
        "it was given the client secret and confirms by itself with a card of its own, which Stripe"
        " takes or refuses while a challenge is pending",
        budget(pay=2, own=1, challenge=1, fail=1, lost=1),
        begins="known",
    ),
    Configuration(
        "a look is old",
        "the app's challenges and declines on the intent for which a confirm of ours is late",
        budget(pay=1, view=2, own=1, challenge=2, fail=2, decline=1, lost=1),
        begins="asked",
        cards=(0,),
    ),
    Configuration(
        "a sheet is open",
        "the app confirms by itself whenever it likes, twice, while the order is paid and viewed",
        budget(pay=1, view=1, own=2, challenge=1, fail=1, decline=1, lost=1),
        begins="sheet",
    ),
    Configuration(
        "canceled with a sheet open",
        "the merchant cancels while the app may confirm by itself, and recovery goes on with it",
        budget(pay=1, cancel=1, own=1, late_work=1, challenge=1, fail=1, lost=1),
        begins="sheet",
    ),
    Configuration(
        "told by a look",
        "Stripe asks for a challenge and saves a 500 for it; then the app confirms by itself",
        budget(pay=2, view=1, own=1, challenge=1, fail=1, error=1),
        begins="known",
    ),
    Configuration(
        "events",
        "events of every payment, at any time, late or never; somebody looks meanwhile",
        budget(pay=2, event=1, view=1, challenge=1, decline=1),
        begins="known",
    ),
    Configuration(
        "canceling",
        "the merchant cancels the order while it is paid, and while its card holder is asked",
        budget(pay=2, cancel=1, lost=1, challenge=1),
        begins="known",
    ),
    Configuration(
        "canceled twice",
        "the merchant cancels twice while the order is paid, and recovery goes on with it",
        budget(pay=1, cancel=2, late_work=1, lost=1, challenge=1, decline=1),
        begins="known",
    ),
    Configuration(
        "canceled while prepared",
        "the order is prepared, paid and canceled at once; what nobody recorded is swept",
        budget(pay=1, prepare=2, cancel=1, sweep=1, lost=1),
        begins="customer",
    ),
    Configuration(
        "prepared meanwhile",
        "the order is prepared twice while it is paid; what nobody recorded is swept",
        budget(pay=1, prepare=2, sweep=1, lost=1, error=1),
    ),
    Configuration(
        "customer deleted",
        "the customer is deleted in the Dashboard, and two payers find out",
        budget(pay=2, delete_customer=1, lost=1),
        begins="known",
    ),
    Configuration(
        "Stripe cancels",
        "Stripe cancels intents by itself",
        budget(pay=2, stripe_cancels=2, lost=1),
        begins="known",
    ),
    Configuration(
        "card deleted",
        "the user deletes a card while it pays",
        budget(pay=2, delete=1, lost=1, decline=1),
        begins="known",
    ),
    Configuration(
        "held",
        "the money is held: a double tap, another card, a capture, a lost or late call",
        budget(pay=2, capture=1, work=1, late_work=1, lost=1),
        begins="known",
        is_held=True,
    ),
    Configuration(
        "held and captured twice",
        "two captures and a cancelation at once, a saved 500, recovery",
        budget(pay=1, capture=2, cancel=1, late_work=1, lost=1, error=1),
        begins="known",
        cards=(0,),
        is_held=True,
    ),
    Configuration(
        "held after 3-D Secure",
        "a challenge, the merchant's capture and cancelation, events of it all",
        budget(pay=1, confirm=1, capture=1, cancel=1, event=1, challenge=1, fail=1),
        begins="known",
        is_held=True,
    ),
    Configuration(
        "holds that Stripe ends",
        "Stripe releases the money by itself, at any time: before, under and after a capture",
        budget(pay=2, capture=1, late_work=1, stripe_cancels=2, lost=1),
        begins="known",
        cards=(0,),
        is_held=True,
    ),
    Configuration(
        "two users, one card",
        "two users with an order each come with the same card, or two",
        budget(pay=2, lost=1),
        has_two_users=True,
    ),
    Configuration(
        "single use",
        "no attach: a card dies with its first attempt",
        budget(pay=2, late_work=1, lost=1, challenge=1, fail=1),
        begins="prepared",
        is_single=True,
    ),
)
