"""Counters and histograms for Prometheus, in a registry of our own."""

from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

registry = CollectorRegistry()
ProcessCollector(registry=registry)

# A pay request waits for Stripe: mostly under a second, at most 25 s (the deadline of a payment).
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
_STEP_SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    25.0,
)

_requests = Counter(
    "paidonce_http_requests",
    "Answered HTTP requests.",
    ("route", "method", "status"),
    registry=registry,
)
_request_seconds = Histogram(
    "paidonce_http_request_seconds",
    "Time from a request's first line to the end of its answer.",
    ("route", "method"),
    buckets=_REQUEST_SECONDS,
    registry=registry,
)
_steps = Counter(
    "paidonce_steps", "Stripe calls and commits.", ("step", "outcome"), registry=registry
)
_step_seconds = Histogram(
    "paidonce_step_seconds",
    "Time that a Stripe call or a commit took.",
    ("step",),
    buckets=_STEP_SECONDS,
    registry=registry,
)
_inbox = Gauge(
    "paidonce_inbox_events",
    "Events of Stripe that wait to be worked on, or were set aside for a person.",
    ("state",),
    registry=registry,
)
_inbox_oldest = Gauge(
    "paidonce_inbox_oldest_pending_seconds",
    "Age of the oldest event of Stripe that waits to be worked on.",
    registry=registry,
)
_set_aside = Counter(
    "paidonce_events_set_aside",
    "Events of Stripe that this process has set aside after their last try.",
    registry=registry,
)
_forgotten_intents = Gauge(
    "paidonce_forgotten_intents",
    "Intents at Stripe whose payments a restored database has forgotten; their orders are refused.",
    registry=registry,
)
_refunds_overdue = Gauge(
    "paidonce_refunds_overdue",
    "Refunds asked for an hour ago or longer that Stripe has not made yet; they are tried again.",
    registry=registry,
)
_outgoing = Gauge(
    "paidonce_outgoing_events",
    "Events for the merchant's endpoints that wait to be taken, or that were given up (dead).",
    ("state",),
    registry=registry,
)
_outgoing_oldest = Gauge(
    "paidonce_outgoing_oldest_waiting_seconds",
    "Age of the oldest event that an endpoint was not told yet.",
    registry=registry,
)
_outgoing_tries = Counter(
    "paidonce_outgoing_tries",
    "Tries to tell an endpoint of an event: delivered, failed, or dead after the last one.",
    ("outcome",),
    registry=registry,
)
_card_testing = Counter(
    "paidonce_card_testing_refusals",
    "Attempts that a limit against card testing has refused.",
    ("scope", "limit"),
    registry=registry,
)
_contradictions = Counter(
    "paidonce_contradictions",
    "Answers of Stripe that contradict our books or our question; nothing was concluded from them.",
    ("object",),
    registry=registry,
)
_key_refused = Counter(
    "paidonce_stripe_key_refusals",
    "Calls that Stripe refused for our key: it is not taken (401), or may not do this (403).",
    ("status",),
    registry=registry,
)
_webhooks_refused = Counter(
    "paidonce_webhooks_refused",
    "Webhooks that were not taken, by the reason: nothing signed them, or they are not for us.",
    ("reason",),
    registry=registry,
)


def record_webhook_refused(reason: str) -> None:
    """Count one; `reason` comes from the code."""
    _webhooks_refused.labels(reason).inc()


def record_key_refused(http_status: int) -> None:
    """Count one call: 401 or 403."""
    _key_refused.labels(str(http_status)).inc()


def set_outgoing(*, waiting: int, dead: int, oldest_waiting_seconds: float) -> None:
    """How the outbox stands."""
    _outgoing.labels("waiting").set(waiting)
    _outgoing.labels("dead").set(dead)
    _outgoing_oldest.set(oldest_waiting_seconds)


def record_outgoing(outcome: str) -> None:
    """Count one try: delivered, failed or dead."""
    _outgoing_tries.labels(outcome).inc()


def record_card_testing(scope: str, limit: str) -> None:
    """Count one refusal: of a user, an address or a device, and by which limit."""
    _card_testing.labels(scope, limit).inc()


def record_contradiction(kind: str) -> None:
    """Count one; `kind` is the name of Stripe's object."""
    _contradictions.labels(kind).inc()


_open_disputes = Gauge(
    "paidonce_disputes_open", "Disputes of our charges that are not decided.", registry=registry
)
_dispute_due = Gauge(
    "paidonce_dispute_evidence_due_timestamp_seconds",
    "The nearest deadline for evidence of an open dispute, as a Unix time; 0 where there is none.",
    registry=registry,
)
_holds_ending = Gauge(
    "paidonce_holds_ending",
    "Authorized payments whose hold ends within a day: capture them, or the money is released.",
    registry=registry,
)


def set_open_disputes(count: int, nearest_due_timestamp: float) -> None:
    """How many there are, and when the first of their deadlines is; 0 where there is none."""
    _open_disputes.set(count)
    _dispute_due.set(nearest_due_timestamp)


def set_holds_ending(count: int) -> None:
    """How many there are."""
    _holds_ending.set(count)


def set_refunds_overdue(count: int) -> None:
    """How many there are."""
    _refunds_overdue.set(count)


def set_forgotten_intents(count: int) -> None:
    """How many stand, as this process saw it last."""
    _forgotten_intents.set(count)


def record_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count one answer. `route` is the template, never a path that a client made up."""
    count, duration = _request_children(route, method, status)
    count.inc()
    duration.observe(seconds)


def record_step(name: str, outcome: str, seconds: float) -> None:
    """Count one Stripe call or commit. `name` and `outcome` come from the code, never from data."""
    count, duration = _step_children(name, outcome)
    count.inc()
    duration.observe(seconds)


def record_inbox(*, pending: int, set_aside: int, oldest_pending_seconds: float) -> None:
    """How the inbox of Stripe's events stands."""
    _inbox.labels("pending").set(pending)
    _inbox.labels("set_aside").set(set_aside)
    _inbox_oldest.set(oldest_pending_seconds)


def record_events_set_aside(count: int) -> None:
    """Count events that nobody could work on."""
    _set_aside.inc(count)


def render_metrics() -> bytes:
    """Everything counted so far, in Prometheus' text format."""
    return generate_latest(registry)


@cache
def _request_children(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return _requests.labels(route, method, str(status)), _request_seconds.labels(route, method)


@cache
def _step_children(name: str, outcome: str) -> tuple[Counter, Histogram]:
    return _steps.labels(name, outcome), _step_seconds.labels(name)
