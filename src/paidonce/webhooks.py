"""Stripe's events. `receive`: verify, store once, answer. `drain_once`: inbox -> payments.

An event is a hint where to look: what is true is read from Stripe, so events may come late, twice,
in any order, or never (recovery finds out by itself).
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from paidonce.domain import errors
from paidonce.gateway.signature import is_signed
from paidonce.observability import get_logger
from paidonce.payments.context import Context
from paidonce.payments.hints import work_hint
from paidonce.store import events
from paidonce.store.engine import DatabaseUnavailable, Transaction, UnknownCommit
from paidonce.store.events import InboxEvent

BATCH = 16
MAX_TRIES = 15
LONGEST_PAUSE_SECONDS = 3600
LATEST_TIME = 2**33  # in the year 2242
log = get_logger(__name__)


async def receive(ctx: Context, body: bytes, signature: str) -> bool:
    """Store an event; the answer may leave only afterwards. False: nothing new to work on.

    Raises invalid_signature, or invalid_request when what was signed is no event.
    """
    secrets = ctx.settings.webhook_secrets
    if not is_signed(body, signature, secrets, ctx.clock.now()):
        raise errors.invalid_signature()
    payload = _parse(body)
    if payload["livemode"] is not (ctx.settings.mode == "live") or _is_of_other_account(
        ctx, payload
    ):
        log.warning("event.dropped", event_id=payload["id"], type=payload["type"])
        return False
    event = _inbox_event(ctx, payload)
    created_at = datetime.fromtimestamp(payload["created"], UTC)
    return await ctx.db.transaction(
        "event", lambda tx: events.insert_event_once(tx, event, created_at, ctx.clock.now())
    )


async def drain_once(ctx: Context) -> int:
    """Work on the events whose time has come; how many there were."""
    now = ctx.clock.now()
    retry_at = now + timedelta(seconds=60)
    due = await ctx.db.transaction(
        "take_events", lambda tx: events.take_due_events(tx, now, retry_at, BATCH)
    )
    await asyncio.gather(*(_work_on(ctx, event) for event in due))
    return len(due)


async def _work_on(ctx: Context, event: InboxEvent) -> None:
    try:
        state, note = await work_hint(ctx, event)
    except (DatabaseUnavailable, UnknownCommit):
        return  # it comes again at retry_at
    except Exception as error:
        log.exception("event.failed", event_id=event.id, type=event.type)
        state, note = "pending", type(error).__name__
    try:
        await ctx.db.transaction("event_worked", lambda tx: _finish(ctx, tx, event, state, note))
    except (DatabaseUnavailable, UnknownCommit):
        log.warning("event.not_finished", event_id=event.id)


async def _finish(
    ctx: Context, tx: Transaction, event: InboxEvent, state: str, note: str | None
) -> None:
    now = ctx.clock.now()
    if state != "pending":
        await events.finish_event(tx, event.id, state, note, now)
    elif event.tries >= MAX_TRIES:
        log.error("event.set_aside", event_id=event.id, type=event.type, note=note)
        await events.finish_event(tx, event.id, "set_aside", note, now)
    else:
        pause = min(2**event.tries, LONGEST_PAUSE_SECONDS)
        await events.put_off_event(tx, event.id, note or "", now + timedelta(seconds=pause))


def _parse(body: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(body)
        subject = event["data"]["object"]
        metadata = subject.get("metadata") or {}
        texts = [event["id"], event["type"], subject["object"], subject.get("id") or ""]
        is_event = (
            all(_is_plain(text) for text in texts)
            and isinstance(event["livemode"], bool)
            and type(event["created"]) is int
            and 0 <= event["created"] < LATEST_TIME
            and _is_plain(metadata.get("order_id") or "")
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_event = False
    if not is_event:
        raise errors.invalid_request("The body is not a Stripe event.")
    parsed: Mapping[str, Any] = event
    return parsed


def _is_plain(text: object) -> bool:
    """Text as Stripe's ids and types are; nothing that a database could choke on."""
    return isinstance(text, str) and text.isascii() and (text.isprintable() or not text)


def _is_of_other_account(ctx: Context, payload: Mapping[str, Any]) -> bool:
    """`account` stands only in events of connected accounts."""
    account = payload.get("account")
    return account is not None and account != ctx.installation.stripe_account_id


def _inbox_event(ctx: Context, payload: Mapping[str, Any]) -> InboxEvent:
    subject = payload["data"]["object"]
    metadata = subject.get("metadata") or {}
    is_ours = metadata.get("namespace") == ctx.installation.namespace
    is_intent = subject["object"] == "payment_intent"
    intent_id = subject.get("id") if is_intent else subject.get("payment_intent")
    return InboxEvent(
        id=payload["id"],
        type=payload["type"],
        object_id=str(subject.get("id") or ""),
        stripe_payment_intent_id=intent_id if _is_plain(intent_id) else None,
        order_id=metadata.get("order_id") if is_ours else None,
    )
