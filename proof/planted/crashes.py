"""Bugs that only a crash brings to light, each with the one run that has to find it."""

from proof.planted.bug import Bug, Edit, crash

PAYMENTS = "paidonce/payments"


_RECORD = """    return await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )
"""
_ENTRY = "    await notices.order_paid(ctx, tx, payment)\n"
_STATUS = (
    "    await orders.set_order_status(tx, order.id, order.status, OrderStatus.PAID, now)\n"
    + _ENTRY
)

BUGS: tuple[Bug, ...] = (
    Bug(
        "outbox-in-a-second-commit",
        "P7: payment, order and outbox in one commit",
        (
            Edit(f"{PAYMENTS}/pay/record.py", _ENTRY, ""),
            Edit(
                f"{PAYMENTS}/pay/record.py",
                _RECORD,
                """    verdict = await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )
    await ctx.db.transaction("notice", lambda tx: notices.order_paid(ctx, tx, payment))
    return verdict
""",
            ),
        ),
        ("I9",),
        crash("first_payment:commit.paid#1:after:leaves"),
    ),
    Bug(
        "order-in-a-second-commit",
        "P7: payment, order and outbox in one commit",
        (
            Edit(f"{PAYMENTS}/pay/record.py", _STATUS, _ENTRY),
            Edit(
                f"{PAYMENTS}/pay/record.py",
                _RECORD,
                """    verdict = await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )

    async def mark(tx: Transaction) -> None:
        order = await orders.lock_order(tx, payment.order_id)
        if order is not None and order.status is not OrderStatus.PAID:
            now = ctx.clock.now()
            await orders.set_order_status(tx, order.id, order.status, OrderStatus.PAID, now)

    await ctx.db.transaction("order_paid", mark)
    return verdict
""",
            ),
        ),
        ("I2",),
        crash("first_payment:commit.paid#1:after:leaves"),
    ),
    Bug(
        "confirmed-before-recorded",
        "P5 before P6: only a recorded intent is ever confirmed",
        (
            Edit(
                f"{PAYMENTS}/pay/prepare.py",
                "            await save_intent(ctx, payment, answer)\n",
                "            UNSAVED[payment.id] = answer.id\n            return payment\n",
            ),
            Edit(
                f"{PAYMENTS}/pay/prepare.py",
                "KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)\n",
                "KEY_LIFE = timedelta(hours=KEY_LIFE_HOURS)\nUNSAVED: dict[str, str] = {}\n",
            ),
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                " or payment.stripe_payment_intent_id is None:\n",
                ":\n",
            ),
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                """    intent_id = job.payment.stripe_payment_intent_id
    if intent_id is None:
        raise LookupError("the fence lets no attempt pass without an intent")
""",
                """    from paidonce.payments.pay.prepare import UNSAVED

    intent_id = job.payment.stripe_payment_intent_id or UNSAVED.get(job.payment.id)
    if intent_id is None:
        return Failure(Reason.UNKNOWN, "nobody knows which intent it was")
""",
            ),
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "        answer = await _send(ctx, job, visitor)\n",
                """        answer = await _send(ctx, job, visitor)
        if isinstance(answer, Intent):
            found, payment_id = answer.id, job.payment.id
            await ctx.db.transaction(
                "intent", lambda tx: payments.save_intent(tx, payment_id, found)
            )
            job = replace(job, payment=replace(job.payment, stripe_payment_intent_id=found))
""",
            ),
        ),
        ("no final answer",),
        crash("first_payment:stripe.confirm#1:after:asks"),
    ),
    Bug(
        "send-not-recorded",
        "rule 1: the send is recorded and committed before it is sent",
        (Edit("paidonce/store/attempts.py", "sends = sends + 1", "sends = sends"),),
        ("I2",),
        crash("first_payment:stripe.confirm#1:after:leaves"),
    ),
    Bug(
        "send-not-recorded-with-a-known-card",
        "rule 1: with a known card the claim records the send",
        (Edit(f"{PAYMENTS}/pay/claim.py", "sends=1 if is_ready else 0", "sends=0"),),
        ("I2",),
        crash("known_card:stripe.confirm#1:after:leaves"),
    ),
    Bug(
        "confirm-key-anew",
        "the key of a confirm never changes inside an attempt",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                '    key = f"cf:{ctx.installation.namespace}:{attempt.id}"\n',
                '    key = f"cf:{ctx.installation.namespace}:{attempt.id}:{attempt.sends}"\n',
            ),
        ),
        ("one key",),
        crash("decline_and_retry:stripe.confirm#1:after:asks"),
    ),
    Bug(
        "sent-attempt-closed-unasked",
        "rule 2: a sent attempt is closed by Stripe's answer only",
        (
            Edit(
                f"{PAYMENTS}/pay/pay.py",
                """    if job.attempt.sends > 0 and not _may_send_again(ctx, job, visitor):
        return await settle.settle(ctx, job, visitor)
    if job.attempt.sends == 0:
""",
                "    if job.attempt.sends == 0 or visitor.role is Role.WORKER:\n",
            ),
            Edit(f"{PAYMENTS}/pay/record.py", "attempt.sends > sends:", "attempt.sends > 99:"),
        ),
        ("I2",),
        crash("first_payment:stripe.confirm#1:after:leaves"),
    ),
    Bug(
        "worker-sends-first",
        "rule 17: the worker never makes a first send",
        (
            Edit(
                f"{PAYMENTS}/pay/pay.py",
                """        if visitor.role is not Role.PAYER:
            return await record.close_never_sent(ctx, job, errors.stripe_unavailable())
""",
                "",
            ),
        ),
        ("absent payer",),
        crash("first_payment:commit.claim#1:after:leaves"),
    ),
    Bug(
        "event-answered-before-it-is-stored",
        "I7: a 2xx leaves only once the event is stored",
        (
            Edit(
                "paidonce/service.py",
                """        if await webhooks.receive(self.ctx, body, signature):
            self.wake.set()
""",
                """        self.ctx.background.start(
            f"event:{signature}", lambda: webhooks.receive(self.ctx, body, signature)
        )
""",
            ),
        ),
        ("I7",),
        crash("events_of_a_payment:commit.event#1:before:asks"),
    ),
    Bug(
        "canceled-before-stripe-said-so",
        "rule 10: canceled only after Stripe said so",
        (
            Edit(
                f"{PAYMENTS}/orders/cancel.py",
                "    told = await ctx.gateway.cancel_intent(intent_id, request, visitor",
                "    await _record_canceled(ctx, order_id, canceled_payment_id=payment.id)\n"
                "    told = await ctx.gateway.cancel_intent(intent_id, request, visitor",
            ),
        ),
        ("I2",),
        crash("cancel:commit.canceled#2:after:asks"),
    ),
    Bug(
        "retired-before-stripe-said-canceled",
        "rule 14: a generation retires only when Stripe says canceled",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                "    request = cancel_request(ctx, payment)\n    told = await",
                "    await record.retire(ctx, payment.id, action_becomes=action_becomes)\n"
                "    request = cancel_request(ctx, payment)\n    told = await",
            ),
        ),
        ("I1",),
        crash("challenge_left_for_another_card:commit.retire#1:after:asks"),
    ),
    Bug(
        "customer-key-anew",
        "P1: the customer's key is the user's, so that a lost answer gives the same customer",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                '    key = f"cus:{ctx.installation.namespace}:{owner}:{user.customer_key_no}"\n',
                '    key = f"cus:{ctx.installation.namespace}:{owner}:{new_id()}"\n',
            ),
        ),
        ("I3",),
        crash("new_order:stripe.create_customer#1:after:asks"),
    ),
    Bug(
        "refund-key-anew",
        "rule 19: a refund's key is its row's",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                '    key = f"re:{ctx.installation.namespace}:{refund.id}:{refund.key_no}"\n',
                '    key = f"re:{ctx.installation.namespace}:{refund.id}:{new_id()}"\n',
            ),
        ),
        ("one key",),
        crash("surplus_given_back_by_hand:stripe.create_refund#1:after:leaves"),
    ),
    Bug(
        "surplus-in-a-second-commit",
        "rules 14 and 19: the refund's row stands in the commit that finds the surplus",
        (
            Edit(
                f"{PAYMENTS}/pay/record.py",
                "            await refunds.request_refund("
                "ctx, tx, payment, amount_minor, refunds.Cause.SURPLUS)\n",
                "            FOUND.append((payment, amount_minor))\n",
            ),
            Edit(
                f"{PAYMENTS}/pay/record.py",
                "PAYABLE = (",
                "FOUND: list[tuple[PaymentRow, int]] = []\nPAYABLE = (",
            ),
            Edit(
                f"{PAYMENTS}/pay/record.py",
                _RECORD,
                """    verdict = await ctx.db.transaction(
        "paid", lambda tx: _record_success(ctx, tx, payment.id, attempt_id, intent)
    )
    while FOUND:
        row, amount_minor = FOUND.pop()
        await ctx.db.transaction(
            "surplus",
            lambda tx: refunds.request_refund(
                ctx, tx, row, amount_minor, refunds.Cause.SURPLUS
            ),
        )
    return verdict
""",
            ),
        ),
        ("I13",),
        crash("surplus:commit.paid#1:after:leaves"),
    ),
    Bug(
        "marked-before-it-is-noted",
        "a restored database: the mark moves only once what was forgotten is listed",
        (
            Edit(
                f"{PAYMENTS}/restore.py",
                """        await note_unknown(ctx, page.items)
        gate.after = page.last_id
        if page.last_id is None:
            await _finish(ctx, gate.begun)
""",
                """        gate.after = page.last_id
        if page.last_id is None:
            await _finish(ctx, gate.begun)
        await note_unknown(ctx, page.items)
""",
            ),
        ),
        ("I1",),
        crash("restored:commit.compared#1:after:asks"),
    ),
)
