"""P1 to P5: customer, method and intent are there before anything is confirmed. No call of these
moves money, so each may be repeated, under the next key when Stripe saved a 5xx under the old one
(payments/customers.py, attach.py, prepare.py).
"""

from spec import books as b
from spec.books import Books
from spec.service import Move, Moves, Service, Visit
from spec.stripe import Request


class Readying(Service):
    # --- P1, P2: the customer --------------------------------------------------------------------

    def at_customer(self, books: Books, visit: Visit) -> Moves:
        number = self._user(books, visit)
        user = books.users[number]
        if user.customer >= 0:
            step = "intent" if visit.role == "preparer" else "method"
            says = f"customer {user.customer} is known"
            return [self.go(books, visit, step, says, customer=user.customer)]
        asked = visit._replace(key_no=user.key_no)
        noted = b.with_user(books, number, asked=user.asked or "now")
        if user.asked == "old":
            request = Request("find_customer", owner=number)
            return [self.call(noted, asked, "customer_found", request, "looks for the customer")]
        return [self._create_customer(noted, asked)]

    def _create_customer(self, books: Books, visit: Visit) -> Move:
        number = self._user(books, visit)
        request = Request("create_customer", f"cus:{number}:{visit.key_no}", owner=number)
        return self.call(books, visit, "customer_made", request, "asks for a customer")

    def at_customer_found(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self._save_customer(books, visit, reply.id)]
        if reply.kind == "none" and not visit.why:
            return [self._create_customer(books, visit)]
        if reply.kind == "none":
            number = self._user(books, visit)
            user = books.users[number]
            if user.key_no == visit.key_no:
                books = b.with_user(books, number, key_no=user.key_no + 1, asked="")
            return [self.go(books, visit, "customer", "takes the next key", why="")]
        return [self._not_ready(books, visit, "the customer is unknown")]

    def at_customer_made(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self._save_customer(books, visit, reply.id)]
        if reply.kind == "saved_error":
            request = Request("find_customer", owner=self._user(books, visit))
            looking = visit._replace(why="saved_error")
            says = "a saved 500: looks whether the customer was made"
            return [self.call(books, looking, "customer_found", request, says)]
        moves = [self._not_ready(books, visit, "no customer")]
        if reply.kind != "limited" and not visit.has_retried:
            moves.insert(0, self._create_customer(books, visit._replace(has_retried=True)))
        return moves

    def _save_customer(self, books: Books, visit: Visit, customer: int) -> Move:
        """The first answer under the present key wins."""
        number = self._user(books, visit)
        user = books.users[number]
        if user.customer < 0 and user.key_no == visit.key_no:
            books = b.with_user(books, number, customer=customer)
        says = f"records customer {books.users[number].customer}"
        return self.go(books, visit, "customer", says, why="", key_no=-1, has_retried=False)

    def _not_ready(self, books: Books, visit: Visit, says: str) -> Move:
        """No confirm was ever sent."""
        if visit.role == "preparer":
            return Move(books, None, says)
        return self.close_refused(books, visit, 0, says)

    # --- P3: the method --------------------------------------------------------------------------

    def at_method(self, books: Books, visit: Visit) -> Moves:
        """Attached to the user's customer before it is used, so that a decline cannot kill it."""
        attempt = books.attempts[visit.attempt]
        card = books.cards[attempt.method]
        user = self._user(books, visit)
        if self.is_single or card == b.Card("attached", user, visit.customer):
            return [self.go(books, visit, "intent", f"card {attempt.method} is known")]
        key = f"att:{visit.attempt}:{attempt.attach_key}"
        if not self.has("3 attach key") or self.bug == "attach keyed by method":
            key = f"att:{attempt.method}:{visit.customer}"
        request = Request("attach", key, method=attempt.method, customer=visit.customer)
        sending = visit._replace(key_no=attempt.attach_key)
        return [self.call(books, sending, "attached", request, f"attaches card {attempt.method}")]

    def at_attached(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        method = books.attempts[visit.attempt].method
        done = visit._replace(key_no=-1, has_retried=False)
        if reply.kind == "ok":
            card, user = books.cards[method], self._user(books, visit)
            if card.user in (-1, user) and card.state in ("", "attached", "released"):
                books = b.with_card(books, method, b.Card("attached", user, visit.customer))
            return [self.go(books, done, "intent", f"records card {method} as the user's")]
        if reply.kind == "declined":
            says = "records that the attach was declined"
            return [self.negative(books, visit, "declined", says, only_unsent=True)]
        if reply.kind == "dead":
            return [self.resolve_dead(books, done)]
        if reply.kind == "foreign":
            return [self.close_refused(books, visit, 0, "the card is somebody else's")]
        if reply.kind == "gone":
            return [self.customer_gone(books, visit)]
        if reply.kind == "saved_error":
            attempt = books.attempts[visit.attempt]
            if attempt.attach_key == visit.key_no:
                books = b.with_attempt(books, visit.attempt, attach_key=attempt.attach_key + 1)
            return [self.go(books, done, "method", "a saved 500: takes the next attach key")]
        moves = [self._not_ready(books, visit, "the card could not be attached")]
        if reply.kind != "limited" and not visit.has_retried:
            moves.insert(0, self.go(books, visit, "method", "attaches again", has_retried=True))
        return moves

    def customer_gone(self, books: Books, visit: Visit) -> Move:
        """The customer was deleted at Stripe (rule 11)."""
        if not self.has("11 customer deleted"):
            return self._not_ready(books, visit, "Stripe refused it")
        number = self._user(books, visit)
        gone = visit.customer
        if not self.has("11 compare and set"):
            gone = books.users[number].customer
        forgotten = b.forget_customer(books, number, gone)
        return self.again(forgotten, visit, f"forgets customer {gone}, who was deleted")

    def resolve_dead(self, books: Books, visit: Visit) -> Move:
        """A dead method is evidence of an earlier use: see first whether that one paid."""
        if not self.is_single:
            books = b.release_card(books, books.attempts[visit.attempt].method)
        if books.payments[visit.payment].intent < 0:
            return self.negative(books, visit, "consumed", "the card is dead", only_unsent=True)
        return self.look(books, visit, "the card is dead: looks whether it paid", why="dead")

    # --- P4, P5: the intent ----------------------------------------------------------------------

    def at_intent(self, books: Books, visit: Visit) -> Moves:
        payment = books.payments[visit.payment]
        if payment.customer < 0:
            books = b.with_payment(books, visit.payment, customer=visit.customer, asked="now")
            payment = books.payments[visit.payment]
        fresh_one = self.bug == "fresh intent on unknown" and visit.why == "fresh"
        if payment.state != "live" or payment.customer != visit.customer:
            if visit.role == "preparer":
                return [Move(books, None, "there is nothing to prepare any more")]
            if payment.state == "live" and not self.has("11 customer deleted"):
                return [self.again(books, visit, "the intent is another customer's")]
            return [self.cancel(books, visit, "superseded", "the intent cannot be used any more")]
        if payment.intent >= 0 and not fresh_one:
            if visit.role == "preparer":
                return [Move(books, None, "the order is prepared")]
            return [self.go(books, visit, "fence", f"intent {payment.intent} is recorded")]
        asking = visit._replace(key_no=payment.key_no)
        if payment.asked == "old":
            request = Request("list_intents", customer=payment.customer, owner=visit.payment)
            return [self.call(books, asking, "intent_listed", request, "lists what it made of it")]
        return [self._create_intent(books, asking)]

    def _create_intent(self, books: Books, visit: Visit) -> Move:
        key = f"pi:{visit.payment}:{visit.key_no}"
        if visit.why == "fresh":
            key = f"pi:{visit.payment}:fresh"
        customer = books.payments[visit.payment].customer
        request = Request("create_intent", key, customer=customer, owner=visit.payment)
        return self.call(books, visit, "intent_made", request, "asks for an unconfirmed intent")

    def at_intent_listed(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self._save_intent(books, visit, reply.id)]
        if reply.kind == "none":
            return [self._create_intent(books, visit)]
        return [self._not_ready(books, visit, "Stripe did not answer")]

    def at_intent_made(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            return [self._save_intent(books, visit, reply.id)]
        if reply.kind == "saved_error":
            payment = books.payments[visit.payment]
            if payment.key_no == visit.key_no and payment.intent < 0:
                key_no = payment.key_no + 1
                books = b.with_payment(books, visit.payment, key_no=key_no, asked="now")
            says = "a saved 500: takes the next key"
            return [self.go(books, visit, "intent", says, key_no=-1, has_retried=False)]
        if reply.kind == "gone":
            if visit.role == "preparer":
                user = self._user(books, visit)
                books = b.forget_customer(books, user, visit.customer)
                return [Move(books, None, "forgets the customer")]
            return [self.customer_gone_at_intent(books, visit)]
        moves = [self._not_ready(books, visit, "no intent")]
        if reply.kind != "limited" and not visit.has_retried:
            moves.insert(0, self._create_intent(books, visit._replace(has_retried=True)))
        return moves

    def customer_gone_at_intent(self, books: Books, visit: Visit) -> Move:
        """As `ensure_intent`: forgotten, then the unusable generation is retired."""
        if not self.has("11 customer deleted"):
            return self._not_ready(books, visit, "Stripe refused it")
        forgotten = b.forget_customer(books, self._user(books, visit), visit.customer)
        return self.cancel(forgotten, visit, "superseded", "forgets the customer")

    def _save_intent(self, books: Books, visit: Visit, intent: int) -> Move:
        """Compare-and-set: the first one wins; nobody ever confirms another."""
        payment = books.payments[visit.payment]
        is_live = payment.state == "live" or not self.has("1 save while live")
        is_free = payment.intent < 0 or self.bug in (
            "no compare-and-set",
            "fresh intent on unknown",
        )
        if is_live and is_free:
            books = b.with_payment(books, visit.payment, intent=intent)
        done = visit._replace(key_no=-1, has_retried=False, why="")
        says = f"records intent {books.payments[visit.payment].intent}"
        return self.go(books, done, "intent", says)
