"""Takes back what a run has left at real Stripe, as far as Stripe lets it."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import stripe

from conformance.drive_python import SECONDS_BETWEEN_CALLS, Target
from conformance.scenarios import Json


def clean_up(target: Target, transcript: Sequence[Json]) -> int:
    """Delete customers and endpoints, cancel intents; returns how many calls succeeded.

    Charges, refunds and what Stripe refuses to take back stay; they carry the run's mark.
    """
    where: Any = {} if target.url is None else {"base_addresses": {"api": target.url}}
    client = stripe.StripeClient(target.secret_key, max_network_retries=2, **where)
    v1 = client.v1
    calls: dict[str, Callable[[str], object]] = {
        "payment_intent": v1.payment_intents.cancel,
        "setup_intent": v1.setup_intents.cancel,
        "webhook_endpoint": v1.webhook_endpoints.delete,
        "customer": v1.customers.delete,
    }
    made = {(kind, i): None for entry in transcript for kind, i in _created(entry)}
    done = 0
    for kind, take_back in calls.items():
        for _, object_id in [key for key in made if key[0] == kind]:
            if target.url is None:
                time.sleep(SECONDS_BETWEEN_CALLS)
            with contextlib.suppress(stripe.InvalidRequestError):  # it is over, or deleted
                take_back(object_id)
                done += 1
    return done


def _created(value: Any) -> Iterator[tuple[str, str]]:
    """Kind and id of every object in an answer."""
    if isinstance(value, list):
        for inner in value:
            yield from _created(inner)
    elif isinstance(value, dict):
        if isinstance(value.get("object"), str) and isinstance(value.get("id"), str):
            yield value["object"], value["id"]
        for inner in value.values():
            yield from _created(inner)
