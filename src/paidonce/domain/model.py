"""What use cases take and give: frozen shapes without behaviour.

Amounts are integers in minor units, currencies are lower-case ISO 4217 codes, times are UTC.
Order ids are lower-case UUID strings. A client secret never shows in a `repr`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who the app's token speaks for. `user_id` is its `sub`, 1 to 255 characters."""

    user_id: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class BasketItem:
    product_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A client's `Idempotency-Key`. `scope` is whose it is and of which route, `body_hash` of the
    body that came with it."""

    scope: str
    key: str = field(repr=False)
    body_hash: str


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as the app asks for it: no price in it, prices are the server's.

    `details` holds `shippingAddress`, `billingAddress`, `paymentMethod` and `notes` as sent; a
    field that was not sent is not in it.
    """

    items: list[BasketItem]
    details: dict[str, Any] = field(default_factory=dict)
    key: RequestKey | None = None


@dataclass(frozen=True, slots=True)
class NewMerchantOrder:
    """An order of the host itself. `order_id` is the host's own UUID, or None for a new one."""

    user_id: str
    email: str | None
    order_id: str | None
    amount_minor: int
    currency: str
    order_number: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    capture_method: str | None = None
    expires_at: datetime | None = None
    key: RequestKey | None = None


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order, with the name and the price it was ordered at."""

    product_id: str
    name: str
    quantity: int
    unit_amount_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its user and the merchant see it. With `is_authorized` its money is held, until
    `capture_before` where that is known. `expires_at` is when it is canceled if it is not paid."""

    id: str
    user_id: str
    order_number: str
    status: str
    payment_status: str
    amount_minor: int
    currency: str
    items: list[OrderItem]
    metadata: dict[str, Any]
    created_at: datetime
    amount_refunded_minor: int = 0
    capture_method: str = "automatic"
    is_authorized: bool = False
    amount_captured_minor: int | None = None
    capture_before: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One line of the server's price list."""

    product_id: str
    name: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class PayCommand:
    """A request to pay. `payment_method_id` is Stripe's id or that of a saved method.

    `request_id` is this request's own, and the lease's owner; `client_address` and `device_id`, as
    the app calls its device, count declines.
    """

    user_id: str
    order_id: str
    payment_method_id: str
    save_payment_method: bool
    request_id: str
    client_address: str
    device_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Paid:
    """The order is paid, by this request or by an earlier one; with `is_held`, its money is held
    and taken later, and the order is not paid yet. `amount_captured_minor` is what was taken of
    what was held, None where nothing was."""

    payment_id: str
    order_id: str
    amount_minor: int
    currency: str
    is_held: bool = False
    amount_captured_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ActionRequired:
    """The card holder has to authenticate: the SDK with `client_secret`, or, where Stripe names
    one, on the page at `redirect_url`."""

    payment_id: str
    payment_intent_id: str
    client_secret: str = field(repr=False)
    redirect_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PaymentStatus:
    """Where the payment of an order stands.

    `status`: none, processing, requires_action, authorized, succeeded, failed, canceled or
    refunded.
    `client_secret` (and `redirect_url`, see `ActionRequired`) is set while it is requires_action,
    `last_error` after a refusal.
    """

    payment_id: str | None
    order_id: str
    amount_minor: int
    currency: str
    status: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_url: str | None = field(default=None, repr=False)
    last_error: str | None = None
    amount_captured_minor: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentSummary:
    """One line of a user's payments. `payment_method` says with what, where it is known."""

    id: str
    order_id: str
    amount_minor: int
    currency: str
    payment_method: str | None
    status: str
    payment_date: datetime
    stripe_payment_intent_id: str | None


@dataclass(frozen=True, slots=True)
class SaveMethod:
    """A request to keep a card. Address and device are checked against the limits."""

    user: Principal
    stripe_payment_method_id: str
    is_default: bool
    client_address: str
    device_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SetUpCard:
    """A request to save a card without paying: `is_default` is what the card shall become;
    `client_address` and `device_id`, as the app calls its device, are checked against the limits.
    """

    user: Principal
    is_default: bool
    client_address: str
    device_id: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class CardSetup:
    """What the app's SDK needs to confirm a SetupIntent."""

    setup_intent_id: str
    client_secret: str = field(repr=False)
    customer_id: str
    publishable_key: str


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A card that its user asked to keep, as Stripe described it."""

    id: str
    stripe_payment_method_id: str
    is_default: bool
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    cardholder_name: str | None
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `next_cursor` is None on the last one."""

    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer kept under an Idempotency-Key: its HTTP status and its body's bytes."""

    status: int
    body: bytes = field(repr=False)
