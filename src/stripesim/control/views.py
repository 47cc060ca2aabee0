"""What the page at `/_sim` and a test's report look at: requests, objects, events, challenges.

Every answer is redacted and bounded: a page of a list comes through an index.
"""

import json
from typing import Any

from stripesim.api import Api
from stripesim.control.faults import Faults
from stripesim.control.redact import redacted, redacted_headers, redacted_text
from stripesim.objects import events
from stripesim.store.objects import PageQuery
from stripesim.wire.versions import render
from stripesim.world import World

Json = dict[str, Any]
CHALLENGES_AMONG = 200  # the newest of each kind of intent that are looked through for a challenge


class Views:
    """Reads only, except `resend`."""

    def __init__(self, world: World, api: Api, faults: Faults) -> None:
        self._world = world
        self._api = api
        self._faults = faults

    def state(self) -> Json:
        """What a watcher asks for again and again: by it he knows whether anything is new.

        `epoch` is another one after a reset. Whatever happens makes a request or an event, and an
        event is an object.
        """
        world = self._world
        return {
            "epoch": world.epoch,
            "last_seq": world.journal.last_seq(),
            "last_object": world.objects.last_seq(),
            "now": world.clock.now(),
            "advanced_seconds": world.clock.advanced_seconds,
            "faults": len(self._faults.rules),
            "webhook_mode": world.webhooks.mode,
            "pending_webhooks": world.deliveries.pending(),
        }

    def request(self, seq: int) -> Json | None:
        """The log's line, and what was said if it is among the last requests."""
        line = self._world.journal.get_request(seq)
        if line is None:
            return None
        found = self._api.recent.get(line["request_id"])
        return {
            **line,
            "request_headers": redacted_headers(found.request_headers) if found else None,
            "answer_headers": redacted_headers(found.answer.headers) if found else None,
            "answer": _answer(found.answer.body) if found else None,
        }

    def objects(self, kind: str | None, after: str | None, limit: int) -> Json:
        """A page of one kind, newest first, behind the object `after`; the kinds alone without."""
        found, has_more = self._page(kind, after, limit) if kind else ([], False)
        return {
            "kinds": self._world.objects.kinds(),
            "objects": [redacted(render(obj)) for obj in found],
            "has_more": has_more,
        }

    def object(self, object_id: str) -> Json | None:
        found = self._world.objects.find(object_id)
        shown: Json | None = redacted(render(found)) if found else None
        return shown

    def events(self, after: str | None, limit: int) -> Json:
        """A page, newest first, each with the object it tells of and its deliveries."""
        found, has_more = self._page("event", after, limit)
        return {"events": [self._event(event) for event in found], "has_more": has_more}

    def resend(self, event_id: str) -> Json | None:
        event = self._world.objects.get("event", event_id)
        if event is None:
            return None
        with self._world.database.transaction():
            events.resend(self._world, event)
        return self._event(event)

    def challenges(self) -> Json:
        """The pending ones among the newest PaymentIntents and SetupIntents."""
        pending = [
            intent
            for kind in ("payment_intent", "setup_intent")
            for intent in self._world.objects.page(PageQuery(kind, CHALLENGES_AMONG))[0]
            if intent["status"] == "requires_action"
        ]
        return {"challenges": [_challenge(intent) for intent in pending]}

    def _page(self, kind: str, after: str | None, limit: int) -> tuple[list[Json], bool]:
        return self._world.objects.page(PageQuery(kind=kind, limit=limit, starting_after=after))

    def _event(self, event: Json) -> Json:
        urls = {e["id"]: e["url"] for e in self._world.enabled_endpoints()}
        about = event["data"]["object"]
        return {
            "id": event["id"],
            "type": event["type"],
            "created": event["created"],
            "about": {"id": about.get("id"), "object": about.get("object")},
            "request": event["request"]["id"] if event.get("request") else None,
            "deliveries": [
                {**delivery, "url": urls.get(delivery["endpoint"])}
                for delivery in self._world.deliveries.of_event(event["id"])
            ],
        }


def _answer(body: bytes) -> Any:
    """The JSON of an answer, or its text when it is none."""
    try:
        return redacted(json.loads(body))
    except ValueError:
        return redacted_text(body.decode("utf-8", "replace"))


def _challenge(intent: Json) -> Json:
    """A SetupIntent has no amount."""
    return {
        "id": intent["id"],
        "object": intent["object"],
        "amount": intent.get("amount"),
        "currency": intent.get("currency"),
        "created": intent["created"],
        "payment_method": intent["payment_method"],
    }
