"""Control (b): the recommended repair.

Attach to a Customer, then a confirmed PaymentIntent per request. The reuse error is gone; nothing
stops a second PaymentIntent for the same order.
"""

import threading

import stripe

from controls.shop import Charge


class AttachThenCreate:
    """Keeps each user's Customer; made once per user, so that only the payment itself is naive."""

    def __init__(self) -> None:
        self._customers: dict[str, str] = {}
        self._lock = threading.Lock()

    def process_payment(self, client: stripe.StripeClient, charge: Charge) -> stripe.PaymentIntent:
        customer = self._ensure_customer(client, charge.user_id)
        client.v1.payment_methods.attach(charge.payment_method_id, {"customer": customer})
        return client.v1.payment_intents.create(
            {
                "amount": charge.amount_minor,
                "currency": charge.currency,
                "customer": customer,
                "payment_method": charge.payment_method_id,
                "confirmation_method": "manual",
                "confirm": True,
                "return_url": "https://shop.example/return",
                "metadata": {"order_id": charge.order_id},
            }
        )

    def _ensure_customer(self, client: stripe.StripeClient, user_id: str) -> str:
        with self._lock:
            if user_id not in self._customers:
                customer = client.v1.customers.create({"metadata": {"user_id": user_id}})
                self._customers[user_id] = customer.id
            return self._customers[user_id]
