"""Wires what a team runs when it moves in."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from paidonce.domain.clock import Clock, SystemClock
from paidonce.domain.intent import Failure
from paidonce.gateway import Pace, StripeGateway
from paidonce.gateway.transport import ReadOnlyTransport
from paidonce.main.parts import (
    FORBIDDEN,
    START_CALL_SECONDS,
    check_account,
    close_parts,
    no_answer,
    open_parts,
)
from paidonce.main.schema import check_schema
from paidonce.moving_in import audit, duplicates, shadow
from paidonce.moving_in.audit import Audit
from paidonce.moving_in.audit_fix import Fixer
from paidonce.moving_in.duplicates import Duplicate, Duplicates
from paidonce.moving_in.shadow import Finding, Shadow, Watch
from paidonce.reconcile import CannotCompare
from paidonce.settings import OperatorSettings, SettingsError, StripeSettings
from paidonce.store.audited import Audited
from paidonce.store.customer_groups import CustomerGroups
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit
from paidonce.store.scratch import FileUnusable
from paidonce.store.watched import NotOurFile, Watched


async def list_duplicates(
    settings: OperatorSettings,
    *,
    per_second: float,
    is_recording: bool,
    show: Callable[[Duplicate], None],
    stop: asyncio.Event,
) -> tuple[duplicates.Counts, str | None]:
    """Customers that are one user's or may be: the figures, and why it is not all. Raises
    SettingsError."""
    await check_schema(settings)
    pace = Pace(per_second, time.monotonic)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=not is_recording)
    groups = CustomerGroups()
    run = Duplicates(parts, groups, show, stop, is_recording)
    try:
        await check_account(parts, is_read_only=not is_recording, needs_answer=True)
        await run.run()
    except (CannotCompare, FileUnusable) as error:
        return run.counts, f"{error}."
    except (DatabaseUnavailable, UnknownCommit) as error:
        return run.counts, f"the database went away ({error}); run it again."
    finally:
        groups.close()
        await close_parts(parts)
    return run.counts, None


@dataclass(frozen=True)
class _Reading:
    """Parts without a database."""

    gateway: StripeGateway
    clock: Clock


@dataclass(frozen=True, slots=True)
class Watching:
    """How `paidonce shadow` runs. `state`: a file that the next run goes on with; `every_seconds`:
    None for one look."""

    per_second: float
    state: Path | None
    every_seconds: float | None
    complain: Callable[[str], None]


async def watch_account(
    settings: StripeSettings,
    what: Watch,
    how: Watching,
    *,
    show: Callable[[Finding], None],
    stop: asyncio.Event,
) -> tuple[shadow.Counts, str | None]:
    """The account of the server that is there, read only: the figures, and why it is not all.
    Raises SettingsError."""
    clock = SystemClock()
    pace = Pace(how.per_second, time.monotonic)
    gateway = StripeGateway(settings, pace, transport=ReadOnlyTransport(), clock=clock)
    try:
        account = await _account_of(gateway, settings)
        try:
            watched = Watched(how.state, account)
        except (NotOurFile, FileUnusable, OSError) as error:
            raise SettingsError(f"--state: {error}.") from error
        run = Shadow(_Reading(gateway, clock), watched, what, show=show, stop=stop)
        try:
            if how.every_seconds is None:
                await run.run_once()
            else:
                await run.watch(how.every_seconds, how.complain)
        except (CannotCompare, FileUnusable) as error:
            return run.counts, f"{error}."
        finally:
            watched.close()
        return run.counts, None
    finally:
        await gateway.close()


async def _account_of(gateway: StripeGateway, settings: StripeSettings) -> str:
    """Whose key it is; a restricted one may not be allowed to say, then only its mode."""
    account_id = await gateway.retrieve_account_id(START_CALL_SECONDS)
    if not isinstance(account_id, Failure):
        return f"{settings.mode} {account_id}"
    if account_id.http_status == FORBIDDEN:
        return settings.mode
    raise no_answer(account_id)


@dataclass(frozen=True, slots=True)
class Auditing:
    """How `paidonce payment-methods audit` runs. `stored` are the host's methods as (id, user)
    pairs, some hundred at a time; `is_adopting` goes with `is_fixing`."""

    per_second: float
    state: Path | None
    uses_since: datetime
    stored: Iterable[list[tuple[str, str]]]
    is_fixing: bool
    is_adopting: bool


async def audit_methods(
    settings: OperatorSettings,
    how: Auditing,
    *,
    show: Callable[[audit.Finding], None],
    stop: asyncio.Event,
) -> tuple[audit.Counts, str | None]:
    """Stored methods against Stripe: the figures, and why it is not all. Raises SettingsError."""
    await check_schema(settings)
    pace = Pace(how.per_second, time.monotonic)
    parts = await open_parts(settings, SystemClock(), pace, is_read_only=not how.is_fixing)
    try:
        await check_account(parts, is_read_only=not how.is_fixing, needs_answer=True)
        try:
            file = Audited(how.state, await _account_of(parts.gateway, settings))
        except (NotOurFile, FileUnusable, OSError) as error:
            raise SettingsError(f"--state: {error}.") from error
        fixer = Fixer(parts, stop, is_adopting=how.is_adopting) if how.is_fixing else None
        run = Audit(parts, file, uses_since=how.uses_since, show=show, stop=stop, fixing=fixer)
        try:
            for rows in how.stored:
                file.note_stored(rows)
            await run.run()
        except (CannotCompare, FileUnusable) as error:
            return run.counts, f"{error}."
        except (DatabaseUnavailable, UnknownCommit) as error:
            return run.counts, f"the database went away ({error}); run it again."
        finally:
            file.close()
        return run.counts, None
    finally:
        await close_parts(parts)
