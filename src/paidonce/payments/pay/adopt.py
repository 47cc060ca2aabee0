"""An intent of ours that our books have forgotten becomes its order's intent again: the database
was restored from an older backup, or nobody lived to record the create.

Recorded by compare-and-set on a live generation without an intent, never over another one. What
the intent says about its order must agree with the books in every point.
"""

import re
from dataclasses import dataclass

from paidonce.domain.intent import Failure, Intent
from paidonce.domain.states import AttemptState, OrderStatus
from paidonce.observability import get_logger
from paidonce.payments import history
from paidonce.payments.context import REQUEST_SECONDS, Context
from paidonce.payments.pay import claim, record
from paidonce.payments.requests import hosts_user_id, intent_params
from paidonce.store import adoption, orders, payments, users
from paidonce.store.engine import Transaction
from paidonce.store.rows import OrderRow, PaymentRow

PAYMENT_ID = re.compile(r"pay_[0-9a-f]{32}")
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the intent was not recorded, for a person to read."""

    why: str


async def adopt_intent(ctx: Context, intent: Intent) -> PaymentRow | Refused:
    """Record it on the payment that its metadata names, or on a new generation under that id.

    The caller has made sure that it is the order's only one at Stripe, or its only charge.
    """
    order_id = intent.metadata.get("order_id", "")
    order = await ctx.db.read(lambda tx: orders.get_order(tx, order_id))
    if order is None or intent.customer is None:
        return Refused("the order is not in our books, or the intent has no customer")
    owner = await _find_owner(ctx, order, intent.customer)
    if isinstance(owner, Refused):
        return owner
    return await ctx.db.transaction(
        "adopt_intent", lambda tx: _adopt(ctx, tx, order_id, owner, intent)
    )


@dataclass(frozen=True, slots=True)
class _Owner:
    """The user's customer. `is_forgotten`: it says that it is his, and nobody has it recorded."""

    customer_id: str
    is_forgotten: bool


async def _find_owner(ctx: Context, order: OrderRow, customer_id: str) -> _Owner | Refused:
    async def read(tx: Transaction) -> tuple[str | None, str | None]:
        user = await users.get_user(tx, order.user_id)
        owner = await users.get_user_of_customer(tx, customer_id)
        return user.stripe_customer_id if user else None, owner

    recorded, owner = await ctx.db.read(read)
    if recorded == customer_id:
        return _Owner(customer_id, is_forgotten=False)
    if recorded is not None or owner is not None:
        return Refused("the intent is on another customer than the order's user has")
    customer = await ctx.gateway.retrieve_customer(customer_id, REQUEST_SECONDS)
    if isinstance(customer, Failure):
        return Refused(f"Stripe did not show its customer: {customer.reason}")
    if customer.is_deleted:  # its metadata is gone with it; the intent's own says whose it was
        return _Owner(customer_id, is_forgotten=False)
    if hosts_user_id(ctx, customer.metadata) != order.user_id:
        return Refused("its customer does not say that it is the order's user")
    return _Owner(customer_id, is_forgotten=True)


async def _adopt(
    ctx: Context, tx: Transaction, order_id: str, owner: _Owner, intent: Intent
) -> PaymentRow | Refused:
    order = await orders.lock_order(tx, order_id)
    standing = await payments.get_standing_payment(tx, order_id)
    named = await _get_named(tx, intent)
    refusal = _refusal(order, standing, named, intent)
    if order is None or refusal is not None:
        return refusal or Refused("the order is not in our books")
    if await payments.get_payment_of_intent(tx, intent.id) is not None:
        return Refused("it is recorded already")
    if standing is not None and named is None:
        await record.retire_locked(
            ctx, tx, standing.id, action_becomes=AttemptState.SUPERSEDED, only_unrecorded=True
        )
    payment = named or await claim.insert_payment(ctx, tx, order, _payment_id(intent))
    if owner.is_forgotten:
        await adoption.adopt_customer(tx, order.user_id, owner.customer_id)
    params = intent_params(ctx, order, payment, owner.customer_id)
    now = ctx.clock.now()
    if not await payments.adopt_intent(tx, payment.id, owner.customer_id, params, intent.id, now):
        raise LookupError("what was read under the order's lock still holds")
    await history.note(ctx, tx, "intent.adopted", order.id, payment.id, intent=intent.id)
    log.warning("intent.adopted", intent=intent.id, order_id=order.id, payment_id=payment.id)
    return await payments.get_payment(tx, payment.id)


def _refusal(
    order: OrderRow | None, standing: PaymentRow | None, named: PaymentRow | None, intent: Intent
) -> Refused | None:
    """What speaks against it, in the rows as they are under the lock."""
    if order is None:
        return Refused("the order is not in our books")
    if order.status is not OrderStatus.PENDING:
        return Refused(f"the order is {order.status}")
    if intent.metadata.get("user_id") != order.user_id:
        return Refused("it names another user than the order's")
    if (intent.amount, intent.currency) != (order.amount_minor, order.currency):
        return Refused("its amount or currency is not the order's")
    if standing is not None and standing.stripe_payment_intent_id is not None:
        return Refused("the order has another intent recorded, which is not canceled at Stripe")
    if named is None:
        return None
    if standing is None or named.id != standing.id:
        return Refused("the payment that it names is retired or another order's")
    if named.stripe_customer_id not in (None, intent.customer):
        return Refused("its payment has asked for an intent on another customer")
    return None


async def _get_named(tx: Transaction, intent: Intent) -> PaymentRow | None:
    payment_id = _payment_id(intent)
    if payment_id is None:
        return None
    try:
        return await payments.get_payment(tx, payment_id)
    except LookupError:
        return None


def _payment_id(intent: Intent) -> str | None:
    """The id that the app was told, where it is one of ours."""
    payment_id = intent.metadata.get("payment_id", "")
    return payment_id if PAYMENT_ID.fullmatch(payment_id) else None
