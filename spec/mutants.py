"""What must be found: each rule left out, each bug planted, each naive server, and by which
configuration the shortest trace is found; or why there is no trace."""

from dataclasses import dataclass

from spec.configurations import CONFIGURATIONS, Configuration, budget
from spec.naive import AttachThenCreate, BrokenServer, OneCall, SingleUseRandomKey
from spec.rules import BUGS, RULES


@dataclass(frozen=True)
class Mutant:
    """`configuration` is None when there is no trace: then `argument` says why."""

    name: str
    says: str
    configuration: Configuration | None = None
    argument: str = ""

    @property
    def kind(self) -> str:
        """The field of a configuration that makes it one."""
        return "without" if self.name in RULES else "bug"


def named(name: str) -> Configuration:
    return next(one for one in CONFIGURATIONS if one.name == name)


QUICK_MUTANTS: tuple[str, ...] = ()
OLD_LOOK = Configuration(
    "an old look",
    "the app's own challenge on an intent for which our confirm is late",
    budget(pay=2, view=2, own=1, challenge=2, fail=2, lost=1),
    begins="known",
    cards=(0,),
)
NEW_CUSTOMER = Configuration(
    "a new customer",
    "the customer is deleted, and two payers find out",
    budget(pay=2, delete_customer=1),
    begins="known",
)
NO_INTENT_YET = Configuration(
    "no intent yet",
    "a process wakes up after a day with a request for an intent",
    budget(pay=2, day=1),
    begins="customer",
    has_zombies=True,
)
FINDERS: dict[str, Configuration] = {
    "1 fence": named("rate limits"),
}
ARGUMENTS: dict[str, str] = {}

MUTANTS = tuple(
    Mutant(name, says, FINDERS.get(name), ARGUMENTS.get(name, ""))
    for name, says in (*RULES.items(), *BUGS.items())
)
NAIVE = (
    Configuration(
        "the broken server",
        "a confirmed PaymentIntent per request, no customer, no key",
        budget(pay=2, lost=1),
        naive=BrokenServer,
        has_recovery=False,
    ),
    Configuration(
        "attach, then create",
        "attach to a customer, then a confirmed PaymentIntent per request",
        budget(pay=2),
        begins="customer",
        naive=AttachThenCreate,
        has_recovery=False,
    ),
    Configuration(
        "attach, then create, a lost answer",
        "the same, and the payer only repeats when he has no answer",
        budget(pay=2, lost=1),
        begins="customer",
        cards=(0,),
        is_sequential=True,
        naive=AttachThenCreate,
        has_recovery=False,
    ),
    Configuration(
        "a random key per attempt",
        "a fresh card and a random idempotency key with every request",
        budget(pay=2),
        naive=SingleUseRandomKey,
        has_recovery=False,
    ),
    Configuration(
        "one call that creates and confirms, a saved 500",
        "attempts in the books, a stable key each, recovery: but no recorded intent",
        budget(pay=2, work=1, error=1),
        begins="known",
        cards=(0,),
        naive=OneCall,
        has_recovery=False,
    ),
    Configuration(
        "one call that creates and confirms, a day later",
        "the same, without any 500: Stripe forgets the key",
        budget(pay=2, work=1, lost=1, day=1),
        begins="known",
        cards=(0,),
        naive=OneCall,
        has_recovery=False,
    ),
)
