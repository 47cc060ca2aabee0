"""Ways to hold an order's money twice, or to lose a hold."""

from proof.planted.bug import Bug, Edit, crash, suite

CAPTURE = "tests/service/test_capture.py"
BUGS: tuple[Bug, ...] = (
    Bug(
        "capture-canceled",
        "an order whose capture is under way is not canceled",
        (
            Edit(
                "paidonce/payments/orders/cancel.py",
                "    if payment is not None"
                " and await captures.get_requested(tx, payment.id) is not None:\n"
                "        return errors.payment_in_progress()\n",
                "",
            ),
        ),
        ("a_capture_under_way_is_not_canceled",),
        suite(CAPTURE, "a_capture_under_way_is_not_canceled"),
        model="13 a capture is not canceled",
    ),
    Bug(
        "hold-does-not-stand",
        "an order whose money is held is not paid again",
        (
            Edit(
                "paidonce/payments/pay/claim.py",
                "    if payment is not None and payment.state is PaymentState.AUTHORIZED:\n"
                "        return held_answer(order, payment.id)\n",
                "",
            ),
        ),
        ("whoever_pays_a_held_order_again_holds_nothing_more",),
        suite(CAPTURE, "whoever_pays_a_held_order_again_holds_nothing_more"),
        model="a hold does not stand",
    ),
    Bug(
        "clock-ends-a-hold",
        "a hold ends when Stripe says so",
        (
            Edit(
                "paidonce/payments/pay/holds.py",
                "    told = await ctx.gateway.retrieve_intent(",
                "    if payment.capture_before and payment.capture_before < ctx.clock.now():\n"
                "        await record.retire(ctx, payment.id)\n"
                "        return\n"
                "    told = await ctx.gateway.retrieve_intent(",
            ),
        ),
        ("a_hold_whose_time_is_over_by_our_clock_stands_until_stripe_says_so",),
        suite(CAPTURE, "a_hold_whose_time_is_over_by_our_clock_stands_until_stripe_says_so"),
        model="a clock ends a hold",
    ),
    Bug(
        "capture-takes-all",
        "a capture takes what the merchant asked for",
        (
            Edit(
                "paidonce/payments/pay/capture.py",
                "    amount = payment.amount_minor if amount_minor is None else amount_minor\n",
                "    amount = payment.amount_minor\n",
            ),
        ),
        ("I4",),
        crash("capture_resumed:stripe.capture#1:after:asks"),
    ),
    Bug(
        "hold-expires-with-its-order",
        "an order whose money is held does not expire",
        (
            Edit(
                "paidonce/payments/orders/cancel.py",
                "    if is_expired and (is_held or is_asking):\n",
                "    if is_expired and is_asking:\n",
            ),
        ),
        ("money_that_is_held_does_not_expire",),
        suite("tests/service/test_expiry.py", "money_that_is_held_does_not_expire"),
    ),
)
