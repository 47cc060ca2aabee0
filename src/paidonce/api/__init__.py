"""The HTTP side: routes, the contract of bodies and answers, auth, and the shell around them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from paidonce import __version__
from paidonce.api import openapi
from paidonce.api.admission import Admission
from paidonce.api.client_address import ClientAddresses
from paidonce.api.embedded import PaidonceRouter, build_api_router
from paidonce.api.errors import render_error
from paidonce.api.operations import OperationsRoutes
from paidonce.api.routes import add_routes, allowed_methods
from paidonce.api.shell import Shell
from paidonce.api.usecases import UseCases
from paidonce.domain.errors import ServiceError
from paidonce.settings import Settings

__all__ = ["PaidonceRouter", "UseCases", "build_api", "build_api_router"]


def build_api(
    settings: Settings,
    use_cases: UseCases,
    clock: Callable[[], datetime],
    *,
    lifespan: Any = None,
    only_operations: bool = False,
) -> FastAPI:
    """The ASGI app. `clock` gives the time in UTC, `lifespan` is FastAPI's. `only_operations`:
    health, readiness and metrics, for a worker by itself."""
    app = FastAPI(
        title="paidonce",
        version=__version__,
        description="One order, one charge: a payment service for mobile apps on Stripe.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    if only_operations:
        OperationsRoutes(use_cases).add_to(app)
    else:
        add_routes(app, settings, use_cases, clock)
        openapi.add_document(app)

    async def render(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            error.headers = {"Allow": allowed_methods(app.routes, request.scope["path"])}
        return await render_error(request, error)

    for kind in (ServiceError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, render)
    app.add_middleware(
        Shell,
        ClientAddresses(settings.trusted_proxy_networks),
        Admission(settings.max_requests),
    )
    return app
