"""The use cases of the merchant who asks: events, and telling one again."""

from paidonce.domain import errors
from paidonce.domain.model import Page
from paidonce.domain.outgoing import EventFilter, ToldEvent
from paidonce.outgoing.desk import Desk
from paidonce.payments.context import Parts
from paidonce.payments.cursors import decode_cursor, encode_cursor


async def list_events(
    ctx: Parts, wanted: EventFilter, limit: int, cursor: str | None
) -> Page[ToldEvent]:
    """Newest first. Raises `invalid_request` for a cursor that is none."""
    before = decode_cursor(cursor)
    found = await Desk(ctx.db, ctx.clock).list_latest(wanted, limit + 1, before)
    if len(found) <= limit:
        return Page(found)
    last = found[limit - 1].event
    return Page(found[:limit], encode_cursor(last.created_at, last.id))


async def get_event(ctx: Parts, event_id: str) -> ToldEvent:
    """Raises `event_not_found`."""
    found = await Desk(ctx.db, ctx.clock).get(event_id)
    if found is None:
        raise errors.event_not_found()
    return found


async def resend_event(ctx: Parts, event_id: str) -> tuple[ToldEvent, int]:
    """The event, and to how many endpoints it goes. Raises `event_not_found`."""
    count = await Desk(ctx.db, ctx.clock).resend(event_id)
    return await get_event(ctx, event_id), count
