"""Log lines on stderr: JSON, one a line; coloured text when a person is watching a terminal."""

import contextlib
import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, TextIO

import structlog
from structlog.typing import Processor

from paidonce.observability.redaction import redact_value

# Loggers of libraries that repeat what we log ourselves, or say more than we want to keep.
_QUIET = ("uvicorn.access", "stripe", "aiohttp.access", "asyncio")

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class _Stderr:
    """A stream that never fails its writer: a log line that is lost must not lose a payment."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logging(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send our own log lines and those of every library to `stream` (stderr), redacted."""
    _Logger.is_hosted = False
    target = stream if stream is not None else sys.stderr
    safe: Any = _Stderr(target)
    number = logging.getLevelNamesMapping()[level.upper()]
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = [_redact_event, _renderer(target)]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=safe),
    )
    handler = logging.StreamHandler(safe)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_through_host() -> None:
    """Inside another application: our lines go, redacted, to the loggers `paidonce.…` of `logging`,
    and how it has set up `logging` and structlog stays as it is."""
    _Logger.is_hosted = True


def get_logger(name: str) -> Any:
    """The logger of a module; events are named `noun.past` (`payment.claimed`)."""
    return _Logger(name)


class _Logger:
    """Where a line goes is found out when it is written."""

    is_hosted: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, level: str) -> Any:
        if not self.is_hosted:
            return getattr(structlog.get_logger(source=self._name), level)
        bound = structlog.wrap_logger(
            logging.getLogger(self._name),
            processors=_FOR_HOSTS,
            wrapper_class=structlog.stdlib.BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=False,
        )
        if level == "exception":  # `logging` would add the traceback itself, as it is
            return partial(bound.error, exc_info=True)
        return getattr(bound, level)


@contextlib.contextmanager
def bind_request_id(request_id: str) -> Iterator[None]:
    """Every log line inside carries the request's id."""
    tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)
        structlog.contextvars.reset_contextvars(**tokens)


def present_request_id() -> str | None:
    """Of the request that is worked on, or that began this work; None for the worker's own."""
    return _request_id.get()


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        # Plain tracebacks: the pretty ones show local variables, secrets among them.
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer()


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    redacted: MutableMapping[str, Any] = redact_value(event)
    return redacted


_FOR_HOSTS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _redact_event,
    structlog.processors.JSONRenderer(),
]
