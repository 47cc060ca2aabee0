"""Wires what a team runs when it moves in; see `main`."""

import asyncio
import time
from collections.abc import Callable

from paidonce.domain.clock import SystemClock
from paidonce.gateway import Pace
from paidonce.main import check_account, check_schema, close_parts, open_parts
from paidonce.moving_in import duplicates
from paidonce.moving_in.duplicates import Duplicate, Duplicates
from paidonce.reconcile import CannotCompare
from paidonce.settings import OperatorSettings
from paidonce.store.customer_groups import CustomerGroups
from paidonce.store.engine import DatabaseUnavailable, UnknownCommit


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
    except CannotCompare as error:
        return run.counts, f"{error}."
    except (DatabaseUnavailable, UnknownCommit) as error:
        return run.counts, f"the database went away ({error}); run it again."
    finally:
        groups.close()
        await close_parts(parts)
    return run.counts, None
