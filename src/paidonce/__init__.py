"""paidonce: one order, one charge.

A payment service for mobile apps on Stripe. Read the rooms from the top, as `.importlinter` has
them: `cli`, `demo` and `main`; `service`, which is the use cases as the API asks for them, `worker`
and `moving_in`; what begins something, which is `api`, `webhooks`, `recovery`, `reconcile`,
`backfill` and `outgoing`; the use cases, `payments`; `gateway` and `store`; `domain`, `settings`.
"""

__version__ = "0.1.0"
