"""What costs money or a card where the app confirms by itself, and where nobody should get in."""

from proof.planted.bug import Bug, Edit, crash, suite

PAYMENTS = "paidonce/payments"
SERVICE = "tests/service"
BUGS: tuple[Bug, ...] = (
    Bug(
        "sheet-not-looked-at",
        "what a payment sheet may have charged is looked for without an event",
        (Edit("paidonce/store/payments.py", "next_look_at = $3, sheet_client", "sheet_client"),),
        ("a_success_of_the_app_is_found_without_webhooks",),
        suite(f"{SERVICE}/test_payment_sheet.py", "a_success_of_the_app_is_found_without_webhooks"),
    ),
    Bug(
        "sheet-beside-an-attempt",
        "no sheet is handed out beside an attempt that may charge",
        (
            Edit(
                f"{PAYMENTS}/pay/sheet.py",
                "is not PaymentState.LIVE or await attempts.get_live_attempt(tx, payment.id):",
                "is not PaymentState.LIVE:",
            ),
        ),
        ("a_payment_that_begins_while_the_sheet_is_prepared_keeps_it_back",),
        suite(
            f"{SERVICE}/test_payment_sheet.py",
            "a_payment_that_begins_while_the_sheet_is_prepared_keeps_it_back",
        ),
    ),
    Bug(
        "token-sent-again",
        "a confirmation token is one try",
        (
            Edit(
                f"{PAYMENTS}/pay/claim.py",
                "is_one_use = is_single_use or is_token(method_id)",
                "is_one_use = is_single_use",
            ),
        ),
        ("a_declined_token_is_used_up",),
        suite(f"{SERVICE}/test_confirmation_tokens.py", "a_declined_token_is_used_up"),
    ),
    Bug(
        "setup-of-somebody-else",
        "a SetupIntent of another customer saves no card",
        (
            Edit(
                f"{PAYMENTS}/evidence.py",
                '        "customer": (answer.customer, setup.stripe_customer_id),\n',
                "",
            ),
        ),
        ("a_lie_saves_no_card_and_the_truth_is_found",),
        suite(f"{SERVICE}/test_lies_of_setups.py", "a_lie_saves_no_card_and_the_truth_is_found"),
    ),
    Bug(
        "basket-not-known-again",
        "the same basket is the same unpaid order",
        (
            Edit(
                f"{PAYMENTS}/orders/same_order.py",
                "if now - claim.created_at < wish.lasts:",
                "if now < claim.created_at:",
            ),
        ),
        ("one order:",),
        crash("same_basket:commit.order#1:after:asks"),
    ),
    Bug(
        "amount-not-compared",
        "an answer over another amount pays nothing",
        (
            Edit(
                f"{PAYMENTS}/evidence.py",
                '        "amount": (intent.amount, payment.amount_minor),\n',
                "",
            ),
        ),
        ("a_lie_pays_nothing_and_the_truth_is_found",),
        suite(f"{SERVICE}/test_lies.py", "a_lie_pays_nothing_and_the_truth_is_found"),
    ),
    Bug(
        "order-not-compared",
        "an answer about another order pays nothing",
        (
            Edit(
                f"{PAYMENTS}/evidence.py",
                '        **{f"metadata.{name}": (intent.metadata.get(name), ours[name])'
                " for name in ours},\n",
                "",
            ),
        ),
        ("a_lie_pays_nothing_and_the_truth_is_found",),
        suite(f"{SERVICE}/test_lies.py", "a_lie_pays_nothing_and_the_truth_is_found"),
    ),
    Bug(
        "cards-not-counted",
        "so many different cards an hour, declined or not",
        (Edit(f"{PAYMENTS}/limits.py", "if tried.cards >= most_cards:", "if tried.cards < 0:"),),
        ("good_cards_that_are_only_saved_count_as_different_ones",),
        suite(
            f"{SERVICE}/test_card_testing.py",
            "good_cards_that_are_only_saved_count_as_different_ones",
        ),
    ),
    Bug(
        "in-flight-not-counted",
        "requests at the same time get no further than one after the other",
        (
            Edit(
                f"{PAYMENTS}/limits.py",
                "if tried.declines + tried.open >= most:",
                "if tried.declines >= most:",
            ),
        ),
        ("requests_at_the_same_time_do_not_slip_past",),
        suite(f"{SERVICE}/test_card_testing.py", "requests_at_the_same_time_do_not_slip_past"),
    ),
    Bug(
        "erasure-keeps-the-address",
        "an erased user's e-mail stands nowhere",
        (
            Edit(
                "paidonce/store/erasure.py",
                "UPDATE users SET email = NULL",
                "UPDATE users SET email = email",
            ),
        ),
        ("what is personal",),
        crash("user_erased:stripe.delete_customer#1:after:asks"),
    ),
    Bug(
        "erasure-keeps-the-customer",
        "Stripe deletes an erased user's customer before our books forget him",
        (
            Edit(
                f"{PAYMENTS}/erasure.py",
                "    for customer_id in row.customer_ids:\n",
                '    for customer_id in [] if known["erasures"] else row.customer_ids:\n',
            ),
        ),
        ("customers at Stripe",),
        crash("user_erased:commit.erase_begin#1:after:asks"),
    ),
)
