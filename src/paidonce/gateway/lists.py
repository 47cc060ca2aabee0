"""Stripe's lists: what asks for a page, and what a page says."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from paidonce.domain.intent import ListPage, Window

PAGE_SIZE = 100
Shape = TypeVar("Shape")


def last_of_page(data: Mapping[str, Any]) -> str | None:
    """The id to go on after, or None on the last page."""
    return str(data["data"][-1]["id"]) if data["has_more"] else None


def list_query(window: Window, after: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {"limit": PAGE_SIZE}
    created: dict[str, int] = {}
    if window.since is not None:
        created["gte"] = int(window.since.timestamp())
    if window.until is not None:
        created["lte"] = int(window.until.timestamp())
    if created:
        query["created"] = created
    if after is not None:
        query["starting_after"] = after
    return query


def list_page(
    data: Mapping[str, Any], translate: Callable[[Mapping[str, Any]], Shape]
) -> ListPage[Shape]:
    return ListPage([translate(item) for item in data["data"]], last_of_page(data))
