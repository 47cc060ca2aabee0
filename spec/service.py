"""The pay pipeline, one function per transaction: T1 to P7, as `payments/pay` does it.

A function reads the books as they stand, and says what it writes and where the visit goes on; a
visit that calls Stripe carries its request, whose parameters are those of that transaction. Time
does not exist: a lease may be over, and a window be over, whenever that is possible at all.
"""

from collections.abc import Callable
from typing import NamedTuple

from spec import books as b
from spec.books import Books
from spec.stripe import Reply, Request

MAX_ROUNDS = 2
"""The code goes on for 6; after that, as after these, the answer is "in progress"."""
NEGATIVE = frozenset(
    {"declined", "authentication_failed", "consumed", "refused", "failed", "not_found"}
)
"""Answers that promise: the attempt they speak of never charges."""


class Visit(NamedTuple):
    """One walk through the pipeline: a request, a round of recovery, an event that is worked on."""

    role: str  # payer, confirmer, viewer, worker; canceler, capturer, preparer, deleter
    order: int
    method: int = -1
    step: str = "claim"
    attempt: int = -1
    payment: int = -1
    seen: str = ""  # the attempt's state when it was last read
    why: str = ""  # what sent us to look: dead, saved_error, unexpected
    becomes: str = ""  # what an attempt in action becomes when its intent is canceled
    customer: int = -1
    key_no: int = -1
    is_late: bool = False  # the window of what a worker finds is over
    has_retried: bool = False
    rounds: int = 0
    request: Request | None = None
    reply: Reply | None = None


class Answer(NamedTuple):
    kind: str
    attempt: int = -1


class Move(NamedTuple):
    """What one transaction writes, and where the visit goes on; None: it is over."""

    books: Books
    visit: Visit | None
    says: str
    answer: Answer | None = None


Moves = list[Move]
Step = Callable[[Books, Visit], Moves]


class Service:
    """The pipeline without the rules in `without`, and with the bugs in `bugs`. `is_punctual`: no
    lease is over while its owner works."""

    def __init__(
        self,
        without: str = "",
        bug: str = "",
        *,
        is_manual: bool = False,
        is_single: bool = False,
        is_punctual: bool = False,
    ) -> None:
        self.without = without
        self.bug = bug
        self.is_manual = is_manual
        self.is_single = is_single
        self.is_punctual = is_punctual
        self.steps: dict[str, Step] = {
            name.removeprefix("at_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("at_")
        }

    def has(self, rule: str) -> bool:
        return rule != self.without

    def step(self, books: Books, visit: Visit) -> Moves:
        return self.steps[visit.step](books, visit)

    def _user(self, books: Books, visit: Visit) -> int:
        return books.orders[visit.order].user

    # --- how a step ends -------------------------------------------------------------------------

    def call(self, books: Books, visit: Visit, then: str, request: Request, says: str) -> Move:
        return Move(books, visit._replace(step=then, request=request, reply=None), says)

    def go(self, books: Books, visit: Visit, step: str, says: str, **changes: object) -> Move:
        gone = visit._replace(step=step, reply=None, **changes)  # type: ignore[arg-type]
        return Move(books, gone, says)

    def answer(self, books: Books, visit: Visit, kind: str, says: str) -> Move:
        """A refusal of another card's attempt is no answer to this payer: he goes on."""
        is_others = (
            visit.role == "payer"
            and visit.attempt >= 0
            and (books.attempts[visit.attempt].method != visit.method)
        )
        if is_others and kind in NEGATIVE:
            return self.again(books, visit, says)
        if visit.role == "viewer":
            return self.go(books, visit, "status", says, why=kind)
        return Move(books, None, says, Answer(kind, visit.attempt))

    def again(self, books: Books, visit: Visit, says: str) -> Move:
        """Start again at the claim."""
        if visit.rounds >= MAX_ROUNDS or visit.role in ("viewer", "preparer"):
            return self.end_without_answer(books, visit, says)
        fresh = Visit(
            visit.role,
            visit.order,
            visit.method,
            is_late=visit.is_late,
            rounds=visit.rounds + 1,
        )
        return Move(books, fresh, f"{says}; again")

    def end_without_answer(self, books: Books, visit: Visit, says: str) -> Move:
        if visit.role == "viewer":
            return self.go(books, visit, "status", says)
        return Move(books, None, says, Answer("processing", visit.attempt))

    def unknown(self, books: Books, visit: Visit, says: str) -> Move:
        return self.end_without_answer(books, visit, f"{says}: unknown, the attempt stays as it is")

    def answer_of(self, books: Books, visit: Visit, says: str) -> Move:
        """What a closed attempt answers to whoever asked for it (payments/pay/answers.py)."""
        state = books.attempts[visit.attempt].state
        if state == "succeeded":
            is_paid = books.orders[visit.order].status == "paid"
            return self.answer(books, visit, "paid" if is_paid else "held", says)
        if state in b.GIVEN_UP:
            return self.again(books, visit, f"{says}, {state}")
        return self.answer(books, visit, state, f"{says}, {state}")

    def known_by_now(self, books: Books, visit: Visit) -> Move | None:
        """Paid meanwhile, or closed meanwhile: then that is the answer (rule 7)."""
        if not self.has("7 negatives look last"):
            return None
        if books.orders[visit.order].status == "paid":
            return self.answer(books, visit, "paid", "paid meanwhile")
        if books.attempts[visit.attempt].state not in b.LIVE:
            return self.answer_of(books, visit, "closed meanwhile")
        return None

    def negative(
        self,
        books: Books,
        visit: Visit,
        state: str,
        says: str,
        *,
        only_unsent: bool = False,
        only_from: str = "",
    ) -> Move:
        """Close the attempt with Stripe's no, and answer it."""
        known = self.known_by_now(books, visit)
        if known is not None:
            return known
        attempt = books.attempts[visit.attempt]
        is_sent = only_unsent and attempt.sends > 0 and self.has("2 sent goes to the fence")
        if is_sent or (only_from and attempt.state != only_from):
            return self.again(books, visit, "somebody else went on with this attempt")
        closed = b.close(books, visit.attempt, state)
        if state in b.GIVEN_UP:
            return self.again(closed, visit, says)
        return self.answer(closed, visit, state, says)

    def close_refused(self, books: Books, visit: Visit, sends: int, says: str) -> Move:
        """Surely not executed: true only up to so many sends."""
        known = self.known_by_now(books, visit)
        if known is not None:
            return known
        attempt = books.attempts[visit.attempt]
        if attempt.state != "open" or attempt.sends > sends:
            return self.unknown(books, visit, says)
        return self.answer(b.close(books, visit.attempt, "refused"), visit, "refused", says)

    def paid(self, books: Books, visit: Visit, *, is_own: bool, method: int, says: str) -> Move:
        """A success may come from anywhere."""
        own = visit.attempt if is_own else None
        done = b.pay(books, visit.payment, own, method)
        if done.orders[visit.order].status == "paid":
            return self.answer(done, visit._replace(attempt=-1), "paid", f"{says}: order paid")
        return self.unknown(done, visit, f"{says}: surplus, an alarm")

    def held(self, books: Books, visit: Visit, *, is_own: bool, method: int, says: str) -> Move:
        """Stripe holds the money (payments/pay/holds.py)."""
        before = books.payments[visit.payment].state
        done = b.authorize(books, visit.payment, visit.attempt if is_own else None, method)
        if before == "succeeded":
            return self.answer(done, visit._replace(attempt=-1), "paid", f"{says}: captured")
        if before in ("canceled", "surplus"):
            return self.again(done, visit, f"{says}: the hold is over")
        kind = "held" if done.orders[visit.order].status == "pending" else "not_payable"
        return self.answer(done, visit._replace(attempt=-1), kind, f"{says}: authorized")

    # --- T1 --------------------------------------------------------------------------------------

    def at_claim(self, books: Books, visit: Visit) -> Moves:
        """A payer decides what to do, and writes the intention down. Others take over what stands,
        and never begin."""
        order = books.orders[visit.order]
        payment = b.standing_payment(books, visit.order)
        attempt = b.live_attempt(books, payment)
        if visit.role == "worker" and order.status == "canceling":
            return [self.resume_canceling(books, visit)]
        if visit.role == "payer" and order.status in ("canceling", "canceled"):
            return [self.answer(books, visit, "not_payable", "the order was canceled")]
        if order.status == "paid":
            return [self.answer(books, visit, "paid", "paid already")]
        if payment is not None and books.payments[payment].state == "authorized":
            return [self.held_already(books, visit._replace(payment=payment))]
        if payment is None or attempt is None:
            if visit.role == "payer":
                return [self.begin(books, visit, payment)]
            return [self.look_at_standing(books, visit, payment)]
        visit = visit._replace(payment=payment, attempt=attempt)
        row = books.attempts[attempt]
        is_others = visit.role == "payer" and row.method != visit.method
        is_unsent = row.state == "open" and row.sends == 0
        if is_others and is_unsent and self.has("2 close never sent"):
            return self.take_its_place(books, visit)
        if self.bug == "lease trusted" and row.state == "open" and visit.role == "payer":
            dropped = b.close(books, attempt, "abandoned")
            dropped = b.with_payment(dropped, payment, state="canceled")
            return [self.begin(dropped, visit, None)]
        return self.join(books, visit)

    def take_its_place(self, books: Books, visit: Visit) -> Moves:
        """Another card's attempt that was never sent gives way, to a request's first claim: who is
        back waits for its lease."""
        closed = b.close(books, visit.attempt, "superseded")
        begun = self.begin(closed, visit, visit.payment)
        if visit.rounds == 0 or not self.has("5 who is back waits"):
            return [begun]
        waits = self.go(books, visit, "wait", f"is back, and waits for attempt {visit.attempt}")
        return [waits] if self.is_punctual else [begun, waits]

    def held_already(self, books: Books, visit: Visit) -> Move:
        """A payer is told so. The worker goes on with a capture, or sees what became of it."""
        row = books.payments[visit.payment]
        if visit.role == "payer" and self.bug == "a hold does not stand":
            payments = (*books.payments, b.Payment(visit.order))
            return self.begin(books._replace(payments=payments), visit, len(payments) - 1)
        if visit.role == "payer":
            return self.answer(books, visit, "held", "the money is held")
        if visit.role == "worker" and row.capture == "requested":
            return self.send_capture(books, visit, "goes on with the capture")
        if self.bug == "a clock ends a hold" and visit.role == "worker" and visit.is_late:
            retired = b.retire(books, visit.payment, "superseded")
            return Move(retired, None, "MUTANT: the time is over, so the hold is")
        request = Request("retrieve", intent=row.intent)
        return self.call(books, visit, "seen", request, f"looks at intent {row.intent}")

    def send_capture(self, books: Books, visit: Visit, says: str) -> Move:
        row = books.payments[visit.payment]
        key = f"cp:{visit.payment}:{row.capture_key}"
        request = Request("capture", key, intent=row.intent)
        sending = visit._replace(key_no=row.capture_key)
        return self.call(books, sending, "captured", request, f"{says}: captures {row.intent}")

    def join(self, books: Books, visit: Visit) -> Moves:
        """A live attempt stands: look at its challenge, take it over, or wait for its answer."""
        row = books.attempts[visit.attempt]
        if row.state == "action":
            return [self.look(books, visit, "a challenge is pending", seen="action")]
        drives = self.drive(books, visit._replace(seen="open"))
        if visit.role not in ("payer", "confirmer"):
            return [drives]
        waits = self.go(books, visit, "wait", f"waits for attempt {visit.attempt}")
        return [waits] if self.is_punctual else [drives, waits]

    def at_wait(self, books: Books, visit: Visit) -> Moves:
        """Whoever waits for a lease to end has not begun: that is the claim of a later visit."""
        row = books.attempts[visit.attempt]
        if row.state == "open":
            return []
        if row.state == "action":
            return [self.again(books, visit, "it waits for the card holder")]
        if visit.role == "payer" and row.method != visit.method:
            return [self.again(books, visit, "another card's attempt is over")]
        is_looking = self.bug != "waiter looks at its attempt"
        if books.orders[visit.order].status == "paid" and is_looking:
            return [self.answer(books, visit, "paid", "the order is paid")]
        return [self.answer_of(books, visit, "the attempt is over")]

    def begin(self, books: Books, visit: Visit, payment: int | None) -> Move:
        """A new attempt; when all is there, its send is recorded at once."""
        card, user = books.cards[visit.method], books.orders[visit.order].user
        if card.state in ("deleting", "deleted") or card.user not in (-1, user):
            return self.answer(books, visit._replace(attempt=-1), "not_found", "no such card")
        if payment is None:
            payment = len(books.payments)
            books = books._replace(payments=(*books.payments, b.Payment(visit.order)))
        if self.is_single and self._is_consumed(books, visit.method):
            return self.answer(books, visit._replace(attempt=-1), "consumed", "used already")
        customer, row = books.users[user].customer, books.payments[payment]
        is_known = self.is_single or (card.state == "attached" and card.customer == customer)
        is_ready = is_known and row.intent >= 0 and 0 <= customer == row.customer
        attempt = len(books.attempts)
        opened = b.Attempt(payment, visit.method, sends=1 if is_ready else 0)
        books = books._replace(attempts=(*books.attempts, opened))
        visit = visit._replace(payment=payment, attempt=attempt, seen="open")
        says = f"opens attempt {attempt} with card {visit.method}"
        if is_ready:
            return self.confirm(books, visit, f"{says}, its send recorded")
        return self.go(books, visit, "customer", says)

    def _is_consumed(self, books: Books, method: int) -> bool:
        return any(
            a.method == method and a.sends > 0 and a.state != "refused" for a in books.attempts
        )

    def drive(self, books: Books, visit: Visit) -> Move:
        """Work on an open attempt that somebody left."""
        row = books.attempts[visit.attempt]
        says = f"takes attempt {visit.attempt} over"
        is_payer = visit.role == "payer"
        if row.sends == 0 or (is_payer and not self.has("2 sent goes to the fence")):
            if visit.role == "payer" or not self.has("2 close never sent"):
                return self.go(books, visit, "customer", says)
            return self.close_refused(books, visit, 0, "closes an attempt that was never sent")
        if visit.role == "worker":
            may_send = not visit.is_late and not row.is_old
        else:
            may_send = visit.role == "confirmer" or row.method == visit.method
        if may_send:
            return self.go(books, visit, "fence", says)
        return self.look(books, visit, says, seen="open")

    # --- P6: the fence, and the confirm of the recorded intent -----------------------------------

    def at_fence(self, books: Books, visit: Visit) -> Moves:
        order = books.orders[visit.order]
        payment, attempt = books.payments[visit.payment], books.attempts[visit.attempt]
        if self.has("1 fence"):
            if order.status == "paid":
                return [self.answer(books, visit, "paid", "paid meanwhile")]
            if attempt.state != "open":
                return [self.answer_unless_live(books, visit)]
            if order.status != "pending" and attempt.sends == 0:
                closed = b.close(books, visit.attempt, "refused")
                return [self.answer(closed, visit, "not_payable", "the order was canceled")]
            if payment.state != "live" or payment.intent < 0:
                closed = b.close(books, visit.attempt, "abandoned")
                return [self.again(closed, visit, "the payment was retired")]
        if payment.intent < 0:
            return [self.unknown(books, visit, "no intent")]
        seen = visit._replace(seen="open")
        if attempt.is_old and self.has("4 old key"):
            return [self.cancel(books, seen, "superseded", "the key is too old to be sent again")]
        sent = b.with_attempt(books, visit.attempt, sends=min(attempt.sends + 1, 2))
        return [self.confirm(sent, seen, "records the send")]

    def answer_unless_live(self, books: Books, visit: Visit) -> Move:
        if books.attempts[visit.attempt].state in b.LIVE:
            return self.again(books, visit, "it waits for the card holder")
        return self.answer_of(books, visit, "closed meanwhile")

    def confirm(self, books: Books, visit: Visit, says: str) -> Move:
        attempt = books.attempts[visit.attempt]
        request = Request(
            "confirm",
            f"cf:{visit.attempt}" + ("f" if visit.why == "fresh" else ""),
            intent=books.payments[visit.payment].intent,
            method=attempt.method,
            attempt=visit.attempt,
        )
        return self.call(books, visit, "confirmed", request, says)

    # --- asking Stripe ---------------------------------------------------------------------------

    def look(self, books: Books, visit: Visit, says: str, **changes: object) -> Move:
        """Ask how the recorded intent stands; `settling` draws the conclusion."""
        intent = books.payments[visit.payment].intent
        if intent < 0:
            return self.unknown(books, visit, says)
        looking = visit._replace(**changes)  # type: ignore[arg-type]
        request = Request("retrieve", intent=intent)
        return self.call(books, looking, "looked", request, f"{says}: looks at intent {intent}")

    def cancel(self, books: Books, visit: Visit, becomes: str, says: str) -> Move:
        """Make an outcome final: canceled means that this intent never charges."""
        intent = books.payments[visit.payment].intent
        if intent < 0:
            retired = b.retire(books, visit.payment, becomes, only_unrecorded=True)
            return self.again(retired, visit, f"{says}: retires a generation without an intent")
        asking = visit._replace(becomes=becomes)
        request = Request("cancel", intent=intent)
        return self.call(books, asking, "canceled", request, f"{says}: cancels intent {intent}")

    def look_at_standing(self, books: Books, visit: Visit, payment: int | None) -> Move:
        """No attempt of ours is live, but the app may have confirmed by itself."""
        row = books.payments[payment] if payment is not None else None
        is_worth_it = visit.rounds > 0 or (
            row is not None and row.is_secret_out and self.has("12 success is the order's")
        )
        if payment is None or row is None or row.intent < 0 or not is_worth_it:
            return self.end_of_follow_up(books, visit, "nothing stands")
        looking = visit._replace(payment=payment, attempt=-1)
        request = Request("retrieve", intent=row.intent)
        return self.call(books, looking, "seen", request, f"looks at intent {row.intent}")

    def end_of_follow_up(self, books: Books, visit: Visit, says: str) -> Move:
        """`pay/confirm` is told what the last attempt ended in; nobody asked the worker."""
        if visit.role == "confirmer":
            return self.go(books, visit, "latest", says)
        if visit.role == "viewer":
            return self.go(books, visit, "status", says)
        return Move(books, None, says)

    def resume_canceling(self, books: Books, visit: Visit) -> Move:
        """The second step: an intent that is recorded is canceled at Stripe first. None: it cannot
        be confirmed any more once this is committed."""
        payment = b.standing_payment(books, visit.order)
        intent = books.payments[payment].intent if payment is not None else -1
        if payment is None or intent < 0:
            return self.end_canceling(books, visit, payment)
        canceling = visit._replace(payment=payment)
        request = Request("cancel", intent=intent)
        return self.call(books, canceling, "order_canceled", request, f"cancels intent {intent}")

    def end_canceling(self, books: Books, visit: Visit, payment: int | None) -> Move:
        if payment is not None:
            books = b.retire(books, payment, "superseded")
        status = books.orders[visit.order].status
        if status == "canceling" and b.standing_payment(books, visit.order) is None:
            books = b.with_order(books, visit.order, "canceled")
            status = "canceled"
        kind = "canceled" if status == "canceled" else "processing"
        return Move(books, None, f"the order is {status}", Answer(kind))
