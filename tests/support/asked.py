"""Requests made from the app's own table of routes and what its OpenAPI says of each."""

from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute

from support.service import Running

LEAST: dict[str, dict[str, Any]] = {
    "/api/mobile-app/orders": {"items": [{"productId": "tea", "quantity": 1}]},
    "/api/mobile-app/orders/{orderId}/pay": {"paymentToken": "pm_card_visa"},
    "/api/mobile-app/payments/methods": {"stripePaymentMethodId": "pm_card_visa"},
    "/api/products": {
        "products": [{"productId": "t", "name": "T", "amountMinor": 100, "currency": "usd"}]
    },
    "/api/orders": {"userId": "u", "amountMinor": 100, "currency": "usd"},
}
"""By path, where `{}` is no request."""


def places_of(schema: dict[str, Any], before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every field, of those in lists to the first entry's."""
    if before:
        yield before
    for name, inner in schema.get("properties", {}).items():
        yield from places_of(inner, (*before, name))
    if "items" in schema:
        yield from places_of(schema["items"], (*before, 0))
    if "additionalProperties" in schema:
        yield (*before, "key")


def with_value(given: Any, place: tuple[Any, ...], value: str) -> Any:
    """A copy of `given` with the value at that place."""
    if not place:
        return value
    name, *rest = place
    if isinstance(name, int):
        return [with_value(given[0] if given else {}, tuple(rest), value)]
    held = given if isinstance(given, dict) else {}
    return {**held, name: with_value(held.get(name, {}), tuple(rest), value)}


def routes_of(service: Running) -> list[tuple[str, APIRoute]]:
    """Every method of every route. On PostgreSQL those that may write: reading is the same code."""
    is_all = service.settings.database_url.startswith("sqlite")
    return [
        (method, route)
        for route in service.app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods - {"HEAD"})
        if is_all or method != "GET"
    ]
