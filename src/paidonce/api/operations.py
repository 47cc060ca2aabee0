"""The routes of machines: Stripe's webhook, health, readiness, metrics."""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api.admission import WEBHOOK_PATH
from paidonce.api.bodies import BODY
from paidonce.api.card_numbers import without_card_numbers
from paidonce.api.envelope import HEADERS, respond, success
from paidonce.api.usecases import OK, Readiness, UseCases
from paidonce.domain import errors
from paidonce.observability import METRICS_CONTENT_TYPE, get_logger, render_metrics

HIDDEN: dict[str, Any] = {"include_in_schema": False, "response_model": None}

log = get_logger(__name__)


class OperationsRoutes:
    """Not in the OpenAPI: nobody writes a client for them."""

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    def add_webhook_to(self, to: FastAPI | APIRouter) -> None:
        to.add_api_route(WEBHOOK_PATH, self.receive_webhook, methods=["POST"], **HIDDEN)

    def add_to(self, to: FastAPI | APIRouter) -> None:
        for path, handler, methods in (
            ("/healthz", self.health, ["GET", "HEAD"]),
            ("/readyz", self.readiness, ["GET", "HEAD"]),
            ("/metrics", self.metrics, ["GET"]),
        ):
            to.add_api_route(path, without_card_numbers(handler), methods=methods, **HIDDEN)

    async def receive_webhook(self, request: Request) -> Response:
        """Store one event of Stripe; 2xx only once it is stored."""
        signatures = request.headers.getlist("stripe-signature")
        signature = signatures[0] if len(signatures) == 1 else ""
        await self._use_cases.receive_webhook(request.scope[BODY], signature)
        return respond(request, success("Event received", {"received": True}))

    async def health(self, request: Request) -> Response:
        """The process runs."""
        return respond(request, success("Healthy", {"process": OK}))

    async def readiness(self, request: Request) -> Response:
        """200 when everything the service stands on is there, 503 with what is missing. A key that
        Stripe refuses leaves it ready: reads go on, and every server has the same one."""
        try:
            found = await self._use_cases.readiness()
        except Exception:
            log.exception("readiness.failed")
            found = Readiness({"readiness": "could not be checked"}, is_ready=False)
        if not found.is_ready:
            unavailable = errors.service_unavailable()
            unavailable.details = found.complaints
            raise unavailable
        return respond(request, success("Ready", found.checks))

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        try:
            await self._use_cases.measure()
        except Exception as error:  # noqa: BLE001 - the others are told without it
            log.warning("metrics.incomplete", error=type(error).__name__)
        headers = {**HEADERS, "Content-Type": METRICS_CONTENT_TYPE}
        return Response(render_metrics(), headers=headers)
