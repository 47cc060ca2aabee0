"""What is concluded from Stripe's answers: P7, and the road of every unknown
(payments/pay: settle.py, confirm.py, reconfirm.py).

A failure is concluded from a look only where no send of ours can be on its way any more.
"""

from spec import books as b
from spec.books import Books
from spec.readying import Readying
from spec.service import Answer, Move, Moves, Visit
from spec.stripe import Reply, Request


class Settling(Readying):
    # --- P7 --------------------------------------------------------------------------------------

    def at_confirmed(self, books: Books, visit: Visit) -> Moves:
        """Stripe answered the confirm, or nothing came back."""
        reply = visit.reply
        assert reply is not None
        match reply.kind:
            case "ok":
                return self.confirm_executed(books, visit, reply)
            case "declined":
                return [self.negative(books, visit, "declined", "records the decline")]
            case "dead":
                return [self.resolve_dead(books, visit)]
            case "unexpected":
                return [self.look(books, visit, "refused for its state", why="unexpected")]
            case "gone" | "foreign":
                return [self.customer_replaced(books, visit, reply)]
            case "limited":
                return self.not_executed(books, visit)
            case "saved_error":
                return [self.look(books, visit, "a saved 500", why="saved_error")]
            case _:
                return self.confirm_unknown(books, visit)

    def confirm_executed(self, books: Books, visit: Visit, reply: Reply) -> Moves:
        attempt = books.attempts[visit.attempt]
        if reply.status == "succeeded":
            says = "records the charge"
            return [self.paid(books, visit, is_own=True, method=attempt.method, says=says)]
        if reply.status == "requires_capture":
            if reply.is_replayed:  # as old as the first send: see whether it still is so
                return [self.look(books, visit, "a hold from the key", why="")]
            says = "records the hold"
            return [self.held(books, visit, is_own=True, method=attempt.method, says=says)]
        known = self.known_by_now(books, visit)
        if known is not None:
            return [known]
        if attempt.state == "open":
            books = b.with_attempt(books, visit.attempt, state="action")
            books = b.with_payment(books, visit.payment, is_secret_out=True)
        if reply.is_replayed:  # as old as the first send: see what became of the challenge
            return [self.look(books, visit, "records the challenge", seen="action", why="")]
        return [self.answer(books, visit, "action", "records the challenge")]

    def not_executed(self, books: Books, visit: Visit) -> Moves:
        """This send did nothing; an earlier one may have (rule 8)."""
        sends = 1
        if not self.has("8 only send") or self.bug == "503 after an earlier send":
            sends = 2
        attempt = books.attempts[visit.attempt]
        known = self.known_by_now(books, visit)
        if known is None and attempt.sends > sends:
            return [self.look(books, visit, "an earlier send is unknown", why="")]
        return [self.close_refused(books, visit, sends, "surely not executed")]

    def confirm_unknown(self, books: Books, visit: Visit) -> Moves:
        """The same key again, or a look; no failure."""
        if self.bug == "failed on timeout":
            closed = b.close(books, visit.attempt, "failed")
            return [self.answer(closed, visit, "failed", "MUTANT: no answer, so it failed")]
        if (
            self.bug == "fresh intent on unknown"
            and visit.role == "payer"
            and not visit.has_retried
        ):
            fresh = visit._replace(why="fresh", has_retried=True)
            return [self._create_intent(books, fresh._replace(key_no=0))]
        moves = [self.look(books, visit, "the outcome is unknown", why="")]
        if not visit.has_retried:
            says = "sends the same key again"
            moves.insert(0, self.go(books, visit, "fence", says, has_retried=True))
        return moves

    def customer_replaced(self, books: Books, visit: Visit, reply: Reply) -> Move:
        """The intent's customer is gone, or the method is not its own: a new generation."""
        if self.is_single and reply.kind == "foreign":
            return self.close_refused(books, visit, 1, "the card is somebody else's")
        customer = books.payments[visit.payment].customer
        if reply.kind == "gone":
            if not self.has("11 customer deleted"):
                return self.unknown(books, visit, "Stripe refused it")
            number = self._user(books, visit)
            gone = customer if self.has("11 compare and set") else books.users[number].customer
            books = b.forget_customer(books, number, gone)
        else:
            books = b.release_card(books, books.attempts[visit.attempt].method)
        return self.go(books, visit, "replaced", f"the customer is {reply.kind}")

    def at_replaced(self, books: Books, visit: Visit) -> Moves:
        """The send was not executed; then the intent that nobody can use is canceled."""
        attempt = books.attempts[visit.attempt]
        if attempt.state == "open" and attempt.sends <= 1:
            books = b.close(books, visit.attempt, "refused")
        return [self.cancel(books, visit, "superseded", "a new generation is needed")]

    # --- a look ----------------------------------------------------------------------------------

    def at_looked(self, books: Books, visit: Visit) -> Moves:
        """`seen` is the attempt's state before the look was sent."""
        reply = visit.reply
        assert reply is not None
        if reply.kind != "ok":
            return [self.unknown(books, visit, "Stripe did not show the intent")]
        match reply.status:
            case "succeeded":
                says = "sees that it charged"
                return [self.paid(books, visit, is_own=False, method=reply.method, says=says)]
            case "requires_capture":
                says = "sees that it is held"
                return [self.held(books, visit, is_own=False, method=reply.method, says=says)]
            case "canceled":
                return [self.seen_canceled(books, visit)]
            case "requires_action":
                return [self.still_pending(books, visit)]
            case "requires_confirmation":
                return [self.authenticated(books, visit)]
            case _:
                return [self.not_charged_now(books, visit, reply)]

    def seen_canceled(self, books: Books, visit: Visit) -> Move:
        attempt = books.attempts[visit.attempt]
        if visit.why == "unexpected" and attempt.state == "open" and attempt.sends <= 1:
            books = b.close(books, visit.attempt, "refused")  # this card was not used
        return self.go(books, visit, "retire", "sees that it is canceled", becomes="")

    def at_retire(self, books: Books, visit: Visit) -> Moves:
        if not self.has("10 next generation"):
            return [self.unknown(books, visit, "the intent is canceled")]
        becomes = visit.becomes or "authentication_failed"
        retired = b.retire(books, visit.payment, becomes)
        return [self.again(retired, visit, "retires the generation")]

    def still_pending(self, books: Books, visit: Visit) -> Move:
        """The challenge can still be completed. Another card, or the end of the window, ends it."""
        attempt = books.attempts[visit.attempt]
        is_foreign = visit.why == "unexpected" and visit.seen == "open"
        is_unwanted = visit.role == "payer" and (is_foreign or attempt.method != visit.method)
        if is_unwanted and self.has("5 another card"):
            return self.cancel(books, visit, "superseded", "another card is wanted")
        if self._is_late(visit) and self.has("5 abandoned challenge"):
            return self.cancel(books, visit, "authentication_failed", "the window is over")
        known = self.known_by_now(books, visit)
        if known is not None:
            return known
        if not self.has("6 no action by look") and attempt.state == "open":
            books = b.with_attempt(books, visit.attempt, state="action")
        if self.bug != "secret told by a look":
            books = b.with_payment(books, visit.payment, is_secret_out=True)
        return self.answer(books, visit, "action", "the challenge is pending")

    def authenticated(self, books: Books, visit: Visit) -> Move:
        """With `manual` the server confirms once more, within the window."""
        if visit.role == "viewer":
            return self.unknown(books, visit, "the challenge was passed")
        if not self.is_manual or self._is_late(visit):
            return self.end_unless_in_time(books, visit)
        attempt = books.attempts[visit.attempt]
        if visit.seen not in b.LIVE:
            return self.unknown(books, visit, "the attempt is over")
        key = f"rc:{visit.attempt}:{attempt.reconfirm_key}"
        if not self.has("9 reconfirm key"):
            key = f"cf:{visit.attempt}"
        intent = books.payments[visit.payment].intent
        request = Request("confirm", key, intent=intent, attempt=visit.attempt)
        sending = visit._replace(key_no=attempt.reconfirm_key)
        return self.call(books, sending, "reconfirmed", request, "confirms after the challenge")

    def at_reconfirmed(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        attempt = books.attempts[visit.attempt]
        if reply.kind == "ok" and reply.status == "succeeded":
            says = "records the charge"
            return [self.paid(books, visit, is_own=True, method=attempt.method, says=says)]
        if reply.kind == "declined":
            return [self.negative(books, visit, "declined", "records the decline")]
        if reply.kind in ("gone", "dead", "foreign"):
            if reply.kind == "gone" and self.has("11 customer deleted"):
                gone = books.payments[visit.payment].customer
                books = b.forget_customer(books, self._user(books, visit), gone)
            return [self.cancel(books, visit, "superseded", "it cannot be confirmed any more")]
        is_action = reply.kind == "ok" and reply.status == "requires_action"
        if (is_action or reply.kind == "saved_error") and attempt.reconfirm_key == visit.key_no:
            next_key = attempt.reconfirm_key + 1
            books = b.with_attempt(books, visit.attempt, reconfirm_key=next_key)
        if is_action:
            return [self.go(books, visit, "asked_again", "another challenge: the next key")]
        return [self.unknown(books, visit, "the confirm after the challenge")]

    def at_asked_again(self, books: Books, visit: Visit) -> Moves:
        known = self.known_by_now(books, visit)
        return [known or self.answer(books, visit, "action", "another challenge is pending")]

    def not_charged_now(self, books: Books, visit: Visit, reply: Reply) -> Move:
        """The intent waits for a method. What that means depends on how we got here."""
        if visit.why == "dead":
            return self.negative(books, visit, "consumed", "the card is dead and did not pay")
        is_over = visit.seen == "action" or not self.has("6 only from action")
        is_apps = reply.error == "declined" and not self.has("12 decline is the app's")
        if is_over and self.has("6 challenge over"):
            return self.challenge_over(books, visit, reply, "action")
        if is_apps:
            return self.challenge_over(books, visit, reply, "")
        if visit.why == "saved_error":
            return self.negative(books, visit, "abandoned", "a saved 500, and nothing charged")
        return self.end_unless_in_time(books, visit)

    def challenge_over(self, books: Books, visit: Visit, reply: Reply, only_from: str) -> Move:
        """Authentication failed, or the bank declined after it. A payer's new tap is a new try."""
        state = "declined" if reply.error == "declined" else "authentication_failed"
        if not self.has("6 only from action"):
            only_from = ""
        says = f"the challenge is over, {state}"
        move = self.negative(books, visit, state, says, only_from=only_from)
        if visit.role == "payer" and move.answer is not None and move.answer.kind == state:
            return self.again(move.books, visit, says)
        return move

    def end_unless_in_time(self, books: Books, visit: Visit) -> Move:
        """An unknown outcome is made final by canceling: for another card, or after the window."""
        method = books.attempts[visit.attempt].method
        wants_other = visit.role == "payer" and method != visit.method
        if (wants_other or self._is_late(visit)) and self.has("4 unknown ends by cancel"):
            return self.cancel(books, visit, "superseded", "the outcome is unknown")
        return self.unknown(books, visit, "the outcome")

    def _is_late(self, visit: Visit) -> bool:
        return visit.role == "worker" and visit.is_late

    # --- after a cancel --------------------------------------------------------------------------

    def at_canceled(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok":
            retired = b.retire(books, visit.payment, visit.becomes)
            return [self.again(retired, visit, "the intent is canceled, the generation retired")]
        if reply.kind == "unexpected":
            intent = books.payments[visit.payment].intent
            request = Request("retrieve", intent=intent)
            says = "cancel was refused: looks again"
            return [self.call(books, visit, "looked_again", request, says)]
        return [self.unknown(books, visit, "the cancel")]

    def at_looked_again(self, books: Books, visit: Visit) -> Moves:
        reply = visit.reply
        assert reply is not None
        if reply.kind == "ok" and reply.status in ("succeeded", "canceled"):
            return self.at_looked(books, visit._replace(why="", becomes=""))
        return [self.unknown(books, visit, "the cancel")]

    # --- looks without an attempt ----------------------------------------------------------------

    def at_seen(self, books: Books, visit: Visit) -> Moves:
        """A success belongs to the order, whoever confirmed; a decline closes nothing of ours."""
        reply = visit.reply
        assert reply is not None
        if reply.status == "succeeded":
            says = "sees that it charged"
            return [self.paid(books, visit, is_own=False, method=reply.method, says=says)]
        if reply.status == "requires_capture":
            says = "sees that it is held"
            return [self.held(books, visit, is_own=False, method=reply.method, says=says)]
        if reply.status == "canceled":
            books = b.retire(books, visit.payment, "authentication_failed")
        return [self.end_of_follow_up(books, visit, "nothing more to do")]

    def at_latest(self, books: Books, visit: Visit) -> Moves:
        """`pay/confirm` when nothing is live: what the last attempt ended in."""
        if books.orders[visit.order].status == "paid":
            return [self.answer(books, visit, "paid", "the order is paid")]
        latest = b.latest_attempt(books, visit.order)
        if latest is None or books.orders[visit.order].status != "pending":
            return [Move(books, None, "nothing to tell", Answer("not_payable"))]
        state = books.attempts[latest].state
        if state in b.LIVE:
            return [Move(books, None, "in progress", Answer("processing"))]
        kind = "refused" if state in b.GIVEN_UP else state
        if state == "succeeded":
            is_held = books.payments[books.attempts[latest].payment].state == "authorized"
            kind = "held" if is_held else "hold_over"
        return [Move(books, None, f"the last attempt is {state}", Answer(kind, latest))]

    def at_status(self, books: Books, visit: Visit) -> Moves:
        """GET …/payment."""
        if books.orders[visit.order].status == "paid":
            return [Move(books, None, "shows succeeded", Answer("paid"))]
        latest = b.latest_attempt(books, visit.order)
        state = books.attempts[latest].state if latest is not None else ""
        if state in b.LIVE and visit.why == "action":
            return [Move(books, None, "shows the challenge", Answer("action", visit.attempt))]
        if latest is None or state in b.LIVE:
            kind = "processing" if state == "open" else "pending"
            return [Move(books, None, f"shows {state or 'none'}", Answer(kind))]
        if books.payments[books.attempts[latest].payment].state == "authorized":
            return [Move(books, None, "shows authorized", Answer("held"))]
        if state == "succeeded":
            return [Move(books, None, "shows failed", Answer("hold_over"))]
        return [Move(books, None, "shows failed", Answer("failed", latest))]
