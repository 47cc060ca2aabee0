"""What becomes of an event before it is worked on: signature, form, whose it is, and the inbox."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from paidonce.domain import errors
from paidonce.gateway.signature import is_signed
from paidonce.observability import get_logger, has_card_number
from paidonce.payments.context import Context
from paidonce.store import inbox
from paidonce.store.inbox import InboxEvent
from paidonce.store.installation import Installation

LATEST_TIME = 2**33  # in the year 2242
log = get_logger(__name__)


async def receive(ctx: Context, body: bytes, signature: str) -> bool:
    """Store an event; the answer may leave only afterwards. False: nothing new to work on.

    Raises invalid_signature, or invalid_request when what was signed is no event.
    """
    secrets = ctx.settings.webhook_secrets
    if not is_signed(body, signature, secrets, ctx.clock.now()):
        raise errors.invalid_signature()
    payload = parse(body)
    if payload is None:
        raise errors.invalid_request("The body is not a Stripe event.")
    event = judge(ctx.installation, payload)
    if event is None:
        return False
    return await ctx.db.transaction(
        "event", lambda tx: inbox.insert_event_once(tx, event, ctx.clock.now())
    )


def parse(body: bytes) -> Mapping[str, Any] | None:
    """An event as Stripe sends it, or None."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return payload if is_event(payload) else None


def is_event(payload: Any) -> bool:
    """Whether it has the form of an event, and nothing in it that a database could choke on."""
    try:
        subject = payload["data"]["object"]
        metadata = subject.get("metadata") or {}
        texts = [payload["id"], payload["type"], subject["object"], subject.get("id") or ""]
        return (
            all(_is_plain(text) for text in texts)
            and isinstance(payload["livemode"], bool)
            and type(payload["created"]) is int
            and 0 <= payload["created"] < LATEST_TIME
            and _is_plain(metadata.get("order_id") or "")
        )
    except (KeyError, TypeError, AttributeError):
        return False


def judge(installation: Installation, payload: Mapping[str, Any]) -> InboxEvent | None:
    """What is kept of an event; None for one of the other mode or another account."""
    is_other_mode = payload["livemode"] is not (installation.mode == "live")
    account = payload.get("account")  # stands only in events of connected accounts
    if is_other_mode or account not in (None, installation.stripe_account_id):
        log.warning("event.dropped", event_id=payload["id"], type=payload["type"])
        return None
    subject = payload["data"]["object"]
    metadata = subject.get("metadata") or {}
    is_ours = metadata.get("namespace") == installation.namespace
    is_intent = subject["object"] == "payment_intent"
    intent_id = subject.get("id") if is_intent else subject.get("payment_intent")
    return InboxEvent(
        id=payload["id"],
        type=payload["type"],
        object_id=str(subject.get("id") or ""),
        stripe_payment_intent_id=intent_id if _is_plain(intent_id) else None,
        order_id=metadata.get("order_id") if is_ours else None,
        event_created_at=datetime.fromtimestamp(payload["created"], UTC),
    )


def _is_plain(text: object) -> bool:
    """Text as Stripe's ids and types are."""
    if not isinstance(text, str) or not text.isascii():
        return False
    return (text.isprintable() or not text) and not has_card_number(text)
