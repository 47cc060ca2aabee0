"""The parts every process needs, opened and closed: the database, and the way to Stripe."""

import contextlib
from collections.abc import Iterator
from uuid import uuid4

from paidonce.api.drain import LAST_SECONDS
from paidonce.domain.clock import Clock
from paidonce.domain.intent import Failure
from paidonce.gateway import Pace, StripeGateway
from paidonce.observability import get_logger
from paidonce.payments.background import Background
from paidonce.payments.context import Context, Parts
from paidonce.payments.gate import Gate
from paidonce.settings import OperatorSettings, Settings, SettingsError
from paidonce.store import adoption, installation, users
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit, open_database
from paidonce.store.installation import Installation

START_CALL_SECONDS = 3.0
MOST_ASKED_FOR = 20
FORBIDDEN = 403  # a restricted key may not be allowed to see the account
log = get_logger(__name__)


async def open_context(settings: Settings, clock: Clock) -> Context:
    """Open database and gateway; raises SettingsError when they do not belong together."""
    parts = await open_parts(settings, clock)
    return make_context(parts, settings, Background())


async def open_parts(
    settings: OperatorSettings,
    clock: Clock,
    pace: Pace | None = None,
    *,
    is_read_only: bool = False,
) -> Parts:
    """The same for a command, which calls Stripe no faster than `pace`. Read-only: a database that
    was never served is seen as a new one, and stays so."""
    fresh = Installation(uuid4().hex, settings.mode, None)

    async def take(tx: Transaction) -> Installation:
        return await installation.ensure_installation(tx, fresh.namespace, fresh.mode, clock.now())

    with database_as_setting():
        db = await open_database(settings.database_url, settings.database_pool_size)
    try:
        with database_as_setting():
            if is_read_only:
                home = await db.read(installation.get_installation) or fresh
            else:
                home = await db.transaction("installation", take)
            db.users = await db.read(
                lambda tx: users.get_users_table(tx, has_schemas=db.has_schemas)
            )
        if home.mode != settings.mode:
            raise SettingsError(
                f"STRIPE_SECRET_KEY is a {settings.mode} key, but this database holds {home.mode}"
                " data."
            )
        return Parts(db, StripeGateway(settings, pace, clock=clock), clock, home)
    except BaseException:
        await db.close()
        raise


@contextlib.contextmanager
def database_as_setting() -> Iterator[None]:
    """A database that goes away is told as the setting that names it."""
    try:
        yield
    except (DatabaseUnavailable, UnknownCommit) as error:
        raise SettingsError(f"DATABASE_URL: the database cannot be used: {error}.") from error


def make_context(parts: Parts, settings: Settings, background: Background) -> Context:
    gate = Gate(parts.clock.now())
    return Context(
        parts.db, parts.gateway, parts.clock, parts.installation, settings, background, gate
    )


async def close_context(ctx: Context, seconds: float = LAST_SECONDS) -> None:
    """Work in the background has `seconds` to end: nobody depends on it."""
    await ctx.background.close(seconds)
    await close_parts(ctx)


async def close_parts(parts: Parts) -> None:
    await parts.gateway.close()
    await parts.db.close()


async def check_account(
    ctx: Parts, *, is_read_only: bool = False, needs_answer: bool = False
) -> None:
    """The database belongs to one Stripe account. Without an answer of Stripe it is not checked,
    unless the caller can do nothing without one. Raises SettingsError."""
    account_id = await ctx.gateway.retrieve_account_id(START_CALL_SECONDS)
    recorded = ctx.installation.stripe_account_id
    if isinstance(account_id, Failure):
        is_forbidden = account_id.http_status == FORBIDDEN
        if needs_answer and not is_forbidden:
            raise no_answer(account_id)
        log.warning("account.not_checked", reason=account_id.reason.value)
        if is_forbidden and recorded is None:
            await _check_some_customers(ctx)
        return
    if recorded not in (None, account_id):
        raise SettingsError(
            "STRIPE_SECRET_KEY is of another Stripe account than the one this database belongs to."
        )
    if recorded is not None:
        return
    await _check_some_customers(ctx)
    if not is_read_only:
        with database_as_setting():
            await ctx.db.transaction(
                "account", lambda tx: installation.save_account(tx, account_id)
            )


async def _check_some_customers(ctx: Parts) -> None:
    with database_as_setting():
        known = await ctx.db.read(lambda tx: adoption.list_some_customers(tx, MOST_ASKED_FOR))
    await check_customers(ctx.gateway, known)


def no_answer(failure: Failure) -> SettingsError:
    """Why a command cannot begin: the key where Stripe says so, else whoever is asked."""
    if failure.http_status is None:
        return SettingsError(
            "Stripe does not answer: the connection failed. Look at STRIPE_API_BASE, where it is"
            " set."
        )
    name = "STRIPE_SECRET_KEY: " if failure.http_status in (401, FORBIDDEN) else ""
    return SettingsError(f"{name}Stripe does not answer: {failure.message.rstrip('.')}.")


async def check_customers(gateway: StripeGateway, customer_ids: list[str]) -> None:
    """A customer that Stripe does not know under this key is of the other mode or another account
    (a deleted one it still knows). Without an answer of Stripe nothing more is checked."""
    for customer_id in customer_ids:
        answer = await gateway.retrieve_customer(customer_id, START_CALL_SECONDS)
        if not isinstance(answer, Failure):
            continue
        if answer.http_status not in (400, 404):
            log.warning("customers.not_checked", reason=answer.reason.value)
            return
        raise SettingsError(
            f"STRIPE_SECRET_KEY: the users table holds the customer {customer_id}, which Stripe"
            " does not know under this key: it is of the other mode or of another account."
        )
