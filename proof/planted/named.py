"""The bugs that everybody writes, one line each, and the seed that brings each to light."""

from proof.planted.bug import Bug, Edit, chaos, suite

PAYMENTS = "paidonce/payments"
EVENTS = "tests/service/test_events_any_order.py"
FAULTS = "tests/service/test_faults.py"
RECOVERY = "tests/service/test_recovery.py"
BUGS: tuple[Bug, ...] = (
    Bug(
        "fresh-intent-on-unknown",
        "rule 4: unknown ends by asking Stripe to cancel, never by a fresh intent",
        (
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "        await ctx.clock.sleep(pause)\n"
                "    return await settle.settle(ctx, job, visitor)\n",
                "        await ctx.clock.sleep(pause)\n"
                "    await record.retire(\n"
                "        ctx, job.payment.id, action_becomes=AttemptState.SUPERSEDED\n"
                "    )\n"
                '    return Again("the answer is unknown: with a fresh intent")\n',
            ),
        ),
        ("I1",),
        chaos(25),
        model="fresh intent on unknown",
    ),
    Bug(
        "failed-on-timeout",
        "three outcomes, never two: a lost answer is not a decline",
        (
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "        await ctx.clock.sleep(pause)\n"
                "    return await settle.settle(ctx, job, visitor)\n",
                "        await ctx.clock.sleep(pause)\n"
                "    return await record.record_negative(ctx, job, AttemptState.DECLINED)\n",
            ),
        ),
        ("I6",),
        chaos(10),
        model="failed on timeout",
    ),
    Bug(
        "failed-by-webhook",
        "failure only from the answer to that attempt's own key",
        (
            Edit(
                f"{PAYMENTS}/hints.py",
                "or attempt.state is not AttemptState.ACTION:",
                "or attempt.sends == 0:",
            ),
            Edit(
                f"{PAYMENTS}/hints.py",
                '        return "done", "known already"\n',
                '        return "done", "known already"\n'
                "    job = await ctx.db.read(lambda tx: _waiting_job(tx, payment))\n"
                '    if job is not None and event.type == "payment_intent.payment_failed":\n'
                "        await settle.record.record_negative(ctx, job, AttemptState.DECLINED)\n"
                '        return "done", None\n',
            ),
        ),
        ("any_order_any_number_and_any_loss_of_events",),
        suite(EVENTS, "any_order_any_number_and_any_loss_of_events"),
        model="fail from a webhook",
    ),
    Bug(
        "event-by-payload",
        "an event is a hint: what is true is read from Stripe",
        (
            Edit(
                f"{PAYMENTS}/hints.py",
                '        return "done", "known already"\n',
                '        return "done", "known already"\n'
                "    job = await ctx.db.read(lambda tx: _waiting_job(tx, payment))\n"
                '    if job is not None and event.type == "payment_intent.payment_failed":\n'
                "        failed = AttemptState.AUTHENTICATION_FAILED\n"
                "        await settle.record.record_negative(ctx, job, failed)\n"
                '        return "done", None\n',
            ),
        ),
        ("any_order_any_number_and_any_loss_of_events",),
        suite(EVENTS, "any_order_any_number_and_any_loss_of_events"),
        model="event by payload",
    ),
    Bug(
        "lease-trusted",
        "leases only avoid duplicate work: a dead one says nothing about the charge",
        (
            Edit(
                f"{PAYMENTS}/pay/claim.py",
                "attempt is not None and _was_sent(attempt):\n",
                "attempt is not None and (\n"
                "        attempt.state is AttemptState.ACTION"
                " or attempt.lease_until > ctx.clock.now()\n"
                "    ):\n",
            ),
            Edit(
                f"{PAYMENTS}/pay/claim.py",
                "        if visitor.wants(attempt):\n"
                "            return await _join(ctx, tx, Job(order, payment, attempt), visitor)\n"
                "        await history.close(ctx, tx, attempt, AttemptState.SUPERSEDED)\n",
                "        await history.close(ctx, tx, attempt, AttemptState.ABANDONED)\n"
                "        now, was, gone = ctx.clock.now(), payment.state, PaymentState.CANCELED\n"
                "        await payments.set_payment_state(tx, payment.id, was, gone, now)\n"
                "        payment = None\n",
            ),
        ),
        ("I1", "I6"),
        chaos(18),
        model="lease trusted",
    ),
    Bug(
        "attach-keyed-by-method",
        "rule 3: attach has a key per attempt",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                "{attempt.id}:{attempt.attach_key_no}",
                "{attempt.requested_method_id}",
            ),
        ),
        ("an_attach_gets_its_next_key_after_a_saved_error",),
        suite(FAULTS, "an_attach_gets_its_next_key_after_a_saved_error"),
        model="attach keyed by method",
    ),
    Bug(
        "503-after-an-earlier-send",
        "rule 8: surely not executed only when this was the attempt's only send",
        (
            Edit(
                f"{PAYMENTS}/pay/record.py",
                "    return await _close_refused(ctx, job, refusal, sends=1)\n",
                "    return await _close_refused(ctx, job, refusal, sends=99)\n",
            ),
        ),
        ("I6",),
        chaos(6),
        model="503 after an earlier send",
    ),
    Bug(
        "no-fence",
        "rule 1: re-read everything that could forbid the send, in one transaction",
        (
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "    if attempt.state is not AttemptState.OPEN:\n"
                "        return answer_of(order, attempt)\n",
                "",
            ),
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "    if order.status is not OrderStatus.PENDING and attempt.sends == 0:\n",
                "    if order.status is None:\n",
            ),
            Edit(
                "paidonce/store/attempts.py",
                "COALESCE(first_sent_at, $3) WHERE id = $1 AND state = 'open'",
                "COALESCE(first_sent_at, $3) WHERE id = $1",
            ),
        ),
        ("canceled_while_a_payment_gets_ready_is_not_charged",),
        suite(RECOVERY, "canceled_while_a_payment_gets_ready_is_not_charged"),
        model="1 fence",
    ),
    Bug(
        "no-compare-and-set",
        "P5: the first recorded intent is the only one ever confirmed",
        (
            Edit(
                "paidonce/store/payments.py",
                """ WHERE id = $1 AND stripe_payment_intent_id IS NULL AND state = 'live'",
        payment_id,
        stripe_payment_intent_id,
    )""",
                """ WHERE id = $1",
        payment_id,
        stripe_payment_intent_id,
    )""",
            ),
            Edit(  # the other line of defence, which hides this one: one key, one intent
                f"{PAYMENTS}/requests.py",
                "{payment.id}:{payment.intent_key_no}",
                "{payment.id}:{new_id()}",
            ),
        ),
        ("I1", "I2", "I6", "confirm.contradiction"),
        chaos(20),
        model="no compare-and-set",
    ),
)
