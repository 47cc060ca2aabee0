"""The only room that talks to Stripe: one method, one Stripe call, one of our outcomes."""

from paidonce.gateway.client import Keyed, StripeGateway
from paidonce.gateway.pace import Pace

__all__ = ["Keyed", "Pace", "StripeGateway"]
