"""Request bodies and parameters to what the use cases take; every refusal names the field."""

import re
from collections.abc import Collection
from typing import Any, TypeGuard

from starlette.requests import Request

from paidonce.api.auth import LONGEST_USER_ID, is_email, is_user_id
from paidonce.api.currencies import CURRENCIES
from paidonce.api.fields import PLAIN_NAME, Fields
from paidonce.domain import errors
from paidonce.domain.model import (
    BasketItem,
    NewMerchantOrder,
    NewOrder,
    Product,
    RequestKey,
)
from paidonce.domain.money import MAX_AMOUNT_MINOR

MOST_ITEMS = 100
MOST_QUANTITY = 10_000
MOST_PRODUCTS = 1000
LONGEST_ID = 100
LONGEST_NAME = 250
LONGEST_NOTES = 5000
LONGEST_DEVICE_ID = 200
LONGEST_STRIPE_ID = 255
LONGEST_CURSOR = 600  # the id of a product, 100 characters of any script
LONGEST_VERSION = 200
MOST_LISTED, LISTED_BY_DEFAULT = 100, 20
# Stripe's limits for metadata, kept here so that an order's metadata can travel along.
MOST_METADATA_KEYS, LONGEST_METADATA_KEY, LONGEST_METADATA_VALUE = 50, 40, 500

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PAYMENT_METHOD_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SAVED_METHOD_ID = re.compile(r"(spm|pm)_[A-Za-z0-9_-]+", re.ASCII)
_PAYMENT_INTENT_ID = re.compile(r"pi_[A-Za-z0-9_]+", re.ASCII)
_STRIPE_VERSION = re.compile(  # https://docs.stripe.com/api/versioning, with betas behind it
    r"20[0-9]{2}-[01][0-9]-[0-3][0-9](\.[a-z_]{1,40})?(; ?[a-z0-9_]{1,60}=v[0-9]{1,3})*", re.ASCII
)
_METHOD_FIELDS = ("paymentMethodId", "paymentToken", "stripePaymentMethodId", "confirmationToken")
_DETAILS = ("shippingAddress", "billingAddress", "paymentMethod", "notes")


def order_id_of(request: Request) -> str:
    """The order id of the path in lower case; raises `invalid_order_id`."""
    return as_order_id(request.path_params["orderId"])


def as_order_id(value: object) -> str:
    """A UUID in its usual form, upper or lower case; raises `invalid_order_id`."""
    if not is_order_id(value):
        raise errors.invalid_order_id()
    return value.lower()


def is_order_id(value: object) -> TypeGuard[str]:
    """A UUID in its usual form."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def page_of(request: Request) -> tuple[int, str | None]:
    """`limit` (1 to 100, 20 when absent) and `cursor` of a list."""
    limit = request.query_params.get("limit", str(LISTED_BY_DEFAULT))
    cursor = request.query_params.get("cursor") or None
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MOST_LISTED:
        raise errors.invalid_request(f"limit must be a number from 1 to {MOST_LISTED}.")
    if cursor is not None and (len(cursor) > LONGEST_CURSOR or not cursor.isprintable()):
        raise errors.invalid_request("cursor is not one that was given by a list.")
    return int(limit), cursor


def merchant_page_of(request: Request, filters: Collection[str] = ()) -> tuple[int, str | None]:
    """The same of a list of the merchant's. A parameter that is none of its own is refused, and one
    that stands twice: whoever writes `userid` must not get everybody's."""
    names = [name for name, _ in request.query_params.multi_items()]
    known = ("limit", "cursor", *filters)
    for name in names:
        what = name if PLAIN_NAME.fullmatch(name) else "A parameter"
        if name not in known:
            raise errors.invalid_request(f"{what} is not one of {', '.join(known)}.")
        if names.count(name) > 1:
            raise errors.invalid_request(f"{what} stands twice in the query.")
    return page_of(request)


def parse_new_order(body: dict[str, Any], key: RequestKey | None = None) -> NewOrder:
    """The app's basket; prices in it are ignored like every unknown field."""
    fields = Fields(body)
    items = [
        BasketItem(
            product_id=item.required_text("productId", LONGEST_ID),
            quantity=item.integer("quantity", 1, MOST_QUANTITY),
        )
        for item in fields.objects("items", MOST_ITEMS)
    ]
    for name in ("shippingAddress", "billingAddress", "paymentMethod"):
        if not isinstance(body.get(name), dict | str | None):
            raise errors.invalid_request(f"{name} must be an object or a string.")
    fields.free_text("notes", LONGEST_NOTES)
    details = {name: body[name] for name in _DETAILS if body.get(name) is not None}
    return NewOrder(items, details, key)


def parse_products(body: dict[str, Any]) -> list[Product]:
    products = [
        Product(
            product_id=product.required_text("productId", LONGEST_ID),
            name=product.required_text("name", LONGEST_NAME),
            amount_minor=product.integer("amountMinor", 1, MAX_AMOUNT_MINOR),
            currency=_currency(product),
        )
        for product in Fields(body).objects("products", MOST_PRODUCTS)
    ]
    if len({product.product_id for product in products}) != len(products):
        raise errors.invalid_request("products has the same productId twice.")
    return products


def parse_merchant_order(body: dict[str, Any], key: RequestKey | None = None) -> NewMerchantOrder:
    """The host's own order. Raises `invalid_order_id` for an orderId that is no UUID."""
    fields = Fields(body)
    user_id, email, order_id = body.get("userId"), body.get("email"), body.get("orderId")
    if user_id is None:
        raise errors.invalid_request("userId is required.")
    if not is_user_id(user_id):
        raise errors.invalid_request(
            f"userId must be a string of 1 to {LONGEST_USER_ID} printable characters."
        )
    if email is not None and not is_email(email):
        raise errors.invalid_request("email must be an e-mail address.")
    return NewMerchantOrder(
        user_id=user_id,
        email=email,
        order_id=None if order_id is None else as_order_id(order_id),
        amount_minor=fields.integer("amountMinor", 1, MAX_AMOUNT_MINOR),
        currency=_currency(fields),
        order_number=fields.text("orderNumber", LONGEST_ID),
        metadata=_metadata(body.get("metadata")),
        capture_method=fields.one_of("captureMethod", ("automatic", "manual")),
        expires_at=fields.time("expiresAt"),
        key=key,
    )


def payment_method_of(body: dict[str, Any]) -> str | None:
    """The PaymentMethod id where one of the app's versions put it, or None. A ConfirmationToken may
    stand in its place, or by its own name.

    The first of `paymentMethodId`, `paymentToken`, `stripePaymentMethodId`, `confirmationToken`,
    and `paymentMethod` when that begins with `pm_` or `ctoken_` (other values of it, "credit_card",
    name a kind of method).
    """
    fields = Fields(body)
    named = {
        name: fields.text(name, LONGEST_STRIPE_ID, is_empty_absent=True)
        for name in (*_METHOD_FIELDS, "paymentMethod")
    }
    if not (named["paymentMethod"] or "").startswith(("pm_", "ctoken_")):
        del named["paymentMethod"]
    for name, method_id in named.items():
        if method_id is None:
            continue
        if _PAYMENT_METHOD_ID.fullmatch(method_id) is None:
            raise errors.invalid_request(f"{name} is not the id of a PaymentMethod.")
        return method_id
    return None


def stripe_version_of(body: dict[str, Any]) -> str | None:
    """`stripeVersion`, the API version that the app's SDK speaks, or None."""
    version = Fields(body).text("stripeVersion", LONGEST_VERSION, is_empty_absent=True)
    if version is not None and _STRIPE_VERSION.fullmatch(version) is None:
        raise errors.invalid_request(
            "stripeVersion must be a version of Stripe's API: 2025-10-29.clover, for one."
        )
    return version


def saved_method_id_of(request: Request) -> str:
    """The id in the path, ours or Stripe's; raises `payment_method_not_found` for anything else."""
    given: str = request.path_params["id"]
    if len(given) > LONGEST_STRIPE_ID or _SAVED_METHOD_ID.fullmatch(given) is None:
        raise errors.payment_method_not_found()
    return given


def product_id_of(request: Request) -> str:
    """The id in the path; raises `product_not_listed` for what is the id of no product."""
    given: str = request.path_params["productId"]
    if not 1 <= len(given) <= LONGEST_ID or not given.isprintable():
        raise errors.product_not_listed()
    return given


def device_of(request: Request) -> str:
    """What an app calls the device that it runs on (`X-Device-Id`), for the limits; the shipped one
    says nothing. What cannot be a name is passed over: a payment does not fail for it."""
    given = request.headers.get("x-device-id", "")
    return given if len(given) <= LONGEST_DEVICE_ID and given.isprintable() else ""


def method_to_save_of(body: dict[str, Any]) -> tuple[str, bool]:
    """`stripePaymentMethodId` and `isDefault`; what else the app sends, Stripe knows better."""
    fields = Fields(body)
    method_id = fields.required_text("stripePaymentMethodId", LONGEST_STRIPE_ID)
    if _PAYMENT_METHOD_ID.fullmatch(method_id) is None:
        raise errors.invalid_request("stripePaymentMethodId is not the id of a PaymentMethod.")
    return method_id, fields.boolean("isDefault")


def payment_intent_of(body: dict[str, Any]) -> str | None:
    """`paymentIntentId`, or None; a client secret in its place is refused."""
    given = Fields(body).text("paymentIntentId", LONGEST_STRIPE_ID, is_empty_absent=True)
    if given is not None and (_PAYMENT_INTENT_ID.fullmatch(given) is None or "_secret_" in given):
        raise errors.invalid_request("paymentIntentId is not the id of a PaymentIntent.")
    return given


def _currency(fields: Fields) -> str:
    currency = fields.required_text("currency", 3).lower()
    if currency not in CURRENCIES:
        raise errors.invalid_request(f"{fields.where}currency is not one that Stripe supports.")
    return currency


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST_METADATA_KEYS:
        raise errors.invalid_request(
            f"metadata must be an object with at most {MOST_METADATA_KEYS} fields."
        )
    for name, text in value.items():
        if not 1 <= len(name) <= LONGEST_METADATA_KEY or "[" in name or "]" in name:
            raise errors.invalid_request(
                f"metadata keys must have 1 to {LONGEST_METADATA_KEY} characters, no brackets."
            )
        if not isinstance(text, str) or len(text) > LONGEST_METADATA_VALUE:
            raise errors.invalid_request(
                f"metadata values must be strings of at most {LONGEST_METADATA_VALUE} characters."
            )
    return dict(value)
