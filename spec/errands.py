"""The other use cases: canceling an order, preparing it ahead, events, looks, ending a card."""

from spec import books as b
from spec.books import Books
from spec.service import Answer, Move, Moves, Visit
from spec.settling import Settling
from spec.stripe import Request


class Pipeline(Settling):
    """The whole service."""

    # --- canceling (payments/orders/cancel.py) ----------------------------------------------------

    def at_cancel(self, books: Books, visit: Visit) -> Moves:
        """The merchant cancels: first `canceling` in our books, then Stripe's word."""
        order = books.orders[visit.order]
        if order.status == "paid":
            return [Move(books, None, "it is paid already", Answer("not_cancelable"))]
        standing = b.standing_payment(books, visit.order)
        is_capturing = standing is not None and books.payments[standing].capture
        is_pending = order.status == "pending"
        if is_pending and is_capturing and self.has("13 a capture is not canceled"):
            return [Move(books, None, "a capture is under way", Answer("in_progress"))]
        attempt = b.live_attempt(books, standing)
        if order.status == "pending" and attempt is not None:
            row = books.attempts[attempt]
            if row.state == "open" and row.sends > 0 and self.has("10 busy"):
                return [Move(books, None, "a sent attempt is open", Answer("in_progress"))]
            if row.state == "open":
                books = b.close(books, attempt, "refused")
        if order.status == "canceled":
            return [Move(books, None, "canceled already", Answer("canceled"))]
        if not self.has("10 two steps"):
            books = b.with_order(books, visit.order, "canceled")
            return [self.resume_canceling(books, visit)]
        books = b.with_order(books, visit.order, "canceling")
        return [self.go(books, visit, "canceling", "the order is canceling")]

    def at_canceling(self, books: Books, visit: Visit) -> Moves:
        return [self.resume_canceling(books, visit)]

    def at_order_canceled(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self.end_canceling(books, visit, visit.payment)]
        if reply.kind == "unexpected":
            request = Request("retrieve", intent=books.payments[visit.payment].intent)
            says = "cancel was refused: looks"
            return [self.call(books, visit, "order_looked", request, says)]
        return [Move(books, None, "unknown: recovery goes on", Answer("processing"))]

    def at_order_looked(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok" and reply.status == "canceled":
            return [self.end_canceling(books, visit, visit.payment)]
        if reply.kind == "ok" and reply.status == "succeeded":
            done = b.pay(books, visit.payment, None, reply.method)
            return [Move(done, None, "it was paid", Answer("not_cancelable"))]
        return [Move(books, None, "unknown: recovery goes on", Answer("processing"))]

    # --- capturing (payments/pay/capture.py) ------------------------------------------------------

    def at_capture(self, books: Books, visit: Visit) -> Moves:
        """The merchant takes what is held: first in our books, then at Stripe."""
        order = books.orders[visit.order]
        if order.status == "paid":
            return [Move(books, None, "captured already", Answer("captured"))]
        payment = b.standing_payment(books, visit.order)
        if order.status != "pending" or payment is None:
            return [Move(books, None, "nothing to capture", Answer("not_capturable"))]
        if books.payments[payment].state != "authorized":
            return [Move(books, None, "nothing is held", Answer("not_capturable"))]
        asked = b.with_payment(books, payment, capture="requested")
        return [self.send_capture(asked, visit._replace(payment=payment), "notes the capture")]

    def at_captured(self, books: Books, visit: Visit) -> Moves:
        """Whatever was answered, the intent says what was taken."""
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self.end_capture(books, visit, "succeeded", reply.method)]
        if reply.kind in ("lost", "error", "limited"):
            return [Move(books, None, "unknown: the worker goes on", Answer("processing"))]
        intent = books.payments[visit.payment].intent
        request = Request("retrieve", intent=intent)
        looking = visit._replace(why=reply.kind)
        says = f"{reply.kind}: looks at intent {intent}"
        return [self.call(books, looking, "capture_looked", request, says)]

    def at_capture_looked(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        row = books.payments[visit.payment]
        if reply.kind != "ok":
            return [Move(books, None, "unknown: the worker goes on", Answer("processing"))]
        if reply.status == "requires_capture":
            if visit.why == "saved_error" and row.capture_key == visit.key_no:
                books = b.with_payment(books, visit.payment, capture_key=row.capture_key + 1)
            return [Move(books, None, "it is still held: the next key", Answer("processing"))]
        return [self.end_capture(books, visit, reply.status, reply.method)]

    def end_capture(self, books: Books, visit: Visit, status: str, method: int) -> Move:
        if status == "succeeded":
            done = b.pay(books, visit.payment, None, method)
            is_paid = done.orders[visit.order].status == "paid"
            kind = "captured" if is_paid else "processing"
            return Move(done, None, f"the order is {done.orders[visit.order].status}", Answer(kind))
        retired = b.retire(books, visit.payment, "superseded")
        return Move(retired, None, "the hold is over", Answer("not_capturable"))

    # --- preparing (payments/pay/prepare.py) ------------------------------------------------------

    def at_prepare(self, books: Books, visit: Visit) -> Moves:
        """Customer, payment and intent of a new order."""
        if books.orders[visit.order].status != "pending":
            return [Move(books, None, "nothing to prepare")]
        payment = b.standing_payment(books, visit.order)
        if payment is None:
            payment = len(books.payments)
            books = books._replace(payments=(*books.payments, b.Payment(visit.order)))
        return [self.go(books, visit, "customer", "prepares the order", payment=payment)]

    # --- intents that no row holds (payments/pay/strays.py) ---------------------------------------

    def at_sweep(self, books: Books, visit: Visit) -> Moves:
        """Look what Stripe has of a payment, beside what is recorded."""
        numbers = range(len(books.payments)) if visit.payment < 0 else (visit.payment,)
        moves = []
        for number in numbers:
            row = books.payments[number]
            if row.customer < 0 or row.order != visit.order:
                continue
            request = Request("list_intents", customer=row.customer, owner=number)
            looking = visit._replace(payment=number)
            moves.append(self.call(books, looking, "swept", request, f"sweeps payment {number}"))
        return moves or [Move(books, None, "there is nothing to sweep")]

    def at_swept(self, books: Books, visit: Visit) -> Moves:
        """One of them is recorded where none is; a stray is canceled, since it can never become the
        recorded one: that row holds another one, or is retired."""
        reply = visit.reply
        assert reply is not None
        row = books.payments[visit.payment]
        if reply.kind != "ok":
            return [Move(books, None, "Stripe lists none")]
        if row.state == "live" and row.intent < 0:
            books = b.with_payment(books, visit.payment, intent=reply.id)
            if reply.status == "succeeded":
                books = b.pay(books, visit.payment, None, reply.method)
            if reply.status == "requires_capture":
                books = b.authorize(books, visit.payment, None, reply.method)
            return [Move(books, None, f"adopts intent {reply.id}")]
        strays = [number for number in (reply.id, *reply.others) if number != row.intent]
        if not strays:
            return [Move(books, None, "there is no stray")]
        request = Request("cancel", intent=strays[0])
        return [self.call(books, visit, "stray_canceled", request, f"cancels stray {strays[0]}")]

    def at_stray_canceled(self, books: Books, visit: Visit) -> Moves:
        return [Move(books, None, "the next round looks again")]

    # --- events are hints (payments/hints.py) ----------------------------------------------------

    def at_hint(self, books: Books, visit: Visit) -> Moves:
        """An event speaks of intent `visit.key_no`: look at it. `why` is the event's type."""
        intent, event = visit.key_no, visit.why
        found = [n for n, row in enumerate(books.payments) if row.intent == intent]
        if not found:
            return [Move(books, None, "the intent is not recorded yet: later")]
        payment = found[0]
        row = books.payments[payment]
        if row.state == "succeeded":
            return [Move(books, None, "known already")]
        attempt = b.live_attempt(books, payment) if row.state == "live" else None
        visit = visit._replace(order=row.order, payment=payment, key_no=-1, why="")
        if event == "payment_failed" and attempt is not None:
            state = books.attempts[attempt].state
            if (self.bug, state) in (
                ("fail from a webhook", "open"),
                ("event by payload", "action"),
            ):
                closed = b.close(books, attempt, "declined")
                return [Move(closed, None, "MUTANT: the event says declined")]
        if attempt is not None and books.attempts[attempt].state == "action":
            says = "an event came for a challenge"
            return [self.look(books, visit._replace(attempt=attempt), says, seen="action")]
        request = Request("retrieve", intent=intent)
        return [self.call(books, visit, "seen", request, f"an event: looks at intent {intent}")]

    # --- GET …/payment ---------------------------------------------------------------------------

    def at_view(self, books: Books, visit: Visit) -> Moves:
        """Looks at Stripe only while a card holder has to act or an outcome is unknown."""
        payment = b.standing_payment(books, visit.order)
        attempt = b.live_attempt(books, payment)
        if payment is None or books.payments[payment].state == "authorized":
            return self.at_status(books, visit)
        if attempt is None:
            return [self.look_at_standing(books, visit, payment)]
        row = books.attempts[attempt]
        if row.state == "open" and row.sends == 0:
            return self.at_status(books, visit)
        looking = visit._replace(payment=payment, attempt=attempt)
        return [self.look(books, looking, "somebody asks", seen=row.state)]

    # --- the end of a card (payments/cards/release.py) --------------------------------------------

    def at_delete(self, books: Books, visit: Visit) -> Moves:
        """First our books say that no payment may begin with it, then Stripe is told."""
        card = books.cards[visit.method]
        if card.state != "attached":
            return [Move(books, None, "no such card")]
        is_used = any(a.method == visit.method and a.state in b.LIVE for a in books.attempts)
        if is_used:
            return [Move(books, None, "a payment with it is not over", Answer("in_progress"))]
        books = b.with_card(books, visit.method, card._replace(state="deleting"))
        request = Request("detach", method=visit.method)
        return [self.call(books, visit, "detached", request, "deletes the card")]

    def at_detached(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        if reply is None or reply.kind != "ok":
            return [Move(books, None, "recovery detaches it later")]
        return [Move(b.release_card(books, visit.method), None, "the card is gone")]
