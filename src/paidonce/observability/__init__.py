"""What operators see: log lines, metrics, and the steps around every Stripe call and commit."""

from paidonce.observability.card_numbers import has_card_number
from paidonce.observability.logs import (
    bind_request_id,
    configure_logging,
    get_logger,
    log_through_host,
    present_request_id,
)
from paidonce.observability.metrics import (
    METRICS_CONTENT_TYPE,
    record_events_set_aside,
    record_inbox,
    record_outgoing,
    record_request,
    record_step,
    render_metrics,
    set_outgoing,
)
from paidonce.observability.redaction import redact
from paidonce.observability.steps import set_step_hook, step
from paidonce.observability.timeline import Timeline, timeline
from paidonce.observability.traces import (
    TracingUnavailable,
    configure_tracing,
    request_span,
    use_tracer,
)

__all__ = [
    "METRICS_CONTENT_TYPE",
    "Timeline",
    "TracingUnavailable",
    "bind_request_id",
    "configure_logging",
    "configure_tracing",
    "get_logger",
    "has_card_number",
    "log_through_host",
    "present_request_id",
    "record_events_set_aside",
    "record_inbox",
    "record_outgoing",
    "record_request",
    "record_step",
    "redact",
    "render_metrics",
    "request_span",
    "set_outgoing",
    "set_step_hook",
    "step",
    "timeline",
    "use_tracer",
]
