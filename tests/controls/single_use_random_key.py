"""Control (c): the alternative repair. Each method is used once, each attempt has a random key.

The key is a real Idempotency-Key header here, so that the repair is judged at its best; being
new on every attempt, it recognises no repeat.
"""

import random
import time

import stripe

from controls.shop import Charge


def process_payment(client: stripe.StripeClient, charge: Charge) -> stripe.PaymentIntent:
    key = f"payment_{int(time.time() * 1000)}_{random.random()}"
    return client.v1.payment_intents.create(
        {
            "amount": charge.amount_minor,
            "currency": charge.currency,
            "payment_method": charge.payment_method_id,
            "confirmation_method": "manual",
            "confirm": True,
            "return_url": "https://shop.example/return",
            "metadata": {"order_id": charge.order_id},
        },
        {"idempotency_key": key},
    )
