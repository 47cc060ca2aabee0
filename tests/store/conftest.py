"""An open database of each kind, without a service around it."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from paidonce.store.engine import Database, open_database


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url)
    yield database
    with contextlib.suppress(Exception):
        await database.close()
