"""Servers built as others build them. Their tests play one scenario and want the audit to find the
double charge, or Stripe's reuse error; they pass when it does."""

from proof.planted.bug import Bug, suite

FILE = "tests/controls/test_controls.py"
FOUND = ("1 passed",)
BUGS: tuple[Bug, ...] = (
    Bug(
        "broken-server",
        "a confirmed PaymentIntent per request, no customer",
        (),
        FOUND,
        suite(FILE, "the_broken_server_is_caught"),
        model="the broken server",
        status=0,
    ),
    Bug(
        "attach-then-create",
        "attach, then a confirmed PaymentIntent per request",
        (),
        FOUND,
        suite(FILE, "attach_then_create_loses_the_error_and_charges_twice"),
        model="attach, then create",
        status=0,
    ),
    Bug(
        "random-key",
        "single use, and a random idempotency key per attempt",
        (),
        FOUND,
        suite(FILE, "single_use_with_a_random_key_charges_twice"),
        model="a random key per attempt",
        status=0,
    ),
)
