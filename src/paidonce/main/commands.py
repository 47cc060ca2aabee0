"""Wires the commands of a running service: its customers, its events, its books."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from paidonce.api.drain import DRAIN_SECONDS
from paidonce.backfill import Backfill, Counts
from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Window
from paidonce.gateway import Pace
from paidonce.main.parts import check_account, close_parts, make_context, open_parts
from paidonce.main.schema import check_schema
from paidonce.payments.background import Background
from paidonce.reconcile import (
    CannotCompare,
    CannotDismiss,
    Dismissal,
    Finding,
    Fixer,
    Reconcile,
    dismiss_forgotten,
)
from paidonce.reconcile import Counts as Comparison
from paidonce.settings import DatabaseSettings, OperatorSettings, Settings
from paidonce.store.engine import Database, DatabaseUnavailable, UnknownCommit, open_database
from paidonce.store.scratch import FileUnusable, Scratch
from paidonce.webhooks.backfill import Counts as EventCounts
from paidonce.webhooks.backfill import EventsBackfill

Result = TypeVar("Result")


async def backfill_customers(
    settings: OperatorSettings,
    *,
    per_second: float,
    is_dry_run: bool,
    report: Callable[[Counts], None],
    stop: asyncio.Event,
) -> Counts:
    """A Stripe customer for every user. Raises SettingsError, StripeStaysAway."""
    pace = Pace(per_second, time.monotonic)
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=is_dry_run)
    try:
        await check_account(parts, is_read_only=is_dry_run, needs_answer=True)
        backfill = Backfill(
            parts, per_second=per_second, report=report, stop=stop, is_dry_run=is_dry_run
        )
        return await backfill.run()
    finally:
        await close_parts(parts)


async def use_database(
    settings: DatabaseSettings, work: Callable[[Database, Clock], Awaitable[Result]]
) -> Result:
    """Work on what needs nothing of Stripe. Raises SettingsError, DatabaseUnavailable."""
    await check_schema(settings)
    db = await open_database(settings.database_url)
    try:
        return await work(db, SystemClock())
    finally:
        await db.close()


async def backfill_events(
    settings: OperatorSettings,
    *,
    since: datetime,
    report: Callable[[EventCounts], None],
    stop: asyncio.Event,
) -> EventCounts:
    """Stripe's events since then into the inbox. Raises SettingsError, StripeStaysAway."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock())
    try:
        await check_account(parts, needs_answer=True)
        return await EventsBackfill(parts, since=since, report=report, stop=stop).run()
    finally:
        await close_parts(parts)


@dataclass(frozen=True, slots=True)
class Compare:
    """What a comparison is about: a window of Stripe's times, or one order."""

    window: Window
    order_id: str | None
    per_second: float


async def dismiss_intent(settings: OperatorSettings, intent_id: str, *, is_sure: bool) -> Dismissal:
    """A forgotten intent refuses its order no longer. Raises SettingsError, CannotDismiss."""
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), is_read_only=not is_sure)
    try:
        await check_account(parts, is_read_only=not is_sure, needs_answer=True)
        return await dismiss_forgotten(parts, intent_id, is_sure=is_sure)
    except (DatabaseUnavailable, UnknownCommit) as error:
        raise CannotDismiss(f"the database went away ({error}); run it again") from error
    finally:
        await close_parts(parts)


async def compare_books(
    settings: OperatorSettings,
    what: Compare,
    *,
    fixing: Settings | None,
    show: Callable[[Finding], None],
    stop: asyncio.Event,
) -> tuple[Comparison, str | None]:
    """Stripe against our books: the figures, and why it is not all. Raises SettingsError.

    `fixing`: what is found is fixed on the service's own road, with the service's own settings.
    """
    pace = Pace(what.per_second, time.monotonic)
    await check_schema(settings)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=fixing is None)
    background, scratch = Background(), Scratch()
    try:
        await check_account(parts, is_read_only=fixing is None, needs_answer=True)
        run = Reconcile(
            parts,
            scratch,
            window=what.window,
            show=show,
            stop=stop,
            fixer=None if fixing is None else Fixer(make_context(parts, fixing, background)),
        )
        try:
            await (run.run_order(what.order_id) if what.order_id else run.run())
        except (CannotCompare, FileUnusable) as error:
            return run.counts, f"{error}."
        except (DatabaseUnavailable, UnknownCommit) as error:
            return run.counts, f"the database went away ({error}); run it again."
        return run.counts, None
    finally:
        scratch.close()
        await background.close(DRAIN_SECONDS)
        await close_parts(parts)
