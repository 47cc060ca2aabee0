"""What others do, on the same Stripe: the server that was replaced, the repairs that suggest
themselves, and one call that creates and confirms at once."""

from spec import books as b
from spec.books import Books
from spec.service import Answer, Move, Visit
from spec.stripe import Reply, Request


class Naive:
    """Read whether the order is paid; call Stripe; write the answer down. No recovery."""

    def step(self, books: Books, visit: Visit) -> list[Move]:
        if visit.role != "payer":
            return [Move(books, None, "there is no recovery")]
        if visit.step == "claim":
            return [self.begin(books, visit)]
        reply = visit.reply
        assert reply is not None
        return [
            self.attached(books, visit, reply)
            if visit.step == "attached"
            else self.paid(books, visit, reply)
        ]

    def begin(self, books: Books, visit: Visit) -> Move:
        if books.orders[visit.order].status == "paid":
            return Move(books, None, "the order is paid", Answer("paid"))
        return self.charge(books, visit)

    def attached(self, books: Books, visit: Visit, reply: Reply) -> Move:
        if reply.kind != "ok":
            return Move(books, None, f"attach: {reply.kind}", Answer("error"))
        return self.charge(books, visit)

    def charge(self, books: Books, visit: Visit, key: str = "", customer: int = -1) -> Move:
        request = Request(
            "create_and_confirm",
            key,
            method=visit.method,
            customer=customer,
            attempt=visit.attempt,
        )
        charging = visit._replace(step="paid", request=request, reply=None)
        return Move(books, charging, "asks Stripe for a confirmed PaymentIntent")

    def paid(self, books: Books, visit: Visit, reply: Reply) -> Move:
        if reply.kind == "ok" and reply.status == "succeeded":
            done = b.with_order(books, visit.order, "paid")
            return Move(done, None, "marks the order paid", Answer("paid"))
        return Move(books, None, f"Stripe's answer: {reply.kind}", Answer("error"))


class BrokenServer(Naive):
    """A confirmed PaymentIntent without a customer: a card is dead after its first attempt."""


class AttachThenCreate(Naive):
    """The recommended repair: attach to a Customer, then a confirmed PaymentIntent per request."""

    def begin(self, books: Books, visit: Visit) -> Move:
        if books.orders[visit.order].status == "paid":
            return Move(books, None, "the order is paid", Answer("paid"))
        request = Request("attach", method=visit.method, customer=0)
        attaching = visit._replace(step="attached", request=request)
        return Move(books, attaching, f"attaches card {visit.method}")

    def charge(self, books: Books, visit: Visit, key: str = "", customer: int = 0) -> Move:
        return super().charge(books, visit, key, customer)


class SingleUseRandomKey(Naive):
    """The other repair: a fresh card and a random idempotency key with each request. A random key
    is never seen twice, so it is as good as none."""


class OneCall(Naive):
    """The best that one call can do: attempts in the books, a stable key for each, an attempt
    whose answer was lost is taken up again under its key, and recovery does the same."""

    def step(self, books: Books, visit: Visit) -> list[Move]:
        if visit.step == "claim":
            return [self.claim(books, visit)]
        reply = visit.reply
        assert reply is not None
        return [self.write_down(books, visit, reply)]

    def claim(self, books: Books, visit: Visit) -> Move:
        if books.orders[visit.order].status == "paid":
            return Move(books, None, "the order is paid", Answer("paid"))
        for number, attempt in enumerate(books.attempts):
            if attempt.state == "open":
                joined = visit._replace(attempt=number, method=attempt.method)
                return self.charge(books, joined, f"attempt:{number}", 0)
        if visit.role != "payer":
            return Move(books, None, "nothing to recover")
        number = len(books.attempts)
        opened = books._replace(attempts=(*books.attempts, b.Attempt(0, visit.method, sends=1)))
        return self.charge(opened, visit._replace(attempt=number), f"attempt:{number}", 0)

    def write_down(self, books: Books, visit: Visit, reply: Reply) -> Move:
        if reply.kind == "ok" and reply.status == "succeeded":
            done = b.close(b.with_order(books, visit.order, "paid"), visit.attempt, "succeeded")
            return Move(done, None, "marks the order paid", Answer("paid"))
        if reply.kind == "declined":
            done = b.close(books, visit.attempt, "declined")
            return Move(done, None, "records the decline", Answer("declined", visit.attempt))
        if reply.kind == "saved_error":
            done = b.close(books, visit.attempt, "abandoned")
            says = "that key answers 500 for ever: only a new key can go on"
            return Move(done, None, says, Answer("processing"))
        return Move(books, None, "unknown: the attempt stays open", Answer("processing"))
