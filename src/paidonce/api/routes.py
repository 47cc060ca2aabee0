"""All routes, for an app of our own or a router in another one."""

from collections.abc import Callable, Iterable
from datetime import datetime

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Route

from paidonce.api.auth import Authentication
from paidonce.api.events import EventRoutes
from paidonce.api.idempotency import Idempotency
from paidonce.api.merchant import MerchantRoutes
from paidonce.api.merchant_lists import MerchantListRoutes
from paidonce.api.mobile import MobileRoutes
from paidonce.api.money_back import MoneyBackRoutes
from paidonce.api.operations import OperationsRoutes
from paidonce.api.products import ProductRoutes
from paidonce.api.usecases import UseCases
from paidonce.settings import Settings


def add_routes(
    to: FastAPI | APIRouter,
    settings: Settings,
    use_cases: UseCases,
    clock: Callable[[], datetime],
    *,
    has_operations: bool = True,
) -> None:
    """The merchant side and the webhook exist only when their setting is there; without it their
    paths are answered 404 `not_found` like any unknown path."""
    authentication = Authentication(settings, clock)
    idempotency = Idempotency(use_cases)
    MobileRoutes(use_cases, authentication, idempotency).add_to(to)
    if settings.merchant_api_keys:
        ProductRoutes(use_cases, authentication).add_to(to)
        MerchantRoutes(use_cases, authentication, idempotency).add_to(to)
        MerchantListRoutes(use_cases, authentication).add_to(to)
        MoneyBackRoutes(use_cases, authentication, idempotency).add_to(to)
        EventRoutes(use_cases, authentication, idempotency).add_to(to)
    operations = OperationsRoutes(use_cases)
    if settings.webhook_secrets:
        operations.add_webhook_to(to)
    if has_operations:
        operations.add_to(to)


def allowed_methods(routes: Iterable[BaseRoute], path: str) -> str:
    """The methods with which the path is one of the routes', for `Allow`; empty when it is none.
    A path has a route for each of its methods."""
    methods: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods |= route.methods or set()
    return ", ".join(sorted(methods))
