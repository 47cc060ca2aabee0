"""What Stripe does, as far as paying orders is concerned.

A call is executed at once and as a whole; what can go differently (a decline, a challenge, a 5xx)
is one more possible effect. Facts: docs.stripe.com/api/idempotent_requests (the first answer is
saved under the key, 402 and 500 too, for 24 hours; what is refused before execution is not saved),
docs.stripe.com/api/payment_intents (statuses, at most one charge), and recorded traffic (a method
that was tried without being attached is dead, so is one that was detached).
"""

from typing import NamedTuple

FRESH, DEAD = -1, -2
"""Of a PaymentMethod; every other number is the customer whom it is attached to."""
NOBODY = -1
_BEST_FIRST = (
    "succeeded",
    "requires_capture",
    "requires_action",
    "requires_confirmation",
    "requires_payment_method",
)
ENDED = ("succeeded", "requires_capture", "canceled")
"""No confirm is taken any more."""
APP = -2
"""Who confirmed: the app itself, with the client secret."""


class Customer(NamedTuple):
    user: int
    is_alive: bool = True


class Intent(NamedTuple):
    """`by`: the attempt whose confirm moved it last; `payment`: our metadata. `was_held`: its money
    is held, or was."""

    payment: int
    customer: int
    status: str = "requires_payment_method"
    charges: int = 0
    by: int = NOBODY
    error: str = ""
    method: int = -1
    was_held: bool = False


class Stripe(NamedTuple):
    customers: tuple[Customer, ...] = ()
    intents: tuple[Intent, ...] = ()
    methods: tuple[int, ...] = ()
    keys: frozenset[tuple[str, "Reply"]] = frozenset()
    events: frozenset[tuple[str, int]] = frozenset()


class Request(NamedTuple):
    """One call. `key` is empty where repeating is harmless and every send has a fresh key."""

    kind: str
    key: str = ""
    intent: int = -1
    method: int = -1
    customer: int = -1
    owner: int = -1  # the user of a customer, the payment of an intent
    attempt: int = NOBODY


class Reply(NamedTuple):
    """`kind`: ok, declined, dead, foreign, gone, unexpected, none, limited, error (a first 5xx),
    saved_error (a 5xx replayed from the key), lost (nothing came back). `others`: what a list holds
    beside `id`."""

    kind: str
    id: int = -1
    status: str = ""
    error: str = ""
    method: int = -1
    is_replayed: bool = False
    others: tuple[int, ...] = ()


LOST = Reply("lost")


class Manners(NamedTuple):
    """How this account of Stripe is set up, and what no source settles."""

    is_manual: bool = False  # confirmation_method
    is_held: bool = False  # capture_method: manual
    has_events: bool = False  # whether events are remembered (they are not when nobody reads them)


class Effect(NamedTuple):
    """One way in which a call can go; `spends` is the bad luck that it takes, in one or two
    words."""

    stripe: Stripe
    reply: Reply
    says: str
    spends: str = ""


def execute(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    """Everything that the call can do. The first effect is the one without bad luck."""
    if request.key:
        for key, saved in stripe.keys:
            if key == request.key:
                kind = "saved_error" if saved.kind == "error" else saved.kind
                again = saved._replace(kind=kind, is_replayed=True)
                return [Effect(stripe, again, f"answers what it saved under that key: {kind}")]
    effects = [
        effect if effect.spends == "refused" or not request.key else _save(effect, request.key)
        for effect in _EXECUTE[request.kind](stripe, request, manners, luck)
    ]
    done = [e._replace(spends="") if e.spends == "refused" else e for e in effects]
    if request.key and "error" in luck:
        error = Reply("error")
        failed = _save(
            Effect(stripe, error, "fails with a 500 before it did anything"), request.key
        )
        done.append(failed._replace(spends="error"))
        for effect in effects:
            if effect.spends != "refused":
                executed = effect.stripe._replace(keys=stripe.keys | {(request.key, error)})
                says = f"{effect.says}, and answers 500 all the same"
                done.append(Effect(executed, error, says, f"{effect.spends} error".strip()))
    if request.key and "limited" in luck:
        done.append(Effect(stripe, Reply("limited"), "answers 429, not executed", "limited"))
    return done


def _save(effect: Effect, key: str) -> Effect:
    stripe = effect.stripe._replace(keys=effect.stripe.keys | {(key, effect.reply)})
    return effect._replace(stripe=stripe)


def _refused(stripe: Stripe, kind: str, says: str) -> list[Effect]:
    """Refused before execution: nothing happened, nothing is saved under the key."""
    return [Effect(stripe, Reply(kind), says, "refused")]


# --- customers and methods -----------------------------------------------------------------------


def _create_customer(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    made = stripe._replace(customers=(*stripe.customers, Customer(request.owner)))
    return [Effect(made, Reply("ok", len(stripe.customers)), "creates a customer")]


def _find_customer(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    for number, customer in enumerate(stripe.customers):
        if customer == Customer(request.owner):
            return [Effect(stripe, Reply("ok", number), f"finds customer {number}")]
    return [Effect(stripe, Reply("none"), "finds no customer of this user")]


def _attach(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    owner = stripe.methods[request.method]
    if not stripe.customers[request.customer].is_alive:
        return _refused(stripe, "gone", "refuses: the customer was deleted")
    if owner == DEAD:
        return _refused(stripe, "dead", "refuses: the card may not be used again")
    if owner not in (FRESH, request.customer):
        return _refused(stripe, "foreign", "refuses: the card is another customer's")
    attached = stripe._replace(methods=_put(stripe.methods, request.method, request.customer))
    effects = [Effect(attached, Reply("ok"), f"attaches card {request.method}")]
    if owner == FRESH and "decline" in luck:
        effects.append(Effect(stripe, Reply("declined"), "declines the attach (402)", "decline"))
    return effects


def _detach(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    dead = stripe._replace(methods=_put(stripe.methods, request.method, DEAD))
    return [Effect(dead, Reply("ok"), f"detaches card {request.method} for good")]


# --- intents -------------------------------------------------------------------------------------


def _create_intent(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    if not stripe.customers[request.customer].is_alive:
        return _refused(stripe, "gone", "refuses: the customer was deleted")
    made = stripe._replace(intents=(*stripe.intents, Intent(request.owner, request.customer)))
    number = len(stripe.intents)
    return [Effect(made, Reply("ok", number), f"creates intent {number}, unconfirmed")]


def _list_intents(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    """Of those that are not canceled the one that went furthest is told first."""
    found = [
        number
        for number, intent in enumerate(stripe.intents)
        if (intent.customer, intent.payment) == (request.customer, request.owner)
        and intent.status != "canceled"
    ]
    if not found:
        return [Effect(stripe, Reply("none"), "lists no intent of this payment")]
    best = min(
        found, key=lambda number: (_BEST_FIRST.index(stripe.intents[number].status), -number)
    )
    intent = stripe.intents[best]
    others = tuple(number for number in found if number != best)
    reply = Reply("ok", best, intent.status, method=intent.method, others=others)
    return [Effect(stripe, reply, f"lists intent {best}" + (" and others" if others else ""))]


def _retrieve(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    intent = stripe.intents[request.intent]
    reply = Reply("ok", request.intent, intent.status, intent.error, intent.method)
    return [Effect(stripe, reply, f"shows intent {request.intent}: {intent.status}")]


def _cancel(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    status = stripe.intents[request.intent].status
    if status in ("succeeded", "canceled"):
        return _refused(stripe, "unexpected", f"refuses to cancel: it is {status}")
    reply = Reply("ok", request.intent, "canceled")
    canceled = cancel_intent(stripe, request.intent, manners)
    return [Effect(canceled, reply, f"cancels intent {request.intent}")]


def _confirm(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    intent = stripe.intents[request.intent]
    if not stripe.customers[intent.customer].is_alive:
        return _refused(stripe, "gone", "refuses: the customer was deleted")
    if intent.status in ENDED:
        return _refused(stripe, "unexpected", f"refuses: the intent is {intent.status}")
    if request.method < 0:
        return _confirm_again(stripe, request, manners, luck)
    refusals = []
    if intent.status == "requires_action":  # no source says whether it may be replaced
        refusals = _refused(stripe, "unexpected", "refuses: the intent waits for its challenge")
    owner = stripe.methods[request.method]
    if owner == DEAD and intent.method != request.method:
        return _refused(stripe, "dead", "refuses: the card may not be used again")
    if owner not in (FRESH, DEAD, intent.customer):
        return _refused(stripe, "foreign", "refuses: the card is another customer's")
    if owner == FRESH:  # tried without being attached: dead from now on, whatever comes of it
        stripe = stripe._replace(methods=_put(stripe.methods, request.method, DEAD))
    return _try_to_charge(stripe, request, request.method, manners, luck) + refusals


def _confirm_again(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    """Confirmation method manual: without a method, after the challenge."""
    intent = stripe.intents[request.intent]
    if intent.status == "requires_action":
        reply = Reply("ok", request.intent, intent.status)
        return [Effect(stripe, reply, "still waits for the challenge")]
    if intent.status == "requires_payment_method":
        return _refused(stripe, "unexpected", "refuses: the intent has no method")
    return _try_to_charge(stripe, request, intent.method, manners, luck)


def _try_to_charge(
    stripe: Stripe, request: Request, method: int, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    number = request.intent
    intent = stripe.intents[number]
    by = request.attempt if request.method >= 0 else intent.by  # whose method it is that pays
    intent = intent._replace(by=by, error="", method=method)
    paid = charge(stripe, number, intent, manners)
    status = paid.intents[number].status
    does = "HOLDS the money of" if status == "requires_capture" else "CHARGES"
    effects = [Effect(paid, Reply("ok", number, status), f"{does} intent {number}")]
    if "decline" in luck:
        declined = decline(stripe, number, intent, "declined", manners)
        effects.append(
            Effect(declined, Reply("declined", number), "declines the card (402)", "decline")
        )
    if "challenge" in luck:
        waiting = intent._replace(status="requires_action")
        asked = stripe._replace(intents=_put(stripe.intents, number, waiting))
        reply = Reply("ok", number, "requires_action")
        effects.append(Effect(asked, reply, "asks for authentication", "challenge"))
    return effects


def _capture(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    """What is held is taken once (recorded: every other state refuses it)."""
    intent = stripe.intents[request.intent]
    if intent.status != "requires_capture":
        return _refused(stripe, "unexpected", f"refuses to capture: it is {intent.status}")
    taken = intent._replace(status="succeeded", charges=intent.charges + 1)
    after = _with_intent(stripe, request.intent, taken, "succeeded", manners)
    reply = Reply("ok", request.intent, "succeeded", method=intent.method)
    return [Effect(after, reply, f"CAPTURES intent {request.intent}")]


def _create_and_confirm(
    stripe: Stripe, request: Request, manners: Manners, luck: frozenset[str]
) -> list[Effect]:
    """The one call of the naive servers; without a customer the method dies with it."""
    owner = stripe.methods[request.method]
    if owner == DEAD:
        return _refused(stripe, "dead", "refuses: the card may not be used again")
    made = Intent(request.owner, request.customer, method=request.method)
    number = len(stripe.intents)
    stripe = stripe._replace(intents=(*stripe.intents, made))
    if owner == FRESH:
        stripe = stripe._replace(methods=_put(stripe.methods, request.method, DEAD))
    sent = request._replace(intent=number)
    return _try_to_charge(stripe, sent, request.method, manners, luck)


_EXECUTE = {
    "create_customer": _create_customer,
    "find_customer": _find_customer,
    "attach": _attach,
    "detach": _detach,
    "create_intent": _create_intent,
    "list_intents": _list_intents,
    "retrieve": _retrieve,
    "cancel": _cancel,
    "confirm": _confirm,
    "capture": _capture,
    "create_and_confirm": _create_and_confirm,
}


# --- what happens at Stripe without a call of ours -----------------------------------------------


def charge(stripe: Stripe, number: int, intent: Intent, manners: Manners) -> Stripe:
    """With capture method `manual` the money is held."""
    if manners.is_held:
        held = intent._replace(status="requires_capture", was_held=True)
        return _with_intent(stripe, number, held, "amount_capturable_updated", manners)
    paid = intent._replace(status="succeeded", charges=intent.charges + 1)
    return _with_intent(stripe, number, paid, "succeeded", manners)


def decline(stripe: Stripe, number: int, intent: Intent, error: str, manners: Manners) -> Stripe:
    """The method leaves the intent, which waits for another one."""
    failed = intent._replace(status="requires_payment_method", error=error, method=-1)
    return _with_intent(stripe, number, failed, "payment_failed", manners)


def cancel_intent(stripe: Stripe, number: int, manners: Manners) -> Stripe:
    canceled = stripe.intents[number]._replace(status="canceled")
    return _with_intent(stripe, number, canceled, "canceled", manners)


def answer_challenge(stripe: Stripe, number: int, how: str, manners: Manners) -> Stripe:
    """`how`: passed, failed, or declined by the bank after it was passed."""
    intent = stripe.intents[number]
    if how == "failed":
        return decline(stripe, number, intent, "authentication", manners)
    if how == "declined":
        return decline(stripe, number, intent, "declined", manners)
    if manners.is_manual:
        waiting = intent._replace(status="requires_confirmation")
        return stripe._replace(intents=_put(stripe.intents, number, waiting))
    return charge(stripe, number, intent, manners)


def delete_customer(stripe: Stripe, number: int) -> Stripe:
    """Deleted in the Dashboard; its cards cannot be used any more."""
    dead = stripe.customers[number]._replace(is_alive=False)
    methods = tuple(DEAD if owner == number else owner for owner in stripe.methods)
    return stripe._replace(customers=_put(stripe.customers, number, dead), methods=methods)


def _with_intent(
    stripe: Stripe, number: int, intent: Intent, event: str, manners: Manners
) -> Stripe:
    events = stripe.events | {(event, number)} if manners.has_events else stripe.events
    return stripe._replace(intents=_put(stripe.intents, number, intent), events=events)


def _put(items: tuple, number: int, item: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:number], item, *items[number + 1 :])
