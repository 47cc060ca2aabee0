"""Rules 1 to 12 of the design, each left out where it stands in the source. `no-fence`, the named
bugs and those of the crash points leave out more of them."""

from proof.planted.bug import Bug, Edit, chaos, crash, suite

PAYMENTS = "paidonce/payments"
STORE = "paidonce/store"
FAULTS = "tests/service/test_faults.py"
PAY = "tests/service/test_pay.py"
RACES = "tests/service/test_races.py"
RECOVERY = "tests/service/test_recovery.py"
INTERLEAVINGS = "tests/service/test_interleavings.py"

_CANCEL_WHEN_LATE = """    if wants_other or _is_late(ctx, job, visitor):
        return await _give_up(ctx, job, visitor)
    return errors.payment_processing()


async def _challenge_over("""
_CHALLENGE_LATE = """    if _is_late(ctx, job, visitor):
        return await cancel_intent(
            ctx, job, visitor, action_becomes=AttemptState.AUTHENTICATION_FAILED
        )
"""
_CHALLENGE_OTHER = """    if is_payer and (is_foreign or not visitor.wants(attempt)):
        return await _give_up(ctx, job, visitor)
"""
_CHALLENGE_OVER = "        return await _challenge_over("
_IF_IN_ACTION = "    if attempt.state is AttemptState.ACTION:\n" + _CHALLENGE_OVER
_PAID_ANSWERS = """    if order.status is OrderStatus.PAID:
        return paid_answer(order, attempt.payment_id)
"""
_NO_NEXT_RECONFIRM_KEY = Edit(
    f"{STORE}/attempts.py",
    "SET reconfirm_key_no = $2 + 1",
    "SET reconfirm_key_no = $2 + 0",
)

BUGS: tuple[Bug, ...] = (
    Bug(
        "never-sent-left-open",
        "rule 2: a never-sent attempt is closed by recovery",
        (
            Edit(
                f"{PAYMENTS}/pay/pay.py",
                """        if visitor.role is not Role.PAYER:
            return await record.close_never_sent(ctx, job, errors.stripe_unavailable())
""",
                """        if visitor.role is not Role.PAYER:
            return errors.payment_processing()
""",
            ),
        ),
        ("I8",),
        crash("first_payment:commit.claim#1:after:leaves"),
        model="2 close never sent",
    ),
    Bug(
        "never-sent-not-superseded",
        "rule 2: a never-sent attempt gives way to another card",
        (
            Edit(
                f"{PAYMENTS}/pay/claim.py",
                "        if visitor.wants(attempt):\n",
                "        if attempt is not None:\n",
            ),
        ),
        ("a_never_sent_attempt_gives_way_to_another_card",),
        suite(FAULTS, "a_never_sent_attempt_gives_way_to_another_card"),
        model="2 close never sent",
    ),
    Bug(
        "attach-key-never-moves",
        "rule 3: the next attach key after a saved 5xx",
        (Edit(f"{STORE}/attempts.py", "SET attach_key_no = $2 + 1", "SET attach_key_no = $2 + 0"),),
        ("an_attach_gets_its_next_key_after_a_saved_error",),
        suite(FAULTS, "an_attach_gets_its_next_key_after_a_saved_error"),
        model="3 attach key",
    ),
    Bug(
        "unknown-never-ended",
        "rule 4: unknown ends by asking Stripe to cancel",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                _CANCEL_WHEN_LATE,
                "    return errors.payment_processing()\n\n\nasync def _challenge_over(",
            ),
        ),
        ("I8",),
        chaos(5),
        model="4 unknown ends by cancel",
    ),
    Bug(
        "timer-declares-a-failure",
        "rule 4: no timer declares a failure",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                _CANCEL_WHEN_LATE,
                _CANCEL_WHEN_LATE.replace(
                    "_give_up(ctx, job, visitor)",
                    "record.record_negative(ctx, job, AttemptState.ABANDONED)",
                ),
            ),
        ),
        ("an_attempt_still_unknown_after_its_window_is_ended_by_canceling",),
        suite(RECOVERY, "an_attempt_still_unknown_after_its_window_is_ended_by_canceling"),
        model="4 unknown ends by cancel",
    ),
    Bug(
        "refused-cancel-taken-for-canceled",
        "rule 4: a refused cancel means look again",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                "        return await _look_after_refused_cancel(ctx, job, visitor, intent_id)\n",
                "        await record.retire(ctx, job.payment.id, action_becomes=action_becomes)\n"
                '        return Again("it cannot be canceled any more")\n',
            ),
        ),
        ("lands_between_the_look_and_the_cancel_is_the_one_charge",),
        suite(FAULTS, "lands_between_the_look_and_the_cancel_is_the_one_charge"),
        model="4 unknown ends by cancel",
    ),
    Bug(
        "old-key-sent-again",
        "rule 4: a key older than 23 h is never sent again",
        (
            Edit(
                f"{PAYMENTS}/pay/confirm.py",
                "    return first is not None and ctx.clock.now() - first > KEY_LIFE\n",
                "    return False\n",
            ),
        ),
        ("a_confirm_older_than_a_day_is_never_sent_again",),
        suite(FAULTS, "a_confirm_older_than_a_day_is_never_sent_again"),
        model="4 old key",
    ),
    Bug(
        "another-card-gets-the-old-challenge",
        "rule 5: another card cancels the intent whose challenge is pending",
        (Edit(f"{PAYMENTS}/pay/settle.py", _CHALLENGE_OTHER, ""),),
        ("a_challenge_left_for_another_card_can_charge_no_more",),
        suite(PAY, "a_challenge_left_for_another_card_can_charge_no_more"),
        model="5 another card",
    ),
    Bug(
        "abandoned-challenge-left-open",
        "rule 5: recovery cancels the intent of a challenge that nobody answers",
        (Edit(f"{PAYMENTS}/pay/settle.py", _CHALLENGE_LATE, ""),),
        ("an_abandoned_challenge_is_ended_without_the_user",),
        suite(RECOVERY, "an_abandoned_challenge_is_ended_without_the_user"),
        model="5 abandoned challenge",
    ),
    Bug(
        "who-is-back-supersedes",
        "rule 5: only a request's first claim takes another card's place; who is back waits",
        (
            Edit(
                f"{PAYMENTS}/pay/claim.py",
                "        if visitor.is_back and _is_anothers(ctx, attempt, visitor):\n",
                "        if False:\n",
            ),
        ),
        ("two_cards_take_each_others_place_once",),
        suite(RACES, "two_cards_take_each_others_place_once"),
        model="5 who is back waits",
    ),
    Bug(
        "challenge-over-unseen",
        "rule 6: a look closes an attempt whose challenge is over",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                "        return await _challenge_over(ctx, job, visitor, intent)\n",
                "        return await _end_unless_in_time(ctx, job, visitor)\n",
            ),
        ),
        ("three_d_secure_failed_can_be_tried_again_with_the_same_card",),
        suite(PAY, "three_d_secure_failed_can_be_tried_again_with_the_same_card"),
        model="6 challenge over",
    ),
    Bug(
        "open-attempt-closed-by-a-look",
        "rule 6: a look closes only an attempt that waited for its challenge before",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                _IF_IN_ACTION,
                "    if attempt.state is not None:\n" + _CHALLENGE_OVER,
            ),
            Edit(f"{PAYMENTS}/pay/settle.py", "        only_from=AttemptState.ACTION,\n", ""),
        ),
        ("an_attempt_still_unknown_after_its_window_is_ended_by_canceling",),
        suite(RECOVERY, "an_attempt_still_unknown_after_its_window_is_ended_by_canceling"),
        model="6 only from action",
    ),
    Bug(
        "waiter-looks-at-its-attempt",
        "rule 7: whoever waited is answered from the order",
        (Edit(f"{PAYMENTS}/pay/answers.py", _PAID_ANSWERS, ""),),
        ("looks_late_is_not_told_of_a_decline_when_the_order_is_paid_by_then",),
        suite(
            "tests/service/test_races.py",
            "looks_late_is_not_told_of_a_decline_when_the_order_is_paid_by_then",
        ),
        model="waiter looks at its attempt",
    ),
    Bug(
        "reconfirm-under-the-first-key",
        "rule 9: the confirm after the challenge has a key of its own",
        (
            Edit(
                f"{PAYMENTS}/requests.py",
                'f"rc:{ctx.installation.namespace}:{attempt.id}:{attempt.reconfirm_key_no}"',
                'f"cf:{ctx.installation.namespace}:{attempt.id}"',
            ),
        ),
        ("three_d_secure_passed",),
        suite(PAY, "three_d_secure_passed and manual"),
        model="9 reconfirm key",
    ),
    Bug(
        "canceled-while-sent",
        "rule 10: an order with a sent attempt that is open is not canceled",
        (
            Edit(
                f"{PAYMENTS}/orders/cancel.py",
                "        if attempt.sends > 0:\n            return errors.payment_in_progress()\n",
                "",
            ),
        ),
        ("an_order_with_an_unknown_attempt_cannot_be_canceled",),
        suite(RECOVERY, "an_order_with_an_unknown_attempt_cannot_be_canceled"),
        model="10 busy",
    ),
    Bug(
        "canceling-never-resumed",
        "rule 10: recovery resumes the second step of a cancelation",
        (
            Edit(
                "paidonce/recovery.py",
                "orders.take_canceling(tx, now, later, BATCH)",
                "orders.take_canceling(tx, now, later, 0)",
            ),
        ),
        ("I8",),
        crash("cancel:commit.canceling#1:after:leaves"),
        model="10 two steps",
    ),
    Bug(
        "canceled-after-an-old-look",
        "rule 10: what is canceled is read under the order's lock",
        (
            Edit(
                f"{PAYMENTS}/orders/cancel.py",
                "    async def work(tx: Transaction) -> PaymentRow | None:\n",
                "    seen = await ctx.db.read("
                "lambda tx: payments.get_standing_payment(tx, order_id))\n\n"
                "    async def work(tx: Transaction) -> PaymentRow | None:\n",
            ),
            Edit(
                f"{PAYMENTS}/orders/cancel.py",
                "        payment = await payments.get_standing_payment(tx, order_id)\n"
                "        if payment is not None:\n            if",
                "        payment = seen\n        if payment is not None:\n            if",
            ),
        ),
        ("recorded_while_its_order_is_canceled_is_canceled_at_once",),
        suite(INTERLEAVINGS, "recorded_while_its_order_is_canceled_is_canceled_at_once"),
    ),
    Bug(
        "canceled-intent-kept",
        "rule 10: an intent that Stripe canceled retires its generation",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                """            await record.retire(
                ctx, job.payment.id, action_becomes=AttemptState.AUTHENTICATION_FAILED
            )
            return Again("Stripe canceled the intent")
""",
                "            return errors.payment_processing()\n",
            ),
        ),
        ("an_intent_canceled_by_hand_makes_way_for_the_next_generation",),
        suite(FAULTS, "an_intent_canceled_by_hand_makes_way_for_the_next_generation"),
        model="10 next generation",
    ),
    Bug(
        "deleted-customer-kept",
        "rule 11: a customer deleted at Stripe is cleared",
        (
            Edit(
                f"{PAYMENTS}/customers.py",
                "        if await users.forget_customer(tx, user_id, gone_customer_id):\n",
                "        if user_id is None:\n",
            ),
        ),
        ("a_customer_deleted_before_the_order_is_replaced",),
        suite(FAULTS, "a_customer_deleted_before_the_order_is_replaced"),
        model="11 customer deleted",
    ),
    Bug(
        "customer-key-never-moves",
        "rule 11: the customer's key gets the next number",
        (
            Edit(
                f"{STORE}/users.py",
                "SET customer_key_no = customer_key_no + 1, customer_requested_at = NULL",
                "SET customer_requested_at = NULL",
            ),
        ),
        ("a_customer_deleted_before_the_order_is_replaced",),
        suite(FAULTS, "a_customer_deleted_before_the_order_is_replaced"),
        model="11 customer deleted",
    ),
    Bug(
        "intent-of-a-deleted-customer-used",
        "rule 11: the intent on the old customer is canceled and its generation retired",
        (
            Edit(
                f"{PAYMENTS}/pay/prepare.py",
                """        if payment.stripe_customer_id != customer_id:
            return Again("the intent is for another customer")
""",
                "",
            ),
        ),
        ("a_customer_deleted_before_the_order_is_replaced",),
        suite(FAULTS, "a_customer_deleted_before_the_order_is_replaced"),
        model="11 customer deleted",
    ),
    Bug(
        "forgotten-without-comparing",
        "rule 11: only the customer that failed is cleared",
        (
            Edit(
                f"{STORE}/users.py",
                """AND stripe_customer_id = $2",
        user_id,
        gone""",
                """AND $2 <> ''",
        user_id,
        gone""",
            ),
        ),
        ("two_payments_that_find_the_customer_gone_make_one_new_customer",),
        suite(FAULTS, "two_payments_that_find_the_customer_gone_make_one_new_customer"),
        model="11 compare and set",
    ),
    Bug(
        "apps-confirm-never-looked-for",
        "rule 12: payments whose client secret is out are looked at",
        (
            Edit(
                f"{PAYMENTS}/pay/record.py",
                "            await payments.look_at(tx, attempt.payment_id, next_check_at)\n",
                "",
            ),
        ),
        ("a_success_of_the_apps_own_confirm_is_found_without_any_webhook",),
        suite(RECOVERY, "a_success_of_the_apps_own_confirm_is_found_without_any_webhook"),
        model="12 success is the order's",
    ),
    Bug(
        "secret-told-by-a-look",
        "rule 12: a secret that a look gave out counts as out",
        (
            Edit(
                f"{PAYMENTS}/pay/record.py",
                "        await payments.look_at(tx, attempt.payment_id, first_look_at)\n",
                "",
            ),
        ),
        ("that_only_a_look_has_seen_may_end_in_the_apps_own_confirm",),
        suite(INTERLEAVINGS, "that_only_a_look_has_seen_may_end_in_the_apps_own_confirm"),
        model="secret told by a look",
    ),
    Bug(
        "apps-success-ignored",
        "rule 12: a success belongs to the order, whoever confirmed",
        (
            Edit(
                f"{PAYMENTS}/pay/follow_up.py",
                "        return await record.record_success(ctx, payment, None, intent)\n",
                "        return None\n",
            ),
        ),
        ("a_success_of_the_apps_own_confirm_is_found_without_any_webhook",),
        suite(RECOVERY, "a_success_of_the_apps_own_confirm_is_found_without_any_webhook"),
        model="12 success is the order's",
    ),
    Bug(
        "saved-into-a-retired-payment",
        "rule 1: P5 saves an id only while the payment is live",
        (
            Edit(
                f"{STORE}/payments.py",
                """ IS NULL AND state = 'live'",
        payment_id,
        stripe_payment_intent_id,
    )""",
                """ IS NULL",
        payment_id,
        stripe_payment_intent_id,
    )""",
            ),
        ),
        ("made_late_for_a_canceled_order_stays_open_nowhere",),
        suite(INTERLEAVINGS, "made_late_for_a_canceled_order_stays_open_nowhere"),
        model="1 save while live",
    ),
    Bug(
        "sent-attempt-attached-again",
        "rule 2: joining a sent attempt goes straight to the fence",
        (
            Edit(
                f"{PAYMENTS}/pay/pay.py",
                "    if job.attempt.sends == 0:\n        if visitor.role",
                "    if job.attempt.sends == 0 or visitor.role is Role.PAYER:\n"
                "        if visitor.role",
            ),
        ),
        ("the_repeat_of_a_sent_attempt_asks_for_nothing_but_its_confirm",),
        suite(INTERLEAVINGS, "the_repeat_of_a_sent_attempt_asks_for_nothing_but_its_confirm"),
        model="2 sent goes to the fence",
    ),
    Bug(
        "action-by-a-look",
        "rule 6: a look never turns an open attempt into one that waits",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                "    return await record.answer_action(ctx, job, intent)\n",
                "    return await record.record_action(ctx, job, intent)\n",
            ),
        ),
        ("the_apps_own_challenge_says_nothing_of_a_confirm_that_is_late",),
        suite(INTERLEAVINGS, "the_apps_own_challenge_says_nothing_of_a_confirm_that_is_late"),
        model="6 no action by look",
    ),
    Bug(
        "negatives-not-checked-last",
        "rule 7: a negative fact is last checked against the order and the attempt",
        (
            Edit(
                f"{PAYMENTS}/pay/record.py",
                _PAID_ANSWERS
                + "    return answer_of(order, attempt) if attempt.state not in LIVE_ATTEMPTS",
                "    return None if attempt.state not in LIVE_ATTEMPTS",
            ),
        ),
        ("nobody_is_asked_for_a_challenge_of_an_order_that_is_paid_by_then",),
        suite(INTERLEAVINGS, "nobody_is_asked_for_a_challenge_of_an_order_that_is_paid_by_then"),
        model="7 negatives look last",
    ),
    Bug(
        "reconfirm-key-never-moves",
        "rule 9: the next key when Stripe asks for another challenge",
        (_NO_NEXT_RECONFIRM_KEY,),
        ("a_challenge_that_is_asked_for_twice_can_be_passed_twice",),
        suite(INTERLEAVINGS, "a_challenge_that_is_asked_for_twice_can_be_passed_twice"),
        model="9 reconfirm key",
    ),
    Bug(
        "reconfirm-key-never-moves-after-a-saved-error",
        "rule 9: the next key when Stripe has saved a 5xx",
        (_NO_NEXT_RECONFIRM_KEY,),
        ("a_saved_error_of_the_confirm_after_a_challenge_is_not_the_end_of_it",),
        suite(INTERLEAVINGS, "a_saved_error_of_the_confirm_after_a_challenge_is_not_the_end_of_it"),
        model="9 reconfirm key",
    ),
    Bug(
        "apps-decline-closes-ours",
        "rule 12: a decline of the app's own confirm closes none of ours",
        (
            Edit(
                f"{PAYMENTS}/pay/settle.py",
                _IF_IN_ACTION,
                "    if intent.last_error is not None:\n"
                "        state, error = AttemptState.DECLINED, intent.last_error\n"
                "        return await record.record_negative(ctx, job, state, error)\n"
                + _IF_IN_ACTION,
            ),
        ),
        ("the_apps_own_decline_says_nothing_of_a_confirm_that_is_late",),
        suite(INTERLEAVINGS, "the_apps_own_decline_says_nothing_of_a_confirm_that_is_late"),
        model="12 decline is the app's",
    ),
)
