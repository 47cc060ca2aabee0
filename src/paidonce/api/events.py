"""The merchant's routes of outgoing events: what was told, and telling it again."""

import re

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from paidonce.api import openapi
from paidonce.api.auth import MERCHANT, Authentication
from paidonce.api.bodies import read_json_object
from paidonce.api.envelope import Answer, respond, success
from paidonce.api.idempotency import Idempotency
from paidonce.api.schemas import as_order_id, merchant_page_of
from paidonce.api.usecases import UseCases
from paidonce.domain import errors
from paidonce.domain.outgoing import DeliveryState, EventFilter, EventType

TYPES = tuple(kind.value for kind in EventType)
STATES = tuple(state.value for state in DeliveryState)
_EVENT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FILTERS: openapi.Schema = {
    "type": {"type": "string", "enum": list(TYPES)},
    "orderId": {"type": "string", "format": "uuid"},
    "state": {"type": "string", "enum": list(STATES)},
}


class EventRoutes:
    """Events as they are sent, with their deliveries; also for whoever asks and is not told."""

    def __init__(
        self, use_cases: UseCases, authentication: Authentication, idempotency: Idempotency
    ) -> None:
        self._use_cases = use_cases
        self._authentication = authentication
        self._idempotency = idempotency

    def add_to(self, app: FastAPI | APIRouter) -> None:
        event = "/api/events/{eventId}"
        openapi.add(app, "GET", "/api/events", self.list_events, is_list=True, filters=FILTERS)
        openapi.add(app, "GET", event, self.get_event)
        openapi.add(app, "POST", f"{event}/resend", self.resend_event, openapi.EMPTY)

    async def list_events(self, request: Request) -> Response:
        """Outgoing events, newest first."""
        self._authentication.merchant(request)
        query = request.query_params
        order_id = query.get("orderId") or None
        wanted = EventFilter(
            type=query.get("type") or None,
            order_id=None if order_id is None else as_order_id(order_id),
            state=query.get("state") or None,
        )
        if wanted.type is not None and wanted.type not in TYPES:
            raise errors.invalid_request(f"type must be one of {', '.join(TYPES)}.")
        if wanted.state is not None and wanted.state not in STATES:
            raise errors.invalid_request(f"state must be one of {', '.join(STATES)}.")
        page = await self._use_cases.list_events(wanted, *merchant_page_of(request, FILTERS))
        data = [event.as_json() for event in page.items]
        message = "Events retrieved successfully"
        return respond(request, success(message, data, nextCursor=page.next_cursor))

    async def get_event(self, request: Request) -> Response:
        """One event, as it is sent, and whom it was told."""
        self._authentication.merchant(request)
        event = await self._use_cases.get_event(_event_id_of(request))
        return respond(request, success("Event retrieved successfully", event.as_json()))

    async def resend_event(self, request: Request) -> Response:
        """Send an event again to every endpoint that it was for and that is still there."""
        self._authentication.merchant(request)
        event_id = _event_id_of(request)
        raw, _ = read_json_object(request, is_empty_allowed=True)

        async def work() -> Answer:
            event, count = await self._use_cases.resend_event(event_id)
            message = "Event is sent again" if count else "There is no endpoint to send to"
            return success(message, event.as_json())

        return await self._idempotency.answer(request, MERCHANT, raw, work)


def _event_id_of(request: Request) -> str:
    """Raises `event_not_found` for what is no id of ours."""
    event_id = str(request.path_params["eventId"]).lower()
    if _EVENT_ID.fullmatch(event_id) is None:
        raise errors.event_not_found()
    return event_id
