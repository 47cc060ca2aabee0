"""What becomes of an event before it is worked on: signature, form, whose it is, and the inbox."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from paidonce.domain import errors
from paidonce.gateway.signature import find_fault
from paidonce.observability import get_logger, has_card_number
from paidonce.observability.metrics import record_webhook_refused
from paidonce.payments.context import Context
from paidonce.store import inbox
from paidonce.store.inbox import InboxEvent
from paidonce.store.installation import Installation

LATEST_TIME = 2**33  # in the year 2242
log = get_logger(__name__)


async def receive(ctx: Context, body: bytes, signature: str) -> bool:
    """Store an event; the answer may leave only afterwards. False: nothing new to work on.
    `signature` is the header, empty where there is none.

    Raises invalid_signature, or invalid_request when what was signed is no event.
    """
    secrets = ctx.settings.webhook_secrets
    fault = find_fault(body, signature, secrets, ctx.clock.now())
    if fault is not None:
        _complain(ctx, "webhook.refused", fault)
        raise errors.invalid_signature()
    payload = parse(body)
    if payload is None:
        _complain(ctx, "webhook.refused", "no_event")
        raise errors.invalid_request("The body is not a Stripe event.")
    stranger = find_stranger(ctx.installation, payload)
    if stranger is not None:
        _complain(ctx, "event.dropped", stranger, event_id=payload["id"], type=payload["type"])
        return False
    event = read_event(ctx.installation, payload)
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


def _complain(ctx: Context, said: str, reason: str, **about: str) -> None:
    """Each is counted; a wrong secret or an endpoint of the other mode sends many, and the log
    says it a few times a minute. Nothing of what was sent is shown but an event's id and type."""
    record_webhook_refused(reason)
    if ctx.webhook_complaints.may_say(ctx.clock.monotonic()):
        log.warning(said, reason=reason, **about)


def find_stranger(installation: Installation, payload: Mapping[str, Any]) -> str | None:
    """Why an event is not for us: it is of the other mode, or of another account."""
    if payload["livemode"] is not (installation.mode == "live"):
        return "other_mode"
    account = payload.get("account")  # stands only in events of connected accounts
    return None if account in (None, installation.stripe_account_id) else "other_account"


def read_event(installation: Installation, payload: Mapping[str, Any]) -> InboxEvent:
    """What is kept of an event that is for us."""
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
