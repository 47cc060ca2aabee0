"""paidonce: one order, one charge.

A payment service for mobile apps on Stripe. Read the rooms from the top, as `.importlinter` has
them: `cli` and `main`; what begins something, which is `api`, `webhooks`, `recovery`, `reconcile`,
`backfill` and `outgoing`; the use cases, `payments`; `gateway` and `store`; `domain`, `settings`.
"""

__version__ = "0.1.0"
