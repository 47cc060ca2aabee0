"""What Stripe's payment sheet in the app asks for and gets: frozen shapes without behaviour."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SheetRequest:
    """`stripe_version` is the API version of the app's SDK, None when it wants no ephemeral key;
    `client_address` and `device_id`, as the app calls its device, are checked against the limits.
    """

    user_id: str
    order_id: str
    stripe_version: str | None
    client_address: str
    device_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PaymentSheet:
    """What the SDK opens its sheet with. The customer and what gives access to him are None where
    nothing is ever saved (single use); the ephemeral key is None where no version was named."""

    payment_intent_id: str
    payment_intent_client_secret: str = field(repr=False)
    customer_id: str | None
    customer_session_client_secret: str | None = field(repr=False)
    ephemeral_key_secret: str | None = field(repr=False)
    publishable_key: str
