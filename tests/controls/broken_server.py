"""Control (a): what the replaced server did.

A confirmed PaymentIntent per request, no Customer.
"""

import stripe

from controls.shop import Charge


def process_payment(client: stripe.StripeClient, charge: Charge) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": charge.amount_minor,
            "currency": charge.currency,
            "payment_method": charge.payment_method_id,
            "confirmation_method": "manual",
            "confirm": True,
            "metadata": {"order_id": charge.order_id},
        }
    )
