"""Outgoing events: outbox -> the merchant's endpoints, signed by Standard Webhooks.

At least once, and of an order one after the other; an event's id is what the receiver knows it by.
"""

import asyncio

from paidonce.outgoing.asking import get_event, list_events, resend_event
from paidonce.outgoing.courier import Courier
from paidonce.outgoing.desk import forget_once, measure_outgoing
from paidonce.outgoing.lane import Lane
from paidonce.payments.context import Context
from paidonce.store import outbox

__all__ = [
    "deliver_once",
    "forget_once",
    "get_event",
    "list_events",
    "measure_outgoing",
    "register",
    "resend_event",
    "run_lanes",
]


async def register(ctx: Context) -> None:
    """At a start, before anything happens: endpoints are told what happens from now on."""
    names = [endpoint.name for endpoint in ctx.settings.outgoing_endpoints]
    known = await ctx.db.read(outbox.list_endpoint_names) if names else []
    if set(names) - set(known):
        now = ctx.clock.now()
        await ctx.db.transaction(
            "event_endpoints", lambda tx: outbox.register_endpoints(tx, names, now)
        )


async def run_lanes(ctx: Context, stop: asyncio.Event) -> None:
    """Until `stop`, a lane for each endpoint of the settings; without one nothing is done."""
    await asyncio.gather(*(lane.run(stop) for lane in _lanes(ctx)))


async def deliver_once(ctx: Context) -> int:
    """All that is due, once; how many events were seen."""
    return sum(await asyncio.gather(*(lane.deliver_due() for lane in _lanes(ctx))))


def _lanes(ctx: Context) -> list[Lane]:
    endpoints = ctx.settings.outgoing_endpoints
    return [Lane(ctx, endpoint, Courier(endpoint)) for endpoint in endpoints]
