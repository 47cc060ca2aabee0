"""paidonce: one order, one charge.

A payment service for mobile apps on Stripe. Read the rooms from the top: `cli`, `main`, `api`,
`webhooks` and `recovery`, `payments`, `gateway` and `store`, `domain`, `settings`.
"""

__version__ = "0.1.0"
