"""stripesim: a stateful local Stripe for tests and demos. It knows nothing of paidonce."""

__version__ = "0.1.0"
