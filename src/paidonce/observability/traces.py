"""Spans for OpenTelemetry, where the extra `paidonce[otel]` is installed and an address is set.

Spans carry names of steps, route templates, statuses and our request ids; never data of a request.
A client's own trace context is not taken over: it could force sampling, or name a trace of others.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

ADDRESS_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_tracer: Any = None


class TracingUnavailable(Exception):
    """An address for traces is set, and the packages that send them are missing."""


def configure_tracing() -> None:
    """Send spans by OTLP over HTTP when OpenTelemetry's own variables name an address.

    Raises TracingUnavailable. Spans are sent from a thread and dropped when nobody takes them.
    """
    if not any(os.environ.get(name) for name in ADDRESS_VARIABLES):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise TracingUnavailable(
            f"{ADDRESS_VARIABLES[0]} is set, but OpenTelemetry is not installed: install"
            " paidonce[otel], or take the variable away."
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "paidonce")})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use_tracer(provider.get_tracer("paidonce"))


def use_tracer(tracer: Any) -> None:
    """Make spans with this OpenTelemetry tracer; None ends that."""
    global _tracer  # noqa: PLW0603  one tracer a process is the point
    _tracer = tracer


def start_span(name: str) -> Any:
    """A span below the present one, or None when nobody traces; for `end_span`."""
    return None if _tracer is None else _tracer.start_span(name)


def end_span(span: Any, outcome: str) -> None:
    if span is not None:
        span.set_attribute("paidonce.outcome", outcome)
        span.end()


@contextlib.contextmanager
def request_span(request_id: str) -> Iterator[Any]:
    """The span of a request, or None; whoever knows them sets its name and status."""
    if _tracer is None:
        yield None
        return
    with _tracer.start_as_current_span("request", record_exception=False) as span:
        span.set_attribute("paidonce.request_id", request_id)
        yield span
