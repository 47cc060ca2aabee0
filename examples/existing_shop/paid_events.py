"""How the shop hears of its orders: paidonce tells it of each by a signed request.

The order is paid when `order.paid` comes, and not when the app says so: the app may have been
closed during 3-D Secure. What is sent stands in paidonce's docs/outgoing-events.md.
"""

import sqlite3
from contextlib import closing
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from standardwebhooks import Webhook, WebhookVerificationError


def make_event_tables(database: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS told_events (id TEXT PRIMARY KEY)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS parcels (order_id TEXT PRIMARY KEY, state TEXT NOT NULL)"
        )


def build_event_router(database: str, secret: str) -> APIRouter:
    """`secret`: the one of EVENT_SECRETS."""
    router, hook = APIRouter(), Webhook(secret)

    @router.post("/paidonce-events", status_code=204)
    async def take_event(request: Request) -> None:
        """2xx only when it is written down: whatever else is answered, it is sent again."""
        raw_body = await request.body()  # as it was signed; JSON that was read and written is not
        try:
            event = hook.verify(raw_body, dict(request.headers))  # signature and age
        except WebhookVerificationError:
            raise HTTPException(400, "This is not from paidonce.") from None
        await run_in_threadpool(note_event, database, event)

    return router


def note_event(database: str, event: dict[str, Any]) -> None:
    """The event and what it changes, together: an event that comes twice changes nothing twice."""
    order_id = event["data"]["orderId"]
    with closing(sqlite3.connect(database)) as db, db:
        told = db.execute("INSERT OR IGNORE INTO told_events (id) VALUES (?)", (event["id"],))
        if told.rowcount == 0:
            return  # our answer was lost the last time
        match event["type"]:
            case "order.paid":
                db.execute(
                    "INSERT INTO parcels (order_id, state) VALUES (?, 'to pack')", [order_id]
                )
            case "order.refunded" | "dispute.opened":
                db.execute("UPDATE parcels SET state = 'on hold' WHERE order_id = ?", [order_id])
            case _:
                pass  # more types may come: they are taken, and say nothing to this shop
