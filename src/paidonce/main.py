"""Wires the parts together; the only place that knows all of them."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from fastapi import FastAPI

from paidonce import webhooks
from paidonce.api import build_api
from paidonce.domain import errors
from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Failure
from paidonce.domain.model import (
    ActionRequired,
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
    StoredAnswer,
)
from paidonce.gateway import StripeGateway
from paidonce.observability import get_logger
from paidonce.payments import cancel, follow_up, pay, shopping
from paidonce.payments.background import Background
from paidonce.payments.context import Context
from paidonce.payments.saved import stripe_method_id
from paidonce.settings import Settings, SettingsError
from paidonce.store import events, installation, migrations
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit, open_database
from paidonce.worker import run_worker

ANSWER_LIFE = timedelta(hours=24)
DRAIN_SECONDS = 25
START_CALL_SECONDS = 3.0
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
log = get_logger(__name__)


# --- the parts -----------------------------------------------------------------------------------


async def open_context(settings: Settings, clock: Clock) -> Context:
    """Open database and gateway; raises SettingsError when they do not belong together."""
    try:
        db = await open_database(settings.database_url)
        home = await db.transaction(
            "installation",
            lambda tx: installation.ensure_installation(
                tx, uuid4().hex, settings.mode, clock.now()
            ),
        )
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    if home.mode != settings.mode:
        raise SettingsError(
            f"STRIPE_SECRET_KEY is a {settings.mode} key, but this database holds {home.mode} data."
        )
    gateway = StripeGateway(settings)
    return Context(db, gateway, settings, clock, home, Background())


async def close_context(ctx: Context) -> None:
    await ctx.background.close(DRAIN_SECONDS)
    await ctx.gateway.close()
    await ctx.db.close()


async def check_account(ctx: Context) -> None:
    """The database belongs to one Stripe account. Without an answer of Stripe it is not checked."""
    account_id = await ctx.gateway.retrieve_account_id(START_CALL_SECONDS)
    if isinstance(account_id, Failure):
        log.warning("account.not_checked", reason=account_id.reason.value)
        return
    recorded = ctx.installation.stripe_account_id
    if recorded is None:
        await ctx.db.transaction("account", lambda tx: installation.save_account(tx, account_id))
    elif recorded != account_id:
        raise SettingsError(
            "STRIPE_SECRET_KEY is of another Stripe account than the one this database belongs to."
        )


async def preflight(settings: Settings) -> None:
    """Everything that can stop a start, before anything listens. Raises SettingsError."""
    try:
        if settings.database_url.startswith("sqlite"):
            await asyncio.to_thread(migrations.upgrade, settings.database_url)
        elif await asyncio.to_thread(migrations.current, settings.database_url) != (
            migrations.head()
        ):
            raise SettingsError(
                "DATABASE_URL: the schema is not up to date; run `paidonce db upgrade` first."
            )
    except DatabaseUnavailable as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error
    ctx = await open_context(settings, SystemClock())
    try:
        await check_account(ctx)
    finally:
        await close_context(ctx)


# --- the use cases -------------------------------------------------------------------------------


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

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self._ctx: Context | None = None

    def open(self, ctx: Context) -> None:
        self._ctx = ctx

    @property
    def ctx(self) -> Context:
        if self._ctx is None:
            raise errors.service_unavailable()
        return self._ctx

    @_needs_database
    async def create_order(self, user: Principal, basket: NewOrder) -> Order:
        return await shopping.create_order(self.ctx, user, basket)

    @_needs_database
    async def create_merchant_order(self, order: NewMerchantOrder) -> Order:
        return await shopping.create_merchant_order(self.ctx, order)

    @_needs_database
    async def get_order(self, user_id: str, order_id: str) -> Order:
        return await shopping.get_order(self.ctx, order_id, user_id)

    @_needs_database
    async def get_merchant_order(self, order_id: str) -> Order:
        return await shopping.get_order(self.ctx, order_id, None)

    @_needs_database
    async def cancel_order(self, order_id: str) -> Order:
        await cancel.cancel_order(self.ctx, order_id)
        return await shopping.get_order(self.ctx, order_id, None)

    @_needs_database
    async def list_orders(self, user_id: str, limit: int, cursor: str | None) -> Page[Order]:
        return await shopping.list_orders(self.ctx, user_id, limit, cursor)

    @_needs_database
    async def put_products(self, products: list[Product]) -> None:
        await shopping.put_products(self.ctx, products)

    @_needs_database
    async def pay(self, command: PayCommand) -> Paid | ActionRequired:
        return await pay.pay(self.ctx, await stripe_method_id(self.ctx, command))

    @_needs_database
    async def confirm(
        self, user_id: str, order_id: str, payment_intent_id: str | None
    ) -> Paid | ActionRequired:
        return await follow_up.confirm_payment(self.ctx, user_id, order_id, payment_intent_id)

    @_needs_database
    async def payment_status(self, user_id: str, order_id: str) -> PaymentStatus:
        return await follow_up.payment_status(self.ctx, user_id, order_id)

    @_needs_database
    async def list_payments(
        self, user_id: str, limit: int, cursor: str | None
    ) -> Page[PaymentSummary]:
        return await shopping.list_payments(self.ctx, user_id, limit, cursor)

    @_needs_database
    async def receive_webhook(self, body: bytes, signature: str) -> None:
        if await webhooks.receive(self.ctx, body, signature):
            self.wake.set()

    async def readiness(self) -> dict[str, str]:
        ctx = self.ctx
        circuit = "the circuit is open" if ctx.gateway.is_circuit_open else "ok"
        try:
            await ctx.db.read(lambda tx: tx.fetch_one("SELECT namespace FROM installation"))
        except DatabaseUnavailable as error:
            log.warning("database.unavailable", error=str(error))
            return {"database": "cannot be reached", "stripe": circuit}
        return {"database": "ok", "stripe": circuit, "migrations": "ok"}

    @_needs_database
    async def find_answer(self, scope: str, key: str, body_hash: str) -> StoredAnswer | None:
        since = self.ctx.clock.now() - ANSWER_LIFE
        found = await self.ctx.db.read(lambda tx: events.get_answer(tx, scope, _hash(key), since))
        if found is None:
            return None
        if found[0] != body_hash:
            raise errors.idempotency_mismatch()
        return found[1]

    @_needs_database
    async def keep_answer(
        self, scope: str, key: str, body_hash: str, status: int, body: bytes
    ) -> None:
        now = self.ctx.clock.now()
        answer = StoredAnswer(status, body)
        await self.ctx.db.transaction(
            "answer",
            lambda tx: events.keep_answer(
                tx, scope, _hash(key), body_hash, answer, now, now - ANSWER_LIFE
            ),
        )


def _hash(key: str) -> str:
    """Clients' keys may say something about them; only their hash is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


# --- the app and the worker ----------------------------------------------------------------------


def build_app(
    settings: Settings, *, clock: Clock | None = None, has_worker: bool = True
) -> FastAPI:
    """The HTTP application; with `has_worker` recovery runs inside it."""
    own_clock = clock or SystemClock()
    service = Service()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ctx = await open_context(settings, own_clock)
        service.open(ctx)
        app.state.context = ctx
        stop = asyncio.Event()
        worker = asyncio.create_task(run_worker(ctx, service.wake, stop)) if has_worker else None
        try:
            yield
        finally:
            stop.set()
            await _finish(worker)
            await close_context(ctx)

    return build_api(settings, service, own_clock.now, lifespan=lifespan)


async def run_worker_alone(settings: Settings, stop: asyncio.Event) -> None:
    """`paidonce worker`: recovery without the HTTP side."""
    ctx = await open_context(settings, SystemClock())
    try:
        await run_worker(ctx, asyncio.Event(), stop)
    finally:
        await close_context(ctx)


async def _finish(worker: "asyncio.Task[Any] | None") -> None:
    """Give the present round its time; what it cannot finish another process takes over."""
    if worker is None:
        return
    _done, late = await asyncio.wait({worker}, timeout=DRAIN_SECONDS)
    for task in late:
        task.cancel()
