"""Stripe's events. `receive`: verify, store once, answer. `drain_once`: inbox -> payments.

An event is a hint where to look: what is true is read from Stripe, so events may come late, twice,
in any order, or never (recovery finds out by itself).
"""

from paidonce.webhooks.drain import drain_once
from paidonce.webhooks.inbox import forget_once
from paidonce.webhooks.intake import receive

__all__ = ["drain_once", "forget_once", "receive"]
