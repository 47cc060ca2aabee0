"""The flows: what a client, Stripe and time do to the service, in order; a file for each subject.

Everything before `shop.begin()` sets the scene; after it every step is a crash point. A flow that
is not finished because its client left ends there. `ends` is what has to become of its last order
when everybody comes back.
"""

from proof.crash_points.flows import (
    canceling,
    cards,
    challenges,
    erasing,
    events,
    holds,
    money_back,
    orders,
    paying,
    recovery,
    restored,
    sheets,
    strays,
    surplus,
    telling,
    tokens,
)
from proof.crash_points.flows.table import FLOWS, Flow

__all__ = ["FLOWS", "LEFT_OUT", "SUBJECTS", "Flow"]

SUBJECTS = (
    orders,
    paying,
    challenges,
    events,
    recovery,
    canceling,
    holds,
    strays,
    surplus,
    money_back,
    restored,
    cards,
    sheets,
    telling,
    tokens,
    erasing,
)
"""Imported, so that their flows stand in the table."""

ONE_COMMIT = "one commit, and nothing outside; tests/service/test_outgoing_desk.py"
LEFT_OUT = {
    "commit.host_table": "an upgrade of the host's own table; tests/migration/test_adoption.py",
    "commit.adopt_customer": "a person's command: one commit, and nothing at Stripe;"
    " tests/migration/test_duplicates.py",
    "commit.audit_method": "a person's command; the next run finds what was attached and not"
    " recorded: tests/service/test_audit.py",
    "commit.resend_notice": ONE_COMMIT,
    "commit.resend_notices": ONE_COMMIT,
    "commit.enable_endpoint": ONE_COMMIT,
    "commit.retire_endpoint": "a person's command, which goes on when it is run again;"
    " tests/service/test_outgoing_desk.py",
    "commit.drop_untold": "the same",
    "commit.forget_notices": ONE_COMMIT,
    "commit.dismiss": "a person's command: one commit, and nothing at Stripe;"
    " tests/service/test_reconcile_dismiss.py",
    "commit.capture_refused": "Stripe refuses a capture that it could make: nothing leads there;"
    " one commit under the order's lock",
    "commit.contradicted": "a line in the history of an answer that lies; nothing rests on it;"
    " tests/service/test_lies.py",
}
"""Steps of the code that no flow passes, and why."""
