"""Ways to give money back twice, or more than there is."""

from proof.planted.bug import Bug, Edit, crash, suite

REQUESTS = "tests/service/test_refund_requests.py"
BUGS: tuple[Bug, ...] = (
    Bug(
        "refund-key-not-kept",
        "a refund's row carries the key that it was asked for under",
        (
            Edit(
                "paidonce/payments/refunds.py",
                "key_hash=wish.key_hash if wish else None",
                "key_hash=None",
            ),
        ),
        ("I13",),
        crash("refund_on_request:commit.refund#1:after:asks"),
    ),
    Bug(
        "refund-asked-for-not-counted",
        "what was asked for and is not made yet counts against what is left",
        (
            Edit(
                "paidonce/store/refunds.py",
                "self.captured_minor - self.asked_minor - self.all_minor",
                "self.captured_minor - self.all_minor",
            ),
        ),
        ("of_two_refunds_of_the_rest_at_the_same_moment_one_wins",),
        suite(REQUESTS, "of_two_refunds_of_the_rest_at_the_same_moment_one_wins"),
    ),
    Bug(
        "refund-without-a-look",
        "what is left is decided after a look at Stripe",
        (
            Edit(
                "paidonce/payments/money_back/refund_request.py",
                "        await _look(ctx, payment, deadline)\n",
                "",
            ),
        ),
        ("what_was_given_back_in_the_dashboard_counts_before_anybody_has_told_us",),
        suite(REQUESTS, "what_was_given_back_in_the_dashboard_counts_before_anybody_has_told_us"),
    ),
    Bug(
        "disputed-money-given-back",
        "what the bank has taken back already is not given back a second time",
        (
            Edit(
                "paidonce/payments/money_back/refund_request.py",
                "    if await dispute_rows.has_unrefundable(tx, payment.id):\n"
                "        raise errors.payment_disputed()\n",
                "",
            ),
        ),
        ("a_known_dispute_keeps_a_refund_from_being_asked_for",),
        suite(
            "tests/service/test_disputes.py", "a_known_dispute_keeps_a_refund_from_being_asked_for"
        ),
    ),
)
