"""The only room that talks to Stripe: one method, one Stripe call, one of our outcomes."""

from paidonce.gateway.client import Keyed, StripeGateway

__all__ = ["Keyed", "StripeGateway"]
