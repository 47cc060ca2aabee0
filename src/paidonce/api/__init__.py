"""The HTTP side: routes, the contract of bodies and answers, auth, and the shell around them."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paidonce import __version__
from paidonce.api import openapi
from paidonce.api.admission import Admission
from paidonce.api.auth import Authentication
from paidonce.api.client_address import ClientAddresses
from paidonce.api.errors import render_error
from paidonce.api.idempotency import Idempotency
from paidonce.api.merchant import MerchantRoutes
from paidonce.api.mobile import MobileRoutes
from paidonce.api.operations import OperationsRoutes
from paidonce.api.shell import Shell
from paidonce.api.usecases import UseCases
from paidonce.domain.errors import ServiceError
from paidonce.settings import Settings

__all__ = ["UseCases", "build_api"]


def build_api(
    settings: Settings,
    use_cases: UseCases,
    clock: Callable[[], datetime],
    *,
    lifespan: Any = None,
) -> FastAPI:
    """The ASGI app. `clock` gives the time in UTC, `lifespan` is FastAPI's.

    The merchant side and the webhook exist only when their setting is there; without it their
    paths are answered 404 `not_found` like any unknown path.
    """
    app = FastAPI(
        title="paidonce",
        version=__version__,
        description="One order, one charge: a payment service for mobile apps on Stripe.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    authentication = Authentication(settings, clock)
    idempotency = Idempotency(use_cases)
    MobileRoutes(use_cases, authentication, idempotency).add_to(app)
    if settings.merchant_api_keys:
        MerchantRoutes(use_cases, authentication, idempotency).add_to(app)
    OperationsRoutes(use_cases, has_webhook=bool(settings.webhook_secrets)).add_to(app)

    async def render(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            error.headers = {"Allow": _allowed_methods(app, request)}
        return await render_error(request, error)

    for kind in (ServiceError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, render)
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    app.add_middleware(
        Shell,
        ClientAddresses(settings.trusted_proxy_networks),
        Admission(settings.max_requests),
    )
    return app


def _allowed_methods(app: FastAPI, request: Request) -> str:
    """Every method of the path that was asked for, though each has a route of its own."""
    template = getattr(request.scope.get("route"), "path", None)
    routes = [route for route in app.routes if getattr(route, "path", None) == template]
    return ", ".join(
        sorted({method for route in routes for method in getattr(route, "methods", None) or ()})
    )
