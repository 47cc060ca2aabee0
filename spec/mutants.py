"""What must be found: each rule left out, each bug planted, each naive server, and by which
configuration the shortest trace is found; or why there is no trace."""

from dataclasses import dataclass, replace

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


QUICK_MUTANTS = (
    "1 fence",
    "3 attach key",
    "4 unknown ends by cancel",
    "8 only send",
    "10 busy",
    "11 customer deleted",
    "12 success is the order's",
    "fresh intent on unknown",
    "failed on timeout",
    "lease trusted",
    "503 after an earlier send",
)
FINDERS: dict[str, Configuration] = {
    "1 fence": named("rate limits"),
    "1 save while live": named("canceled while prepared"),
    "2 close never sent": named("known card"),
    "3 attach key": named("first payment"),
    "4 unknown ends by cancel": named("known card"),
    "5 another card": named("3-D Secure"),
    "5 who is back waits": named("two cards at once"),
    "5 abandoned challenge": named("3-D Secure"),
    "6 challenge over": named("3-D Secure"),
    "6 only from action": named("known card"),
    "6 no action by look": named("a look is old"),
    "7 negatives look last": named("3-D Secure"),
    "8 only send": named("rate limits"),
    "9 reconfirm key": named("3-D Secure, manual"),
    "10 two steps": named("canceling"),
    "10 busy": named("canceled twice"),
    "10 next generation": named("Stripe cancels"),
    "11 customer deleted": named("customer deleted"),
    "11 compare and set": named("customer deleted"),
    "12 success is the order's": named("the app confirms"),
    "12 decline is the app's": named("a look is old"),
    "no compare-and-set": named("zombies"),
    "fresh intent on unknown": named("known card"),
    "fail from a webhook": named("events"),
    "failed on timeout": named("known card"),
    "lease trusted": replace(named("known card"), only=("I1",)),
    "event by payload": named("events"),
    "attach keyed by method": named("first payment"),
    "waiter looks at its attempt": named("three requests"),
    "503 after an earlier send": named("rate limits"),
    "a clock ends a hold": named("held"),
    "a hold does not stand": named("held"),
    "secret told by a look": named("told by a look"),
}
ARGUMENTS: dict[str, str] = {
    "2 sent goes to the fence": "the card of a sent attempt is known as attached, so no attach is"
    " sent again, unless its customer was deleted and forgotten meanwhile: then Stripe refuses the"
    " attach of a dead card, and a look follows, which finds the charge. What the rule spares is an"
    " attach that fails for a reason of its own and keeps the payer from the answer",
    "13 a capture is not canceled": "Stripe takes the one that comes first and refuses the other,"
    " and each looks afterwards; the rule spares the merchant a capture that was accepted and came"
    " to nothing",
    "4 old key": "a forgotten key makes a new request, but for the same recorded intent, which"
    " charges at most once; the rule spares the payer a first charge a day after he asked for it",
}

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
