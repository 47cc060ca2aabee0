"""Fixtures every test may use; each is explained where it is written, in `support/`.

The simulator's own (`stripe_simulator`) come with the pytest plugin that the project ships.
"""

import pytest

from paidonce.observability import configure_logging
from support.browser import browser_page
from support.postgres import (
    _postgres_template,
    _sqlite_template,
    database_url,
    empty_database_url,
    empty_postgres_url,
    empty_sqlite_url,
    postgres_server,
    postgres_url,
    sqlite_url,
)
from support.processes import start_process
from support.service import start_service

__all__ = [
    "_postgres_template",
    "_sqlite_template",
    "browser_page",
    "database_url",
    "empty_database_url",
    "empty_postgres_url",
    "empty_sqlite_url",
    "postgres_server",
    "postgres_url",
    "sqlite_url",
    "start_process",
    "start_service",
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "demo: runs the README against `paidonce demo`")
    configure_logging(level="WARNING")  # before any logger is used and keeps another stream


LONGEST = ("test_crash_points.py", "test_chaos.py", "test_load.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the browser or PostgreSQL carries its marker, so that `-m` can leave it out.
    What takes long, and waits for most of it, comes first, beside the others."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "browser_page" in names:
            item.add_marker("browser")
        if "postgres_server" in names:
            item.add_marker("postgresql")
