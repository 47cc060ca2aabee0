"""Stripe and our books, compared both ways."""

from paidonce.reconcile.asking import CannotCompare
from paidonce.reconcile.compare import IN_FLIGHT
from paidonce.reconcile.dismiss import CannotDismiss, Dismissal, dismiss_forgotten
from paidonce.reconcile.findings import ADVICE, Finding, Kind, Remedy
from paidonce.reconcile.fix import Fixer
from paidonce.reconcile.run import Counts, Reconcile

__all__ = [
    "ADVICE",
    "IN_FLIGHT",
    "CannotCompare",
    "CannotDismiss",
    "Counts",
    "Dismissal",
    "Finding",
    "Fixer",
    "Kind",
    "Reconcile",
    "Remedy",
    "dismiss_forgotten",
]
