"""Servers for the tests of the HTTP contract."""

from collections.abc import Iterator

import pytest

from api.shop import NOW, Shop, StartShop, running_shops


@pytest.fixture(scope="module")
def start_shop() -> Iterator[StartShop]:
    """Start servers; all of them end with the module."""
    with running_shops() as start:
        yield start


@pytest.fixture(scope="module")
def unreachable_shop(start_shop: StartShop) -> Shop:
    """A server whose use cases must not be reached."""
    return start_shop()


@pytest.fixture
def shop(unreachable_shop: Shop) -> Iterator[Shop]:
    """The same; a test that reached a use case fails."""
    unreachable_shop.use_cases.reached.clear()
    unreachable_shop.now = NOW
    yield unreachable_shop
    assert unreachable_shop.use_cases.reached == []
