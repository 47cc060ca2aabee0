"""The routes inside an application that was there before: a router instead of an app.

Every route brings its own shell, so that its answers are the contract's whatever the host does with
errors of its own. Below `/api/mobile-app` all paths are ours: an unknown one gets the envelope too.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from paidonce.api.admission import Admission
from paidonce.api.card_numbers import Handler
from paidonce.api.client_address import ClientAddresses
from paidonce.api.errors import render_error
from paidonce.api.mobile import PREFIX
from paidonce.api.routes import add_routes, allowed_methods
from paidonce.api.shell import Shell
from paidonce.api.usecases import UseCases
from paidonce.settings import Settings

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
REST = "rest"


class PaidonceRouter(APIRouter):
    """For `app.include_router`. `use_cases` are for the host's own code, once the host has started:
    what the merchant's routes do, without HTTP. They raise `paidonce.domain.errors.ServiceError`.
    """

    use_cases: UseCases

    def add_api_route(self, path: str, endpoint: Any, **kwargs: Any) -> None:
        super().add_api_route(path, _answering(endpoint), **kwargs)


def _answering(endpoint: Handler) -> Handler:
    """What it raises becomes its answer before the host's handlers see it: the host may have one
    for `ServiceError`, which the use cases raise in its own code too."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:  # noqa: BLE001  as the shell, for the host
            return await render_error(request, error)

    return answer


def build_api_router(
    settings: Settings,
    use_cases: UseCases,
    clock: Callable[[], datetime],
    *,
    lifespan: Any,
    has_operations: bool,
) -> PaidonceRouter:
    """Arguments as `build_api`'s. `has_operations`: with `/healthz`, `/readyz` and `/metrics`."""
    routes: list[BaseRoute] = []
    addresses = ClientAddresses(settings.trusted_proxy_networks)
    route_class = _route_class(routes, addresses, Admission(settings.max_requests))
    router = PaidonceRouter(redirect_slashes=False, lifespan=lifespan, route_class=route_class)
    router.use_cases = use_cases
    add_routes(router, settings, use_cases, clock, has_operations=has_operations)
    routes += router.routes

    async def answer_unknown(request: Request) -> Response:
        """What no route of ours takes."""
        methods = allowed_methods(routes, f"{PREFIX}/{request.path_params[REST]}")
        error = _not_allowed(methods) if methods else HTTPException(404)
        return await render_error(request, error)

    router.add_api_route(
        f"{PREFIX}/{{{REST}:path}}",
        answer_unknown,
        methods=METHODS,
        include_in_schema=False,
        response_model=None,
    )
    return router


def _route_class(
    routes: list[BaseRoute], client_addresses: ClientAddresses, admission: Admission
) -> type[APIRoute]:
    """Routes that share one admission, as those of one process do. `routes`: all of ours, by the
    time one is asked for."""

    class ShelledRoute(APIRoute):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._shell = Shell(self._handle, client_addresses, admission)

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self._shell(scope, receive, send)

        async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] not in (self.methods or ()):
                raise _not_allowed(_methods_beside(routes, self))
            await super().handle(scope, receive, send)

    return ShelledRoute


def _methods_beside(routes: list[BaseRoute], route: APIRoute) -> str:
    """Those of all routes with the same path. The host may have put a prefix before the route's,
    but it still has its endpoint."""
    known = [each for each in routes if isinstance(each, APIRoute)]
    paths = {each.path for each in known if each.endpoint == route.endpoint}
    methods = [method for each in known if each.path in paths for method in each.methods or ()]
    return ", ".join(sorted(methods))


def _not_allowed(methods: str) -> HTTPException:
    return HTTPException(405, headers={"Allow": methods})
