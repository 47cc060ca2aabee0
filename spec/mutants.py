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
OLD_LOOK = Configuration(
    "an old look",
    "the app's own challenge on an intent for which our confirm is late",
    budget(pay=1, view=2, own=1, challenge=1, fail=1, lost=1),
    begins="asked",
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
TOLD_BY_A_LOOK = Configuration(
    "told by a look",
    "Stripe asks for a challenge and saves a 500 for it; then the app confirms by itself",
    budget(pay=2, view=1, own=1, challenge=1, fail=1, error=1),
    begins="known",
    cards=(0,),
)
APP_DECLINED = Configuration(
    "a decline seen by a look",
    "an older decline stands on the intent while a new confirm is late",
    budget(pay=2, view=1, decline=1, lost=1),
    begins="known",
)
CANCELED_CHALLENGE = Configuration(
    "a challenge on a canceled order",
    "the merchant cancels while the card holder is asked, and the cancel is lost",
    budget(pay=1, cancel=1, challenge=1, lost=1),
    begins="known",
)
LATE_WAITER = Configuration(
    "a late waiter",
    "somebody waits for an attempt and looks after another one has paid",
    budget(pay=3, work=1),
    begins="known",
)
OLD_EVENT = Configuration(
    "an old event",
    "the event of a decline comes while the next attempt waits for its challenge",
    budget(pay=2, event=1, view=1, challenge=1, decline=1),
    begins="known",
)
FINDERS: dict[str, Configuration] = {
    "1 fence": named("rate limits"),
    "2 close never sent": named("known card"),
    "3 attach key": named("prepared order"),
    "4 unknown ends by cancel": named("known card"),
    "5 another card": named("3-D Secure"),
    "5 abandoned challenge": named("3-D Secure"),
    "6 challenge over": named("3-D Secure"),
    "6 only from action": named("known card"),
    "6 no action by look": OLD_LOOK,
    "7 negatives look last": named("3-D Secure"),
    "8 only send": named("rate limits"),
    "9 reconfirm key": named("3-D Secure, manual"),
    "10 two steps": CANCELED_CHALLENGE,
    "10 busy": named("canceling, known card"),
    "10 next generation": named("Stripe cancels"),
    "11 customer deleted": named("customer deleted"),
    "11 compare and set": NEW_CUSTOMER,
    "12 success is the order's": named("the app confirms"),
    "12 decline is the app's": APP_DECLINED,
    "no compare-and-set": NO_INTENT_YET,
    "fresh intent on unknown": named("known card"),
    "fail from a webhook": named("events"),
    "failed on timeout": named("known card"),
    "lease trusted": named("known card"),
    "event by payload": OLD_EVENT,
    "attach keyed by method": named("prepared order"),
    "waiter looks at its attempt": LATE_WAITER,
    "503 after an earlier send": named("rate limits"),
    "secret told by a look": TOLD_BY_A_LOOK,
}
ARGUMENTS: dict[str, str] = {
    "1 save while live": "the fence reads the payment's state again, so an intent that was saved"
    " into a retired payment is never confirmed",
    "2 sent goes to the fence": "what was sent is attached, and attaching it again changes nothing;"
    " the rule spares a call whose refusal says nothing about the confirm that was sent",
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
