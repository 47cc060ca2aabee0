"""The auditor: were all orders charged as promised, and was everybody told the truth?

It imports nothing of the service. What Stripe holds it takes from the simulator's append-only
ledger and objects; our books it reads with its own SQL, table by table; what clients asked and were
told it gets from whoever drives them. The invariants' names (I1 to I14) are those of
`docs/reliability.md`.
"""

from proof.auditor.facts import Asked, Books, Finding, Order, Stripe, Telling, Told
from proof.auditor.judging import judge
from proof.auditor.reading import books_of, books_of_postgresql, read_books, read_stripe

__all__ = [
    "Asked",
    "Books",
    "Finding",
    "Order",
    "Stripe",
    "Telling",
    "Told",
    "books_of",
    "books_of_postgresql",
    "judge",
    "read_books",
    "read_stripe",
]
