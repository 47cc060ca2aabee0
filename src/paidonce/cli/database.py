"""Commands that need the database and nothing of Stripe."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from paidonce.cli.exits import fail, load
from paidonce.domain.clock import Clock
from paidonce.main.commands import use_database
from paidonce.observability import configure_logging
from paidonce.settings import DatabaseSettings, SettingsError
from paidonce.store.engine import Database, DatabaseUnavailable, UnknownCommit

Result = TypeVar("Result")


def on_database(work: Callable[[Database, Clock], Awaitable[Result]]) -> Result:
    """Do it, or end with a sentence that says why not."""
    settings = load(DatabaseSettings)
    configure_logging(level="WARNING")
    try:
        return asyncio.run(use_database(settings, work))
    except SettingsError as error:
        fail(str(error))
    except (DatabaseUnavailable, UnknownCommit) as error:
        fail(f"DATABASE_URL: the database cannot be used: {error}.")
