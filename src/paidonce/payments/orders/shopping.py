"""Products, orders and the lists the app shows. Prices come from the server's list, always."""

import json
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from paidonce.domain import errors, money
from paidonce.domain.model import (
    BasketItem,
    NewMerchantOrder,
    NewOrder,
    Order,
    OrderItem,
    Page,
    PaymentSummary,
    Principal,
    Product,
)
from paidonce.domain.states import OrderStatus, PaymentState
from paidonce.payments import restore
from paidonce.payments.context import Context, new_id
from paidonce.payments.cursors import ORDER_IDS, PAYMENT_IDS, decode_cursor, next_cursor
from paidonce.payments.orders import same_order
from paidonce.payments.pay import prepare
from paidonce.store import listings, orders, users
from paidonce.store.engine import Row, Transaction
from paidonce.store.rows import OrderRow


async def create_order(ctx: Context, user: Principal, basket: NewOrder) -> Order:
    """A pending order of the user; its customer and intent are prepared behind the answer."""

    async def work(tx: Transaction) -> tuple[OrderRow, bool]:
        items = [await _priced(tx, item, place) for place, item in enumerate(basket.items)]
        currencies = {product.currency for product, _ in items}
        if len(currencies) != 1:
            raise errors.invalid_request("items must all have one currency.")
        total = sum(product.amount_minor * quantity for product, quantity in items)
        lines = [
            {
                "productId": product.product_id,
                "name": product.name,
                "quantity": quantity,
                "unitAmountMinor": product.amount_minor,
            }
            for product, quantity in items
        ]
        if not await users.ensure_user(tx, user.user_id, user.email, ctx.clock.now()):
            raise errors.not_authenticated()
        row = _new_row(
            ctx, user.user_id, total, currencies.pop(), items=lines, details=basket.details
        )
        made = await same_order.insert_once(ctx, tx, row, same_order.wish_of_app(ctx, basket, row))
        if made is not None:
            return made, False
        if not await orders.insert_order_once(tx, row):
            raise LookupError("a new order's id and number are new")
        return row, True

    row, is_new = await ctx.db.transaction("order", work)
    if not is_new:
        return await get_order(ctx, row.id, None)
    prepare.start_preparing(ctx, row.id)
    return order_view(row)


async def create_merchant_order(ctx: Context, new: NewMerchantOrder) -> Order:
    """The host's own order. The same call again answers the same order when it has an id or a key;
    otherwise it makes another one.

    Raises order_conflict, and invalid_request for a user whom the host's table does not have.
    """

    async def work(tx: Transaction) -> tuple[OrderRow, bool]:
        if not await users.ensure_user(tx, new.user_id, new.email, ctx.clock.now()):
            raise errors.invalid_request("userId is not the id of a user.")
        row = _new_row(
            ctx,
            new.user_id,
            new.amount_minor,
            new.currency,
            order_id=new.order_id,
            order_number=new.order_number,
            metadata=new.metadata,
            capture_method=new.capture_method,
            expires_at=new.expires_at,
        )
        if new.key is not None:
            made = await same_order.insert_once(ctx, tx, row, same_order.wish_of_key(new.key))
            if made is not None:
                return made, False
        if await orders.insert_order_once(tx, row):
            if row.expires_at is not None and row.expires_at <= ctx.clock.now():
                raise errors.invalid_request("expiresAt must be in the future.")
            return row, True
        standing = await orders.get_order(tx, row.id)
        if standing is None:
            raise errors.order_conflict("orderNumber is the number of another order.")
        if not _is_same(standing, row, new):
            raise errors.order_conflict("orderId is the id of an order with other contents.")
        return standing, False

    if new.order_id is not None and not await restore.ensure_compared(ctx, restore.PAYER_SECONDS):
        raise errors.service_unavailable()  # a restored database may have lost this very order
    row, is_new = await ctx.db.transaction("order", work)
    if not is_new:
        return await get_order(ctx, row.id, None)
    prepare.start_preparing(ctx, row.id)
    return order_view(row)


async def get_order(ctx: Context, order_id: str, user_id: str | None) -> Order:
    """`user_id` None: the merchant asks, who sees every order."""
    row = await ctx.db.read(lambda tx: listings.get_order_view(tx, order_id))
    if row is None or (user_id is not None and row["user_id"] != user_id):
        raise errors.order_not_found()
    return order_of(row)


async def list_orders(ctx: Context, user_id: str, limit: int, cursor: str | None) -> Page[Order]:
    before = decode_cursor(cursor, ORDER_IDS)
    rows = await ctx.db.read(lambda tx: listings.list_orders(tx, user_id, limit + 1, before))
    items = [order_of(row) for row in rows[:limit]]
    return Page(items, next_cursor(rows, limit))


async def list_payments(
    ctx: Context, user_id: str, limit: int, cursor: str | None
) -> Page[PaymentSummary]:
    """Payments that were tried at least once, newest first."""
    before = decode_cursor(cursor, PAYMENT_IDS)
    rows = await ctx.db.read(lambda tx: listings.list_payments(tx, user_id, limit + 1, before))
    items = [summary_of(row) for row in rows[:limit]]
    return Page(items, next_cursor(rows, limit))


def order_view(row: OrderRow) -> Order:
    """An order nobody has tried to pay yet."""
    return _order(row, _payment_status(row, has_failed=False))


async def _priced(tx: Transaction, item: BasketItem, place: int) -> tuple[Product, int]:
    product = await orders.get_product(tx, item.product_id)
    if product is None:
        raise errors.product_not_found(place)
    return product, item.quantity


def _new_row(
    ctx: Context,
    user_id: str,
    amount_minor: int,
    currency: str,
    *,
    order_id: str | None = None,
    order_number: str | None = None,
    items: list[dict[str, Any]] | None = None,
    metadata: dict[str, str] | None = None,
    details: dict[str, Any] | None = None,
    capture_method: str | None = None,
    expires_at: datetime | None = None,
) -> OrderRow:
    """Raises the refusal of an amount that Stripe cannot charge."""
    money.check_charge(amount_minor, currency)
    now, hours = ctx.clock.now(), ctx.settings.order_expires_after_hours
    if expires_at is None and hours:
        expires_at = now + timedelta(hours=hours)
    return OrderRow(
        id=order_id or new_id(),
        user_id=user_id,
        order_number=order_number or _order_number(now),
        amount_minor=amount_minor,
        currency=currency,
        status=OrderStatus.PENDING,
        amount_refunded_minor=0,
        items=json.dumps(items or []),
        details=json.dumps(details or {}),
        metadata=json.dumps(metadata or {}),
        created_at=now,
        paid_at=None,
        capture_method=capture_method or ctx.settings.capture_method,
        expires_at=expires_at,
    )


def _order_number(now: datetime) -> str:
    """Short enough to read aloud; unique by 40 random bits a day, and by its index."""
    return f"ORD-{now:%Y%m%d}-{secrets.token_hex(5).upper()}"


def _is_same(standing: OrderRow, new_row: OrderRow, new: NewMerchantOrder) -> bool:
    is_number_same = new.order_number is None or standing.order_number == new.order_number
    is_capture_same = new.capture_method in (None, standing.capture_method)
    is_expiry_same = new.expires_at in (None, standing.expires_at)
    return (
        is_number_same
        and is_capture_same
        and is_expiry_same
        and (
            standing.user_id,
            standing.amount_minor,
            standing.currency,
            json.loads(standing.metadata),
        )
        == (new_row.user_id, new_row.amount_minor, new_row.currency, new.metadata)
    )


def order_of(row: Row) -> Order:
    order = listings.order_row(row)
    has_failed = bool(row["has_failed"]) and not row["is_authorized"]
    view = _order(order, _payment_status(order, has_failed=has_failed))
    return replace(view, is_authorized=row["is_authorized"], capture_before=row["capture_before"])


def _order(row: OrderRow, payment_status: str) -> Order:
    return Order(
        id=row.id,
        user_id=row.user_id,
        order_number=row.order_number,
        status=row.status,
        payment_status=payment_status,
        amount_minor=row.amount_minor,
        currency=row.currency,
        items=[
            OrderItem(item["productId"], item["name"], item["quantity"], item["unitAmountMinor"])
            for item in json.loads(row.items)
        ],
        metadata=json.loads(row.metadata),
        created_at=row.created_at,
        amount_refunded_minor=row.amount_refunded_minor,
        capture_method=row.capture_method,
        amount_captured_minor=row.amount_captured_minor,
        expires_at=row.expires_at,
    )


def _payment_status(row: OrderRow, *, has_failed: bool) -> str:
    if row.amount_refunded_minor >= row.charged_minor:
        return "refunded"
    if row.amount_refunded_minor > 0:
        return "partially_refunded"
    if row.status is OrderStatus.PAID:
        return "paid"
    return "failed" if has_failed else "pending"


def summary_of(row: Row) -> PaymentSummary:
    brand, last4 = row["brand"], row["last4"]
    return PaymentSummary(
        id=row["id"],
        order_id=row["order_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        payment_method=f"{brand} •••• {last4}" if brand and last4 else "credit_card",
        status=_summary_status(row),
        payment_date=row["finished_at"] or row["created_at"],
        stripe_payment_intent_id=row["stripe_payment_intent_id"],
    )


def _summary_status(row: Row) -> str:
    if row["amount_refunded_minor"] >= (row["amount_captured_minor"] or row["amount_minor"]):
        return "refunded"
    match PaymentState(row["state"]):
        case PaymentState.SUCCEEDED | PaymentState.SURPLUS:
            return "succeeded"
        case PaymentState.CANCELED:
            return "canceled"
        case PaymentState.AUTHORIZED:
            return "authorized"
        case PaymentState.LIVE:
            states = {"open": "processing", "action": "requires_action"}
            return states.get(row["attempt_state"], "failed")
