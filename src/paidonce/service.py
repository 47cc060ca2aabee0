"""The use cases as the API asks for them (`api.usecases.UseCases`), over one open context."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from paidonce import outgoing, webhooks
from paidonce.api.drain import Drain
from paidonce.api.usecases import OK, Readiness
from paidonce.domain import errors
from paidonce.domain.merchant import MerchantPayment, OrderFilter, PaymentFilter, Timeline
from paidonce.domain.model import (
    ActionRequired,
    CardSetup,
    NewMerchantOrder,
    NewOrder,
    Order,
    Page,
    Paid,
    PayCommand,
    PaymentStatus,
    PaymentSummary,
    Principal,
    Product,
    SavedMethod,
    SaveMethod,
    SetUpCard,
    StoredAnswer,
)
from paidonce.domain.money_back import DisputeView, MoneyBack, RefundCommand, RefundView
from paidonce.domain.outgoing import EventFilter, ToldEvent
from paidonce.domain.sheet import PaymentSheet, SheetRequest
from paidonce.observability import get_logger
from paidonce.payments.cards import release, saved, setups
from paidonce.payments.context import Context, once_begun
from paidonce.payments.money_back import money_back, refund_request
from paidonce.payments.money_back.disputes import measure_disputes
from paidonce.payments.money_back.refund_work import measure_overdue
from paidonce.payments.orders import cancel, merchant_lists, price_list, shopping
from paidonce.payments.orders.same_order import KEY_LIFE
from paidonce.payments.pay import capture, follow_up, pay, sheet
from paidonce.payments.pay.holds import measure_ending
from paidonce.store import events, installation, users
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.webhooks.inbox import measure_inbox

MEASURE_SECONDS = 60.0
MEASURES: tuple[Callable[[Context], Awaitable[None]], ...] = (
    measure_inbox,
    outgoing.measure_outgoing,
    measure_overdue,
    measure_disputes,
    measure_ending,
)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
log = get_logger(__name__)


def _needs_database(
    use_case: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Without the database the answer is 503; nothing was charged by what could not be claimed."""

    @wraps(use_case)
    async def guarded(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return await use_case(*args, **kwargs)
        except (DatabaseUnavailable, UnknownCommit) as error:
            log.warning("database.unavailable", error=str(error))
            raise errors.service_unavailable() from error

    return guarded


class Service:
    """The use cases as the API asks for them (`api.usecases.UseCases`)."""

    def __init__(self, drain: Drain) -> None:
        self.wake = asyncio.Event()
        self._drain = drain
        self._ctx: Context | None = None
        self._measure_at = 0.0

    def open(self, ctx: Context) -> None:
        self.wake = asyncio.Event()  # of the loop that the application runs in now
        self._ctx = ctx

    def close(self, ctx: Context) -> None:
        if self._ctx is ctx:
            self._ctx = None

    @property
    def ctx(self) -> Context:
        if self._ctx is None:
            raise errors.service_unavailable()
        return self._ctx

    async def _check_known(self, user_id: str) -> None:
        """Raises not_authenticated for a user whom the host's table does not have (any more).
        Orders and payments look by themselves, inside their own transactions."""
        db = self.ctx.db
        if db.users.is_host and not await db.read(lambda tx: users.is_known(tx, user_id)):
            raise errors.not_authenticated()

    @_needs_database
    async def create_order(self, user: Principal, basket: NewOrder) -> Order:
        return await shopping.create_order(self.ctx, user, basket)

    @_needs_database
    async def create_merchant_order(self, order: NewMerchantOrder) -> Order:
        return await shopping.create_merchant_order(self.ctx, order)

    @_needs_database
    async def get_order(self, user_id: str, order_id: str) -> Order:
        await self._check_known(user_id)
        return await shopping.get_order(self.ctx, order_id, user_id)

    @_needs_database
    async def get_merchant_order(self, order_id: str) -> Order:
        return await shopping.get_order(self.ctx, order_id, None)

    @_needs_database
    async def cancel_order(self, order_id: str) -> Order:
        await cancel.cancel_order(self.ctx, order_id)
        return await shopping.get_order(self.ctx, order_id, None)

    @_needs_database
    async def capture_order(self, order_id: str, amount_minor: int | None) -> Order:
        await capture.capture_order(self.ctx, order_id, amount_minor)
        with once_begun():
            return await shopping.get_order(self.ctx, order_id, None)

    @_needs_database
    async def refund_order(self, command: RefundCommand) -> RefundView:
        return await refund_request.refund_order(self.ctx, command)

    @_needs_database
    async def list_refunds_of_order(
        self, order_id: str, limit: int, cursor: str | None
    ) -> Page[RefundView]:
        return await refund_request.list_refunds_of_order(self.ctx, order_id, limit, cursor)

    @_needs_database
    async def list_refunds(
        self, limit: int, cursor: str | None, order_id: str | None, status: str | None
    ) -> Page[RefundView]:
        return await refund_request.list_refunds(self.ctx, limit, cursor, order_id, status)

    @_needs_database
    async def list_disputes(
        self, limit: int, cursor: str | None, order_id: str | None, status: str | None
    ) -> Page[DisputeView]:
        return await money_back.list_disputes(self.ctx, limit, cursor, order_id, status)

    @_needs_database
    async def get_money_back(self, order_id: str) -> MoneyBack:
        return await money_back.get_money_back(self.ctx, order_id)

    @_needs_database
    async def list_orders(self, user_id: str, limit: int, cursor: str | None) -> Page[Order]:
        await self._check_known(user_id)
        return await shopping.list_orders(self.ctx, user_id, limit, cursor)

    @_needs_database
    async def list_merchant_orders(
        self, wanted: OrderFilter, limit: int, cursor: str | None
    ) -> Page[Order]:
        return await merchant_lists.list_orders(self.ctx, wanted, limit, cursor)

    @_needs_database
    async def list_merchant_payments(
        self, wanted: PaymentFilter, limit: int, cursor: str | None
    ) -> Page[MerchantPayment]:
        return await merchant_lists.list_payments(self.ctx, wanted, limit, cursor)

    @_needs_database
    async def get_timeline(self, order_id: str) -> tuple[Order, Timeline]:
        return await merchant_lists.get_timeline(self.ctx, order_id)

    @_needs_database
    async def list_events(
        self, wanted: EventFilter, limit: int, cursor: str | None
    ) -> Page[ToldEvent]:
        return await outgoing.list_events(self.ctx, wanted, limit, cursor)

    @_needs_database
    async def get_event(self, event_id: str) -> ToldEvent:
        return await outgoing.get_event(self.ctx, event_id)

    @_needs_database
    async def resend_event(self, event_id: str) -> tuple[ToldEvent, int]:
        return await outgoing.resend_event(self.ctx, event_id)

    @_needs_database
    async def put_products(self, products: list[Product]) -> None:
        await price_list.put_products(self.ctx, products)

    @_needs_database
    async def list_products(self, limit: int, cursor: str | None) -> Page[Product]:
        return await price_list.list_products(self.ctx, limit, cursor)

    @_needs_database
    async def delete_product(self, product_id: str) -> None:
        await price_list.delete_product(self.ctx, product_id)

    @_needs_database
    async def pay(self, command: PayCommand) -> Paid | ActionRequired:
        return await pay.pay(self.ctx, await saved.stripe_method_id(self.ctx, command))

    @_needs_database
    async def confirm(
        self, user_id: str, order_id: str, payment_intent_id: str | None
    ) -> Paid | ActionRequired:
        with once_begun():
            await self._check_known(user_id)
        return await follow_up.confirm_payment(self.ctx, user_id, order_id, payment_intent_id)

    @_needs_database
    async def open_payment_sheet(self, asked: SheetRequest) -> PaymentSheet:
        await self._check_known(asked.user_id)
        return await sheet.open_sheet(self.ctx, asked)

    @_needs_database
    async def payment_status(self, user_id: str, order_id: str) -> PaymentStatus:
        await self._check_known(user_id)
        return await follow_up.payment_status(self.ctx, user_id, order_id)

    @_needs_database
    async def list_payments(
        self, user_id: str, limit: int, cursor: str | None
    ) -> Page[PaymentSummary]:
        await self._check_known(user_id)
        return await shopping.list_payments(self.ctx, user_id, limit, cursor)

    @_needs_database
    async def list_methods(self, user_id: str, limit: int, cursor: str | None) -> Page[SavedMethod]:
        await self._check_known(user_id)
        return await saved.list_methods(self.ctx, user_id, limit, cursor)

    @_needs_database
    async def save_method(self, command: SaveMethod) -> SavedMethod:
        await self._check_known(command.user.user_id)
        return await saved.save_method(self.ctx, command)

    @_needs_database
    async def set_up_card(self, command: SetUpCard) -> CardSetup:
        await self._check_known(command.user.user_id)
        return await setups.set_up_card(self.ctx, command)

    @_needs_database
    async def delete_method(self, user_id: str, method_id: str) -> str:
        await self._check_known(user_id)
        return await release.delete_method(self.ctx, user_id, method_id)

    @_needs_database
    async def set_default_method(self, user_id: str, method_id: str) -> SavedMethod:
        await self._check_known(user_id)
        return await saved.set_default_method(self.ctx, user_id, method_id)

    @_needs_database
    async def receive_webhook(self, body: bytes, signature: str) -> None:
        if await webhooks.receive(self.ctx, body, signature):
            self.wake.set()

    async def measure(self) -> None:
        """Bring those metrics up to date that are read from the database, once a minute at most;
        one that cannot be read keeps no other from it."""
        ctx = self.ctx
        if ctx.clock.monotonic() < self._measure_at:
            return
        self._measure_at = ctx.clock.monotonic() + MEASURE_SECONDS
        await asyncio.gather(*(_measure(ctx, measure) for measure in MEASURES))

    async def readiness(self) -> Readiness:
        if self._drain.begun.is_set():
            return Readiness({"process": "is ending"}, is_ready=False)
        ctx = self.ctx
        is_open = ctx.gateway.is_circuit_open
        stripe = "the circuit is open" if is_open else ctx.gateway.key_complaint or OK
        try:
            await ctx.db.read(installation.get_installation)
        except DatabaseUnavailable as error:
            log.warning("database.unavailable", error=str(error))
            return Readiness({"database": "cannot be reached", "stripe": stripe}, is_ready=False)
        checks = {"database": OK, "stripe": stripe, "migrations": OK}
        return Readiness(checks, is_ready=not is_open)

    @_needs_database
    async def find_answer(self, scope: str, key: str, body_hash: str) -> StoredAnswer | None:
        since = self.ctx.clock.now() - KEY_LIFE
        found = await self.ctx.db.read(lambda tx: events.get_answer(tx, scope, _hash(key), since))
        if found is None:
            return None
        if found[0] != body_hash:
            raise errors.idempotency_mismatch()
        return found[1]

    @_needs_database
    async def note_key(self, scope: str, key: str, body_hash: str) -> None:
        now = self.ctx.clock.now()
        await self.ctx.db.transaction(
            "answer",
            lambda tx: events.note_key(tx, scope, _hash(key), body_hash, now, now - KEY_LIFE),
        )

    @_needs_database
    async def keep_answer(
        self, scope: str, key: str, body_hash: str, status: int, body: bytes
    ) -> None:
        now = self.ctx.clock.now()
        answer = StoredAnswer(status, body)
        await self.ctx.db.transaction(
            "answer",
            lambda tx: events.keep_answer(
                tx, scope, _hash(key), body_hash, answer, now, now - KEY_LIFE
            ),
        )


async def _measure(ctx: Context, measure: Callable[[Context], Awaitable[None]]) -> None:
    try:
        await measure(ctx)
    except Exception as error:  # noqa: BLE001 - the others are told without it
        log.warning("metrics.incomplete", of=measure.__name__, error=type(error).__name__)


def _hash(key: str) -> str:
    """Clients' keys may say something about them; only their hash is kept."""
    return hashlib.sha256(key.encode()).hexdigest()
