"""One order of one wish: a request for an order that comes again answers the order it made.

With an `Idempotency-Key` the key decides, for 24 h. The shipped app sends none, so without one the
basket does: the same lines at the same prices, addresses and notes of the same user are the same
order while it is unpaid, for `SAME_ORDER_WITHIN_SECONDS`.
"""

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from paidonce.domain import errors
from paidonce.domain.model import NewOrder, RequestKey
from paidonce.domain.states import AttemptState, OrderStatus, PaymentState
from paidonce.payments.context import Context
from paidonce.store import attempts, batches, order_claims, orders, payments
from paidonce.store.engine import Transaction
from paidonce.store.rows import AttemptRow, OrderRow

KEY_LIFE = timedelta(hours=24)
_DELIVERY = ("shippingAddress", "billingAddress", "notes")
"""What makes a basket another one beside its lines. How it is to be paid is said by `pay`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an order is made of, by which a repeat of it is known, and for how long."""

    claim_id: str
    body_hash: str
    lasts: timedelta
    is_key: bool


def wish_of_key(key: RequestKey) -> Wish:
    return Wish(_hash(key.scope, key.key), key.body_hash, KEY_LIFE, is_key=True)


def wish_of_app(ctx: Context, basket: NewOrder, row: OrderRow) -> Wish | None:
    """By the request's key, else by the basket at its present prices. None: every one is new."""
    if basket.key is not None:
        return wish_of_key(basket.key)
    seconds = ctx.settings.same_order_within_seconds
    if seconds == 0:
        return None
    lines = sorted(
        (line["productId"], line["quantity"], line["unitAmountMinor"])
        for line in json.loads(row.items)
    )
    delivery = {name: _normal(basket.details.get(name)) for name in _DELIVERY}
    wanted = json.dumps([lines, row.currency, delivery], sort_keys=True)
    claim_id = _hash("basket", row.user_id, wanted)
    return Wish(claim_id, "", timedelta(seconds=seconds), is_key=False)


async def insert_once(
    ctx: Context, tx: Transaction, row: OrderRow, wish: Wish | None
) -> OrderRow | None:
    """None: `row` is the order of this wish and is to be inserted in this transaction. Otherwise
    the order that the wish has made already. Raises idempotency_mismatch."""
    if wish is None:
        return None
    now = ctx.clock.now()
    claim = await order_claims.claim_order(tx, wish.claim_id, wish.body_hash, row.id, now)
    if claim.order_id == row.id:
        return None
    if now - claim.created_at < wish.lasts:
        if claim.body_hash != wish.body_hash:
            raise errors.idempotency_mismatch()
        standing = await orders.get_order(tx, claim.order_id)
        if standing is not None and (wish.is_key or await _can_be_paid(tx, standing)):
            return standing
    await order_claims.replace_claim(tx, wish.claim_id, wish.body_hash, row.id, now)
    return None


async def _can_be_paid(tx: Transaction, order: OrderRow) -> bool:
    """Not paid, not canceled, no money held for it, and not refused by Stripe for good."""
    if order.status is not OrderStatus.PENDING:
        return False
    payment = await payments.get_standing_payment(tx, order.id)
    if payment is not None and payment.state is not PaymentState.LIVE:
        return False
    return not _is_hopeless(await attempts.get_latest_attempt(tx, order.id))


def _is_hopeless(attempt: AttemptRow | None) -> bool:
    """Stripe does not take the order's payment whatever the card; a declined card is no such end,
    since another one pays the same order."""
    return (
        attempt is not None
        and attempt.state is AttemptState.REFUSED
        and attempt.error_code == errors.order_not_payable("").code
    )


def _normal(value: Any) -> Any:
    """As it was sent, but for what says nothing: absent, null and empty are the same, and so are
    spaces around a text and the two ways to write an accent."""
    if isinstance(value, dict):
        parts = {name: _normal(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part is not None} or None
    if isinstance(value, list):
        return [_normal(part) for part in value] or None
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value.strip()) or None
    return value


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def forget_once(ctx: Context) -> int:
    """Delete claims that count no longer, some batches of them; how many."""
    before = ctx.clock.now() - KEY_LIFE
    return await batches.forget(
        ctx.db,
        lambda tx: order_claims.list_old_claims(tx, before, batches.FORGET_BATCH),
        lambda ids: ctx.db.transaction(
            "forget_claims", lambda tx: order_claims.delete_old_claims(tx, ids, before)
        ),
    )
